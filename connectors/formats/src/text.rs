//! `text`: the payload is the one STRING column.
//!
//! Nothing fails: bytes that aren't UTF-8 become U+FFFD, one for each maximal broken sequence and one for an encoded
//! surrogate, as Java and so Spark replace them. The column is the payload's own views over its own buffers; only payloads that had to be repaired are
//! copied. A payload that is NULL is NULL (and a bad row only if the column is NOT NULL).

use crate::reason::{self, NULL_REFUSED};
use crate::typed::{kept, projected_batch};
use arrow::array::{Array, ArrayRef, BinaryViewArray, StringViewArray, StringViewBuilder};
use arrow::datatypes::{DataType, SchemaRef};
use salamander_connector_api::{BadRow, Decoded, Decoder, DecoderError, RawBatch};
use std::sync::Arc;

/// Decodes `text`.
#[derive(Debug)]
pub struct TextDecoder {
    schema: SchemaRef,
}

impl TextDecoder {
    /// A decoder for the declared columns.
    ///
    /// # Errors
    /// When the columns aren't one STRING column.
    pub fn new(schema: SchemaRef) -> Result<Self, DecoderError> {
        match schema.fields().as_ref() {
            [column] if column.data_type() == &DataType::Utf8View => Ok(Self { schema }),
            columns => Err(DecoderError(format!(
                "format 'text' fills exactly one STRING column, as in (body STRING); the table has {} columns of \
                 types {}",
                columns.len(),
                columns.iter().map(|column| column.data_type().to_string()).collect::<Vec<_>>().join(", ")
            ))),
        }
    }
}

impl Decoder for TextDecoder {
    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }

    fn decode(&self, raw: &RawBatch, projection: &[usize]) -> Decoded {
        let bad = self.missing(&raw.payload);
        let kept = kept(raw.payload.len(), &bad);
        let rows = raw.payload.len() - bad.len();
        let column = (!projection.is_empty()).then(|| match &kept {
            None => strings(&raw.payload),
            Some(kept) => strings(&kept.iter().map(|&row| raw.payload.value(row as usize)).collect::<Vec<_>>().into()),
        });
        let column = column.map(|column| Arc::new(column) as ArrayRef);
        let batch = projected_batch(&self.schema, projection, rows, |index| column.clone().filter(|_| index == 0));
        Decoded { batch, kept, bad }
    }
}

impl TextDecoder {
    /// Payloads that are NULL where the column is NOT NULL: all that can be wrong with text.
    fn missing(&self, payload: &BinaryViewArray) -> Vec<BadRow> {
        let column = self.schema.field(0);
        if column.is_nullable() || payload.null_count() == 0 {
            return Vec::new();
        }
        let missing = (0..payload.len()).filter(|&row| payload.is_null(row));
        missing.map(|row| reason::field(row as u32, 0, column.name(), NULL_REFUSED, b"")).collect()
    }
}

fn strings(payload: &BinaryViewArray) -> StringViewArray {
    payload.clone().to_string_view().unwrap_or_else(|_| repaired(payload))
}

/// The payloads with U+FFFD for what isn't UTF-8. Sound ones still share the payload's buffers.
fn repaired(payload: &BinaryViewArray) -> StringViewArray {
    let mut builder = StringViewBuilder::with_capacity(payload.len());
    let blocks: Vec<u32> = payload.data_buffers().iter().map(|buffer| builder.append_block(buffer.clone())).collect();
    for row in 0..payload.len() {
        if payload.is_null(row) {
            builder.append_null();
            continue;
        }
        let bytes = payload.value(row);
        let view = arrow::array::ByteView::from(payload.views()[row]);
        let shared = (bytes.len() > 12 && std::str::from_utf8(bytes).is_ok())
            .then(|| blocks.get(view.buffer_index as usize))
            .flatten()
            .is_some_and(|&block| builder.try_append_view(block, view.offset, view.length).is_ok());
        if !shared {
            builder.append_value(repaired_text(bytes));
        }
    }
    builder.finish()
}

/// As `String::from_utf8_lossy`, but that a whole encoded surrogate is one U+FFFD, as in Java, not three.
fn repaired_text(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len());
    let mut rest = bytes;
    while !rest.is_empty() {
        match std::str::from_utf8(rest) {
            Ok(sound) => {
                text.push_str(sound);
                break;
            }
            Err(error) => {
                let (sound, broken) = rest.split_at(error.valid_up_to());
                text.push_str(&String::from_utf8_lossy(sound));
                text.push(char::REPLACEMENT_CHARACTER);
                let length = match broken {
                    [0xED, 0xA0..=0xBF, 0x80..=0xBF, ..] => 3,
                    _ => error.error_len().unwrap_or(broken.len()),
                };
                rest = &broken[length..];
            }
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn broken_bytes_are_replaced_as_in_java() {
        for (bytes, text) in [
            (&b"a\xffb"[..], "a\u{fffd}b"),
            (b"\xf0\x9f\x98", "\u{fffd}"),
            (b"\xe2\x82x", "\u{fffd}x"),
            (b"\xed\xa0\x80x", "\u{fffd}x"),
            (b"\xc0\x80", "\u{fffd}\u{fffd}"),
            ("é".as_bytes(), "é"),
        ] {
            assert_eq!(repaired_text(bytes), text, "{bytes:?}");
        }
    }
}
