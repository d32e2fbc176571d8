//! From a connector table's options to its source, decoder or sink: the one place that knows all connectors.

use crate::error::HeadError;
use arrow::datatypes::SchemaRef;
use salamander_connector_api::{ConnectorError, Decoder, DeliverySink, Source};
use salamander_operators::EventTime;
use salamander_planner::arrow_schema;
use salamander_sql::{ConnectorTable, Ref, TableDef, parse_duration_micros};
use salamander_types::ErrorKind;
use std::collections::BTreeMap;
use std::sync::Arc;

/// A stream that can be read.
#[derive(Debug, Clone)]
pub(crate) struct OpenStream {
    pub(crate) source: Arc<dyn Source>,
    pub(crate) decoder: Arc<dyn Decoder>,
    /// How far a row's time may lie after the time when the source took it, in microseconds.
    pub(crate) future_micros: i64,
    /// How far a split may run ahead of the slowest one, in microseconds.
    pub(crate) drift_micros: Option<i64>,
}

/// Looks up what `${VAR}` and `${file:PATH}` stand for, on this machine.
pub(crate) fn lookup(reference: Ref) -> Option<String> {
    match reference {
        Ref::Env(name) => std::env::var(name).ok(),
        Ref::File(path) => std::fs::read_to_string(path).ok(),
    }
}

fn connector_of(table: &TableDef) -> Result<&ConnectorTable, HeadError> {
    table
        .connector()
        .ok_or_else(|| HeadError::invalid(format!("{} is a table of files, not of a connector", table.name)))
}

/// The declared columns of a table.
pub(crate) fn declared_schema(table: &TableDef) -> SchemaRef {
    Arc::new(arrow_schema(table.all_columns()))
}

/// Opens a stream table. Nothing is read yet.
pub(crate) fn open_stream(table: &TableDef) -> Result<OpenStream, HeadError> {
    let connector = connector_of(table)?;
    let options = connector.resolved_options(&lookup)?;
    let decoder = decoder(table, connector, &options)?;
    let source = match connector.connector_name() {
        Some("eventhubs") => salamander_eventhubs::from_options(&options)?,
        Some("files") => salamander_files::from_options(&options)?,
        Some("generator") => salamander_generator::from_options(&options)?,
        Some(other) => return Err(HeadError::invalid(format!("{}: a {other} table can't be read", table.name))),
        None => return Err(HeadError::invalid(format!("{} has no connector", table.name))),
    };
    let length = |option: &str| options.get(option).and_then(|text| parse_duration_micros(text));
    let future_micros = length("max_time_ahead").unwrap_or(EventTime::FUTURE_MICROS);
    Ok(OpenStream { source, decoder, future_micros, drift_micros: length("max_drift") })
}

fn decoder(
    table: &TableDef,
    connector: &ConnectorTable,
    options: &BTreeMap<String, String>,
) -> Result<Arc<dyn Decoder>, HeadError> {
    let format = connector.format_name().unwrap_or("text");
    salamander_formats::decoder(format, declared_schema(table), options)
        .map_err(|e| HeadError::invalid(format!("{}, format '{format}': {e}", table.name)))
}

/// Opens a table as a sink; none for a blackhole.
pub(crate) fn open_sink(table: &TableDef) -> Result<Option<Arc<dyn DeliverySink>>, HeadError> {
    let connector = connector_of(table)?;
    match connector.connector_name() {
        Some("blackhole") => Ok(None),
        Some("eventhubs") => {
            let mut options = connector.resolved_options(&lookup)?;
            let format = connector.format_name().unwrap_or("json");
            options.insert("format".to_owned(), format.to_owned());
            Ok(Some(salamander_eventhubs::sink_from_options(&options)?))
        }
        _ => Err(HeadError::Connector(ConnectorError::new(
            ErrorKind::Invalid,
            table.name.to_string(),
            "only external tables, event hubs and blackholes can be written to",
        ))),
    }
}
