//! The one error of this crate: what is wrong, where, and what to do about it.
//!
//! A [`SqlError`] points into the text the user wrote. [`SqlError::render`] shows the line with a caret under the
//! place. Every text that enters an error passes through [`crate::redact`] first, so that a key written inline in
//! a statement never reaches a log or a terminal, not even by the quoted source line.

use std::fmt;

use crate::redact::{redact, redact_line};

/// A place in a script. Line and column count from 1; the column counts characters, not bytes.
/// The default (line 0) means "no place known", as for options that were read back from the catalog.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Position {
    /// Line, from 1.
    pub line: u64,
    /// Column in characters, from 1.
    pub column: u64,
}

impl Position {
    /// A position from its line and column, both counted from 1.
    pub const fn new(line: u64, column: u64) -> Self {
        Self { line, column }
    }

    /// Whether the place is known.
    pub const fn is_known(self) -> bool {
        self.line > 0
    }
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}, column {}", self.line, self.column)
    }
}

/// A statement that can't be understood, with its place and advice.
///
/// `Display` gives one line; [`SqlError::render`] gives the source line and a caret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SqlError {
    message: String,
    hint: Option<String>,
    position: Position,
    source_line: Option<(String, usize)>,
}

impl std::error::Error for SqlError {}

impl SqlError {
    /// An error at a place. Use [`Position::default`] when no place is known.
    pub fn new(position: Position, message: impl AsRef<str>) -> Self {
        Self { message: redact(message.as_ref()), hint: None, position, source_line: None }
    }

    /// Adds advice: what the user can write instead.
    #[must_use]
    pub fn with_hint(mut self, hint: impl AsRef<str>) -> Self {
        self.hint = Some(redact(hint.as_ref()));
        self
    }

    /// Adds advice if there is any.
    #[must_use]
    pub fn with_optional_hint(self, hint: Option<String>) -> Self {
        match hint {
            Some(hint) => self.with_hint(hint),
            None => self,
        }
    }

    /// Attaches the line of `script` that the position points into, for [`SqlError::render`].
    #[must_use]
    pub fn with_source(mut self, script: &str) -> Self {
        if self.position.is_known() && self.source_line.is_none() {
            let index = usize::try_from(self.position.line - 1).unwrap_or(usize::MAX);
            if let Some(line) = script.split('\n').nth(index) {
                let column = usize::try_from(self.position.column.saturating_sub(1)).unwrap_or(0);
                self.source_line = Some(clip(redact_line(line.trim_end_matches('\r'), column)));
            }
        }
        self
    }

    /// What is wrong.
    pub fn message(&self) -> &str {
        &self.message
    }

    /// What to do about it.
    pub fn hint(&self) -> Option<&str> {
        self.hint.as_deref()
    }

    /// Where it is.
    pub fn position(&self) -> Position {
        self.position
    }

    /// Line, from 1; 0 when unknown.
    pub fn line(&self) -> u64 {
        self.position.line
    }

    /// Column in characters, from 1; 0 when unknown.
    pub fn column(&self) -> u64 {
        self.position.column
    }

    /// The error in full: message, source line with a caret, hint. No trailing newline.
    pub fn render(&self) -> String {
        let mut out = format!("error: {}", self.message);
        let gutter = self.position.line.to_string();
        let pad = " ".repeat(gutter.len());
        if self.position.is_known() {
            out.push_str(&format!("\n{pad}--> {}", self.position));
        }
        if let Some((line, column)) = &self.source_line {
            let indent: String = line.chars().take(*column).map(|c| if c == '\t' { '\t' } else { ' ' }).collect();
            out.push_str(&format!("\n{pad} |\n{gutter} | {line}\n{pad} | {indent}^"));
        }
        if let Some(hint) = &self.hint {
            out.push_str(&format!("\n{pad} = hint: {hint}"));
        }
        out
    }
}

impl fmt::Display for SqlError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.position.is_known() {
            write!(f, "{}: ", self.position)?;
        }
        write!(f, "{}", self.message)?;
        if let Some(hint) = &self.hint {
            write!(f, " ({hint})")?;
        }
        Ok(())
    }
}

/// The longest source line shown, in characters.
const SHOWN: usize = 160;

/// Cuts a long line to a window around the caret. Returns the window and the caret's column in it (from 0).
fn clip((line, column): (String, usize)) -> (String, usize) {
    let length = line.chars().count();
    let column = column.min(length);
    if length <= SHOWN {
        return (line, column);
    }
    let start = column.saturating_sub(SHOWN / 2).min(length - SHOWN);
    let body: String = line.chars().skip(start).take(SHOWN).collect();
    let (head, shift) = if start > 0 { ("…", 1) } else { ("", 0) };
    let tail = if start + SHOWN < length { "…" } else { "" };
    (format!("{head}{body}{tail}"), column - start + shift)
}
