//! What clients browse: catalogs, schemas, tables and keys, as the batches that Flight SQL prescribes.

use super::columns::{Origin, table_schema};
use crate::flight::status;
use crate::service::{CATALOG, SchemaInfo, Session, StatementService, TABLE_TYPES, TableFilter, TableInfo, like};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use arrow::record_batch::RecordBatch;
use arrow_flight::error::FlightError;
use arrow_flight::sql::metadata::{GetCatalogsBuilder, GetDbSchemasBuilder, GetTablesBuilder};
use arrow_flight::sql::{CommandGetDbSchemas, CommandGetTableTypes, CommandGetTables};
use std::sync::Arc;
use tonic::Status;

/// The one catalog.
pub(crate) fn catalogs() -> Result<RecordBatch, FlightError> {
    let mut builder = GetCatalogsBuilder::new();
    builder.append(CATALOG);
    builder.build()
}

/// The schema of [`schemas`].
pub(crate) fn schemas_schema() -> SchemaRef {
    GetDbSchemasBuilder::new(None::<String>, None::<String>).schema()
}

/// The databases that the command asks for.
pub(crate) async fn schemas(
    service: &dyn StatementService,
    session: &Session,
    command: &CommandGetDbSchemas,
) -> Result<RecordBatch, Status> {
    let found = service.schemas(session).await.map_err(|e| status::from_statement(&e))?;
    let mut builder = GetDbSchemasBuilder::new(None::<String>, None::<String>);
    for schema in found.iter().filter(|schema| wanted(schema, command)) {
        builder.append(&schema.catalog, &schema.name);
    }
    builder.build().map_err(status::from_flight)
}

fn wanted(schema: &SchemaInfo, command: &CommandGetDbSchemas) -> bool {
    let catalog = command.catalog.as_deref();
    let pattern = command.db_schema_filter_pattern.as_deref();
    catalog.is_none_or(|c| c == schema.catalog) && pattern.is_none_or(|p| like(p, &schema.name))
}

/// The schema of [`tables`].
pub(crate) fn tables_schema(include_schema: bool) -> SchemaRef {
    tables_builder(include_schema).schema()
}

fn tables_builder(include_schema: bool) -> GetTablesBuilder {
    // The engine has filtered already.
    GetTablesBuilder::new(None::<String>, None::<String>, None::<String>, Vec::<String>::new(), include_schema)
}

/// The tables and views that the command asks for.
pub(crate) async fn tables(
    service: &dyn StatementService,
    session: &Session,
    command: CommandGetTables,
) -> Result<RecordBatch, Status> {
    let include_schema = command.include_schema;
    let filter = TableFilter {
        catalog: command.catalog,
        schema_pattern: command.db_schema_filter_pattern,
        table_pattern: command.table_name_filter_pattern,
        types: command.table_types,
        include_schema,
    };
    let found = service.tables(session, &filter).await.map_err(|e| status::from_statement(&e))?;
    let mut builder = tables_builder(include_schema);
    for table in &found {
        append_table(&mut builder, table).map_err(status::from_flight)?;
    }
    builder.build().map_err(status::from_flight)
}

fn append_table(builder: &mut GetTablesBuilder, table: &TableInfo) -> Result<(), FlightError> {
    let origin = Origin { catalog: &table.catalog, schema: &table.schema, table: &table.name };
    let schema = match &table.arrow_schema {
        Some(schema) => table_schema(schema, origin),
        None => Arc::new(Schema::empty()),
    };
    builder.append(&table.catalog, &table.schema, &table.name, &table.kind, &schema)
}

/// The kinds of tables that there are.
pub(crate) fn table_types() -> Result<RecordBatch, FlightError> {
    let mut builder = CommandGetTableTypes {}.into_builder();
    for kind in TABLE_TYPES {
        builder.append(kind);
    }
    builder.build()
}

/// No primary keys: tables of streams have none.
pub(crate) fn primary_keys() -> RecordBatch {
    let text = |name, nullable| Field::new(name, DataType::Utf8, nullable);
    RecordBatch::new_empty(Arc::new(Schema::new(vec![
        text("catalog_name", true),
        text("db_schema_name", true),
        text("table_name", false),
        text("column_name", false),
        text("key_name", true),
        Field::new("key_sequence", DataType::Int32, false),
    ])))
}

/// No foreign keys, in any direction.
pub(crate) fn foreign_keys() -> RecordBatch {
    let text = |name, nullable| Field::new(name, DataType::Utf8, nullable);
    RecordBatch::new_empty(Arc::new(Schema::new(vec![
        text("pk_catalog_name", true),
        text("pk_db_schema_name", true),
        text("pk_table_name", false),
        text("pk_column_name", false),
        text("fk_catalog_name", true),
        text("fk_db_schema_name", true),
        text("fk_table_name", false),
        text("fk_column_name", false),
        Field::new("key_sequence", DataType::Int32, false),
        text("fk_key_name", true),
        text("pk_key_name", true),
        Field::new("update_rule", DataType::UInt8, false),
        Field::new("delete_rule", DataType::UInt8, false),
    ])))
}
