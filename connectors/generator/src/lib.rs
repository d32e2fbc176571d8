//! The users' log lines, made from row numbers.
//!
//! Row `n`'s text is a pure function of the seed and `n`, so that a restart goes on at any row and makes the same
//! lines again. [`Generator`] makes lines; [`GeneratorSource`] is a [`salamander_connector_api::Source`] of them, at a
//! given rate or as fast as it is asked.
//!
//! | module | what it holds |
//! |---|---|
//! | [`line`] | the event: 24 fields, its values and how often each occurs |
//! | [`damage`] | the ways in which a line can be wrong |
//! | [`source`] | splits, rates and readers |
//! | [`options`] | the options of `WITH ('connector' = 'generator', …)` |

pub mod damage;
pub mod line;
pub mod options;
pub mod source;

mod draw;

pub use damage::{Damage, Oddity};
pub use line::{Generator, LineKind};
pub use options::{OPTION_NAMES, Settings, StartTime};
pub use source::{GeneratorSource, from_options};
