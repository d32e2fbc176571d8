//! `delimited`: fields between literal delimiters, as in `2023-12-22T22:07:37.780123 | INFO | req_1 | …`.
//!
//! Options: `delimiter` (required), `strip_labels` (`true`: `Response Time: 0.83s` is 0.83; a label is
//! letters and spaces before the first `": "`), `null_value` (the text that stands for NULL; without it nothing does). One line end at
//! the end of a record doesn't count. There are no quotes and no escapes: what needs them is `csv`.

use crate::settings;
use crate::typed::{Field, FieldRules, SplitIn, Splitter, TypedDecoder};
use arrow::datatypes::SchemaRef;
use salamander_connector_api::{Decoder, DecoderError};
use std::collections::BTreeMap;
use std::sync::Arc;

/// Makes the decoder for the declared columns.
///
/// # Errors
/// When an option is missing or makes no sense, or a column's type has no values in this format.
pub fn decoder(schema: SchemaRef, options: &BTreeMap<String, String>) -> Result<Arc<dyn Decoder>, DecoderError> {
    let text = options
        .get("delimiter")
        .ok_or_else(|| DecoderError("format 'delimited' needs the option 'delimiter', for example ' | '".into()))?;
    let delimiter = settings::delimiter(text)?;
    settings::check_delimiter(&delimiter, b"\n\r")?;
    let rules = FieldRules {
        null_value: options.get("null_value").map(|text| text.clone().into_bytes()),
        strip_labels: settings::flag(options, "strip_labels")?,
    };
    Ok(Arc::new(TypedDecoder::new("delimited", schema, LiteralSplitter::new(delimiter), rules)?))
}

/// Bytes that are compared at once.
const WORD: usize = 8;

/// Splits at each occurrence of a literal delimiter, from the left, without overlap.
#[derive(Debug)]
pub(crate) struct LiteralSplitter {
    delimiter: Vec<u8>,
    /// The delimiter's byte that is sought: the one least likely in text.
    sought: u8,
    /// Its first place in the delimiter.
    at: usize,
    /// The delimiter's first bytes as a number, and which bits of eight bytes of text to compare with it.
    head: u64,
    mask: u64,
}

impl LiteralSplitter {
    fn new(delimiter: Vec<u8>) -> Self {
        let rarity = |byte: u8| match byte {
            b' ' => 0,
            byte if byte.is_ascii_lowercase() => 1,
            byte if byte.is_ascii_alphanumeric() => 2,
            _ => 3,
        };
        let sought = delimiter.iter().copied().max_by_key(|&byte| rarity(byte)).unwrap_or_default();
        let at = delimiter.iter().position(|&byte| byte == sought).unwrap_or_default();
        let mut head = [0; WORD];
        let mut mask = [0; WORD];
        for (index, &byte) in delimiter.iter().take(WORD).enumerate() {
            head[index] = byte;
            mask[index] = u8::MAX;
        }
        let (head, mask) = (u64::from_le_bytes(head), u64::from_le_bytes(mask));
        Self { delimiter, sought, at, head, mask }
    }

    /// True if a delimiter begins there. Mostly one comparison of a word, not a call to compare memory.
    fn begins(&self, record: &[u8], begin: usize) -> bool {
        let rest = record.get(begin..).unwrap_or_default();
        match rest.first_chunk::<WORD>() {
            Some(word) if self.delimiter.len() <= WORD => u64::from_le_bytes(*word) & self.mask == self.head,
            _ => rest.starts_with(&self.delimiter),
        }
    }
}

/// Calls `found` with each place of a byte, from the left.
///
/// Fields are short, about twenty bytes: a search that starts anew behind each delimiter, however wide its steps, costs
/// more than one loop that looks at eight bytes at a time and never leaves.
#[inline(always)]
fn each_place(byte: u8, text: &[u8], mut found: impl FnMut(usize)) {
    const LOW: u64 = 0x7F7F_7F7F_7F7F_7F7F;
    let pattern = u64::from_le_bytes([byte; WORD]);
    let (words, rest) = text.as_chunks::<WORD>();
    for (index, word) in words.iter().enumerate() {
        let differing = u64::from_le_bytes(*word) ^ pattern;
        // The highest bit of each byte that is equal: one that is 0 stays 0 in its low bits, and has no high bit.
        let mut equal = !(((differing & LOW) + LOW) | differing | LOW);
        while equal != 0 {
            found(index * WORD + equal.trailing_zeros() as usize / 8);
            equal &= equal - 1;
        }
    }
    let base = words.len() * WORD;
    for (index, _) in rest.iter().enumerate().filter(|(_, other)| **other == byte) {
        found(base + index);
    }
}

/// A record without its line end.
pub(crate) fn without_line_end(record: &[u8]) -> &[u8] {
    match record {
        [record @ .., b'\r', b'\n'] | [record @ .., b'\n' | b'\r'] => record,
        record => record,
    }
}

/// Says how many fields there are, and how many there should be.
pub(crate) fn wrong_count(found: usize, width: usize) -> String {
    let fields = if found == 1 { "field" } else { "fields" };
    format!("{found} {fields} where the table has {width} columns")
}

impl Splitter for LiteralSplitter {
    fn split(
        &self,
        record: &[u8],
        width: usize,
        fields: &mut Vec<Field>,
        _rewritten: &mut Vec<u8>,
    ) -> Result<SplitIn, String> {
        let record = without_line_end(record);
        let before = fields.len();
        let mut start = 0;
        let mut push = |start: usize, end: usize| {
            fields.push(Field { start: start as u32, end: end as u32, quoted: false });
        };
        each_place(self.sought, record, |place| {
            // The delimiter that this byte would belong to must begin behind the one before it.
            if let Some(begin) = place.checked_sub(self.at) {
                if begin >= start && self.begins(record, begin) {
                    push(start, begin);
                    start = begin + self.delimiter.len();
                }
            }
        });
        push(start, record.len());
        match fields.len() - before {
            found if found == width => Ok(SplitIn::Record),
            found => Err(wrong_count(found, width)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn split(delimiter: &str, record: &str) -> Vec<String> {
        let splitter = LiteralSplitter::new(delimiter.as_bytes().to_vec());
        let mut fields = Vec::new();
        let _ = splitter.split(record.as_bytes(), 0, &mut fields, &mut Vec::new());
        fields.iter().map(|f| record[f.start as usize..f.end as usize].to_owned()).collect()
    }

    #[test]
    fn splits_from_the_left_without_overlap() {
        assert_eq!(split(" | ", "a | b | c"), ["a", "b", "c"]);
        assert_eq!(split(" | ", "a | | b"), ["a", "| b"]);
        assert_eq!(split("||", "a|||b"), ["a", "|b"]);
        assert_eq!(split("aab", "aaabaab"), ["a", "", ""]);
        assert_eq!(split(",", ""), [""]);
        assert_eq!(split(",", ",\n"), ["", ""]);
        assert_eq!(split(",", "a\r\n"), ["a"]);
    }

    proptest! {
        #[test]
        fn splits_as_the_standard_library_does(delimiter in "[ab|é ]{1,4}", record in "[ab|é ]{0,60}") {
            let expected: Vec<_> = record.split(&delimiter).map(str::to_owned).collect();
            prop_assert_eq!(split(&delimiter, &record), expected);
        }
    }
}
