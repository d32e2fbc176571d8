//! Bounds as arithmetic: which buckets a row is joined with, and when they close.

use super::{Bounds, Side};
use crate::window::WindowSpec;
use proptest::prelude::*;

const S: i64 = 1_000_000;

proptest! {
    /// No row that a kept row matches can come once its bucket has closed, and both see each other.
    #[test]
    fn a_bucket_closes_when_nothing_can_match_it(
        lower in -60 * S..60 * S, length in 0..60 * S, size in 1..30 * S, windowed: bool, time in -500 * S..500 * S, apart in -130 * S..130 * S,
    ) {
        let windows = windowed.then(|| WindowSpec::tumbling(size, 3).unwrap());
        let bounds = Bounds { lower, upper: lower + length, windows };
        let (left, right) = (time, time + apart);
        let same = windows.is_none_or(|w| w.pane_of(left) == w.pane_of(right));
        let matches = (lower..=lower + length).contains(&apart) && same;
        for (side, own, other) in [(Side::Left, left, right), (Side::Right, right, left)] {
            let (first, last) = bounds.partners(side, own);
            prop_assert_eq!((first..=last).contains(&other), matches);
            let bucket = bounds.bucket(own);
            prop_assert!(bucket <= own);
            if matches {
                // A row in time isn't behind the watermark.
                prop_assert!(bounds.closes(side, bucket) > other);
                prop_assert!(bounds.bucket(first) <= bounds.bucket(other));
            }
        }
    }
}
