//! The errors that the SDKs know, as they are sent: a condition, a description, and an empty map (pyamqp expects all three).

use fe2o3_amqp_types::definitions::{Error, ErrorCondition, Fields};
use serde_amqp::primitives::Symbol;

use crate::log::LogError;

/// The hub, partition or node is not there.
pub(crate) const NOT_FOUND: &str = "amqp:not-found";
/// No valid token covers what was asked for.
pub(crate) const UNAUTHORIZED: &str = "amqp:unauthorized-access";
/// Something in a request has no meaning here.
pub(crate) const INVALID_FIELD: &str = "amqp:invalid-field";
/// A message can't be decoded.
pub(crate) const DECODE_ERROR: &str = "amqp:decode-error";
/// The broker failed.
pub(crate) const INTERNAL_ERROR: &str = "amqp:internal-error";
/// There are as many readers as may be.
pub(crate) const RESOURCE_LIMIT: &str = "amqp:resource-limit-exceeded";
/// Something was done that the specification forbids.
pub(crate) const NOT_ALLOWED: &str = "amqp:not-allowed";
/// Another reader has the partition.
pub(crate) const STOLEN: &str = "amqp:link:stolen";
/// A message is larger than the link takes.
pub(crate) const MESSAGE_SIZE_EXCEEDED: &str = "amqp:link:message-size-exceeded";
/// The broker ends the connection.
pub(crate) const CONNECTION_FORCED: &str = "amqp:connection:forced";
/// The peer's frames are wrong.
pub(crate) const FRAMING_ERROR: &str = "amqp:connection:framing-error";
/// A handle was attached twice.
pub(crate) const HANDLE_IN_USE: &str = "amqp:session:handle-in-use";
/// The broker has too much to do: try again later.
pub(crate) const SERVER_BUSY: &str = "com.microsoft:server-busy";
/// An argument has no meaning.
pub(crate) const ARGUMENT_ERROR: &str = "com.microsoft:argument-error";
/// An argument is out of range.
pub(crate) const OUT_OF_RANGE: &str = "com.microsoft:argument-out-of-range";

/// An error as it is sent.
pub(crate) fn error(condition: impl Into<Symbol>, description: impl Into<String>) -> Error {
    Error::new(ErrorCondition::Custom(condition.into()), description.into(), Fields::new())
}

impl From<LogError> for Error {
    fn from(log_error: LogError) -> Self {
        let condition = match &log_error {
            LogError::Io { .. } | LogError::Broken { .. } => INTERNAL_ERROR,
            LogError::Overloaded { .. } => SERVER_BUSY,
            LogError::BeyondEnd { .. } => ARGUMENT_ERROR,
        };
        error(condition, log_error.to_string())
    }
}
