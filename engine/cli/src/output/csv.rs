//! CSV with a header line.

use super::{Writer, flatten};
use arrow::csv::WriterBuilder;
use arrow::datatypes::SchemaRef;
use arrow::record_batch::RecordBatch;
use std::io::Write;

pub(super) struct CsvWriter<'a> {
    schema: SchemaRef,
    out: &'a mut (dyn Write + Send),
    headed: bool,
}

impl<'a> CsvWriter<'a> {
    pub(super) fn new(schema: SchemaRef, out: &'a mut (dyn Write + Send)) -> Self {
        Self { schema, out, headed: false }
    }

    fn write(&mut self, batch: &RecordBatch) -> anyhow::Result<()> {
        let mut writer = WriterBuilder::new().with_header(!self.headed).build(&mut *self.out);
        self.headed = true;
        writer.write(&flatten(batch)?)?;
        Ok(())
    }
}

impl Writer for CsvWriter<'_> {
    fn rows(&mut self, batch: &RecordBatch) -> anyhow::Result<()> {
        if batch.num_rows() == 0 && self.headed {
            return Ok(());
        }
        self.write(batch)
    }

    fn pause(&mut self) -> anyhow::Result<()> {
        Ok(self.out.flush()?)
    }

    fn end(&mut self) -> anyhow::Result<()> {
        if !self.headed {
            self.write(&RecordBatch::new_empty(self.schema.clone()))?;
        }
        Ok(())
    }
}
