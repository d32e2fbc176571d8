//! How soon after an epoch the next may begin.

use std::time::Duration;

/// An epoch of at most so many rows shows what an epoch costs by itself.
const FEW_ROWS: usize = 1_000;

/// Keeps the fixed cost of epochs within its share of the time.
///
/// The fixed cost is taken to be that of the cheapest epoch of few rows lately: it costs little else. With a fixed cost of
/// 0.2 ms and a share of 20 %, epochs begin at least 1 ms apart.
#[derive(Debug)]
pub(crate) struct Pace {
    percent: u32,
    /// The fixed cost, once an epoch of few rows has shown it.
    fixed: Option<Duration>,
    not_before: Duration,
}

impl Pace {
    /// A share in percent.
    pub(crate) fn new(percent: u32) -> Self {
        Self { percent: percent.clamp(1, 100), fixed: None, not_before: Duration::ZERO }
    }

    /// An epoch of so many input rows has run.
    pub(crate) fn ran(&mut self, begun: Duration, took: Duration, rows: usize) {
        if rows <= FEW_ROWS {
            // The estimate creeps up, so that one lucky epoch doesn't set it for ever.
            self.fixed = Some(self.fixed.map_or(took, |f| f.min(took) + f / 64).min(took));
        }
        self.not_before = begun + self.fixed.unwrap_or_default() * 100 / self.percent;
    }

    /// How long to wait before the next epoch.
    pub(crate) fn pause(&self, now: Duration) -> Duration {
        self.not_before.saturating_sub(now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pace_keeps_the_share() {
        let mut pace = Pace::new(20);
        let ms = Duration::from_millis;
        assert_eq!(pace.pause(ms(0)), ms(0));
        pace.ran(ms(100), ms(1), 10);
        assert_eq!(pace.pause(ms(101)), ms(4));
        // A big epoch does useful work: its length is no fixed cost.
        pace.ran(ms(200), ms(50), 100_000);
        assert_eq!(pace.pause(ms(250)), ms(0));
    }

    /// A job that only ever had big epochs took the shortest of them for the fixed cost, and slept four fifths of the time.
    #[test]
    fn a_backlog_is_not_paced() {
        let mut pace = Pace::new(20);
        let ms = Duration::from_millis;
        for epoch in 0..5 {
            pace.ran(ms(epoch * 30), ms(30), 15_000);
            assert_eq!(pace.pause(ms((epoch + 1) * 30)), ms(0));
        }
    }
}
