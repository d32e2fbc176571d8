//! Where a source stands.
//!
//! A source is divided into *splits* that are read in order and independently: an Event Hubs partition, a file, a
//! generator's lane. A [`Position`] is the next row to read in a split; a [`Cursor`] holds one for each split.

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

/// One independently readable, ordered part of a source: a partition id, a file's path.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct SplitId(pub Arc<str>);

impl SplitId {
    /// A split id from its text.
    pub fn new(text: impl Into<Arc<str>>) -> Self {
        Self(text.into())
    }

    /// The id's text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for SplitId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for SplitId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "split {}", self.0)
    }
}

/// The next row to read in a split.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Position {
    /// Sequence number of the next row: 0 for the first row ever, the last row's plus one afterwards.
    pub next: u64,
    /// Where the connector finds that row, if the number alone doesn't say it (a file's byte offset).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub byte: Option<u64>,
    /// True once a split that ends (a file that isn't followed) has been read to its end.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub finished: bool,
}

impl Position {
    /// The row with this sequence number.
    pub fn at(next: u64) -> Self {
        Self { next, byte: None, finished: false }
    }
}

/// A position for each split of a source.
pub type Cursor = BTreeMap<SplitId, Position>;
