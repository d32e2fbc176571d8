//! Event Hubs as a source and a sink.
//!
//! ```text
//!   options ─▶ Hub: one authorised connection ─┬─▶ $management: properties, positions
//!                │ $cbs: tokens, renewed       ├─▶ a receiver a partition ─▶ Prefetch ─▶ RawBatch   (EventHubsSource)
//!                                              └─▶ a sender               ◀─ batches  ◀─ rows       (EventHubsSink)
//! ```
//!
//! Only the service's real protocol is spoken (AMQP 1.0 with `$cbs` and `$management`), so that the same code runs
//! against Azure and against the local broker. This crate knows nothing of SQL, epochs or the broker.
//!
//! Who guarantees what: a partition's events come in order, each number once, and a gap only as a recorded one
//! ([`salamander_connector_api::Take::Gap`]); memory is bounded by credit; every wait for the peer has a limit; a secret
//! is in a `secrecy` type from the option map on and in no error, log or `Debug` output.

mod amqp;
mod auth;
mod backoff;
mod chunk;
mod connection_string;
mod encode;
mod entra;
mod hub;
mod management;
mod options;
mod prefetch;
mod reader;
mod rpc;
mod sink;
mod source;

pub use connection_string::{ConnectionString, ConnectionStringError, Endpoint, SharedAccess};
pub use encode::{INDEX_PROPERTY, JOB_PROPERTY, LOG_NUMBER_PROPERTY};
pub use entra::Identity;
pub use management::{HubProperties, PartitionProperties};
pub use options::{
    CONNECTION_OPTIONS, OptionError, SINK_OPTIONS, SOURCE_OPTIONS, Surroundings, from_options, sink_from_options,
    sink_with, source_with,
};
pub use sink::EventHubsSink;
pub use source::{EventHubsSource, StartingPosition};
