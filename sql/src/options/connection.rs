//! Event Hubs connection strings: `Endpoint=sb://host[:port]/;SharedAccessKeyName=…;SharedAccessKey=…[;EntityPath=hub][;UseDevelopmentEmulator=true]`.

use secrecy::{ExposeSecret, SecretString};

use super::reference::is_reference;
use crate::redact::DEVELOPMENT_KEY;

/// A connection string taken apart. Its key or signature is held as a secret.
#[derive(Debug, Clone)]
pub struct ConnectionString {
    /// The namespace's host.
    pub host: String,
    /// The port, if one is given.
    pub port: Option<u16>,
    /// The key's name.
    pub key_name: Option<String>,
    /// The key.
    pub key: Option<SecretString>,
    /// A ready signature instead of a key.
    pub signature: Option<SecretString>,
    /// The hub, if one is given.
    pub entity_path: Option<String>,
    /// Whether it is for a local broker: no TLS.
    pub development: bool,
}

impl ConnectionString {
    /// Takes a connection string apart. Errors never hold any part of it but names.
    ///
    /// # Errors
    /// What is wrong, in words.
    pub fn parse(text: &str) -> Result<Self, String> {
        let pairs = pairs(text)?;
        let find = |name: &str| pairs.iter().find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| *value);
        let endpoint = find("Endpoint").ok_or("the connection string has no Endpoint=sb://…")?;
        let (host, port) = endpoint_host(endpoint)?;
        let development = find("UseDevelopmentEmulator").is_some_and(|v| v.eq_ignore_ascii_case("true"));
        let owned = |name: &str| find(name).filter(|v| !v.is_empty()).map(str::to_owned);
        let parsed = Self {
            host,
            port,
            key_name: owned("SharedAccessKeyName"),
            key: owned("SharedAccessKey").map(SecretString::from),
            signature: owned("SharedAccessSignature").map(SecretString::from),
            entity_path: owned("EntityPath"),
            development,
        };
        if parsed.signature.is_none() && (parsed.key.is_none() || parsed.key_name.is_none()) {
            return Err(
                "the connection string needs SharedAccessKeyName and SharedAccessKey, or SharedAccessSignature".into(),
            );
        }
        Ok(parsed)
    }

    /// Whether it holds the development key, which is public and accepted on loopback only.
    pub fn is_development_key(&self) -> bool {
        self.development && self.key.as_ref().is_some_and(|key| key.expose_secret() == DEVELOPMENT_KEY)
    }
}

/// The parts between semicolons, each a name and a value. A value may hold `=`, as Base64 does.
fn pairs(text: &str) -> Result<Vec<(&str, &str)>, String> {
    text.split(';')
        .map(str::trim)
        .filter(|part| !part.is_empty())
        .map(|part| part.split_once('=').map(|(k, v)| (k.trim(), v.trim())))
        .collect::<Option<Vec<_>>>()
        .ok_or_else(|| "the connection string has a part without '='".to_owned())
}

fn endpoint_host(endpoint: &str) -> Result<(String, Option<u16>), String> {
    let rest = endpoint.split_once("://").map_or(endpoint, |(_, rest)| rest);
    let rest = rest.split('/').next().unwrap_or_default();
    let (host, port) = match rest.rsplit_once(':') {
        Some((host, port)) => (
            host,
            Some(port.parse().map_err(|_| "the connection string's Endpoint has a port that is no number".to_owned())?),
        ),
        None => (rest, None),
    };
    if host.is_empty() {
        return Err("the connection string's Endpoint has no host".into());
    }
    Ok((host.to_owned(), port))
}

/// Whether a value may stand in a statement as written: its key and signature are references, or it holds the
/// development key and says that it is for a local broker. A text that is no connection string may not.
pub(crate) fn may_stand_inline(value: &str) -> bool {
    if is_reference(value) {
        return true;
    }
    let Ok(pairs) = pairs(value) else { return false };
    let all = |name: &str| {
        pairs.iter().filter(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, v)| *v).collect::<Vec<_>>()
    };
    let known = [
        "Endpoint",
        "SharedAccessKeyName",
        "SharedAccessKey",
        "SharedAccessSignature",
        "EntityPath",
        "UseDevelopmentEmulator",
    ];
    let emulator = all("UseDevelopmentEmulator").iter().any(|v| v.eq_ignore_ascii_case("true"));
    pairs.iter().all(|(key, _)| known.iter().any(|k| k.eq_ignore_ascii_case(key)))
        && all("SharedAccessSignature").iter().all(|v| is_reference(v))
        && all("SharedAccessKey").iter().all(|v| is_reference(v) || (*v == DEVELOPMENT_KEY && emulator))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_development_string() {
        let parsed = ConnectionString::parse(
            "Endpoint=sb://localhost:5672;SharedAccessKeyName=RootManageSharedAccessKey;SharedAccessKey=SAS_KEY_VALUE;UseDevelopmentEmulator=true;EntityPath=logs",
        )
        .unwrap();
        assert_eq!((parsed.host.as_str(), parsed.port, parsed.development), ("localhost", Some(5672), true));
        assert_eq!(parsed.entity_path.as_deref(), Some("logs"));
        assert!(parsed.is_development_key());
        assert!(!format!("{parsed:?}").contains(DEVELOPMENT_KEY));
    }

    #[test]
    fn errors_hold_no_part_of_the_text() {
        for text in [
            "s3cret",
            "SharedAccessKey=s3cret",
            "Endpoint=sb://h;SharedAccessKey=s3cret",
            "Endpoint=sb://h:s3cret;SharedAccessKey=s3cret",
        ] {
            assert!(!ConnectionString::parse(text).unwrap_err().contains("s3cret"), "{text}");
        }
    }

    #[test]
    fn what_may_stand_inline() {
        for (value, expected) in [
            ("${CS}", true),
            ("${file:/run/secrets/cs}", true),
            ("Endpoint=sb://h/;SharedAccessKeyName=n;SharedAccessKey=${KEY}", true),
            (
                "Endpoint=sb://localhost;SharedAccessKeyName=n;SharedAccessKey=SAS_KEY_VALUE;UseDevelopmentEmulator=true",
                true,
            ),
            ("Endpoint=sb://h/;SharedAccessKeyName=n;SharedAccessKey=SAS_KEY_VALUE", false),
            ("Endpoint=sb://h/;SharedAccessKeyName=n;SharedAccessKey=abc=;UseDevelopmentEmulator=true", false),
            ("Endpoint=sb://h/;SharedAccessSignature=SharedAccessSignature sr=a", false),
            ("Endpoint=sb://h/;SharedAccessKeyName=n;SharedAccessKey=a${KEY}", false),
            ("abc", false),
        ] {
            assert_eq!(may_stand_inline(value), expected, "{value}");
        }
    }
}
