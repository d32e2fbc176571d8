//! STRING columns as views into the payload's own buffers.
//!
//! Invariant, which is this module's reason to exist: [`string_column`] is only given views of bytes that its caller
//! has checked to be UTF-8, within the buffers given. Checking them a second time would cost as much as decoding does.

use arrow::array::{ByteView, StringViewArray, make_view};
use arrow::buffer::{Buffer, NullBuffer, ScalarBuffer};
use std::sync::Arc;

/// Longest text that stands in a view itself.
const INLINE: usize = 12;

/// A record, and where it lies.
#[derive(Clone, Copy)]
pub(crate) struct Record<'a> {
    /// The record's bytes.
    pub(crate) bytes: &'a [u8],
    /// The buffer that holds them (of no meaning for a record of at most 12 bytes, whose parts all stand in views).
    pub(crate) buffer: u32,
    /// Where in the buffer they begin.
    pub(crate) offset: u32,
}

impl Record<'_> {
    /// The view of a part of the record, which must lie within it.
    #[inline]
    pub(crate) fn view(&self, start: usize, end: usize) -> u128 {
        let length = end - start;
        if length > INLINE {
            return ByteView {
                length: length as u32,
                prefix: prefix(&self.bytes[start..end]),
                buffer_index: self.buffer,
                offset: self.offset + start as u32,
            }
            .as_u128();
        }
        // One load of 16 bytes and a mask, where the record is long enough for it: shorter than a jump by length.
        match self.bytes.get(start..start + 16).and_then(|bytes| <[u8; 16]>::try_from(bytes).ok()) {
            Some(bytes) => {
                let mask = (1_u128 << (length * 8)) - 1;
                ((u128::from_le_bytes(bytes) & mask) << 32) | length as u128
            }
            None => make_view(&self.bytes[start..end], 0, 0),
        }
    }
}

fn prefix(bytes: &[u8]) -> u32 {
    match bytes.first_chunk::<4>() {
        Some(first) => u32::from_le_bytes(*first),
        None => 0,
    }
}

/// A STRING column of views.
pub(crate) fn string_column(views: Vec<u128>, buffers: Arc<[Buffer]>, nulls: Option<NullBuffer>) -> StringViewArray {
    let views = ScalarBuffer::from(views);
    debug_assert!(StringViewArray::try_new(views.clone(), Arc::clone(&buffers), nulls.clone()).is_ok());
    #[allow(unsafe_code)]
    // SAFETY: the views are made by `Record::view` from slices of those very buffers, cut from records that
    // `typed::Block` has found to be UTF-8 as a whole, at the ends of literal delimiters that are UTF-8 themselves,
    // hence between characters; `nulls` is as long as the views, both being pushed together.
    unsafe {
        StringViewArray::new_unchecked(views, buffers, nulls)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow::array::Array;

    #[test]
    fn every_part_of_a_record_is_itself() {
        let text = "0123456789abcdefghijklmnopqrstuvwxyz";
        let buffer = Buffer::from(format!("..{text}").into_bytes());
        let record = Record { bytes: &buffer[2..], buffer: 0, offset: 2 };
        let parts: Vec<(usize, usize)> =
            (0..=text.len()).flat_map(|start| (start..=text.len()).map(move |end| (start, end))).collect();
        let views: Vec<u128> = parts.iter().map(|&(start, end)| record.view(start, end)).collect();
        let buffers: Arc<[Buffer]> = Arc::from([buffer.clone()]);
        let checked = StringViewArray::try_new(views.clone().into(), Arc::clone(&buffers), None).unwrap();
        let column = string_column(views, buffers, None);
        assert_eq!(column.len(), parts.len());
        for (index, (start, end)) in parts.into_iter().enumerate() {
            assert_eq!(column.value(index), &text[start..end]);
            assert_eq!(checked.value(index), &text[start..end]);
        }
    }
}
