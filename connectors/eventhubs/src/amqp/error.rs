//! What can go wrong between two AMQP peers.

use definitions::ErrorCondition;
use fe2o3_amqp_types::definitions;
use serde_amqp::primitives::Symbol;
use std::time::Duration;
use thiserror::Error;

/// A failed connection, link or delivery.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub(crate) enum AmqpError {
    /// The socket, TLS or name resolution.
    #[error("{0}")]
    Io(String),
    /// The peer did not answer in time.
    #[error("no answer within {limit:?} to {what}")]
    Timeout {
        /// What was asked.
        what: &'static str,
        /// How long it was waited for.
        limit: Duration,
    },
    /// The peer said no.
    #[error("{condition}: {description}")]
    Remote {
        /// AMQP's error condition: `amqp:not-found`.
        condition: String,
        /// The peer's own words.
        description: String,
    },
    /// The peer broke the protocol.
    #[error("protocol error: {0}")]
    Protocol(String),
    /// The connection has ended.
    #[error("the connection is closed")]
    Closed,
}

/// What an error means for whoever was using the link.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Meaning {
    /// Trying again may help.
    Transient,
    /// The service asks for a pause.
    Busy,
    /// The hub, group or partition is not there.
    NotFound,
    /// The key or token does not open this.
    Unauthorized,
    /// Another reader with a higher (or any) owner level has the partition.
    Stolen,
    /// The request itself is wrong: a position behind the end, a message that is too large.
    Invalid,
    /// Too many readers of the consumer group.
    Quota,
}

impl AmqpError {
    /// What it means, from the condition.
    pub(crate) fn meaning(&self) -> Meaning {
        let AmqpError::Remote { condition, .. } = self else {
            return Meaning::Transient;
        };
        match condition.as_str() {
            "amqp:not-found" | "com.microsoft:entity-disabled" => Meaning::NotFound,
            "amqp:unauthorized-access" | "com.microsoft:auth-failed" => Meaning::Unauthorized,
            "amqp:link:stolen" => Meaning::Stolen,
            "com.microsoft:server-busy" => Meaning::Busy,
            "amqp:resource-limit-exceeded" => Meaning::Quota,
            "com.microsoft:argument-error"
            | "com.microsoft:argument-out-of-range"
            | "amqp:not-allowed"
            | "amqp:invalid-field"
            | "amqp:not-implemented"
            | "amqp:link:message-size-exceeded" => Meaning::Invalid,
            _ => Meaning::Transient,
        }
    }
}

impl From<definitions::Error> for AmqpError {
    fn from(error: definitions::Error) -> Self {
        let condition = match &error.condition {
            ErrorCondition::AmqpError(condition) => Symbol::from(condition),
            ErrorCondition::ConnectionError(condition) => Symbol::from(condition),
            ErrorCondition::SessionError(condition) => Symbol::from(condition),
            ErrorCondition::LinkError(condition) => Symbol::from(condition),
            ErrorCondition::Custom(condition) => condition.clone(),
        };
        Self::Remote { condition: condition.into_inner(), description: error.description.unwrap_or_default() }
    }
}

impl From<super::wire::Malformed> for AmqpError {
    fn from(malformed: super::wire::Malformed) -> Self {
        Self::Protocol(malformed.to_string())
    }
}

impl From<std::io::Error> for AmqpError {
    fn from(error: std::io::Error) -> Self {
        Self::Io(error.to_string())
    }
}

impl From<serde_amqp::Error> for AmqpError {
    fn from(error: serde_amqp::Error) -> Self {
        Self::Protocol(error.to_string())
    }
}

/// Puts a time limit on a call to the peer.
///
/// # Errors
/// When the limit passes, or with the call's own error.
pub(crate) async fn within<T, E: Into<AmqpError>>(
    limit: Duration,
    what: &'static str,
    call: impl Future<Output = Result<T, E>>,
) -> Result<T, AmqpError> {
    match tokio::time::timeout(limit, call).await {
        Ok(result) => result.map_err(Into::into),
        Err(_) => Err(AmqpError::Timeout { what, limit }),
    }
}
