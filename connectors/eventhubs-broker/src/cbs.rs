//! `$cbs`: claims-based security. A client puts a token for an audience; from then on its connection may use what the token covers.

use secrecy::{ExposeSecret, SecretString};
use serde_amqp::Value;

use crate::conditions;
use crate::request::{Reply, Request};
use crate::sas::{self, Grant, SharedAccessKey, TokenError};

/// What tokens are checked against.
#[derive(Debug, Clone)]
pub(crate) struct TokenRules {
    /// Keys that SAS tokens may be signed with.
    pub keys: Vec<SharedAccessKey>,
    /// Bearer tokens that are accepted as they are.
    pub bearer_tokens: Vec<SecretString>,
}

impl TokenRules {
    /// Checks a token of either kind that is put for `audience`.
    pub(crate) fn verify(&self, token: &str, audience: &str, now_ms: i64) -> Result<Grant, TokenError> {
        if self.bearer_tokens.iter().any(|known| known.expose_secret() == token) {
            return Ok(Grant { path: String::new(), expires_ms: i64::MAX });
        }
        sas::verify(token, audience, &self.keys, now_ms)
    }
}

/// Answers a request to `$cbs`, and says what it gave.
pub(crate) fn answer(request: &Request, rules: &TokenRules, now_ms: i64) -> (Reply, Option<Grant>) {
    let refused = |status, description: String| (Reply::refused(status, conditions::UNAUTHORIZED, description), None);
    if request.text("operation").as_deref() != Some("put-token") {
        return (Reply::refused(400, conditions::INVALID_FIELD, "only the operation put-token is known at $cbs"), None);
    }
    let Some(audience) = request.text("name") else {
        return (
            Reply::refused(
                400,
                conditions::INVALID_FIELD,
                "put-token needs the audience as application property 'name'",
            ),
            None,
        );
    };
    let Some(token) = request.body_text() else {
        return (Reply::refused(400, conditions::INVALID_FIELD, "put-token needs the token as its body"), None);
    };
    match rules.verify(&token, &audience, now_ms) {
        Ok(grant) => (Reply::done(202, Value::Null), Some(grant)),
        Err(error) if request.text("type").as_deref() == Some("jwt") => {
            tracing::debug!(%error, "a bearer token was refused");
            refused(401, "InvalidToken: this broker can't check Entra ID's tokens; it accepts only the bearer tokens it was started with".into())
        }
        Err(error) => refused(401, error.to_string()),
    }
}
