//! `CREATE …`, but for tables' definitions, which are in [`super::table`].

use sqlparser::tokenizer::Token;

use super::{SUPPORTED, StatementParser};
use crate::error::SqlError;
use crate::statement::{CreateDatabase, CreateJob, CreateTable, CreateView, Statement};

impl StatementParser<'_> {
    pub(super) fn create(&mut self) -> Result<Statement, SqlError> {
        self.expect(&["CREATE"])?;
        let or_replace_at = self.at();
        let or_replace = self.eat(&["OR", "REPLACE"]);
        let kind_at = self.at();
        if or_replace && !self.is_word(0, "VIEW") && !self.is_word(0, "MATERIALIZED") {
            return Err(SqlError::new(or_replace_at, "OR REPLACE is for views only")
                .with_hint("drop it first, or write IF NOT EXISTS"));
        }
        if self.eat(&["VIEW"]) {
            return self.create_view(or_replace).map(Statement::CreateView);
        }
        if self.eat(&["MATERIALIZED", "VIEW"]) {
            if or_replace {
                return Err(SqlError::new(
                    or_replace_at,
                    "a materialized view can't be replaced: what it has kept would be lost",
                )
                .with_hint("DROP MATERIALIZED VIEW it first"));
            }
            return self.create_view(false).map(Statement::CreateMaterializedView);
        }
        if self.eat(&["DATABASE"]) || self.eat(&["SCHEMA"]) {
            return self.create_database().map(Statement::CreateDatabase);
        }
        if self.eat(&["TABLE"]) {
            let if_not_exists = self.if_not_exists()?;
            let table = self.table_def(false)?;
            return Ok(Statement::CreateTable(CreateTable { table, if_not_exists }));
        }
        if self.eat(&["EXTERNAL"]) {
            self.expect(&["TABLE"])?;
            let if_not_exists = self.if_not_exists()?;
            let table = self.table_def(true)?;
            return Ok(Statement::CreateTable(CreateTable { table, if_not_exists }));
        }
        if self.eat(&["JOB"]) {
            return self.create_job().map(Statement::CreateJob);
        }
        if self.is_word(0, "TEMPORARY") || self.is_word(0, "TEMP") || self.is_word(0, "GLOBAL") {
            return Err(SqlError::new(kind_at, "temporary tables and views are not supported")
                .with_hint("write WITH name AS (…) in the query, or CREATE VIEW"));
        }
        Err(self.unexpected("DATABASE, TABLE, EXTERNAL TABLE, VIEW, MATERIALIZED VIEW or JOB").with_hint(SUPPORTED))
    }

    fn create_database(&mut self) -> Result<CreateDatabase, SqlError> {
        let if_not_exists = self.if_not_exists()?;
        let name = self.name("a database")?;
        let (mut comment, mut location) = (None, None);
        loop {
            if comment.is_none() && self.eat(&["COMMENT"]) {
                comment = Some(self.string("a comment in quotes")?);
            } else if location.is_none() && self.eat(&["LOCATION"]) {
                location = Some(self.string("a location in quotes")?);
            } else {
                return Ok(CreateDatabase { name, if_not_exists, comment, location });
            }
        }
    }

    fn create_view(&mut self, or_replace: bool) -> Result<CreateView, SqlError> {
        let if_at = self.at();
        let if_not_exists = self.if_not_exists()?;
        if if_not_exists && or_replace {
            return Err(SqlError::new(if_at, "OR REPLACE and IF NOT EXISTS contradict each other"));
        }
        let name_at = self.at();
        let name = self.table_name("a view")?;
        super::table::check_new_name(&name, name_at)?;
        let columns = if *self.peek() == Token::LParen { self.column_list()? } else { Vec::new() };
        let comment = if self.eat(&["COMMENT"]) { Some(self.string("a comment in quotes")?) } else { None };
        self.expect(&["AS"])?;
        let (query, query_text) = self.query()?;
        Ok(CreateView { name, or_replace, if_not_exists, columns, comment, query, query_text })
    }

    fn create_job(&mut self) -> Result<CreateJob, SqlError> {
        let if_not_exists = self.if_not_exists()?;
        let name = self.name("a job")?;
        self.expect(&["AS"])?;
        if !self.is_word(0, "INSERT") {
            return Err(self
                .unexpected("INSERT INTO")
                .with_hint("a job writes somewhere: CREATE JOB name AS INSERT INTO table SELECT …"));
        }
        let insert = self.insert()?;
        Ok(CreateJob { name, if_not_exists, insert })
    }
}
