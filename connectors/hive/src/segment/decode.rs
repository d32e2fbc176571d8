//! From a block's bytes to columns. Nothing here trusts the bytes: whatever they are, the answer is rows or an error.

use super::block::{Block, BlockColumn, Codes, ColumnData, DictionaryColumn, Lengths, Nulls, TextPage};
use super::encode::block_checksum;
use super::{BLOCK_HEADER, BLOCK_MAGIC, BLOCK_VERSION, encoding, nulls, page_flag};
use crate::dictionary::INLINE;
use crate::error::{At, HiveError, Result};
use arrow::array::{
    Array, ArrayData, ArrayRef, BinaryViewArray, BooleanArray, StringViewArray, UInt32Array, make_array, new_null_array,
};
use arrow::buffer::{BooleanBuffer, Buffer, NullBuffer, ScalarBuffer};
use arrow::datatypes::{DataType, Field};
use bytes::Bytes;
use std::sync::Arc;

/// A block's header.
#[derive(Debug, Clone, Copy)]
pub(super) struct BlockHeader {
    pub(super) columns: usize,
    pub(super) rows: usize,
    pub(super) fingerprint: u64,
    /// Bytes of the whole block.
    pub(super) length: u64,
    checksum: u64,
}

impl BlockHeader {
    pub(super) fn parse(bytes: &[u8], place: &str) -> Result<Self> {
        let mut reader = Reader { bytes, at: 0, place };
        if reader.u32()? != BLOCK_MAGIC {
            return Err(reader.corrupt("no block begins here"));
        }
        let version = reader.u16()?;
        if version != BLOCK_VERSION {
            let message = format!(
                "the block has format {version}, this build reads {BLOCK_VERSION}: use the build that wrote it"
            );
            return Err(reader.corrupt(&message));
        }
        let columns = reader.u16()? as usize;
        let rows = reader.u64()?;
        let fingerprint = reader.u64()?;
        let body = reader.u64()?;
        let checksum = reader.u64()?;
        let rows = usize::try_from(rows)
            .ok()
            .filter(|r| *r <= super::BLOCK_ROWS)
            .ok_or_else(|| reader.corrupt("a block of too many rows"))?;
        Ok(Self { columns, rows, fingerprint, length: body.saturating_add(BLOCK_HEADER as u64), checksum })
    }
}

/// Parses a whole block whose header is known, and checks all of it. `fields` are the columns as they were written.
pub(super) fn decode_block(header: &BlockHeader, bytes: &Bytes, fields: &[Arc<Field>], place: &str) -> Result<Block> {
    if bytes.len() as u64 != header.length || bytes.len() < BLOCK_HEADER {
        return Err(HiveError::corrupt(place, "the block is cut off"));
    }
    if block_checksum(bytes) != header.checksum {
        return Err(HiveError::corrupt(place, "the block's checksum does not match its bytes: the object is damaged"));
    }
    if header.columns != fields.len() {
        let message = format!("{} columns where {} are expected", header.columns, fields.len());
        return Err(HiveError::corrupt(place, message));
    }
    let mut reader = Reader { bytes, at: BLOCK_HEADER, place };
    let columns = fields
        .iter()
        .map(|field| decode_column(&mut reader, bytes, header.rows, field.data_type()))
        .collect::<Result<_>>()?;
    Ok(Block { rows: header.rows, columns })
}

fn decode_column(reader: &mut Reader<'_>, whole: &Bytes, rows: usize, data_type: &DataType) -> Result<BlockColumn> {
    let kind = reader.u8()?;
    let null_kind = reader.u8()?;
    let width = reader.u8()?;
    reader.u8()?;
    let values = reader.u32()? as usize;
    let length = reader.length64()?;
    let end = reader.at + length;
    let nulls = match null_kind {
        nulls::NONE => Nulls::None,
        nulls::ALL => Nulls::All,
        nulls::SOME => {
            let bits = reader.take(rows.div_ceil(8))?;
            Nulls::Some(NullBuffer::new(BooleanBuffer::new(Buffer::from(bits), 0, rows)))
        }
        other => return Err(reader.corrupt(&format!("unknown kind of nulls {other}"))),
    };
    if nulls.values(rows) != values {
        return Err(reader.corrupt("the number of values does not match the nulls"));
    }
    let data = match kind {
        encoding::DICTIONARY => ColumnData::Dictionary(decode_dictionary(reader, whole, values, width)?),
        encoding::PAGES => ColumnData::Pages(decode_pages(reader, whole, end, rows, values)?),
        encoding::FIXED => ColumnData::Array(decode_fixed(reader, rows, &nulls, data_type)?),
        encoding::BITS => {
            let bits = reader.take(rows.div_ceil(8))?;
            let values = BooleanBuffer::new(Buffer::from(bits), 0, rows);
            ColumnData::Array(Arc::new(BooleanArray::new(values, null_buffer(&nulls, rows))))
        }
        encoding::IPC => {
            let bytes = reader.take(end.saturating_sub(reader.at))?;
            ColumnData::Array(decode_ipc(bytes, rows, data_type, reader.place)?)
        }
        other => return Err(reader.corrupt(&format!("unknown column encoding {other}"))),
    };
    if reader.at != end {
        return Err(reader.corrupt("a column's length does not match its content"));
    }
    Ok(BlockColumn { nulls, data })
}

fn null_buffer(nulls: &Nulls, rows: usize) -> Option<NullBuffer> {
    match nulls {
        Nulls::None => None,
        Nulls::Some(nulls) => Some(nulls.clone()),
        Nulls::All => Some(NullBuffer::new_null(rows)),
    }
}

fn decode_dictionary(reader: &mut Reader<'_>, whole: &Bytes, values: usize, width: u8) -> Result<DictionaryColumn> {
    let count = reader.u32()? as usize;
    let length = reader.u32()? as usize;
    let plain = reader.share(whole, length)?;
    let entries = plain_entries(&plain, count)
        .ok_or_else(|| reader.corrupt("the dictionary's entries do not fill its length"))?;
    let codes = match width {
        0 => Codes::Constant(values),
        1 => Codes::Narrow(reader.share(whole, values)?),
        2 => Codes::Wide(reader.share(whole, values.saturating_mul(2))?),
        other => return Err(reader.corrupt(&format!("codes of {other} bytes"))),
    };
    let mut greatest = 0;
    codes.for_each(|code| greatest = greatest.max(code));
    if values > 0 && usize::from(greatest) >= count {
        return Err(reader.corrupt("a code that is not in the dictionary"));
    }
    Ok(DictionaryColumn { entries, plain, codes })
}

/// Where the values of PLAIN encoding begin and end, if there are just so many.
fn plain_entries(plain: &[u8], count: usize) -> Option<Vec<(u32, u32)>> {
    let mut entries = Vec::with_capacity(count.min(plain.len() / 4));
    let mut at = 0usize;
    for _ in 0..count {
        let length = u32::from_le_bytes(plain.get(at..at + 4)?.try_into().ok()?) as usize;
        let start = at + 4;
        at = start.checked_add(length)?;
        if at > plain.len() {
            return None;
        }
        entries.push((start as u32, at as u32));
    }
    (at == plain.len()).then_some(entries)
}

fn decode_pages(
    reader: &mut Reader<'_>,
    whole: &Bytes,
    end: usize,
    rows: usize,
    values: usize,
) -> Result<Vec<TextPage>> {
    let mut pages = Vec::new();
    let (mut rows_left, mut values_left) = (rows, values);
    while reader.at < end {
        let page = decode_page(reader, whole)?;
        if page.rows > rows_left || page.values > values_left || page.rows == 0 {
            return Err(reader.corrupt("pages of more rows than their block"));
        }
        rows_left -= page.rows;
        values_left -= page.values;
        pages.push(page);
    }
    if rows_left > 0 || values_left > 0 {
        return Err(reader.corrupt("pages of fewer rows than their block"));
    }
    Ok(pages)
}

fn decode_page(reader: &mut Reader<'_>, whole: &Bytes) -> Result<TextPage> {
    let rows = reader.u32()? as usize;
    let values = reader.u32()? as usize;
    let flags = reader.u32()?;
    let length = reader.u32()? as usize;
    let lower = reader.u32()? as usize;
    let upper = reader.u32()? as usize;
    let lower = reader.share(whole, lower)?;
    let upper = reader.share(whole, upper)?;
    let prefixes = match flags & page_flag::PREFIXES {
        0 => None,
        _ => Some(reader.share(whole, values)?),
    };
    let lengths = match flags & page_flag::WIDE {
        0 => Lengths::Narrow(reader.share(whole, values)?),
        _ => Lengths::Wide(reader.share(whole, values.saturating_mul(4))?),
    };
    let bytes = reader.share(whole, length)?;
    let mut sum = 0u64;
    lengths.for_each(|length| sum += u64::from(length));
    if sum != bytes.len() as u64 {
        return Err(reader.corrupt("a page's values do not fill its length"));
    }
    let range = (flags & page_flag::RANGED != 0).then_some((lower, upper));
    Ok(TextPage { rows, values, prefixes, lengths, bytes, range })
}

fn decode_fixed(reader: &mut Reader<'_>, rows: usize, nulls: &Nulls, data_type: &DataType) -> Result<ArrayRef> {
    let Some(width) = data_type.primitive_width() else {
        return Err(reader.corrupt(&format!("fixed-width values of a column of type {data_type}")));
    };
    let bytes = reader.take(rows.saturating_mul(width))?;
    let data = ArrayData::builder(data_type.clone())
        .len(rows)
        .nulls(null_buffer(nulls, rows))
        // Copied: Arrow wants values at aligned addresses.
        .add_buffer(Buffer::from(bytes))
        .build()
        .at(reader.place)?;
    Ok(make_array(data))
}

fn decode_ipc(bytes: &[u8], rows: usize, data_type: &DataType, place: &str) -> Result<ArrayRef> {
    let mut reader = arrow::ipc::reader::StreamReader::try_new(bytes, None).at(place)?;
    let Some(batch) = reader.next().transpose().at(place)? else {
        return Err(HiveError::corrupt(place, "an Arrow column without rows"));
    };
    let column = batch.column(0);
    if column.len() != rows || column.data_type() != data_type {
        return Err(HiveError::corrupt(place, "an Arrow column that does not fit its block"));
    }
    Ok(column.clone())
}

impl BlockColumn {
    /// The column as an Arrow array of a type.
    pub(crate) fn to_array(&self, rows: usize, data_type: &DataType, place: &str) -> Result<ArrayRef> {
        if matches!(self.nulls, Nulls::All) {
            return Ok(new_null_array(data_type, rows));
        }
        let views = match &self.data {
            ColumnData::Array(array) => return Ok(array.clone()),
            ColumnData::Dictionary(dictionary) => dictionary_array(dictionary, &self.nulls, rows, data_type, place)?,
            ColumnData::Pages(pages) => pages_array(pages, &self.nulls, rows, data_type, place)?,
        };
        if views.data_type() == data_type {
            return Ok(views);
        }
        arrow::compute::cast(&views, data_type).at(place)
    }
}

fn is_text(data_type: &DataType) -> bool {
    matches!(data_type, DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View)
}

fn view_array(
    views: Vec<u128>,
    buffers: Vec<Buffer>,
    nulls: Option<NullBuffer>,
    data_type: &DataType,
    place: &str,
) -> Result<ArrayRef> {
    let views = ScalarBuffer::from(views);
    Ok(if is_text(data_type) {
        Arc::new(StringViewArray::try_new(views, buffers, nulls).at(place)?)
    } else {
        Arc::new(BinaryViewArray::try_new(views, buffers, nulls).at(place)?)
    })
}

fn dictionary_array(
    dictionary: &DictionaryColumn,
    nulls: &Nulls,
    rows: usize,
    data_type: &DataType,
    place: &str,
) -> Result<ArrayRef> {
    let views = dictionary.entries.iter().map(|(start, end)| make_view(&dictionary.plain, *start, *end, 0)).collect();
    let buffer = Buffer::from(dictionary.plain.clone());
    let entries = view_array(views, vec![buffer], None, data_type, place)?;
    let mut codes = Vec::with_capacity(rows);
    dictionary.codes.for_each(|code| codes.push(u32::from(code)));
    let codes = match nulls {
        Nulls::Some(nulls) => UInt32Array::new(spread(&codes, nulls, 0).into(), Some(nulls.clone())),
        _ => UInt32Array::from(codes),
    };
    arrow::compute::take(&entries, &codes, None).at(place)
}

/// Puts the values at the rows that are not NULL.
fn spread<T: Copy>(values: &[T], nulls: &NullBuffer, null: T) -> Vec<T> {
    let mut values = values.iter();
    nulls
        .iter()
        .map(|valid| match valid {
            true => values.next().copied().unwrap_or(null),
            false => null,
        })
        .collect()
}

fn pages_array(pages: &[TextPage], nulls: &Nulls, rows: usize, data_type: &DataType, place: &str) -> Result<ArrayRef> {
    let mut views = Vec::with_capacity(rows);
    let mut buffers = Vec::with_capacity(pages.len());
    for (index, page) in pages.iter().enumerate() {
        let buffer = push_views(page, index as u32, &mut views)
            .ok_or_else(|| HiveError::corrupt(place, "a page contradicts itself"))?;
        buffers.push(buffer);
    }
    match nulls {
        Nulls::Some(nulls) => {
            let views = spread(&views, nulls, 0);
            view_array(views, buffers, Some(nulls.clone()), data_type, place)
        }
        _ => view_array(views, buffers, None, data_type, place),
    }
}

/// Appends the views of a page's values; returns the buffer that long ones point into.
fn push_views(page: &TextPage, buffer: u32, views: &mut Vec<u128>) -> Option<Buffer> {
    if page.prefixes.is_none() {
        let mut at = 0u32;
        let sound = page.expand(|value| {
            let start = at;
            at += value.len() as u32;
            views.push(make_view(&page.bytes, start, at, buffer));
            true
        });
        return sound.then(|| Buffer::from(page.bytes.clone()));
    }
    let mut long: Vec<u8> = Vec::new();
    let sound = page.expand(|value| {
        if value.len() <= INLINE as usize {
            views.push(make_view(value, 0, value.len() as u32, 0));
            return true;
        }
        let start = long.len();
        long.extend_from_slice(value);
        let Ok(end) = u32::try_from(long.len()) else { return false };
        views.push(make_view(&long, start as u32, end, buffer));
        true
    });
    sound.then(|| Buffer::from_vec(long))
}

/// The view of `bytes[start..end]`, which the caller has checked to be there.
#[inline]
fn make_view(bytes: &[u8], start: u32, end: u32, buffer: u32) -> u128 {
    let length = end - start;
    if length <= INLINE {
        let value = &bytes[start as usize..end as usize];
        let mut view = [0; 16];
        view[..4].copy_from_slice(&length.to_le_bytes());
        view[4..4 + value.len()].copy_from_slice(value);
        u128::from_le_bytes(view)
    } else {
        let mut prefix = [0; 4];
        prefix.copy_from_slice(&bytes[start as usize..start as usize + 4]);
        u128::from(length)
            | u128::from(u32::from_le_bytes(prefix)) << 32
            | u128::from(buffer) << 64
            | u128::from(start) << 96
    }
}

/// Reads numbers and stretches in order; an end too soon is an error.
struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
    place: &'a str,
}

impl<'a> Reader<'a> {
    fn corrupt(&self, message: &str) -> HiveError {
        HiveError::corrupt(self.place, format!("{message} (at byte {} of the block)", self.at))
    }

    fn take(&mut self, length: usize) -> Result<&'a [u8]> {
        let taken = self.at.checked_add(length).and_then(|end| self.bytes.get(self.at..end));
        match taken {
            Some(taken) => {
                self.at += length;
                Ok(taken)
            }
            None => Err(self.corrupt("the block ends too soon")),
        }
    }

    /// As `take`, without copying; `whole` is what `bytes` is a view of.
    fn share(&mut self, whole: &Bytes, length: usize) -> Result<Bytes> {
        let start = self.at;
        self.take(length)?;
        Ok(whole.slice(start..start + length))
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N]> {
        let taken = self.take(N)?;
        let mut out = [0; N];
        out.copy_from_slice(taken);
        Ok(out)
    }

    fn u8(&mut self) -> Result<u8> {
        Ok(self.array::<1>()?[0])
    }

    fn u16(&mut self) -> Result<u16> {
        self.array().map(u16::from_le_bytes)
    }

    fn u32(&mut self) -> Result<u32> {
        self.array().map(u32::from_le_bytes)
    }

    fn u64(&mut self) -> Result<u64> {
        self.array().map(u64::from_le_bytes)
    }

    /// A length that stays within the block.
    fn length64(&mut self) -> Result<usize> {
        let length = self.u64()?;
        usize::try_from(length)
            .ok()
            .filter(|l| *l <= self.bytes.len())
            .ok_or_else(|| self.corrupt("a length beyond the block"))
    }
}
