//! A small AMQP 1.0 client: one connection, one session, links.
//!
//! ```text
//!   socket ──▶ driver (one task a connection) ──▶ session (pure) ──▶ Inlet::message(bytes)   a receiver's buffer
//!      ▲            ▲ commands: attach, send, poke, detach          └▶ reply channels          callers
//!      └── output ──┘
//! ```
//!
//! Why not the library's own link layer: it hands every transfer through two tasks and decodes every message into maps
//! of boxed values; measured, that leaves a quarter of a million events a second and core before a row reaches Arrow
//! (docs/adr/0002). The performatives' types and codec are the library's (`fe2o3-amqp-types`, `serde_amqp`); what is
//! new here is the path of a `transfer`, and that every wait has a limit.
//!
//! Invariants: the session never waits and does no IO; the driver is the only task that touches the socket; nothing is
//! unbounded: received messages are bounded by link credit, sent ones by whoever awaits their acceptance.

pub(crate) mod connection;
pub(crate) mod driver;
pub(crate) mod error;
pub(crate) mod frame;
pub(crate) mod link;
pub(crate) mod section;
pub(crate) mod session;
pub(crate) mod transport;
pub(crate) mod wire;

pub(crate) use connection::{Connection, LinkHandle};
pub(crate) use error::{AmqpError, Meaning, within};
pub(crate) use link::{Inlet, ReceiverSpec, SenderSpec};
