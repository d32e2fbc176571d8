//! Notes about statements that parse, but may not mean what their writer thinks.

use sqlparser::tokenizer::Token;

use crate::error::Position;
use crate::parser::tokenize;
use crate::split::split;

/// A note about a place in a script.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Warning {
    /// Where.
    pub position: Position,
    /// What, and what to do.
    pub message: String,
}

impl std::fmt::Display for Warning {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: {}", self.position, self.message)
    }
}

/// Notes about a script: strings that hold two backslashes side by side, as patterns pasted from Spark do.
///
/// Spark unescapes strings, so a pattern for a blank is written `'\\s'` there; here a backslash is a backslash and it is
/// written `'\s'`. A text that can't be tokenised gives no notes; [`crate::parse`] says what is wrong with it.
pub fn warnings(sql: &str) -> Vec<Warning> {
    let strings = split(sql).into_iter().filter_map(|piece| tokenize(&piece).ok()).flatten();
    strings
        .filter(|token| matches!(&token.token, Token::SingleQuotedString(text) if text.contains(r"\\")))
        .map(|token| Warning {
            position: Position::new(token.span.start.line, token.span.start.column),
            message: r"this string holds '\\', which stands for two backslashes: a pattern pasted from Spark or Python is written with single ones here, '\s' and not '\\s'"
                .to_owned(),
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn doubled_backslashes_are_noted_where_they_stand() {
        let found = warnings("SELECT split(body, ' \\| ');\nSELECT 1,\n  regexp_extract(a, '\\\\s') -- '\\\\'\n");
        assert_eq!(found.iter().map(|w| w.position).collect::<Vec<_>>(), vec![Position::new(3, 21)]);
        assert!(warnings(r"SELECT '\\").is_empty());
    }
}
