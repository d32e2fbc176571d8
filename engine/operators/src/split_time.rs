//! The running watermark of each split within an epoch.
//!
//! A row is judged by the watermark of its own split's rows before it. Batches of one split may be decoded by several
//! plan partitions at once, so each batch waits, after it is decoded, until those before it have said how far they went.
//! That can't block for ever: every partition takes its batches in the order in which they came, so the first batch that
//! is not through never waits, and partitions run at the same time whenever more than one has input.

use crate::epoch::EpochTime;
use parking_lot::Mutex;
use salamander_types::SplitId;
use std::collections::HashMap;
use tokio::sync::Notify;

#[derive(Debug, Default)]
pub(crate) struct SplitTimes {
    /// No row is judged by less than the job's watermark: what ended by then is emitted in this epoch.
    job: Option<i64>,
    running: Mutex<HashMap<(usize, SplitId), Running>>,
    moved: Notify,
}

#[derive(Debug, Default)]
struct Running {
    /// The number of the next batch.
    next: usize,
    watermark: Option<i64>,
}

impl SplitTimes {
    pub(crate) fn new(time: &EpochTime) -> Self {
        let running = |watermark: &i64| Running { next: 0, watermark: Some(*watermark) };
        let running = time.splits.iter().map(|(split, watermark)| (split.clone(), running(watermark))).collect();
        Self { job: time.watermark, running: Mutex::new(running), moved: Notify::new() }
    }

    /// Waits for the split's batches before this one; then the watermark before it. `after` is how far its own rows
    /// bring the watermark.
    pub(crate) async fn pass(&self, source: usize, split: &SplitId, number: usize, after: Option<i64>) -> Option<i64> {
        loop {
            let mut moved = std::pin::pin!(self.moved.notified());
            moved.as_mut().enable();
            if let Some(before) = self.try_pass(source, split, number, after) {
                self.moved.notify_waiters();
                return before;
            }
            moved.await;
        }
    }

    fn try_pass(&self, source: usize, split: &SplitId, number: usize, after: Option<i64>) -> Option<Option<i64>> {
        let mut running = self.running.lock();
        let split = running.entry((source, split.clone())).or_default();
        if split.next != number {
            return None;
        }
        let before = split.watermark.max(self.job);
        split.next += 1;
        split.watermark = split.watermark.max(after);
        Some(before)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;

    #[tokio::test]
    async fn batches_pass_in_order() {
        let split = SplitId::new("a");
        let time = EpochTime { watermark: Some(5), splits: [((0, split.clone()), 1)].into(), ..EpochTime::default() };
        let times = Arc::new(SplitTimes::new(&time));
        let second = {
            let (times, split) = (Arc::clone(&times), split.clone());
            tokio::spawn(async move { times.pass(0, &split, 1, Some(30)).await })
        };
        tokio::task::yield_now().await;
        assert_eq!(times.pass(0, &split, 0, Some(20)).await, Some(5), "not below the job's");
        assert_eq!(second.await.unwrap(), Some(20));
        assert_eq!(times.pass(0, &split, 2, None).await, Some(30));
        assert_eq!(times.pass(1, &split, 0, None).await, Some(5), "another source");
    }
}
