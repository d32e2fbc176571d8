//! A plan without inputs runs once: `INSERT INTO` over tables, or over VALUES.
//!
//! ```text
//!   open ─▶ rows to hidden segments, one after the other ─▶ ONE commit: all segments, the counters ─▶ deliver, roll ─▶ finished
//! ```
//!
//! The commit makes all rows durable and visible together, or none. A generation that finds the counters in the log has
//! only the rest to do; one that is told to end before it begins makes no rows, so an insert that was cut off before its
//! commit inserts nothing. Memory is bounded: the plan is asked for more rows only when those before are in a segment.

use super::{Tenure, commit};
use crate::delivery::queue_entry;
use crate::error::JobError;
use crate::protocol::Ending;
use crate::spec::Target;
use arrow::array::{ArrayData, RecordBatch};
use datafusion::physical_plan::execute_stream;
use datafusion::physical_plan::execution_plan::reset_plan_states;
use futures::StreamExt;
use salamander_hive::{SegmentStamp, write_segment};
use salamander_types::Epoch;
use salamander_types::manifest::JobEntry;
use std::collections::HashSet;
use tokio::sync::watch;

/// Why an insert that has done its work is at rest.
pub const INSERTED: &str = "all rows are inserted";
/// Memory of rows that go into one segment.
const SEGMENT_MEMORY: usize = 64 << 20;

/// Rows that are durable and that no log names yet.
#[derive(Default)]
struct Made {
    segments: Vec<JobEntry>,
    rows: u64,
}

/// Rows that wait for their segment.
#[derive(Default)]
struct Held {
    batches: Vec<RecordBatch>,
    buffers: HashSet<usize>,
    bytes: usize,
}

impl Held {
    fn add(&mut self, batch: RecordBatch) {
        for column in batch.columns() {
            self.weigh(&column.to_data());
        }
        self.batches.push(batch);
    }

    /// Adds up the buffers, each once: batches may be slices of the same ones.
    fn weigh(&mut self, data: &ArrayData) {
        for buffer in data.buffers() {
            if self.buffers.insert(buffer.data_ptr().as_ptr() as usize) {
                self.bytes += buffer.capacity();
            }
        }
        for child in data.child_data() {
            self.weigh(child);
        }
    }
}

impl Tenure {
    /// Inserts the rows, unless an earlier generation has, and tells the job to end. False if it was told to before its
    /// commit: the next generation removes what this one has made.
    pub(super) async fn insert_once(&mut self, ending: &mut watch::Receiver<Option<Ending>>) -> Result<bool, JobError> {
        if self.state.counters.rows_written == 0 {
            let made = tokio::select! {
                biased;
                _ = ending.wait_for(Option::is_some) => return Ok(false),
                made = self.make_segments() => made?,
            };
            // Not given up half-way: whether a commit counts must be known before the next one.
            self.commit_rows(made).await?;
        }
        self.end(Ending::Finish { reason: INSERTED.to_owned() })?;
        Ok(true)
    }

    async fn make_segments(&mut self) -> Result<Made, JobError> {
        let plan = self.spec.plan.clone();
        let physical = reset_plan_states(plan.physical).map_err(JobError::Query)?;
        let mut rows = execute_stream(physical, plan.task).map_err(JobError::Query)?;
        let (mut made, mut held) = (Made::default(), Held::default());
        while let Some(batch) = rows.next().await {
            let batch = batch.map_err(JobError::Query)?;
            made.rows += batch.num_rows() as u64;
            held.add(batch);
            if held.bytes >= SEGMENT_MEMORY {
                self.make_segment(std::mem::take(&mut held), &mut made).await?;
            }
        }
        self.make_segment(held, &mut made).await?;
        Ok(made)
    }

    async fn make_segment(&mut self, held: Held, made: &mut Made) -> Result<(), JobError> {
        let Some(sink) = self.spec.target.table().cloned() else { return Ok(()) };
        let committed_at = self.environment.clock.now_micros();
        let generation = self.head.generation;
        let stamp = SegmentStamp { job: self.spec.id.clone(), generation, epoch: self.epoch, committed_at };
        let written = write_segment(&sink.layout, stamp, &self.environment.entropy, held.batches.into()).await?;
        let entry = |segment| JobEntry::Segment { table: sink.layout.id.clone(), segment };
        made.segments.extend(written.map(entry));
        Ok(())
    }

    async fn commit_rows(&mut self, made: Made) -> Result<(), JobError> {
        if made.rows == 0 {
            return Ok(());
        }
        self.counters.rows_written = made.rows;
        let mut entries = made.segments;
        entries.push(JobEntry::Counters(self.counters));
        if let Target::Delivery { outbox, .. } = &self.spec.target {
            entries.extend(queue_entry(&outbox.layout.id, self.head.number.next(), &entries));
        }
        let (head, state) = commit(&self.log, &self.spec, &self.head, &self.state, entries).await?;
        self.won(head, state, Epoch(0))?;
        let counters = self.counters;
        self.status.update(|s| s.counters = counters);
        self.after_commit();
        Ok(())
    }
}
