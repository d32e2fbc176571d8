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
    Pages(Vec<PlainPage>),
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

/// A run of rows of a plain column.
#[derive(Debug, Clone)]
pub(crate) struct PlainPage {
    /// Rows, NULL ones included.
    pub(crate) rows: usize,
    /// Values in `plain`.
    pub(crate) values: usize,
    /// The values in PLAIN encoding.
    pub(crate) plain: Bytes,
    /// The least and the greatest value, if there is any value.
    pub(crate) range: Option<(Bytes, Bytes)>,
}
