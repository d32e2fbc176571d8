//! Formats: from the bytes of a payload to typed columns.
//!
//! | format | one payload is | a row is bad when |
//! |---|---|---|
//! | [`text`] | the one STRING column | never: bytes that aren't UTF-8 become U+FFFD, as in Spark |
//! | [`delimited`] | fields between literal delimiters | the number of fields or the type of one doesn't fit |
//! | [`csv`] | one record by RFC 4180 | the same, or a quote doesn't close |
//! | [`json`] | one object | it isn't an object, or a value doesn't fit its column |
//!
//! A decoder is a pure function of a raw batch. Invariants, which the property tests of this crate check: it never
//! panics, whatever the bytes; good and bad rows together are all rows, in order; whether a row is bad depends on its
//! own bytes and the declared columns only, not on the projection nor on the rows around it.
//!
//! STRING columns are views into the payload's own buffers: text is not copied, whatever the format (but for escaped
//! quotes in csv, and for json).

pub mod csv;
pub mod delimited;
pub mod json;
pub mod scan;
pub mod text;

mod columns;
mod label;
mod number;
mod reason;
mod settings;
mod time;
mod typed;
mod views;

use arrow::datatypes::SchemaRef;
use salamander_connector_api::{Decoder, DecoderError};
use std::collections::BTreeMap;
use std::sync::Arc;

/// The formats, by the name that the option `format` takes.
pub const FORMATS: [&str; 4] = ["text", "delimited", "csv", "json"];

/// The options that a format takes; none for a format that there isn't.
pub fn option_names(format: &str) -> Option<&'static [&'static str]> {
    match format {
        "text" | "json" => Some(&[]),
        "delimited" => Some(&["delimiter", "strip_labels", "null_value"]),
        "csv" => Some(&["delimiter", "quote", "null_value"]),
        _ => None,
    }
}

/// Makes the decoder of a format for the declared columns. Options of others (a connector's own) are not looked at.
///
/// # Errors
/// When there is no such format, or when its options or the columns don't fit it.
pub fn decoder(
    format: &str,
    schema: SchemaRef,
    options: &BTreeMap<String, String>,
) -> Result<Arc<dyn Decoder>, DecoderError> {
    match format {
        "text" => Ok(Arc::new(text::TextDecoder::new(schema)?)),
        "delimited" => delimited::decoder(schema, options),
        "csv" => csv::decoder(schema, options),
        "json" => Ok(Arc::new(json::JsonDecoder::new(schema)?)),
        other => Err(DecoderError(format!("there is no format '{other}': choose one of {}", FORMATS.join(", ")))),
    }
}
