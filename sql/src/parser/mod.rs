//! Text to statements: our own statement forms around sqlparser's tokens and query parser.
//!
//! Each statement of a script is tokenised on its own and its tokens are moved to their place in the script, so
//! every position that anyone reports is one of the script. Words are compared as text, since sqlparser has no
//! keywords for WATERMARK or JOBS. Queries and expressions are sqlparser's own.

mod create;
mod query;
mod session;
mod table;

pub use table::EVENTHUBS_METADATA;

use sqlparser::parser::Parser;
use sqlparser::tokenizer::{Location, Span, Token, TokenWithSpan, Tokenizer};

use crate::dialect::SalamanderDialect;
use crate::error::{Position, SqlError};
use crate::name::{Name, TableName, nearest};
use crate::split::{Piece, split};
use crate::statement::{Spanned, Statement};

static DIALECT: SalamanderDialect = SalamanderDialect;

/// Parses a script: any number of statements separated by semicolons.
///
/// # Errors
/// The first error, with its line and column in the script, the source line, and often a hint.
pub fn parse(sql: &str) -> Result<Vec<Spanned>, SqlError> {
    split(sql)
        .into_iter()
        .map(|piece| parse_piece(sql, &piece))
        .collect::<Result<_, _>>()
        .map_err(|error: SqlError| error.with_source(sql))
}

/// Parses exactly one statement.
///
/// # Errors
/// As [`parse`]; also if there is none, or more than one.
pub fn parse_one(sql: &str) -> Result<Spanned, SqlError> {
    let mut statements = parse(sql)?;
    match (statements.pop(), statements.len()) {
        (Some(statement), 0) => Ok(statement),
        (Some(statement), _) => {
            Err(SqlError::new(statement.start, "expected one statement, found more").with_source(sql))
        }
        (None, _) => Err(SqlError::new(Position::new(1, 1), "expected a statement, found nothing").with_source(sql)),
    }
}

/// The tokens of one statement, at their places in the script.
pub(crate) fn tokenize(piece: &Piece<'_>) -> Result<Vec<TokenWithSpan>, SqlError> {
    let shift = |at: Location| -> Location {
        let column = if at.line <= 1 { at.column + piece.start.column - 1 } else { at.column };
        Location::new(at.line.max(1) + piece.start.line - 1, column)
    };
    let tokens = Tokenizer::new(&DIALECT, piece.text).tokenize_with_location().map_err(|error| {
        let at = shift(error.location);
        let message = if error.message.contains("multi-line comment") {
            "the comment that begins with /* is not closed".to_owned()
        } else {
            error.message.trim_end_matches('.').replace("EOF", "the end of the statement")
        };
        let hint = message
            .contains("Unterminated string")
            .then(|| "a quote inside a string is written twice: 'it''s'".to_owned());
        SqlError::new(Position::new(at.line, at.column), lower_first(&message)).with_optional_hint(hint)
    })?;
    Ok(tokens
        .into_iter()
        .map(|token| TokenWithSpan {
            token: token.token,
            span: Span::new(shift(token.span.start), shift(token.span.end)),
        })
        .collect())
}

fn parse_piece(script: &str, piece: &Piece<'_>) -> Result<Spanned, SqlError> {
    let tokens = query::without_table_words(tokenize(piece)?);
    query::check_length(&tokens)?;
    let end = tokens.last().map_or(piece.start, |token| position(token.span.end));
    let parser = Parser::new(&DIALECT).with_tokens_with_locations(tokens);
    let mut parser = StatementParser { parser, script, piece: *piece, end };
    let statement = parser.statement()?;
    parser.expect_end()?;
    Ok(Spanned { statement, text: piece.text.to_owned(), start: piece.start })
}

fn position(at: Location) -> Position {
    Position::new(at.line, at.column)
}

fn lower_first(message: &str) -> String {
    let mut chars = message.chars();
    chars.next().map_or_else(String::new, |first| first.to_lowercase().chain(chars).collect())
}

/// A parser over one statement's tokens.
struct StatementParser<'a> {
    parser: Parser<'a>,
    script: &'a str,
    piece: Piece<'a>,
    end: Position,
}

/// What a statement may begin with.
const VERBS: [&str; 14] = [
    "SELECT", "WITH", "VALUES", "INSERT", "CREATE", "DROP", "SHOW", "DESCRIBE", "START", "STOP", "USE", "SET",
    "EXPLAIN", "DESC",
];

/// What is supported, for errors about what isn't.
const SUPPORTED: &str = "supported are SELECT, INSERT INTO, EXPLAIN, CREATE DATABASE | TABLE | EXTERNAL TABLE | VIEW | MATERIALIZED VIEW | JOB, \
DROP DATABASE | TABLE | VIEW | MATERIALIZED VIEW | JOB, SHOW DATABASES | TABLES | PARTITIONS | CREATE TABLE | JOBS | STATE | WATERMARKS, DESCRIBE, START JOB, STOP JOB, USE, SET";

impl StatementParser<'_> {
    fn statement(&mut self) -> Result<Statement, SqlError> {
        let Token::Word(word) = self.peek() else {
            return match self.peek() {
                Token::LParen => self.query().map(|(query, _)| Statement::Query(query)),
                _ => Err(self.unexpected("a statement").with_hint(SUPPORTED)),
            };
        };
        let verb = if word.quote_style.is_none() { word.value.to_ascii_uppercase() } else { String::new() };
        match verb.as_str() {
            "SELECT" | "WITH" | "VALUES" | "FROM" => self.query().map(|(query, _)| Statement::Query(query)),
            "INSERT" => self.insert().map(Statement::Insert),
            "CREATE" => self.create(),
            "DROP" => self.drop(),
            "SHOW" => self.show(),
            "DESCRIBE" | "DESC" => self.describe(),
            "START" => self.start(),
            "STOP" => self.stop(),
            "USE" => self.use_database(),
            "SET" => self.set(),
            "EXPLAIN" => self.explain(),
            _ => Err(self.unsupported(&verb)),
        }
    }

    fn unsupported(&self, verb: &str) -> SqlError {
        let hint = match verb {
            "UPDATE" | "DELETE" | "MERGE" | "TRUNCATE" => "rows of a table are only appended here".to_owned(),
            "ALTER" => "create the table or view anew".to_owned(),
            "EXPORT" | "COPY" | "UNLOAD" | "LOAD" => {
                "write INSERT INTO an external table, whose files are plain Parquet".to_owned()
            }
            "MSCK" | "REFRESH" => "not needed: tables are read from their log and their folder's listing".to_owned(),
            _ => match nearest(verb, VERBS).filter(|_| !verb.is_empty()) {
                Some(near) => format!("did you mean {near}?"),
                None => SUPPORTED.to_owned(),
            },
        };
        let shown = if verb.is_empty() { self.shown() } else { verb.to_owned() };
        SqlError::new(self.at(), format!("{shown} is not a statement of this language")).with_hint(hint)
    }

    // ---- tokens

    fn peek(&self) -> &Token {
        &self.parser.peek_token_ref().token
    }

    /// The place of the next token; the end of the statement if there is none.
    fn at(&self) -> Position {
        let token = self.parser.peek_token_ref();
        if token.token == Token::EOF { self.end } else { position(token.span.start) }
    }

    fn is_word(&self, n: usize, expected: &str) -> bool {
        matches!(&self.parser.peek_nth_token_ref(n).token, Token::Word(w) if w.quote_style.is_none() && w.value.eq_ignore_ascii_case(expected))
    }

    /// Takes these words if they all come next.
    fn eat(&mut self, words: &[&str]) -> bool {
        let found = words.iter().enumerate().all(|(n, word)| self.is_word(n, word));
        if found {
            words.iter().for_each(|_| self.parser.advance_token());
        }
        found
    }

    fn expect(&mut self, words: &[&str]) -> Result<(), SqlError> {
        for word in words {
            if !self.eat(&[word]) {
                return Err(self.unexpected(word));
            }
        }
        Ok(())
    }

    fn eat_token(&mut self, token: &Token) -> bool {
        self.parser.consume_token(token)
    }

    fn expect_token(&mut self, token: &Token) -> Result<(), SqlError> {
        if self.eat_token(token) { Ok(()) } else { Err(self.unexpected(&format!("'{token}'"))) }
    }

    fn expect_end(&self) -> Result<(), SqlError> {
        if *self.peek() == Token::EOF { Ok(()) } else { Err(self.unexpected("the end of the statement")) }
    }

    /// The next token as it may be shown.
    fn shown(&self) -> String {
        match self.peek() {
            Token::EOF => "the end of the statement".to_owned(),
            Token::SingleQuotedString(text) => format!("the string '{text}'"),
            token => format!("'{token}'"),
        }
    }

    fn unexpected(&self, expected: &str) -> SqlError {
        SqlError::new(self.at(), format!("expected {expected}, found {}", self.shown()))
    }

    // ---- names and literals

    /// A name: a word, quoted or not.
    fn name(&mut self, what: &str) -> Result<Name, SqlError> {
        let Token::Word(word) = self.peek() else {
            return Err(match self.peek() {
                Token::SingleQuotedString(text) => {
                    let hint = format!("names are not in single quotes: write \"{text}\"");
                    self.unexpected(what).with_hint(hint)
                }
                _ => self.unexpected(what),
            });
        };
        let name = Name::new(word.value.clone()).map_err(|error| SqlError::new(self.at(), error.to_string()))?;
        self.parser.advance_token();
        Ok(name)
    }

    /// A table's name, with or without its database.
    fn table_name(&mut self, what: &str) -> Result<TableName, SqlError> {
        let first = self.name(what)?;
        if !self.eat_token(&Token::Period) {
            return Ok(TableName { db: None, name: first });
        }
        let second = self.name(what)?;
        if *self.peek() == Token::Period {
            return Err(SqlError::new(self.at(), "a name has at most two parts: database.table"));
        }
        Ok(TableName { db: Some(first), name: second })
    }

    /// A string.
    fn string(&mut self, what: &str) -> Result<String, SqlError> {
        match self.peek() {
            Token::SingleQuotedString(text) => {
                let text = text.clone();
                self.parser.advance_token();
                Ok(text)
            }
            Token::Word(word) if word.quote_style == Some('"') => {
                let hint = format!("strings are in single quotes: write '{}'", word.value);
                Err(self.unexpected(what).with_hint(hint))
            }
            _ => Err(self.unexpected(what)),
        }
    }

    fn if_not_exists(&mut self) -> Result<bool, SqlError> {
        let found = self.eat(&["IF"]);
        if found {
            self.expect(&["NOT", "EXISTS"])?;
        }
        Ok(found)
    }

    fn if_exists(&mut self) -> Result<bool, SqlError> {
        let found = self.eat(&["IF"]);
        if found {
            self.expect(&["EXISTS"])?;
        }
        Ok(found)
    }

    // ---- text of the script

    /// The script from a place to the end of the statement.
    fn text_from(&self, start: Position) -> &str {
        &self.script[self.offset(start)..self.piece.offset + self.piece.text.len()]
    }

    /// The script from a place to the end of the last token taken.
    fn text_taken_from(&self, start: Position) -> &str {
        let mut index = self.parser.index();
        let mut end = start;
        while index > 0 {
            index -= 1;
            let token = self.parser.token_at(index);
            if !matches!(token.token, Token::Whitespace(_) | Token::EOF) {
                end = position(token.span.end);
                break;
            }
        }
        let (from, to) = (self.offset(start), self.offset(end));
        self.script.get(from..to).unwrap_or_default()
    }

    /// The byte position of a place in this statement.
    fn offset(&self, place: Position) -> usize {
        let mut line_start = self.piece.offset;
        let mut column = if place.line == self.piece.start.line { self.piece.start.column } else { 1 };
        for _ in self.piece.start.line..place.line {
            let rest = &self.script[line_start..];
            line_start += rest.find('\n').map_or(rest.len(), |n| n + 1);
        }
        for (n, _) in self.script[line_start..].char_indices() {
            if column == place.column {
                return line_start + n;
            }
            column += 1;
        }
        self.script.len()
    }
}
