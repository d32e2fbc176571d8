//! Tables for people. Column widths are those of the first rows: up to [`LAID_OUT_TOGETHER`] of them, or what has come
//! when the stream pauses. A wider value further on pushes its row to the right, so nothing is ever cut off.
//!
//! Values are foreign text: control characters are shown escaped, so that no log line can drive the terminal.

use super::{Writer, texts};
use arrow::datatypes::SchemaRef;
use arrow::record_batch::RecordBatch;
use std::io::Write;

const LAID_OUT_TOGETHER: usize = 1_000;

pub(super) struct TableWriter<'a> {
    schema: SchemaRef,
    out: &'a mut (dyn Write + Send),
    /// Rows that wait for the layout.
    waiting: Vec<Vec<String>>,
    /// Fixed with the first rows that are written.
    widths: Option<Vec<usize>>,
}

impl<'a> TableWriter<'a> {
    pub(super) fn new(schema: SchemaRef, out: &'a mut (dyn Write + Send)) -> Self {
        Self { schema, out, waiting: Vec::new(), widths: None }
    }

    /// Fixes the widths if that is still to do, and writes what waits.
    fn lay_out(&mut self) -> anyhow::Result<()> {
        let rows = std::mem::take(&mut self.waiting);
        let widths = match self.widths.take() {
            Some(widths) => widths,
            None => {
                let header: Vec<String> = self.schema.fields().iter().map(|f| disarm(f.name())).collect();
                let widths = measure(&header, &rows);
                write_rule(self.out, &widths)?;
                write_row(self.out, &header, &widths, |_| false)?;
                write_rule(self.out, &widths)?;
                widths
            }
        };
        for row in &rows {
            write_row(self.out, row, &widths, |column| self.schema.field(column).data_type().is_numeric())?;
        }
        self.widths = Some(widths);
        Ok(())
    }
}

impl Writer for TableWriter<'_> {
    fn rows(&mut self, batch: &RecordBatch) -> anyhow::Result<()> {
        let columns = batch.columns().iter().map(texts).collect::<Result<Vec<_>, _>>()?;
        for row in 0..batch.num_rows() {
            let cell = |column: &Vec<Option<String>>| column[row].as_deref().map_or("NULL".to_owned(), disarm);
            self.waiting.push(columns.iter().map(cell).collect());
        }
        if self.widths.is_some() || self.waiting.len() >= LAID_OUT_TOGETHER {
            self.lay_out()?;
        }
        Ok(())
    }

    fn pause(&mut self) -> anyhow::Result<()> {
        if !self.waiting.is_empty() {
            self.lay_out()?;
        }
        Ok(self.out.flush()?)
    }

    fn end(&mut self) -> anyhow::Result<()> {
        self.lay_out()?;
        if let Some(widths) = &self.widths {
            write_rule(self.out, widths)?;
        }
        Ok(())
    }
}

/// The text with control characters escaped; line breaks stay.
fn disarm(text: &str) -> String {
    if !text.chars().any(|c| c.is_control() && c != '\n') {
        return text.to_owned();
    }
    let mut safe = String::with_capacity(text.len() + 8);
    for c in text.chars() {
        match c {
            '\n' => safe.push('\n'),
            c if c.is_control() => safe.extend(c.escape_default()),
            c => safe.push(c),
        }
    }
    safe
}

fn width(cell: &str) -> usize {
    cell.lines().map(|line| line.chars().count()).max().unwrap_or(0)
}

fn measure(header: &[String], rows: &[Vec<String>]) -> Vec<usize> {
    let mut widths: Vec<usize> = header.iter().map(|cell| width(cell)).collect();
    for row in rows {
        for (widest, cell) in widths.iter_mut().zip(row) {
            *widest = (*widest).max(width(cell));
        }
    }
    widths
}

fn write_rule(out: &mut (dyn Write + Send), widths: &[usize]) -> std::io::Result<()> {
    for width in widths {
        write!(out, "+{}", "-".repeat(width + 2))?;
    }
    writeln!(out, "+")
}

/// One row; cells with several lines make it as high as the highest.
fn write_row(
    out: &mut (dyn Write + Send),
    cells: &[String],
    widths: &[usize],
    right: impl Fn(usize) -> bool,
) -> std::io::Result<()> {
    let height = cells.iter().map(|cell| cell.lines().count()).max().unwrap_or(1).max(1);
    for line in 0..height {
        for (column, (cell, width)) in cells.iter().zip(widths).enumerate() {
            let text = cell.lines().nth(line).unwrap_or("");
            if right(column) {
                write!(out, "| {text:>width$} ")?;
            } else {
                write!(out, "| {text:<width$} ")?;
            }
        }
        writeln!(out, "|")?;
    }
    Ok(())
}
