//! One JSON object a row, one row a line.

use super::Writer;
use arrow::json::writer::{LineDelimited, WriterBuilder};
use arrow::record_batch::RecordBatch;
use std::io::Write;

pub(super) struct JsonWriter<'a> {
    out: &'a mut (dyn Write + Send),
}

impl<'a> JsonWriter<'a> {
    pub(super) fn new(out: &'a mut (dyn Write + Send)) -> Self {
        Self { out }
    }
}

impl Writer for JsonWriter<'_> {
    fn rows(&mut self, batch: &RecordBatch) -> anyhow::Result<()> {
        if batch.num_rows() == 0 {
            return Ok(());
        }
        let mut writer = WriterBuilder::new().with_explicit_nulls(true).build::<_, LineDelimited>(&mut *self.out);
        writer.write(batch)?;
        writer.finish()?;
        Ok(())
    }

    fn pause(&mut self) -> anyhow::Result<()> {
        Ok(self.out.flush()?)
    }

    fn end(&mut self) -> anyhow::Result<()> {
        Ok(())
    }
}
