//! A job's open sources: readers that live across epochs.

use crate::error::JobError;
use salamander_connector_api::{RawBatch, SourceDescription, SplitReader, Take};
use salamander_planner::JobInput;
use salamander_types::manifest::{JobEntry, JobState};
use salamander_types::{Cursor, SplitId, TableId};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Notify;

/// A split without rows for so long, at the end of its log, doesn't hold the job's watermark.
const IDLE_AFTER: Duration = Duration::from_secs(5);

/// What an epoch takes from the readers.
#[derive(Debug, Default)]
pub(crate) struct Taken {
    /// Raw batches for each scan of the plan.
    pub(crate) scans: Vec<Vec<RawBatch>>,
    /// Positions after them, by source table.
    pub(crate) moved: BTreeMap<TableId, Cursor>,
    /// Rows that their source no longer had.
    pub(crate) gaps: Vec<Gap>,
    pub(crate) rows: usize,
    pub(crate) bytes: usize,
}

/// Rows that a source's retention took before the job read them, which its options allow.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Gap {
    pub(crate) table: TableId,
    pub(crate) split: SplitId,
    pub(crate) from: u64,
    pub(crate) to: u64,
}

impl Taken {
    pub(crate) fn is_empty(&self) -> bool {
        self.moved.is_empty()
    }
}

#[derive(Debug)]
struct OpenSplit {
    input: usize,
    split: SplitId,
    reader: Box<dyn SplitReader>,
    /// The next row that the job will take.
    next: u64,
    byte: Option<u64>,
    /// When it last gave rows, or was opened.
    active: Duration,
}

/// All readers of a job.
#[derive(Debug)]
pub(crate) struct Inputs {
    inputs: Vec<JobInput>,
    scans: usize,
    open: Vec<OpenSplit>,
    known: BTreeSet<(usize, SplitId)>,
    /// New splits on their way into the log: opened once their start is committed.
    announced: BTreeSet<(usize, SplitId)>,
    notify: Arc<Notify>,
    /// Which reader the next epoch begins with, so that none starves.
    turn: usize,
    bounded: bool,
}

/// What a look at the sources found.
#[derive(Debug)]
pub(crate) struct Look {
    descriptions: Vec<SourceDescription>,
}

impl Look {
    /// Looks at all sources of a plan.
    pub(crate) async fn at(inputs: &[JobInput]) -> Result<Self, JobError> {
        let mut descriptions = Vec::with_capacity(inputs.len());
        for input in inputs {
            descriptions.push(input.stream.source.describe().await?);
        }
        Ok(Self { descriptions })
    }

    /// What the log must say before the first epoch: identities that it lacks, and start positions of new splits.
    pub(crate) fn entries(&self, inputs: &[JobInput], state: &JobState) -> Result<Vec<JobEntry>, JobError> {
        let mut entries = Vec::new();
        for (input, description) in inputs.iter().zip(&self.descriptions) {
            let table = &input.stream.id;
            let known = state.sources.get(table);
            match known.and_then(|s| s.identity.as_ref()) {
                None => entries
                    .push(JobEntry::SourceIdentity { table: table.clone(), identity: description.identity.clone() }),
                Some(identity) if *identity == description.identity => {}
                Some(identity) => {
                    return Err(JobError::SourceChanged(format!(
                        "{} is not the source that the job began with: it was '{identity}' and is '{}'. Create a new \
                         job to read it from its start",
                        input.stream.name, description.identity
                    )));
                }
            }
            let cursor: Cursor = description
                .splits
                .iter()
                .filter(|s| known.is_none_or(|k| !k.cursor.contains_key(&s.split)))
                .map(|s| (s.split.clone(), s.start.clone()))
                .collect();
            if !cursor.is_empty() {
                entries.push(JobEntry::Advance { table: table.clone(), cursor });
            }
        }
        Ok(entries)
    }

    /// A position beyond what a source has means that the source lost rows or was made anew.
    pub(crate) fn check(&self, inputs: &[JobInput], state: &JobState) -> Result<(), JobError> {
        for (input, description) in inputs.iter().zip(&self.descriptions) {
            let Some(source) = state.sources.get(&input.stream.id) else { continue };
            for info in &description.splits {
                let (Some(end), Some(position)) = (info.end, source.cursor.get(&info.split)) else { continue };
                if position.next > end {
                    return Err(JobError::SourceChanged(format!(
                        "{}, {:?}: the job has read up to row {}, but the source ends at {end}: it has lost rows or \
                         was made anew",
                        input.stream.name, info.split, position.next
                    )));
                }
            }
        }
        Ok(())
    }
}

impl Inputs {
    /// Opens a reader for each split that the committed state names and that has not ended.
    pub(crate) async fn open(
        inputs: &[JobInput],
        scans: usize,
        state: &JobState,
        look: &Look,
        now: Duration,
    ) -> Result<Self, JobError> {
        let bounded = look.descriptions.iter().all(|d| d.bounded);
        let mut all = Self { bounded, ..Self::none(inputs, scans) };
        all.open_new(state, now).await?;
        Ok(all)
    }

    /// No readers: a generation that only ends what is committed.
    pub(crate) fn none(inputs: &[JobInput], scans: usize) -> Self {
        Self {
            inputs: inputs.to_vec(),
            scans,
            open: Vec::new(),
            known: BTreeSet::new(),
            announced: BTreeSet::new(),
            notify: Arc::new(Notify::new()),
            turn: 0,
            bounded: false,
        }
    }

    /// Opens the splits of a committed state that aren't open yet.
    pub(crate) async fn open_new(&mut self, state: &JobState, now: Duration) -> Result<(), JobError> {
        for (index, input) in self.inputs.iter().enumerate() {
            let Some(source) = state.sources.get(&input.stream.id) else { continue };
            for (split, position) in &source.cursor {
                let key = (index, split.clone());
                self.announced.remove(&key);
                if !self.known.insert(key) || position.finished {
                    continue;
                }
                let reader = input.stream.source.open(split, position, Arc::clone(&self.notify)).await?;
                self.open.push(OpenSplit {
                    input: index,
                    split: split.clone(),
                    reader,
                    next: position.next,
                    byte: position.byte,
                    active: now,
                });
            }
        }
        Ok(())
    }

    /// Keeps of a look's entries what no earlier look has announced: a split that was found again while its first
    /// entry was on its way would be sent back to its start.
    pub(crate) fn announce(&mut self, entries: Vec<JobEntry>) -> Vec<JobEntry> {
        let mut kept = Vec::new();
        for entry in entries {
            let JobEntry::Advance { table, mut cursor } = entry else {
                kept.push(entry);
                continue;
            };
            let Some(index) = self.inputs.iter().position(|i| i.stream.id == table) else { continue };
            cursor.retain(|split, _| {
                let key = (index, split.clone());
                !self.known.contains(&key) && self.announced.insert(key)
            });
            if !cursor.is_empty() {
                kept.push(JobEntry::Advance { table, cursor });
            }
        }
        kept
    }

    /// True while new splits are on their way into the log.
    pub(crate) fn awaits_splits(&self) -> bool {
        !self.announced.is_empty()
    }

    /// Wakes when a reader that had nothing may have something.
    pub(crate) fn notify(&self) -> Arc<Notify> {
        Arc::clone(&self.notify)
    }

    /// True when all splits have ended and no new ones come.
    pub(crate) fn ended(&self) -> bool {
        self.bounded && self.open.is_empty()
    }

    /// True when new splits may appear.
    pub(crate) fn may_grow(&self) -> bool {
        !self.bounded
    }

    /// Takes what is there, within the budgets, but nothing of splits that are to wait.
    pub(crate) fn take(
        &mut self,
        max_rows: usize,
        max_bytes: usize,
        waiting: &BTreeSet<(TableId, SplitId)>,
    ) -> Result<Taken, JobError> {
        let mut taken = Taken { scans: vec![Vec::new(); self.scans], ..Taken::default() };
        let count = self.open.len();
        let mut ended = Vec::new();
        for i in 0..count {
            let at = (self.turn + i) % count;
            let slot = &self.open[at];
            if !waiting.is_empty() && waiting.contains(&(self.inputs[slot.input].stream.id.clone(), slot.split.clone()))
            {
                continue;
            }
            self.take_split(at, max_rows, max_bytes, &mut taken, &mut ended)?;
            if taken.rows >= max_rows || taken.bytes >= max_bytes {
                break;
            }
        }
        self.turn = self.turn.wrapping_add(1) % count.max(1);
        ended.sort_unstable();
        for at in ended.into_iter().rev() {
            self.open.swap_remove(at);
        }
        Ok(taken)
    }

    fn take_split(
        &mut self,
        at: usize,
        max_rows: usize,
        max_bytes: usize,
        taken: &mut Taken,
        ended: &mut Vec<usize>,
    ) -> Result<(), JobError> {
        let slot = &mut self.open[at];
        let input = &self.inputs[slot.input];
        while taken.rows < max_rows && taken.bytes < max_bytes {
            match slot.reader.take(max_rows - taken.rows, max_bytes - taken.bytes)? {
                Take::Empty => break,
                Take::Finished => {
                    let mut end = salamander_types::Position::at(slot.next);
                    end.byte = slot.byte;
                    end.finished = true;
                    taken.moved.entry(input.stream.id.clone()).or_default().insert(slot.split.clone(), end);
                    ended.push(at);
                    break;
                }
                Take::Gap { from, to } => {
                    let gap = Gap { table: input.stream.id.clone(), split: slot.split.clone(), from, to };
                    taken.gaps.push(gap);
                    slot.next = to;
                    let cursor = taken.moved.entry(input.stream.id.clone()).or_default();
                    cursor.insert(slot.split.clone(), salamander_types::Position::at(to));
                }
                Take::Batch(batch) => {
                    check_consecutive(input, slot.next, &batch)?;
                    slot.next = batch.next.next;
                    slot.byte = batch.next.byte;
                    taken.rows += batch.len();
                    taken.bytes += batch.bytes;
                    let cursor = taken.moved.entry(input.stream.id.clone()).or_default();
                    cursor.insert(slot.split.clone(), batch.next.clone());
                    for scan in &input.scans[1..] {
                        taken.scans[*scan].push(batch.clone());
                    }
                    taken.scans[input.scans[0]].push(batch);
                }
            }
        }
        Ok(())
    }

    /// The open splits of a source, and which of them are idle: at the end of their log, without rows for a while.
    pub(crate) fn idle(&self, table: &TableId, now: Duration) -> Vec<(SplitId, bool)> {
        let open = self.open.iter().filter(|s| self.inputs[s.input].stream.id == *table);
        open.map(|s| {
            let quiet = now.saturating_sub(s.active) >= IDLE_AFTER;
            (s.split.clone(), quiet && s.reader.status().at_end)
        })
        .collect()
    }

    /// Notes which splits have just given rows.
    pub(crate) fn note_active(&mut self, moved: &BTreeMap<TableId, Cursor>, now: Duration) {
        for slot in &mut self.open {
            let cursor = moved.get(&self.inputs[slot.input].stream.id);
            if cursor.is_some_and(|c| c.contains_key(&slot.split)) {
                slot.active = now;
            }
        }
    }

    /// Rows that the sources are known to have beyond what was taken; none if any can't tell.
    pub(crate) fn lag(&self) -> Option<u64> {
        self.open.iter().map(|s| s.reader.status().end.map(|end| end.saturating_sub(s.next))).sum()
    }
}

/// Each range begins where the last ended.
fn check_consecutive(input: &JobInput, next: u64, batch: &RawBatch) -> Result<(), JobError> {
    if batch.first_sequence == next && batch.next.next == next + batch.len() as u64 {
        return Ok(());
    }
    Err(JobError::Internal(format!(
        "{}, {:?}: a batch of rows {}..{} came where row {next} was next",
        input.stream.name, batch.split, batch.first_sequence, batch.next.next
    )))
}
