//! Checks options as written against the registry, when the statement is parsed.
//!
//! Values with references can't be checked before they are resolved; [`super::ResolvedOptions`] checks them then.

use super::connection;
use super::reference;
use super::registry::{self, ConnectorSpec, FormatSpec, HIVE_PROPERTIES, OptionKind, OptionSpec, Presence};
use super::value::fits;
use super::{OptionEntry, Options};
use crate::error::{Position, SqlError};
use crate::name::nearest;

/// The connector and format that options name.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Chosen {
    pub(crate) connector: &'static ConnectorSpec,
    pub(crate) format: Option<&'static FormatSpec>,
}

impl Chosen {
    /// All options that may be given, besides `connector` and `format`.
    pub(crate) fn specs(&self) -> impl Iterator<Item = &'static OptionSpec> {
        self.connector.options.iter().chain(self.format.into_iter().flat_map(|format| format.options))
    }
}

/// Checks the options of a connector's table. `at` is the place of `WITH`.
pub(crate) fn check_connector(options: &Options, at: Position) -> Result<Chosen, SqlError> {
    let chosen = choose(options, at)?;
    let specs: Vec<&OptionSpec> = chosen.specs().collect();
    for (key, entry) in options.entries().filter(|(key, _)| !matches!(*key, "connector" | "format")) {
        let Some(spec) = specs.iter().find(|spec| spec.is_named(key)) else {
            return Err(unknown(key, entry, &specs, &["connector", "format"], &described(&chosen)));
        };
        check_value(spec, key, entry)?;
    }
    check_required(options, &specs, at)?;
    if chosen.connector.name == "eventhubs" {
        check_eventhubs(options, at)?;
    }
    Ok(chosen)
}

/// Checks a Hive table's properties.
pub(crate) fn check_hive(options: &Options) -> Result<(), SqlError> {
    let specs: Vec<&OptionSpec> = HIVE_PROPERTIES.iter().collect();
    let mut seen: Vec<(&str, &str)> = Vec::new();
    for (key, entry) in options.entries() {
        let Some(spec) = specs.iter().find(|spec| spec.is_named(key)) else {
            return Err(unknown(key, entry, &specs, &[], "external tables"));
        };
        if let Some((_, other)) = seen.iter().find(|(name, _)| *name == spec.key) {
            return Err(SqlError::new(entry.key_at, format!("'{key}' and '{other}' are the same property"))
                .with_hint("give one of them"));
        }
        seen.push((spec.key, key));
        check_value(spec, key, entry)?;
    }
    Ok(())
}

/// Finds the connector and format.
pub(crate) fn choose(options: &Options, at: Position) -> Result<Chosen, SqlError> {
    let names: Vec<&str> = registry::CONNECTORS.iter().map(|c| c.name).collect();
    let Some(entry) = options.entry("connector") else {
        let near = options.entries().find(|(key, _)| nearest(key, ["connector"]).is_some());
        return Err(match near {
            Some((key, entry)) => {
                SqlError::new(entry.key_at, format!("unknown option '{key}'")).with_hint("did you mean 'connector'?")
            }
            None => SqlError::new(at, "the table has no 'connector' option")
                .with_hint(format!("connectors are {}", quoted(&names))),
        });
    };
    let Some(connector) = registry::connector(&entry.value) else {
        return Err(bad_choice("connector", entry, &names));
    };
    let format = match options.entry("format") {
        Some(entry) if connector.formats.is_empty() => {
            return Err(SqlError::new(entry.key_at, format!("connector '{}' takes no format", connector.name))
                .with_hint("leave 'format' out"));
        }
        Some(entry) => {
            let known = registry::format(&entry.value).filter(|format| connector.formats.contains(&format.name));
            Some(known.ok_or_else(|| bad_choice("format", entry, connector.formats))?)
        }
        None if connector.format_required => {
            return Err(SqlError::new(at, format!("connector '{}' needs a 'format' option", connector.name))
                .with_hint(format!("formats are {}", quoted(connector.formats))));
        }
        None => connector.formats.first().and_then(|name| registry::format(name)),
    };
    Ok(Chosen { connector, format })
}

fn described(chosen: &Chosen) -> String {
    match chosen.format {
        Some(format) => format!("connector '{}' with format '{}'", chosen.connector.name, format.name),
        None => format!("connector '{}'", chosen.connector.name),
    }
}

fn bad_choice(key: &str, entry: &OptionEntry, names: &[&str]) -> SqlError {
    let message = format!("unknown {key} '{}'", entry.value);
    let hint = match nearest(&entry.value, names.iter().copied()) {
        Some(name) => format!("did you mean '{name}'? It can be {}", quoted(names)),
        None => format!("it can be {}", quoted(names)),
    };
    SqlError::new(entry.value_at, message).with_hint(hint)
}

fn unknown(key: &str, entry: &OptionEntry, specs: &[&OptionSpec], more: &[&str], whose: &str) -> SqlError {
    let keys: Vec<&str> = specs.iter().map(|spec| spec.key).chain(more.iter().copied()).collect();
    let owners = registry::owners(key);
    let hint = if let Some(name) = nearest(key, keys.iter().copied()) {
        format!("did you mean '{name}'?")
    } else if !owners.is_empty() {
        format!("'{key}' is an option of {}", owners.join(" and "))
    } else if specs.is_empty() {
        format!("{whose} has no options")
    } else {
        format!("options are {}", quoted(&keys))
    };
    SqlError::new(entry.key_at, format!("unknown option '{key}' for {whose}")).with_hint(hint)
}

/// Checks one value as written.
pub(crate) fn check_value(spec: &OptionSpec, key: &str, entry: &OptionEntry) -> Result<(), SqlError> {
    reference::segments(&entry.value)
        .map_err(|message| SqlError::new(entry.value_at, format!("option '{key}': {message}")))?;
    if spec.kind == OptionKind::Secret {
        return check_secret(spec, key, entry);
    }
    if reference::has_reference(&entry.value) || fits(spec, &entry.value) {
        return Ok(());
    }
    Err(SqlError::new(entry.value_at, format!("option '{key}' can't be '{}'", entry.value))
        .with_hint(format!("it takes {}", spec.kind.accepts())))
}

/// A secret must not stand in the statement.
fn check_secret(spec: &OptionSpec, key: &str, entry: &OptionEntry) -> Result<(), SqlError> {
    let is_connection_string = spec.key == "connection_string";
    let fine = if is_connection_string {
        connection::may_stand_inline(&entry.value)
    } else {
        reference::is_reference(&entry.value)
    };
    if fine {
        return Ok(());
    }
    let message = format!("option '{key}' holds a secret in the statement itself");
    let hint = if is_connection_string {
        "write '${EVENTHUBS_CONNECTION_STRING}' or '${file:PATH}', which the server looks up; only the development key (SAS_KEY_VALUE with UseDevelopmentEmulator=true) may stand inline"
    } else {
        "write '${VAR}' or '${file:PATH}', which the server looks up"
    };
    Err(SqlError::new(entry.value_at, message).with_hint(hint))
}

fn check_required(options: &Options, specs: &[&OptionSpec], at: Position) -> Result<(), SqlError> {
    for spec in specs.iter().filter(|spec| spec.presence == Presence::Required) {
        if options.get(spec.key).is_none() {
            return Err(SqlError::new(at, format!("the table needs the option '{}'", spec.key)).with_hint(format!(
                "{} It takes {}",
                spec.doc,
                spec.kind.accepts()
            )));
        }
    }
    Ok(())
}

/// Which options each way to sign in needs.
fn check_eventhubs(options: &Options, at: Position) -> Result<(), SqlError> {
    let auth = options.get("auth").unwrap_or("sas").to_ascii_lowercase();
    let needed: &[&str] = match auth.as_str() {
        "sas" => &["connection_string"],
        "client_secret" => &["fully_qualified_namespace", "event_hub", "tenant_id", "client_id", "client_secret"],
        // Also when 'auth' itself is a reference: it is checked again when resolved.
        _ if reference::has_reference(&auth) => &[],
        _ => &["fully_qualified_namespace", "event_hub"],
    };
    for key in needed {
        if options.get(key).is_none() {
            return Err(SqlError::new(at, format!("'auth' = '{auth}' needs the option '{key}'")));
        }
    }
    let unused: &[&str] = match auth.as_str() {
        "sas" => &["fully_qualified_namespace", "tenant_id", "client_id", "client_secret"],
        "client_secret" => &["connection_string"],
        "managed_identity" => &["connection_string", "tenant_id", "client_secret"],
        "cli" => &["connection_string", "client_id", "client_secret"],
        _ => &[],
    };
    if let Some((key, entry)) = options.entries().find(|(key, _)| unused.contains(key)) {
        return Err(SqlError::new(entry.key_at, format!("option '{key}' has no use with 'auth' = '{auth}'"))
            .with_hint("leave it out, or set 'auth'"));
    }
    if let Some(cs) = options.get("connection_string").filter(|cs| !reference::has_reference(cs)) {
        let entry = options.entry("connection_string").map_or(at, |entry| entry.value_at);
        let hub = connection::names_hub(cs).map_err(|message| SqlError::new(entry, message))?;
        if !hub && options.get("event_hub").is_none() {
            return Err(SqlError::new(at, "no hub is named")
                .with_hint("add the option 'event_hub', or EntityPath to the connection string"));
        }
    }
    Ok(())
}

fn quoted(names: &[&str]) -> String {
    names.iter().map(|name| format!("'{name}'")).collect::<Vec<_>>().join(", ")
}
