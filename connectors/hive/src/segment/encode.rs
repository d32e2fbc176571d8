//! From columns to a block.

use super::{BLOCK_HEADER, BLOCK_MAGIC, BLOCK_VERSION, PAGE_BYTES, PAGE_ROWS, encoding, nulls};
use crate::bounds;
use crate::dictionary::{Dictionary, INLINE, Views, order_key};
use crate::error::{At, HiveError, Result};
use arrow::array::{Array, ArrayRef, AsArray, BooleanBufferBuilder, RecordBatch};
use arrow::buffer::NullBuffer;
use arrow::datatypes::{DataType, Field, Schema};
use std::sync::Arc;

/// A dictionary is given up when it has this many entries …
const MAX_ENTRIES: usize = 16_384;
/// … or this many bytes …
const MAX_DICTIONARY_BYTES: usize = 1 << 20;
/// … or when of the first so many values …
const SAMPLE: usize = 4_096;
/// … more than this are distinct.
const SAMPLE_DISTINCT: usize = SAMPLE * 9 / 10;

/// Encodes rows as one block. `columns[i]` are the chunks of column `i`, all of the same type and together `rows` long.
pub(crate) fn encode_block(columns: &[Vec<ArrayRef>], rows: usize, fingerprint: u64) -> Result<Vec<u8>> {
    let mut out = Vec::with_capacity(BLOCK_HEADER + rows * columns.len() * 6);
    out.resize(BLOCK_HEADER, 0);
    for chunks in columns {
        encode_column(chunks, rows, &mut out)?;
    }
    let body = (out.len() - BLOCK_HEADER) as u64;
    let count = u16::try_from(columns.len())
        .map_err(|_| HiveError::invalid("segment", "a table has at most 65,535 columns"))?;
    out[0..4].copy_from_slice(&BLOCK_MAGIC.to_le_bytes());
    out[4..6].copy_from_slice(&BLOCK_VERSION.to_le_bytes());
    out[6..8].copy_from_slice(&count.to_le_bytes());
    out[8..16].copy_from_slice(&(rows as u64).to_le_bytes());
    out[16..24].copy_from_slice(&fingerprint.to_le_bytes());
    out[24..32].copy_from_slice(&body.to_le_bytes());
    let checksum = block_checksum(&out);
    out[32..40].copy_from_slice(&checksum.to_le_bytes());
    Ok(out)
}

/// Checksum of a whole block but for the checksum's own place.
pub(super) fn block_checksum(block: &[u8]) -> u64 {
    let seed = xxhash_rust::xxh3::xxh3_64(&block[..32]);
    xxhash_rust::xxh3::xxh3_64_with_seed(&block[BLOCK_HEADER..], seed)
}

/// Column header: encoding, nulls, code width, 0, values (u32), length of what follows (u64).
struct ColumnHeader {
    at: usize,
}

impl ColumnHeader {
    fn begin(out: &mut Vec<u8>) -> Self {
        let at = out.len();
        out.extend_from_slice(&[0; 16]);
        Self { at }
    }

    fn end(self, out: &mut [u8], encoding: u8, nulls: u8, width: u8, values: usize) {
        let length = (out.len() - self.at - 16) as u64;
        let header = &mut out[self.at..self.at + 16];
        header[0] = encoding;
        header[1] = nulls;
        header[2] = width;
        header[4..8].copy_from_slice(&(values as u32).to_le_bytes());
        header[8..16].copy_from_slice(&length.to_le_bytes());
    }
}

fn encode_column(chunks: &[ArrayRef], rows: usize, out: &mut Vec<u8>) -> Result<()> {
    let Some(first) = chunks.first() else {
        return Err(HiveError::invalid("segment", "a block without rows"));
    };
    let null_count: usize = chunks.iter().map(|c| c.logical_null_count()).sum();
    let header = ColumnHeader::begin(out);
    let nulls = match null_count {
        0 => nulls::NONE,
        n if n == rows => nulls::ALL,
        _ => nulls::SOME,
    };
    if nulls == nulls::SOME {
        encode_nulls(chunks, rows, out);
    }
    let values = rows - null_count;
    let (encoding, width) = match first.data_type() {
        DataType::Utf8View | DataType::BinaryView => encode_bytes(chunks, values, out),
        DataType::Utf8 | DataType::LargeUtf8 => encode_bytes(&cast_all(chunks, &DataType::Utf8View)?, values, out),
        DataType::Binary | DataType::LargeBinary => {
            encode_bytes(&cast_all(chunks, &DataType::BinaryView)?, values, out)
        }
        DataType::Boolean => {
            encode_bits(chunks, rows, out);
            (encoding::BITS, 0)
        }
        other => match other.primitive_width() {
            Some(width) => {
                encode_fixed(chunks, width, out);
                (encoding::FIXED, 0)
            }
            None => {
                encode_ipc(chunks, out)?;
                (encoding::IPC, 0)
            }
        },
    };
    header.end(out, encoding, nulls, width, values);
    Ok(())
}

fn cast_all(chunks: &[ArrayRef], to: &DataType) -> Result<Vec<ArrayRef>> {
    chunks.iter().map(|c| arrow::compute::cast(c, to).at("segment column")).collect()
}

fn encode_nulls(chunks: &[ArrayRef], rows: usize, out: &mut Vec<u8>) {
    let mut bits = BooleanBufferBuilder::new(rows);
    for chunk in chunks {
        match chunk.logical_nulls() {
            Some(nulls) => bits.append_buffer(nulls.inner()),
            None => bits.append_n(chunk.len(), true),
        }
    }
    out.extend_from_slice(&bits.as_slice()[..rows.div_ceil(8)]);
}

fn encode_bits(chunks: &[ArrayRef], rows: usize, out: &mut Vec<u8>) {
    let mut bits = BooleanBufferBuilder::new(rows);
    for chunk in chunks {
        bits.append_buffer(chunk.as_boolean().values());
    }
    out.extend_from_slice(&bits.as_slice()[..rows.div_ceil(8)]);
}

fn encode_fixed(chunks: &[ArrayRef], width: usize, out: &mut Vec<u8>) {
    for chunk in chunks {
        let data = chunk.to_data();
        let start = data.offset() * width;
        let bytes = &data.buffers()[0].as_slice()[start..start + chunk.len() * width];
        out.extend_from_slice(bytes);
    }
}

fn encode_ipc(chunks: &[ArrayRef], out: &mut Vec<u8>) -> Result<()> {
    let arrays: Vec<&dyn Array> = chunks.iter().map(|c| c.as_ref()).collect();
    let all = arrow::compute::concat(&arrays).at("segment column")?;
    let field = Field::new("c", all.data_type().clone(), true);
    let schema = Arc::new(Schema::new(vec![field]));
    let batch = RecordBatch::try_new(schema.clone(), vec![all]).at("segment column")?;
    let mut writer = arrow::ipc::writer::StreamWriter::try_new(out, &schema).at("segment column")?;
    writer.write(&batch).at("segment column")?;
    writer.finish().at("segment column")
}

/// Byte strings: a dictionary where that pays, else pages. Returns the encoding and the code width.
fn encode_bytes(chunks: &[ArrayRef], values: usize, out: &mut Vec<u8>) -> (u8, u8) {
    let views: Vec<Views<'_>> = chunks.iter().filter_map(Views::of).collect();
    if let Some((dictionary, codes)) = build_dictionary(&views, values) {
        let width = encode_dictionary(&dictionary, &codes, out);
        return (encoding::DICTIONARY, width);
    }
    encode_pages(&views, out);
    (encoding::PAGES, 0)
}

/// All values by code, or none if too many are distinct.
fn build_dictionary(chunks: &[Views<'_>], values: usize) -> Option<(Dictionary, Vec<u16>)> {
    let mut dictionary = Dictionary::new(MAX_ENTRIES, MAX_DICTIONARY_BYTES);
    let mut codes = Vec::with_capacity(values);
    for chunk in chunks {
        let mut from = 0;
        while from < chunk.views.len() {
            // Up to the end of the sample, then the rest in one go.
            let to = if codes.len() < SAMPLE {
                chunk.views.len().min(from + SAMPLE - codes.len())
            } else {
                chunk.views.len()
            };
            intern_range(&mut dictionary, chunk, from, to, &mut codes)?;
            if codes.len() >= SAMPLE && codes.len() < SAMPLE * 2 && dictionary.len() > SAMPLE_DISTINCT {
                return None;
            }
            from = to;
        }
    }
    // Short blocks: a dictionary of nearly as many entries as values only adds codes.
    if values >= 64 && dictionary.len() * 10 > values * 9 {
        return None;
    }
    Some((dictionary, codes))
}

fn intern_range(
    dictionary: &mut Dictionary,
    chunk: &Views<'_>,
    from: usize,
    to: usize,
    codes: &mut Vec<u16>,
) -> Option<()> {
    // No view is all ones: its length would be 4 GiB.
    let mut last = (u128::MAX, 0);
    let mut code_of = |view: u128| {
        if view != last.0 {
            last = (view, dictionary.intern(view, chunk)? as u16);
        }
        Some(last.1)
    };
    match chunk.nulls {
        None => {
            for view in &chunk.views[from..to] {
                codes.push(code_of(*view)?);
            }
        }
        Some(nulls) => {
            for row in valid_rows(nulls, from, to) {
                codes.push(code_of(chunk.views[row])?);
            }
        }
    }
    Some(())
}

fn valid_rows(nulls: &NullBuffer, from: usize, to: usize) -> impl Iterator<Item = usize> + '_ {
    (from..to).filter(|row| nulls.is_valid(*row))
}

/// Number of entries, length of the entries, entries, codes.
fn encode_dictionary(dictionary: &Dictionary, codes: &[u16], out: &mut Vec<u8>) -> u8 {
    out.extend_from_slice(&(dictionary.len() as u32).to_le_bytes());
    out.extend_from_slice(&(dictionary.plain().len() as u32).to_le_bytes());
    out.extend_from_slice(dictionary.plain());
    match dictionary.len() {
        0..=1 => 0,
        2..=256 => {
            out.extend(codes.iter().map(|c| *c as u8));
            1
        }
        _ => {
            let start = out.len();
            out.resize(start + codes.len() * 2, 0);
            let (places, _) = out[start..].as_chunks_mut::<2>();
            for (place, code) in places.iter_mut().zip(codes) {
                *place = code.to_le_bytes();
            }
            2
        }
    }
}

/// Pages one after the other, each: rows, values, whether it has a range, length of the values, lengths of the lower
/// and upper bound (u32 each); lower bound, upper bound, values in PLAIN encoding.
fn encode_pages(chunks: &[Views<'_>], out: &mut Vec<u8>) {
    let mut page = PageEncoder::new(Vec::with_capacity(PAGE_ROWS * 20));
    for chunk in chunks {
        let mut from = 0;
        while from < chunk.views.len() {
            let to = chunk.views.len().min(from + PAGE_ROWS - page.rows);
            from = page.push(chunk, from, to);
            if page.rows >= PAGE_ROWS || page.plain.len() >= PAGE_BYTES {
                page.end(out);
            }
        }
    }
    if page.rows > 0 {
        page.end(out);
    }
}

#[derive(Debug)]
struct PageEncoder {
    rows: usize,
    values: usize,
    plain: Vec<u8>,
    least: Extreme,
    greatest: Extreme,
}

/// The least or greatest value so far: its order key, and where it stands in the page.
#[derive(Debug, Clone, Copy)]
struct Extreme {
    key: u128,
    start: usize,
    end: usize,
}

impl PageEncoder {
    fn new(plain: Vec<u8>) -> Self {
        Self {
            rows: 0,
            values: 0,
            plain,
            least: Extreme { key: u128::MAX, start: 0, end: 0 },
            greatest: Extreme { key: 0, start: 0, end: 0 },
        }
    }

    /// Takes rows until `to` or until the page is full; returns the first row not taken.
    fn push(&mut self, chunk: &Views<'_>, from: usize, to: usize) -> usize {
        let mut row = from;
        while row < to && self.plain.len() < PAGE_BYTES {
            // A stretch at a time, so that room for short values is made once for all of them.
            let end = to.min(row + 1024);
            self.push_stretch(chunk, row, end);
            row = end;
        }
        self.rows += row - from;
        row
    }

    fn push_stretch(&mut self, chunk: &Views<'_>, from: usize, to: usize) {
        let mut at = self.plain.len();
        let stretch = &chunk.views[from..to];
        let bytes: usize = stretch.iter().map(|v| *v as u32 as usize).sum();
        let bound = match chunk.nulls {
            None => at + bytes + stretch.len() * 4 + 16,
            // A NULL row's view may hold anything.
            Some(nulls) => {
                let valid = valid_rows(nulls, from, to).map(|r| chunk.views[r] as u32 as usize + 4);
                at + valid.sum::<usize>() + 16
            }
        };
        self.plain.resize(bound, 0);
        match chunk.nulls {
            None => {
                for view in stretch {
                    at = self.push_value(*view, chunk, at);
                }
                self.values += stretch.len();
            }
            Some(nulls) => {
                for row in valid_rows(nulls, from, to) {
                    at = self.push_value(chunk.views[row], chunk, at);
                    self.values += 1;
                }
            }
        }
        self.plain.truncate(at);
    }

    /// Writes a value in PLAIN encoding at `at` and returns where it ends.
    #[inline]
    fn push_value(&mut self, view: u128, chunk: &Views<'_>, at: usize) -> usize {
        let length = view as u32;
        let end = at + 4 + length as usize;
        if length <= INLINE {
            // A short value's view is its PLAIN encoding, followed by zeros that the next value overwrites.
            self.plain[at..at + 16].copy_from_slice(&view.to_le_bytes());
        } else {
            self.plain[at..at + 4].copy_from_slice(&length.to_le_bytes());
            self.plain[at + 4..end].copy_from_slice(chunk.long(view));
        }
        let key = order_key(view, chunk);
        let start = at + 4;
        if key <= self.least.key && self.is_extreme(key, start, end, self.least, true) {
            self.least = Extreme { key, start, end };
        }
        if key >= self.greatest.key && self.is_extreme(key, start, end, self.greatest, false) {
            self.greatest = Extreme { key, start, end };
        }
        end
    }

    /// Settles what the keys alone don't: equal keys of long values, and the first value of all.
    fn is_extreme(&self, key: u128, start: usize, end: usize, old: Extreme, less: bool) -> bool {
        if key != old.key || old.end == 0 {
            return true;
        }
        let (new, old) = (&self.plain[start..end], &self.plain[old.start..old.end]);
        if less { new < old } else { new > old }
    }

    fn end(&mut self, out: &mut Vec<u8>) {
        let least = bounds::lower(&self.plain[self.least.start..self.least.end]);
        let greatest = bounds::upper(&self.plain[self.greatest.start..self.greatest.end]);
        // Without an upper bound (a long run of the greatest bytes) the page has no range.
        let ranged = self.values > 0 && greatest.is_some();
        let (least, greatest) = if ranged { (least, greatest.unwrap_or_default()) } else { Default::default() };
        for number in [self.rows, self.values, usize::from(ranged), self.plain.len(), least.len(), greatest.len()] {
            out.extend_from_slice(&(number as u32).to_le_bytes());
        }
        out.extend_from_slice(&least);
        out.extend_from_slice(&greatest);
        out.extend_from_slice(&self.plain);
        let mut plain = std::mem::take(&mut self.plain);
        plain.clear();
        *self = Self::new(plain);
    }
}
