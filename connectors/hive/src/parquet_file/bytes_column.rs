//! One column chunk of byte strings, written from blocks.
//!
//! The chunk begins with a dictionary if the first block says so, and falls back to plain pages when the dictionary
//! fills up or turns out not to pay (readers know this: every writer does it). Pages of the dictionary come before plain
//! ones. How zstd is used is measured on the first page: codes of evenly spread values don't compress, and then the
//! chunk is stored as it is, which also makes it cheaper to read; strings of digits compress as well with next to no
//! search for repetitions.

use super::delta::push_numbers;
use super::hybrid::{code_width, push_codes, push_run, varint};
use crate::bounds;
use crate::dictionary::{Dictionary, order_key_of};
use crate::error::{At, HiveError, Result};
use crate::layout::TextEncoding;
use crate::segment::block::{BlockColumn, ColumnData, DictionaryColumn, Nulls, TextPage};
use crate::segment::{PAGE_BYTES, PAGE_ROWS};
use arrow::array::BooleanBufferBuilder;
use bytes::Bytes;
use parquet::basic::{BoundaryOrder, Compression, Encoding, PageType, Type, ZstdLevel};
use parquet::column::page::{CompressedPage, Page, PageWriter};
use parquet::column::writer::ColumnCloseResult;
use parquet::data_type::ByteArray;
use parquet::file::metadata::{ColumnChunkMetaData, ColumnIndexBuilder, OffsetIndexBuilder, PageEncodingStats};
use parquet::file::statistics::{Statistics, ValueStatistics};
use parquet::file::writer::{SerializedPageWriter, TrackedWrite};
use parquet::schema::types::ColumnDescPtr;

/// Codes are 16 bits wide at most.
const MAX_ENTRIES: usize = 1 << 16;
/// Readers hold the whole dictionary: parquet-mr's limit.
const MAX_DICTIONARY_BYTES: usize = 1 << 20;
/// A plain page of at least so many values says that its values are hardly ever repeated.
const TRUSTED_PAGE: usize = 4096;
/// zstd pays if it takes off at least a tenth.
const WORTHWHILE: (usize, usize) = (9, 10);

/// Bits of the small hash table: strings of digits have no repetitions worth finding, only digits worth counting, and
/// with a small table zstd does little else (a third of the time at the same size).
const SMALL_TABLE: u32 = 6;
/// The small table is taken if the page grows by no more than this part.
const TOLERATED: usize = 33;

/// Reused zstd contexts.
pub(crate) struct Zstd {
    usual: zstd::bulk::Compressor<'static>,
    /// For level 1 only: whoever asks for more wants smaller files, not less CPU.
    small: Option<zstd::bulk::Compressor<'static>>,
    level: i32,
}

/// How a chunk's pages are compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Method {
    Stored,
    Usual,
    SmallTable,
}

impl Zstd {
    pub(crate) fn new(level: i32) -> std::io::Result<Self> {
        let small = if level == 1 {
            let mut small = zstd::bulk::Compressor::new(level)?;
            small.set_parameter(zstd::zstd_safe::CParameter::HashLog(SMALL_TABLE))?;
            small.set_parameter(zstd::zstd_safe::CParameter::MinMatch(7))?;
            Some(small)
        } else {
            None
        };
        Ok(Self { usual: zstd::bulk::Compressor::new(level)?, small, level })
    }

    /// Measures the methods on a chunk's first page; also returns the page compressed, unless it is stored.
    fn choose(&mut self, page: &[u8], place: &str) -> Result<(Method, Option<Vec<u8>>)> {
        let mut method = Method::Usual;
        let mut best = self.compress(method, page, place)?;
        if self.small.is_some() {
            let small = self.compress(Method::SmallTable, page, place)?;
            if small.len() <= best.len() + best.len() / TOLERATED {
                (method, best) = (Method::SmallTable, small);
            }
        }
        if best.len() * WORTHWHILE.1 < page.len() * WORTHWHILE.0 {
            Ok((method, Some(best)))
        } else {
            Ok((Method::Stored, None))
        }
    }

    fn compress(&mut self, method: Method, bytes: &[u8], place: &str) -> Result<Vec<u8>> {
        let context = match (method, &mut self.small) {
            (Method::SmallTable, Some(small)) => small,
            _ => &mut self.usual,
        };
        context.compress(bytes).map_err(|e| HiveError::invalid(place, format!("zstd: {e}")))
    }

    fn codec(&self) -> Result<Compression> {
        let level = ZstdLevel::try_new(self.level).at("zstd level of the table")?;
        Ok(Compression::ZSTD(level))
    }
}

/// A page's values that are not written yet.
#[derive(Default)]
struct Pending {
    rows: usize,
    values: usize,
    /// Present once there is a NULL.
    valid: Option<BooleanBufferBuilder>,
    codes: Vec<u16>,
    /// How many bytes each value shares with the one before; empty while none does.
    prefixes: Vec<u32>,
    lengths: Vec<u32>,
    /// The values behind their prefixes; with lengths in between if the table wants PLAIN.
    bytes: Vec<u8>,
    /// Lower and upper bound of the values in `bytes`.
    range: Range,
}

/// Bounds of some values.
#[derive(Debug, Clone, Default)]
enum Range {
    /// There are no values.
    #[default]
    Empty,
    Between(Vec<u8>, Vec<u8>),
    /// There are values, and no bounds.
    Unknown,
}

impl Range {
    fn include(&mut self, lower: &[u8], upper: &[u8]) {
        match self {
            Self::Empty => *self = Self::Between(lower.to_vec(), upper.to_vec()),
            Self::Between(least, greatest) => {
                if lower < least.as_slice() {
                    *least = lower.to_vec();
                }
                if upper > greatest.as_slice() {
                    *greatest = upper.to_vec();
                }
            }
            Self::Unknown => {}
        }
    }

    fn merge(&mut self, other: &Self) {
        match other {
            Self::Empty => {}
            Self::Between(lower, upper) => self.include(lower, upper),
            Self::Unknown => *self = Self::Unknown,
        }
    }
}

/// Writes one column chunk.
pub(crate) struct BytesColumnWriter {
    column: ColumnDescPtr,
    /// None once the chunk has gone over to plain pages, or if it began so.
    dictionary: Option<Dictionary>,
    /// The dictionary that the first pages refer to, after the fallback.
    written_dictionary: Option<Dictionary>,
    /// Order keys of the dictionary's entries.
    order: Vec<u128>,
    pending: Pending,
    pages: TrackedWrite<Vec<u8>>,
    /// Uncompressed size of the pages with their headers.
    uncompressed: usize,
    dictionary_pages: i32,
    text_pages: TextPages,
    method: Option<Method>,
    text_encoding: TextEncoding,
    rows: usize,
    values: usize,
    range: Range,
    index: Vec<PageIndex>,
}

/// Pages by encoding.
#[derive(Debug, Default)]
struct TextPages {
    plain: i32,
    lengths: i32,
    prefixes: i32,
}

struct PageIndex {
    rows: usize,
    nulls: usize,
    range: Range,
    offset: usize,
    bytes: usize,
    value_bytes: i64,
}

impl BytesColumnWriter {
    /// Begins a chunk; `first` is the first block's column, by which the encoding is chosen.
    pub(crate) fn new(column: ColumnDescPtr, first: Option<&BlockColumn>, text_encoding: TextEncoding) -> Self {
        let distinct = match first.map(|c| &c.data) {
            Some(ColumnData::Pages(pages)) => pages.iter().any(|p| p.values >= TRUSTED_PAGE),
            _ => false,
        };
        Self {
            column,
            dictionary: (!distinct).then(|| Dictionary::new(MAX_ENTRIES, MAX_DICTIONARY_BYTES)),
            written_dictionary: None,
            order: Vec::new(),
            pending: Pending::default(),
            pages: TrackedWrite::new(Vec::new()),
            uncompressed: 0,
            dictionary_pages: 0,
            text_pages: TextPages::default(),
            method: None,
            text_encoding,
            rows: 0,
            values: 0,
            range: Range::Empty,
            index: Vec::new(),
        }
    }

    /// Appends a block's column of `rows` rows.
    pub(crate) fn append(&mut self, column: &BlockColumn, rows: usize, zstd: &mut Zstd, place: &str) -> Result<()> {
        match &column.data {
            _ if matches!(column.nulls, Nulls::All) => self.append_nulls(rows, zstd, place),
            ColumnData::Dictionary(dictionary) => self.append_dictionary(dictionary, &column.nulls, rows, zstd, place),
            ColumnData::Pages(pages) => self.append_pages(pages, &column.nulls, zstd, place),
            ColumnData::Array(array) => {
                let message = format!("a column of type {} where bytes belong", array.data_type());
                Err(HiveError::corrupt(place, message))
            }
        }
    }

    fn append_nulls(&mut self, rows: usize, zstd: &mut Zstd, place: &str) -> Result<()> {
        let mut left = rows;
        while left > 0 {
            let take = left.min(PAGE_ROWS - self.pending.rows.min(PAGE_ROWS - 1));
            self.pending.push_validity(&Nulls::All, 0, take);
            left -= take;
            self.flush_full(zstd, place)?;
        }
        Ok(())
    }

    fn append_dictionary(
        &mut self,
        block: &DictionaryColumn,
        nulls: &Nulls,
        rows: usize,
        zstd: &mut Zstd,
        place: &str,
    ) -> Result<()> {
        let Some(codes) = self.map_entries(block) else {
            self.leave_dictionary(zstd, place)?;
            return self.append_expanded(block, nulls, rows, zstd, place);
        };
        let mut mapped = Vec::with_capacity(nulls.values(rows));
        block.codes.for_each(|code| mapped.push(codes[usize::from(code)]));
        let (mut row, mut value) = (0, 0);
        while row < rows {
            let take = (rows - row).min(PAGE_ROWS - self.pending.rows.min(PAGE_ROWS - 1));
            let values = self.pending.push_validity(nulls, row, take);
            self.pending.codes.extend_from_slice(&mapped[value..value + values]);
            row += take;
            value += values;
            self.flush_full(zstd, place)?;
        }
        Ok(())
    }

    /// The chunk's code of each entry of a block; none if the dictionary is given up or full.
    fn map_entries(&mut self, block: &DictionaryColumn) -> Option<Vec<u16>> {
        let dictionary = self.dictionary.as_mut()?;
        (0..block.entries.len()).map(|code| dictionary.intern_bytes(block.value(code)).map(|c| c as u16)).collect()
    }

    /// A dictionary block for a chunk that is plain by now.
    fn append_expanded(
        &mut self,
        block: &DictionaryColumn,
        nulls: &Nulls,
        rows: usize,
        zstd: &mut Zstd,
        place: &str,
    ) -> Result<()> {
        let mut codes = Vec::with_capacity(nulls.values(rows));
        block.codes.for_each(|code| codes.push(code));
        let (mut row, mut value) = (0, 0);
        while row < rows {
            let take = (rows - row).min(1024);
            let values = self.pending.push_validity(nulls, row, take);
            for code in &codes[value..value + values] {
                self.pending.push_value(block.value(usize::from(*code)), self.text_encoding);
            }
            row += take;
            value += values;
            self.flush_full(zstd, place)?;
        }
        Ok(())
    }

    fn append_pages(&mut self, pages: &[TextPage], nulls: &Nulls, zstd: &mut Zstd, place: &str) -> Result<()> {
        let mut row = 0;
        for page in pages {
            if self.dictionary.is_some()
                && (page.values >= TRUSTED_PAGE || !self.intern_page(page, nulls, row, place)?)
            {
                self.leave_dictionary(zstd, place)?;
            }
            if self.dictionary.is_none() {
                self.pending.push_validity(nulls, row, page.rows);
                self.pending.push_page(page, self.text_encoding, place)?;
            }
            row += page.rows;
            self.flush_full(zstd, place)?;
        }
        Ok(())
    }

    /// Takes a small plain page's values into the dictionary; false, and nothing taken, if they don't fit.
    fn intern_page(&mut self, page: &TextPage, nulls: &Nulls, row: usize, place: &str) -> Result<bool> {
        let Some(dictionary) = self.dictionary.as_mut() else {
            return Ok(false);
        };
        let codes = &mut self.pending.codes;
        let before = codes.len();
        let mut full = false;
        let sound = page.expand(|value| {
            match dictionary.intern_bytes(value).filter(|_| !full) {
                Some(code) => codes.push(code as u16),
                None => full = true,
            }
            true
        });
        if !sound || (!full && codes.len() - before != page.values) {
            return Err(HiveError::corrupt(place, "a page contradicts itself"));
        }
        if full {
            codes.truncate(before);
            return Ok(false);
        }
        self.pending.push_validity(nulls, row, page.rows);
        Ok(true)
    }

    /// Goes over to plain pages.
    fn leave_dictionary(&mut self, zstd: &mut Zstd, place: &str) -> Result<()> {
        let Some(dictionary) = self.dictionary.take() else {
            return Ok(());
        };
        if self.dictionary_pages == 0 {
            // Nothing refers to it yet: the values that wait become plain too.
            for code in std::mem::take(&mut self.pending.codes) {
                self.pending.push_value(dictionary.value(usize::from(code)), self.text_encoding);
            }
            return Ok(());
        }
        self.dictionary = Some(dictionary);
        if self.pending.rows > 0 {
            self.flush(zstd, place)?;
        }
        self.written_dictionary = self.dictionary.take();
        Ok(())
    }

    fn flush_full(&mut self, zstd: &mut Zstd, place: &str) -> Result<()> {
        if self.pending.rows < PAGE_ROWS && self.pending.bytes.len() < PAGE_BYTES {
            return Ok(());
        }
        // Nearly all distinct so far: a dictionary would only add to the values.
        if let Some(dictionary) = &self.dictionary
            && self.dictionary_pages == 0
            && dictionary.len() * 10 > self.pending.codes.len() * 9
            && dictionary.len() > TRUSTED_PAGE
        {
            self.leave_dictionary(zstd, place)?;
        }
        self.flush(zstd, place)
    }

    /// Writes the pending rows as one page.
    fn flush(&mut self, zstd: &mut Zstd, place: &str) -> Result<()> {
        let mut pending = std::mem::take(&mut self.pending);
        let mut body = Vec::with_capacity(pending.bytes.len() + pending.values * 2 + 64);
        pending.push_levels(&mut body);
        let (encoding, range, value_bytes) = match &self.dictionary {
            Some(dictionary) => {
                let width = code_width(dictionary.len());
                body.push(width as u8);
                if !pending.codes.is_empty() {
                    push_codes(&pending.codes, width, &mut body);
                }
                let (range, bytes) = dictionary_range(dictionary, &mut self.order, &pending.codes);
                self.dictionary_pages += 1;
                (Encoding::RLE_DICTIONARY, range, bytes)
            }
            None => {
                let (encoding, bytes) = pending.write_values(self.text_encoding, &mut body);
                match encoding {
                    Encoding::PLAIN => self.text_pages.plain += 1,
                    Encoding::DELTA_BYTE_ARRAY => self.text_pages.prefixes += 1,
                    _ => self.text_pages.lengths += 1,
                }
                (encoding, std::mem::take(&mut pending.range), bytes)
            }
        };
        let size = body.len();
        let buf = self.compress(body, zstd, place)?;
        let page = Page::DataPage {
            buf,
            num_values: pending.rows as u32,
            encoding,
            def_level_encoding: Encoding::RLE,
            rep_level_encoding: Encoding::RLE,
            statistics: None,
        };
        let written =
            SerializedPageWriter::new(&mut self.pages).write_page(CompressedPage::new(page, size)).at(place)?;
        self.uncompressed += written.uncompressed_size;
        self.rows += pending.rows;
        self.values += pending.values;
        self.range.merge(&range);
        self.index.push(PageIndex {
            rows: pending.rows,
            nulls: pending.rows - pending.values,
            range,
            offset: written.offset as usize,
            bytes: written.compressed_size,
            value_bytes,
        });
        pending.clear();
        self.pending = pending;
        Ok(())
    }

    fn compress(&mut self, body: Vec<u8>, zstd: &mut Zstd, place: &str) -> Result<Bytes> {
        match self.method {
            Some(Method::Stored) => Ok(body.into()),
            Some(method) => Ok(zstd.compress(method, &body, place)?.into()),
            None => {
                let (method, compressed) = zstd.choose(&body, place)?;
                self.method = Some(method);
                Ok(compressed.unwrap_or(body).into())
            }
        }
    }

    /// Ends the chunk: its bytes, dictionary first, and what the file must know of them.
    pub(crate) fn close(mut self, zstd: &mut Zstd, place: &str) -> Result<(Bytes, ColumnCloseResult)> {
        if self.pending.rows > 0 {
            self.flush(zstd, place)?;
        }
        let dictionary = self.written_dictionary.take().or_else(|| self.dictionary.take());
        let mut chunk = TrackedWrite::new(Vec::with_capacity(self.pages.bytes_written() + 1024));
        let has_dictionary = dictionary.is_some() && self.dictionary_pages > 0;
        if let Some(dictionary) = dictionary.filter(|_| has_dictionary) {
            let plain = dictionary.plain().to_vec();
            let size = plain.len();
            let page = Page::DictionaryPage {
                buf: self.compress(plain, zstd, place)?,
                num_values: dictionary.len() as u32,
                encoding: Encoding::PLAIN,
                is_sorted: false,
            };
            let written =
                SerializedPageWriter::new(&mut chunk).write_page(CompressedPage::new(page, size)).at(place)?;
            self.uncompressed += written.uncompressed_size;
        }
        let first_page = chunk.bytes_written();
        let mut bytes = chunk.into_inner().at(place)?;
        let pages = std::mem::replace(&mut self.pages, TrackedWrite::new(Vec::new()));
        bytes.extend_from_slice(&pages.into_inner().at(place)?);
        let close = self.metadata(bytes.len(), first_page, has_dictionary, zstd, place)?;
        Ok((bytes.into(), close))
    }

    fn metadata(
        &self,
        bytes: usize,
        first_page: usize,
        has_dictionary: bool,
        zstd: &Zstd,
        place: &str,
    ) -> Result<ColumnCloseResult> {
        let mut encodings = vec![Encoding::RLE];
        if has_dictionary || self.text_pages.plain > 0 {
            encodings.push(Encoding::PLAIN);
        }
        let mut stats = Vec::new();
        let mut page_stats = |page_type, encoding, count| {
            if count > 0 {
                stats.push(PageEncodingStats { page_type, encoding, count });
            }
        };
        if has_dictionary {
            encodings.push(Encoding::RLE_DICTIONARY);
            page_stats(PageType::DICTIONARY_PAGE, Encoding::PLAIN, 1);
            page_stats(PageType::DATA_PAGE, Encoding::RLE_DICTIONARY, self.dictionary_pages);
        }
        page_stats(PageType::DATA_PAGE, Encoding::PLAIN, self.text_pages.plain);
        page_stats(PageType::DATA_PAGE, Encoding::DELTA_LENGTH_BYTE_ARRAY, self.text_pages.lengths);
        page_stats(PageType::DATA_PAGE, Encoding::DELTA_BYTE_ARRAY, self.text_pages.prefixes);
        if self.text_pages.lengths > 0 {
            encodings.push(Encoding::DELTA_LENGTH_BYTE_ARRAY);
        }
        if self.text_pages.prefixes > 0 {
            encodings.push(Encoding::DELTA_BYTE_ARRAY);
        }
        let codec = match self.method {
            None | Some(Method::Stored) => Compression::UNCOMPRESSED,
            Some(_) => zstd.codec()?,
        };
        let metadata = ColumnChunkMetaData::builder(self.column.clone())
            .set_compression(codec)
            .set_encodings(encodings)
            .set_page_encoding_stats(stats)
            .set_total_compressed_size(bytes as i64)
            .set_total_uncompressed_size(self.uncompressed as i64)
            .set_num_values(self.rows as i64)
            .set_data_page_offset(first_page as i64)
            .set_dictionary_page_offset(has_dictionary.then_some(0))
            .set_statistics(self.statistics())
            .set_unencoded_byte_array_data_bytes(Some(self.index.iter().map(|p| p.value_bytes).sum()))
            .build()
            .at(place)?;
        Ok(ColumnCloseResult {
            bytes_written: bytes as u64,
            rows_written: self.rows as u64,
            metadata,
            bloom_filter: None,
            column_index: self.column_index(place)?,
            offset_index: Some(self.offset_index(first_page)),
        })
    }

    fn statistics(&self) -> Statistics {
        let (least, greatest) = match &self.range {
            Range::Between(least, greatest) => (Some(least), Some(greatest)),
            _ => (None, None),
        };
        let is_exact = |bound: Option<&Vec<u8>>| bound.is_some_and(|b| bounds::is_exact(b));
        let bytes = |bound: Option<&Vec<u8>>| bound.map(|b| ByteArray::from(b.clone()));
        let nulls = (self.rows - self.values) as u64;
        let statistics = ValueStatistics::new(bytes(least), bytes(greatest), None, Some(nulls), false);
        Statistics::ByteArray(statistics.with_min_is_exact(is_exact(least)).with_max_is_exact(is_exact(greatest)))
    }

    fn column_index(
        &self,
        place: &str,
    ) -> Result<Option<parquet::file::page_index::column_index::ColumnIndexMetaData>> {
        let mut builder = ColumnIndexBuilder::new(Type::BYTE_ARRAY);
        let mut ascending = true;
        let mut last: Option<(&[u8], &[u8])> = None;
        for page in &self.index {
            let (lower, upper) = match &page.range {
                Range::Between(lower, upper) => (lower.as_slice(), upper.as_slice()),
                Range::Empty => {
                    builder.append(true, Vec::new(), Vec::new(), page.nulls as i64);
                    continue;
                }
                Range::Unknown => return Ok(None),
            };
            ascending &= last.is_none_or(|(l, u)| l <= lower && u <= upper);
            last = Some((lower, upper));
            builder.append(false, lower.to_vec(), upper.to_vec(), page.nulls as i64);
        }
        if ascending {
            builder.set_boundary_order(BoundaryOrder::ASCENDING);
        }
        builder.build().map(Some).at(place)
    }

    fn offset_index(&self, first_page: usize) -> parquet::file::page_index::offset_index::OffsetIndexMetaData {
        let mut builder = OffsetIndexBuilder::new();
        for page in &self.index {
            builder.append_row_count(page.rows as i64);
            builder.append_offset_and_size((page.offset + first_page) as i64, page.bytes as i32);
            builder.append_unencoded_byte_array_data_bytes(Some(page.value_bytes));
        }
        builder.build()
    }
}

impl Pending {
    /// The validity of the rows so far, made at the first NULL.
    fn validity(&mut self) -> &mut BooleanBufferBuilder {
        let before = self.rows;
        self.valid.get_or_insert_with(|| {
            let mut all = BooleanBufferBuilder::new(PAGE_ROWS);
            all.append_n(before, true);
            all
        })
    }

    /// Notes which of a block's rows are NULL; returns how many are not.
    fn push_validity(&mut self, nulls: &Nulls, from: usize, rows: usize) -> usize {
        let values = match nulls {
            Nulls::None => {
                if let Some(valid) = &mut self.valid {
                    valid.append_n(rows, true);
                }
                rows
            }
            Nulls::All => {
                self.validity().append_n(rows, false);
                0
            }
            Nulls::Some(nulls) => {
                let slice = nulls.inner().slice(from, rows);
                let values = slice.count_set_bits();
                self.validity().append_buffer(&slice);
                values
            }
        };
        self.rows += rows;
        self.values += values;
        values
    }

    fn push_value(&mut self, value: &[u8], encoding: TextEncoding) {
        self.push_bytes(value, encoding);
        if !self.prefixes.is_empty() {
            self.prefixes.push(0);
        }
        // Only values beyond the present bounds need a look at their short forms.
        if let Range::Between(least, greatest) = &self.range
            && least.as_slice() <= value
            && value <= greatest.as_slice()
        {
            return;
        }
        match bounds::upper(value) {
            Some(upper) => self.range.include(&bounds::lower(value), &upper),
            None => self.range = Range::Unknown,
        }
    }

    fn push_bytes(&mut self, value: &[u8], encoding: TextEncoding) {
        match encoding {
            TextEncoding::Plain => crate::dictionary::push_plain(&mut self.bytes, value),
            TextEncoding::Delta => {
                self.lengths.push(value.len() as u32);
                self.bytes.extend_from_slice(value);
            }
        }
    }

    /// Takes a page's values as they stand, or spelled out if the table wants PLAIN.
    fn push_page(&mut self, page: &TextPage, encoding: TextEncoding, place: &str) -> Result<()> {
        match &page.range {
            Some((lower, upper)) => self.range.include(lower, upper),
            None if page.values > 0 => self.range = Range::Unknown,
            None => {}
        }
        if encoding == TextEncoding::Plain {
            let sound = page.expand(|value| {
                self.push_bytes(value, encoding);
                true
            });
            return match sound {
                true => Ok(()),
                false => Err(HiveError::corrupt(place, "a page contradicts itself")),
            };
        }
        let before = self.lengths.len();
        if let Some(prefixes) = &page.prefixes {
            self.prefixes.resize(before, 0);
            self.prefixes.extend(prefixes.iter().map(|p| u32::from(*p)));
        } else if !self.prefixes.is_empty() {
            self.prefixes.resize(before + page.values, 0);
        }
        self.lengths.reserve(page.values);
        page.lengths.for_each(|length| self.lengths.push(length));
        self.bytes.extend_from_slice(&page.bytes);
        Ok(())
    }

    /// Writes the values; returns their encoding and their bytes in all.
    fn write_values(&self, encoding: TextEncoding, body: &mut Vec<u8>) -> (Encoding, i64) {
        let bytes = self.bytes.len() as i64;
        if encoding == TextEncoding::Plain {
            body.extend_from_slice(&self.bytes);
            return (Encoding::PLAIN, bytes - 4 * self.values as i64);
        }
        let shared: i64 = self.prefixes.iter().map(|p| i64::from(*p)).sum();
        let encoding = if shared > 0 {
            push_numbers(&self.prefixes, body);
            Encoding::DELTA_BYTE_ARRAY
        } else {
            Encoding::DELTA_LENGTH_BYTE_ARRAY
        };
        push_numbers(&self.lengths, body);
        body.extend_from_slice(&self.bytes);
        (encoding, bytes + shared)
    }

    /// Forgets the values, keeps the memory.
    fn clear(&mut self) {
        let Self { codes, prefixes, lengths, bytes, .. } = self;
        codes.clear();
        prefixes.clear();
        lengths.clear();
        bytes.clear();
        (self.rows, self.values, self.valid, self.range) = (0, 0, None, Range::Empty);
    }

    /// Definition levels: length, then one level a row, 1 for a value.
    fn push_levels(&mut self, body: &mut Vec<u8>) {
        let start = body.len();
        body.extend_from_slice(&[0; 4]);
        match self.valid.take() {
            Some(valid) if self.values < self.rows && self.values > 0 => {
                push_bits(valid.as_slice(), self.rows, body);
            }
            _ => push_run(u16::from(self.values > 0), self.rows, 1, body),
        }
        let length = (body.len() - start - 4) as u32;
        body[start..start + 4].copy_from_slice(&length.to_le_bytes());
    }
}

/// Packed levels of one bit are an Arrow bitmap.
fn push_bits(bitmap: &[u8], rows: usize, body: &mut Vec<u8>) {
    let bytes = rows.div_ceil(8);
    varint((bytes as u64) << 1 | 1, body);
    body.extend_from_slice(&bitmap[..bytes]);
}

/// Bounds of the values behind codes, and the values' total length.
fn dictionary_range(dictionary: &Dictionary, order: &mut Vec<u128>, codes: &[u16]) -> (Range, i64) {
    for code in order.len()..dictionary.len() {
        order.push(order_key_of(dictionary.value(code)));
    }
    let mut counts = vec![0u32; dictionary.len()];
    for code in codes {
        counts[usize::from(*code)] += 1;
    }
    let less =
        |a: usize, b: usize| order[a] < order[b] || (order[a] == order[b] && dictionary.value(a) < dictionary.value(b));
    let mut extremes: Option<(usize, usize)> = None;
    let mut bytes = 0i64;
    for (code, count) in counts.iter().enumerate() {
        if *count == 0 {
            continue;
        }
        bytes += i64::from(*count) * dictionary.value(code).len() as i64;
        extremes = Some(match extremes {
            None => (code, code),
            Some((least, greatest)) => {
                (if less(code, least) { code } else { least }, if less(greatest, code) { code } else { greatest })
            }
        });
    }
    let range = match extremes {
        None => Range::Empty,
        Some((least, greatest)) => match bounds::upper(dictionary.value(greatest)) {
            Some(upper) => Range::Between(bounds::lower(dictionary.value(least)), upper),
            None => Range::Unknown,
        },
    };
    (range, bytes)
}
