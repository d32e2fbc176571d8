//! From a table's options as written to what connectors, formats and sinks take: references looked up, values checked.

use std::collections::BTreeMap;

use super::check::{Chosen, check_connector, choose};
use super::registry::{HIVE_PROPERTIES, OptionKind, OptionSpec};
use super::resolved::{ResolvedOptions, missing};
use super::value::Compression;
use super::{Options, Ref, check_hive};
use crate::error::{Position, SqlError};
use crate::table::{ConnectorTable, HiveTable};

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
    /// Whether texts with many values are stored plainly, for old readers, instead of as deltas.
    pub plain_text: bool,
}

impl ConnectorTable {
    /// The settings of connector and format, with references looked up by `lookup` and defaults filled in.
    ///
    /// # Errors
    /// If a reference is not found, or a value doesn't fit. No error shows a resolved value.
    pub fn resolve(&self, lookup: &dyn Fn(Ref) -> Option<String>) -> Result<ResolvedOptions, SqlError> {
        let chosen = check_connector(&self.options, Position::default())?;
        ResolvedOptions::new(&self.options, chosen.specs(), lookup)
    }

    /// The options that were given, with their references looked up, as connectors and formats take them: keys by
    /// their own names, choices in lower case, no defaults. It may hold secrets: never show it.
    ///
    /// # Errors
    /// As [`ConnectorTable::resolve`], by which the values are checked.
    pub fn resolved_options(
        &self,
        lookup: &dyn Fn(Ref) -> Option<String>,
    ) -> Result<BTreeMap<String, String>, SqlError> {
        let chosen = check_connector(&self.options, Position::default())?;
        let values = ResolvedOptions::new(&self.options, chosen.specs(), lookup)?;
        let mut given: BTreeMap<String, String> = chosen
            .specs()
            .filter(|spec| self.options.entries().any(|(key, _)| spec.is_named(key)))
            .filter_map(|spec| Some((spec.key.to_owned(), plain(spec, values.text(spec.key)?))))
            .collect();
        given.insert("connector".to_owned(), chosen.connector.name.to_owned());
        if let (Some(format), Some(_)) = (chosen.format, self.options.get("format")) {
            given.insert("format".to_owned(), format.name.to_owned());
        }
        Ok(given)
    }

    /// The connector's name.
    pub fn connector_name(&self) -> Option<&'static str> {
        self.chosen().map(|chosen| chosen.connector.name)
    }

    /// The format's name, the default one if none is written.
    pub fn format_name(&self) -> Option<&'static str> {
        self.chosen().and_then(|chosen| chosen.format).map(|format| format.name)
    }

    /// None only for options that were never checked.
    fn chosen(&self) -> Option<Chosen> {
        choose(&self.options, Position::default()).ok()
    }
}

/// A value in the spelling that connectors compare with.
fn plain(spec: &OptionSpec, text: &str) -> String {
    match spec.kind {
        OptionKind::Choice(_) | OptionKind::Bool => text.trim().to_ascii_lowercase(),
        OptionKind::StartPosition
            if text.trim().eq_ignore_ascii_case("earliest") || text.trim().eq_ignore_ascii_case("latest") =>
        {
            text.trim().to_ascii_lowercase()
        }
        _ => text.to_owned(),
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
        let level = values.int("compression_level")?.and_then(|level| i32::try_from(level).ok());
        Ok(HiveConfig {
            location,
            roll_interval_micros: values.duration_micros("roll_interval")?.ok_or_else(|| missing("roll_interval"))?,
            roll_size_bytes: values.bytes("roll_size")?.ok_or_else(|| missing("roll_size"))?,
            compression: Compression::Zstd(level.ok_or_else(|| missing("compression_level"))?),
            plain_text: values.choice("text_encoding").as_deref() == Some("plain"),
        })
    }
}

impl Options {
    /// Whether any value holds a reference.
    pub fn has_references(&self) -> bool {
        self.iter().any(|(_, value)| super::reference::has_reference(value))
    }
}
