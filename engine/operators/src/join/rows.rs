//! The rows of one side in one bucket of time, and their index by key.
//!
//! Rows are numbered in the order in which they came. Segments hold stretches of them and can be merged with their
//! neighbours without a change to numbers or index.

use super::spec::JoinSpec;
use super::spec::Side;
use crate::states;
use arrow::array::{Array, ArrayRef, RecordBatch};
use datafusion::common::hash_utils::{RandomState, create_hashes};
use datafusion::common::{Result, exec_err};
use salamander_state::ChunkId;
use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};

/// The end of a chain.
pub(super) const NONE: u32 = u32::MAX;

/// Hashes are good as they are.
#[derive(Debug, Default, Clone)]
pub(super) struct AsIs(u64);

impl Hasher for AsIs {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        self.0 = bytes.iter().fold(self.0, |hash, byte| (hash << 8) | u64::from(*byte));
    }

    fn write_u64(&mut self, hash: u64) {
        self.0 = hash;
    }
}

/// A stretch of rows.
#[derive(Debug, Clone)]
pub(super) struct Segment {
    /// The number of its first row.
    pub(super) first: u32,
    pub(super) batch: RecordBatch,
    pub(super) keys: Vec<ArrayRef>,
    /// Its chunk, once it has been through a checkpoint.
    pub(super) chunk: Option<ChunkId>,
}

#[derive(Debug, Default)]
pub(super) struct Rows {
    pub(super) segments: Vec<Segment>,
    pub(super) times: Vec<i64>,
    /// The newest row of each hash.
    heads: HashMap<u64, u32, BuildHasherDefault<AsIs>>,
    /// The row before each with the same hash.
    next: Vec<u32>,
    /// Which have matched; empty where nobody asks.
    pub(super) matched: Vec<bool>,
    /// Those that have matched since the last checkpoint.
    pub(super) fresh: Vec<u32>,
}

/// Key columns of rows, and their hashes; none for rows that have a NULL among them.
pub(super) struct Keyed {
    pub(super) keys: Vec<ArrayRef>,
    pub(super) hashes: Vec<Option<u64>>,
}

pub(super) fn keyed(spec: &JoinSpec, side: Side, batch: &RecordBatch) -> Result<Keyed> {
    let rows = batch.num_rows();
    let keys = spec.keys[side.index()].iter().map(|key| key.evaluate(batch)?.into_array(rows));
    let keys = keys.collect::<Result<Vec<_>>>()?;
    let mut hashes = vec![0u64; rows];
    create_hashes(&keys, &RandomState::with_seed(0), &mut hashes)?;
    let null = |row: usize| keys.iter().any(|key| key.is_null(row));
    let hashes = hashes.into_iter().enumerate().map(|(row, hash)| (!null(row)).then_some(hash)).collect();
    Ok(Keyed { keys, hashes })
}

impl Rows {
    pub(super) fn len(&self) -> u32 {
        u32::try_from(self.times.len()).unwrap_or(NONE)
    }

    /// Adds rows with keys; the number of the first.
    pub(super) fn push(
        &mut self,
        batch: RecordBatch,
        keyed: Keyed,
        times: &[i64],
        marks: bool,
        chunk: Option<ChunkId>,
    ) -> Result<u32> {
        if self.times.len() + times.len() >= NONE as usize {
            return exec_err!("a join has more than {NONE} rows within one stretch of time: make its bounds narrower");
        }
        let first = self.len();
        for (row, hash) in (first..).zip(&keyed.hashes) {
            let before = hash.and_then(|hash| self.heads.insert(hash, row));
            self.next.push(before.unwrap_or(NONE));
        }
        self.times.extend_from_slice(times);
        if marks {
            self.matched.resize(self.times.len(), false);
        }
        self.segments.push(Segment { first, batch, keys: keyed.keys, chunk });
        Ok(first)
    }

    /// The rows of a hash, newest first.
    pub(super) fn chain(&self, hash: u64) -> impl Iterator<Item = u32> {
        let first = self.heads.get(&hash).copied();
        std::iter::successors(first, |row| self.next.get(*row as usize).copied().filter(|next| *next != NONE))
    }

    /// Which segment a row is in.
    pub(super) fn segment_of(&self, row: u32) -> usize {
        self.segments.partition_point(|segment| segment.first <= row).saturating_sub(1)
    }

    /// Marks a row; true if it wasn't.
    pub(super) fn mark(&mut self, row: u32) -> bool {
        match self.matched.get_mut(row as usize) {
            Some(matched) if !*matched => {
                *matched = true;
                self.fresh.push(row);
                true
            }
            _ => false,
        }
    }
}

/// The batch with views of its own, so that a row doesn't hold on to a whole payload.
pub(super) fn compact(batch: &RecordBatch) -> Result<RecordBatch> {
    let columns = batch.columns().iter().cloned().map(states::compact).collect();
    Ok(RecordBatch::try_new(batch.schema(), columns)?)
}
