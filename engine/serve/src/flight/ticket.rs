//! Statements as tickets and handles: one byte for the kind, then the statement's text. A statement that was run when
//! it was executed has a ticket to its answer instead.
//!
//! Clients treat both as opaque. They carry no authority: each call is authenticated on its own.

use bytes::Bytes;
use tonic::Status;

/// The longest statement that is accepted, in bytes. Far below gRPC's limit of 4 MiB a message.
pub(crate) const MAX_STATEMENT_BYTES: usize = 1024 * 1024;

const STATEMENT: u8 = 1;
const ANSWER: u8 = 2;

/// What a ticket stands for.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Meaning<'a> {
    /// A statement that is to be run.
    Statement(&'a str),
    /// The answer of a statement that was run already, by its number.
    Answer(u64),
}

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
pub(crate) fn of_statement(sql: &str) -> Bytes {
    let mut bytes = Vec::with_capacity(sql.len() + 1);
    bytes.push(STATEMENT);
    bytes.extend_from_slice(sql.as_bytes());
    bytes.into()
}

/// The ticket of an answer.
pub(crate) fn of_answer(number: u64) -> Bytes {
    let mut bytes = vec![ANSWER];
    bytes.extend_from_slice(&number.to_be_bytes());
    bytes.into()
}

/// What a ticket stands for.
#[allow(clippy::result_large_err)] // tonic's own error type
pub(crate) fn decode(bytes: &[u8]) -> Result<Meaning<'_>, Status> {
    let meaning = match bytes.split_first() {
        Some((&STATEMENT, rest)) => std::str::from_utf8(rest).ok().map(Meaning::Statement),
        Some((&ANSWER, rest)) => <[u8; 8]>::try_from(rest).ok().map(u64::from_be_bytes).map(Meaning::Answer),
        _ => None,
    };
    let meaning = meaning.ok_or_else(foreign)?;
    if let Meaning::Statement(sql) = meaning {
        check_length(sql)?;
    }
    Ok(meaning)
}

/// The statement of a prepared statement's handle.
#[allow(clippy::result_large_err)] // tonic's own error type
pub(crate) fn decode_statement(bytes: &[u8]) -> Result<&str, Status> {
    match decode(bytes)? {
        Meaning::Statement(sql) => Ok(sql),
        Meaning::Answer(_) => Err(foreign()),
    }
}

fn foreign() -> Status {
    Status::invalid_argument(
        "this ticket or statement handle is not one of this server's: ask GetFlightInfo, or prepare again",
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tickets_survive_the_trip_and_rubbish_is_refused() {
        for sql in ["", "SELECT 1", "SELECT 'é🦎'"] {
            assert_eq!(decode_statement(&of_statement(sql)).unwrap(), sql);
        }
        assert_eq!(decode(&of_answer(7)).unwrap(), Meaning::Answer(7));
        assert!(decode_statement(&of_answer(7)).is_err());
        for rubbish in [&b""[..], b"\x03SELECT 1", b"\x01\xff\xfe", b"\x02123"] {
            assert_eq!(decode(rubbish).unwrap_err().code(), tonic::Code::InvalidArgument);
        }
        let long = "x".repeat(MAX_STATEMENT_BYTES + 1);
        assert!(decode(&of_statement(&long)).is_err());
    }
}
