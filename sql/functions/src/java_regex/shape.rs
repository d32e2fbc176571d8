//! Recognises the few shapes of pattern that make up nearly all log parsing, so that they run without a regex engine.
//!
//! | shape | example | meaning |
//! |---|---|---|
//! | [`Shape::Literal`] | ` \| ` | a fixed string |
//! | [`Shape::RestAfter`] | `(?<=:\s)(.*)`, `:\s(.*)` | from the end of the first prefix to the end of the line |
//! | [`Shape::UntilAfter`] | `(?<=//)(.*?)(?=/\|$)` | from the end of a prefix to the nearest stop string or Java's `$` |
//!
//! A prefix is a sequence of literal characters and the ASCII classes `\s`, `\d` and `\w`. The kernels work on UTF-8
//! bytes: an ASCII class can only match an ASCII byte, and a literal's bytes only begin at a character, so a match of
//! bytes is a match of characters. Each kernel answers exactly as the general engine does (property tests compare them).

use salamander_formats::scan::{first_place, is_ascii_from};

/// One byte of a prefix.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Atom {
    Byte(u8),
    /// A set of ASCII characters as 128 bits.
    Ascii(u128),
}

/// A pattern that needs no regex engine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Shape {
    Literal(Vec<u8>),
    RestAfter {
        prefix: Vec<Atom>,
        /// Whether group 0 is the same as group 1 (the prefix is a lookbehind).
        prefix_is_lookbehind: bool,
    },
    UntilAfter {
        prefix: Vec<Atom>,
        stop: Vec<u8>,
    },
}

impl Shape {
    /// The shape of a Java pattern, if it is one of these.
    pub(crate) fn of(pattern: &str) -> Option<Shape> {
        if let Some(rest) = pattern.strip_prefix("(?<=") {
            let (prefix, rest) = atoms(rest)?;
            return match rest.strip_prefix(')')? {
                "(.*)" => some_prefix(prefix).map(|prefix| Shape::RestAfter { prefix, prefix_is_lookbehind: true }),
                rest => {
                    let stop = rest.strip_prefix("(.*?)(?=")?.strip_suffix("|$)")?;
                    let stop = literal(stop)?;
                    some_prefix(prefix).map(|prefix| Shape::UntilAfter { prefix, stop })
                }
            };
        }
        let (prefix, rest) = atoms(pattern)?;
        match rest {
            "" => literal_bytes(&prefix).map(Shape::Literal),
            "(.*)" => some_prefix(prefix).map(|prefix| Shape::RestAfter { prefix, prefix_is_lookbehind: false }),
            _ => None,
        }
    }
}

fn some_prefix(prefix: Vec<Atom>) -> Option<Vec<Atom>> {
    (!prefix.is_empty()).then_some(prefix)
}

fn literal(pattern: &str) -> Option<Vec<u8>> {
    match atoms(pattern)? {
        (prefix, "") => literal_bytes(&prefix),
        _ => None,
    }
}

fn literal_bytes(atoms: &[Atom]) -> Option<Vec<u8>> {
    if atoms.is_empty() {
        return None;
    }
    atoms
        .iter()
        .map(|a| match a {
            Atom::Byte(b) => Some(*b),
            Atom::Ascii(_) => None,
        })
        .collect()
}

/// The longest run of plain characters and simple escapes at the start, and what follows it.
/// `None` if an atom of it is repeated by a quantifier or an escape is not a simple one.
fn atoms(pattern: &str) -> Option<(Vec<Atom>, &str)> {
    let mut out = Vec::new();
    let mut rest = pattern;
    loop {
        let mut chars = rest.chars();
        match chars.next() {
            Some('\\') => {
                out.push(escape(chars.next()?)?);
                rest = chars.as_str();
            }
            Some(c) if !"()[{.*+?^$|".contains(c) => {
                out.extend(c.encode_utf8(&mut [0; 4]).bytes().map(Atom::Byte));
                rest = chars.as_str();
            }
            next => {
                let quantified = matches!(next, Some('*' | '+' | '?' | '{'));
                return (!quantified).then_some((out, rest));
            }
        }
    }
}

fn escape(c: char) -> Option<Atom> {
    Some(match c {
        't' => Atom::Byte(b'\t'),
        'n' => Atom::Byte(b'\n'),
        'r' => Atom::Byte(b'\r'),
        'f' => Atom::Byte(0xc),
        's' => Atom::Ascii(set(b" \t\n\x0b\x0c\r")),
        'd' => Atom::Ascii(set(b"0123456789")),
        'w' => Atom::Ascii(set(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_")),
        c if c.is_ascii_punctuation() || c == ' ' => Atom::Byte(c as u8),
        _ => return None,
    })
}

fn set(members: &[u8]) -> u128 {
    members.iter().fold(0, |set, b| set | 1 << b)
}

impl Atom {
    #[inline]
    fn matches(self, byte: u8) -> bool {
        match self {
            Atom::Byte(b) => b == byte,
            Atom::Ascii(set) => byte < 128 && set >> byte & 1 == 1,
        }
    }
}

/// Where the first occurrence of `prefix` that starts at or after `from` starts.
#[inline]
pub(crate) fn find_prefix(text: &[u8], prefix: &[Atom], from: usize) -> Option<usize> {
    let last_start = text.len().checked_sub(prefix.len())?;
    let (first, rest) = prefix.split_first()?;
    let mut at = from;
    while at <= last_start {
        at = match *first {
            Atom::Byte(b) => at + first_place(b, &text[at..=last_start])?,
            set => at + text[at..=last_start].iter().position(|&c| set.matches(c))?,
        };
        if rest.iter().zip(&text[at + 1..]).all(|(atom, &byte)| atom.matches(byte)) {
            return Some(at);
        }
        at += 1;
    }
    None
}

/// The length of `text` up to its first line terminator, all of it if there is none.
#[inline]
pub(crate) fn line_length(text: &[u8]) -> usize {
    // Terminators are below 14 or begin with 0xC2 or 0xE2: one cheap pass rules them out for plain text.
    if is_ascii_from(14, text) {
        return text.len();
    }
    find_terminator(text, 0).map_or(text.len(), |(at, _)| at)
}

/// The first line terminator at or after `from`: where it starts and how many bytes it has.
fn find_terminator(text: &[u8], from: usize) -> Option<(usize, usize)> {
    (from..text.len()).find_map(|i| terminator_at(text, i).map(|len| (i, len)))
}

/// The length of the line terminator character at `i`, if there is one. (`\r\n` counts as two characters here.)
#[inline]
fn terminator_at(text: &[u8], i: usize) -> Option<usize> {
    match text[i] {
        b'\n' | b'\r' => Some(1),
        0xc2 if text.get(i + 1) == Some(&0x85) => Some(2),
        0xe2 if text.get(i + 1) == Some(&0x80) && matches!(text.get(i + 2), Some(0xa8 | 0xa9)) => Some(3),
        _ => None,
    }
}

/// Whether Java's `$` (not multi-line) matches before the line terminator at `i`.
fn dollar_before_terminator(text: &[u8], i: usize) -> bool {
    match text[i] {
        b'\n' => i + 1 == text.len() && (i == 0 || text[i - 1] != b'\r'),
        b'\r' => i + 1 == text.len() || &text[i + 1..] == b"\n",
        _ => terminator_at(text, i).is_some_and(|len| i + len == text.len()),
    }
}

/// Group 1 of [`Shape::UntilAfter`].
#[inline]
pub(crate) fn until_after(text: &[u8], prefix: &[Atom], stop: &[u8]) -> Option<(usize, usize)> {
    let mut from = 0;
    loop {
        let at = find_prefix(text, prefix, from)?;
        let start = at + prefix.len();
        if let Some(end) = stop_from(text, start, stop) {
            return Some((start, end));
        }
        from = at + 1;
    }
}

/// The first place at or after `start`, no line terminator in between, where `stop` begins or `$` matches.
#[inline]
fn stop_from(text: &[u8], start: usize, stop: &[u8]) -> Option<usize> {
    let first = stop.first()?;
    let mut i = start;
    while i < text.len() {
        if text[i] == *first && text[i..].starts_with(stop) {
            return Some(i);
        }
        if terminator_at(text, i).is_some() {
            return dollar_before_terminator(text, i).then_some(i);
        }
        i += 1;
    }
    Some(text.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_users_patterns_have_shapes() {
        assert_eq!(Shape::of(r" \| "), Some(Shape::Literal(b" | ".to_vec())));
        assert!(matches!(Shape::of(r"(?<=:\s)(.*)"), Some(Shape::RestAfter { prefix_is_lookbehind: true, .. })));
        assert!(matches!(Shape::of("(?<=//)(.*?)(?=/|$)"), Some(Shape::UntilAfter { .. })));
        assert!(matches!(Shape::of(r"Port:\s(.*)"), Some(Shape::RestAfter { prefix_is_lookbehind: false, .. })));
    }

    #[test]
    fn other_patterns_have_none() {
        for pattern in [
            "",
            "a|b",
            "a+",
            "a*b",
            ".",
            "[ab]",
            r"\bx",
            r"\1",
            "(a)",
            "^a",
            "a$",
            "(?i)a",
            r"(?<=a+)(.*)",
            "(?<=)(.*)",
            r"\s",
            r"\Qa\E",
        ] {
            assert_eq!(Shape::of(pattern), None, "{pattern}");
        }
    }

    #[test]
    fn the_rest_of_the_line_ends_at_every_terminator() {
        let prefix = [Atom::Byte(b':')];
        for (text, expected) in [
            ("a:b\nc", "b"),
            ("a:b\rc", "b"),
            ("a:b\u{85}c", "b"),
            ("a:b\u{2028}c", "b"),
            ("a:bé\u{2027}", "bé\u{2027}"),
        ] {
            let from = find_prefix(text.as_bytes(), &prefix, 0).unwrap() + prefix.len();
            assert_eq!(&text[from..from + line_length(&text.as_bytes()[from..])], expected, "{text:?}");
        }
    }
}
