//! From a table's `WITH` options to a source or a sink.
//!
//! The values come resolved: references to secrets in the environment or in files have been followed, so the map may
//! hold keys. Nothing here logs it, and no error repeats a value that could be one.

use crate::amqp::transport::{Address, public_tls};
use crate::auth::Credential;
use crate::backoff::Backoff;
use crate::connection_string::{ConnectionString, Endpoint};
use crate::entra::Identity;
use crate::hub::{Hub, HubSettings};
use crate::reader::{OnExpired, ReadSettings};
use crate::sink::{EventHubsSink, Rendering, SinkSettings};
use crate::source::{EventHubsSource, StartingPosition};
use azure_core::http::ClientOptions;
use salamander_connector_api::{ConnectorError, DeliverySink, Source};
use salamander_types::{Clock, Entropy, ErrorKind, SystemClock, SystemEntropy};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use thiserror::Error;

/// Options that a source and a sink share.
pub const CONNECTION_OPTIONS: &[&str] = &[
    "connection_string",
    "event_hub",
    "fully_qualified_namespace",
    "auth",
    "tenant_id",
    "client_id",
    "client_secret",
    "token_lifetime",
    "call_timeout",
];
/// Options of a source beside those.
pub const SOURCE_OPTIONS: &[&str] =
    &["consumer_group", "starting_position", "on_expired", "owner_level", "prefetch_bytes", "end_refresh"];
/// Options of a sink beside those.
pub const SINK_OPTIONS: &[&str] = &["partition_key", "format"];

const DEFAULT_PREFETCH: usize = 8 << 20;
const LEAST_PREFETCH: usize = 64 << 10;
const MOST_PREFETCH: usize = 1 << 30;
const DEFAULT_CALL_LIMIT: Duration = Duration::from_secs(20);
const DEFAULT_TOKEN_LIFETIME: Duration = Duration::from_secs(3600);
const DEFAULT_END_REFRESH: Duration = Duration::from_secs(2);

/// An option that can't be used.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("option '{option}': {message}")]
pub struct OptionError {
    /// Which.
    pub option: &'static str,
    /// Why, and what to do. Never a secret.
    pub message: String,
}

impl OptionError {
    pub(crate) fn new(option: &'static str, message: impl Into<String>) -> Self {
        Self { option, message: message.into() }
    }
}

impl From<OptionError> for ConnectorError {
    fn from(error: OptionError) -> Self {
        ConnectorError::new(ErrorKind::Invalid, "connector 'eventhubs'", error.to_string())
    }
}

/// Time and randomness.
#[derive(Debug, Clone)]
pub struct Surroundings {
    /// For tokens' expiry.
    pub clock: Arc<dyn Clock>,
    /// For jitter and link names.
    pub entropy: Arc<dyn Entropy>,
}

impl Default for Surroundings {
    fn default() -> Self {
        Self { clock: Arc::new(SystemClock::default()), entropy: Arc::new(SystemEntropy::default()) }
    }
}

/// A source by its options, with the system's clock and randomness.
///
/// # Errors
/// When an option is missing or can't be used. Nothing is connected yet.
pub fn from_options(options: &BTreeMap<String, String>) -> Result<Arc<dyn Source>, ConnectorError> {
    Ok(source_with(options, &Surroundings::default())?)
}

/// A source by its options, with a given clock and randomness.
///
/// # Errors
/// See [`from_options`].
pub fn source_with(
    options: &BTreeMap<String, String>,
    surroundings: &Surroundings,
) -> Result<Arc<dyn Source>, OptionError> {
    let options = Options(options);
    let settings = ReadSettings {
        consumer_group: group(options.get("consumer_group"))?,
        owner_level: options.parse("owner_level", "a whole number")?,
        on_expired: on_expired(options.get("on_expired"))?,
        prefetch_bytes: prefetch_bytes(options.get("prefetch_bytes"))?,
        end_refresh: options.seconds("end_refresh", DEFAULT_END_REFRESH)?,
        backoff: Backoff::default(),
    };
    let start = StartingPosition::parse(options.get("starting_position").unwrap_or("earliest"));
    let start = start.map_err(|message| OptionError::new("starting_position", message))?;
    let call_limit = options.seconds("call_timeout", DEFAULT_CALL_LIMIT)?;
    let hub = Arc::new(hub(options, surroundings)?);
    Ok(Arc::new(EventHubsSource::new(hub, settings, start, call_limit)))
}

/// A sink by its options, with the system's clock and randomness.
///
/// # Errors
/// When an option is missing or can't be used. Nothing is connected yet.
pub fn sink_from_options(options: &BTreeMap<String, String>) -> Result<Arc<dyn DeliverySink>, ConnectorError> {
    Ok(sink_with(options, &Surroundings::default())?)
}

/// A sink by its options, with a given clock and randomness.
///
/// # Errors
/// See [`sink_from_options`].
pub fn sink_with(
    options: &BTreeMap<String, String>,
    surroundings: &Surroundings,
) -> Result<Arc<dyn DeliverySink>, OptionError> {
    let options = Options(options);
    let rendering = match options.get("format") {
        None | Some("json") => Rendering::Json,
        Some("text") => Rendering::Text,
        Some(other) => {
            let message = format!("'{other}' is not a format that a hub can be written in: use json or text");
            return Err(OptionError::new("format", message));
        }
    };
    let settings = SinkSettings {
        rendering,
        partition_key: options.get("partition_key").map(str::to_owned),
        backoff: Backoff::default(),
    };
    Ok(Arc::new(EventHubsSink::new(hub(options, surroundings)?, settings)))
}

#[derive(Clone, Copy)]
struct Options<'a>(&'a BTreeMap<String, String>);

impl<'a> Options<'a> {
    fn get(self, name: &str) -> Option<&'a str> {
        self.0.get(name).map(|value| value.trim()).filter(|value| !value.is_empty())
    }

    fn need(self, name: &'static str, why: &str) -> Result<&'a str, OptionError> {
        self.get(name).ok_or_else(|| OptionError::new(name, format!("is missing: {why}")))
    }

    fn parse<T: std::str::FromStr>(self, name: &'static str, what: &str) -> Result<Option<T>, OptionError> {
        match self.get(name).map(str::parse) {
            None => Ok(None),
            Some(Ok(value)) => Ok(Some(value)),
            Some(Err(_)) => Err(OptionError::new(name, format!("is not {what}"))),
        }
    }

    fn seconds(self, name: &'static str, default: Duration) -> Result<Duration, OptionError> {
        match self.parse::<f64>(name, "a number of seconds")? {
            None => Ok(default),
            Some(seconds) if (0.05..=86_400.0 * 7.0).contains(&seconds) => Ok(Duration::from_secs_f64(seconds)),
            Some(_) => Err(OptionError::new(name, "is a number of seconds from 0.05 to a week")),
        }
    }
}

fn hub(options: Options<'_>, surroundings: &Surroundings) -> Result<Hub, OptionError> {
    let (endpoint, entity_path, credential) = access(options)?;
    let hub = match (options.get("event_hub"), entity_path) {
        (Some(named), Some(path)) if named != path => {
            let message = format!(
                "is '{named}', but the connection string's EntityPath is '{path}': give one, or the same twice"
            );
            return Err(OptionError::new("event_hub", message));
        }
        (Some(named), _) => named.to_owned(),
        (None, Some(path)) => path,
        (None, None) => {
            return Err(OptionError::new("event_hub", "is missing, and the connection string has no EntityPath"));
        }
    };
    let tls = match endpoint.tls {
        true => Some(public_tls().map_err(|error| OptionError::new("connection_string", error.to_string()))?),
        false => None,
    };
    let settings = HubSettings {
        address: Address { host: endpoint.host, port: endpoint.port, tls },
        hub,
        credential,
        token_lifetime: options.seconds("token_lifetime", DEFAULT_TOKEN_LIFETIME)?,
        call_limit: options.seconds("call_timeout", DEFAULT_CALL_LIMIT)?,
    };
    Ok(Hub::new(settings, Arc::clone(&surroundings.clock), Arc::clone(&surroundings.entropy)))
}

/// Where, which hub if that says so, and what lets us in.
fn access(options: Options<'_>) -> Result<(Endpoint, Option<String>, Credential), OptionError> {
    let auth = options.get("auth").unwrap_or("sas");
    if auth == "sas" {
        let text = options.need(
            "connection_string",
            "as the portal shows it, or 'auth'='managed_identity' with 'fully_qualified_namespace'",
        )?;
        let parsed = ConnectionString::parse(text);
        let parsed = parsed.map_err(|error| OptionError::new("connection_string", error.to_string()))?;
        return Ok((parsed.endpoint, parsed.entity_path, Credential::Shared(parsed.access)));
    }
    let identity = identity(options, auth)?;
    let namespace =
        options.need("fully_qualified_namespace", "the namespace's host, like 'ns.servicebus.windows.net'")?;
    if options.get("connection_string").is_some() {
        return Err(OptionError::new("connection_string", format!("is not used with 'auth'='{auth}': leave it out")));
    }
    let credential = identity.credential(ClientOptions::default())?;
    Ok((Endpoint::azure(namespace), None, Credential::Entra(credential)))
}

fn identity(options: Options<'_>, auth: &str) -> Result<Identity, OptionError> {
    let owned = |name: &str| options.get(name).map(str::to_owned);
    match auth {
        "managed_identity" => Ok(Identity::Managed { client_id: owned("client_id") }),
        "client_secret" => Ok(Identity::ClientSecret {
            tenant_id: options.need("tenant_id", "the directory's id")?.to_owned(),
            client_id: options.need("client_id", "the application's id")?.to_owned(),
            client_secret: options.need("client_secret", "the application's secret")?.to_owned().into(),
        }),
        "cli" => Ok(Identity::Cli { tenant_id: owned("tenant_id") }),
        _ => Err(OptionError::new("auth", "is one of sas, managed_identity, client_secret, cli")),
    }
}

fn group(value: Option<&str>) -> Result<String, OptionError> {
    match value {
        None => Ok("$Default".to_owned()),
        Some(group) if group.contains('/') => Err(OptionError::new("consumer_group", "is a name without '/'")),
        Some(group) => Ok(group.to_owned()),
    }
}

fn on_expired(value: Option<&str>) -> Result<OnExpired, OptionError> {
    match value {
        None | Some("fail") => Ok(OnExpired::Fail),
        Some("skip") => Ok(OnExpired::Skip),
        Some(_) => {
            Err(OptionError::new("on_expired", "is fail (stop with an error) or skip (record the gap and go on)"))
        }
    }
}

/// A number of bytes, with an optional unit: `8388608`, `8 MB`, `512k`.
fn prefetch_bytes(value: Option<&str>) -> Result<usize, OptionError> {
    let Some(value) = value else {
        return Ok(DEFAULT_PREFETCH);
    };
    let digits = value.trim_end_matches(|c: char| c.is_ascii_alphabetic() || c == ' ');
    let unit = value.get(digits.len()..).unwrap_or_default().trim().to_ascii_lowercase();
    let shift = match unit.as_str() {
        "" | "b" => 0,
        "k" | "kb" | "kib" => 10,
        "m" | "mb" | "mib" => 20,
        "g" | "gb" | "gib" => 30,
        _ => return Err(OptionError::new("prefetch_bytes", "is a number of bytes, like 8388608, '8 MB' or 512k")),
    };
    let bytes = digits.parse::<usize>().ok().and_then(|number| number.checked_mul(1 << shift));
    match bytes {
        Some(bytes) if (LEAST_PREFETCH..=MOST_PREFETCH).contains(&bytes) => Ok(bytes),
        _ => Err(OptionError::new("prefetch_bytes", "is from 64 KB to 1 GB a partition")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use expect_test::{Expect, expect};

    const DEV: &str =
        "Endpoint=sb://localhost;SharedAccessKeyName=n;SharedAccessKey=c2VjcmV0;UseDevelopmentEmulator=true";

    fn options(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
        pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    }

    fn check(pairs: &[(&str, &str)], expect: Expect) {
        let shown = match source_with(&options(pairs), &Surroundings::default()) {
            Ok(source) => format!("{source:?}"),
            Err(error) => error.to_string(),
        };
        assert!(!shown.contains("c2VjcmV0"), "a secret is shown: {shown}");
        expect.assert_eq(&shown);
    }

    #[test]
    fn what_is_missing_or_wrong_is_named() {
        check(
            &[],
            expect![
                "option 'connection_string': is missing: as the portal shows it, or 'auth'='managed_identity' with 'fully_qualified_namespace'"
            ],
        );
        check(
            &[("connection_string", DEV)],
            expect!["option 'event_hub': is missing, and the connection string has no EntityPath"],
        );
        check(
            &[("connection_string", "c2VjcmV0")],
            expect!["option 'connection_string': part 1 of the connection string is not of the form Name=Value"],
        );
        check(&[("auth", "password")], expect!["option 'auth': is one of sas, managed_identity, client_secret, cli"]);
        check(
            &[("auth", "client_secret"), ("tenant_id", "t")],
            expect!["option 'client_id': is missing: the application's id"],
        );
        check(
            &[("connection_string", DEV), ("event_hub", "h"), ("starting_position", "now")],
            expect![
                "option 'starting_position': 'now' is not a starting position: use earliest, latest, sequence:<number>, offset:<offset> or time:<RFC 3339, like 2026-11-24T22:00:00Z>"
            ],
        );
        check(
            &[("connection_string", DEV), ("event_hub", "h"), ("prefetch_bytes", "1 byte")],
            expect!["option 'prefetch_bytes': is a number of bytes, like 8388608, '8 MB' or 512k"],
        );
        check(
            &[("connection_string", &format!("{DEV};EntityPath=a")), ("event_hub", "b")],
            expect![
                "option 'event_hub': is 'b', but the connection string's EntityPath is 'a': give one, or the same twice"
            ],
        );
    }

    #[test]
    fn nothing_shows_a_secret() {
        let pairs = options(&[("connection_string", DEV), ("event_hub", "h"), ("prefetch_bytes", "1 MB")]);
        let source = format!("{:?}", source_with(&pairs, &Surroundings::default()).unwrap());
        assert!(source.contains("1048576") && !source.contains("c2VjcmV0"), "{source}");
        let sink = format!("{:?}", sink_with(&pairs, &Surroundings::default()).unwrap());
        assert!(!sink.contains("c2VjcmV0"), "{sink}");
        let entra = options(&[
            ("auth", "client_secret"),
            ("tenant_id", "t"),
            ("client_id", "c"),
            ("client_secret", "c2VjcmV0"),
            ("fully_qualified_namespace", "ns.servicebus.windows.net"),
            ("event_hub", "h"),
        ]);
        let source = format!("{:?}", source_with(&entra, &Surroundings::default()).unwrap());
        assert!(source.contains("ns.servicebus.windows.net") && !source.contains("c2VjcmV0"), "{source}");
    }
}
