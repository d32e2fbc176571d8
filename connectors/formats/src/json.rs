//! `json`: one object a payload, columns by name.
//!
//! Keys that aren't columns are ignored; columns without a key are NULL. A column takes the key of exactly its name
//! or, if the object has none, the first key that differs from it in case only. Numbers and booleans fit STRING
//! columns, text that reads as a number or a timestamp fits those. STRUCT, ARRAY and MAP nest.
//!
//! Arrow's JSON reader decodes whole batches and says only that one of the rows is wrong. Rows are therefore decoded
//! together first; where that fails, the culprit is set aside if its syntax gives it away, else the rows are parted
//! and parted again until it stands alone. What is sound is never lost, and a batch without bad rows costs one pass.

mod keys;

use crate::reason::shortened;
use crate::typed::{kept, projected_batch};
use arrow::array::{Array, ArrayRef, BinaryViewArray, RecordBatch, UInt32Array};
use arrow::compute::{concat_batches, take_record_batch};
use arrow::datatypes::{Field, Schema, SchemaRef};
use arrow::error::ArrowError;
use arrow::json::ReaderBuilder;
use keys::{Extent, Spelling};
use salamander_connector_api::{BadRow, Decoded, Decoder, DecoderError, RawBatch};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// Characters of the reader's message that a reason takes over.
const MESSAGE: usize = 300;

/// Rows that are decoded together once it is known that some of a batch are bad.
const FEW_ROWS: usize = 32;
/// Deepest nesting: Arrow's reader recurses, and what is deeper could overflow the stack.
const MAX_DEPTH: usize = 128;

/// Decodes `json`.
#[derive(Debug)]
pub struct JsonDecoder {
    schema: SchemaRef,
}

impl JsonDecoder {
    /// A decoder for the declared columns.
    ///
    /// # Errors
    /// When there are no columns, or one is of a type that JSON has no values for.
    pub fn new(schema: SchemaRef) -> Result<Self, DecoderError> {
        if schema.fields().is_empty() {
            return Err(DecoderError("format 'json' needs at least one column".into()));
        }
        reader(&schema, 1)
            .build_decoder()
            .map_err(|error| DecoderError(format!("format 'json' can't fill these columns: {}", message(&error))))?;
        Ok(Self { schema })
    }
}

fn reader(schema: &SchemaRef, rows: usize) -> ReaderBuilder {
    ReaderBuilder::new(Arc::clone(schema)).with_batch_size(rows + 1).with_coerce_primitive(true)
}

fn message(error: &ArrowError) -> String {
    let text = error.to_string();
    let text = text.strip_prefix("Json error: ").unwrap_or(&text);
    text.chars().take(MESSAGE).collect()
}

/// Sound rows of a batch, and the index of each.
struct Piece {
    batch: RecordBatch,
    rows: Vec<u32>,
}

/// Why rows weren't decoded.
enum Refused {
    /// This one is the culprit.
    Row(usize, String),
    /// One of them is.
    Somewhere,
}

/// Decodes rows of one payload array by one schema.
struct Pass<'a> {
    schema: &'a SchemaRef,
    payload: &'a BinaryViewArray,
    pieces: Vec<Piece>,
    bad: Vec<BadRow>,
}

impl<'a> Pass<'a> {
    fn over(schema: &'a SchemaRef, payload: &'a BinaryViewArray, rows: &[u32]) -> Self {
        let mut pass = Self { schema, payload, pieces: Vec::new(), bad: Vec::new() };
        pass.decode(rows);
        pass
    }

    /// Recurses about twice as deep as the logarithm of [`FEW_ROWS`].
    fn decode(&mut self, rows: &[u32]) {
        let mut rest = rows;
        while !rest.is_empty() {
            match self.attempt(rest) {
                Ok(batch) => {
                    self.pieces.push(Piece { batch, rows: rest.to_vec() });
                    return;
                }
                Err(Refused::Row(culprit, reason)) => {
                    self.bad.push(BadRow { row: rest[culprit], reason });
                    self.decode(&rest[..culprit]);
                    rest = &rest[culprit + 1..];
                }
                Err(Refused::Somewhere) => {
                    let part = if rest.len() > 2 * FEW_ROWS { FEW_ROWS } else { rest.len() / 2 };
                    for rows in rest.chunks(part.max(1)) {
                        self.decode(rows);
                    }
                    return;
                }
            }
        }
    }

    fn attempt(&self, rows: &[u32]) -> Result<RecordBatch, Refused> {
        let mut decoder =
            reader(self.schema, rows.len()).build_decoder().map_err(|error| Refused::Row(0, message(&error)))?;
        for (index, &row) in rows.iter().enumerate() {
            let refuse = |reason: String| Refused::Row(index, reason);
            let bytes = if self.payload.is_null(row as usize) { b"" } else { self.payload.value(row as usize) };
            let object = bytes.trim_ascii();
            if object.first() != Some(&b'{') {
                return Err(refuse(format!("not a JSON object: '{}'", shortened(bytes))));
            }
            if std::str::from_utf8(object).is_err() {
                return Err(refuse("not UTF-8".into()));
            }
            // Whether a payload is one object is settled here: how much of a second one the reader would take depends
            // on the rows before it.
            match keys::extent(object, MAX_DEPTH) {
                Extent::Ends(last) if last + 1 == object.len() => {}
                Extent::Ends(_) => return Err(refuse("more than one JSON object".into())),
                Extent::Open => return Err(refuse("the JSON object doesn't end".into())),
                Extent::TooDeep => return Err(refuse(format!("nested deeper than {MAX_DEPTH} levels"))),
            }
            decoder.decode(object).map_err(|error| refuse(message(&error)))?;
            if decoder.has_partial_record() || decoder.len() != index + 1 {
                return Err(refuse("not one JSON object".into()));
            }
        }
        match decoder.flush() {
            Ok(Some(batch)) if batch.num_rows() == rows.len() => Ok(batch),
            Err(error) if rows.len() == 1 => Err(Refused::Row(0, message(&error))),
            _ if rows.len() == 1 => Err(Refused::Row(0, "not one JSON object".into())),
            _ => Err(Refused::Somewhere),
        }
    }

    /// Rows that lack a column: only those may spell a column's name otherwise.
    fn incomplete(&self) -> Vec<u32> {
        let mut rows: Vec<u32> = self.bad.iter().map(|bad| bad.row).collect();
        for piece in &self.pieces {
            let nulls: Vec<_> = piece.batch.columns().iter().filter_map(|column| column.logical_nulls()).collect();
            let lacks = |index: &usize| nulls.iter().any(|nulls| nulls.is_null(*index));
            rows.extend((0..piece.rows.len()).filter(lacks).map(|index| piece.rows[index]));
        }
        rows
    }

    /// Forgets rows that another pass decodes.
    fn forget(&mut self, rows: &BTreeSet<u32>) -> Result<(), ArrowError> {
        self.bad.retain(|bad| !rows.contains(&bad.row));
        for piece in &mut self.pieces {
            let keep: Vec<u32> =
                (0..piece.rows.len() as u32).filter(|&at| !rows.contains(&piece.rows[at as usize])).collect();
            if keep.len() < piece.rows.len() {
                piece.rows = keep.iter().map(|&at| piece.rows[at as usize]).collect();
                piece.batch = take_record_batch(&piece.batch, &UInt32Array::from(keep))?;
            }
        }
        Ok(())
    }
}

impl JsonDecoder {
    fn decode_all(&self, payload: &BinaryViewArray) -> Result<(RecordBatch, Vec<BadRow>), ArrowError> {
        let rows: Vec<u32> = (0..payload.len() as u32).collect();
        let mut pass = Pass::over(&self.schema, payload, &rows);
        let mut respelled: BTreeMap<Spelling, Vec<u32>> = BTreeMap::new();
        for row in pass.incomplete() {
            let spelling = keys::spelling(payload.value(row as usize), &self.schema);
            if !spelling.is_empty() {
                respelled.entry(spelling).or_default().push(row);
            }
        }
        if !respelled.is_empty() {
            pass.forget(&respelled.values().flatten().copied().collect())?;
            for (spelling, mut rows) in respelled {
                rows.sort_unstable();
                let schema = self.respelled(&spelling);
                let other = Pass::over(&schema, payload, &rows);
                pass.bad.extend(other.bad);
                for piece in other.pieces {
                    let batch = RecordBatch::try_new(Arc::clone(&self.schema), piece.batch.columns().to_vec())?;
                    pass.pieces.push(Piece { batch, rows: piece.rows });
                }
            }
        }
        pass.bad.sort_unstable_by_key(|bad| bad.row);
        Ok((in_order(&self.schema, pass.pieces)?, pass.bad))
    }

    /// The columns, some under the name that the payload spells.
    fn respelled(&self, spelling: &Spelling) -> SchemaRef {
        let mut fields: Vec<_> = self.schema.fields().to_vec();
        for (column, key) in spelling {
            let field = Field::clone(&fields[*column]);
            fields[*column] = Arc::new(field.with_name(key));
        }
        Arc::new(Schema::new(fields))
    }
}

/// Puts pieces together, rows in the order of their index.
fn in_order(schema: &SchemaRef, pieces: Vec<Piece>) -> Result<RecordBatch, ArrowError> {
    let rows: Vec<u32> = pieces.iter().flat_map(|piece| piece.rows.iter().copied()).collect();
    let batch = match pieces.as_slice() {
        [piece] => piece.batch.clone(),
        pieces => concat_batches(schema, pieces.iter().map(|piece| &piece.batch))?,
    };
    if rows.is_sorted() {
        return Ok(batch);
    }
    let mut order: Vec<u32> = (0..rows.len() as u32).collect();
    order.sort_unstable_by_key(|&at| rows[at as usize]);
    take_record_batch(&batch, &UInt32Array::from(order))
}

impl Decoder for JsonDecoder {
    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }

    fn decode(&self, raw: &RawBatch, projection: &[usize]) -> Decoded {
        let rows = raw.payload.len();
        // Arrow can refuse to put columns together (a limit of 2 GiB in one of them): no row is lost, each is bad.
        let (batch, bad) = self.decode_all(&raw.payload).unwrap_or_else(|error| {
            let bad = (0..rows as u32).map(|row| BadRow { row, reason: message(&error) });
            (RecordBatch::new_empty(Arc::clone(&self.schema)), bad.collect())
        });
        let column = |index: usize| -> Option<ArrayRef> { batch.columns().get(index).cloned() };
        let projected = projected_batch(&self.schema, projection, batch.num_rows(), column);
        Decoded { kept: kept(rows, &bad), batch: projected, bad }
    }
}
