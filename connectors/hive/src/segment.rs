//! Segments: the hidden objects in which a checkpoint's rows of one table become durable.
//!
//! One object per sink task, table and checkpoint, `_salamander/<job id>/<generation>-<random>.seg`. Its rows are grouped
//! by Hive partition; the manifest holds the index of these *parts*.
//!
//! ```text
//!   object = header, part, part …       header = magic "SALSEG", version, schema (Arrow IPC), checksum
//!   part   = block, block …             block  = magic "SBLK", version, rows, lengths, checksum, column, column …
//!   column = dictionary: distinct values (PLAIN) + one code (0, 1 or 2 bytes) for each value
//!          | pages:      runs of rows: lengths, bytes shared with the value before, bytes, and their bounds
//!          | fixed:      little-endian values          | bits: booleans          | ipc: anything else
//! ```
//!
//! A segment is written once, read at least once (by its roll), and lives for minutes, so what counts is CPU on the way
//! from the source to Parquet. Hence the encoding *is* what a Parquet column chunk needs: the one hash a value costs is
//! spent here, and rolling is remapping codes and compressing pages. It is also small (about a quarter of the payload),
//! so that writing, syncing and reading it back cost little; measured against Arrow IPC and raw views in
//! `docs/adr/0003-segments-and-rolls.md`.
//!
//! Invariants: integers are little-endian; a block is at most [`BLOCK_ROWS`] rows; a checksum covers every byte; a
//! reader refuses what it doesn't know.

pub(crate) mod block;
mod bytes_encode;
mod decode;
mod encode;
mod encoded;
mod read;
mod write;

pub use encode::BlockEncoder;
pub use encoded::{EncodedPart, EncodedRows, RowsEncoder, TableRows};
pub use read::{PartReader, read_part};
pub use write::{EncodedSegment, SegmentStamp, encode_segment, store_segment, write_segment};

/// Most rows of a block.
pub const BLOCK_ROWS: usize = 131_072;

/// A page of a plain column ends when it has this many rows …
pub(crate) const PAGE_ROWS: usize = 16_384;

/// … or this many bytes.
pub(crate) const PAGE_BYTES: usize = 1 << 20;

const OBJECT_MAGIC: &[u8; 8] = b"SALSEG\x00\x01";
const BLOCK_MAGIC: u32 = u32::from_le_bytes(*b"SBLK");
const BLOCK_VERSION: u16 = 1;
const BLOCK_HEADER: usize = 40;

/// How a column stands in a block.
mod encoding {
    pub(super) const DICTIONARY: u8 = 1;
    pub(super) const PAGES: u8 = 2;
    pub(super) const FIXED: u8 = 3;
    pub(super) const BITS: u8 = 4;
    pub(super) const IPC: u8 = 5;
}

/// What a page says of itself.
mod page_flag {
    /// It has bounds.
    pub(super) const RANGED: u32 = 1;
    /// Values are stored without what they share with the one before.
    pub(super) const PREFIXES: u32 = 2;
    /// Lengths take four bytes.
    pub(super) const WIDE: u32 = 4;
}

/// Which rows of a column are NULL.
mod nulls {
    pub(super) const NONE: u8 = 0;
    pub(super) const SOME: u8 = 1;
    pub(super) const ALL: u8 = 2;
}

/// Parses one whole block.
pub(crate) fn decode_bytes(
    bytes: &bytes::Bytes,
    fields: &[std::sync::Arc<arrow::datatypes::Field>],
    place: &str,
) -> crate::error::Result<block::Block> {
    let header = decode::BlockHeader::parse(bytes, place)?;
    decode::decode_block(&header, bytes, fields, place)
}

/// The schema as it stands in an object's header; its hash is the fingerprint in each block.
fn schema_bytes(schema: &arrow::datatypes::Schema) -> Vec<u8> {
    arrow::ipc::convert::IpcSchemaEncoder::new().schema_to_fb(schema).finished_data().to_vec()
}

fn fingerprint(schema_bytes: &[u8]) -> u64 {
    xxhash_rust::xxh3::xxh3_64(schema_bytes)
}
