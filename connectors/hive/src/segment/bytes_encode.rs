//! Byte strings of a block: a dictionary where that pays, else pages.
//!
//! A column begins with a dictionary, and keeps it unless the first values are nearly all distinct or it grows too
//! large. Then what it has taken becomes pages, and what follows goes into pages at once.
//!
//! A page holds its values' bytes one after the other, and their lengths apart: that is what Parquet's delta encodings
//! want, and what compresses best. Where neighbours begin alike (`req_12345`, times in order), a value is stored without
//! what it shares with the one before it, up to 12 bytes.

use super::encode::Validity;
use super::{PAGE_BYTES, PAGE_ROWS, encoding, page_flag};
use crate::bounds;
use crate::dictionary::{Dictionary, INLINE, Views, head, head_of, order_key};

/// A dictionary is given up when it has this many entries …
const MAX_ENTRIES: usize = 16_384;
/// … or this many bytes …
const MAX_DICTIONARY_BYTES: usize = 1 << 20;
/// … or when of the first so many values …
const SAMPLE: usize = 4_096;
/// … more than this are distinct.
const SAMPLE_DISTINCT: usize = SAMPLE * 9 / 10;
/// Fewer values than this always take a dictionary.
const FEW: usize = 64;
/// Values that are looked at to decide whether neighbours begin alike.
const PREFIX_SAMPLE: usize = 256;

/// The values of one column so far.
#[derive(Debug, Default)]
pub(super) struct BytesEncoder {
    state: State,
}

#[derive(Debug)]
enum State {
    Dictionary { dictionary: Dictionary, codes: Vec<u16> },
    Pages(Box<PagesEncoder>),
}

impl Default for State {
    fn default() -> Self {
        Self::Dictionary { dictionary: Dictionary::new(MAX_ENTRIES, MAX_DICTIONARY_BYTES), codes: Vec::new() }
    }
}

impl BytesEncoder {
    pub(super) fn bytes(&self) -> usize {
        match &self.state {
            State::Dictionary { dictionary, codes } => dictionary.plain().len() + codes.len() * 2,
            State::Pages(pages) => pages.done.len() + pages.page.at + pages.page.values * 2,
        }
    }

    /// Takes rows of a chunk. `validity` is the column's, these rows included.
    pub(super) fn push(&mut self, chunk: &Views<'_>, from: usize, rows: usize, validity: &Validity) {
        let taken = match &mut self.state {
            State::Dictionary { dictionary, codes } => {
                let before = codes.len();
                let taken = intern_rows(dictionary, codes, chunk, from, rows);
                let sampled = before < SAMPLE && codes.len() >= SAMPLE;
                if taken == rows && !(sampled && dictionary.len() > SAMPLE_DISTINCT) {
                    return;
                }
                taken
            }
            State::Pages(pages) => {
                pages.push(chunk, from, rows);
                return;
            }
        };
        let mut pages = self.take_pages(validity.rows - rows + taken, validity);
        pages.push(chunk, from + taken, rows - taken);
        self.state = State::Pages(pages);
    }

    /// The pages, into which the first `rows` rows, all that a dictionary has taken, are turned.
    fn take_pages(&mut self, rows: usize, validity: &Validity) -> Box<PagesEncoder> {
        match std::mem::take(&mut self.state) {
            State::Pages(pages) => pages,
            State::Dictionary { dictionary, codes } => {
                let mut pages = Box::new(PagesEncoder::default());
                let mut codes = codes.iter();
                for row in 0..rows {
                    // A NULL row has no code.
                    let code = if validity.is_valid(row) { codes.next() } else { None };
                    match code {
                        Some(code) => pages.push_bytes(dictionary.value(usize::from(*code))),
                        None => pages.push_null(),
                    }
                }
                pages
            }
        }
    }

    /// Appends the values and begins anew; returns the encoding and the code width.
    pub(super) fn finish(&mut self, validity: &Validity, out: &mut Vec<u8>) -> (u8, u8) {
        if let State::Dictionary { dictionary, codes } = &self.state {
            // A dictionary of nearly as many entries as values only adds codes.
            if codes.len() < FEW || dictionary.len() * 10 <= codes.len() * 9 {
                let width = write_dictionary(dictionary, codes, out);
                self.state = State::default();
                return (encoding::DICTIONARY, width);
            }
        }
        self.take_pages(validity.rows, validity).finish(out);
        (encoding::PAGES, 0)
    }
}

/// Takes rows into the dictionary; returns how many it took before it was full.
fn intern_rows(
    dictionary: &mut Dictionary,
    codes: &mut Vec<u16>,
    chunk: &Views<'_>,
    from: usize,
    rows: usize,
) -> usize {
    // No view is all ones: its length would be 4 GiB.
    let mut last = (u128::MAX, 0);
    for row in 0..rows {
        if chunk.nulls.is_some_and(|nulls| nulls.is_null(from + row)) {
            continue;
        }
        let view = chunk.views[from + row];
        if view != last.0 {
            match dictionary.intern(view, chunk) {
                Some(code) => last = (view, code as u16),
                None => return row,
            }
        }
        codes.push(last.1);
    }
    rows
}

/// Number of entries, length of the entries, entries, codes; returns the codes' width.
fn write_dictionary(dictionary: &Dictionary, codes: &[u16], out: &mut Vec<u8>) -> u8 {
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

/// Pages, each: rows, values, flags, length of the bytes, lengths of the lower and upper bound (u32 each); lower bound,
/// upper bound, prefixes (a byte each) if any, lengths (1 or 4 bytes each), bytes.
#[derive(Debug, Default)]
struct PagesEncoder {
    done: Vec<u8>,
    page: Page,
    /// Whether neighbours begin alike; none before the first value.
    fronts: Option<bool>,
}

#[derive(Debug, Default)]
struct Page {
    rows: usize,
    values: usize,
    prefixes: Vec<u8>,
    lengths: Vec<u8>,
    /// Used instead of `lengths` once a length takes more than a byte.
    wide: Vec<u32>,
    /// Bytes up to `at`; what is behind is room.
    bytes: Vec<u8>,
    at: usize,
    last_head: u128,
    last_length: u32,
    least: Option<Extreme>,
    greatest: Option<Extreme>,
}

/// The least or greatest value so far.
#[derive(Debug)]
struct Extreme {
    key: u128,
    /// In full only if the key doesn't say it all.
    value: Vec<u8>,
}

impl PagesEncoder {
    fn push(&mut self, chunk: &Views<'_>, from: usize, rows: usize) {
        let fronts = match self.fronts {
            Some(fronts) => fronts,
            None => *self.fronts.insert(begin_alike(chunk, from, rows.min(PREFIX_SAMPLE))),
        };
        self.page.reserve(chunk, from, rows);
        for row in from..from + rows {
            if chunk.nulls.is_some_and(|nulls| nulls.is_null(row)) {
                self.page.rows += 1;
            } else {
                self.page.push(chunk.views[row], chunk, fronts);
            }
            if self.page.is_full() {
                self.page.finish(&mut self.done);
                self.page.reserve(chunk, row + 1, from + rows - row - 1);
            }
        }
    }

    fn push_bytes(&mut self, value: &[u8]) {
        // What comes from a dictionary that was given up is only the beginning: whether neighbours begin alike shows later.
        let room = self.page.at + value.len() + 16;
        if self.page.bytes.len() < room {
            self.page.bytes.resize(room.max(self.page.bytes.len() * 2), 0);
        }
        let fronts = *self.fronts.get_or_insert(true);
        self.page.push_bytes(value, fronts);
        if self.page.is_full() {
            self.page.finish(&mut self.done);
        }
    }

    fn push_null(&mut self) {
        self.page.rows += 1;
        if self.page.is_full() {
            self.page.finish(&mut self.done);
        }
    }

    fn finish(&mut self, out: &mut Vec<u8>) {
        if self.page.rows > 0 {
            self.page.finish(&mut self.done);
        }
        out.extend_from_slice(&self.done);
    }
}

/// True when at least a tenth of the values' bytes are shared with the value before.
fn begin_alike(chunk: &Views<'_>, from: usize, rows: usize) -> bool {
    let (mut shared, mut total) = (0, 0);
    let (mut last_head, mut last_length) = (0, 0);
    for row in from..from + rows {
        if chunk.nulls.is_some_and(|nulls| nulls.is_null(row)) {
            continue;
        }
        let view = chunk.views[row];
        let (head, length) = (head(view, chunk), view as u32);
        shared += common(head, length, last_head, last_length);
        total += length;
        (last_head, last_length) = (head, length);
    }
    shared * 10 > total
}

/// How many bytes two values share at their beginnings, at most 12.
#[inline]
fn common(a: u128, a_length: u32, b: u128, b_length: u32) -> u32 {
    ((a ^ b).trailing_zeros() / 8).min(a_length).min(b_length).min(INLINE)
}

impl Page {
    fn is_full(&self) -> bool {
        self.rows >= PAGE_ROWS || self.at >= PAGE_BYTES
    }

    /// Makes room for the bytes of rows, so that each value can be written as 16 bytes whatever its length.
    fn reserve(&mut self, chunk: &Views<'_>, from: usize, rows: usize) {
        let of_row = |row: usize| match chunk.nulls {
            // A NULL row's view may hold anything.
            Some(nulls) if nulls.is_null(row) => 0,
            _ => chunk.views[row] as u32 as usize,
        };
        let bytes: usize = match chunk.nulls {
            None => chunk.views[from..from + rows].iter().map(|v| *v as u32 as usize).sum(),
            Some(_) => (from..from + rows).map(of_row).sum(),
        };
        let room = self.at + bytes + 16;
        if self.bytes.len() < room {
            self.bytes.resize(room.max(self.bytes.len() + self.bytes.len() / 2), 0);
        }
    }

    #[inline]
    fn push(&mut self, view: u128, chunk: &Views<'_>, fronts: bool) {
        let length = view as u32;
        if length <= INLINE {
            let head = view >> 32;
            let prefix = self.note(head, length, fronts, &[]);
            let rest = head >> (prefix * 8);
            self.bytes[self.at..self.at + 16].copy_from_slice(&rest.to_le_bytes());
            self.at += (length - prefix) as usize;
        } else {
            self.push_bytes(chunk.long(view), fronts);
        }
    }

    #[inline]
    fn push_bytes(&mut self, value: &[u8], fronts: bool) {
        let prefix = self.note(head_of(value), value.len() as u32, fronts, value);
        let rest = &value[prefix as usize..];
        self.bytes[self.at..self.at + rest.len()].copy_from_slice(rest);
        self.at += rest.len();
    }

    /// Notes a value's lengths and bounds; returns how many bytes it shares with the one before. `value` may be empty for
    /// a value that its head holds in full.
    #[inline]
    fn note(&mut self, head: u128, length: u32, fronts: bool, value: &[u8]) -> u32 {
        let prefix = if fronts && self.values > 0 { common(head, length, self.last_head, self.last_length) } else { 0 };
        if fronts {
            self.prefixes.push(prefix as u8);
        }
        self.push_length(length - prefix);
        (self.last_head, self.last_length) = (head, length);
        self.rows += 1;
        self.values += 1;
        let key = order_key(head, length);
        if self.least.as_ref().is_none_or(|least| key <= least.key) {
            Extreme::replace(&mut self.least, key, value, |new, old| new < old);
        }
        if self.greatest.as_ref().is_none_or(|greatest| key >= greatest.key) {
            Extreme::replace(&mut self.greatest, key, value, |new, old| new > old);
        }
        prefix
    }

    #[inline]
    fn push_length(&mut self, length: u32) {
        if self.wide.is_empty() {
            if let Ok(narrow) = u8::try_from(length) {
                self.lengths.push(narrow);
                return;
            }
            self.wide = self.lengths.drain(..).map(u32::from).collect();
        }
        self.wide.push(length);
    }

    fn finish(&mut self, out: &mut Vec<u8>) {
        let least = self.least.take().map(Extreme::into_bytes);
        let greatest = self.greatest.take().map(Extreme::into_bytes);
        let upper = greatest.and_then(|value| bounds::upper(&value));
        let range = least.map(|value| bounds::lower(&value)).zip(upper);
        let mut flags = 0;
        if range.is_some() {
            flags |= page_flag::RANGED;
        }
        if !self.prefixes.is_empty() {
            flags |= page_flag::PREFIXES;
        }
        if !self.wide.is_empty() {
            flags |= page_flag::WIDE;
        }
        let (lower, upper) = range.unwrap_or_default();
        let numbers =
            [self.rows as u32, self.values as u32, flags, self.at as u32, lower.len() as u32, upper.len() as u32];
        numbers.iter().for_each(|number| out.extend_from_slice(&number.to_le_bytes()));
        out.extend_from_slice(&lower);
        out.extend_from_slice(&upper);
        out.extend_from_slice(&self.prefixes);
        out.extend_from_slice(&self.lengths);
        self.wide.iter().for_each(|length| out.extend_from_slice(&length.to_le_bytes()));
        out.extend_from_slice(&self.bytes[..self.at]);
        (self.rows, self.values, self.at) = (0, 0, 0);
        self.prefixes.clear();
        self.lengths.clear();
        self.wide.clear();
    }
}

impl Extreme {
    #[inline]
    fn replace(old: &mut Option<Self>, key: u128, value: &[u8], beyond: impl Fn(&[u8], &[u8]) -> bool) {
        match old {
            // Equal keys: short values are equal, long ones differ behind their heads.
            Some(old) if key == old.key && !beyond(value, &old.value) => {}
            Some(old) => {
                old.key = key;
                old.value.clear();
                old.value.extend_from_slice(value);
            }
            None => *old = Some(Self { key, value: value.to_vec() }),
        }
    }

    fn into_bytes(self) -> Vec<u8> {
        let length = self.key as u32;
        if length > INLINE {
            return self.value;
        }
        let head = self.key.to_be_bytes();
        head[..length as usize].to_vec()
    }
}
