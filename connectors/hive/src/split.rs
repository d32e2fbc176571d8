//! Splits batches by Hive partition.
//!
//! The common case, one partition in the whole batch, costs one comparison a row and copies nothing. Otherwise the rows
//! of each partition are gathered, in order; string columns keep sharing their buffers.

use crate::error::{At, HiveError, Result};
use crate::layout::TableLayout;
use crate::partition::{MAX_FOLDER_BYTES, PartitionValues, canonical_value, folder_name, value_texts};
use arrow::array::{Array, ArrayRef, AsArray, RecordBatch, RecordBatchOptions, UInt32Array};
use arrow::datatypes::DataType;
use std::collections::HashMap;

/// The rows of one partition, without the partition columns.
#[derive(Debug, Clone)]
pub struct PartitionedBatch {
    /// A value for each partition column; none for NULL.
    pub values: PartitionValues,
    /// Columns of [`TableLayout::file_schema`].
    pub batch: RecordBatch,
}

/// Splits a batch with all of the table's columns (by position; types that differ are cast) into its partitions, in
/// the order of their first rows.
///
/// A value too long for a folder's name goes to the NULL partition, with a warning: one bad row never stops a job.
///
/// # Errors
/// When the batch does not have the table's columns.
pub fn split_by_partition(batch: &RecordBatch, layout: &TableLayout) -> Result<Vec<PartitionedBatch>> {
    let columns = conform(batch, layout)?;
    let files = layout.file_schema().fields().len();
    let (file_columns, partition_columns) = columns.split_at(files);
    if batch.num_rows() == 0 {
        return Ok(Vec::new());
    }
    if partition_columns.iter().all(is_constant) {
        let mut values = Vec::with_capacity(partition_columns.len());
        for (column, name) in partition_columns.iter().zip(layout.partition_columns()) {
            let texts = value_texts(&column.slice(0, 1))?;
            values.push(row_value(&texts, 0, name));
        }
        let batch = file_batch(layout, file_columns.to_vec(), batch.num_rows())?;
        return Ok(vec![PartitionedBatch { values, batch }]);
    }
    group_rows(partition_columns, layout.partition_columns())?
        .into_iter()
        .map(|(values, rows)| {
            let rows = UInt32Array::from(rows);
            let taken = file_columns
                .iter()
                .map(|c| arrow::compute::take(c, &rows, None))
                .collect::<Result<Vec<_>, _>>()
                .at(&layout.name)?;
            let batch = file_batch(layout, taken, rows.len())?;
            Ok(PartitionedBatch { values, batch })
        })
        .collect()
}

/// The batch as readers will see it once it stands in files: with the table's types, and with NULL for partition values
/// that a folder can't say.
///
/// # Errors
/// When the batch does not have the table's columns.
pub fn as_readers_see(batch: &RecordBatch, layout: &TableLayout) -> Result<RecordBatch> {
    let mut columns = conform(batch, layout)?;
    let files = layout.file_schema().fields().len();
    for (column, name) in columns[files..].iter_mut().zip(layout.partition_columns()) {
        let is_text = matches!(column.data_type(), DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View);
        if !is_text {
            continue;
        }
        let texts = value_texts(column)?;
        let says = |value: &str| {
            canonical_value(Some(value)).is_some()
                && (value.len() * 3 < MAX_FOLDER_BYTES / 2 || folder_name(name, Some(value)).len() <= MAX_FOLDER_BYTES)
        };
        if texts.iter().flatten().all(says) {
            continue;
        }
        let seen: arrow::array::StringArray = texts.iter().map(|v| v.filter(|v| says(v))).collect();
        *column = arrow::compute::cast(&seen, column.data_type()).at(&layout.name)?;
    }
    let options = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
    RecordBatch::try_new_with_options(layout.schema().clone(), columns, &options).at(&layout.name)
}

fn file_batch(layout: &TableLayout, columns: Vec<ArrayRef>, rows: usize) -> Result<RecordBatch> {
    let options = RecordBatchOptions::new().with_row_count(Some(rows));
    RecordBatch::try_new_with_options(layout.file_schema().clone(), columns, &options).at(&layout.name)
}

/// The batch's columns with the table's types.
fn conform(batch: &RecordBatch, layout: &TableLayout) -> Result<Vec<ArrayRef>> {
    let fields = layout.schema().fields();
    if batch.num_columns() != fields.len() {
        let message = format!("a batch of {} columns does not fit the table's {}", batch.num_columns(), fields.len());
        return Err(HiveError::invalid(&layout.name, message));
    }
    fields
        .iter()
        .zip(batch.columns())
        .map(|(field, column)| {
            if column.data_type() == field.data_type() {
                return Ok(column.clone());
            }
            arrow::compute::cast(column, field.data_type()).at(format!(
                "table {}, column {}",
                layout.name,
                field.name()
            ))
        })
        .collect()
}

/// True when every row has the first row's value. May say false for a constant column (long strings).
fn is_constant(column: &ArrayRef) -> bool {
    match column.null_count() {
        0 => {}
        nulls => return nulls == column.len(),
    }
    match column.data_type() {
        DataType::Utf8View => {
            let views = column.as_string_view().views();
            // Views of up to 12 bytes hold the whole value.
            let first = views[0];
            (first as u32) <= 12 && views.iter().all(|v| *v == first)
        }
        DataType::Date32 => {
            let values = column.as_primitive::<arrow::datatypes::Date32Type>().values();
            values.iter().all(|v| *v == values[0])
        }
        DataType::Utf8 => {
            let strings = column.as_string::<i32>();
            let first = strings.value(0);
            strings.iter().all(|v| v == Some(first))
        }
        _ => column.len() == 1,
    }
}

type Groups = Vec<(PartitionValues, Vec<u32>)>;

fn group_rows(columns: &[ArrayRef], names: &[String]) -> Result<Groups> {
    let texts = columns.iter().map(value_texts).collect::<Result<Vec<_>>>()?;
    let rows = columns.first().map_or(0, |c| c.len());
    let mut index: HashMap<Vec<Option<&str>>, usize> = HashMap::new();
    let mut groups: Vec<Vec<u32>> = Vec::new();
    let mut last: Option<(Vec<Option<&str>>, usize)> = None;
    for row in 0..rows {
        let same = |key: &[Option<&str>]| key.iter().zip(&texts).all(|(k, t)| *k == text_at(t, row));
        let group = match &last {
            Some((key, group)) if same(key) => *group,
            _ => {
                let key: Vec<Option<&str>> = texts.iter().map(|t| text_at(t, row)).collect();
                let group = *index.entry(key.clone()).or_insert_with(|| {
                    groups.push(Vec::new());
                    groups.len() - 1
                });
                last = Some((key, group));
                group
            }
        };
        groups[group].push(u32::try_from(row).unwrap_or(u32::MAX));
    }
    merge_by_value(&texts, names, groups)
}

/// Different texts can be one partition (empty and NULL, too long and NULL): such groups become one, rows in order.
fn merge_by_value(texts: &[arrow::array::StringArray], names: &[String], groups: Vec<Vec<u32>>) -> Result<Groups> {
    let mut index: HashMap<PartitionValues, usize> = HashMap::new();
    let mut merged: Groups = Vec::new();
    for rows in groups {
        let first = rows[0] as usize;
        let values: PartitionValues = texts.iter().zip(names).map(|(t, name)| row_value(t, first, name)).collect();
        match index.get(&values) {
            Some(at) => {
                let all = &mut merged[*at].1;
                all.extend(rows);
                all.sort_unstable();
            }
            None => {
                index.insert(values.clone(), merged.len());
                merged.push((values, rows));
            }
        }
    }
    Ok(merged)
}

fn text_at(texts: &arrow::array::StringArray, row: usize) -> Option<&str> {
    texts.is_valid(row).then(|| texts.value(row))
}

fn row_value(texts: &arrow::array::StringArray, row: usize, column: &str) -> Option<String> {
    let value = canonical_value(text_at(texts, row))?;
    let folder = folder_name(column, Some(value));
    if folder.len() > MAX_FOLDER_BYTES {
        let beginning: String = value.chars().take(40).collect();
        tracing::warn!(
            "partition column {column}: a value of {} bytes ('{beginning}…') is too long for a folder's name; its rows \
             go to the NULL partition",
            value.len()
        );
        return None;
    }
    Some(value.to_owned())
}
