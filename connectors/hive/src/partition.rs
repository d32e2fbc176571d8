//! Hive partitions: values, their text, their folders.
//!
//! A partition's folder is `escape(column)=escape(value)` for each partition column. A value is text in the form that
//! Hive and Spark write, or none: NULL, the empty string and Hive's own name for them are one and the same partition,
//! so the hot tail reads back exactly what the folder can say.

use crate::error::{At, Result};
use arrow::array::{Array, ArrayRef, StringArray, new_null_array};
use arrow::datatypes::{DataType, TimeUnit};
use std::fmt::Write;
use std::sync::Arc;

/// The folder's name for NULL and for the empty string.
pub const NULL_PARTITION: &str = "__HIVE_DEFAULT_PARTITION__";

/// Most bytes of one escaped `column=value`: what file systems hold in one name.
pub const MAX_FOLDER_BYTES: usize = 255;

/// A value for each partition column; none for NULL.
pub type PartitionValues = Vec<Option<String>>;

fn must_escape(c: char) -> bool {
    // NUL is not in Hive's set, but no file system can hold it, and Hive unescapes it all the same.
    c <= '\u{1F}'
        || c == '\u{7F}'
        || matches!(c, '"' | '#' | '%' | '\'' | '*' | '/' | ':' | '=' | '?' | '\\' | '{' | '[' | ']' | '^')
}

/// Escapes a column's name or a value for a folder's name, as Hive does.
pub fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        if must_escape(c) {
            // Infallible: a String takes whatever is written to it.
            let _ = write!(out, "%{:02X}", u32::from(c));
        } else {
            out.push(c);
        }
    }
    out
}

/// Undoes [`escape`]. As in Hive, a `%` that is not followed by two hex digits stands for itself.
pub fn unescape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('%') {
        out.push_str(&rest[..at]);
        let hex = rest.get(at + 1..at + 3);
        match hex.filter(|h| h.bytes().all(|b| b.is_ascii_hexdigit())) {
            Some(hex) => {
                out.push(u8::from_str_radix(hex, 16).map_or('%', char::from));
                rest = &rest[at + 3..];
            }
            None => {
                out.push('%');
                rest = &rest[at + 1..];
            }
        }
    }
    out.push_str(rest);
    out
}

/// The value that a folder can say: the empty string and Hive's name for NULL are NULL.
pub fn canonical_value(value: Option<&str>) -> Option<&str> {
    value.filter(|v| !v.is_empty() && *v != NULL_PARTITION)
}

/// One folder's name: `column=value`.
pub fn folder_name(column: &str, value: Option<&str>) -> String {
    match canonical_value(value) {
        Some(value) => format!("{}={}", escape(column), escape(value)),
        None => format!("{}={NULL_PARTITION}", escape(column)),
    }
}

/// The folder of a partition, relative to the table's folder, with a `/` behind each name; empty for a table without
/// partition columns.
pub fn folder_path(columns: &[String], values: &[Option<String>]) -> String {
    let mut path = String::new();
    for (column, value) in columns.iter().zip(values) {
        path.push_str(&folder_name(column, value.as_deref()));
        path.push('/');
    }
    path
}

/// The values that a file's folders say, or none if they are not the folders of these partition columns. `folders` are
/// the names between the table's folder and the file.
pub fn parse_folders(columns: &[String], folders: &[&str]) -> Option<PartitionValues> {
    if folders.len() != columns.len() {
        return None;
    }
    columns
        .iter()
        .zip(folders)
        .map(|(column, folder)| {
            let (name, value) = folder.split_once('=')?;
            if !unescape(name).eq_ignore_ascii_case(column) {
                return None;
            }
            let value = unescape(value);
            Some(canonical_value(Some(&value)).map(str::to_owned))
        })
        .collect()
}

/// A column of one partition value for `rows` rows, of the declared type. Text that is not of the type is NULL, as in
/// Hive.
///
/// # Errors
/// When the type can't be made from text.
pub fn value_array(value: Option<&str>, data_type: &DataType, rows: usize) -> Result<ArrayRef> {
    let Some(value) = canonical_value(value) else {
        return Ok(new_null_array(data_type, rows));
    };
    let text: ArrayRef = Arc::new(StringArray::from(vec![value]));
    let one = arrow::compute::cast(&text, data_type).at(format!("partition value '{value}' as {data_type}"))?;
    if rows == 1 {
        return Ok(one);
    }
    let indices = arrow::array::UInt32Array::from(vec![0; rows]);
    arrow::compute::take(&one, &indices, None).at("partition value")
}

/// A column of partition values, one a row, of the declared type.
///
/// # Errors
/// When the type can't be made from text.
pub fn values_array<'a>(values: impl Iterator<Item = Option<&'a str>>, data_type: &DataType) -> Result<ArrayRef> {
    let text: ArrayRef = Arc::new(StringArray::from_iter(values.map(canonical_value)));
    arrow::compute::cast(&text, data_type).at(format!("partition values as {data_type}"))
}

/// The text of each row's value in a partition column, in the form that Hive and Spark write.
///
/// # Errors
/// When the type has no text form.
pub fn value_texts(column: &ArrayRef) -> Result<StringArray> {
    let text = match column.data_type() {
        DataType::Timestamp(TimeUnit::Microsecond, _) => {
            // Spark: `2026-11-24 10:00:00[.ffffff]`, in the session's zone, which is UTC here.
            let local = arrow::compute::cast(column, &DataType::Timestamp(TimeUnit::Microsecond, None))
                .at("partition column")?;
            let iso = arrow::compute::cast(&local, &DataType::Utf8).at("partition column")?;
            return Ok(as_strings(&iso).iter().map(|v| v.map(spark_timestamp)).collect());
        }
        DataType::Float32 | DataType::Float64 => {
            let wide = arrow::compute::cast(column, &DataType::Float64).at("partition column")?;
            let wide = arrow::array::AsArray::as_primitive::<arrow::datatypes::Float64Type>(&wide);
            return Ok(wide.iter().map(|v| v.map(java_double)).collect());
        }
        _ => arrow::compute::cast(column, &DataType::Utf8).at("partition column")?,
    };
    Ok(as_strings(&text).clone())
}

fn as_strings(array: &ArrayRef) -> &StringArray {
    arrow::array::AsArray::as_string::<i32>(array)
}

fn spark_timestamp(iso: &str) -> String {
    let text = iso.replacen('T', " ", 1);
    match text.split_once('.') {
        Some((whole, fraction)) => match fraction.trim_end_matches('0') {
            "" => whole.to_owned(),
            fraction => format!("{whole}.{fraction}"),
        },
        None => text,
    }
}

/// A double as Java prints it, near enough to be read back as the same value: `1.0`, `1.0E10`, `NaN`, `Infinity`.
fn java_double(value: f64) -> String {
    if value.is_nan() {
        return "NaN".into();
    }
    if value.is_infinite() {
        return if value > 0.0 { "Infinity" } else { "-Infinity" }.into();
    }
    let plain = value == 0.0 || (1e-3..1e7).contains(&value.abs());
    if plain {
        return format!("{value:?}");
    }
    let text = format!("{value:E}");
    match text.split_once('E') {
        Some((digits, exponent)) if !digits.contains('.') => format!("{digits}.0E{exponent}"),
        _ => text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn escaping_round_trips(text in any::<String>()) {
            let escaped = escape(&text);
            prop_assert!(!escaped.contains('/') && !escaped.contains('='));
            prop_assert_eq!(unescape(&escaped), text);
        }

        #[test]
        fn folders_round_trip(a in any::<Option<String>>(), b in any::<Option<String>>()) {
            let columns = vec!["day".to_owned(), "a b=c".to_owned()];
            let values = vec![a, b];
            let path = folder_path(&columns, &values);
            let folders: Vec<&str> = path.trim_end_matches('/').split('/').collect();
            let canonical: PartitionValues =
                values.iter().map(|v| canonical_value(v.as_deref()).map(str::to_owned)).collect();
            prop_assert_eq!(parse_folders(&columns, &folders), Some(canonical));
            // What the store makes of the path is the path.
            let parsed = object_store::path::Path::parse(&path).unwrap();
            prop_assert_eq!(parsed.as_ref(), path.trim_end_matches('/'));
        }

        #[test]
        fn unescaping_anything_is_safe(text in any::<String>()) {
            unescape(&text);
        }
    }

    #[test]
    fn escapes_what_hive_escapes() {
        assert_eq!(escape("10:15 a/b=c%"), "10%3A15 a%2Fb%3Dc%25");
        assert_eq!(escape("}é\u{7f}\u{1}{"), "}é%7F%01%7B");
        assert_eq!(unescape("100%"), "100%");
        assert_eq!(unescape("%zz%4a"), "%zzJ");
        assert_eq!(folder_name("date", None), "date=__HIVE_DEFAULT_PARTITION__");
        assert_eq!(folder_name("date", Some("")), "date=__HIVE_DEFAULT_PARTITION__");
    }

    #[test]
    fn typed_values_come_back() {
        for (text, data_type) in [
            ("2026-11-24", DataType::Date32),
            ("true", DataType::Boolean),
            ("-5", DataType::Int64),
            ("1.5", DataType::Float64),
            ("1.0E10", DataType::Float64),
            ("12.340", DataType::Decimal128(10, 3)),
            ("2026-11-24 10:00:00.25", DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()))),
        ] {
            let array = value_array(Some(text), &data_type, 3).unwrap();
            assert_eq!((array.len(), array.null_count()), (3, 0), "{text}");
            assert_eq!(value_texts(&array).unwrap().value(2), text, "{data_type}");
        }
        let bad = value_array(Some("yesterday"), &DataType::Date32, 1).unwrap();
        assert_eq!(bad.null_count(), 1);
    }
}
