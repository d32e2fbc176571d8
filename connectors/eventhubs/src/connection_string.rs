//! Connection strings, as Azure's portal shows them and its SDKs read them.
//!
//! `Endpoint=sb://ns.servicebus.windows.net/;SharedAccessKeyName=reader;SharedAccessKey=…;EntityPath=logs`
//!
//! Names are compared without regard to case; values may contain `=`. `UseDevelopmentEmulator=true` means no TLS and
//! port 5672 unless the endpoint names one. Keys and signatures go straight into [`SecretString`]s; no error and no
//! `Debug` output shows them or the string itself.

use secrecy::SecretString;
use std::fmt;
use thiserror::Error;
use url::Url;

const TLS_PORT: u16 = 5671;
const PLAIN_PORT: u16 = 5672;

/// A connection string that can't be used. Says which part, never its value.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum ConnectionStringError {
    /// A part without `=`.
    #[error("part {0} of the connection string is not of the form Name=Value")]
    Part(usize),
    /// A part that nobody knows.
    #[error(
        "the connection string has an unknown part '{0}': known are Endpoint, SharedAccessKeyName, SharedAccessKey, \
         SharedAccessSignature, EntityPath and UseDevelopmentEmulator"
    )]
    Unknown(String),
    /// A part that must be there.
    #[error("the connection string has no {0}")]
    Missing(&'static str),
    /// An endpoint that is not a URL with a host.
    #[error("the connection string's Endpoint is not of the form sb://host[:port]/")]
    Endpoint,
    /// Neither a key nor a signature, or both.
    #[error("the connection string needs either SharedAccessKeyName and SharedAccessKey, or SharedAccessSignature")]
    Credentials,
}

/// What lets a client in.
#[derive(Clone)]
pub enum SharedAccess {
    /// A named key, from which tokens are made.
    Key {
        /// The policy's name.
        name: String,
        /// The key.
        key: SecretString,
    },
    /// A ready-made token, which can't be renewed.
    Signature(SecretString),
}

impl fmt::Debug for SharedAccess {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Key { name, .. } => f.debug_struct("Key").field("name", name).finish_non_exhaustive(),
            Self::Signature(_) => f.write_str("Signature(..)"),
        }
    }
}

/// A namespace's address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Endpoint {
    /// Host name or IP address.
    pub host: String,
    /// Port.
    pub port: u16,
    /// Whether TLS is spoken.
    pub tls: bool,
}

impl Endpoint {
    /// A namespace on Azure: TLS, port 5671.
    pub fn azure(host: &str) -> Self {
        Self { host: host.to_owned(), port: TLS_PORT, tls: true }
    }
}

/// A connection string, read.
#[derive(Debug, Clone)]
pub struct ConnectionString {
    /// Where.
    pub endpoint: Endpoint,
    /// What lets us in.
    pub access: SharedAccess,
    /// The hub, if the string names one.
    pub entity_path: Option<String>,
}

#[derive(Default)]
struct Parts {
    endpoint: Option<String>,
    key_name: Option<String>,
    key: Option<SecretString>,
    signature: Option<SecretString>,
    entity_path: Option<String>,
    emulator: bool,
}

impl ConnectionString {
    /// Reads a connection string.
    ///
    /// # Errors
    /// When a part is missing, unknown or wrong.
    pub fn parse(text: &str) -> Result<Self, ConnectionStringError> {
        let parts = Parts::read(text)?;
        let endpoint = parts.endpoint.ok_or(ConnectionStringError::Missing("Endpoint"))?;
        let access = match (parts.key_name, parts.key, parts.signature) {
            (Some(name), Some(key), None) => SharedAccess::Key { name, key },
            (None, None, Some(signature)) => SharedAccess::Signature(signature),
            _ => return Err(ConnectionStringError::Credentials),
        };
        Ok(Self { endpoint: read_endpoint(&endpoint, parts.emulator)?, access, entity_path: parts.entity_path })
    }
}

impl Parts {
    fn read(text: &str) -> Result<Self, ConnectionStringError> {
        let mut parts = Self::default();
        let pieces = text.split(';').map(str::trim).enumerate().filter(|(_, piece)| !piece.is_empty());
        for (number, piece) in pieces {
            let Some((name, value)) = piece.split_once('=') else {
                return Err(ConnectionStringError::Part(number + 1));
            };
            let value = value.trim().to_owned();
            match name.trim().to_ascii_lowercase().as_str() {
                "endpoint" => parts.endpoint = Some(value),
                "sharedaccesskeyname" => parts.key_name = Some(value),
                "sharedaccesskey" => parts.key = Some(value.into()),
                "sharedaccesssignature" => parts.signature = Some(value.into()),
                "entitypath" => parts.entity_path = Some(value).filter(|path| !path.is_empty()),
                "usedevelopmentemulator" => parts.emulator = value.eq_ignore_ascii_case("true"),
                // Only a plausible name is shown: a key that was pasted without its name is not.
                other if other.len() <= 30 && other.chars().all(|c| c.is_ascii_alphabetic()) => {
                    return Err(ConnectionStringError::Unknown(other.to_owned()));
                }
                _ => return Err(ConnectionStringError::Part(number + 1)),
            }
        }
        Ok(parts)
    }
}

fn read_endpoint(text: &str, emulator: bool) -> Result<Endpoint, ConnectionStringError> {
    let url = match text.contains("://") {
        true => Url::parse(text),
        false => Url::parse(&format!("sb://{text}")),
    };
    let url = url.map_err(|_| ConnectionStringError::Endpoint)?;
    let host = url.host_str().filter(|host| !host.is_empty()).ok_or(ConnectionStringError::Endpoint)?;
    let tls = match url.scheme() {
        "sb" | "amqps" => !emulator,
        "amqp" => false,
        _ => return Err(ConnectionStringError::Endpoint),
    };
    Ok(Endpoint {
        host: host.trim_matches(['[', ']']).to_owned(),
        port: url.port().unwrap_or(if tls { TLS_PORT } else { PLAIN_PORT }),
        tls,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use expect_test::{Expect, expect};
    use secrecy::ExposeSecret;

    fn check(text: &str, expect: Expect) {
        let shown = match ConnectionString::parse(text) {
            Ok(parsed) => format!("{parsed:?}"),
            Err(error) => error.to_string(),
        };
        assert!(!shown.contains("c2VjcmV0"), "a secret is shown: {shown}");
        expect.assert_eq(&shown);
    }

    #[test]
    fn azure_and_local() {
        check(
            "Endpoint=sb://ns.servicebus.windows.net/;SharedAccessKeyName=reader;SharedAccessKey=c2VjcmV0;EntityPath=logs",
            expect![[
                r#"ConnectionString { endpoint: Endpoint { host: "ns.servicebus.windows.net", port: 5671, tls: true }, access: Key { name: "reader", .. }, entity_path: Some("logs") }"#
            ]],
        );
        check(
            "endpoint=sb://localhost; SharedAccessKeyName=dev;SharedAccessKey=c2VjcmV0;UseDevelopmentEmulator=true;",
            expect![[
                r#"ConnectionString { endpoint: Endpoint { host: "localhost", port: 5672, tls: false }, access: Key { name: "dev", .. }, entity_path: None }"#
            ]],
        );
        check(
            "Endpoint=sb://127.0.0.1:12345;SharedAccessKeyName=dev;SharedAccessKey=c2VjcmV0;UseDevelopmentEmulator=true",
            expect![[
                r#"ConnectionString { endpoint: Endpoint { host: "127.0.0.1", port: 12345, tls: false }, access: Key { name: "dev", .. }, entity_path: None }"#
            ]],
        );
        check(
            "Endpoint=sb://ns/;SharedAccessSignature=SharedAccessSignature sr=c2VjcmV0&sig=x",
            expect![[
                r#"ConnectionString { endpoint: Endpoint { host: "ns", port: 5671, tls: true }, access: Signature(..), entity_path: None }"#
            ]],
        );
    }

    #[test]
    fn what_is_wrong_is_said_without_showing_it() {
        check(
            "Endpoint=sb://ns/",
            expect![
                "the connection string needs either SharedAccessKeyName and SharedAccessKey, or SharedAccessSignature"
            ],
        );
        check("SharedAccessKeyName=a;SharedAccessKey=c2VjcmV0", expect!["the connection string has no Endpoint"]);
        check("Endpoint=sb://ns/;c2VjcmV0", expect!["part 2 of the connection string is not of the form Name=Value"]);
        check(
            "Endpoint=sb://ns/;c2VjcmV0abc+/=",
            expect!["part 2 of the connection string is not of the form Name=Value"],
        );
        check(
            "Endpoint=http://ns/;SharedAccessKeyName=a;SharedAccessKey=c2VjcmV0",
            expect!["the connection string's Endpoint is not of the form sb://host[:port]/"],
        );
        check(
            "Endpoint=sb://ns/;TransportType=x",
            expect![
                "the connection string has an unknown part 'transporttype': known are Endpoint, SharedAccessKeyName, SharedAccessKey, SharedAccessSignature, EntityPath and UseDevelopmentEmulator"
            ],
        );
    }

    #[test]
    fn a_key_may_hold_equals_signs() {
        let parsed = ConnectionString::parse("Endpoint=sb://ns/;SharedAccessKeyName=a;SharedAccessKey=ab=c==").unwrap();
        let SharedAccess::Key { key, .. } = parsed.access else { panic!("a key was given") };
        assert_eq!(key.expose_secret(), "ab=c==");
    }
}
