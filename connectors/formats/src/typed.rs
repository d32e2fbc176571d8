//! From records that are split into fields to typed columns: what `delimited` and `csv` share.
//!
//! Records are taken in blocks that fit the processor's cache: first each record of a block is split, then each column
//! of the block is parsed in one loop of one type, then the rows that turned out bad are taken out of the block.
//!
//! ```text
//!   payloads ──Splitter──▶ fields of a block ──per column──▶ values ──without the bad rows──▶ columns
//! ```

use crate::columns::{Kind, Lane, Values};
use crate::label::LabelFinder;
use crate::views::Record;
use crate::{number, reason, time};
use arrow::array::{Array, ArrayRef, BinaryViewArray, ByteView, RecordBatch, RecordBatchOptions};
use arrow::buffer::Buffer;
use arrow::datatypes::SchemaRef;
use salamander_connector_api::{BadRow, Decoded, Decoder, DecoderError, RawBatch};
use std::fmt::Debug;
use std::sync::Arc;

/// Records that are decoded at a time: their bytes and fields stay in the second-level cache.
const BLOCK_ROWS: usize = 128;

/// A field: a part of a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Field {
    /// Its first byte in the record.
    pub(crate) start: u32,
    /// The byte after its last.
    pub(crate) end: u32,
    /// It stood in quotes, hence is never NULL.
    pub(crate) quoted: bool,
}

/// What the fields of a split record are parts of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum SplitIn {
    /// The record.
    Record,
    /// What the splitter has written of it to the block's own buffer.
    Rewritten,
}

/// Splits records into fields.
pub(crate) trait Splitter: Send + Sync + Debug + 'static {
    /// Pushes exactly `width` fields. Bytes that have to be changed (escaped quotes) are written to `rewritten`, from
    /// its present end on, and the fields are parts of what was written. Both may hold anything after an error.
    ///
    /// # Errors
    /// Why the record has not `width` fields.
    fn split(
        &self,
        record: &[u8],
        width: usize,
        fields: &mut Vec<Field>,
        rewritten: &mut Vec<u8>,
    ) -> Result<SplitIn, String>;
}

/// What holds for all fields.
#[derive(Debug, Default)]
pub(crate) struct FieldRules {
    /// The text that stands for NULL where it isn't quoted.
    pub(crate) null_value: Option<Vec<u8>>,
    /// Strip `Label: ` before values, and units behind numbers.
    pub(crate) strip_labels: bool,
}

/// A decoder of split records.
#[derive(Debug)]
pub(crate) struct TypedDecoder<S> {
    schema: SchemaRef,
    kinds: Vec<Kind>,
    splitter: S,
    rules: FieldRules,
}

impl<S: Splitter> TypedDecoder<S> {
    pub(crate) fn new(format: &str, schema: SchemaRef, splitter: S, rules: FieldRules) -> Result<Self, DecoderError> {
        if schema.fields().is_empty() {
            return Err(DecoderError(format!("format '{format}' needs at least one column")));
        }
        let kinds = schema
            .fields()
            .iter()
            .map(|field| {
                Kind::of(field.data_type()).ok_or_else(|| {
                    DecoderError(format!(
                        "column '{}': format '{format}' has no values of type {}: declare it as STRING, a number, \
                         BOOLEAN, DATE or TIMESTAMP, or take format 'json'",
                        field.name(),
                        field.data_type()
                    ))
                })
            })
            .collect::<Result<_, _>>()?;
        Ok(Self { schema, kinds, splitter, rules })
    }

    /// True for a column that any text fits.
    fn never_fails(&self, column: usize) -> bool {
        let nullable = self.rules.null_value.is_none() || self.schema.field(column).is_nullable();
        matches!(self.kinds[column], Kind::Text) && nullable
    }

    fn width(&self) -> usize {
        self.kinds.len()
    }

    /// Splits the records of a block, and checks that they are UTF-8.
    fn split_block<'a>(
        &self,
        payload: &'a BinaryViewArray,
        rows: std::ops::Range<usize>,
        fields: &mut Vec<Field>,
        rewritten: &mut Vec<u8>,
        bad: &mut Vec<BadRow>,
    ) -> Vec<SplitRecord<'a>> {
        let mut records = Vec::with_capacity(rows.len());
        for row in rows {
            let record = record_at(payload, row);
            let (written, pushed) = (rewritten.len(), fields.len());
            let split = self.splitter.split(record.bytes, self.width(), fields, rewritten);
            let row = row as u32;
            let refused = match &split {
                Err(why) => Some(BadRow { row, reason: why.clone() }),
                Ok(_) if is_utf8(record.bytes) => None,
                Ok(place) => {
                    let whole = match place {
                        SplitIn::Record => record.bytes,
                        SplitIn::Rewritten => &rewritten[written..],
                    };
                    Some(self.not_utf8(row, whole, &fields[pushed..]))
                }
            };
            match (split, refused) {
                (Ok(SplitIn::Record), None) => records.push(SplitRecord { row, record, rewritten: None }),
                (Ok(SplitIn::Rewritten), None) => {
                    records.push(SplitRecord { row, record, rewritten: Some(written..rewritten.len()) });
                }
                (_, refused) => {
                    bad.extend(refused);
                    fields.truncate(pushed);
                    rewritten.truncate(written);
                }
            }
        }
        records
    }

    fn not_utf8(&self, row: u32, whole: &[u8], fields: &[Field]) -> BadRow {
        for (index, (field, column)) in fields.iter().zip(self.schema.fields()).enumerate() {
            let text = &whole[field.start as usize..field.end as usize];
            if std::str::from_utf8(text).is_err() {
                return reason::field(row, index, column.name(), "not UTF-8", text);
            }
        }
        BadRow { row, reason: "the record is not UTF-8".into() }
    }

    /// Parses one column of a block, whether it is wanted or not.
    fn parse_column(&self, block: &Block<'_>, column: usize, lane: &mut Lane, failures: &mut [Option<BadRow>]) {
        let units = self.rules.strip_labels;
        let scan = Scan { decoder: self, block, column };
        let valid = &mut lane.valid;
        match (&mut lane.values, self.kinds[column]) {
            (Values::Text(to), _) => scan.texts(to, valid, failures),
            (Values::Int8(to), _) => {
                scan.run(to, valid, failures, "not a TINYINT", |t| number::integer(t, units)?.try_into().ok());
            }
            (Values::Int16(to), _) => {
                scan.run(to, valid, failures, "not a SMALLINT", |t| number::integer(t, units)?.try_into().ok());
            }
            (Values::Int32(to), _) => {
                scan.run(to, valid, failures, "not an INT", |t| number::integer(t, units)?.try_into().ok());
            }
            (Values::Int64(to), _) => {
                scan.run(to, valid, failures, "not a BIGINT", |t| number::integer(t, units));
            }
            (Values::Float(to), _) => {
                scan.run(to, valid, failures, "not a number", |t| number::float(t, units));
            }
            (Values::Double(to), _) => {
                scan.run(to, valid, failures, "not a number", |t| number::double(t, units));
            }
            (Values::Boolean(to), _) => scan.run(to, valid, failures, "not a BOOLEAN", number::boolean),
            (Values::Decimal(to), Kind::Decimal(precision, scale)) => {
                let what = format!("not a DECIMAL({precision}, {scale})");
                scan.run(to, valid, failures, &what, |t| number::decimal(t, precision, scale, units));
            }
            (Values::Decimal(_), _) => {}
            (Values::Date(to), _) => scan.run(to, valid, failures, "not a DATE (yyyy-MM-dd)", time::date),
            (Values::Timestamp(to), _) => {
                scan.run(to, valid, failures, "not a TIMESTAMP (ISO 8601)", time::timestamp);
            }
        }
    }
}

impl<S: Splitter> Decoder for TypedDecoder<S> {
    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }

    fn decode(&self, raw: &RawBatch, projection: &[usize]) -> Decoded {
        let payload = &raw.payload;
        let rows = payload.len();
        let mut buffers: Vec<Buffer> = payload.data_buffers().to_vec();
        let mut lanes: Vec<Lane> = self.lanes(projection, rows);
        let mut bad = Vec::new();
        let mut good = 0;
        let mut fields = Vec::with_capacity(BLOCK_ROWS * self.width());
        for first in (0..rows).step_by(BLOCK_ROWS) {
            fields.clear();
            let bad_before = bad.len();
            let mut rewritten = Vec::new();
            let block_rows = first..rows.min(first + BLOCK_ROWS);
            let split = self.split_block(payload, block_rows, &mut fields, &mut rewritten, &mut bad);
            let block = Block {
                records: split.iter().map(|record| record.resolve(&rewritten, buffers.len())).collect(),
                fields: &fields,
            };
            let mut failures = vec![None; split.len()];
            for (column, lane) in lanes.iter_mut().enumerate() {
                if !lane.wanted && self.never_fails(column) {
                    continue;
                }
                self.parse_column(&block, column, lane, &mut failures);
            }
            let keep: Vec<bool> = failures.iter().map(Option::is_none).collect();
            for lane in &mut lanes {
                lane.end_block(good, &keep);
            }
            good += keep.iter().filter(|&&kept| kept).count();
            for (failure, record) in failures.into_iter().zip(&split) {
                bad.extend(failure.map(|failure| BadRow { row: record.row, ..failure }));
            }
            bad[bad_before..].sort_unstable_by_key(|row| row.row);
            if !rewritten.is_empty() {
                buffers.push(Buffer::from_vec(rewritten));
            }
        }
        let batch = self.batch(projection, lanes, buffers.into(), good);
        Decoded { kept: kept(rows, &bad), batch, bad }
    }
}

impl<S: Splitter> TypedDecoder<S> {
    /// One lane a column; those that aren't wanted are parsed too, but keep nothing.
    fn lanes(&self, projection: &[usize], rows: usize) -> Vec<Lane> {
        let nulls = self.rules.null_value.is_some();
        let lane = |(column, &kind)| {
            let wanted = projection.contains(&column);
            let capacity = if wanted { rows } else { BLOCK_ROWS.min(rows) };
            Lane { values: Values::new(kind, capacity), valid: nulls.then(Vec::new), wanted }
        };
        self.kinds.iter().enumerate().map(lane).collect()
    }

    fn batch(&self, projection: &[usize], lanes: Vec<Lane>, buffers: Arc<[Buffer]>, rows: usize) -> RecordBatch {
        let mut arrays: Vec<Option<ArrayRef>> = Vec::with_capacity(lanes.len());
        for (lane, field) in lanes.into_iter().zip(self.schema.fields()) {
            arrays.push(lane.wanted.then(|| lane.into_array(field.data_type(), &buffers)));
        }
        projected_batch(&self.schema, projection, rows, |column| arrays.get(column)?.clone())
    }
}

/// The wanted columns as a batch. Indices that the schema doesn't have are left out.
pub(crate) fn projected_batch(
    schema: &SchemaRef,
    projection: &[usize],
    rows: usize,
    column: impl Fn(usize) -> Option<ArrayRef>,
) -> RecordBatch {
    let wanted: Vec<(usize, ArrayRef)> = projection.iter().filter_map(|&index| Some((index, column(index)?))).collect();
    let fields: Vec<_> = wanted.iter().map(|(index, _)| Arc::clone(&schema.fields()[*index])).collect();
    let schema = Arc::new(arrow::datatypes::Schema::new(fields));
    let columns = wanted.into_iter().map(|(_, array)| array).collect();
    let options = RecordBatchOptions::new().with_row_count(Some(rows));
    // The columns are built from this schema and are `rows` long each, so that this can't fail; an empty batch would
    // make the engine see rows missing and stop.
    RecordBatch::try_new_with_options(Arc::clone(&schema), columns, &options)
        .unwrap_or_else(|_| RecordBatch::new_empty(schema))
}

/// Index of each good row among `rows`; none if all are good.
pub(crate) fn kept(rows: usize, bad: &[BadRow]) -> Option<Vec<u32>> {
    if bad.is_empty() {
        return None;
    }
    let mut bad = bad.iter().map(|row| row.row).peekable();
    Some((0..rows as u32).filter(|row| bad.next_if_eq(row).is_none()).collect())
}

/// A record of a block that has been split.
struct SplitRecord<'a> {
    row: u32,
    record: Record<'a>,
    rewritten: Option<std::ops::Range<usize>>,
}

impl<'a> SplitRecord<'a> {
    /// The bytes that its fields are parts of.
    fn resolve<'b>(&self, rewritten: &'b [u8], buffer: usize) -> Record<'b>
    where
        'a: 'b,
    {
        match &self.rewritten {
            None => self.record,
            Some(range) => {
                Record { bytes: &rewritten[range.clone()], buffer: buffer as u32, offset: range.start as u32 }
            }
        }
    }
}

/// The records of a block and their fields, row after row.
struct Block<'a> {
    records: Vec<Record<'a>>,
    fields: &'a [Field],
}

/// One column of one block.
struct Scan<'a, S> {
    decoder: &'a TypedDecoder<S>,
    block: &'a Block<'a>,
    column: usize,
}

impl<S: Splitter> Scan<'_, S> {
    fn texts(&self, to: &mut Vec<u128>, valid: &mut Option<Vec<bool>>, failures: &mut [Option<BadRow>]) {
        self.each(to, valid, failures, "", |record, start, end| Some(record.view(start, end)));
    }

    fn run<T: Copy + Default>(
        &self,
        to: &mut Vec<T>,
        valid: &mut Option<Vec<bool>>,
        failures: &mut [Option<BadRow>],
        what: &str,
        parse: impl Fn(&[u8]) -> Option<T>,
    ) {
        self.each(to, valid, failures, what, |record, start, end| parse(&record.bytes[start..end]));
    }

    /// Pushes one value a record. Values of records that fail, here or in an earlier column, are of no meaning.
    ///
    /// What the rules ask for is decided here, once a block, and not in the loop.
    #[inline(always)]
    fn each<T: Copy + Default>(
        &self,
        to: &mut Vec<T>,
        valid: &mut Option<Vec<bool>>,
        failures: &mut [Option<BadRow>],
        what: &str,
        parse: impl Fn(&Record<'_>, usize, usize) -> Option<T>,
    ) {
        let rules = &self.decoder.rules;
        match (valid, &rules.null_value, rules.strip_labels) {
            (Some(valid), Some(null), strip) => {
                let is_null = |field: &Field, text: &[u8]| !field.quoted && text == null;
                self.values(to, failures, what, strip, is_null, |null| valid.push(!null), parse);
            }
            (_, _, false) => self.values(to, failures, what, false, |_, _| false, |_| {}, parse),
            (_, _, true) => self.values(to, failures, what, true, |_, _| false, |_| {}, parse),
        }
    }

    #[inline(always)]
    #[allow(clippy::too_many_arguments)]
    fn values<T: Copy + Default>(
        &self,
        to: &mut Vec<T>,
        failures: &mut [Option<BadRow>],
        what: &str,
        strip_labels: bool,
        is_null: impl Fn(&Field, &[u8]) -> bool,
        mut seen: impl FnMut(bool),
        parse: impl Fn(&Record<'_>, usize, usize) -> Option<T>,
    ) {
        let column = self.decoder.schema.field(self.column);
        let mut labels = LabelFinder::default();
        let fields = self.block.fields.chunks_exact(self.decoder.width());
        let rows = self.block.records.iter().zip(fields).zip(failures);
        to.extend(rows.map(|((record, fields), failure)| {
            let field = &fields[self.column];
            let (mut start, end) = (field.start as usize, field.end as usize);
            if strip_labels {
                start += labels.skip(&record.bytes[start..end]);
            }
            let text = &record.bytes[start..end];
            let null = is_null(field, text);
            seen(null);
            let value = if null { column.is_nullable().then(T::default) } else { parse(record, start, end) };
            if value.is_none() && failure.is_none() {
                let what = if null { reason::NULL_REFUSED } else { what };
                *failure = Some(reason::field(0, self.column, column.name(), what, text));
            }
            value.unwrap_or_default()
        }));
    }
}

fn is_utf8(bytes: &[u8]) -> bool {
    bytes.is_ascii() || std::str::from_utf8(bytes).is_ok()
}

/// The record of a row, and where it lies; a payload that is NULL is an empty record.
fn record_at(payload: &BinaryViewArray, row: usize) -> Record<'_> {
    if payload.is_null(row) {
        return Record { bytes: &[], buffer: 0, offset: 0 };
    }
    let view = ByteView::from(payload.views()[row]);
    Record { bytes: payload.value(row), buffer: view.buffer_index, offset: view.offset }
}
