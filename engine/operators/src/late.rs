//! Which rows of a batch come too late for their windows.
//!
//! A row is late when all its windows have closed by the watermark of its own split's rows before it (or by the job's,
//! for a split that wakes from idleness). So how rows are cut into batches and epochs changes nothing. A row without a
//! time is in no window: it is put aside with the late ones, since nothing is dropped in silence.

use crate::window::WindowSpec;
use arrow::array::{Array, TimestampMicrosecondArray, UInt32Array};
use arrow::compute::min;

/// What of a batch goes on.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct Judged {
    /// The rows that do; none if all do.
    pub(crate) kept: Option<UInt32Array>,
    /// The others, each with the watermark that it was judged by (none for rows without a time).
    pub(crate) late: Vec<(u32, Option<i64>)>,
    /// The watermark before each row of the batch, if it was asked for.
    pub(crate) watermarks: Option<TimestampMicrosecondArray>,
}

/// Judges the rows of a batch by their times. `before` is the watermark before the first of them.
pub(crate) fn judge(
    times: &TimestampMicrosecondArray,
    windows: &WindowSpec,
    delay: i64,
    before: Option<i64>,
    wants_watermarks: bool,
) -> Judged {
    if !wants_watermarks && all_in_time(times, windows, delay, before) {
        return Judged::default();
    }
    let mut judged = Judged::default();
    let (mut kept, mut watermarks) = (Vec::with_capacity(times.len()), Vec::new());
    let mut watermark = before;
    for (row, time) in (0u32..).zip(times) {
        if wants_watermarks {
            watermarks.push(watermark);
        }
        match time {
            None => judged.late.push((row, None)),
            Some(time) => {
                if watermark.is_some_and(|w| windows.last_end(time) <= w) {
                    judged.late.push((row, watermark));
                } else {
                    kept.push(row);
                }
                watermark = watermark.max(Some(time.saturating_sub(delay)));
            }
        }
    }
    if wants_watermarks {
        judged.watermarks = Some(TimestampMicrosecondArray::from(watermarks).with_timezone("UTC"));
    }
    if !judged.late.is_empty() {
        judged.kept = Some(UInt32Array::from(kept));
    }
    judged
}

/// True if even the earliest row is in time at the end of the batch. One pass over the times says so for most batches.
fn all_in_time(times: &TimestampMicrosecondArray, windows: &WindowSpec, delay: i64, before: Option<i64>) -> bool {
    let (Some(earliest), Some(latest)) = (min(times), arrow::compute::max(times)) else { return times.is_empty() };
    let after = before.max(Some(latest.saturating_sub(delay)));
    times.null_count() == 0 && after.is_none_or(|watermark| windows.last_end(earliest) > watermark)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn times(times: &[Option<i64>]) -> TimestampMicrosecondArray {
        times.to_vec().into()
    }

    #[test]
    fn a_row_is_late_when_its_last_window_has_closed() {
        let windows = WindowSpec::tumbling(10, 0).unwrap();
        let rows = times(&[Some(5), Some(25), Some(9), Some(10), None, Some(31), Some(15)]);
        let judged = judge(&rows, &windows, 11, None, false);
        // 25 brings the watermark to 14, 31 to 20.
        assert_eq!(judged.late, [(2, Some(14)), (4, None), (6, Some(20))]);
        assert_eq!(judged.kept, Some(UInt32Array::from(vec![0, 1, 3, 5])));
        let hopping = WindowSpec::hopping(20, 10, 0).unwrap();
        assert_eq!(judge(&rows, &hopping, 11, None, false).late, [(4, None)]);
    }

    #[test]
    fn rows_in_time_cost_nothing() {
        let windows = WindowSpec::tumbling(10, 0).unwrap();
        let rows = times(&[Some(5), Some(9), Some(3)]);
        assert_eq!(judge(&rows, &windows, 0, None, false), Judged::default());
        assert_eq!(judge(&rows, &windows, 0, Some(10), false).late.len(), 3);
        let watermarks = judge(&rows, &windows, 0, Some(1), true).watermarks.unwrap();
        assert_eq!(watermarks.values(), &[1, 5, 9]);
    }
}
