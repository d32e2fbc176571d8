//! Errors as gRPC statuses: the code says what a program can do, the message goes to the person whole.

use crate::service::StatementError;
use arrow_flight::error::FlightError;
use datafusion::error::DataFusionError;
use salamander_types::ErrorKind;
use tonic::{Code, Status};

/// A status travels as an HTTP/2 header, percent-encoded; common clients refuse headers above 8 KiB.
const MAX_ENCODED_MESSAGE_BYTES: usize = 6 * 1024;

/// The status of a failed statement.
pub(crate) fn from_statement(error: &StatementError) -> Status {
    Status::new(code(error.kind), clip(&error.message))
}

/// The status of a failure within a result's stream.
pub(crate) fn from_flight(error: FlightError) -> Status {
    match error {
        FlightError::Tonic(status) => *status,
        FlightError::ExternalError(error) => match error.downcast::<DataFusionError>() {
            Ok(error) => from_datafusion(&error),
            Err(error) => Status::internal(clip(&error.to_string())),
        },
        FlightError::Arrow(error) => Status::invalid_argument(clip(&error.to_string())),
        other => Status::internal(clip(&other.to_string())),
    }
}

/// The status of a DataFusion error; a [`StatementError`] inside it keeps its kind and message.
pub(crate) fn from_datafusion(error: &DataFusionError) -> Status {
    if let Some(inner) = statement_error_in(error) {
        return from_statement(inner);
    }
    let code = match error.find_root() {
        DataFusionError::SQL(..)
        | DataFusionError::Plan(_)
        | DataFusionError::SchemaError(..)
        | DataFusionError::Execution(_)
        | DataFusionError::ArrowError(..) => Code::InvalidArgument,
        DataFusionError::NotImplemented(_) => Code::Unimplemented,
        DataFusionError::ResourcesExhausted(_) => Code::ResourceExhausted,
        DataFusionError::IoError(_) => Code::Unavailable,
        _ => Code::Internal,
    };
    Status::new(code, clip(&error.to_string()))
}

/// Follows the chain of sources to a statement's own error.
fn statement_error_in(error: &DataFusionError) -> Option<&StatementError> {
    let mut next: Option<&(dyn std::error::Error + 'static)> = Some(error);
    while let Some(error) = next {
        if let Some(found) = error.downcast_ref::<StatementError>() {
            return Some(found);
        }
        // A boxed error inside `External` is not its own `source()`.
        if let Some(DataFusionError::External(inner)) = error.downcast_ref::<DataFusionError>() {
            if let Some(found) = inner.downcast_ref::<StatementError>() {
                return Some(found);
            }
        }
        next = error.source();
    }
    None
}

fn code(kind: ErrorKind) -> Code {
    match kind {
        ErrorKind::Invalid => Code::InvalidArgument,
        ErrorKind::NotFound => Code::NotFound,
        ErrorKind::Unauthorized => Code::PermissionDenied,
        ErrorKind::Transient => Code::Unavailable,
        ErrorKind::Fenced => Code::Aborted,
        ErrorKind::Corrupt => Code::DataLoss,
        ErrorKind::Internal => Code::Internal,
    }
}

/// Keeps a message below what clients accept in a header; the cut is marked.
fn clip(message: &str) -> String {
    let mut encoded = 0;
    for (at, c) in message.char_indices() {
        let plain = (' '..='~').contains(&c) && c != '%';
        encoded += if plain { 1 } else { 3 * c.len_utf8() };
        if encoded > MAX_ENCODED_MESSAGE_BYTES {
            return format!("{}… (cut off)", &message[..at]);
        }
    }
    message.to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_become_codes_and_messages_stay_whole() {
        let message = "no table 'x'\n  at line 1, column 15\nhint: SHOW TABLES lists them — é";
        let status = from_statement(&StatementError::new(ErrorKind::NotFound, message));
        assert_eq!((status.code(), status.message()), (Code::NotFound, message));
    }

    #[test]
    fn a_statement_error_is_found_inside_wrappers() {
        let inner = StatementError::new(ErrorKind::Transient, "the store is away");
        let error = DataFusionError::Context("reading".into(), Box::new(DataFusionError::External(Box::new(inner))));
        let status = from_datafusion(&error);
        assert_eq!((status.code(), status.message()), (Code::Unavailable, "the store is away"));
        let status = from_flight(FlightError::from_external_error(Box::new(error)));
        assert_eq!(status.code(), Code::Unavailable);
    }

    #[test]
    fn long_messages_are_cut_below_the_header_limit() {
        let clipped = clip(&"é".repeat(10_000));
        assert!(clipped.ends_with("… (cut off)") && clipped.len() < 3_000);
        assert_eq!(clip("short"), "short");
    }
}
