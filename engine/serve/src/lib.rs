//! Flight SQL: how clients (the CLI, ADBC, pyarrow, later Power BI) reach the engine.
//!
//! This crate knows the wire: gRPC, handshakes, tickets, streams. It does *not* know SQL, the catalog, jobs or the
//! planner: it serves whatever implements [`service::StatementService`].

pub mod service;

pub use service::{
    CATALOG, SchemaInfo, Session, StatementError, StatementService, TABLE_TYPES, TableFilter,
    TableInfo,
};
