//! The options of the formats, from the text of SQL to values.

use salamander_connector_api::DecoderError;
use std::collections::BTreeMap;

/// `true` or `false`.
pub(crate) fn flag(options: &BTreeMap<String, String>, name: &str) -> Result<bool, DecoderError> {
    match options.get(name).map(|text| text.trim().to_ascii_lowercase()) {
        None => Ok(false),
        Some(text) if text == "true" => Ok(true),
        Some(text) if text == "false" => Ok(false),
        Some(text) => Err(DecoderError(format!("option '{name}' is 'true' or 'false', not '{text}'"))),
    }
}

/// A literal delimiter. SQL has no escapes, so that `\t` (a tab) and `\u0001` (any character, by its code) stand for
/// what can't be typed; everything else is taken as it is written.
pub(crate) fn delimiter(text: &str) -> Result<Vec<u8>, DecoderError> {
    if text.is_empty() {
        return Err(DecoderError("option 'delimiter' is empty: give at least one character".into()));
    }
    if text == "\\t" {
        return Ok(vec![b'\t']);
    }
    if let Some(code) = text.strip_prefix("\\u").filter(|code| code.len() == 4) {
        let character = u32::from_str_radix(code, 16).ok().and_then(char::from_u32);
        return character
            .map(|c| c.to_string().into_bytes())
            .ok_or_else(|| DecoderError(format!("option 'delimiter': '{text}' is not a character's code")));
    }
    Ok(text.as_bytes().to_vec())
}

/// A delimiter that would end records or open quotes can't part fields too.
pub(crate) fn check_delimiter(delimiter: &[u8], forbidden: &[u8]) -> Result<(), DecoderError> {
    match delimiter.iter().find(|byte| forbidden.contains(byte)) {
        None => Ok(()),
        Some(byte) => Err(DecoderError(format!(
            "option 'delimiter' holds '{}', which has another meaning in this format",
            char::from(*byte).escape_default()
        ))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn delimiters() {
        assert_eq!(delimiter(" | ").unwrap(), b" | ");
        assert_eq!(delimiter("\\t").unwrap(), b"\t");
        assert_eq!(delimiter("\\u0001").unwrap(), b"\x01");
        assert_eq!(delimiter("\\").unwrap(), b"\\");
        assert!(delimiter("").is_err());
        assert!(delimiter("\\uD800").is_err());
    }
}
