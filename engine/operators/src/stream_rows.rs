//! The rows of a stream table: declared columns by the table's decoder, then the metadata columns.

use arrow::array::AsArray;
use arrow::array::{
    Array, ArrayRef, BinaryViewArray, BinaryViewBuilder, Int64Array, RecordBatch, RecordBatchOptions, StringViewArray,
    StringViewBuilder, TimestampMicrosecondArray, UInt32Array, new_null_array,
};
use arrow::compute::{max, take, take_record_batch};
use arrow::datatypes::{Schema, SchemaRef, TimestampMicrosecondType, UInt32Type};
use arrow::error::ArrowError;
use salamander_connector_api::{BadRow, Decoder, RawBatch, bad_records_schema, late_records_schema, metadata_fields};
use salamander_types::SplitId;
use std::sync::Arc;

/// The event time of a stream table (`WATERMARK FOR`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EventTime {
    /// Index of the TIMESTAMP column in [`StreamRows::full_schema`]: a declared one, or [`EventTime::enqueued`].
    pub column: usize,
    /// How far the watermark stays behind the latest event, in microseconds.
    pub delay_micros: i64,
    /// How far a row's time may lie after the time when the source took it, in microseconds: a row beyond it is a bad
    /// record, so that one broken clock can't close all windows. Holds only where the source says when it took a row.
    pub future_micros: i64,
    /// How far a split's watermark may be ahead of the least one before no more of it is read; none if it may be any.
    pub drift_micros: Option<i64>,
}

impl EventTime {
    /// How far into the future a time may be if nothing else is said: an hour.
    pub const FUTURE_MICROS: i64 = 3_600_000_000;

    /// The index of `_enqueued_time` behind so many declared columns.
    pub fn enqueued(declared: usize) -> usize {
        declared + ENQUEUED
    }
}

/// The index of `_enqueued_time` among [`metadata_fields`].
const ENQUEUED: usize = 3;

/// A decoded raw batch as rows of a stream table.
#[derive(Debug, Clone)]
pub struct Rows {
    /// The good rows, with the projected columns.
    pub batch: RecordBatch,
    /// The bad rows.
    pub bad: Vec<BadRow>,
    /// Index in the raw batch of each good row; none when every row is good.
    pub kept: Option<UInt32Array>,
    /// The event times of the good rows, if the table has one.
    pub times: Option<TimestampMicrosecondArray>,
    /// The latest of them, in microseconds since 1970.
    pub latest: Option<i64>,
}

/// Turns raw batches into rows of a stream table, for one projection.
#[derive(Debug, Clone)]
pub struct StreamRows {
    decoder: Arc<dyn Decoder>,
    /// Columns of [`StreamRows::full_schema`] that are wanted, in order.
    projection: Vec<usize>,
    /// The declared ones among them, as the decoder takes them.
    declared: Vec<usize>,
    /// Where the event time stands among what the decoder gives (nowhere if it is `_enqueued_time`), and what is asked
    /// of it.
    event_time: Option<(Option<usize>, EventTime)>,
    schema: SchemaRef,
}

impl StreamRows {
    /// Rows of a decoder's table; `projection` holds indices into [`StreamRows::full_schema`], none for all.
    ///
    /// # Errors
    /// When an index is out of range.
    pub fn try_new(decoder: Arc<dyn Decoder>, projection: Option<&Vec<usize>>) -> Result<Self, ArrowError> {
        let full = Self::full_schema(&decoder.schema());
        let projection = projection.map_or_else(|| (0..full.fields().len()).collect(), Clone::clone);
        let schema = Arc::new(full.project(&projection)?);
        let width = decoder.schema().fields().len();
        let declared = projection.iter().copied().filter(|c| *c < width).collect();
        Ok(Self { decoder, projection, declared, event_time: None, schema })
    }

    /// The same, with the event time looked at: the column is decoded whether projected or not.
    #[must_use]
    pub fn with_event_time(mut self, event_time: Option<EventTime>) -> Self {
        if let Some(time) = event_time {
            let declared = time.column < self.decoder.schema().fields().len();
            let at = declared.then(|| {
                self.declared.iter().position(|c| *c == time.column).unwrap_or_else(|| {
                    self.declared.push(time.column);
                    self.declared.len() - 1
                })
            });
            self.event_time = Some((at, time));
        }
        self
    }

    /// What the table says of its event time.
    pub fn event_time(&self) -> Option<EventTime> {
        self.event_time.map(|(_, time)| time)
    }

    /// The declared columns of a table, and the metadata columns behind them.
    pub fn full_schema(declared: &Schema) -> Schema {
        let fields = declared.fields().iter().map(|f| f.as_ref().clone());
        Schema::new(fields.chain(metadata_fields()).collect::<Vec<_>>())
    }

    /// The projected schema.
    pub fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    /// Decodes a raw batch.
    ///
    /// # Errors
    /// When a decoder breaks its contract (columns of other types or lengths than it declared).
    pub fn rows(&self, raw: &RawBatch) -> Result<Rows, ArrowError> {
        let decoded = self.decoder.decode(raw, &self.declared);
        let width = self.decoder.schema().fields().len();
        let mut kept = decoded.kept.map(UInt32Array::from);
        let mut bad = decoded.bad;
        let mut times = match self.event_time {
            None => None,
            Some((Some(at), _)) => decoded.batch.columns().get(at).cloned(),
            Some((None, _)) => Some(metadata_column(raw, ENQUEUED, kept.as_ref())?),
        }
        .and_then(|times| times.as_primitive_opt::<TimestampMicrosecondType>().cloned());
        let mut batch = decoded.batch;
        if let (Some((_, rule)), Some(known), Some(enqueued)) = (self.event_time, &times, &raw.enqueued)
            && let Some(plausible) = plausible(known, enqueued, kept.as_ref(), rule.future_micros, &mut bad)
        {
            times = Some(take(known, &plausible, None)?.as_primitive::<TimestampMicrosecondType>().clone());
            batch = take_record_batch(&batch, &plausible)?;
            kept = Some(match kept {
                Some(kept) => take(&kept, &plausible, None)?.as_primitive::<UInt32Type>().clone(),
                None => plausible,
            });
        }
        let rows = batch.num_rows();
        let latest = times.as_ref().and_then(max);
        let mut declared = batch.columns().iter();
        let mut columns = Vec::with_capacity(self.projection.len());
        for &column in &self.projection {
            if column < width {
                let next = declared
                    .next()
                    .ok_or_else(|| ArrowError::SchemaError("a decoder left out a projected column".to_owned()))?;
                columns.push(Arc::clone(next));
            } else {
                columns.push(metadata_column(raw, column - width, kept.as_ref())?);
            }
        }
        let options = RecordBatchOptions::new().with_row_count(Some(rows));
        let batch = RecordBatch::try_new_with_options(Arc::clone(&self.schema), columns, &options)?;
        Ok(Rows { batch, bad, kept, times, latest })
    }
}

/// The rows whose time is not too far after the time when the source took them; none if all are. The others become bad.
fn plausible(
    times: &TimestampMicrosecondArray,
    enqueued: &TimestampMicrosecondArray,
    kept: Option<&UInt32Array>,
    future: i64,
    bad: &mut Vec<BadRow>,
) -> Option<UInt32Array> {
    let first = arrow::compute::min(enqueued)?;
    if max(times).is_none_or(|latest| latest <= first.saturating_add(future)) {
        return None;
    }
    let mut plausible = Vec::with_capacity(times.len());
    let known = bad.len();
    for row in 0..times.len() {
        let index = kept.map_or_else(|| u32::try_from(row).unwrap_or(u32::MAX), |kept| kept.value(row));
        let at = index as usize;
        let ahead = times.is_valid(row) && enqueued.is_valid(at) && {
            times.value(row) > enqueued.value(at).saturating_add(future)
        };
        if ahead {
            let by = times.value(row).saturating_sub(enqueued.value(at)) / 1_000_000;
            let reason = format!("its event time lies {by} s after the time when the source took it");
            bad.push(BadRow { row: index, reason });
        } else {
            plausible.push(u32::try_from(row).unwrap_or(u32::MAX));
        }
    }
    if bad.len() == known {
        return None;
    }
    bad.sort_by_key(|b| b.row);
    Some(UInt32Array::from(plausible))
}

/// One of [`metadata_fields`], for the kept rows.
fn metadata_column(raw: &RawBatch, index: usize, kept: Option<&UInt32Array>) -> Result<ArrayRef, ArrowError> {
    let rows = raw.len();
    let data_type = || metadata_fields()[index].data_type().clone();
    let all: ArrayRef = match index {
        0 => Arc::new(repeated(raw.split.as_str(), rows)),
        1 => Arc::new(sequence_numbers(raw)),
        2 => optional(raw.offsets.clone().map(|a| Arc::new(a) as ArrayRef), rows, data_type),
        ENQUEUED => optional(raw.enqueued.clone().map(|a| Arc::new(a) as ArrayRef), rows, data_type),
        4 => optional(raw.partition_key.clone().map(|a| Arc::new(a) as ArrayRef), rows, data_type),
        _ => optional(raw.properties.clone(), rows, data_type),
    };
    match kept {
        Some(kept) => take(&all, kept, None),
        None => Ok(all),
    }
}

fn optional(array: Option<ArrayRef>, rows: usize, data_type: impl Fn() -> arrow::datatypes::DataType) -> ArrayRef {
    array.unwrap_or_else(|| new_null_array(&data_type(), rows))
}

fn repeated(text: &str, rows: usize) -> StringViewArray {
    let mut builder = StringViewBuilder::with_capacity(rows).with_deduplicate_strings();
    for _ in 0..rows {
        builder.append_value(text);
    }
    builder.finish()
}

fn sequence_numbers(raw: &RawBatch) -> Int64Array {
    let first = i64::try_from(raw.first_sequence).unwrap_or(i64::MAX);
    let rows = i64::try_from(raw.len()).unwrap_or(i64::MAX);
    Int64Array::from_iter_values(first..first.saturating_add(rows))
}

/// The bad rows of a raw batch as rows of `$bad_records` (schema: [`bad_records_schema`]).
///
/// # Errors
/// When a bad row's index is out of range: the decoder is broken.
pub fn bad_records(job: &str, raw: &RawBatch, bad: &[BadRow]) -> Result<RecordBatch, ArrowError> {
    let rows = UInt32Array::from_iter_values(bad.iter().map(|b| b.row));
    let body = bodies(raw, &rows)?;
    let reasons = StringViewArray::from_iter_values(bad.iter().map(|b| b.reason.as_str()));
    let columns: Vec<ArrayRef> = vec![
        Arc::new(repeated(job, bad.len())),
        metadata_column(raw, 0, Some(&rows))?,
        metadata_column(raw, 1, Some(&rows))?,
        metadata_column(raw, 2, Some(&rows))?,
        metadata_column(raw, 3, Some(&rows))?,
        Arc::new(body),
        Arc::new(reasons),
    ];
    RecordBatch::try_new(bad_records_schema(), columns)
}

/// The payloads of some rows. Copied, so that a few rows don't hold on to the whole payload buffer.
fn bodies(raw: &RawBatch, rows: &UInt32Array) -> Result<BinaryViewArray, ArrowError> {
    let mut body = BinaryViewBuilder::with_capacity(rows.len());
    for row in rows.values() {
        let row = *row as usize;
        if row >= raw.len() {
            return Err(ArrowError::InvalidArgumentError(format!("row {row} of a batch of {}", raw.len())));
        }
        if raw.payload.is_null(row) {
            body.append_null();
        } else {
            body.append_value(raw.payload.value(row));
        }
    }
    Ok(body.finish())
}

/// Late rows of a raw batch as rows of `$late_records` (schema: [`late_records_schema`]): the index of each among the
/// good rows, and the watermark by which it was late (none for a row without a time).
///
/// # Errors
/// When an index is out of range.
pub fn late_records(
    job: &str,
    raw: &RawBatch,
    good: &Rows,
    late: &[(u32, Option<i64>)],
) -> Result<RecordBatch, ArrowError> {
    let among = UInt32Array::from_iter_values(late.iter().map(|(row, _)| *row));
    let rows = match &good.kept {
        Some(kept) => take(kept, &among, None)?.as_primitive::<UInt32Type>().clone(),
        None => among.clone(),
    };
    let schema = late_records_schema();
    let times = match &good.times {
        Some(times) => take(times, &among, None)?,
        None => new_null_array(schema.field(6).data_type(), late.len()),
    };
    let watermarks = TimestampMicrosecondArray::from_iter(late.iter().map(|(_, watermark)| *watermark));
    let columns: Vec<ArrayRef> = vec![
        Arc::new(repeated(job, late.len())),
        metadata_column(raw, 0, Some(&rows))?,
        metadata_column(raw, 1, Some(&rows))?,
        metadata_column(raw, 2, Some(&rows))?,
        metadata_column(raw, 3, Some(&rows))?,
        Arc::new(bodies(raw, &rows)?),
        times,
        Arc::new(watermarks.with_timezone("UTC")),
    ];
    RecordBatch::try_new(schema, columns)
}

/// The `$bad_records` row that stands for rows which the source's retention took before a job read them.
///
/// # Errors
/// Never in practice: the columns are made to the schema.
pub fn gap_record(job: &str, split: &SplitId, from: u64, to: u64) -> Result<RecordBatch, ArrowError> {
    let reason = format!("rows {from} to {} expired in the source before they were read", to.saturating_sub(1));
    let schema = bad_records_schema();
    let null = |column: usize| new_null_array(schema.field(column).data_type(), 1);
    let columns: Vec<ArrayRef> = vec![
        Arc::new(repeated(job, 1)),
        Arc::new(repeated(split.as_str(), 1)),
        Arc::new(Int64Array::from(vec![i64::try_from(from).unwrap_or(i64::MAX)])),
        null(3),
        null(4),
        null(5),
        Arc::new(StringViewArray::from_iter_values([reason])),
    ];
    RecordBatch::try_new(schema, columns)
}
