//! The demo's last word: whether the rows add up.

use super::pipeline::Counts;
use std::io::Write;
use std::time::Duration;

/// What was sent, and what was found.
#[derive(Debug, Clone, Copy)]
pub(super) struct Summary {
    /// Rows that the broker has acknowledged.
    pub(super) sent: u64,
    /// How long they were sent.
    pub(super) took: Duration,
    /// What an earlier run had left.
    pub(super) before: Counts,
    /// After catching up, with the job running.
    pub(super) visible: Counts,
    /// After the job was stopped and its rows rolled into files, if it was.
    pub(super) stopped: Option<Counts>,
}

impl Summary {
    /// Rows sent = rows in the table + bad rows, running and stopped.
    pub(super) fn adds_up(&self) -> bool {
        let expected = self.before.total() + self.sent;
        let same = self.stopped.is_none_or(|s| s.good == self.visible.good && s.bad == self.visible.bad);
        self.visible.total() == expected && same
    }

    /// Writes it for people.
    pub(super) fn print(&self, out: &mut impl Write) -> std::io::Result<()> {
        let good = self.visible.good.saturating_sub(self.before.good);
        let bad = self.visible.bad.saturating_sub(self.before.bad);
        #[allow(clippy::cast_precision_loss)] // shown with no decimals
        let rate = self.sent as f64 / self.took.as_secs_f64().max(0.001);
        writeln!(out)?;
        writeln!(out, "sent      {:>12} rows in {:.1} s ({rate:.0} rows/s)", self.sent, self.took.as_secs_f64())?;
        writeln!(out, "in table  {good:>12} rows")?;
        writeln!(out, "bad       {bad:>12} rows, in \"logs$bad_records\" with their bytes and reasons")?;
        if self.before.total() > 0 {
            writeln!(out, "(and {} rows of earlier runs)", self.before.total())?;
        }
        if self.adds_up() {
            return writeln!(out, "OK: rows sent = rows in the table + bad rows");
        }
        let sent = self.before.total() + self.sent;
        writeln!(out, "WRONG: {sent} rows were sent; {} were found while the job ran", self.visible.total())?;
        if let Some(stopped) = self.stopped {
            writeln!(out, "       {} were found after it was stopped", stopped.total())?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn summary(sent: u64, good: u64, bad: u64, stopped_good: u64) -> Summary {
        let before = Counts { good: 5, bad: 1, latest: None };
        Summary {
            sent,
            took: Duration::from_secs(2),
            before,
            visible: Counts { good, bad, latest: None },
            stopped: Some(Counts { good: stopped_good, bad, latest: None }),
        }
    }

    #[test]
    fn lost_and_doubled_rows_are_noticed() {
        assert!(summary(100, 104, 2, 104).adds_up());
        assert!(!summary(100, 103, 2, 103).adds_up());
        assert!(!summary(100, 105, 2, 105).adds_up());
        assert!(!summary(100, 104, 2, 103).adds_up());
        let mut text = Vec::new();
        summary(100, 104, 2, 104).print(&mut text).unwrap();
        let text = String::from_utf8(text).unwrap();
        assert!(text.contains("99 rows\n") && text.contains("OK:") && text.contains("6 rows of earlier"), "{text}");
    }
}
