//! Tokens: what a client shows at `$cbs` to be let in.
//!
//! Two kinds: *shared access signatures*, made here from a named key (or given ready-made), and *Entra ID* tokens, which
//! an [`azure_core::credentials::TokenCredential`] fetches (see `entra`). Both expire; the hub's connection renews them
//! at three quarters of their time.

use crate::connection_string::SharedAccess;
use azure_core::credentials::TokenCredential;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, Mac};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use salamander_types::Clock;
use secrecy::{ExposeSecret, SecretString};
use sha2::Sha256;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;
use thiserror::Error;

/// The scope of Entra ID tokens for Event Hubs.
const SCOPE: &str = "https://eventhubs.azure.net/.default";
/// What URL encoding leaves as it is.
const UNRESERVED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// No token could be had. Never shows a secret.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub(crate) enum TokenError {
    /// The signature that was given has passed its time.
    #[error("the SharedAccessSignature expired at {0} (seconds since 1970): make a new one, or give a key")]
    Expired(i64),
    /// Entra ID did not give one.
    #[error("no token from Entra ID: {0}")]
    Entra(String),
    /// The key can't be used.
    #[error("the shared access key can't be used for HMAC-SHA256")]
    Key,
}

/// A token to put at `$cbs`.
#[derive(Debug, Clone)]
pub(crate) struct Token {
    /// The token.
    pub(crate) text: SecretString,
    /// `servicebus.windows.net:sastoken` or `jwt`.
    pub(crate) kind: &'static str,
    /// Seconds since 1970 from which on it is worth nothing.
    pub(crate) expires: i64,
}

/// What makes or fetches tokens.
#[derive(Clone)]
pub(crate) enum Credential {
    /// A named key or a ready-made signature.
    Shared(SharedAccess),
    /// Entra ID.
    Entra(Arc<dyn TokenCredential>),
}

impl fmt::Debug for Credential {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Shared(access) => access.fmt(f),
            Self::Entra(_) => f.write_str("Entra(..)"),
        }
    }
}

impl Credential {
    /// A token for an audience. One made here lasts for `lifetime`.
    ///
    /// # Errors
    /// When Entra ID gives none, or a given signature has expired.
    pub(crate) async fn token(
        &self,
        audience: &str,
        clock: &dyn Clock,
        lifetime: Duration,
    ) -> Result<Token, TokenError> {
        let now = clock.now_micros() / 1_000_000;
        match self {
            Self::Shared(SharedAccess::Key { name, key }) => {
                let lifetime = i64::try_from(lifetime.as_secs()).unwrap_or(i64::MAX).max(1);
                let expires = now.saturating_add(lifetime);
                Ok(Token {
                    text: sign(audience, name, key, expires)?,
                    kind: "servicebus.windows.net:sastoken",
                    expires,
                })
            }
            Self::Shared(SharedAccess::Signature(signature)) => {
                let expires = expiry_of(signature.expose_secret()).unwrap_or(i64::MAX);
                if expires <= now {
                    return Err(TokenError::Expired(expires));
                }
                Ok(Token { text: signature.clone(), kind: "servicebus.windows.net:sastoken", expires })
            }
            Self::Entra(credential) => {
                let token = credential.get_token(&[SCOPE], None).await;
                let token = token.map_err(|error| TokenError::Entra(error.to_string()))?;
                Ok(Token {
                    text: token.token.secret().to_owned().into(),
                    kind: "jwt",
                    expires: token.expires_on.unix_timestamp(),
                })
            }
        }
    }
}

/// Makes a shared access signature: HMAC-SHA256 over the URL-encoded audience, a line feed and the expiry.
fn sign(audience: &str, name: &str, key: &SecretString, expires: i64) -> Result<SecretString, TokenError> {
    let resource = utf8_percent_encode(audience, UNRESERVED).to_string();
    let mut mac = Hmac::<Sha256>::new_from_slice(key.expose_secret().as_bytes()).map_err(|_| TokenError::Key)?;
    mac.update(format!("{resource}\n{expires}").as_bytes());
    let signature = STANDARD.encode(mac.finalize().into_bytes());
    let signature = utf8_percent_encode(&signature, UNRESERVED);
    let name = utf8_percent_encode(name, UNRESERVED);
    Ok(format!("SharedAccessSignature sr={resource}&sig={signature}&se={expires}&skn={name}").into())
}

/// The `se` field of a signature.
fn expiry_of(signature: &str) -> Option<i64> {
    let fields = signature.trim().strip_prefix("SharedAccessSignature").unwrap_or(signature);
    fields.trim().split('&').find_map(|field| field.strip_prefix("se="))?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use salamander_types::SystemClock;

    /// The expected text was computed with Python's hmac, hashlib and urllib.
    #[test]
    fn a_signature_is_as_other_clients_make_it() {
        let token =
            sign("sb://localhost/logs", "RootManageSharedAccessKey", &"SAS_KEY_VALUE".to_owned().into(), 1_800_000_000)
                .unwrap();
        assert_eq!(token.expose_secret(), include_str!("../tests/data/signature.txt").trim(),);
    }

    #[tokio::test]
    async fn an_expired_signature_says_so() {
        let access = SharedAccess::Signature("SharedAccessSignature sr=x&sig=y&se=1000&skn=z".to_owned().into());
        let error = Credential::Shared(access)
            .token("sb://h/x", &SystemClock::default(), Duration::from_secs(1))
            .await
            .unwrap_err();
        assert_eq!(error, TokenError::Expired(1000));
    }
}
