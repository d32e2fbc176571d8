//! Searching a fixed string many times in many short texts.

use memchr::{Memchr, memchr_iter};

use crate::java_regex::Span;

/// A fixed string to search for. The search looks for its rarest-looking byte with vector instructions.
#[derive(Debug, Clone)]
pub(crate) struct Delimiter<'d> {
    bytes: &'d [u8],
    /// The byte that is searched for, and its place in `bytes`.
    probe: u8,
    probe_at: usize,
}

impl<'d> Delimiter<'d> {
    /// `bytes` must not be empty.
    pub(crate) fn new(bytes: &'d [u8]) -> Self {
        debug_assert!(!bytes.is_empty());
        let (probe_at, probe) = bytes.iter().copied().enumerate().max_by_key(|&(_, b)| rarity(b)).unwrap_or_default();
        Delimiter { bytes, probe, probe_at }
    }

    /// The occurrences from left to right that don't overlap.
    #[inline]
    pub(crate) fn matches<'t>(&'t self, text: &'t [u8]) -> Matches<'t> {
        Matches { delimiter: self, text, probes: memchr_iter(self.probe, text), end: 0 }
    }
}

/// Letters, digits and white space fill texts; punctuation is rare.
fn rarity(byte: u8) -> u8 {
    match byte {
        b' ' => 0,
        b'a'..=b'z' => 1,
        b'A'..=b'Z' | b'0'..=b'9' => 2,
        b'.' | b'/' | b':' | b'-' | b'_' => 3,
        _ => 4,
    }
}

/// See [`Delimiter::matches`].
pub(crate) struct Matches<'t> {
    delimiter: &'t Delimiter<'t>,
    text: &'t [u8],
    probes: Memchr<'t>,
    end: usize,
}

impl Iterator for Matches<'_> {
    type Item = Span;

    #[inline]
    fn next(&mut self) -> Option<Span> {
        let Delimiter { bytes, probe_at, .. } = *self.delimiter;
        loop {
            let at = self.probes.next()?;
            if at < self.end + probe_at {
                continue;
            }
            let start = at - probe_at;
            let end = start + bytes.len();
            if end <= self.text.len() && equal(&self.text[start..end], bytes) {
                self.end = end;
                return Some((start, end));
            }
        }
    }
}

/// Equality without a call for the short strings that delimiters are.
#[inline]
fn equal(a: &[u8], b: &[u8]) -> bool {
    a.iter().zip(b).all(|(a, b)| a == b)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn finds_what_the_standard_library_finds(text in "[ab |]{0,40}", needle in "[ab |]{1,4}") {
            let expected: Vec<Span> = text.match_indices(needle.as_str()).map(|(at, m)| (at, at + m.len())).collect();
            let found: Vec<Span> = Delimiter::new(needle.as_bytes()).matches(text.as_bytes()).collect();
            prop_assert_eq!(found, expected);
        }
    }
}
