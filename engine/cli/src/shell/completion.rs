//! What the line editor asks: completions, and whether a statement is complete.

use rustyline::completion::{Completer, Pair};
use rustyline::highlight::Highlighter;
use rustyline::hint::Hinter;
use rustyline::validate::{ValidationContext, ValidationResult, Validator};
use rustyline::{Context, Helper};

const KEYWORDS: &[&str] = &[
    "ALL",
    "AND",
    "AS",
    "ASC",
    "BETWEEN",
    "BY",
    "CASE",
    "CAST",
    "COUNT",
    "CREATE",
    "DATABASE",
    "DATABASES",
    "DESC",
    "DESCRIBE",
    "DISTINCT",
    "DROP",
    "ELSE",
    "END",
    "EXISTS",
    "EXPLAIN",
    "EXTERNAL",
    "FROM",
    "GROUP",
    "HAVING",
    "IF",
    "IN",
    "INNER",
    "INSERT",
    "INTERVAL",
    "INTO",
    "IS",
    "JOB",
    "JOBS",
    "JOIN",
    "LEFT",
    "LIKE",
    "LIMIT",
    "LOCATION",
    "NOT",
    "NULL",
    "ON",
    "OR",
    "ORDER",
    "PARQUET",
    "PARTITIONED",
    "PARTITIONS",
    "SELECT",
    "SHOW",
    "START",
    "STOP",
    "STORED",
    "TABLE",
    "TABLES",
    "TBLPROPERTIES",
    "THEN",
    "UNION",
    "USE",
    "VALUES",
    "VIEW",
    "WATERMARK",
    "WHEN",
    "WHERE",
    "WITH",
];

/// The names that there are on the server.
#[derive(Debug, Default)]
pub(super) struct Names(Vec<String>);

impl Names {
    /// Databases, and tables under their short and long names.
    pub(super) fn new(databases: Vec<String>, tables: Vec<(String, String)>) -> Self {
        let mut names = databases;
        for (database, table) in tables {
            names.push(format!("{database}.{table}"));
            names.push(table);
        }
        names.sort_unstable();
        names.dedup();
        Self(names)
    }
}

/// The helper of the line editor.
#[derive(Debug, Default)]
pub(super) struct Assistant {
    pub(super) names: Names,
}

impl Assistant {
    /// Keywords and names that begin like the word before the cursor; keywords in the case that was begun with.
    fn candidates(&self, word: &str) -> Vec<String> {
        if word.is_empty() {
            return Vec::new();
        }
        let upper = word.to_uppercase();
        let lower = word.to_lowercase();
        let keywords = KEYWORDS
            .iter()
            .filter(|k| k.starts_with(&upper))
            .map(|keyword| if word == lower { keyword.to_lowercase() } else { (*keyword).to_owned() });
        let names = self.names.0.iter().filter(|n| n.to_lowercase().starts_with(&lower)).cloned();
        keywords.chain(names).collect()
    }
}

/// Where the word before the cursor begins.
fn word_start(line: &str, position: usize) -> usize {
    let part = |c: char| c.is_alphanumeric() || matches!(c, '_' | '.' | '$');
    line[..position].char_indices().rev().take_while(|(_, c)| part(*c)).last().map_or(position, |(at, _)| at)
}

impl Completer for Assistant {
    type Candidate = Pair;

    fn complete(&self, line: &str, position: usize, _: &Context<'_>) -> rustyline::Result<(usize, Vec<Pair>)> {
        let start = word_start(line, position);
        let pairs = self
            .candidates(&line[start..position])
            .into_iter()
            .map(|text| Pair { display: text.clone(), replacement: text });
        Ok((start, pairs.collect()))
    }
}

impl Validator for Assistant {
    fn validate(&self, context: &mut ValidationContext<'_>) -> rustyline::Result<ValidationResult> {
        Ok(if wants_more(context.input()) { ValidationResult::Incomplete } else { ValidationResult::Valid(None) })
    }
}

/// A statement goes on until its semicolon; the client's own commands are one line.
fn wants_more(input: &str) -> bool {
    let trimmed = input.trim();
    let own =
        trimmed.starts_with('\\') || matches!(trimmed.to_ascii_lowercase().as_str(), "" | "exit" | "quit" | "help");
    !own && !salamander_sql::is_complete(input)
}

impl Hinter for Assistant {
    type Hint = String;
}

impl Highlighter for Assistant {}

impl Helper for Assistant {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_complete_to_keywords_and_names() {
        let assistant =
            Assistant { names: Names::new(vec!["default".into()], vec![("default".into(), "raw_logs".into())]) };
        assert_eq!(assistant.candidates("sel"), ["select"]);
        assert_eq!(assistant.candidates("SEL"), ["SELECT"]);
        assert_eq!(assistant.candidates("raw"), ["raw_logs"]);
        assert_eq!(assistant.candidates("default.r"), ["default.raw_logs"]);
        assert!(assistant.candidates("").is_empty());
        assert_eq!(word_start("SELECT * FROM default.ra", 24), 14);
        assert_eq!(word_start("sel", 3), 0);
        assert_eq!(word_start("a, ", 3), 3);
    }

    #[test]
    fn statements_go_on_until_their_semicolon() {
        assert!(wants_more("SELECT 1"));
        assert!(wants_more("SELECT ';'"));
        assert!(!wants_more("SELECT 1;"));
        assert!(!wants_more("\\d") && !wants_more("quit") && !wants_more(""));
    }
}
