//! Ids and counters as newtypes, so that a log number is never taken for an epoch.

use crate::clock::Entropy;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::sync::Arc;

macro_rules! text_id {
    ($(#[$doc:meta])* $name:ident, $prefix:literal) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(Arc<str>);

        impl $name {
            /// A fresh id that was never used before (64 random bits).
            pub fn fresh(entropy: &dyn Entropy) -> Self {
                Self(format!(concat!($prefix, "{:016x}"), entropy.next_u64()).into())
            }

            /// Takes an id as it stands in a log or a file name.
            pub fn from_text(text: &str) -> Self {
                Self(text.into())
            }

            /// The id as it stands in logs and file names: letters and digits only.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    };
}

text_id!(
    /// A job: never reused, not even after the job is dropped. Folders use it, not the job's name.
    JobId,
    "j"
);
text_id!(
    /// A table: never reused, not even after the table is dropped.
    TableId,
    "t"
);
text_id!(
    /// Who wrote an object: one per process start, so that one's own success is told from another's.
    WriterId,
    "w"
);

macro_rules! counter {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(
            Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default, Serialize, Deserialize,
        )]
        #[serde(transparent)]
        pub struct $name(pub u64);

        impl $name {
            /// The counter after this one.
            #[must_use]
            pub fn next(self) -> Self {
                Self(self.0 + 1)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{}", self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!(stringify!($name), "({})"), self.0)
            }
        }
    };
}

counter!(
    /// One tenure over a log. It begins by winning a log number with an `open` manifest; the highest one rules.
    Generation
);
counter!(
    /// The number of an object in a log: 1, 2, 3 … without gaps. 20 digits wide in file names.
    LogNumber
);
counter!(
    /// An epoch of a job, counted from 1 within a generation: one run of the job's plan.
    Epoch
);
