//! Byte strings by view, and a dictionary of them.
//!
//! An Arrow view is 16 bytes: the length, then either the whole value (up to 12 bytes) or a prefix and the place of the
//! bytes. Most values of log lines are short, so hashing, comparing and copying a value is mostly work on one `u128`,
//! without touching the payload it came from.
//!
//! A dictionary holds its entries in Parquet's PLAIN encoding (length as 4 bytes little-endian, then the bytes), which is
//! what segments and Parquet dictionary pages hold.

use arrow::array::{Array, ArrayRef, AsArray};
use arrow::buffer::{Buffer, NullBuffer};
use arrow::datatypes::DataType;

/// Longest value that stands within its view.
pub(crate) const INLINE: u32 = 12;

/// A string or binary array as views.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Views<'a> {
    pub(crate) views: &'a [u128],
    pub(crate) buffers: &'a [Buffer],
    pub(crate) nulls: Option<&'a NullBuffer>,
}

impl<'a> Views<'a> {
    /// The views of a `Utf8View` or `BinaryView` array; none for other types.
    pub(crate) fn of(array: &'a ArrayRef) -> Option<Self> {
        match array.data_type() {
            DataType::Utf8View => {
                let array = array.as_string_view();
                Some(Self {
                    views: array.views(),
                    buffers: array.data_buffers(),
                    nulls: array.nulls().filter(|n| n.null_count() > 0),
                })
            }
            DataType::BinaryView => {
                let array = array.as_binary_view();
                Some(Self {
                    views: array.views(),
                    buffers: array.data_buffers(),
                    nulls: array.nulls().filter(|n| n.null_count() > 0),
                })
            }
            _ => None,
        }
    }

    /// The bytes of a value longer than [`INLINE`].
    #[inline]
    pub(crate) fn long(&self, view: u128) -> &'a [u8] {
        let length = view as u32 as usize;
        let buffer = (view >> 64) as u32 as usize;
        let offset = (view >> 96) as u32 as usize;
        &self.buffers[buffer].as_slice()[offset..offset + length]
    }
}

/// The first 12 bytes of a value, the first one lowest, zeros behind a shorter value.
#[inline]
pub(crate) fn head(view: u128, views: &Views<'_>) -> u128 {
    if view as u32 <= INLINE { view >> 32 } else { long_head(views.long(view)) }
}

/// [`head`] of bytes.
#[inline]
pub(crate) fn head_of(bytes: &[u8]) -> u128 {
    if bytes.len() > INLINE as usize {
        return long_head(bytes);
    }
    let mut first = [0; 16];
    first[..bytes.len()].copy_from_slice(bytes);
    u128::from_le_bytes(first)
}

#[inline]
fn long_head(bytes: &[u8]) -> u128 {
    let mut first = [0; 16];
    first[..12].copy_from_slice(&bytes[..12]);
    u128::from_le_bytes(first)
}

/// Orders values by their heads and lengths. For values of up to 12 bytes that is their order; two longer ones with equal
/// keys must be compared in full.
#[inline]
pub(crate) fn order_key(head: u128, length: u32) -> u128 {
    head.swap_bytes() | u128::from(length.min(INLINE + 1))
}

/// [`order_key`] of bytes.
#[inline]
pub(crate) fn order_key_of(bytes: &[u8]) -> u128 {
    order_key(head_of(bytes), bytes.len().min(usize::from(u16::MAX)) as u32)
}

/// Appends a value in PLAIN encoding.
#[inline]
pub(crate) fn push_plain(out: &mut Vec<u8>, bytes: &[u8]) {
    out.extend_from_slice(&(bytes.len() as u32).to_le_bytes());
    out.extend_from_slice(bytes);
}

/// Gives each distinct value a code: 0, 1, 2 …
#[derive(Debug)]
pub(crate) struct Dictionary {
    /// Open addressing by linear probing; code + 1, 0 for empty. At most half full.
    slots: Vec<u32>,
    /// A short value's view; a long one's hash and length.
    keys: Vec<u128>,
    /// Where each value's bytes begin in `plain`.
    starts: Vec<u32>,
    plain: Vec<u8>,
    max_entries: usize,
    max_bytes: usize,
}

impl Dictionary {
    /// An empty dictionary that takes at most so many entries and bytes of PLAIN encoding.
    pub(crate) fn new(max_entries: usize, max_bytes: usize) -> Self {
        Self { slots: vec![0; 128], keys: Vec::new(), starts: Vec::new(), plain: Vec::new(), max_entries, max_bytes }
    }

    /// Number of entries.
    pub(crate) fn len(&self) -> usize {
        self.keys.len()
    }

    /// All entries in PLAIN encoding, by code.
    pub(crate) fn plain(&self) -> &[u8] {
        &self.plain
    }

    /// The bytes of an entry.
    pub(crate) fn value(&self, code: usize) -> &[u8] {
        let start = self.starts[code] as usize;
        &self.plain[start..start + self.keys[code] as u32 as usize]
    }

    /// The code of a view's value, which is entered if it is new; none when the dictionary is full.
    #[inline]
    pub(crate) fn intern(&mut self, view: u128, views: &Views<'_>) -> Option<u32> {
        if view as u32 <= INLINE { self.intern_short(view) } else { self.intern_long(views.long(view)) }
    }

    /// The code of a value given as bytes.
    #[inline]
    pub(crate) fn intern_bytes(&mut self, bytes: &[u8]) -> Option<u32> {
        if bytes.len() <= INLINE as usize {
            let mut view = [0; 16];
            view[..4].copy_from_slice(&(bytes.len() as u32).to_le_bytes());
            view[4..4 + bytes.len()].copy_from_slice(bytes);
            self.intern_short(u128::from_le_bytes(view))
        } else {
            self.intern_long(bytes)
        }
    }

    #[inline]
    fn intern_short(&mut self, view: u128) -> Option<u32> {
        let hash = hash_short(view);
        let mask = self.slots.len() - 1;
        let mut at = hash as usize & mask;
        loop {
            match self.slots[at] {
                0 => break,
                code => {
                    if self.keys[code as usize - 1] == view {
                        return Some(code - 1);
                    }
                }
            }
            at = (at + 1) & mask;
        }
        let bytes = view.to_le_bytes();
        let length = view as u32 as usize;
        self.enter(at, view, &bytes[4..4 + length])
    }

    fn intern_long(&mut self, bytes: &[u8]) -> Option<u32> {
        let hash = xxhash_rust::xxh3::xxh3_64(bytes);
        let key = (u128::from(hash) << 32) | bytes.len() as u128;
        let mask = self.slots.len() - 1;
        let mut at = hash as usize & mask;
        loop {
            match self.slots[at] {
                0 => break,
                code => {
                    let code = code as usize - 1;
                    if self.keys[code] == key && self.value(code) == bytes {
                        return Some(code as u32);
                    }
                }
            }
            at = (at + 1) & mask;
        }
        self.enter(at, key, bytes)
    }

    #[cold]
    fn enter(&mut self, at: usize, key: u128, bytes: &[u8]) -> Option<u32> {
        if self.keys.len() >= self.max_entries || self.plain.len() + bytes.len() + 4 > self.max_bytes {
            return None;
        }
        push_plain(&mut self.plain, bytes);
        let start = self.plain.len() - bytes.len();
        self.keys.push(key);
        self.starts.push(start as u32);
        let code = self.keys.len() as u32;
        self.slots[at] = code;
        if self.keys.len() * 2 > self.slots.len() {
            self.grow();
        }
        Some(code - 1)
    }

    fn grow(&mut self) {
        let size = self.slots.len() * 4;
        let mask = size - 1;
        self.slots = vec![0; size];
        for (code, key) in self.keys.iter().enumerate() {
            let hash = if *key as u32 <= INLINE { hash_short(*key) } else { (*key >> 32) as u64 };
            let mut at = hash as usize & mask;
            while self.slots[at] != 0 {
                at = (at + 1) & mask;
            }
            self.slots[at] = code as u32 + 1;
        }
    }
}

/// Multiplies the two halves and folds the product (the mixing step of wyhash).
#[inline]
fn hash_short(view: u128) -> u64 {
    let a = (view as u64) ^ 0x9E37_79B9_7F4A_7C15;
    let b = ((view >> 64) as u64) ^ 0xD1B5_4A32_D192_ED03;
    let product = u128::from(a) * u128::from(b);
    (product as u64) ^ (product >> 64) as u64
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow::array::StringViewArray;
    use proptest::prelude::*;
    use std::collections::HashMap;
    use std::sync::Arc;

    proptest! {
        #[test]
        fn codes_name_distinct_values(values in prop::collection::vec("[a-c\u{0}é]{0,20}", 0..300)) {
            let array: ArrayRef = Arc::new(StringViewArray::from_iter_values(&values));
            let views = Views::of(&array).unwrap();
            let mut dictionary = Dictionary::new(1000, 1 << 20);
            let mut seen: HashMap<&str, u32> = HashMap::new();
            for (view, value) in views.views.iter().zip(&values) {
                let code = dictionary.intern(*view, &views).unwrap();
                prop_assert_eq!(code, *seen.entry(value).or_insert(code));
                prop_assert_eq!(dictionary.value(code as usize), value.as_bytes());
                prop_assert_eq!(dictionary.intern_bytes(value.as_bytes()), Some(code));
            }
            prop_assert_eq!(seen.len(), dictionary.len());
        }

        #[test]
        fn keys_order_as_bytes_do(a in prop::collection::vec(0u8..3, 0..15), b in prop::collection::vec(0u8..3, 0..15)) {
            let (ka, kb) = (order_key_of(&a), order_key_of(&b));
            if ka != kb {
                prop_assert_eq!(ka < kb, a < b);
            } else {
                prop_assert!(a == b || (a.len() > 12 && b.len() > 12));
            }
        }
    }

    #[test]
    fn full_dictionaries_say_so() {
        let mut dictionary = Dictionary::new(2, 1000);
        assert_eq!(dictionary.intern_bytes(b"a"), Some(0));
        assert_eq!(dictionary.intern_bytes(b"b"), Some(1));
        assert_eq!(dictionary.intern_bytes(b"c"), None);
        assert_eq!(dictionary.intern_bytes(b"b"), Some(1));
    }
}
