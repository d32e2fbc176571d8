//! One object of a log: its name, its bytes, and what may follow what.
//!
//! The bytes are two lines: the manifest as JSON, then `xxh3:` and the XXH3-64 of the first line (without its line
//! feed) in 16 hex digits. People can read it, `tail -1` and `xxhsum` can check it, and a torn or edited object is
//! noticed.

use super::{Head, LogError};
use salamander_types::manifest::{LogState, MANIFEST_FORMAT, Manifest, ManifestKind};
use salamander_types::{Generation, LogNumber, WriterId};
use serde::Deserialize;
use xxhash_rust::xxh3::xxh3_64;

const SUFFIX: &str = ".json";
const CHECKSUM_PREFIX: &str = "xxh3:";
const DIGITS: usize = 20;

/// `00000000000000000001.json`: fixed width, so that a listing's order is the log's order.
pub(super) fn object_name(number: LogNumber) -> String {
    format!("{:0width$}{SUFFIX}", number.0, width = DIGITS)
}

/// The number in a name; none for what isn't one of a log's objects.
pub(super) fn number_in(name: &str) -> Option<LogNumber> {
    let digits = name.strip_suffix(SUFFIX)?;
    if digits.len() != DIGITS || !digits.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    digits.parse().ok().filter(|n| *n > 0).map(LogNumber)
}

/// The object's bytes.
pub(super) fn encode<S: LogState>(manifest: &Manifest<S>) -> Result<Vec<u8>, LogError> {
    let mut bytes = serde_json::to_vec(manifest).map_err(|error| LogError::Entries {
        log: manifest.log.clone(),
        reason: format!("they can't be written as JSON: {error}"),
    })?;
    let checksum = xxh3_64(&bytes);
    bytes.extend_from_slice(format!("\n{CHECKSUM_PREFIX}{checksum:016x}\n").as_bytes());
    Ok(bytes)
}

fn corrupt(object: &str, reason: impl Into<String>) -> LogError {
    LogError::Corrupt { object: object.to_owned(), reason: reason.into() }
}

/// The first line, once the second has confirmed it.
fn checked_line<'a>(object: &str, bytes: &'a [u8]) -> Result<&'a [u8], LogError> {
    let incomplete = || corrupt(object, format!("it has {} bytes but not two whole lines", bytes.len()));
    let body = bytes.strip_suffix(b"\n").ok_or_else(incomplete)?;
    let end = body.iter().position(|b| *b == b'\n').ok_or_else(incomplete)?;
    let (line, rest) = body.split_at(end);
    let expected = format!("{CHECKSUM_PREFIX}{:016x}", xxh3_64(line));
    if rest.get(1..) != Some(expected.as_bytes()) {
        return Err(corrupt(object, "its checksum doesn't match its content"));
    }
    Ok(line)
}

/// What is the same in every format: enough to tell whose an object is.
#[derive(Debug, Deserialize)]
pub(super) struct Envelope {
    pub(super) format: u32,
    pub(super) number: LogNumber,
    pub(super) generation: Generation,
    pub(super) id: String,
    pub(super) writer: WriterId,
}

/// Reads whose an object is, even one that a newer version wrote.
pub(super) fn decode_envelope(object: &str, bytes: &[u8]) -> Result<Envelope, LogError> {
    let line = checked_line(object, bytes)?;
    serde_json::from_slice(line).map_err(|error| corrupt(object, format!("it is not a manifest: {error}")))
}

/// Reads an object and checks it against its name and its log.
pub(super) fn decode<S: LogState>(
    object: &str,
    bytes: &[u8],
    log: &str,
    number: LogNumber,
) -> Result<Manifest<S>, LogError> {
    let envelope = decode_envelope(object, bytes)?;
    let unsupported = |reason: String| LogError::Unsupported { object: object.to_owned(), reason };
    if envelope.format != MANIFEST_FORMAT {
        return Err(unsupported(format!(
            "its format is {}, this version knows only {MANIFEST_FORMAT}",
            envelope.format
        )));
    }
    if envelope.number != number {
        return Err(corrupt(object, format!("it says that it is number {}", envelope.number)));
    }
    let line = checked_line(object, bytes)?;
    let manifest: Manifest<S> = serde_json::from_slice(line).map_err(|error| unsupported(error.to_string()))?;
    if manifest.log != log {
        return Err(corrupt(object, format!("it belongs to log {}, not {log}", manifest.log)));
    }
    Ok(manifest)
}

/// Checks that an object may stand where it stands: after `before`, or first in the log. What precedes a base may
/// have been deleted, so nothing is checked of a base that a reading begins with, unless it is number 1.
pub(super) fn check_place<S: LogState>(
    object: &str,
    manifest: &Manifest<S>,
    before: Option<&Head>,
) -> Result<(), LogError> {
    let Some(before) = before else {
        let is_first = manifest.number.0 == 1;
        let opens = manifest.kind == ManifestKind::Open && manifest.generation.0 == 1 && manifest.parent.is_none();
        return if is_first && !opens {
            Err(corrupt(object, "a log begins with an open manifest of generation 1 without a parent"))
        } else {
            Ok(())
        };
    };
    if manifest.number != before.number.next() {
        return Err(corrupt(object, format!("it follows number {}", before.number)));
    }
    if manifest.parent.as_deref() != Some(before.id.as_str()) {
        return Err(corrupt(
            object,
            format!(
                "its parent is {}, but the object before it is {}",
                manifest.parent.as_deref().unwrap_or("none"),
                before.id
            ),
        ));
    }
    let expected = match manifest.kind {
        ManifestKind::Open => before.generation.next(),
        ManifestKind::Commit => before.generation,
    };
    if manifest.generation != expected {
        return Err(corrupt(
            object,
            format!("{:?} of generation {} after generation {}", manifest.kind, manifest.generation, before.generation),
        ));
    }
    Ok(())
}
