//! Options of tables: what may stand in `WITH (…)` and `TBLPROPERTIES (…)`, and what it means.
//!
//! Three steps, each its own type. [`Options`] holds what was written, references and all; it is checked against
//! the [`registry`] when the statement is parsed, and stored in the catalog. [`ResolvedOptions`] has the references
//! (`${VAR}`, `${file:PATH}`) replaced, on the server only, and is never stored or printed: its accessors give typed
//! values. Connectors and formats take the map of [`crate::ConnectorTable::resolved_options`], the sink [`HiveConfig`].

mod check;
mod config;
mod connection;
mod reference;
pub mod registry;
mod resolved;
mod value;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

pub(crate) use check::{check_connector, check_hive};
pub use config::HiveConfig;
pub use reference::Ref;
pub use resolved::ResolvedOptions;
pub use value::{Compression, StartPosition};

use crate::error::Position;
use crate::redact::redact;

/// Options as written: lower-case keys, values as text with their references.
///
/// Stored as a plain JSON object of strings. Places in the script are kept for errors while the statement is
/// handled, but are not stored and don't count for equality.
#[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Options {
    entries: BTreeMap<String, OptionEntry>,
}

/// Shows no secret that stands inline.
impl std::fmt::Debug for Options {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_map().entries(self.iter().map(|(key, value)| (key, self.shown(key, value)))).finish()
    }
}

/// One option's value and places.
#[derive(Clone, Serialize, Deserialize)]
#[serde(from = "String", into = "String")]
pub struct OptionEntry {
    /// The value as written.
    pub value: String,
    /// Where the key stands in the script.
    pub key_at: Position,
    /// Where the value stands in the script.
    pub value_at: Position,
}

impl PartialEq for OptionEntry {
    fn eq(&self, other: &Self) -> bool {
        self.value == other.value
    }
}

impl Eq for OptionEntry {}

/// Shows no key that stands inline.
impl std::fmt::Debug for OptionEntry {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:?}", redact(&self.value))
    }
}

impl From<String> for OptionEntry {
    fn from(value: String) -> Self {
        Self { value, key_at: Position::default(), value_at: Position::default() }
    }
}

impl From<OptionEntry> for String {
    fn from(entry: OptionEntry) -> Self {
        entry.value
    }
}

impl Options {
    /// Adds an option; the key is folded to lower case. Returns `false` if the key was there already.
    pub fn insert(&mut self, key: &str, entry: OptionEntry) -> bool {
        match self.entries.entry(key.to_lowercase()) {
            std::collections::btree_map::Entry::Vacant(slot) => {
                slot.insert(entry);
                true
            }
            std::collections::btree_map::Entry::Occupied(_) => false,
        }
    }

    /// The value as written, if the option was given under this key.
    pub fn get(&self, key: &str) -> Option<&str> {
        self.entries.get(key).map(|entry| entry.value.as_str())
    }

    /// The option with its places.
    pub fn entry(&self, key: &str) -> Option<&OptionEntry> {
        self.entries.get(key)
    }

    /// Keys and values as written, by key.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.entries.iter().map(|(key, entry)| (key.as_str(), entry.value.as_str()))
    }

    /// Keys and entries, by key.
    pub fn entries(&self) -> impl Iterator<Item = (&str, &OptionEntry)> {
        self.entries.iter().map(|(key, entry)| (key.as_str(), entry))
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// A value as it may be shown: secrets that stand inline are masked, references are not.
    pub fn shown(&self, key: &str, value: &str) -> String {
        let secret = registry::is_secret(key);
        if secret && !key.eq_ignore_ascii_case("connection_string") && !reference::is_reference(value) {
            return crate::redact::MASK.to_owned();
        }
        redact(value)
    }
}

impl FromIterator<(String, String)> for Options {
    /// Options without places; of a key given twice the last counts.
    fn from_iter<T: IntoIterator<Item = (String, String)>>(pairs: T) -> Self {
        Self { entries: pairs.into_iter().map(|(key, value)| (key.to_lowercase(), OptionEntry::from(value))).collect() }
    }
}
