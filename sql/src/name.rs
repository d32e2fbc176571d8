//! Names of databases, tables, columns and jobs: shown as written, compared without regard to case.
//!
//! As in Spark and Hive, `Logs`, `logs` and `"LOGS"` are one name. [`Name::key`] is the lower-case form that
//! catalogs, schemas and the metastore use; [`Name::as_str`] is the spelling to show.

use std::cmp::Ordering;
use std::fmt;
use std::hash::{Hash, Hasher};

use serde::{Deserialize, Serialize};

/// The longest name, in bytes.
const LONGEST: usize = 255;

/// Words that mean something else where a name could stand, so that names like these are quoted.
const RESERVED: [&str; 62] = [
    "all",
    "and",
    "as",
    "between",
    "case",
    "cast",
    "constraint",
    "create",
    "cross",
    "database",
    "distinct",
    "drop",
    "else",
    "end",
    "except",
    "exists",
    "extended",
    "false",
    "for",
    "formatted",
    "from",
    "full",
    "group",
    "having",
    "if",
    "in",
    "inner",
    "insert",
    "intersect",
    "interval",
    "into",
    "is",
    "join",
    "lateral",
    "left",
    "like",
    "limit",
    "natural",
    "not",
    "null",
    "offset",
    "on",
    "or",
    "order",
    "outer",
    "partition",
    "right",
    "rlike",
    "schema",
    "select",
    "set",
    "table",
    "then",
    "true",
    "union",
    "using",
    "values",
    "view",
    "watermark",
    "when",
    "where",
    "with",
];

/// A name. Equality, order and hash use [`Name::key`].
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Name {
    display: String,
    key: String,
}

/// Why a text is no name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    /// Nothing between the quotes.
    #[error("a name can't be empty")]
    Empty,
    /// Longer than 255 bytes.
    #[error("a name has at most {LONGEST} bytes")]
    TooLong,
    /// A control character, which Hive and file systems don't take.
    #[error("a name can't hold control characters")]
    Control,
}

impl Name {
    /// A name as written, without its quotes.
    ///
    /// # Errors
    /// If the text is empty, longer than 255 bytes, or holds control characters.
    pub fn new(text: impl Into<String>) -> Result<Self, NameError> {
        let display = text.into();
        if display.is_empty() {
            return Err(NameError::Empty);
        }
        if display.len() > LONGEST {
            return Err(NameError::TooLong);
        }
        if display.chars().any(char::is_control) {
            return Err(NameError::Control);
        }
        let key = display.to_lowercase();
        Ok(Self { display, key })
    }

    /// A name that stands in this crate's own code and is known to be one.
    pub(crate) fn known(text: &'static str) -> Self {
        Self { display: text.to_owned(), key: text.to_owned() }
    }

    /// The spelling to show.
    pub fn as_str(&self) -> &str {
        &self.display
    }

    /// The lower-case form that names are compared by.
    pub fn key(&self) -> &str {
        &self.key
    }

    /// The name as it must be written in SQL: quoted with `"` if it is not a plain word, or one that the grammar uses.
    pub fn to_sql(&self) -> String {
        let mut chars = self.display.chars();
        let plain = chars.next().is_some_and(|c| c.is_ascii_alphabetic() || c == '_')
            && chars.all(|c| c.is_ascii_alphanumeric() || c == '_' || c == '$');
        if plain && !RESERVED.contains(&self.key.as_str()) {
            self.display.clone()
        } else {
            format!("\"{}\"", self.display.replace('"', "\"\""))
        }
    }
}

impl PartialEq for Name {
    fn eq(&self, other: &Self) -> bool {
        self.key == other.key
    }
}

impl Eq for Name {}

impl Hash for Name {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.key.hash(state);
    }
}

impl PartialOrd for Name {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Name {
    fn cmp(&self, other: &Self) -> Ordering {
        self.key.cmp(&other.key)
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.display)
    }
}

impl TryFrom<String> for Name {
    type Error = NameError;

    fn try_from(text: String) -> Result<Self, NameError> {
        Self::new(text)
    }
}

impl From<Name> for String {
    fn from(name: Name) -> Self {
        name.display
    }
}

/// The name of a table or view: `db.name`, or `name` in the session's database.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TableName {
    /// The database, if written.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub db: Option<Name>,
    /// The table or view.
    pub name: Name,
}

impl TableName {
    /// The name as it must be written in SQL.
    pub fn to_sql(&self) -> String {
        match &self.db {
            Some(db) => format!("{}.{}", db.to_sql(), self.name.to_sql()),
            None => self.name.to_sql(),
        }
    }
}

impl fmt::Display for TableName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.db {
            Some(db) => write!(f, "{db}.{}", self.name),
            None => write!(f, "{}", self.name),
        }
    }
}

/// The candidate nearest to what was written, if one is near enough to be worth suggesting.
pub(crate) fn nearest<'a>(written: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let written = written.to_lowercase();
    candidates
        .into_iter()
        .map(|candidate| (strsim::damerau_levenshtein(&written, &candidate.to_lowercase()), candidate))
        .filter(|(distance, candidate)| {
            *distance <= (candidate.chars().count().max(written.chars().count()) / 3).clamp(1, 4)
        })
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}
