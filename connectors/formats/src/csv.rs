//! `csv`: one record a payload, quoted as in RFC 4180.
//!
//! Options: `delimiter` (default `,`), `quote` (default `"`), `null_value` (default: nothing between two delimiters is
//! NULL, while `""` is an empty STRING, as in Spark). A field either is quoted as a whole or not at all; within quotes
//! a quote is doubled, and delimiters and line ends are text. There is no header: a payload is a record.

use crate::delimited::{without_line_end, wrong_count};
use crate::settings;
use crate::typed::{Field, FieldRules, SplitIn, Splitter, TypedDecoder};
use arrow::datatypes::SchemaRef;
use memchr::memmem::Finder;
use salamander_connector_api::{Decoder, DecoderError};
use std::collections::BTreeMap;
use std::sync::Arc;

/// Makes the decoder for the declared columns.
///
/// # Errors
/// When an option makes no sense, or a column's type has no values in this format.
pub fn decoder(schema: SchemaRef, options: &BTreeMap<String, String>) -> Result<Arc<dyn Decoder>, DecoderError> {
    let quote = match options.get("quote").map_or("\"", String::as_str).as_bytes() {
        [quote] if quote.is_ascii() && !matches!(quote, b'\n' | b'\r') => *quote,
        _ => return Err(DecoderError("option 'quote' is one ASCII character".into())),
    };
    let delimiter = settings::delimiter(options.get("delimiter").map_or(",", String::as_str))?;
    settings::check_delimiter(&delimiter, &[b'\n', b'\r', quote])?;
    let null_value = options.get("null_value").map_or("", String::as_str);
    let rules = FieldRules { null_value: Some(null_value.as_bytes().to_vec()), strip_labels: false };
    let splitter = QuotedSplitter { finder: Finder::new(&delimiter).into_owned(), quote };
    Ok(Arc::new(TypedDecoder::new("csv", schema, splitter, rules)?))
}

/// Splits at delimiters that aren't within quotes.
#[derive(Debug)]
pub(crate) struct QuotedSplitter {
    finder: Finder<'static>,
    quote: u8,
}

impl QuotedSplitter {
    /// Finds the closing quote of a field whose text begins at `from`: (its place, whether a doubled one was met).
    fn closing(&self, record: &[u8], from: usize) -> Option<(usize, bool)> {
        let mut doubled = false;
        let mut at = from;
        loop {
            at += memchr::memchr(self.quote, record.get(at..)?)?;
            if record.get(at + 1) != Some(&self.quote) {
                return Some((at, doubled));
            }
            doubled = true;
            at += 2;
        }
    }

    /// The field that begins at `start`: (the field, whether it has doubled quotes, the byte after it).
    fn field(&self, record: &[u8], start: usize, number: usize) -> Result<(Field, bool, usize), String> {
        let field = |start: usize, end: usize, quoted| Field { start: start as u32, end: end as u32, quoted };
        if record.get(start) != Some(&self.quote) {
            let end = self.finder.find(&record[start..]).map_or(record.len(), |length| start + length);
            return Ok((field(start, end, false), false, end));
        }
        let Some((end, doubled)) = self.closing(record, start + 1) else {
            return Err(format!("field {number}: its quote doesn't close"));
        };
        let rest = &record[end + 1..];
        if !rest.is_empty() && !rest.starts_with(self.finder.needle()) {
            return Err(format!("field {number}: text after its closing quote"));
        }
        Ok((field(start + 1, end, true), doubled, end + 1))
    }

    /// Writes the fields that have been pushed with their doubled quotes halved.
    fn rewrite(&self, record: &[u8], fields: &mut [Field], rewritten: &mut Vec<u8>) {
        let base = rewritten.len();
        for field in fields {
            let text = &record[field.start as usize..field.end as usize];
            field.start = (rewritten.len() - base) as u32;
            let mut rest = text;
            while let Some(at) = if field.quoted { memchr::memchr(self.quote, rest) } else { None } {
                rewritten.extend_from_slice(&rest[..=at]);
                rest = rest.get(at + 2..).unwrap_or_default();
            }
            rewritten.extend_from_slice(rest);
            field.end = (rewritten.len() - base) as u32;
        }
    }
}

impl Splitter for QuotedSplitter {
    fn split(
        &self,
        record: &[u8],
        width: usize,
        fields: &mut Vec<Field>,
        rewritten: &mut Vec<u8>,
    ) -> Result<SplitIn, String> {
        let record = without_line_end(record);
        let before = fields.len();
        let mut start = 0;
        let mut any_doubled = false;
        loop {
            let (field, doubled, end) = self.field(record, start, fields.len() - before + 1)?;
            fields.push(field);
            any_doubled |= doubled;
            if end == record.len() {
                break;
            }
            start = end + self.finder.needle().len();
        }
        let found = fields.len() - before;
        if found != width {
            return Err(wrong_count(found, width));
        }
        if !any_doubled {
            return Ok(SplitIn::Record);
        }
        self.rewrite(record, &mut fields[before..], rewritten);
        Ok(SplitIn::Rewritten)
    }
}
