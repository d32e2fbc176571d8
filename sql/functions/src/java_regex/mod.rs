//! `java.util.regex` for the functions that take a pattern.
//!
//! A [`JavaRegex`] is compiled once per pattern (see [`crate::cache`]) and used through a [`Matcher`], which holds the
//! scratch space of one batch. Patterns without lookaround and backreferences run on the linear-time `regex` crate,
//! the others on the backtracking `fancy-regex`; [`shape`] recognises those that need neither.
//!
//! Positions are byte offsets into UTF-8 text and always stand on character boundaries.

pub(crate) mod shape;
mod translate;

pub(crate) use translate::PatternError;

use datafusion::common::{DataFusionError, plan_datafusion_err};
use shape::Shape;
use translate::translate;

/// Where a match or a group begins and ends.
pub(crate) type Span = (usize, usize);

/// The pattern gave up: it backtracks more than the engine's limit (one million steps) allows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct TooManySteps;

#[derive(Debug)]
enum Engine {
    Linear(regex::Regex),
    Backtracking(fancy_regex::Regex),
}

/// A compiled Java pattern.
#[derive(Debug)]
pub(crate) struct JavaRegex {
    /// For texts that do not end in a line terminator, and for all if `at_terminator` is `None`.
    engine: Engine,
    /// For texts that end in a line terminator, where `$` is more than the end of the text.
    at_terminator: Option<Engine>,
    groups: usize,
    shape: Option<Shape>,
}

impl JavaRegex {
    pub(crate) fn new(pattern: &str) -> Result<Self, PatternError> {
        let t = translate(pattern)?;
        let backtracking = |source: &str| {
            fancy_regex::Regex::new(source)
                .map(Engine::Backtracking)
                .map_err(|e| PatternError { reason: e.to_string(), at: 0 })
        };
        let simple = t.without_final_terminator.as_deref().unwrap_or(&t.exact);
        let engine = if t.backtracks {
            backtracking(simple)?
        } else {
            regex::Regex::new(simple).map(Engine::Linear).map_err(|e| PatternError { reason: e.to_string(), at: 0 })?
        };
        let at_terminator = t.without_final_terminator.is_some().then(|| backtracking(&t.exact)).transpose()?;
        Ok(JavaRegex { engine, at_terminator, groups: t.groups, shape: Shape::of(pattern) })
    }

    /// The number of capturing groups, the whole match not counted.
    pub(crate) fn groups(&self) -> usize {
        self.groups
    }

    /// The pattern's shape if it needs no regex engine.
    pub(crate) fn shape(&self) -> Option<&Shape> {
        self.shape.as_ref()
    }

    /// A matcher for one batch of texts.
    pub(crate) fn matcher(&self) -> Matcher<'_> {
        let locations = match &self.engine {
            Engine::Linear(regex) => Some(regex.capture_locations()),
            Engine::Backtracking(_) => None,
        };
        Matcher { regex: self, locations, groups: Vec::new() }
    }
}

/// The planning error for a pattern that Java or this translation refuses.
pub(crate) fn pattern_error(function: &str, pattern: &str, error: &PatternError) -> DataFusionError {
    plan_datafusion_err!(
        "{function}: invalid regular expression '{pattern}' near character {}: {}",
        error.at,
        error.reason
    )
}

/// Runs a [`JavaRegex`] over many texts.
pub(crate) struct Matcher<'r> {
    regex: &'r JavaRegex,
    locations: Option<regex::CaptureLocations>,
    /// The groups of the last match found by [`Self::captures_at`].
    groups: Vec<Option<Span>>,
}

impl Matcher<'_> {
    fn engine(&self, text: &str) -> &Engine {
        match &self.regex.at_terminator {
            Some(exact) if text.ends_with(['\n', '\r', '\u{85}', '\u{2028}', '\u{2029}']) => exact,
            _ => &self.regex.engine,
        }
    }

    /// Whether the pattern occurs in `text`.
    pub(crate) fn is_match(&self, text: &str) -> Result<bool, TooManySteps> {
        match self.engine(text) {
            Engine::Linear(regex) => Ok(regex.is_match(text)),
            Engine::Backtracking(regex) => regex.is_match(text).map_err(|_| TooManySteps),
        }
    }

    /// The first match that begins at or after byte `from`.
    pub(crate) fn find_at(&self, text: &str, from: usize) -> Result<Option<Span>, TooManySteps> {
        match self.engine(text) {
            Engine::Linear(regex) => Ok(regex.find_at(text, from).map(|m| (m.start(), m.end()))),
            Engine::Backtracking(regex) => {
                let found = regex.find_from_pos(text, from).map_err(|_| TooManySteps)?;
                Ok(found.map(|m| (m.start(), m.end())))
            }
        }
    }

    /// The groups (0 is the whole match) of the first match that begins at or after byte `from`.
    pub(crate) fn captures_at(&mut self, text: &str, from: usize) -> Result<Option<&[Option<Span>]>, TooManySteps> {
        self.groups.clear();
        let engine = match &self.regex.at_terminator {
            Some(exact) if text.ends_with(['\n', '\r', '\u{85}', '\u{2028}', '\u{2029}']) => exact,
            _ => &self.regex.engine,
        };
        match engine {
            Engine::Linear(regex) => {
                let Some(locations) = self.locations.as_mut() else { return Ok(None) };
                if regex.captures_read_at(locations, text, from).is_none() {
                    return Ok(None);
                }
                self.groups.extend((0..=self.regex.groups).map(|g| locations.get(g)));
            }
            Engine::Backtracking(regex) => {
                let Some(found) = regex.captures_from_pos(text, from).map_err(|_| TooManySteps)? else {
                    return Ok(None);
                };
                self.groups.extend((0..=self.regex.groups).map(|g| found.get(g).map(|m| (m.start(), m.end()))));
            }
        }
        Ok(Some(&self.groups))
    }
}

/// Where Java's `Matcher.find()` goes on after a match: one character further after an empty one.
/// `None` past the end of the text.
pub(crate) fn next_start(text: &str, (start, end): Span) -> Option<usize> {
    if start != end {
        return Some(end);
    }
    text[end..].chars().next().map(|c| end + c.len_utf8())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn group(pattern: &str, text: &str, group: usize) -> Option<String> {
        let regex = JavaRegex::new(pattern).unwrap();
        let mut matcher = regex.matcher();
        let groups = matcher.captures_at(text, 0).unwrap()?;
        groups[group].map(|(a, b)| text[a..b].to_string())
    }

    #[test]
    fn dollar_matches_before_a_final_terminator() {
        for (text, expected) in [
            ("//a", Some("a")),
            ("//a/b", Some("a")),
            ("//a\n", Some("a")),
            ("//a\r\n", Some("a")),
            ("//a\r", Some("a")),
            ("//a\u{2028}", Some("a")),
            ("//a\nb", None),
            ("//a\n\n", None),
            ("x", None),
        ] {
            assert_eq!(group("(?<=//)(.*?)(?=/|$)", text, 1).as_deref(), expected, "{text:?}");
        }
    }

    #[test]
    fn a_group_that_did_not_take_part_is_none() {
        assert_eq!(group("(a)|(b)", "b", 1), None);
        assert_eq!(group("(a)|(b)", "b", 2).as_deref(), Some("b"));
    }

    #[test]
    fn multiline_and_inline_flags() {
        assert_eq!(group("(?m)^b(.*)$", "a\nbc\r\nd", 1).as_deref(), Some("c"));
        assert_eq!(group("(?s)a(.*)", "a\nb", 1).as_deref(), Some("\nb"));
        assert_eq!(group("(?x) a # comment\n (b)", "ab", 1).as_deref(), Some("b"));
        assert_eq!(group("(?i:A)(B)", "aB", 1).as_deref(), Some("B"));
    }

    #[test]
    fn possessive_atomic_and_backreference() {
        assert_eq!(group("(a)\\1", "baa", 0).as_deref(), Some("aa"));
        assert_eq!(group("a*+a", "aaa", 0), None);
        assert_eq!(group("(?>a*)b", "aab", 0).as_deref(), Some("aab"));
        assert_eq!(group("a{1,2}+b", "aab", 0).as_deref(), Some("aab"));
    }

    #[test]
    fn empty_matches_go_on_by_one_character() {
        assert_eq!(next_start("é", (0, 0)), Some(2));
        assert_eq!(next_start("é", (2, 2)), None);
        assert_eq!(next_start("ab", (0, 1)), Some(1));
    }
}
