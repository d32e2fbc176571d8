//! The live view: redrawn in place on a terminal, one plain line a second elsewhere.

use super::pipeline::ErrorRate;
use super::progress::Progress;
use std::io::{IsTerminal, Write};
use std::net::SocketAddr;

/// Draws the demo's state.
pub(super) struct View {
    terminal: bool,
    flight: SocketAddr,
    /// Lines of the last frame, which the next one overwrites.
    height: usize,
}

impl View {
    pub(super) fn new(flight: SocketAddr) -> Self {
        Self { terminal: std::io::stdout().is_terminal(), flight, height: 0 }
    }

    /// The next frame.
    pub(super) fn draw(
        &mut self,
        progress: &Progress,
        rates: &[ErrorRate],
        out: &mut impl Write,
    ) -> anyhow::Result<()> {
        let now = chrono::Utc::now().timestamp_micros();
        if !self.terminal {
            writeln!(out, "{}", status_line(progress, now))?;
            return Ok(out.flush()?);
        }
        let frame = frame(progress, rates, now, self.flight);
        if self.height > 0 {
            write!(out, "\x1b[{}A", self.height)?;
        }
        for line in &frame {
            writeln!(out, "\r\x1b[2K{line}")?;
        }
        // What the last frame had more.
        write!(out, "\x1b[J")?;
        self.height = frame.len();
        Ok(out.flush()?)
    }

    /// Leaves the last frame standing.
    pub(super) fn close(&mut self) -> anyhow::Result<()> {
        self.height = 0;
        Ok(())
    }
}

/// How long ago a moment was, for people.
fn age(moment: Option<i64>, now: i64) -> String {
    moment.map_or_else(
        || "none yet".to_owned(),
        |moment| {
            #[allow(clippy::cast_precision_loss)] // shown in hundredths of a second
            let seconds = (now - moment) as f64 / 1e6;
            format!("{seconds:.2} s ago")
        },
    )
}

fn status_line(progress: &Progress, now: i64) -> String {
    format!(
        "{:.1} s: {:.0} rows/s, sent {}, visible {}, lag {}, bad {}, latest event {}, watermark {}",
        progress.elapsed.as_secs_f64(),
        progress.rate,
        progress.sent,
        progress.visible,
        progress.lag(),
        progress.bad,
        age(progress.latest, now),
        age(progress.watermark, now)
    )
}

fn frame(progress: &Progress, rates: &[ErrorRate], now: i64, flight: SocketAddr) -> Vec<String> {
    let mut lines = vec![
        format!("salamander demo, {:.0} s  (Ctrl-C ends it)", progress.elapsed.as_secs_f64()),
        format!("ask it: salamander sql --server grpc://{flight}"),
        String::new(),
        format!("  rows/s   {:>12.0}      sent     {:>12}", progress.rate, progress.sent),
        format!("  lag      {:>12}      visible  {:>12}", progress.lag(), progress.visible),
        format!("  bad rows {:>12}      latest event {:>8}", progress.bad, age(progress.latest, now)),
        format!("                             watermark    {:>8}", age(progress.watermark, now)),
        String::new(),
        format!("  {:<24} {:>10} {:>10} {:>8}", "url, last minute", "requests", "errors", "rate"),
    ];
    lines.extend(rates.iter().map(|rate| {
        #[allow(clippy::cast_precision_loss)] // shown in tenths of a percent
        let percent = 100.0 * rate.errors as f64 / (rate.requests.max(1)) as f64;
        format!("  {:<24} {:>10} {:>10} {percent:>7.1}%", printable(&rate.url), rate.requests, rate.errors)
    }));
    lines
}

/// Foreign text must not drive the terminal.
fn printable(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).take(24).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::commands::demo::pipeline::Counts;
    use std::time::Duration;

    #[test]
    fn lines_and_frames_say_what_is_going_on() {
        let mut progress = Progress::new(Counts::default());
        let counts = Counts { good: 990, bad: 10, latest: Some(1_500_000) };
        progress.update(Duration::from_secs(1), 1_020, counts, Some(0));
        assert_eq!(
            status_line(&progress, 2_000_000),
            "1.0 s: 1000 rows/s, sent 1020, visible 1000, lag 20, bad 10, latest event 0.50 s ago, watermark 2.00 s ago"
        );
        let rates = [ErrorRate { url: "/ho\x1bme".into(), requests: 200, errors: 30 }];
        let frame = frame(&progress, &rates, 2_000_000, "127.0.0.1:1".parse().unwrap()).join("\n");
        assert!(frame.contains("/home") && frame.contains("15.0%") && frame.contains("grpc://127.0.0.1:1"), "{frame}");
    }
}
