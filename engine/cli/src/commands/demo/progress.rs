//! What the view shows, from one look to the next: rates and lag from counts. Pure.

use super::pipeline::Counts;
use std::time::Duration;

/// Numbers of the moment.
#[derive(Debug, Clone)]
pub(super) struct Progress {
    before: Counts,
    /// Time since the producer began.
    pub(super) elapsed: Duration,
    /// Rows that the broker has acknowledged.
    pub(super) sent: u64,
    /// Rows of this run that are visible.
    pub(super) visible: u64,
    /// Rows of this run that did not decode.
    pub(super) bad: u64,
    /// Rows that became visible, a second, since the last look.
    pub(super) rate: f64,
    /// Event time of the newest row, in microseconds since 1970.
    pub(super) latest: Option<i64>,
    /// The job's watermark, in microseconds since 1970.
    pub(super) watermark: Option<i64>,
}

impl Progress {
    /// Nothing yet, but what an earlier run has left.
    pub(super) fn new(before: Counts) -> Self {
        Self { before, elapsed: Duration::ZERO, sent: 0, visible: 0, bad: 0, rate: 0.0, latest: None, watermark: None }
    }

    /// The next look. `sent` must have been read after the counts: then the lag is never below zero for long.
    pub(super) fn update(&mut self, elapsed: Duration, sent: u64, counts: Counts, watermark: Option<i64>) {
        let visible = counts.total().saturating_sub(self.before.total());
        let seconds = elapsed.saturating_sub(self.elapsed).as_secs_f64();
        if seconds > 0.0 {
            #[allow(clippy::cast_precision_loss)] // shown with no decimals
            let rows = visible.saturating_sub(self.visible) as f64;
            self.rate = rows / seconds;
        }
        self.elapsed = elapsed;
        self.sent = sent;
        self.visible = visible;
        self.bad = counts.bad.saturating_sub(self.before.bad);
        self.latest = counts.latest;
        self.watermark = watermark;
    }

    /// Rows that are sent and not visible yet.
    pub(super) fn lag(&self) -> u64 {
        self.sent.saturating_sub(self.visible)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_and_lag_leave_an_earlier_run_out() {
        let before = Counts { good: 100, bad: 10, latest: None };
        let mut progress = Progress::new(before);
        progress.update(Duration::from_secs(1), 1_000, Counts { good: 1_000, bad: 20, latest: Some(5) }, None);
        assert_eq!((progress.visible, progress.bad, progress.lag()), (910, 10, 90));
        assert_eq!(progress.rate.round(), 910.0);
        progress.update(Duration::from_secs(3), 3_000, Counts { good: 3_000, bad: 110, latest: Some(7) }, None);
        assert_eq!((progress.visible, progress.lag()), (3_000, 0));
        assert_eq!(progress.rate.round(), 1_045.0);
    }
}
