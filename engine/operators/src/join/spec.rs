//! What is joined: keys, bounds of event time, further conditions, and which rows are given out.

use crate::window::WindowSpec;
use arrow::datatypes::SchemaRef;
use datafusion::common::JoinType;
use datafusion::physical_expr::PhysicalExpr;
use std::fmt;
use std::sync::Arc;

/// One of the two inputs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Side {
    /// The first.
    Left,
    /// The second.
    Right,
}

impl Side {
    /// Both.
    pub const BOTH: [Self; 2] = [Self::Left, Self::Right];

    /// 0 or 1.
    pub const fn index(self) -> usize {
        match self {
            Self::Left => 0,
            Self::Right => 1,
        }
    }

    /// The other one.
    pub const fn other(self) -> Self {
        match self {
            Self::Left => Self::Right,
            Self::Right => Self::Left,
        }
    }
}

/// State is dropped, and unmatched rows are given out, in steps of at least so many microseconds.
const LEAST_WIDTH: i64 = 1_000_000;
/// Into how many buckets the times are cut that a row is joined with.
const BUCKETS: i64 = 8;

/// How far apart in event time rows are that can match, in microseconds, both ends included.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Hash)]
pub struct Bounds {
    /// The least right time less left time.
    pub lower: i64,
    /// The greatest right time less left time.
    pub upper: i64,
    /// Tumbling windows that both rows must be in, if the join has them.
    pub windows: Option<WindowSpec>,
}

impl Bounds {
    /// The first and the last time that a row of `side` at `time` can match.
    pub(crate) fn partners(&self, side: Side, time: i64) -> (i64, i64) {
        let (first, last) = match side {
            Side::Left => (time.saturating_add(self.lower), time.saturating_add(self.upper)),
            Side::Right => (time.saturating_sub(self.upper), time.saturating_sub(self.lower)),
        };
        match self.windows {
            None => (first, last),
            Some(windows) => (first.max(windows.pane_of(time)), last.min(windows.last_end(time).saturating_sub(1))),
        }
    }

    fn width(&self) -> i64 {
        match self.windows {
            Some(windows) => windows.size,
            None => (self.upper.saturating_sub(self.lower) / BUCKETS).max(LEAST_WIDTH),
        }
    }

    /// Where the bucket of a time begins.
    pub(crate) fn bucket(&self, time: i64) -> i64 {
        match self.windows {
            Some(windows) => windows.pane_of(time),
            None => time.saturating_sub(time.rem_euclid(self.width())),
        }
    }

    /// The watermark from which on no row can come that matches one of this bucket of a side.
    pub(crate) fn closes(&self, side: Side, bucket: i64) -> i64 {
        let end = bucket.saturating_add(self.width());
        let last = match side {
            Side::Left => end.saturating_add(self.upper),
            Side::Right => end.saturating_sub(self.lower),
        };
        if self.windows.is_some() { last.min(end) } else { last }
    }
}

impl fmt::Display for Bounds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = |micros: i64| micros as f64 / 1e6;
        write!(f, "right - left from {} s to {} s", seconds(self.lower), seconds(self.upper))?;
        self.windows.map_or(Ok(()), |windows| write!(f, ", within {windows}"))
    }
}

/// A condition on pairs beside keys and bounds.
#[derive(Debug, Clone)]
pub struct JoinCondition {
    /// Of the columns below; pairs for which it isn't true don't match.
    pub expression: Arc<dyn PhysicalExpr>,
    /// Where its columns come from.
    pub columns: Vec<(Side, usize)>,
    /// Its columns.
    pub schema: SchemaRef,
}

/// A join of two streams.
#[derive(Debug, Clone)]
pub struct JoinSpec {
    /// Which rows are given out.
    pub kind: JoinType,
    /// How far apart the rows are.
    pub bounds: Bounds,
    /// By side, over its columns: equal in rows that match, and not NULL.
    pub keys: [Vec<Arc<dyn PhysicalExpr>>; 2],
    /// By side, which column is the event time: a TIMESTAMP. It is not given out.
    pub times: [usize; 2],
    /// Further conditions.
    pub condition: Option<JoinCondition>,
    /// By side, the columns.
    pub inputs: [SchemaRef; 2],
    /// The columns given out: those of the left side and of the right side without their times (of one side for semi and
    /// anti joins).
    pub output: SchemaRef,
}

impl JoinSpec {
    /// True if pairs are given out.
    pub(crate) fn gives_pairs(&self) -> bool {
        matches!(self.kind, JoinType::Inner | JoinType::Left | JoinType::Right | JoinType::Full)
    }

    /// True if rows of the side that match nothing are given out.
    pub(crate) fn gives_unmatched(&self, side: Side) -> bool {
        match side {
            Side::Left => matches!(self.kind, JoinType::Left | JoinType::Full | JoinType::LeftAnti),
            Side::Right => matches!(self.kind, JoinType::Right | JoinType::Full | JoinType::RightAnti),
        }
    }

    /// True if rows of the side are given out at their first match.
    pub(crate) fn gives_matched(&self, side: Side) -> bool {
        match side {
            Side::Left => self.kind == JoinType::LeftSemi,
            Side::Right => self.kind == JoinType::RightSemi,
        }
    }

    /// True if it must be known which rows of the side have matched.
    pub(crate) fn marks(&self, side: Side) -> bool {
        self.gives_unmatched(side) || self.gives_matched(side)
    }
}
