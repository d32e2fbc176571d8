//! The language: text in, statements out.
//!
//! [`parse`] turns a script into [`Statement`]s, a closed set; errors ([`SqlError`]) carry line, column, the source
//! line and advice. [`TableDef`] is what a table is; its options are checked against one declarative table
//! ([`options::registry`]) and become typed values on the server, where references to secrets are looked up.
//! [`Catalog`] is the catalog as a pure value that [`CatalogChange`]s are applied to.
//!
//! *What this crate doesn't know:* DataFusion, Arrow, tokio, files, clocks, randomness. Whoever uses it plans the
//! queries (sqlparser's AST), maps [`ColumnType`] to Arrow, stores the catalog, and injects ids and times.

pub mod catalog;
mod column_type;
mod dialect;
mod error;
mod lint;
mod name;
pub mod options;
mod parser;
mod redact;
mod split;
mod statement;
mod table;
mod units;

pub use catalog::{Catalog, CatalogChange, CatalogError};
pub use column_type::{ColumnType, MAX_DECIMAL_PRECISION, StructField, TypeError};
pub use dialect::SalamanderDialect;
pub use error::{Position, SqlError};
pub use lint::{Warning, warnings};
pub use name::{Name, NameError, TableName};
pub use options::{Options, Ref};
pub use parser::{EVENTHUBS_METADATA, parse, parse_one};
pub use split::{Piece, is_complete, split};
pub use statement::{CreateDatabase, CreateJob, CreateTable, CreateView, Insert, Show, Spanned, Statement, like};
pub use table::{ColumnDef, ConnectorTable, FileFormat, HiveTable, MaterializedView, TableDef, TableKind, Watermark};
pub use units::{parse_duration_micros, parse_size_bytes};

/// sqlparser's syntax tree, which queries are handed on as.
pub use sqlparser::ast;
