//! Cuts a script into statements at the semicolons that are not in quotes or comments.
//!
//! It works on any text, whole or not: the interactive client uses it to see whether a statement is complete.
//! Line and column of each piece are those of the script, so that errors point at the right place.
//! It must agree with the tokenizer about where strings and comments end: quotes are doubled to be part of a
//! string, a backslash is nothing special, `/* */` nests, `--` runs to the end of its line.

use crate::error::Position;

/// One statement's text in a script, without its semicolon and without comments and blanks around it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Piece<'a> {
    /// The statement as written.
    pub text: &'a str,
    /// Byte position of the text in the script.
    pub offset: usize,
    /// Place of the first character.
    pub start: Position,
    /// Whether a semicolon ended it. Trailing text without one is still a statement.
    pub terminated: bool,
}

/// What the scanner found at a place.
enum Lexeme {
    Blank,
    Semicolon,
    Text,
}

/// The statements of a script, in order; pieces with nothing but blanks and comments are left out.
pub fn split(script: &str) -> Vec<Piece<'_>> {
    let mut pieces = Vec::new();
    let mut places = Places::new(script);
    let mut current: Option<(usize, usize)> = None;
    let mut at = 0;
    while at < script.len() {
        let (lexeme, end) = lexeme(script, at);
        match lexeme {
            Lexeme::Blank => {}
            Lexeme::Text => current = Some((current.map_or(at, |(start, _)| start), end)),
            Lexeme::Semicolon => {
                if let Some((start, stop)) = current.take() {
                    pieces.push(Piece {
                        text: &script[start..stop],
                        offset: start,
                        start: places.at(start),
                        terminated: true,
                    });
                }
            }
        }
        at = end;
    }
    if let Some((start, stop)) = current {
        pieces.push(Piece { text: &script[start..stop], offset: start, start: places.at(start), terminated: false });
    }
    pieces
}

/// Whether a text typed so far is ready to run: it holds a statement and its last one is ended by a semicolon.
pub fn is_complete(script: &str) -> bool {
    split(script).last().is_some_and(|piece| piece.terminated)
}

/// The lexeme at a byte position, and where it ends (always further on).
fn lexeme(script: &str, at: usize) -> (Lexeme, usize) {
    let rest = &script[at..];
    let Some(first) = rest.chars().next() else {
        return (Lexeme::Blank, script.len());
    };
    match first {
        ';' => (Lexeme::Semicolon, at + 1),
        '\'' | '"' | '`' => (Lexeme::Text, quoted_end(script, at, first)),
        '-' if rest.starts_with("--") => (Lexeme::Blank, rest.find('\n').map_or(script.len(), |n| at + n + 1)),
        '/' if rest.starts_with("/*") => match comment_end(script, at) {
            Some(end) => (Lexeme::Blank, end),
            // An unfinished comment is kept, so that the tokenizer can complain about it.
            None => (Lexeme::Text, script.len()),
        },
        c if c.is_whitespace() => (Lexeme::Blank, at + c.len_utf8()),
        c => (Lexeme::Text, at + c.len_utf8()),
    }
}

/// The end of a quoted text; a doubled quote reads as two quoted texts side by side, which ends at the same place.
fn quoted_end(script: &str, at: usize, quote: char) -> usize {
    script[at + 1..].find(quote).map_or(script.len(), |n| at + 1 + n + 1)
}

/// The end of a block comment that begins at `at`, nested ones included.
fn comment_end(script: &str, at: usize) -> Option<usize> {
    let bytes = script.as_bytes();
    let mut depth = 0_usize;
    let mut i = at;
    while i + 1 < bytes.len() {
        match (bytes[i], bytes[i + 1]) {
            (b'/', b'*') => {
                depth += 1;
                i += 2;
            }
            (b'*', b'/') => {
                depth -= 1;
                i += 2;
                if depth == 0 {
                    return Some(i);
                }
            }
            _ => i += 1,
        }
    }
    None
}

/// Turns rising byte positions into lines and columns in one pass.
struct Places<'a> {
    script: &'a str,
    offset: usize,
    line_start: usize,
    line: u64,
}

impl<'a> Places<'a> {
    fn new(script: &'a str) -> Self {
        Self { script, offset: 0, line_start: 0, line: 1 }
    }

    fn at(&mut self, offset: usize) -> Position {
        for (n, _) in self.script[self.offset..offset].match_indices('\n') {
            self.line += 1;
            self.line_start = self.offset + n + 1;
        }
        self.offset = offset;
        let column = self.script[self.line_start..offset].chars().count();
        Position::new(self.line, column as u64 + 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn texts(script: &str) -> Vec<(&str, u64, u64, bool)> {
        split(script).iter().map(|p| (p.text, p.start.line, p.start.column, p.terminated)).collect()
    }

    #[test]
    fn semicolons_in_quotes_and_comments_do_not_split() {
        let script = "-- first; comment\nSELECT ';', \"a;b\", `c;d`, 'it''s;' /* x; /* y; */ */ ;\n\n  SHOW JOBS";
        assert_eq!(
            texts(script),
            vec![("SELECT ';', \"a;b\", `c;d`, 'it''s;'", 2, 1, true), ("SHOW JOBS", 4, 3, false)]
        );
    }

    #[test]
    fn a_backslash_does_not_escape_a_quote() {
        assert_eq!(texts(r"SELECT '\'; SELECT 2"), vec![(r"SELECT '\'", 1, 1, true), ("SELECT 2", 1, 13, false)]);
    }

    #[test]
    fn nothing_but_comments_is_no_statement() {
        assert_eq!(texts(" ;; -- x\n/* y */ ;"), vec![]);
        assert_eq!(texts("/* open"), vec![("/* open", 1, 1, false)]);
    }

    #[test]
    fn completeness() {
        assert!(is_complete("SELECT 1;"));
        assert!(is_complete("SELECT 1; -- done"));
        assert!(!is_complete("SELECT 1; SELECT 2"));
        assert!(!is_complete("SELECT ';"));
        assert!(!is_complete(""));
    }

    proptest! {
        #[test]
        fn pieces_are_in_order_and_where_they_say(script in "[ a-c;'\"`/*\\-\n\\\\é]{0,60}") {
            let mut end = 0;
            for piece in split(&script) {
                prop_assert!(piece.offset >= end);
                end = piece.offset + piece.text.len();
                prop_assert_eq!(&script[piece.offset..end], piece.text);
                let before = &script[..piece.offset];
                prop_assert_eq!(piece.start.line as usize, before.matches('\n').count() + 1);
                let column = before.rsplit('\n').next().map_or(0, |l| l.chars().count()) + 1;
                prop_assert_eq!(piece.start.column as usize, column);
            }
        }

        #[test]
        fn any_text_splits(script in any::<String>()) {
            for piece in split(&script) {
                prop_assert!(!piece.text.trim().is_empty());
            }
        }
    }
}
