//! The contracts between the engine and the outside: [`Source`], [`Decoder`], [`DeliverySink`].
//!
//! ```text
//!   Source ──open(split, position)──▶ SplitReader ──take()──▶ RawBatch ──Decoder──▶ Decoded { batch, bad rows }
//! ```
//!
//! A reader lives across epochs and prefetches within a byte bound; the engine takes what is there at the beginning of
//! an epoch and never waits inside one. A decoder is a pure function of a raw batch: payload bytes in, typed columns
//! and bad rows out. Nothing here knows DataFusion, SQL or the epoch protocol.

pub mod decode;
pub mod raw;
pub mod sink;
pub mod source;
pub mod testing;

pub use decode::{BadRow, Decoded, Decoder, DecoderError};
pub use raw::{RawBatch, bad_records_schema, late_records_schema, metadata_fields, properties_type, timestamp_type};
pub use sink::{Delivery, DeliverySink};
pub use source::{ConnectorError, Source, SourceDescription, SplitInfo, SplitReader, SplitStatus, Take};
