//! Shared access signatures: the tokens that the SDKs put to `$cbs`.
//!
//! ```text
//! SharedAccessSignature sr=<url-encoded uri>&sig=<url-encoded base64>&se=<expiry, seconds>&skn=<name of the key>
//! sig = HMAC-SHA256(key, "<sr as written>\n<se as written>")
//! ```
//!
//! A token gives access to its uri's path and everything below it. Hosts are not compared: a local broker has many names.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, Mac};
use percent_encoding::{AsciiSet, CONTROLS, percent_decode_str, utf8_percent_encode};
use secrecy::{ExposeSecret, SecretString};
use sha2::Sha256;

use crate::address::path_of;

/// Name of the development key, which is accepted on loopback only.
pub const DEVELOPMENT_KEY_NAME: &str = "RootManageSharedAccessKey";

/// The development key itself. It is in every emulator's documentation and protects nothing.
pub const DEVELOPMENT_KEY: &str = "SAS_KEY_VALUE";

/// A key that tokens may be signed with.
#[derive(Debug, Clone)]
pub struct SharedAccessKey {
    /// The name that tokens carry as `skn`.
    pub name: String,
    /// The key, as it stands in a connection string.
    pub key: SecretString,
}

/// What a token gives.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Grant {
    /// The path it is for, in lower case; empty for everything.
    pub path: String,
    /// When it ends, in milliseconds since 1970-01-01 UTC.
    pub expires_ms: i64,
}

impl Grant {
    /// Whether this grant covers the address or audience.
    pub fn covers(&self, address: &str) -> bool {
        let path = path_of(address).to_lowercase();
        self.path.is_empty()
            || path == self.path
            || (path.starts_with(&self.path) && path.as_bytes().get(self.path.len()) == Some(&b'/'))
    }
}

/// Why a token was refused. The messages tell a user what to mend and never hold the key or the signature.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TokenError {
    /// It doesn't have the form of a token.
    #[error("MalformedToken: the token is not of the form SharedAccessSignature sr=…&sig=…&se=…&skn=…")]
    Malformed,
    /// Its key is not known.
    #[error(
        "InvalidSignature: no key named '{0}' is configured here (the development key is accepted on loopback only)"
    )]
    UnknownKey(String),
    /// Its signature is wrong.
    #[error(
        "InvalidSignature: The token has an invalid signature. Check the SharedAccessKey of the connection string."
    )]
    WrongSignature,
    /// It has ended.
    #[error("ExpiredToken: The token is expired. Check this machine's clock, or renew the token.")]
    Expired,
    /// It is for something else.
    #[error("InvalidAudience: the token is for '{0}', which does not cover the audience it was put for")]
    Audience(String),
}

/// Checks a token that is put for `audience`.
pub fn verify(token: &str, audience: &str, keys: &[SharedAccessKey], now_ms: i64) -> Result<Grant, TokenError> {
    let fields = token.trim().strip_prefix("SharedAccessSignature ").ok_or(TokenError::Malformed)?;
    let field = |name: &str| {
        fields
            .split('&')
            .find_map(|field| field.split_once('=').filter(|(key, _)| *key == name).map(|(_, value)| value))
    };
    let (Some(uri), Some(signature), Some(expiry), Some(name)) = (field("sr"), field("sig"), field("se"), field("skn"))
    else {
        return Err(TokenError::Malformed);
    };
    let decoded = |text: &str| {
        percent_decode_str(text).decode_utf8().map(|text| text.into_owned()).map_err(|_| TokenError::Malformed)
    };
    let signature = STANDARD.decode(decoded(signature)?).map_err(|_| TokenError::Malformed)?;
    let seconds: f64 = decoded(expiry)?.parse().map_err(|_| TokenError::Malformed)?;
    let name = decoded(name)?;
    let mut named = keys.iter().filter(|key| key.name == name).peekable();
    if named.peek().is_none() {
        return Err(TokenError::UnknownKey(name));
    }
    // `verify_slice` compares in constant time.
    if !named.any(|key| keyed(key, uri, expiry).is_some_and(|mac| mac.verify_slice(&signature).is_ok())) {
        return Err(TokenError::WrongSignature);
    }
    let expires_ms = (seconds * 1000.0) as i64;
    if expires_ms <= now_ms {
        return Err(TokenError::Expired);
    }
    let uri = decoded(uri)?;
    let grant = Grant { path: path_of(&uri).to_lowercase(), expires_ms };
    match grant.covers(audience) {
        true => Ok(grant),
        false => Err(TokenError::Audience(uri)),
    }
}

fn keyed(key: &SharedAccessKey, uri: &str, expiry: &str) -> Option<Hmac<Sha256>> {
    let mut mac = Hmac::<Sha256>::new_from_slice(key.key.expose_secret().as_bytes()).ok()?;
    mac.update(uri.as_bytes());
    mac.update(b"\n");
    mac.update(expiry.as_bytes());
    Some(mac)
}

/// Makes a token for `uri`, as a client would. `None` only where the key can't be used with HMAC.
pub fn sign(key: &SharedAccessKey, uri: &str, expires_seconds: i64) -> Option<String> {
    const RESERVED: &AsciiSet =
        &CONTROLS.add(b' ').add(b'/').add(b':').add(b'+').add(b'=').add(b'&').add(b'%').add(b'$').add(b'?').add(b'#');
    let uri = utf8_percent_encode(uri, RESERVED).to_string();
    let expiry = expires_seconds.to_string();
    let signature = STANDARD.encode(keyed(key, &uri, &expiry)?.finalize().into_bytes());
    let signature = utf8_percent_encode(&signature, RESERVED);
    Some(format!("SharedAccessSignature sr={uri}&sig={signature}&se={expiry}&skn={}", key.name))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keys() -> Vec<SharedAccessKey> {
        vec![
            SharedAccessKey { name: "one".into(), key: "c2VjcmV0".into() },
            SharedAccessKey { name: DEVELOPMENT_KEY_NAME.into(), key: DEVELOPMENT_KEY.into() },
        ]
    }

    #[test]
    fn a_token_of_the_python_sdk_is_accepted() {
        // Made once by azure-eventhub 5.15.1: generate_sas_token("sb://localhost/logs", "RootManageSharedAccessKey", "SAS_KEY_VALUE", expiry 2000000000).
        let token = "SharedAccessSignature sr=sb%3A%2F%2Flocalhost%2Flogs&sig=%2BI%2BnDuT0XXvH7eTRmeeILyMMVaOOcVKDk2Qh3fktQ2Y%3D&se=2000000000&skn=RootManageSharedAccessKey";
        let grant = verify(token, "sb://localhost/logs", &keys(), 0).unwrap();
        assert_eq!(grant, Grant { path: "logs".into(), expires_ms: 2_000_000_000_000 });
    }

    #[test]
    fn what_was_signed_is_verified_and_nothing_else() {
        let keys = keys();
        let token = sign(&keys[0], "amqp://127.0.0.1:5672/Logs", 100).unwrap();
        let grant = verify(&token, "amqp://127.0.0.1:5672/logs/Partitions/1", &keys, 99_999).unwrap();
        assert!(grant.covers("logs") && grant.covers("sb://elsewhere/LOGS/ConsumerGroups/g/Partitions/0"));
        assert!(!grant.covers("logs2") && !grant.covers("other"));
        assert_eq!(verify(&token, "logs", &keys, 100_000), Err(TokenError::Expired));
        assert_eq!(verify(&token, "other", &keys, 0), Err(TokenError::Audience("amqp://127.0.0.1:5672/Logs".into())));
        assert_eq!(
            verify(&token.replace("skn=one", "skn=two"), "logs", &keys, 0),
            Err(TokenError::UnknownKey("two".into()))
        );
        assert_eq!(verify(&token.replace("se=100", "se=101"), "logs", &keys, 0), Err(TokenError::WrongSignature));
        assert_eq!(verify("Bearer x", "logs", &keys, 0), Err(TokenError::Malformed));
        assert_eq!(verify("SharedAccessSignature sr=x&sig=y", "logs", &keys, 0), Err(TokenError::Malformed));
    }

    #[test]
    fn a_key_may_be_configured_twice_while_it_is_rotated() {
        let old = SharedAccessKey { name: "one".into(), key: "old".into() };
        let mut both = keys();
        both.push(old.clone());
        let token = sign(&old, "sb://h/logs", 100).unwrap();
        assert!(verify(&token, "sb://h/logs", &both, 0).is_ok());
    }

    #[test]
    fn errors_hold_no_secret() {
        let keys = keys();
        let token = sign(&keys[0], "sb://h/logs", 1).unwrap();
        for error in [
            verify(&token, "logs", &keys, 5_000).unwrap_err(),
            verify(&token.replace("sr=", "sr=a"), "logs", &keys, 0).unwrap_err(),
        ] {
            assert!(!error.to_string().contains("c2VjcmV0"));
        }
        assert!(!format!("{keys:?}").contains("c2VjcmV0"));
    }
}
