//! Queries and inserts, and sqlparser's errors in our form.

use std::ops::ControlFlow;

use sqlparser::ast::{Query, SetExpr, Visit, Visitor};
use sqlparser::parser::ParserError;
use sqlparser::tokenizer::{Token, TokenWithSpan};

use super::{StatementParser, lower_first, position};
use crate::error::{Position, SqlError};
use crate::statement::Insert;

/// How many tokens may follow each other without a comma, parenthesis or WHEN. Longer runs could only be long
/// chains of operators, whose trees are as deep as they are long.
const LONGEST_CHAIN: usize = 1_000;

/// How deep parentheses may nest in all.
const DEEPEST: usize = 200;

/// How many forms that sqlparser tries in two ways may be open at a time. When what is inside doesn't parse, the time
/// doubles with each level of them; at this depth that is still a fraction of a second.
const MOST_RETRIED: usize = 14;

/// What stands open at a place: one for each parenthesis or bracket.
#[derive(Default)]
struct Open {
    /// Tokens since the last comma or WHEN.
    chain: usize,
    /// Retried forms: the one that the parenthesis belongs to, and INTERVALs since the last comma, AND or OR.
    retried: usize,
    opened: usize,
}

/// Leaves out the word TABLE before the first argument of Flink's window table functions, which sqlparser doesn't know:
/// `TUMBLE(TABLE t, …)` becomes `TUMBLE(t, …)`. The statement's text stays as it was written.
pub(super) fn without_table_words(tokens: Vec<TokenWithSpan>) -> Vec<TokenWithSpan> {
    let is_word = |token: &Token, wanted: &[&str]| match token {
        Token::Word(word) if word.quote_style.is_none() => wanted.iter().any(|w| word.value.eq_ignore_ascii_case(w)),
        _ => false,
    };
    let mut kept: Vec<TokenWithSpan> = Vec::with_capacity(tokens.len());
    // How many of `NAME (` have just gone by.
    let mut seen = 0;
    for token in tokens {
        if !matches!(token.token, Token::Whitespace(_)) {
            seen = match (seen, &token.token) {
                (1, Token::LParen) => 2,
                (2, word) if is_word(word, &["TABLE"]) => 3,
                (_, word) if is_word(word, &["TUMBLE", "HOP", "CUMULATE", "SESSION"]) => 1,
                _ => 0,
            };
        }
        if seen == 3 {
            seen = 0;
        } else {
            kept.push(token);
        }
    }
    kept
}

/// Refuses statements whose syntax tree would be too deep for the stack of those who walk it, or that would take
/// too long to find wrong.
pub(super) fn check_length(tokens: &[TokenWithSpan]) -> Result<(), SqlError> {
    let mut open = vec![Open::default()];
    let mut before = "";
    for token in tokens.iter().filter(|token| !matches!(token.token, Token::Whitespace(_))) {
        let refuse = |message: &str| SqlError::new(position(token.span.start), message);
        let word = match &token.token {
            Token::Word(word) if word.quote_style.is_none() => word.value.as_str(),
            _ => "",
        };
        match &token.token {
            Token::LParen | Token::LBracket => {
                let opened = retried_form(before) + usize::from(before.is_empty() && token.token == Token::LBracket);
                open.push(Open { opened, retried: opened, chain: 0 });
            }
            Token::RParen | Token::RBracket if open.len() > 1 => {
                open.pop();
            }
            _ => {
                if let Some(here) = open.last_mut() {
                    let ends = |words: &[&str]| {
                        token.token == Token::Comma || words.iter().any(|w| w.eq_ignore_ascii_case(word))
                    };
                    here.chain = if ends(&["WHEN"]) { 0 } else { here.chain + 1 };
                    if ends(&["WHEN", "AND", "OR"]) {
                        here.retried = here.opened;
                    }
                    here.retried += usize::from(word.eq_ignore_ascii_case("INTERVAL"));
                    if here.chain > LONGEST_CHAIN {
                        return Err(refuse("the expression is too long").with_hint(
                            "write IN (…) instead of a chain of OR, or several statements instead of a chain of UNION",
                        ));
                    }
                }
            }
        }
        if open.len() > DEEPEST {
            return Err(refuse("parentheses nest too deep"));
        }
        if open.iter().map(|here| here.retried).sum::<usize>() > MOST_RETRIED {
            return Err(refuse("the expression nests too deep").with_hint("name inner parts in a subquery or in WITH"));
        }
        before = word;
    }
    Ok(())
}

/// How often sqlparser doubles its work for this word before a parenthesis, when what follows is wrong.
fn retried_form(word: &str) -> usize {
    const TWICE: [&str; 13] = [
        "CAST",
        "TRY_CAST",
        "SAFE_CAST",
        "CONVERT",
        "TRY_CONVERT",
        "EXTRACT",
        "CEIL",
        "FLOOR",
        "SUBSTRING",
        "SUBSTR",
        "OVERLAY",
        "TRIM",
        "ARRAY",
    ];
    if word.eq_ignore_ascii_case("POSITION") {
        return 3;
    }
    usize::from(TWICE.iter().any(|form| form.eq_ignore_ascii_case(word)))
}

impl StatementParser<'_> {
    /// A query up to the end of the statement, with its text.
    pub(super) fn query(&mut self) -> Result<(Box<Query>, String), SqlError> {
        let start = self.at();
        let opens = *self.peek() == Token::LParen;
        if !opens && !["SELECT", "WITH", "VALUES", "FROM"].iter().any(|word| self.is_word(0, word)) {
            return Err(self.unexpected("a query"));
        }
        let query = self.parser.parse_query().map_err(|error| self.convert(error))?;
        self.expect_end()?;
        if query.visit(&mut OnlyReads).is_break() {
            return Err(SqlError::new(start, "a query can't hold INSERT, UPDATE, DELETE, MERGE or TABLE")
                .with_hint("write INSERT INTO t WITH … SELECT …, and SELECT * FROM t"));
        }
        Ok((query, self.text_from(start).to_owned()))
    }

    /// `INSERT INTO [TABLE] name [(columns)] query`.
    pub(super) fn insert(&mut self) -> Result<Insert, SqlError> {
        let start = self.at();
        self.expect(&["INSERT"])?;
        if self.is_word(0, "OVERWRITE") {
            return Err(SqlError::new(self.at(), "INSERT OVERWRITE is not supported")
                .with_hint("rows of a table are only appended: write INSERT INTO"));
        }
        self.expect(&["INTO"])?;
        if !matches!(self.parser.peek_nth_token_ref(1).token, Token::Period | Token::LParen)
            && !self.is_word(1, "SELECT")
        {
            self.eat(&["TABLE"]);
        }
        let table = self.table_name("a table")?;
        if self.is_word(0, "PARTITION") {
            return Err(SqlError::new(self.at(), "INSERT … PARTITION (…) is not supported").with_hint(
                "partitions are dynamic: select the partition columns last, or name all columns after the table",
            ));
        }
        let columns = if self.starts_column_list() { self.column_list()? } else { Vec::new() };
        let (query, _) = self.query()?;
        Ok(Insert { table, columns, query, text: self.text_from(start).to_owned() })
    }

    /// A parenthesis that holds names, not a query.
    fn starts_column_list(&self) -> bool {
        *self.peek() == Token::LParen
            && matches!(self.parser.peek_nth_token_ref(1).token, Token::Word(_))
            && matches!(self.parser.peek_nth_token_ref(2).token, Token::Comma | Token::RParen)
    }

    /// Names in parentheses.
    pub(super) fn column_list(&mut self) -> Result<Vec<crate::Name>, SqlError> {
        self.expect_token(&Token::LParen)?;
        let mut columns = Vec::new();
        loop {
            let at = self.at();
            let name = self.name("a column")?;
            if columns.contains(&name) {
                return Err(SqlError::new(at, format!("column '{name}' appears twice")));
            }
            columns.push(name);
            if !self.eat_token(&Token::Comma) {
                break;
            }
        }
        self.expect_token(&Token::RParen)?;
        Ok(columns)
    }

    /// sqlparser's error with its place taken out of the text.
    pub(super) fn convert(&self, error: ParserError) -> SqlError {
        let text = match error {
            ParserError::ParserError(text) | ParserError::TokenizerError(text) => text,
            ParserError::RecursionLimitExceeded => return SqlError::new(self.at(), "the query nests too deep"),
        };
        let (message, at) = split_location(&text);
        let message = message
            .replace("Expected: ", "expected ")
            .replace(", found: ", ", found ")
            .replace("found EOF", "found the end of the statement");
        SqlError::new(at.unwrap_or_else(|| self.at_or_end(&text)), lower_first(message.trim()))
    }

    fn at_or_end(&self, text: &str) -> Position {
        if text.ends_with("EOF") { self.end } else { self.at() }
    }
}

/// Splits sqlparser's ` at Line: 1, Column: 2` off an error's text.
fn split_location(text: &str) -> (&str, Option<Position>) {
    let Some((message, place)) = text.rsplit_once(" at Line: ") else { return (text, None) };
    let Some((line, column)) = place.split_once(", Column: ") else { return (text, None) };
    match (line.trim().parse(), column.trim().parse()) {
        (Ok(line), Ok(column)) => (message, Some(Position::new(line, column))),
        _ => (text, None),
    }
}

/// Stops at a query that is no query.
struct OnlyReads;

impl Visitor for OnlyReads {
    type Break = ();

    fn pre_visit_query(&mut self, query: &Query) -> ControlFlow<()> {
        if only_reads(&query.body) { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
    }
}

/// Whether a query's body reads only. (Queries inside it are visited on their own.)
fn only_reads(body: &SetExpr) -> bool {
    match body {
        SetExpr::Insert(_) | SetExpr::Update(_) | SetExpr::Delete(_) | SetExpr::Merge(_) | SetExpr::Table(_) => false,
        SetExpr::SetOperation { left, right, .. } => only_reads(left) && only_reads(right),
        SetExpr::Select(_) | SetExpr::Query(_) | SetExpr::Values(_) => true,
    }
}
