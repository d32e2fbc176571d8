//! Encodes a large epoch's rows as they leave its plan.
//!
//! Under a backlog an epoch holds ten thousand rows and more. Decoded they weigh ten times what a segment of them does,
//! and by the next checkpoint they would have left the CPU's cache; see [`salamander_hive::RowsEncoder`].

use arrow::array::RecordBatch;
use datafusion::common::Result;
use parking_lot::Mutex;
use salamander_hive::{EncodedRows, RowsEncoder, TableLayout, TableRows};
use salamander_operators::{OutputSink, OutputWriter};
use std::sync::Arc;

/// Collects an epoch's encoded rows of one table.
#[derive(Debug)]
pub(crate) struct EncodingSink {
    layout: Arc<TableLayout>,
    done: Arc<Mutex<Vec<Arc<EncodedRows>>>>,
}

impl EncodingSink {
    pub(crate) fn new(layout: Arc<TableLayout>) -> Self {
        Self { layout, done: Arc::default() }
    }

    /// What the writers that have finished have made.
    pub(crate) fn take(&self) -> TableRows {
        TableRows { batches: Vec::new(), encoded: std::mem::take(&mut *self.done.lock()) }
    }
}

impl OutputSink for EncodingSink {
    fn writer(&self) -> Box<dyn OutputWriter> {
        Box::new(EncodingWriter { encoder: RowsEncoder::new(Arc::clone(&self.layout)), done: Arc::clone(&self.done) })
    }

    fn rows(&self) -> u64 {
        self.done.lock().iter().map(|encoded| encoded.rows()).sum()
    }
}

struct EncodingWriter {
    encoder: RowsEncoder,
    done: Arc<Mutex<Vec<Arc<EncodedRows>>>>,
}

impl OutputWriter for EncodingWriter {
    fn write(&mut self, batch: &RecordBatch) -> Result<()> {
        Ok(self.encoder.push(batch)?)
    }

    fn finish(self: Box<Self>) -> Result<()> {
        let encoded = self.encoder.finish()?;
        if !encoded.parts.is_empty() {
            self.done.lock().push(Arc::new(encoded));
        }
        Ok(())
    }
}
