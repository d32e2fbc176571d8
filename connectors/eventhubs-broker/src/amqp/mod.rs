//! AMQP 1.0 on bytes: values, frames, the handshake, sessions.
//!
//! The performatives' and messages' types and their decoding are fe2o3-amqp's. What is ours is what its acceptor has no room for: a delivery's bytes as they
//! came, many transfers in one write, and performatives padded to their full length (pyamqp reads their fields by position).

pub(crate) mod frame;
pub(crate) mod handshake;
pub(crate) mod value;
