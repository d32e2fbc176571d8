//! A block in memory: parsed, checked, still encoded. Values share the object's bytes.

use arrow::array::ArrayRef;
use arrow::buffer::NullBuffer;
use bytes::Bytes;

/// Some rows of a part.
#[derive(Debug, Clone)]
pub(crate) struct Block {
    pub(crate) rows: usize,
    pub(crate) columns: Vec<BlockColumn>,
}

/// One column of a block.
#[derive(Debug, Clone)]
pub(crate) struct BlockColumn {
    pub(crate) nulls: Nulls,
    pub(crate) data: ColumnData,
}

/// Which rows are NULL.
#[derive(Debug, Clone)]
pub(crate) enum Nulls {
    None,
    Some(NullBuffer),
    All,
}

impl Nulls {
    /// Rows that hold a value.
    pub(crate) fn values(&self, rows: usize) -> usize {
        match self {
            Self::None => rows,
            Self::Some(nulls) => rows - nulls.null_count(),
            Self::All => 0,
        }
    }
}

/// The values that are not NULL, in row order.
#[derive(Debug, Clone)]
pub(crate) enum ColumnData {
    /// Byte strings, few of them distinct.
    Dictionary(DictionaryColumn),
    /// Byte strings, most of them distinct.
    Pages(Vec<TextPage>),
    /// Anything else, decoded; NULL rows included.
    Array(ArrayRef),
}

/// Byte strings by code.
#[derive(Debug, Clone)]
pub(crate) struct DictionaryColumn {
    /// Where each entry's bytes begin and end in `plain`.
    pub(crate) entries: Vec<(u32, u32)>,
    /// The entries in PLAIN encoding.
    pub(crate) plain: Bytes,
    /// An entry for each value; all checked to be within `entries`.
    pub(crate) codes: Codes,
}

impl DictionaryColumn {
    /// The bytes of an entry.
    pub(crate) fn value(&self, code: usize) -> &[u8] {
        let (start, end) = self.entries[code];
        &self.plain[start as usize..end as usize]
    }
}

/// One code for each value.
#[derive(Debug, Clone)]
pub(crate) enum Codes {
    /// So many times code 0.
    Constant(usize),
    /// A byte each.
    Narrow(Bytes),
    /// Two bytes each.
    Wide(Bytes),
}

impl Codes {
    /// Calls `f` with each code, in order.
    #[inline]
    pub(crate) fn for_each(&self, mut f: impl FnMut(u16)) {
        match self {
            Self::Constant(n) => (0..*n).for_each(|_| f(0)),
            Self::Narrow(bytes) => bytes.iter().for_each(|b| f(u16::from(*b))),
            Self::Wide(bytes) => bytes.as_chunks::<2>().0.iter().for_each(|b| f(u16::from_le_bytes(*b))),
        }
    }
}

/// A run of rows of a column whose values are mostly distinct.
#[derive(Debug, Clone)]
pub(crate) struct TextPage {
    /// Rows, NULL ones included.
    pub(crate) rows: usize,
    /// Values.
    pub(crate) values: usize,
    /// How many bytes each value shares with the one before it, if that was worth noting. The first shares none.
    pub(crate) prefixes: Option<Bytes>,
    /// How many bytes of each value stand in `bytes`.
    pub(crate) lengths: Lengths,
    /// The values' bytes behind their prefixes, one after the other.
    pub(crate) bytes: Bytes,
    /// A lower and an upper bound of the values, if there is any value.
    pub(crate) range: Option<(Bytes, Bytes)>,
}

/// One length for each value.
#[derive(Debug, Clone)]
pub(crate) enum Lengths {
    /// A byte each.
    Narrow(Bytes),
    /// Four bytes each.
    Wide(Bytes),
}

impl Lengths {
    /// Calls `f` with each length, in order.
    #[inline]
    pub(crate) fn for_each(&self, mut f: impl FnMut(u32)) {
        match self {
            Self::Narrow(bytes) => bytes.iter().for_each(|b| f(u32::from(*b))),
            Self::Wide(bytes) => bytes.as_chunks::<4>().0.iter().for_each(|b| f(u32::from_le_bytes(*b))),
        }
    }
}

impl TextPage {
    /// Calls `f` with each whole value, in order; false if the page contradicts itself.
    pub(crate) fn expand(&self, mut f: impl FnMut(&[u8]) -> bool) -> bool {
        let Some(prefixes) = &self.prefixes else {
            let (mut at, mut sound) = (0, true);
            self.lengths.for_each(|length| {
                let end = at + length as usize;
                sound &= self.bytes.get(at..end).is_some_and(&mut f);
                at = end;
            });
            return sound && at == self.bytes.len();
        };
        let (mut at, mut index, mut sound) = (0, 0, true);
        let mut value: Vec<u8> = Vec::new();
        self.lengths.for_each(|length| {
            let end = at + length as usize;
            let prefix = prefixes.get(index).map_or(usize::MAX, |p| usize::from(*p));
            match self.bytes.get(at..end) {
                Some(rest) if prefix <= value.len() => {
                    value.truncate(prefix);
                    value.extend_from_slice(rest);
                    sound &= f(&value);
                }
                _ => sound = false,
            }
            at = end;
            index += 1;
        });
        sound && at == self.bytes.len()
    }
}
