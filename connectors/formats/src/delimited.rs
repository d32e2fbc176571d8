//! `delimited`: fields between literal delimiters, as in `2023-12-22T22:07:37.780123 | INFO | req_1 | …`.
//!
//! Options: `delimiter` (required), `strip_labels` (`true`: `Response Time: 0.83s` is 0.83; a label is
//! letters and spaces before the first `": "`), `null_value` (the text that stands for NULL; without it nothing does). One line end at
//! the end of a record doesn't count. There are no quotes and no escapes: what needs them is `csv`.

use crate::scan::Literal;
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

/// Splits at each occurrence of a literal delimiter, from the left, without overlap.
#[derive(Debug)]
pub(crate) struct LiteralSplitter {
    delimiter: Literal,
}

impl LiteralSplitter {
    fn new(delimiter: Vec<u8>) -> Self {
        Self { delimiter: Literal::new(delimiter) }
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
        self.delimiter.each(record, |begin, end| {
            push(start, begin);
            start = end;
            true
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
