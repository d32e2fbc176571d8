//! The statements of the language: a closed set, so that whoever runs them handles each.

use sqlparser::ast::Query;

use crate::error::Position;
use crate::name::{Name, TableName};
use crate::table::TableDef;

/// A statement with its text and place in the script it came from.
#[derive(Debug, Clone, PartialEq)]
pub struct Spanned {
    /// The statement.
    pub statement: Statement,
    /// Its text as written, without the semicolon. It may hold a development key, never another.
    pub text: String,
    /// Place of its first character.
    pub start: Position,
}

/// A statement.
#[derive(Debug, Clone, PartialEq)]
pub enum Statement {
    /// `CREATE DATABASE [IF NOT EXISTS] name [COMMENT 'c'] [LOCATION 'l']`.
    CreateDatabase(CreateDatabase),
    /// `DROP DATABASE [IF EXISTS] name [RESTRICT | CASCADE]`.
    DropDatabase {
        /// The database.
        name: Name,
        /// Do nothing if there is none.
        if_exists: bool,
        /// Drop what is in it too.
        cascade: bool,
    },
    /// `CREATE TABLE … WITH (…)` (a connector's table) or `CREATE EXTERNAL TABLE … STORED AS PARQUET LOCATION …`
    /// (a Hive table): see [`crate::TableKind`].
    CreateTable(CreateTable),
    /// `CREATE [OR REPLACE] VIEW [IF NOT EXISTS] name [(columns)] AS query`.
    CreateView(CreateView),
    /// `CREATE MATERIALIZED VIEW [IF NOT EXISTS] name [(columns)] AS query`: never OR REPLACE.
    CreateMaterializedView(CreateView),
    /// `CREATE JOB [IF NOT EXISTS] name AS INSERT INTO table [(columns)] query`.
    CreateJob(CreateJob),
    /// `INSERT INTO table [(columns)] query`: a job over a stream, a bounded insert otherwise.
    Insert(Insert),
    /// `DROP TABLE [IF EXISTS] name`.
    DropTable {
        /// The table.
        name: TableName,
        /// Do nothing if there is none.
        if_exists: bool,
    },
    /// `DROP VIEW [IF EXISTS] name`.
    DropView {
        /// The view.
        name: TableName,
        /// Do nothing if there is none.
        if_exists: bool,
    },
    /// `DROP MATERIALIZED VIEW [IF EXISTS] name`: with its job and its rows.
    DropMaterializedView {
        /// The view.
        name: TableName,
        /// Do nothing if there is none.
        if_exists: bool,
    },
    /// `DROP JOB [IF EXISTS] name`.
    DropJob {
        /// The job.
        name: Name,
        /// Do nothing if there is none.
        if_exists: bool,
    },
    /// `START JOB name`: a stopped job goes on from its last checkpoint.
    StartJob {
        /// The job.
        name: Name,
    },
    /// `STOP JOB name`: a final checkpoint, a roll, and the end.
    StopJob {
        /// The job.
        name: Name,
    },
    /// `SHOW …`.
    Show(Show),
    /// `DESCRIBE [TABLE] [EXTENDED | FORMATTED] name`.
    Describe {
        /// The table or view.
        name: TableName,
        /// EXTENDED or FORMATTED: with location, options and statistics.
        extended: bool,
    },
    /// `USE [DATABASE] name`.
    Use {
        /// The session's new database.
        db: Name,
    },
    /// `SET name = value`: a setting of the session.
    Set {
        /// The setting, in lower case, with its dots.
        name: String,
        /// Its value as text.
        value: String,
    },
    /// `EXPLAIN [ANALYZE] [VERBOSE] statement`.
    Explain {
        /// Run it and show what happened.
        analyze: bool,
        /// Show more.
        verbose: bool,
        /// A query, an insert or a job.
        statement: Box<Statement>,
    },
    /// A query: `SELECT`, `WITH … SELECT`, `VALUES`.
    Query(Box<Query>),
}

/// `CREATE DATABASE`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CreateDatabase {
    /// The database.
    pub name: Name,
    /// Do nothing if it exists.
    pub if_not_exists: bool,
    /// What it is for.
    pub comment: Option<String>,
    /// Where its tables go by default.
    pub location: Option<String>,
}

/// `CREATE [EXTERNAL] TABLE`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CreateTable {
    /// The table.
    pub table: TableDef,
    /// Do nothing if it exists.
    pub if_not_exists: bool,
}

/// `CREATE VIEW`.
#[derive(Debug, Clone, PartialEq)]
pub struct CreateView {
    /// The view.
    pub name: TableName,
    /// Replace what is there.
    pub or_replace: bool,
    /// Do nothing if it exists.
    pub if_not_exists: bool,
    /// New names for the query's columns; empty to keep them.
    pub columns: Vec<Name>,
    /// What it is for.
    pub comment: Option<String>,
    /// Its query.
    pub query: Box<Query>,
    /// Its query as written.
    pub query_text: String,
}

/// `CREATE JOB`.
#[derive(Debug, Clone, PartialEq)]
pub struct CreateJob {
    /// The job.
    pub name: Name,
    /// Do nothing if it exists.
    pub if_not_exists: bool,
    /// What it does.
    pub insert: Insert,
}

/// `INSERT INTO`.
#[derive(Debug, Clone, PartialEq)]
pub struct Insert {
    /// Where the rows go.
    pub table: TableName,
    /// The columns that the query's columns go to, in order; empty for all.
    pub columns: Vec<Name>,
    /// The rows.
    pub query: Box<Query>,
    /// The whole `INSERT INTO …` as written: what a job's record keeps.
    pub text: String,
}

/// `SHOW …`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Show {
    /// `SHOW JOBS`.
    Jobs,
    /// `SHOW STATE [job]`: what the operators of jobs keep.
    State {
        /// Only this job, if given.
        job: Option<Name>,
    },
    /// `SHOW WATERMARKS [job]`, `EXPLAIN WATERMARK job`: how far event time has come in each split, and which of them hold it.
    Watermarks {
        /// Only this job, if given.
        job: Option<Name>,
    },
    /// `EXPLAIN [ANALYZE] JOB name`: a running job's plan, with what each node has done.
    Plan {
        /// The job.
        job: Name,
    },
    /// `EXPLAIN GRAPH JOB name`: the same as a graph in DOT.
    Graph {
        /// The job.
        job: Name,
    },
    /// `SHOW DATABASES [LIKE 'pattern']`.
    Databases {
        /// Only names like this, if given (see [`like`]).
        like: Option<String>,
    },
    /// `SHOW TABLES [IN db] [LIKE 'pattern']`.
    Tables {
        /// The session's database if not given.
        db: Option<Name>,
        /// Only names like this, if given (see [`like`]).
        like: Option<String>,
    },
    /// `SHOW PARTITIONS table`.
    Partitions {
        /// A Hive table.
        table: TableName,
    },
    /// `SHOW CREATE TABLE table`.
    CreateTable {
        /// A table or view.
        table: TableName,
    },
}

/// Whether a name fits a pattern of SHOW: `%` and `*` stand for any text, `_` for one character, `|` separates
/// alternatives; case doesn't matter. (Spark's `*` and `|` and SQL's `%` and `_` are both understood.)
pub fn like(pattern: &str, name: &str) -> bool {
    let name: Vec<char> = name.to_lowercase().chars().collect();
    pattern.to_lowercase().split('|').any(|alternative| matches(&alternative.trim().chars().collect::<Vec<_>>(), &name))
}

/// Wildcard match with one point of return, so that it takes at most pattern × name steps.
fn matches(pattern: &[char], name: &[char]) -> bool {
    let (mut p, mut n) = (0, 0);
    let mut star: Option<(usize, usize)> = None;
    while n < name.len() {
        match pattern.get(p) {
            Some('%' | '*') => {
                star = Some((p, n));
                p += 1;
            }
            Some(c) if *c == '_' || *c == name[n] => {
                p += 1;
                n += 1;
            }
            _ => match star {
                Some((at, from)) => {
                    star = Some((at, from + 1));
                    p = at + 1;
                    n = from + 1;
                }
                None => return false,
            },
        }
    }
    pattern[p..].iter().all(|c| matches!(c, '%' | '*'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns() {
        for (pattern, name, expected) in [
            ("log%", "logs", true),
            ("*LOGS*", "raw_logs_2", true),
            ("log_", "logs", true),
            ("log_", "log", false),
            ("a|l*", "logs", true),
            ("%a%b", "xaxb", true),
            ("%a%b", "xbxa", false),
            ("", "logs", false),
        ] {
            assert_eq!(like(pattern, name), expected, "{pattern} {name}");
        }
    }
}
