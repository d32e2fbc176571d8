//! Files as a source: local ones, and those of object stores.
//!
//! The option `path` names a file, a folder or a pattern. Each file is a split, each line a row: its sequence number is
//! the line's number from 0, and its position also holds the line's byte, so that a restart reads on exactly there.
//! Files are read in large chunks by a background task of each split, within a bound on bytes; payloads are views into
//! those chunks, and nothing is copied but the line that a chunk's end cuts through.
//!
//! Without `follow` the source is bounded. With it, files are read on as they grow (whole lines only), and files that
//! appear become new splits at the next [`salamander_connector_api::Source::describe`].
//!
//! | module | what it holds |
//! |---|---|
//! | [`options`] | the options of `WITH ('connector' = 'files', …)` |
//! | [`place`] | where files are: the local file system or an object store; which names count |
//! | [`pattern`] | `*`, `**`, `?` and `[…]` in paths |
//! | [`lines`] | a chunk of bytes cut into lines (pure) |
//! | [`pool`] | buffers that are used again |
//! | [`prefetch`] | what is read but not taken, and its bounds |
//! | [`source`] | the source and its readers |

pub mod lines;
pub mod options;
pub mod pattern;
pub mod place;
pub mod pool;
pub mod prefetch;
pub mod source;

pub use options::{OPTION_NAMES, Settings};
pub use source::{FilesSource, from_options};
