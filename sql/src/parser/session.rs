//! `DROP`, `SHOW`, `DESCRIBE`, `START`, `STOP`, `USE`, `SET` and `EXPLAIN`.

use sqlparser::tokenizer::Token;

use super::{SUPPORTED, StatementParser};
use crate::error::SqlError;
use crate::name::Name;
use crate::statement::{Show, Statement};

impl StatementParser<'_> {
    pub(super) fn drop(&mut self) -> Result<Statement, SqlError> {
        self.expect(&["DROP"])?;
        if self.eat(&["DATABASE"]) || self.eat(&["SCHEMA"]) {
            let if_exists = self.if_exists()?;
            let name = self.name("a database")?;
            let cascade = self.eat(&["CASCADE"]);
            if !cascade {
                self.eat(&["RESTRICT"]);
            }
            return Ok(Statement::DropDatabase { name, if_exists, cascade });
        }
        if self.eat(&["TABLE"]) {
            let if_exists = self.if_exists()?;
            return Ok(Statement::DropTable { name: self.table_name("a table")?, if_exists });
        }
        if self.eat(&["VIEW"]) {
            let if_exists = self.if_exists()?;
            return Ok(Statement::DropView { name: self.table_name("a view")?, if_exists });
        }
        if self.eat(&["MATERIALIZED", "VIEW"]) {
            let if_exists = self.if_exists()?;
            return Ok(Statement::DropMaterializedView { name: self.table_name("a materialized view")?, if_exists });
        }
        if self.eat(&["JOB"]) {
            let if_exists = self.if_exists()?;
            return Ok(Statement::DropJob { name: self.name("a job")?, if_exists });
        }
        Err(self.unexpected("DATABASE, TABLE, VIEW, MATERIALIZED VIEW or JOB").with_hint(SUPPORTED))
    }

    pub(super) fn show(&mut self) -> Result<Statement, SqlError> {
        self.expect(&["SHOW"])?;
        let show = if self.eat(&["JOBS"]) {
            Show::Jobs
        } else if self.eat(&["STATE"]) {
            Show::State { job: self.job_if_any()? }
        } else if self.eat(&["WATERMARKS"]) {
            Show::Watermarks { job: self.job_if_any()? }
        } else if self.eat(&["DATABASES"]) || self.eat(&["SCHEMAS"]) {
            Show::Databases { like: self.like()? }
        } else if self.eat(&["TABLES"]) {
            let db = if self.eat(&["IN"]) || self.eat(&["FROM"]) { Some(self.name("a database")?) } else { None };
            Show::Tables { db, like: self.like()? }
        } else if self.eat(&["PARTITIONS"]) {
            Show::Partitions { table: self.table_name("a table")? }
        } else if self.eat(&["CREATE", "TABLE"]) || self.eat(&["CREATE", "VIEW"]) {
            Show::CreateTable { table: self.table_name("a table")? }
        } else {
            return Err(self.unexpected("JOBS, STATE, WATERMARKS, TABLES, DATABASES, PARTITIONS or CREATE TABLE"));
        };
        Ok(Statement::Show(show))
    }

    fn job_if_any(&mut self) -> Result<Option<Name>, SqlError> {
        if matches!(self.peek(), Token::EOF | Token::SemiColon) { Ok(None) } else { self.name("a job").map(Some) }
    }

    /// `[LIKE] 'pattern'`.
    fn like(&mut self) -> Result<Option<String>, SqlError> {
        if self.eat(&["LIKE"]) || matches!(self.peek(), Token::SingleQuotedString(_)) {
            return self.string("a pattern in quotes").map(Some);
        }
        Ok(None)
    }

    pub(super) fn describe(&mut self) -> Result<Statement, SqlError> {
        self.parser.advance_token();
        if matches!(self.parser.peek_nth_token_ref(1).token, Token::Word(_)) {
            self.eat(&["TABLE"]);
        }
        let more = matches!(self.parser.peek_nth_token_ref(1).token, Token::Word(_));
        let extended = more && (self.eat(&["EXTENDED"]) || self.eat(&["FORMATTED"]));
        Ok(Statement::Describe { name: self.table_name("a table or view")?, extended })
    }

    pub(super) fn stop(&mut self) -> Result<Statement, SqlError> {
        self.expect(&["STOP", "JOB"])?;
        Ok(Statement::StopJob { name: self.name("a job")? })
    }

    pub(super) fn start(&mut self) -> Result<Statement, SqlError> {
        self.expect(&["START", "JOB"])?;
        Ok(Statement::StartJob { name: self.name("a job")? })
    }

    pub(super) fn use_database(&mut self) -> Result<Statement, SqlError> {
        self.expect(&["USE"])?;
        if matches!(self.parser.peek_nth_token_ref(1).token, Token::Word(_)) && !self.eat(&["DATABASE"]) {
            self.eat(&["SCHEMA"]);
        }
        Ok(Statement::Use { db: self.name("a database")? })
    }

    /// `SET name = value`, `SET name TO value`, `SET TIME ZONE value`.
    pub(super) fn set(&mut self) -> Result<Statement, SqlError> {
        self.expect(&["SET"])?;
        if self.eat(&["TIME", "ZONE"]) {
            return Ok(Statement::Set { name: "time_zone".to_owned(), value: self.setting()? });
        }
        let mut name = self.name("a setting")?.key().to_owned();
        while self.eat_token(&Token::Period) {
            name.push('.');
            name.push_str(self.name("a setting")?.key());
        }
        if !self.eat_token(&Token::Eq) {
            if !self.is_word(0, "TO") {
                return Err(self.unexpected("'='").with_hint("write SET name = value"));
            }
            self.expect(&["TO"])?;
        }
        Ok(Statement::Set { name, value: self.setting()? })
    }

    /// A setting's value: a string, a number with or without a sign, or a word.
    fn setting(&mut self) -> Result<String, SqlError> {
        let sign = if self.eat_token(&Token::Minus) { "-" } else { "" };
        let value = match self.peek() {
            Token::SingleQuotedString(text) if sign.is_empty() => text.clone(),
            Token::Word(word) if sign.is_empty() => word.value.clone(),
            Token::Number(number, _) => format!("{sign}{number}"),
            _ => return Err(self.unexpected("a value")),
        };
        self.parser.advance_token();
        Ok(value)
    }

    pub(super) fn explain(&mut self) -> Result<Statement, SqlError> {
        self.expect(&["EXPLAIN"])?;
        if self.eat(&["WATERMARK"]) {
            return Ok(Statement::Show(Show::Watermarks { job: Some(self.name("a job")?) }));
        }
        if self.eat(&["GRAPH"]) {
            self.expect(&["JOB"])?;
            return Ok(Statement::Show(Show::Graph { job: self.name("a job")? }));
        }
        let analyze = self.eat(&["ANALYZE"]);
        if self.eat(&["JOB"]) {
            return Ok(Statement::Show(Show::Plan { job: self.name("a job")? }));
        }
        let verbose = self.eat(&["VERBOSE"]) || self.eat(&["EXTENDED"]);
        let at = self.at();
        let statement = self.statement()?;
        match statement {
            Statement::Query(_) | Statement::Insert(_) | Statement::CreateJob(_) => {
                Ok(Statement::Explain { analyze, verbose, statement: Box::new(statement) })
            }
            _ => Err(SqlError::new(at, "EXPLAIN takes a query, an INSERT INTO, a CREATE JOB or JOB name")),
        }
    }
}
