//! What connectors, formats and sinks take: typed values, made from options with their references resolved.

use std::collections::BTreeMap;

use secrecy::{ExposeSecret, SecretString};

use super::check::{check_connector, choose};
use super::connection::ConnectionString;
use super::registry::HIVE_PROPERTIES;
use super::resolved::{ResolvedOptions, missing};
use super::value::{Compression, StartPosition};
use super::{Options, Ref, check_hive};
use crate::error::{Position, SqlError};
use crate::name::Name;
use crate::table::{ConnectorTable, HiveTable};

/// A connector's table, ready to be opened.
#[derive(Debug, Clone)]
pub struct ResolvedConnector {
    /// The connector with its settings.
    pub connector: ConnectorConfig,
    /// The format; `None` for connectors without bytes.
    pub format: Option<FormatConfig>,
}

/// A connector with its settings.
#[derive(Debug, Clone)]
pub enum ConnectorConfig {
    /// `'connector' = 'eventhubs'`.
    EventHubs(EventHubsConfig),
    /// `'connector' = 'files'`.
    Files(FilesConfig),
    /// `'connector' = 'generator'`.
    Generator(GeneratorConfig),
    /// `'connector' = 'blackhole'`.
    Blackhole,
}

/// Settings of an Event Hubs table.
#[derive(Debug, Clone)]
pub struct EventHubsConfig {
    /// How to sign in, and where.
    pub auth: EventHubsAuth,
    /// The hub.
    pub event_hub: String,
    /// The consumer group to read with.
    pub consumer_group: String,
    /// Where a new job begins.
    pub starting_position: StartPosition,
    /// What to do when the next events have left the hub.
    pub on_expired: OnExpired,
    /// The epoch of exclusive readers.
    pub owner_level: Option<i64>,
    /// Bytes that may wait in memory for each partition.
    pub prefetch_bytes: u64,
    /// As a sink: the column of the partition key.
    pub partition_key: Option<Name>,
}

/// How to sign in to Event Hubs.
#[derive(Debug, Clone)]
pub enum EventHubsAuth {
    /// By a connection string's key.
    Sas {
        /// The connection string, taken apart.
        connection: ConnectionString,
        /// The connection string as a whole.
        connection_string: SecretString,
    },
    /// With Entra ID, by the machine's identity.
    ManagedIdentity {
        /// The namespace's host.
        namespace: String,
        /// The user-assigned identity, if not the system's.
        client_id: Option<String>,
    },
    /// With Entra ID, as an application.
    ClientSecret {
        /// The namespace's host.
        namespace: String,
        /// The directory.
        tenant_id: String,
        /// The application.
        client_id: String,
        /// Its secret.
        client_secret: SecretString,
    },
    /// With Entra ID, as whoever is signed in to the Azure CLI.
    Cli {
        /// The namespace's host.
        namespace: String,
    },
}

/// What to do when the events that come next have left the hub.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OnExpired {
    /// Stop with an error that names the partition.
    Fail,
    /// Go on at the earliest event, and record the gap.
    Skip,
}

/// Settings of a files table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FilesConfig {
    /// A file, a folder or a pattern.
    pub path: String,
    /// Keep reading as files grow and appear.
    pub follow: bool,
}

/// Settings of a generator table.
#[derive(Debug, Clone, PartialEq)]
pub struct GeneratorConfig {
    /// What to make.
    pub kind: GeneratorKind,
    /// The pace; as fast as possible if `None`.
    pub rows_per_second: Option<u64>,
    /// How many rows in all; without end if `None`.
    pub rows: Option<u64>,
    /// The seed.
    pub seed: u64,
    /// The share of damaged lines, from 0 to 1.
    pub damaged: f64,
}

/// What a generator makes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum GeneratorKind {
    /// The log lines of an online shop.
    RealtimeLogs,
}

/// How bytes become rows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FormatConfig {
    /// Each row is a text.
    Text,
    /// Fields between a delimiter.
    Delimited(DelimitedFormat),
    /// JSON objects.
    Json(JsonFormat),
    /// Comma-separated values.
    Csv(CsvFormat),
}

/// Settings of `'format' = 'delimited'`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DelimitedFormat {
    /// What stands between fields.
    pub delimiter: String,
    /// Strip labels in front of values and units after numbers.
    pub strip_labels: bool,
    /// The text that stands for NULL.
    pub null_value: Option<String>,
}

/// Settings of `'format' = 'json'`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JsonFormat {
    /// The pattern of timestamps; ISO-8601 if `None`.
    pub timestamp_format: Option<String>,
}

/// Settings of `'format' = 'csv'`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CsvFormat {
    /// What stands between fields.
    pub delimiter: char,
    /// The quote.
    pub quote: char,
    /// Whether a file's first line is skipped.
    pub header: bool,
    /// The text that stands for NULL.
    pub null_value: Option<String>,
}

/// Settings of a Hive table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HiveConfig {
    /// The folder: a path or URL, references resolved.
    pub location: String,
    /// The longest time until rows appear in a visible file, in microseconds.
    pub roll_interval_micros: i64,
    /// The compressed size at which rows are rolled at once, in bytes.
    pub roll_size_bytes: u64,
    /// The compression of Parquet pages.
    pub compression: Compression,
}

impl ConnectorTable {
    /// The table's settings, with references looked up by `lookup`.
    ///
    /// # Errors
    /// If a reference is not found, or a value doesn't fit. No error shows a resolved value.
    pub fn resolve(&self, lookup: &dyn Fn(Ref) -> Option<String>) -> Result<ResolvedConnector, SqlError> {
        let chosen = check_connector(&self.options, Position::default())?;
        let values = ResolvedOptions::new(&self.options, chosen.specs(), lookup)?;
        let connector = match chosen.connector.name {
            "eventhubs" => ConnectorConfig::EventHubs(eventhubs(&values)?),
            "files" => ConnectorConfig::Files(FilesConfig {
                path: values.required_text("path")?,
                follow: values.flag("follow")?,
            }),
            "generator" => ConnectorConfig::Generator(generator(&values)?),
            "blackhole" => ConnectorConfig::Blackhole,
            other => return Err(SqlError::new(Position::default(), format!("connector '{other}' can't be opened"))),
        };
        let format = match chosen.format {
            Some(spec) => Some(format(spec.name, &values)?),
            None => None,
        };
        Ok(ResolvedConnector { connector, format })
    }

    /// The options with their references looked up, as connectors and formats take them. It may hold secrets: never
    /// show it.
    ///
    /// # Errors
    /// As [`ConnectorTable::resolve`], by which the values are checked.
    pub fn resolved_options(
        &self,
        lookup: &dyn Fn(Ref) -> Option<String>,
    ) -> Result<BTreeMap<String, String>, SqlError> {
        self.resolve(lookup)?;
        self.options
            .entries()
            .map(|(key, entry)| Ok((key.to_owned(), super::reference::resolve(key, entry, lookup)?)))
            .collect()
    }

    /// The connector's name.
    pub fn connector_name(&self) -> Option<&'static str> {
        choose(&self.options, Position::default()).ok().map(|chosen| chosen.connector.name)
    }

    /// The format's name, the default one if none is written.
    pub fn format_name(&self) -> Option<&'static str> {
        choose(&self.options, Position::default()).ok().and_then(|chosen| chosen.format).map(|format| format.name)
    }
}

impl HiveTable {
    /// The table's settings, with references looked up by `lookup`.
    ///
    /// # Errors
    /// If a reference is not found, or a value doesn't fit.
    pub fn resolve(&self, lookup: &dyn Fn(Ref) -> Option<String>) -> Result<HiveConfig, SqlError> {
        check_hive(&self.properties)?;
        let values = ResolvedOptions::new(&self.properties, HIVE_PROPERTIES.iter(), lookup)?;
        let location = super::reference::resolve("LOCATION", &super::OptionEntry::from(self.location.clone()), lookup)?;
        let level = values.int("compression_level")?.and_then(|level| i32::try_from(level).ok()).unwrap_or(3);
        let compression = match values.choice("compression").as_deref() {
            Some("snappy") => Compression::Snappy,
            Some("lz4") => Compression::Lz4,
            Some("none") => Compression::None,
            _ => Compression::Zstd(level),
        };
        Ok(HiveConfig {
            location,
            roll_interval_micros: values.duration_micros("roll_interval")?.ok_or_else(|| missing("roll_interval"))?,
            roll_size_bytes: values.bytes("roll_size")?.ok_or_else(|| missing("roll_size"))?,
            compression,
        })
    }
}

impl Options {
    /// Whether any value holds a reference.
    pub fn has_references(&self) -> bool {
        self.iter().any(|(_, value)| super::reference::has_reference(value))
    }
}

fn eventhubs(values: &ResolvedOptions) -> Result<EventHubsConfig, SqlError> {
    let auth = match values.choice("auth").as_deref() {
        Some("managed_identity") => EventHubsAuth::ManagedIdentity {
            namespace: values.required_text("fully_qualified_namespace")?,
            client_id: values.text("client_id").map(str::to_owned),
        },
        Some("client_secret") => EventHubsAuth::ClientSecret {
            namespace: values.required_text("fully_qualified_namespace")?,
            tenant_id: values.required_text("tenant_id")?,
            client_id: values.required_text("client_id")?,
            client_secret: values.required_secret("client_secret")?,
        },
        Some("cli") => EventHubsAuth::Cli { namespace: values.required_text("fully_qualified_namespace")? },
        _ => {
            let connection_string = values.required_secret("connection_string")?;
            let connection = ConnectionString::parse(connection_string.expose_secret())
                .map_err(|message| SqlError::new(Position::default(), message))?;
            EventHubsAuth::Sas { connection, connection_string }
        }
    };
    let entity_path = match &auth {
        EventHubsAuth::Sas { connection, .. } => connection.entity_path.clone(),
        _ => None,
    };
    let event_hub = values.text("event_hub").map(str::to_owned).or(entity_path).ok_or_else(|| {
        SqlError::new(Position::default(), "no hub is named")
            .with_hint("add the option 'event_hub', or EntityPath to the connection string")
    })?;
    let partition_key = match values.text("partition_key") {
        Some(name) => Some(
            Name::new(name).map_err(|e| SqlError::new(Position::default(), format!("option 'partition_key': {e}")))?,
        ),
        None => None,
    };
    Ok(EventHubsConfig {
        auth,
        event_hub,
        consumer_group: values.required_text("consumer_group")?,
        starting_position: values.start_position("starting_position")?.ok_or_else(|| missing("starting_position"))?,
        on_expired: if values.choice("on_expired").as_deref() == Some("skip") {
            OnExpired::Skip
        } else {
            OnExpired::Fail
        },
        owner_level: values.int("owner_level")?,
        prefetch_bytes: values.bytes("prefetch_bytes")?.ok_or_else(|| missing("prefetch_bytes"))?,
        partition_key,
    })
}

fn generator(values: &ResolvedOptions) -> Result<GeneratorConfig, SqlError> {
    Ok(GeneratorConfig {
        kind: GeneratorKind::RealtimeLogs,
        rows_per_second: values.unsigned("rows_per_second")?,
        rows: values.unsigned("rows")?,
        seed: values.unsigned("seed")?.ok_or_else(|| missing("seed"))?,
        damaged: values.float("damaged")?.ok_or_else(|| missing("damaged"))?,
    })
}

fn format(name: &str, values: &ResolvedOptions) -> Result<FormatConfig, SqlError> {
    let null_value = || values.text("null_value").map(str::to_owned);
    Ok(match name {
        "delimited" => FormatConfig::Delimited(DelimitedFormat {
            delimiter: values.delimiter("delimiter").ok_or_else(|| missing("delimiter"))?,
            strip_labels: values.flag("strip_labels")?,
            null_value: null_value(),
        }),
        "json" => {
            FormatConfig::Json(JsonFormat { timestamp_format: values.text("timestamp_format").map(str::to_owned) })
        }
        "csv" => FormatConfig::Csv(CsvFormat {
            delimiter: values.character("delimiter")?.ok_or_else(|| missing("delimiter"))?,
            quote: values.character("quote")?.ok_or_else(|| missing("quote"))?,
            header: values.flag("header")?,
            null_value: null_value(),
        }),
        _ => FormatConfig::Text,
    })
}
