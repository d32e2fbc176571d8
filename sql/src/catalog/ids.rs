//! Ids of catalog objects. They are made outside (this crate has no randomness) and name folders, so they hold
//! lower-case letters, digits and `-` only.

use serde::{Deserialize, Serialize};

/// Why a text is no id.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("'{0}' is no id: ids have 1 to 64 lower-case letters, digits and '-', and begin with a letter or digit")]
pub struct IdError(String);

fn check(text: &str) -> Result<(), IdError> {
    let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    let fits = (1..=64).contains(&text.len()) && text.chars().all(|c| plain(c) || c == '-') && text.starts_with(plain);
    if fits { Ok(()) } else { Err(IdError(text.chars().take(80).collect())) }
}

macro_rules! id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(String);

        impl $name {
            /// An id from its text.
            ///
            /// # Errors
            /// If it holds anything but lower-case letters, digits and `-`, or is empty or longer than 64 bytes.
            pub fn new(text: impl Into<String>) -> Result<Self, IdError> {
                let text = text.into();
                check(&text)?;
                Ok(Self(text))
            }

            /// The id as text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl TryFrom<String> for $name {
            type Error = IdError;

            fn try_from(text: String) -> Result<Self, IdError> {
                Self::new(text)
            }
        }

        impl From<$name> for String {
            fn from(id: $name) -> Self {
                id.0
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(&self.0)
            }
        }
    };
}

id!(
    /// A database's id.
    DatabaseId
);
id!(
    /// A table's id.
    TableId
);
id!(
    /// A view's id.
    ViewId
);
id!(
    /// A job's id.
    JobId
);

impl DatabaseId {
    /// The id of the database that is always there.
    pub(crate) fn default_database() -> Self {
        Self(super::DEFAULT_DATABASE.to_owned())
    }
}
