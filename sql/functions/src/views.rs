//! String columns that share their input's bytes.
//!
//! A `Utf8View` column is a list of 16-byte views: the length, then either the text itself (up to 12 bytes) or its first
//! 4 bytes, a buffer number and an offset. A substring of a view is therefore another view: nothing is copied but short
//! texts. Every function here that cuts a string gives such views, so a column of the output keeps the
//! input's buffers alive; what is kept for long (state) should be compacted with `gc()`.
//!
//! This is the only file of the crate with unsafe code: [`column`] skips arrow's check that each view is in
//! bounds and valid UTF-8, which would read every byte again. Invariants, guaranteed by the callers:
//! - views are made only by [`sub_view`], [`view_at`] and [`inline_view`], from a valid `StringViewArray`'s views or buffers;
//! - they begin and end on character boundaries;
//! - they are paired with the buffers of the array that they were cut from.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, StringViewArray};
use arrow::buffer::{Buffer, NullBuffer, ScalarBuffer};
use arrow::datatypes::DataType;
use datafusion::common::{Result, ScalarValue, exec_err};
use datafusion::logical_expr::ColumnarValue;

/// The longest text that a view holds itself, in bytes.
const INLINE: usize = 12;

/// `text[start..start + len]` as a view that holds the text itself; `len` is at most 12.
#[inline]
pub(crate) fn inline_view(text: &[u8], start: usize, len: usize) -> u128 {
    debug_assert!(len <= INLINE);
    let payload = match text.get(start..start + 16).and_then(|b| <[u8; 16]>::try_from(b).ok()) {
        Some(bytes) => u128::from_le_bytes(bytes) & low_bytes(len),
        None => {
            let mut bytes = [0; 16];
            bytes[..len].copy_from_slice(&text[start..start + len]);
            u128::from_le_bytes(bytes)
        }
    };
    payload << 32 | len as u128
}

/// The bits of the lowest bytes; `len` is below 16.
#[inline]
pub(crate) fn low_bytes(len: usize) -> u128 {
    (1u128 << (8 * len)) - 1
}

/// A view of `buffer[start..start + len]`, where `buffer` is the data buffer number `index`.
#[inline]
pub(crate) fn view_at(buffer: &[u8], index: u32, start: usize, len: usize) -> u128 {
    if len <= INLINE {
        return inline_view(buffer, start, len);
    }
    let prefix = match buffer.get(start..start + 4).and_then(|b| <[u8; 4]>::try_from(b).ok()) {
        Some(bytes) => u32::from_le_bytes(bytes),
        None => 0, // cannot be: len > 12
    };
    len as u128 | u128::from(prefix) << 32 | u128::from(index) << 64 | (start as u128) << 96
}

/// The length of a view's text in bytes.
#[inline]
pub(crate) fn view_len(view: u128) -> usize {
    view as u32 as usize
}

/// A view of the bytes `start..end` of `view`'s text.
#[inline]
pub(crate) fn sub_view(view: u128, buffers: &[Buffer], (start, end): (usize, usize)) -> u128 {
    Cutter::new(view, buffers).cut(start, end)
}

/// Cuts many pieces out of one view.
pub(crate) enum Cutter<'b> {
    Inline { view: u128 },
    Buffer { buffer: &'b [u8], index: u32, offset: usize },
}

impl<'b> Cutter<'b> {
    #[inline]
    pub(crate) fn new(view: u128, buffers: &'b [Buffer]) -> Self {
        if view_len(view) <= INLINE {
            return Cutter::Inline { view };
        }
        let index = (view >> 64) as u32;
        Cutter::Buffer { buffer: &buffers[index as usize], index, offset: (view >> 96) as u32 as usize }
    }

    /// A view of the bytes `start..end` of the text.
    #[inline]
    pub(crate) fn cut(&self, start: usize, end: usize) -> u128 {
        match *self {
            Cutter::Inline { view } => {
                let payload = view >> 32 >> (8 * start);
                (payload & low_bytes(end - start)) << 32 | (end - start) as u128
            }
            Cutter::Buffer { buffer, index, offset } => view_at(buffer, index, offset + start, end - start),
        }
    }
}

/// The first 16 bytes of a view's text, the first one lowest. What is behind the text's end may be anything.
#[inline]
pub(crate) fn head(view: u128, buffers: &[Buffer]) -> u128 {
    if view_len(view) <= INLINE {
        return view >> 32;
    }
    let offset = (view >> 96) as u32 as usize;
    let rest = &buffers[(view >> 64) as u32 as usize][offset..];
    match rest.first_chunk::<16>() {
        Some(bytes) => u128::from_le_bytes(*bytes),
        None => {
            let mut bytes = [0; 16];
            bytes[..rest.len()].copy_from_slice(rest);
            u128::from_le_bytes(bytes)
        }
    }
}

/// The bytes of a view's text; `scratch` holds them if the view does.
#[inline]
pub(crate) fn bytes<'a>(view: u128, buffers: &'a [Buffer], scratch: &'a mut [u8; 16]) -> &'a [u8] {
    let len = view_len(view);
    if len <= INLINE {
        *scratch = (view >> 32).to_le_bytes();
        return &scratch[..len];
    }
    let offset = (view >> 96) as u32 as usize;
    &buffers[(view >> 64) as u32 as usize][offset..offset + len]
}

/// A column of views that were cut out of `source`'s.
#[allow(unsafe_code)]
pub(crate) fn column(views: Vec<u128>, source: &StringViewArray, nulls: Option<NullBuffer>) -> StringViewArray {
    let buffers: Arc<[Buffer]> = Arc::from(source.data_buffers());
    // SAFETY: see the module's docs: each view lies within a valid view or buffer of `source`, on character boundaries.
    unsafe { StringViewArray::new_unchecked(ScalarBuffer::from(views), buffers, nulls) }
}

/// A column of views that all hold their text themselves.
#[allow(unsafe_code)]
pub(crate) fn inline_column(views: Vec<u128>, nulls: Option<NullBuffer>) -> StringViewArray {
    let buffers: Arc<[Buffer]> = Arc::from([]);
    // SAFETY: the callers pass only views made by `inline_view` from valid UTF-8; they refer to no buffer.
    unsafe { StringViewArray::new_unchecked(ScalarBuffer::from(views), buffers, nulls) }
}

/// A column of views of one buffer, number 0.
#[allow(unsafe_code)]
pub(crate) fn column_of_buffer(views: Vec<u128>, buffer: Buffer, nulls: Option<NullBuffer>) -> StringViewArray {
    let buffers: Arc<[Buffer]> = Arc::from([buffer]);
    // SAFETY: the callers pass only views made by `view_at` from this buffer, which holds ASCII.
    unsafe { StringViewArray::new_unchecked(ScalarBuffer::from(views), buffers, nulls) }
}

/// Whether a type is a string in one of arrow's forms.
pub(crate) fn is_string(data_type: &DataType) -> bool {
    matches!(data_type, DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View)
}

/// What a string argument of type `given` is coerced to: strings stay as they are, the rest is cast.
pub(crate) fn string_argument(given: &DataType) -> DataType {
    if is_string(given) { given.clone() } else { DataType::Utf8View }
}

/// The argument as a column of views (of `Utf8` without copying).
pub(crate) fn string_column(argument: &ColumnarValue, rows: usize) -> Result<StringViewArray> {
    let array = argument.to_array(rows)?;
    string_array(&array)
}

/// Any string array as a column of views.
pub(crate) fn string_array(array: &ArrayRef) -> Result<StringViewArray> {
    match array.data_type() {
        DataType::Utf8View => Ok(array.as_string_view().clone()),
        DataType::Utf8 => Ok(StringViewArray::from(array.as_string::<i32>())),
        DataType::LargeUtf8 => Ok(StringViewArray::from(array.as_string::<i64>())),
        DataType::Null => Ok(StringViewArray::new_null(array.len())),
        other => exec_err!("expected a string column, got {other}"),
    }
}

/// A string argument that is the same for all rows: `Some(None)` is NULL, `None` means that it is a column.
pub(crate) fn constant(argument: &ColumnarValue) -> Option<Option<&str>> {
    match argument {
        ColumnarValue::Scalar(ScalarValue::Null) => Some(None),
        ColumnarValue::Scalar(scalar) => scalar.try_as_str(),
        ColumnarValue::Array(_) => None,
    }
}

/// Returns `array` as a scalar if all arguments were scalars, so that constants stay constants.
pub(crate) fn scalar_if_constant(array: ArrayRef, arguments: &[ColumnarValue]) -> Result<ColumnarValue> {
    let constant = arguments.iter().all(|a| matches!(a, ColumnarValue::Scalar(_)));
    if constant && array.len() == 1 {
        return Ok(ColumnarValue::Scalar(ScalarValue::try_from_array(&array, 0)?));
    }
    Ok(ColumnarValue::Array(array))
}

/// How many rows to compute: one if all arguments are scalars.
pub(crate) fn rows_of(arguments: &[ColumnarValue], rows: usize) -> usize {
    if arguments.iter().all(|a| matches!(a, ColumnarValue::Scalar(_))) { 1 } else { rows }
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow::array::StringArray;
    use proptest::prelude::*;

    proptest! {
        /// Any substring of any column, cut as a view, is that substring, and arrow finds the column valid.
        #[test]
        fn cut_views_are_valid_substrings(texts in prop::collection::vec(any::<String>(), 1..20), seed in any::<u64>()) {
            let source = StringViewArray::from(&StringArray::from(texts.clone()));
            let mut views = Vec::new();
            let mut expected = Vec::new();
            for (i, text) in texts.iter().enumerate() {
                let bounds: Vec<usize> = text.char_indices().map(|(at, _)| at).chain([text.len()]).collect();
                let a = bounds[(seed as usize).wrapping_mul(i + 7) % bounds.len()];
                let b = bounds[(seed as usize >> 7).wrapping_mul(i + 3) % bounds.len()];
                let span = (a.min(b), a.max(b));
                views.push(sub_view(source.views()[i], source.data_buffers(), span));
                expected.push(&text[span.0..span.1]);
            }
            let cut = column(views, &source, None);
            cut.to_data().validate_full().unwrap();
            prop_assert_eq!(cut.iter().flatten().collect::<Vec<_>>(), expected);
        }
    }
}
