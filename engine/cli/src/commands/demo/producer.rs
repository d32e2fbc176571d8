//! Makes log lines at a rate and sends them to the broker over AMQP, as the users' own producer would.
//!
//! A row counts as sent when the broker has acknowledged it. After a failed send nobody knows whether the rows of that
//! batch have arrived, so the producer stops and says so rather than send them twice.

use super::pipeline::HUB;
use super::sender::Sender;
use crate::commands::server::connection_string;
use anyhow::Context;
use bytes::Bytes;
use futures::StreamExt;
use futures::stream::FuturesUnordered;
use parking_lot::Mutex;
use salamander_generator::Generator;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

/// How often lines are made.
const TICK: Duration = Duration::from_millis(5);
/// A batch stays below the 1 MiB of a message, envelopes included.
const MAX_BATCH_BYTES: usize = 800 * 1024;
/// And below this many rows, so that a broker that falls behind is not flooded.
const MAX_BATCH_ROWS: usize = 2_000;
/// Batches on their way at once, each over a connection of its own: one waits for the broker's fsync while the next is made.
const LANES: usize = 4;
/// One line in a hundred is damaged, in one of ten ways.
const DAMAGED: f64 = 0.01;

/// What a producer is started with.
pub(super) struct ProducerOptions {
    broker: SocketAddr,
    rate: u64,
    seed: u64,
}

impl ProducerOptions {
    /// Lines to this broker, so many a second.
    pub(super) fn new(broker: SocketAddr, rate: u64) -> Self {
        Self { broker, rate, seed: 42 }
    }
}

/// A running producer.
pub(super) struct Producer {
    shared: Arc<Shared>,
    stop: CancellationToken,
    task: JoinHandle<anyhow::Result<()>>,
}

#[derive(Default)]
struct Shared {
    sent: AtomicU64,
    failure: Mutex<Option<String>>,
}

impl Producer {
    /// Starts to send.
    pub(super) fn start(options: ProducerOptions) -> anyhow::Result<Self> {
        let connection = connection_string(options.broker);
        let senders = (0..LANES).map(|_| Sender::new(&connection, HUB)).collect::<anyhow::Result<Vec<_>>>()?;
        let shared = Arc::new(Shared::default());
        let stop = CancellationToken::new();
        let work = produce(options, senders, Arc::clone(&shared), stop.clone());
        let reporting = Arc::clone(&shared);
        let task = tokio::spawn(async move {
            let outcome = work.await;
            if let Err(error) = &outcome {
                *reporting.failure.lock() = Some(format!("{error:#}"));
            }
            outcome
        });
        Ok(Self { shared, stop, task })
    }

    /// Rows that the broker has acknowledged.
    pub(super) fn sent(&self) -> u64 {
        self.shared.sent.load(Ordering::Acquire)
    }

    /// Why it has stopped by itself.
    pub(super) fn failure(&self) -> Option<String> {
        self.shared.failure.lock().clone()
    }

    /// Ends it after the batch in flight; the rows that it has sent in all.
    pub(super) async fn stop(self) -> anyhow::Result<u64> {
        self.stop.cancel();
        self.task.await.context("the producer has ended by a mistake of its own")??;
        Ok(self.shared.sent.load(Ordering::Acquire))
    }
}

async fn produce(
    options: ProducerOptions,
    mut idle: Vec<Sender>,
    shared: Arc<Shared>,
    stop: CancellationToken,
) -> anyhow::Result<()> {
    let generator = Generator { seed: options.seed, damaged: DAMAGED, odd: 0.0, start_micros: 0, step_micros: 0 };
    let began = Instant::now();
    let mut ticks = tokio::time::interval(TICK);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let mut made = 0_u64;
    let mut sending = FuturesUnordered::new();
    while !stop.is_cancelled() {
        let rows = due(options.rate, began.elapsed()) - made;
        if rows > 0
            && let Some(sender) = idle.pop()
        {
            let batch = make_batch(&generator, made, rows);
            made += batch.len() as u64;
            sending.push(send(sender, batch));
            continue;
        }
        tokio::select! {
            Some(sent) = sending.next() => idle.push(acknowledge(&shared, sent)?),
            _ = ticks.tick(), if rows == 0 => {}
            () = stop.cancelled() => {}
        }
    }
    while let Some(sent) = sending.next().await {
        acknowledge(&shared, sent)?;
    }
    Ok(())
}

async fn send(mut sender: Sender, batch: Vec<Bytes>) -> anyhow::Result<(Sender, u64)> {
    sender.send(&batch).await.context("a batch of rows may or may not have arrived")?;
    Ok((sender, batch.len() as u64))
}

/// Counts a batch that has arrived; its sender is free again.
fn acknowledge(shared: &Shared, sent: anyhow::Result<(Sender, u64)>) -> anyhow::Result<Sender> {
    let (sender, rows) = sent?;
    shared.sent.fetch_add(rows, Ordering::AcqRel);
    Ok(sender)
}

/// How many rows should have been made by now.
fn due(rate: u64, elapsed: Duration) -> u64 {
    u64::try_from(u128::from(rate) * elapsed.as_micros() / 1_000_000).unwrap_or(u64::MAX)
}

/// The next lines, with the time of this moment, up to the limits of a batch.
fn make_batch(generator: &Generator, first: u64, rows: u64) -> Vec<Bytes> {
    let now = chrono::Utc::now().timestamp_micros();
    let mut batch = Vec::new();
    let mut bytes = 0;
    for row in first..first + rows {
        let mut line = Vec::with_capacity(512);
        generator.line_at(row, now, &mut line);
        bytes += line.len();
        batch.push(Bytes::from(line));
        if batch.len() >= MAX_BATCH_ROWS || bytes >= MAX_BATCH_BYTES {
            break;
        }
    }
    batch
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn batches_keep_their_limits_and_the_rate_is_kept_over_time() {
        let generator = Generator { seed: 1, damaged: DAMAGED, odd: 0.0, start_micros: 0, step_micros: 0 };
        assert_eq!(make_batch(&generator, 0, 10).len(), 10);
        let full = make_batch(&generator, 10, 1_000_000);
        assert!(full.len() <= MAX_BATCH_ROWS);
        assert!(full.iter().map(Bytes::len).sum::<usize>() < MAX_BATCH_BYTES + 4_096);
        assert_eq!(due(1_000, Duration::from_millis(1_500)), 1_500);
    }
}
