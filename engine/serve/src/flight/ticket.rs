//! Statements as tickets and handles: one version byte, then the statement's text.
//!
//! Clients treat both as opaque. They carry no authority: each call is authenticated on its own.

use bytes::Bytes;
use tonic::Status;

/// The longest statement that is accepted, in bytes. Far below gRPC's limit of 4 MiB a message.
pub(crate) const MAX_STATEMENT_BYTES: usize = 1024 * 1024;

const VERSION: u8 = 1;

/// Refuses statements that are too long to travel.
#[allow(clippy::result_large_err)] // tonic's own error type
pub(crate) fn check_length(sql: &str) -> Result<(), Status> {
    if sql.len() > MAX_STATEMENT_BYTES {
        return Err(Status::invalid_argument(format!(
            "the statement has {} bytes; at most {MAX_STATEMENT_BYTES} are accepted",
            sql.len()
        )));
    }
    Ok(())
}

/// The ticket or handle of a statement.
pub(crate) fn encode(sql: &str) -> Bytes {
    let mut bytes = Vec::with_capacity(sql.len() + 1);
    bytes.push(VERSION);
    bytes.extend_from_slice(sql.as_bytes());
    bytes.into()
}

/// The statement of a ticket or handle.
#[allow(clippy::result_large_err)] // tonic's own error type
pub(crate) fn decode(bytes: &[u8]) -> Result<&str, Status> {
    let sql = match bytes.split_first() {
        Some((&VERSION, rest)) => std::str::from_utf8(rest).ok(),
        _ => None,
    };
    let sql = sql.ok_or_else(|| {
        Status::invalid_argument(
            "this ticket or statement handle is not one of this server's: ask GetFlightInfo, or prepare again",
        )
    })?;
    check_length(sql)?;
    Ok(sql)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statements_survive_the_trip_and_rubbish_is_refused() {
        for sql in ["", "SELECT 1", "SELECT 'é🦎'"] {
            assert_eq!(decode(&encode(sql)).unwrap(), sql);
        }
        for rubbish in [&b""[..], b"\x02SELECT 1", b"\x01\xff\xfe"] {
            assert_eq!(decode(rubbish).unwrap_err().code(), tonic::Code::InvalidArgument);
        }
        let long = "x".repeat(MAX_STATEMENT_BYTES + 1);
        assert!(decode(&encode(&long)).is_err());
    }
}
