//! The Flight SQL server, on arrow-flight's `FlightSqlService`.
//!
//! A query's way: `GetFlightInfo` describes it and puts its text into a ticket; `DoGet` with that ticket runs it. A
//! prepared statement's handle is the text as well. So the server keeps nothing of queries between two calls: no leaks,
//! no eviction, and any head of a cluster can continue what another one has described. A statement that changes
//! something is run within `GetFlightInfo`, since clients need not fetch its answer, which waits for those that do.
//!
//! | module | what |
//! |---|---|
//! | [`server`] | options, start, shutdown with drain |
//! | [`auth`] | handshake, bearer tokens, who is asking |
//! | `connection` | connections as sessions, and their end |
//! | `protocol` | the Flight SQL calls |
//! | `ticket` | statements as tickets and handles |
//! | `answers` | answers of statements that were run already |
//! | `results` | a result as a stream of Flight messages, ended by whoever stops first |
//! | `columns` | the types and column metadata that clients get |
//! | `metadata` | catalogs, schemas, tables, keys |
//! | `sql_info`, `type_info` | what the server says about itself |
//! | `status` | errors as gRPC statuses |

mod answers;
pub mod auth;
mod columns;
mod connection;
mod metadata;
mod protocol;
mod results;
pub mod server;
mod sql_info;
mod status;
mod ticket;
mod type_info;
