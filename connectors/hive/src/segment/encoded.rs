//! Rows encoded before there is a segment to put them in.
//!
//! A large epoch's rows are encoded as they leave the plan, a few thousand at a time: their payload is in the CPU's cache
//! then and is let go right after, where a checkpoint's worth of decoded rows would be ten times as large and would have
//! to be fetched from memory again. Until the checkpoint readers decode them from here.

use super::{BLOCK_ROWS, BlockEncoder};
use crate::error::Result;
use crate::layout::TableLayout;
use crate::partition::PartitionValues;
use crate::split::split_by_partition;
use arrow::array::RecordBatch;
use bytes::Bytes;
use std::collections::BTreeMap;
use std::sync::Arc;

/// Rows of one Hive partition as blocks, in order.
#[derive(Debug, Clone)]
pub struct EncodedPart {
    /// A value for each partition column; none for NULL.
    pub values: PartitionValues,
    /// Rows in all blocks.
    pub rows: u64,
    pub(crate) blocks: Vec<Bytes>,
}

impl EncodedPart {
    /// Bytes of all blocks.
    pub fn bytes(&self) -> usize {
        self.blocks.iter().map(Bytes::len).sum()
    }
}

/// Rows of a table, encoded, by Hive partition.
#[derive(Debug, Clone, Default)]
pub struct EncodedRows {
    /// The partitions, each once.
    pub parts: Vec<EncodedPart>,
}

impl EncodedRows {
    /// Rows in all parts.
    pub fn rows(&self) -> u64 {
        self.parts.iter().map(|part| part.rows).sum()
    }

    /// Bytes of all parts.
    pub fn bytes(&self) -> usize {
        self.parts.iter().map(EncodedPart::bytes).sum()
    }
}

/// Encodes batches of a table's rows, partition by partition.
#[derive(Debug)]
pub struct RowsEncoder {
    layout: Arc<TableLayout>,
    partitions: BTreeMap<PartitionValues, PartEncoder>,
}

#[derive(Debug)]
struct PartEncoder {
    rows: u64,
    blocks: Vec<Bytes>,
    open: BlockEncoder,
}

impl RowsEncoder {
    /// An encoder without rows.
    pub fn new(layout: Arc<TableLayout>) -> Self {
        Self { layout, partitions: BTreeMap::new() }
    }

    /// Takes a batch with all of the table's columns, as [`split_by_partition`] does.
    ///
    /// # Errors
    /// When the batch does not fit the table.
    pub fn push(&mut self, batch: &RecordBatch) -> Result<()> {
        for part in split_by_partition(batch, &self.layout)? {
            let encoder = self.partitions.entry(part.values).or_insert_with(|| PartEncoder {
                rows: 0,
                blocks: Vec::new(),
                open: BlockEncoder::new(self.layout.file_schema()),
            });
            encoder.push(&part.batch)?;
        }
        Ok(())
    }

    /// Ends all blocks.
    ///
    /// # Errors
    /// When a nested column can't be written.
    pub fn finish(self) -> Result<EncodedRows> {
        let part = |(values, encoder): (PartitionValues, PartEncoder)| {
            let (rows, blocks) = encoder.finish()?;
            Ok(EncodedPart { values, rows, blocks })
        };
        Ok(EncodedRows { parts: self.partitions.into_iter().map(part).collect::<Result<_>>()? })
    }
}

impl PartEncoder {
    fn push(&mut self, batch: &RecordBatch) -> Result<()> {
        let mut from = 0;
        while from < batch.num_rows() {
            let take = (batch.num_rows() - from).min(BLOCK_ROWS - self.open.rows());
            self.open.push(batch, from, take)?;
            from += take;
            if self.open.rows() == BLOCK_ROWS {
                self.blocks.push(self.open.finish()?.into());
            }
        }
        self.rows += batch.num_rows() as u64;
        Ok(())
    }

    fn finish(mut self) -> Result<(u64, Vec<Bytes>)> {
        if self.open.rows() > 0 {
            self.blocks.push(self.open.finish()?.into());
        }
        Ok((self.rows, self.blocks))
    }
}

/// The rows of an epoch: as they came, encoded, or some of each.
#[derive(Debug, Clone, Default)]
pub struct TableRows {
    /// Batches with all of the table's columns.
    pub batches: Vec<RecordBatch>,
    /// Rows that are encoded already.
    pub encoded: Vec<Arc<EncodedRows>>,
}

impl From<Vec<RecordBatch>> for TableRows {
    fn from(batches: Vec<RecordBatch>) -> Self {
        Self { batches, encoded: Vec::new() }
    }
}

impl TableRows {
    /// How many rows.
    pub fn rows(&self) -> u64 {
        let batches: u64 = self.batches.iter().map(|batch| batch.num_rows() as u64).sum();
        batches + self.encoded.iter().map(|encoded| encoded.rows()).sum::<u64>()
    }

    /// Bytes in memory, buffers that batches share counted as often as they are shared.
    pub fn bytes(&self) -> usize {
        let batches: usize = self.batches.iter().map(RecordBatch::get_array_memory_size).sum();
        batches + self.encoded.iter().map(|encoded| encoded.bytes()).sum::<usize>()
    }

    /// Adds later rows.
    pub fn extend(&mut self, later: Self) {
        self.batches.extend(later.batches);
        self.encoded.extend(later.encoded);
    }
}
