//! Flight SQL: how clients (the CLI, ADBC, pyarrow, later Power BI) reach the engine.
//!
//! This crate knows the wire: gRPC, handshakes, tickets, streams. It does *not* know SQL, the catalog, jobs or the
//! planner: it serves whatever implements [`service::StatementService`].
//!
//! | module | what |
//! |---|---|
//! | [`service`] | the contract with the engine |
//! | [`flight`] | the Flight SQL server: options, handle, and the protocol behind them |

pub mod flight;
pub mod service;

pub use flight::auth::{Auth, Credentials, NamedToken, UserPassword};
pub use flight::server::{FlightHandle, FlightOptions, FlightServer, ServeError};
pub use service::{
    CATALOG, SchemaInfo, Session, StatementError, StatementService, TABLE_TYPES, TableFilter, TableInfo,
};
