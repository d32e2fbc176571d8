//! Rewrites a `java.util.regex` pattern as a pattern of the Rust regex crates with the same meaning.
//!
//! The two dialects look alike and differ where it hurts:
//! - `\s \d \w` are ASCII in Java, Unicode in Rust; `(?i)` folds ASCII only in Java;
//! - `.` stops at `\n`, `\r`, U+0085, U+2028 and U+2029 in Java, at `\n` only in Rust;
//! - `$` also matches before a final line terminator in Java, never in Rust.
//!
//! So every class is spelled out and flags are resolved here: the output uses no flags at all. Where Java's `$`
//! needs a lookahead, the pattern is produced twice: once exactly, and once with `\z`, which is the same
//! thing for every text that does not end in a line terminator and lets the fast engine run.
//!
//! Not supported, and refused with a message: `\X`, `\N{…}`, Unicode blocks (`\p{InGreek}`), `(?U)`.

use std::collections::HashMap;
use std::iter::Peekable;
use std::str::Chars;

/// Why a pattern was refused: the reason and the place, counted in characters from 0.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct PatternError {
    pub(crate) reason: String,
    pub(crate) at: usize,
}

/// A Java pattern in Rust's dialect.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Translated {
    /// Exactly the Java pattern.
    pub(crate) exact: String,
    /// The same for texts that do not end in a line terminator; `None` if that is `exact` itself.
    pub(crate) without_final_terminator: Option<String>,
    /// Whether a backtracking engine is needed even for `without_final_terminator`.
    pub(crate) backtracks: bool,
    /// Number of capturing groups, the whole match not counted.
    pub(crate) groups: usize,
}

/// Java's line terminators as the inside of a character class.
const TERMINATORS: &str = "\n\r\u{85}\u{2028}\u{2029}";
const WORD: &str = "a-zA-Z0-9_";
const SPACE: &str = " \t\n\u{b}\u{c}\r";
const HORIZONTAL: &str = " \t\u{a0}\u{1680}\u{180e}\u{2000}-\u{200a}\u{202f}\u{205f}\u{3000}";
const VERTICAL: &str = "\n\u{b}\u{c}\r\u{85}\u{2028}\u{2029}";

#[derive(Debug, Clone, Copy, Default)]
struct Flags {
    ignore_case: bool,
    multiline: bool,
    dot_all: bool,
    comments: bool,
    unix_lines: bool,
}

struct Translator<'a> {
    chars: Peekable<Chars<'a>>,
    at: usize,
    exact: String,
    simple: String,
    backtracks: bool,
    dollar: bool,
    flags: Flags,
    enclosing: Vec<Flags>,
    groups: usize,
    names: HashMap<String, usize>,
}

/// Translates `pattern`; see the module's docs.
pub(crate) fn translate(pattern: &str) -> Result<Translated, PatternError> {
    let mut t = Translator {
        chars: pattern.chars().peekable(),
        at: 0,
        exact: String::with_capacity(pattern.len() * 2),
        simple: String::with_capacity(pattern.len() * 2),
        backtracks: false,
        dollar: false,
        flags: Flags::default(),
        enclosing: Vec::new(),
        groups: 0,
        names: HashMap::new(),
    };
    t.run()?;
    if !t.enclosing.is_empty() {
        return Err(t.error("unclosed group"));
    }
    Ok(Translated {
        without_final_terminator: t.dollar.then_some(t.simple),
        exact: t.exact,
        backtracks: t.backtracks,
        groups: t.groups,
    })
}

impl Translator<'_> {
    fn next(&mut self) -> Option<char> {
        let c = self.chars.next();
        self.at += usize::from(c.is_some());
        c
    }

    fn peek(&mut self) -> Option<char> {
        self.chars.peek().copied()
    }

    fn eat(&mut self, wanted: char) -> bool {
        let found = self.peek() == Some(wanted);
        if found {
            self.next();
        }
        found
    }

    fn looking_at(&self, text: &str) -> bool {
        let mut rest = self.chars.clone();
        text.chars().all(|c| rest.next() == Some(c))
    }

    fn error(&self, reason: impl Into<String>) -> PatternError {
        PatternError { reason: reason.into(), at: self.at }
    }

    fn emit(&mut self, text: &str) {
        self.exact.push_str(text);
        self.simple.push_str(text);
    }

    fn run(&mut self) -> Result<(), PatternError> {
        // Whether the previous item can take a quantifier.
        let mut quantifiable = false;
        while let Some(c) = self.next() {
            if self.flags.comments && self.skip_comment(c) {
                continue;
            }
            match c {
                '*' | '+' | '?' | '{' => {
                    if !quantifiable {
                        return Err(self.error(format!("dangling '{c}': nothing to repeat")));
                    }
                    self.quantifier(c)?;
                    quantifiable = false;
                }
                '|' => {
                    self.emit("|");
                    quantifiable = false;
                }
                '(' => quantifiable = self.open_group()?,
                ')' => {
                    self.flags = self.enclosing.pop().ok_or_else(|| self.error("unmatched ')'"))?;
                    self.emit(")");
                    quantifiable = true;
                }
                other => {
                    self.atom(other)?;
                    quantifiable = true;
                }
            }
        }
        Ok(())
    }

    /// In `(?x)`: true if `c` is white space or starts a comment, which is then consumed.
    fn skip_comment(&mut self, c: char) -> bool {
        if c == '#' {
            while self.next().is_some_and(|c| !TERMINATORS.contains(c)) {}
            return true;
        }
        SPACE.contains(c)
    }

    fn quantifier(&mut self, c: char) -> Result<(), PatternError> {
        if c == '{' {
            self.emit("{");
            if !self.peek().is_some_and(|c| c.is_ascii_digit()) {
                return Err(
                    self.error("illegal repetition: '{' must be followed by a number, write \\{ for the character")
                );
            }
            loop {
                match self.next() {
                    Some(c) if c.is_ascii_digit() || c == ',' => self.emit(c.encode_utf8(&mut [0; 4])),
                    Some('}') => break,
                    _ => return Err(self.error("unclosed counted repetition")),
                }
            }
            self.emit("}");
        } else {
            self.emit(c.encode_utf8(&mut [0; 4]));
        }
        if self.eat('?') {
            self.emit("?");
        } else if self.eat('+') {
            self.emit("+");
            self.backtracks = true;
        }
        Ok(())
    }

    /// After `(`. Returns whether a quantifier may follow at once (it may after an inline flag group's text only).
    fn open_group(&mut self) -> Result<bool, PatternError> {
        let saved = self.flags;
        if !self.eat('?') {
            self.groups += 1;
            self.enclosing.push(saved);
            self.emit("(");
            return Ok(false);
        }
        match self.next() {
            Some(':') => self.emit("(?:"),
            Some(kind @ ('=' | '!' | '>')) => {
                self.backtracks = true;
                self.emit("(?");
                self.emit(kind.encode_utf8(&mut [0; 4]));
            }
            Some('<') => self.angle_group()?,
            Some(first) => return self.inline_flags(first, saved),
            None => return Err(self.error("unclosed group")),
        }
        self.enclosing.push(saved);
        Ok(false)
    }

    /// After `(?<`: a lookbehind or a named group.
    fn angle_group(&mut self) -> Result<(), PatternError> {
        if let Some(kind @ ('=' | '!')) = self.peek() {
            self.next();
            self.backtracks = true;
            self.emit("(?<");
            self.emit(kind.encode_utf8(&mut [0; 4]));
            return Ok(());
        }
        let name = self.until('>')?;
        self.groups += 1;
        if self.names.insert(name.clone(), self.groups).is_some() {
            return Err(self.error(format!("group name '{name}' is used twice")));
        }
        self.emit("(");
        Ok(())
    }

    fn inline_flags(&mut self, first: char, saved: Flags) -> Result<bool, PatternError> {
        let (mut on, mut c) = (true, first);
        loop {
            match c {
                '-' => on = false,
                'i' => self.flags.ignore_case = on,
                'm' => self.flags.multiline = on,
                's' => self.flags.dot_all = on,
                'x' => self.flags.comments = on,
                'd' => self.flags.unix_lines = on,
                // Unicode case folding applies to (?i) only; ASCII is what Java folds without it.
                'u' => return Err(self.error("the flag (?u) is not supported")),
                ')' => {
                    self.emit("(?:)");
                    return Ok(false);
                }
                ':' => {
                    self.enclosing.push(saved);
                    self.emit("(?:");
                    return Ok(false);
                }
                other => return Err(self.error(format!("unknown inline flag '{other}'"))),
            }
            c = self.next().ok_or_else(|| self.error("unclosed group"))?;
        }
    }

    fn until(&mut self, end: char) -> Result<String, PatternError> {
        let mut text = String::new();
        loop {
            match self.next() {
                Some(c) if c == end => return Ok(text),
                Some(c) => text.push(c),
                None => return Err(self.error(format!("missing '{end}'"))),
            }
        }
    }

    fn atom(&mut self, c: char) -> Result<(), PatternError> {
        match c {
            '.' => self.dot(),
            '^' => self.caret(),
            '$' => self.dollar(self.flags.multiline),
            '[' => {
                let mut class = String::new();
                self.class(&mut class)?;
                self.emit(&class);
            }
            '\\' => self.escape()?,
            literal => self.literal(literal),
        }
        Ok(())
    }

    fn terminators(&self) -> &'static str {
        if self.flags.unix_lines { "\n" } else { TERMINATORS }
    }

    fn dot(&mut self) {
        if self.flags.dot_all {
            self.emit("[\u{0}-\u{10ffff}]");
        } else {
            let class = format!("[^{}]", self.terminators());
            self.emit(&class);
        }
    }

    fn caret(&mut self) {
        if !self.flags.multiline {
            self.emit("\\A");
        } else {
            self.backtracks = true;
            self.emit(if self.flags.unix_lines {
                "(?:(?:\\A|(?<=\n))(?!\\z))"
            } else {
                "(?:(?:\\A|(?<=[\n\u{85}\u{2028}\u{2029}])|(?<=\r)(?!\n))(?!\\z))"
            });
        }
    }

    fn dollar(&mut self, multiline: bool) {
        if multiline {
            self.backtracks = true;
            self.emit(if self.flags.unix_lines {
                "(?:(?=\n)|\\z)"
            } else {
                "(?:\\z|(?=[\r\u{85}\u{2028}\u{2029}])|(?<!\r)(?=\n))"
            });
            return;
        }
        self.dollar = true;
        self.simple.push_str("\\z");
        self.exact.push_str(if self.flags.unix_lines {
            "(?=\n?\\z)"
        } else {
            "(?:\\z|(?=\r\n\\z)|(?=[\r\u{85}\u{2028}\u{2029}]\\z)|(?<!\r)(?=\n\\z))"
        });
    }

    fn literal(&mut self, c: char) {
        if self.flags.ignore_case && c.is_ascii_alphabetic() {
            let class = format!("[{}{}]", c.to_ascii_lowercase(), c.to_ascii_uppercase());
            self.emit(&class);
            return;
        }
        if "\\.+*?()|[]{}^$".contains(c) {
            self.emit("\\");
        }
        self.emit(c.encode_utf8(&mut [0; 4]));
    }

    fn escape(&mut self) -> Result<(), PatternError> {
        let c = self.next().ok_or_else(|| self.error("the pattern ends in a backslash"))?;
        if let Some(class) = predefined(c) {
            self.emit(&class);
            return Ok(());
        }
        match c {
            'A' => self.emit("\\A"),
            'z' => self.emit("\\z"),
            'Z' => self.dollar(false),
            'b' => self.emit("\\b"),
            'B' => self.emit("\\B"),
            'G' => {
                self.backtracks = true;
                self.emit("\\G");
            }
            'R' => self.emit(&format!("(?:\r\n|[{VERTICAL}])")),
            'Q' => self.quoted(),
            'k' => {
                if !self.eat('<') {
                    return Err(self.error("\\k must be followed by <name>"));
                }
                let name = self.until('>')?;
                let group = self
                    .names
                    .get(&name)
                    .copied()
                    .ok_or_else(|| self.error(format!("no group named '{name}' before here")))?;
                self.backreference(group);
            }
            '1'..='9' => {
                let mut group = c as usize - '0' as usize;
                while let Some(d) = self.peek().and_then(|c| c.to_digit(10)) {
                    let longer = group * 10 + d as usize;
                    if longer > self.groups {
                        break;
                    }
                    self.next();
                    group = longer;
                }
                if group > self.groups {
                    return Err(self.error(format!("\\{group} refers to a group that does not exist before here")));
                }
                self.backreference(group);
            }
            'p' | 'P' => {
                let class = self.property(c == 'P')?;
                self.emit(&class);
            }
            other => {
                let literal = self.character_escape(other)?;
                self.literal(literal);
            }
        }
        Ok(())
    }

    fn backreference(&mut self, group: usize) {
        self.backtracks = true;
        let flag = if self.flags.ignore_case { "(?i:" } else { "(?:" };
        self.emit(&format!("{flag}\\{group})"));
    }

    fn quoted(&mut self) {
        while !self.looking_at("\\E") {
            match self.next() {
                Some(c) => self.literal(c),
                None => return,
            }
        }
        self.next();
        self.next();
    }

    /// The character that an escape such as `\t`, `\x41`, `\u0041` or `\.` stands for.
    fn character_escape(&mut self, c: char) -> Result<char, PatternError> {
        Ok(match c {
            't' => '\t',
            'n' => '\n',
            'r' => '\r',
            'f' => '\u{c}',
            'a' => '\u{7}',
            'e' => '\u{1b}',
            '0' => self.octal()?,
            'x' if self.eat('{') => {
                let digits = self.until('}')?;
                self.code_point(&digits)?
            }
            'x' => self.hex(2)?,
            'u' => self.utf16_escape()?,
            'c' => {
                let c = self.next().ok_or_else(|| self.error("\\c needs a character"))?;
                char::from_u32(c as u32 ^ 64).ok_or_else(|| self.error("bad control character"))?
            }
            c if c.is_ascii_alphanumeric() => return Err(self.error(format!("unsupported escape \\{c}"))),
            c => c,
        })
    }

    fn octal(&mut self) -> Result<char, PatternError> {
        let (mut value, mut digits) = (0, 0);
        while let Some(d) = self.peek().and_then(|c| c.to_digit(8)) {
            if digits == 3 || value * 8 + d > 0o377 {
                break;
            }
            value = value * 8 + d;
            digits += 1;
            self.next();
        }
        if digits == 0 {
            return Err(self.error("\\0 needs octal digits"));
        }
        char::from_u32(value).ok_or_else(|| self.error("bad octal escape"))
    }

    fn hex(&mut self, digits: usize) -> Result<char, PatternError> {
        let text: String = (0..digits).map_while(|_| self.next()).collect();
        if text.chars().count() < digits {
            return Err(self.error("the hexadecimal escape is too short"));
        }
        self.code_point(&text)
    }

    fn code_point(&self, digits: &str) -> Result<char, PatternError> {
        u32::from_str_radix(digits, 16)
            .ok()
            .and_then(char::from_u32)
            .ok_or_else(|| self.error(format!("'{digits}' is not a character's hexadecimal code")))
    }

    /// `\uXXXX`, where two escapes may form a surrogate pair.
    fn utf16_escape(&mut self) -> Result<char, PatternError> {
        let unit = |t: &mut Self| -> Result<u16, PatternError> {
            let text: String = (0..4).map_while(|_| t.next()).collect();
            u16::from_str_radix(&text, 16).map_err(|_| t.error("\\u needs four hexadecimal digits"))
        };
        let high = unit(self)?;
        let mut units = vec![high];
        if (0xd800..0xdc00).contains(&high) && self.looking_at("\\u") {
            self.next();
            self.next();
            units.push(unit(self)?);
        }
        char::decode_utf16(units)
            .next()
            .and_then(Result::ok)
            .ok_or_else(|| self.error("an unpaired surrogate matches nothing"))
    }

    /// After `\p` or `\P`: a class for the named property.
    fn property(&mut self, negated: bool) -> Result<String, PatternError> {
        let name = if self.eat('{') {
            self.until('}')?
        } else {
            self.next().map(String::from).ok_or_else(|| self.error("\\p needs a property"))?
        };
        let inside = property_class(&name).ok_or_else(|| self.error(format!("unsupported property '{name}'")))?;
        Ok(format!("[{}{inside}]", if negated { "^" } else { "" }))
    }

    /// After `[`: appends the whole class, brackets included.
    fn class(&mut self, out: &mut String) -> Result<(), PatternError> {
        out.push('[');
        if self.eat('^') {
            out.push('^');
        }
        let mut empty = true;
        loop {
            let c = self.next().ok_or_else(|| self.error("unclosed character class"))?;
            if self.flags.comments && self.skip_comment(c) {
                continue;
            }
            match c {
                ']' if !empty => break,
                '[' => self.class(out)?,
                '&' if self.peek() == Some('&') => {
                    self.next();
                    out.push_str("&&");
                }
                '\\' => {
                    let e = self.next().ok_or_else(|| self.error("the pattern ends in a backslash"))?;
                    self.class_escape(e, out)?;
                }
                literal => self.class_range(literal, out)?,
            }
            empty = false;
        }
        out.push(']');
        Ok(())
    }

    fn class_escape(&mut self, e: char, out: &mut String) -> Result<(), PatternError> {
        if let Some(class) = predefined(e) {
            out.push_str(&class);
        } else if e == 'p' || e == 'P' {
            let class = self.property(e == 'P')?;
            out.push_str(&class);
        } else if e == 'Q' {
            while !self.looking_at("\\E") {
                let c = self.next().ok_or_else(|| self.error("\\Q in a class needs \\E"))?;
                self.class_member(c, c, out);
            }
            self.next();
            self.next();
        } else {
            let literal = self.character_escape(e)?;
            self.class_range(literal, out)?;
        }
        Ok(())
    }

    /// A member, or the range that begins with it.
    fn class_range(&mut self, low: char, out: &mut String) -> Result<(), PatternError> {
        let mut rest = self.chars.clone();
        let is_range = rest.next() == Some('-') && !matches!(rest.next(), None | Some(']' | '['));
        if !is_range {
            self.class_member(low, low, out);
            return Ok(());
        }
        self.next();
        let high = match self.next() {
            Some('\\') => {
                let e = self.next().ok_or_else(|| self.error("the pattern ends in a backslash"))?;
                if predefined(e).is_some() || e == 'p' || e == 'P' {
                    self.class_member(low, low, out);
                    self.class_member('-', '-', out);
                    return self.class_escape(e, out);
                }
                self.character_escape(e)?
            }
            Some(c) => c,
            None => return Err(self.error("unclosed character class")),
        };
        if high < low {
            return Err(self.error(format!("illegal range {low}-{high}")));
        }
        self.class_member(low, high, out);
        Ok(())
    }

    fn class_member(&mut self, low: char, high: char, out: &mut String) {
        push_range(low, high, out);
        if self.flags.ignore_case {
            for (from, to) in [('a', 'z'), ('A', 'Z')] {
                let (l, h) = (low.max(from), high.min(to));
                if l <= h {
                    push_range((l as u8 ^ 0x20) as char, (h as u8 ^ 0x20) as char, out);
                }
            }
        }
    }
}

fn push_range(low: char, high: char, out: &mut String) {
    push_escaped(low, out);
    if high != low {
        out.push('-');
        push_escaped(high, out);
    }
}

fn push_escaped(c: char, out: &mut String) {
    if "\\]-[^&~".contains(c) {
        out.push('\\');
    }
    out.push(c);
}

/// The class for `\s`, `\D` and the like, brackets included.
fn predefined(c: char) -> Option<String> {
    let inside = match c.to_ascii_lowercase() {
        's' => SPACE,
        'd' => "0-9",
        'w' => WORD,
        'h' => HORIZONTAL,
        'v' => VERTICAL,
        _ => return None,
    };
    Some(format!("[{}{inside}]", if c.is_ascii_uppercase() { "^" } else { "" }))
}

/// The inside of a class for `\p{name}`.
fn property_class(name: &str) -> Option<String> {
    let ascii = match name {
        "Lower" => "a-z",
        "Upper" => "A-Z",
        "ASCII" => "\u{0}-\u{7f}",
        "Alpha" => "a-zA-Z",
        "Digit" => "0-9",
        "Alnum" => "a-zA-Z0-9",
        "Punct" => "!-/:-@\\[-`{-\\~",
        "Graph" => "!-\\~",
        "Print" => " -\\~",
        "Blank" => " \t",
        "Cntrl" => "\u{0}-\u{1f}\u{7f}",
        "XDigit" => "0-9a-fA-F",
        "Space" => SPACE,
        "javaLowerCase" => "\\p{Lowercase}",
        "javaUpperCase" => "\\p{Uppercase}",
        "javaAlphabetic" => "\\p{Alphabetic}",
        "javaLetter" => "\\p{L}",
        "javaDigit" => "\\p{Nd}",
        "javaLetterOrDigit" => "\\p{L}\\p{Nd}",
        _ => "",
    };
    if !ascii.is_empty() {
        return Some(ascii.to_string());
    }
    if name.starts_with("In") || name.starts_with("java") || name.starts_with("blk=") || name.starts_with("block=") {
        return None;
    }
    let bare = name
        .strip_prefix("Is")
        .or_else(|| name.strip_prefix("general_category="))
        .or_else(|| name.strip_prefix("gc="))
        .or_else(|| name.strip_prefix("script="))
        .or_else(|| name.strip_prefix("sc="))
        .unwrap_or(name);
    bare.chars().all(|c| c.is_ascii_alphanumeric() || c == '_').then(|| format!("\\p{{{bare}}}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn classes_are_spelled_out() {
        let t = translate(r"\d+\s").unwrap();
        assert_eq!(t.exact, "[0-9]+[ \t\n\u{b}\u{c}\r]");
        assert!(!t.backtracks);
        assert_eq!(t.groups, 0);
    }

    #[test]
    fn a_dollar_gives_two_patterns() {
        let t = translate(r"a$").unwrap();
        assert_eq!(t.without_final_terminator.as_deref(), Some("a\\z"));
        assert!(t.exact.contains("\\z") && t.exact != "a\\z");
    }

    #[test]
    fn groups_are_counted_and_names_become_numbers() {
        let t = translate(r"(?<year>\d{4})-(?:x)(y)\k<year>").unwrap();
        assert_eq!(t.groups, 2);
        assert!(t.exact.ends_with("(?:\\1)"), "{}", t.exact);
        assert!(t.backtracks);
    }

    #[test]
    fn case_is_folded_in_ascii_only() {
        assert_eq!(translate("(?i)kÉ[a-c]").unwrap().exact, "(?:)[kK]É[a-cA-C]");
    }

    #[test]
    fn errors_name_the_reason() {
        for (pattern, reason) in [
            ("(a", "unclosed group"),
            ("a)", "unmatched"),
            ("[a", "unclosed character class"),
            ("*a", "dangling"),
            ("a{x}", "illegal repetition"),
            ("\\", "backslash"),
            ("\\2(a)", "does not exist"),
            ("\\p{InGreek}", "unsupported property"),
        ] {
            let e = translate(pattern).unwrap_err();
            assert!(e.reason.contains(reason), "{pattern}: {}", e.reason);
        }
    }
}
