//! The record codec: one event in a segment.
//!
//! ```text
//! u32 length of the message | u32 crc32 of all that follows | i64 sequence number | i64 enqueued time, ms | message
//! ```
//!
//! Integers are little-endian. The checksum covers the sequence number and the time too, and is seeded with the length, so that a record of zeros is not whole.

use bytes::{Buf, BufMut, Bytes, BytesMut};

/// Bytes before the message.
pub(crate) const RECORD_HEADER: usize = 24;

/// The longest message a record may hold, in bytes. It bounds what a damaged length field can make a reader allocate.
pub(crate) const MAX_RECORD_MESSAGE: usize = 16 * 1024 * 1024;

/// One event as stored: where it stands, when it came, and the message as it is delivered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Record {
    /// Place of the record in the partition's log, in bytes.
    pub offset: u64,
    /// Rising by one in each partition, from 0.
    pub sequence: i64,
    /// Milliseconds since 1970-01-01 UTC at which the broker took the event; never falls within a partition.
    pub enqueued_ms: i64,
    /// The encoded AMQP message, annotations included.
    pub message: Bytes,
}

impl Record {
    /// The offset just after this record.
    pub(crate) fn end(&self) -> u64 {
        self.offset + (RECORD_HEADER + self.message.len()) as u64
    }
}

/// Appends a record whose message is written by `write`.
pub(crate) fn encode(out: &mut BytesMut, sequence: i64, enqueued_ms: i64, write: impl FnOnce(&mut BytesMut)) {
    let start = out.len();
    out.put_u64_le(0);
    out.put_i64_le(sequence);
    out.put_i64_le(enqueued_ms);
    write(out);
    let length = (out.len() - start - RECORD_HEADER) as u32;
    let crc = checksum(length, &out[start + 8..]);
    out[start..start + 4].copy_from_slice(&length.to_le_bytes());
    out[start + 4..start + 8].copy_from_slice(&crc.to_le_bytes());
}

fn checksum(length: u32, covered: &[u8]) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(&length.to_le_bytes());
    hasher.update(covered);
    hasher.finalize()
}

/// What stands at the beginning of some bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Peek {
    /// A whole record of this many bytes, its checksum not yet looked at.
    Whole {
        /// Bytes of the record, header included.
        bytes: usize,
        /// Its sequence number.
        sequence: i64,
        /// Its enqueued time.
        enqueued_ms: i64,
    },
    /// More bytes are needed: at least this many in all.
    Short(usize),
    /// No record can begin like this.
    Damaged,
}

/// Looks at the record that begins `bytes`, without checking its sum.
pub(crate) fn peek(bytes: &[u8]) -> Peek {
    if bytes.len() < RECORD_HEADER {
        return Peek::Short(RECORD_HEADER);
    }
    let mut header = &bytes[..RECORD_HEADER];
    let length = header.get_u32_le() as usize;
    let _crc = header.get_u32_le();
    if length > MAX_RECORD_MESSAGE {
        return Peek::Damaged;
    }
    let whole = RECORD_HEADER + length;
    if bytes.len() < whole {
        return Peek::Short(whole);
    }
    Peek::Whole { bytes: whole, sequence: header.get_i64_le(), enqueued_ms: header.get_i64_le() }
}

/// Whether the whole record that begins `bytes` carries the right sum.
pub(crate) fn is_sound(bytes: &[u8]) -> bool {
    let Peek::Whole { bytes: whole, .. } = peek(bytes) else { return false };
    let mut header = &bytes[..8];
    let length = header.get_u32_le();
    header.get_u32_le() == checksum(length, &bytes[8..whole])
}

/// Walks over the whole records of `bytes`, which begin at `offset` of the log. Sums are checked where they are read from disk, not here.
#[derive(Debug, Clone)]
pub(crate) struct Records {
    bytes: Bytes,
    offset: u64,
}

impl Records {
    /// The records in `bytes`, of which the first stands at `offset`.
    pub(crate) fn new(bytes: Bytes, offset: u64) -> Self {
        Self { bytes, offset }
    }
}

impl Iterator for Records {
    type Item = Record;

    fn next(&mut self) -> Option<Record> {
        let Peek::Whole { bytes, sequence, enqueued_ms } = peek(&self.bytes) else { return None };
        let mut record = self.bytes.split_to(bytes);
        record.advance(RECORD_HEADER);
        let record = Record { offset: self.offset, sequence, enqueued_ms, message: record };
        self.offset = record.end();
        Some(record)
    }
}

/// What a scan over a segment's bytes found.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Scan {
    /// Bytes of the leading run of whole, sound records with rising sequence numbers. What follows is a torn tail.
    pub sound_bytes: usize,
    /// Number of records in them.
    pub records: u64,
    /// Sequence number and enqueued time of the last one.
    pub last: Option<(i64, i64)>,
}

/// Checks records one after another from the start of `bytes`; the first must have the sequence number `first`. `visit` gets each record's place, sequence
/// number and enqueued time.
pub(crate) fn scan(bytes: &[u8], first: i64, mut visit: impl FnMut(usize, i64, i64)) -> Scan {
    let mut found = Scan::default();
    let mut expected = first;
    loop {
        let rest = &bytes[found.sound_bytes..];
        let Peek::Whole { bytes: whole, sequence, enqueued_ms } = peek(rest) else { return found };
        if sequence != expected || !is_sound(rest) {
            return found;
        }
        visit(found.sound_bytes, sequence, enqueued_ms);
        found.sound_bytes += whole;
        found.records += 1;
        found.last = Some((sequence, enqueued_ms));
        expected += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn encoded(messages: &[Vec<u8>], first: i64) -> (BytesMut, Vec<usize>) {
        let mut out = BytesMut::new();
        let mut ends = vec![0];
        for (i, message) in messages.iter().enumerate() {
            encode(&mut out, first + i as i64, 1_000 + i as i64, |out| out.extend_from_slice(message));
            ends.push(out.len());
        }
        (out, ends)
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn what_was_encoded_is_read_back(messages in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..200), 0..20), first in 0i64..1_000) {
            let (bytes, ends) = encoded(&messages, first);
            let found = scan(&bytes, first, |_, _, _| {});
            prop_assert_eq!(found.sound_bytes, bytes.len());
            let records: Vec<Record> = Records::new(bytes.freeze(), 7).collect();
            prop_assert_eq!(records.len(), messages.len());
            for (i, record) in records.iter().enumerate() {
                prop_assert_eq!(&record.message[..], &messages[i][..]);
                prop_assert_eq!(record.offset, 7 + ends[i] as u64);
                prop_assert_eq!(record.end(), 7 + ends[i + 1] as u64);
                prop_assert_eq!(record.sequence, first + i as i64);
            }
        }

        #[test]
        fn every_truncation_keeps_exactly_the_whole_records(messages in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..40), 1..6)) {
            let (bytes, ends) = encoded(&messages, 5);
            for cut in 0..=bytes.len() {
                let whole = ends.iter().filter(|end| **end <= cut).count() - 1;
                let found = scan(&bytes[..cut], 5, |_, _, _| {});
                prop_assert_eq!(found.records as usize, whole, "cut at {}", cut);
                prop_assert_eq!(found.sound_bytes, ends[whole]);
            }
        }

        #[test]
        fn a_flipped_bit_ends_the_sound_part_at_its_record(messages in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..40), 1..6), at in any::<prop::sample::Index>(), bit in 0u8..8) {
            let (mut bytes, ends) = encoded(&messages, 0);
            let at = at.index(bytes.len());
            bytes[at] ^= 1 << bit;
            let damaged = ends.iter().filter(|end| **end <= at).count() - 1;
            prop_assert_eq!(scan(&bytes, 0, |_, _, _| {}).sound_bytes, ends[damaged]);
        }

        #[test]
        fn a_tail_of_zeros_or_noise_is_not_a_record(messages in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..40), 0..4), zeros in 0usize..100, noise in prop::collection::vec(any::<u8>(), 0..100)) {
            let (bytes, _) = encoded(&messages, 0);
            let mut with_zeros = bytes.to_vec();
            with_zeros.resize(bytes.len() + zeros, 0);
            prop_assert_eq!(scan(&with_zeros, 0, |_, _, _| {}).sound_bytes, bytes.len());
            let mut with_noise = bytes.to_vec();
            with_noise.extend_from_slice(&noise);
            prop_assert_eq!(scan(&with_noise, 0, |_, _, _| {}).sound_bytes, bytes.len());
        }
    }
}
