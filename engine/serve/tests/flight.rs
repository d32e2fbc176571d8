//! The server over real sockets, with arrow-flight's own client, in front of a bare DataFusion session.

#[path = "flight/engine.rs"]
mod engine;
#[path = "flight/python.rs"]
mod python;
#[path = "flight/queries.rs"]
mod queries;
#[path = "flight/sessions.rs"]
mod sessions;
