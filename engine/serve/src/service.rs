//! What the Flight SQL server asks of the engine behind it.
//!
//! The server knows sessions, tickets, streams and gRPC; it knows neither SQL nor catalog nor jobs. The head (crate
//! `salamander-cluster`) implements [`StatementService`]; tests implement it over a bare DataFusion session.
//!
//! What an implementation promises:
//! - [`StatementService::describe`] runs nothing and changes nothing; the schema is exactly that of the stream which
//!   [`StatementService::execute`] returns for the same text.
//! - The work of a statement is bound to its stream: dropping the stream ends it.
//! - A statement that only changes something (DDL, STOP JOB) has done so when `execute` returns, or at the latest
//!   when its stream has ended; its rows, if any, are the answer for people.

use arrow::datatypes::SchemaRef;
use async_trait::async_trait;
use datafusion::execution::SendableRecordBatchStream;
use salamander_types::ErrorKind;
use std::fmt;
use thiserror::Error;

/// The name of the one catalog, as clients see it in front of database and table.
pub const CATALOG: &str = "salamander";

/// The engine as seen from a client's statement.
#[async_trait]
pub trait StatementService: Send + Sync + 'static {
    /// The schema of the statement's result, without running it. A statement without a result has an empty schema.
    ///
    /// # Errors
    /// When the statement doesn't parse or plan.
    async fn describe(&self, session: &Session, sql: &str) -> Result<SchemaRef, StatementError>;

    /// Runs the statement. Ending (dropping) the stream ends the work.
    ///
    /// # Errors
    /// When the statement can't be started; later failures travel in the stream.
    async fn execute(&self, session: &Session, sql: &str) -> Result<SendableRecordBatchStream, StatementError>;

    /// Whether the statement changes something. Such a statement is run when a client executes it, not when the client
    /// fetches its answer: many never do (`cursor.execute("CREATE …")`). Judged by the first word unless an
    /// implementation knows better.
    fn changes(&self, sql: &str) -> bool {
        CHANGING_WORDS.iter().any(|word| first_word(sql).eq_ignore_ascii_case(word))
    }

    /// A session that was a connection is over. Sessions of logins end by idleness.
    fn session_ended(&self, _id: &str) {}

    /// Tables and views that match the filter, for browsing.
    ///
    /// # Errors
    /// When the catalog can't be read.
    async fn tables(&self, session: &Session, filter: &TableFilter) -> Result<Vec<TableInfo>, StatementError>;

    /// All databases, for browsing.
    ///
    /// # Errors
    /// When the catalog can't be read.
    async fn schemas(&self, session: &Session) -> Result<Vec<SchemaInfo>, StatementError>;
}

/// What statements that change something begin with.
const CHANGING_WORDS: &[&str] = &[
    "ALTER", "CANCEL", "CREATE", "DELETE", "DROP", "GRANT", "INSERT", "MERGE", "REFRESH", "RESET", "RESUME", "REVOKE",
    "SET", "START", "STOP", "TRUNCATE", "UPDATE", "USE",
];

/// The first word of a statement, comments left out; empty if it begins with something else.
fn first_word(sql: &str) -> &str {
    let mut rest = sql;
    loop {
        rest = rest.trim_start();
        let comment = match rest.get(..2) {
            Some("--") => rest.find('\n').map(|end| end + 1),
            Some("/*") => rest.find("*/").map(|end| end + 2),
            _ => break,
        };
        rest = comment.map_or("", |end| &rest[end..]);
    }
    let end = rest.find(|c: char| !c.is_ascii_alphabetic()).unwrap_or(rest.len());
    &rest[..end]
}

/// Who runs a statement, and where unqualified names are looked up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Session {
    /// The identity that the server has checked; [`Session::ANONYMOUS`] where none is asked for.
    pub principal: String,
    /// The database that unqualified names belong to; none = the engine's default.
    pub database: Option<String>,
    /// The session's own: no other session of this process has or had it. Not a secret, grants nothing.
    pub id: String,
}

impl Session {
    /// The principal of a client that has not said who it is.
    pub const ANONYMOUS: &'static str = "anonymous";

    /// A session of the process itself, for statements that no client sent (the demo's, say).
    pub fn internal(id: impl Into<String>) -> Self {
        Self { principal: Self::ANONYMOUS.to_owned(), database: None, id: id.into() }
    }
}

/// A statement that failed.
#[derive(Debug, Clone, Error, PartialEq, Eq)]
#[error("{message}")]
pub struct StatementError {
    /// What the client can do about it.
    pub kind: ErrorKind,
    /// For people: primary message, place in the text and hint, already rendered (may have several lines).
    pub message: String,
}

impl StatementError {
    /// An error of this kind.
    pub fn new(kind: ErrorKind, message: impl fmt::Display) -> Self {
        Self { kind, message: message.to_string() }
    }

    /// The statement must be changed.
    pub fn invalid(message: impl fmt::Display) -> Self {
        Self::new(ErrorKind::Invalid, message)
    }

    /// A mistake of the engine's own.
    pub fn internal(message: impl fmt::Display) -> Self {
        Self::new(ErrorKind::Internal, message)
    }
}

/// Which tables to list. Patterns are SQL LIKE patterns (`%`, `_`, backslash escapes); none = all.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TableFilter {
    /// Exact name of the catalog.
    pub catalog: Option<String>,
    /// LIKE pattern on the database's name.
    pub schema_pattern: Option<String>,
    /// LIKE pattern on the table's name.
    pub table_pattern: Option<String>,
    /// Table types to list (`TABLE`, `VIEW`); empty = all.
    pub types: Vec<String>,
    /// Whether [`TableInfo::arrow_schema`] is wanted. It may cost planning (views), so leave it out otherwise.
    pub include_schema: bool,
}

impl TableFilter {
    /// True when a table of this database, name and type is wanted. The catalog is taken to be [`CATALOG`].
    pub fn matches(&self, schema: &str, table: &str, kind: &str) -> bool {
        self.catalog.as_deref().is_none_or(|c| c == CATALOG)
            && self.schema_pattern.as_deref().is_none_or(|p| like(p, schema))
            && self.table_pattern.as_deref().is_none_or(|p| like(p, table))
            && (self.types.is_empty() || self.types.iter().any(|t| t.eq_ignore_ascii_case(kind)))
    }
}

/// One table or view.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TableInfo {
    /// Its catalog: [`CATALOG`].
    pub catalog: String,
    /// Its database.
    pub schema: String,
    /// Its name.
    pub name: String,
    /// One of [`TABLE_TYPES`].
    pub kind: String,
    /// Its columns, if asked for. A table whose columns can't be told (a broken view) has none, and is still listed.
    pub arrow_schema: Option<SchemaRef>,
}

/// The table types that clients may filter by.
pub const TABLE_TYPES: &[&str] = &["TABLE", "VIEW"];

/// One database.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct SchemaInfo {
    /// Its catalog: [`CATALOG`].
    pub catalog: String,
    /// Its name.
    pub name: String,
}

/// SQL's LIKE with backslash as escape: `%` any text, `_` one character. Linear in `pattern` x `text`.
pub fn like(pattern: &str, text: &str) -> bool {
    let tokens = like_tokens(pattern);
    let text: Vec<char> = text.chars().collect();
    // The place to come back to: the last `%` and the text position that it is tried at next.
    let (mut t, mut p, mut retry) = (0, 0, None);
    while t < text.len() {
        match tokens.get(p) {
            Some(LikeToken::Any) => {
                retry = Some((p, t));
                p += 1;
            }
            Some(LikeToken::One) => (t, p) = (t + 1, p + 1),
            Some(LikeToken::Char(c)) if *c == text[t] => (t, p) = (t + 1, p + 1),
            _ => match retry {
                Some((any, at)) => {
                    retry = Some((any, at + 1));
                    (t, p) = (at + 1, any + 1);
                }
                None => return false,
            },
        }
    }
    tokens[p..].iter().all(|t| *t == LikeToken::Any)
}

#[derive(PartialEq, Eq)]
enum LikeToken {
    Any,
    One,
    Char(char),
}

fn like_tokens(pattern: &str) -> Vec<LikeToken> {
    let mut chars = pattern.chars();
    let mut tokens = Vec::with_capacity(pattern.len());
    while let Some(c) = chars.next() {
        tokens.push(match c {
            '%' => LikeToken::Any,
            '_' => LikeToken::One,
            '\\' => LikeToken::Char(chars.next().unwrap_or('\\')),
            other => LikeToken::Char(other),
        });
    }
    tokens
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn like_knows_wildcards_and_escapes() {
        assert!(like("%", "") && like("%", "anything"));
        assert!(like("raw%s", "raw_logs") && !like("raw%s", "raw_log"));
        assert!(like("a_c", "abc") && !like("a_c", "ac"));
        assert!(like(r"a\_c", "a_c") && !like(r"a\_c", "abc"));
        assert!(like("%a%b%", "xxaxxbxx") && !like("%a%b%", "xxbxxaxx"));
        assert!(like("é_", "éü") && !like("", "x") && like("", ""));
    }

    #[test]
    fn first_words_are_found_behind_comments() {
        assert_eq!(first_word("  -- note\n /* and */ create VIEW v"), "create");
        assert_eq!(first_word("(SELECT 1)"), "");
        assert_eq!(first_word("-- nothing"), "");
        assert_eq!(first_word("/* open"), "");
        assert_eq!(first_word("é"), "");
    }

    #[test]
    fn filter_matches_type_and_patterns() {
        let filter =
            TableFilter { schema_pattern: Some("def%".into()), types: vec!["VIEW".into()], ..TableFilter::default() };
        assert!(filter.matches("default", "v", "VIEW"));
        assert!(!filter.matches("default", "t", "TABLE"));
        assert!(!filter.matches("other", "v", "VIEW"));
        let elsewhere = TableFilter { catalog: Some("hive".into()), ..TableFilter::default() };
        assert!(!elsewhere.matches("default", "v", "VIEW"));
    }
}
