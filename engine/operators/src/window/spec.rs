//! Windows of event time as arithmetic: which windows a time is in, and which panes they share.
//!
//! ```text
//!   hopping, size 6, slide 2:      pane   0   2   4   6   8
//!                                       ├───┼───┼───┼───┤
//!   windows                        [0         6)
//!                                      [2         8)
//!                                          [4        10)
//! ```
//!
//! A *pane* is the longest stretch of time that no window boundary cuts: rows are aggregated by pane, and a window is
//! the merge of its panes, so that the cost grows with panes and not with windows times rows. All times are microseconds
//! since 1970; arithmetic saturates at the ends of time.

use std::fmt;

/// The kinds of windows of fixed boundaries.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum WindowKind {
    /// Windows of one size that begin every `slide`: hopping, and tumbling if the slide is the size.
    Sliding,
    /// Windows that begin every `size` and end every `slide` (Flink's CUMULATE): each holds the ones before it.
    Cumulating,
    /// One window that holds all of time and never closes.
    Global,
    /// Windows of a key's rows with no longer gap between them than `size`.
    Session,
}

/// Windows of fixed boundaries.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct WindowSpec {
    /// Which kind.
    pub kind: WindowKind,
    /// How long a window is; for cumulating ones the longest.
    pub size: i64,
    /// From one window's begin (cumulating: end) to the next one's.
    pub slide: i64,
    /// By how much the boundaries lie behind multiples of the slide since 1970.
    pub offset: i64,
}

/// One window: from its start to just before its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Window {
    /// Just behind its last microsecond. First, so that windows sort by when they close.
    pub end: i64,
    /// Its first microsecond.
    pub start: i64,
}

impl WindowSpec {
    /// Windows that don't overlap.
    ///
    /// # Errors
    /// As [`WindowSpec::hopping`].
    pub fn tumbling(size: i64, offset: i64) -> Result<Self, String> {
        Self::hopping(size, size, offset)
    }

    /// A window for each microsecond: by these a row is late as soon as its split's watermark has passed its own time.
    /// Operators use it whose result would otherwise depend on when they emit: sessions, OVER, joins.
    pub const fn instant() -> Self {
        Self { kind: WindowKind::Sliding, size: 1, slide: 1, offset: 0 }
    }

    /// One window that holds all of time, rows without a time too.
    pub const fn global() -> Self {
        Self { kind: WindowKind::Global, size: i64::MAX, slide: i64::MAX, offset: 0 }
    }

    /// A window for each key's rows that have no longer gap between them.
    ///
    /// # Errors
    /// When the gap is not positive.
    pub fn session(gap: i64) -> Result<Self, String> {
        if gap <= 0 {
            return Err("a session's gap must be longer than 0".to_owned());
        }
        Ok(Self { kind: WindowKind::Session, size: gap, slide: gap, offset: 0 })
    }

    /// True for sessions.
    pub fn is_session(&self) -> bool {
        self.kind == WindowKind::Session
    }

    /// True for the window that never closes.
    pub fn is_global(&self) -> bool {
        self.kind == WindowKind::Global
    }

    /// Windows of one size that begin every `slide`.
    ///
    /// # Errors
    /// When a length is not positive, or the slide exceeds the size: rows between two windows would be in none.
    pub fn hopping(size: i64, slide: i64, offset: i64) -> Result<Self, String> {
        if size <= 0 || slide <= 0 {
            return Err("a window's size and slide must be longer than 0".to_owned());
        }
        if slide > size {
            return Err(
                "a window's slide must not be longer than its size: rows in between would be in no window".to_owned()
            );
        }
        Ok(Self { kind: WindowKind::Sliding, size, slide, offset: offset.rem_euclid(slide) })
    }

    /// Windows that begin every `size` and grow by `step`.
    ///
    /// # Errors
    /// When a length is not positive, or the size is not a multiple of the step.
    pub fn cumulating(size: i64, step: i64, offset: i64) -> Result<Self, String> {
        if size <= 0 || step <= 0 || size % step != 0 {
            return Err("a cumulating window's size must be a multiple of its step, both longer than 0".to_owned());
        }
        Ok(Self { kind: WindowKind::Cumulating, size, slide: step, offset: offset.rem_euclid(size) })
    }

    /// True when a row is in one window only.
    pub fn is_tumbling(&self) -> bool {
        self.size == self.slide
    }

    /// The length of a pane.
    pub fn pane(&self) -> i64 {
        match self.kind {
            WindowKind::Sliding | WindowKind::Session => gcd(self.size, self.slide),
            WindowKind::Cumulating | WindowKind::Global => self.slide,
        }
    }

    /// The greatest multiple of `length` (moved by the offset) that is not above `at`.
    fn floor(&self, at: i64, length: i64) -> i64 {
        let behind = at.rem_euclid(length) - self.offset.rem_euclid(length);
        at.saturating_sub(if behind < 0 { behind + length } else { behind })
    }

    /// Where the pane of a time begins.
    pub fn pane_of(&self, at: i64) -> i64 {
        if self.is_global() {
            return 0;
        }
        self.floor(at, self.pane())
    }

    /// Where the last window that a time is in ends: from then on nothing can be said of that time any more.
    pub fn last_end(&self, at: i64) -> i64 {
        let step = match self.kind {
            WindowKind::Sliding | WindowKind::Session => self.slide,
            WindowKind::Cumulating => self.size,
            WindowKind::Global => return i64::MAX,
        };
        self.floor(at, step).saturating_add(self.size)
    }

    /// The first of the windows of a time that ends after `after`; none if they all end by then.
    pub fn first_end_after(&self, at: i64, after: i64) -> Option<i64> {
        // Ends lie a slide apart (from the offset, moved by the size), beginning with the first behind the time.
        let beyond = at.max(after);
        let since = match self.kind {
            WindowKind::Sliding | WindowKind::Session => {
                self.floor(beyond.saturating_sub(self.size), self.slide).saturating_add(self.size)
            }
            WindowKind::Cumulating => self.floor(beyond, self.slide),
            WindowKind::Global => return (after < i64::MAX).then_some(i64::MAX),
        };
        let end = since.saturating_add(self.slide);
        (end > after && end <= self.last_end(at)).then_some(end)
    }

    /// The windows that a time is in, by their ends.
    pub fn windows_of(&self, at: i64) -> impl Iterator<Item = Window> {
        let this = *self;
        let first = this.first_end_after(at, i64::MIN);
        let ends = std::iter::successors(first, move |end| this.first_end_after(at, *end));
        ends.map(move |end| Window { end, start: this.start_of(at, end) })
    }

    /// Where the window begins that a time is in and that ends at `end`.
    fn start_of(&self, at: i64, end: i64) -> i64 {
        match self.kind {
            WindowKind::Sliding | WindowKind::Session => end.saturating_sub(self.size),
            WindowKind::Cumulating => self.floor(at, self.size),
            WindowKind::Global => i64::MIN,
        }
    }
}

fn gcd(a: i64, b: i64) -> i64 {
    if b == 0 { a } else { gcd(b, a % b) }
}

/// A length of time as people say it.
struct Length(i64);

impl fmt::Display for Length {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const UNITS: [(i64, &str); 6] = [
            (86_400_000_000, "d"),
            (3_600_000_000, "h"),
            (60_000_000, "min"),
            (1_000_000, "s"),
            (1_000, "ms"),
            (1, "us"),
        ];
        let (unit, name) = UNITS.into_iter().find(|(unit, _)| self.0 % unit == 0).unwrap_or((1, "us"));
        write!(f, "{} {name}", self.0 / unit)
    }
}

impl fmt::Display for WindowSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (size, slide) = (Length(self.size), Length(self.slide));
        match self.kind {
            WindowKind::Global => write!(f, "all of time")?,
            WindowKind::Session => write!(f, "sessions with a gap of {size}")?,
            _ if self.is_tumbling() => write!(f, "tumbling {size}")?,
            WindowKind::Sliding => write!(f, "hopping {size} every {slide}")?,
            WindowKind::Cumulating => write!(f, "cumulating to {size} by {slide}")?,
        }
        if self.offset != 0 {
            write!(f, " from {}", Length(self.offset))?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn spec() -> impl Strategy<Value = WindowSpec> {
        let lengths = (1..8i64, 1..5i64, -20..20i64);
        prop_oneof![
            lengths.clone().prop_map(|(size, _, offset)| WindowSpec::tumbling(size, offset).unwrap()),
            (1..9i64, 1..9i64, -20..20i64)
                .prop_map(|(a, b, offset)| { WindowSpec::hopping(a.max(b), a.min(b), offset).unwrap() }),
            lengths.prop_map(|(step, times, offset)| WindowSpec::cumulating(step * times, step, offset).unwrap()),
        ]
    }

    /// All windows around a time, from the definition.
    fn by_definition(spec: &WindowSpec, at: i64) -> Vec<Window> {
        let mut windows = Vec::new();
        for start in at - 100..=at {
            match spec.kind {
                WindowKind::Sliding if (start - spec.offset).rem_euclid(spec.slide) == 0 => {
                    windows.push(Window { start, end: start + spec.size });
                }
                WindowKind::Cumulating if (start - spec.offset).rem_euclid(spec.size) == 0 => {
                    let ends = (1..=spec.size / spec.slide).map(|n| start + n * spec.slide);
                    windows.extend(ends.map(|end| Window { start, end }));
                }
                _ => {}
            }
        }
        windows.retain(|w| w.start <= at && at < w.end);
        windows.sort();
        windows
    }

    proptest! {
        #[test]
        fn windows_are_those_of_the_definition(spec in spec(), at in -200..200i64, after in -200..200i64) {
            let expected = by_definition(&spec, at);
            prop_assert_eq!(spec.windows_of(at).collect::<Vec<_>>(), expected.clone());
            prop_assert_eq!(spec.last_end(at), expected.last().unwrap().end);
            let first = expected.iter().map(|w| w.end).find(|end| *end > after);
            prop_assert_eq!(spec.first_end_after(at, after), first);
            // No boundary cuts a pane.
            let pane = spec.pane_of(at);
            prop_assert!(pane <= at && at < pane + spec.pane());
            prop_assert_eq!(spec.windows_of(pane).collect::<Vec<_>>(), expected);
        }
    }

    #[test]
    fn all_of_time_is_one_window() {
        let spec = WindowSpec::global();
        for at in [i64::MIN, -5, 0, i64::MAX] {
            assert_eq!(spec.windows_of(at).collect::<Vec<_>>(), [Window { start: i64::MIN, end: i64::MAX }]);
            assert_eq!((spec.pane_of(at), spec.last_end(at)), (0, i64::MAX));
        }
        assert_eq!(spec.to_string(), "all of time");
    }

    #[test]
    fn the_ends_of_time_are_no_trap() {
        let spec = WindowSpec::hopping(10_000_000, 4_000_000, 3).unwrap();
        for at in [i64::MIN, i64::MIN + 5, i64::MAX - 5, i64::MAX] {
            let _ = (spec.pane_of(at), spec.last_end(at), spec.windows_of(at).count());
        }
        assert_eq!(spec.to_string(), "hopping 10 s every 4 s from 3 us");
    }
}
