//! The ways in which a line can be wrong.
//!
//! [`Damage`] is what a typed table refuses (`'format' = 'delimited'` with the users' columns and `strip_labels`), in
//! ten ways. [`Oddity`] is what such a table accepts, but the users' Spark transformation turns to NULL or ''.

use crate::draw::Draws;

/// Parts the fields of a line.
pub(crate) const DELIMITER: &[u8] = b" | ";

/// A line that doesn't fit the table's columns.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Damage {
    /// Cut off before its last field.
    Truncated,
    /// A field is not there.
    MissingField,
    /// A field too many.
    ExtraField,
    /// Nothing at all.
    EmptyLine,
    /// A timestamp in another format.
    BadTimestamp,
    /// A response time that is no number.
    BadResponseTime,
    /// A cart size that is no number.
    BadCartSize,
    /// A port that no INT holds.
    PortTooLarge,
    /// Bytes that aren't UTF-8, in the user agent.
    InvalidUtf8,
    /// Fields parted by another delimiter.
    WrongDelimiter,
}

impl Damage {
    /// All of them.
    pub const ALL: [Self; 10] = [
        Self::Truncated,
        Self::MissingField,
        Self::ExtraField,
        Self::EmptyLine,
        Self::BadTimestamp,
        Self::BadResponseTime,
        Self::BadCartSize,
        Self::PortTooLarge,
        Self::InvalidUtf8,
        Self::WrongDelimiter,
    ];

    /// Damages the sound line that begins at `start`.
    pub(crate) fn apply(self, draws: &mut Draws, line: &mut Vec<u8>, start: usize) {
        match self {
            Self::Truncated => {
                let last = memrfind(&line[start..]);
                let length = draws.between(1, last as u64) as usize;
                line.truncate(start + length);
            }
            Self::MissingField => edit_fields(line, start, |fields| {
                fields.remove(draws.between(1, fields.len() as u64 - 1) as usize);
            }),
            Self::ExtraField => edit_fields(line, start, |fields| {
                fields.insert(draws.between(1, fields.len() as u64) as usize, b"Debug: on".to_vec());
            }),
            Self::EmptyLine => line.truncate(start),
            Self::BadTimestamp => set_field(
                line,
                start,
                0,
                draws.one_of(&[
                    &b"22/12/2023 22:07:37"[..],
                    b"2023-13-22T22:07:37.780123",
                    b"2023-12-22T25:07:37.780123",
                    b"-",
                    b"1703282857",
                ]),
            ),
            Self::BadResponseTime => set_field(
                line,
                start,
                11,
                draws.one_of(&[
                    &b"Response Time: fast"[..],
                    b"Response Time: ",
                    b"Response Time: 0,83s",
                    b"Response Time: 0.8.3s",
                ]),
            ),
            Self::BadCartSize => {
                set_field(line, start, 13, draws.one_of(&[&b"Cart Size: many"[..], b"Cart Size: 3.5", b"Cart Size: "]));
            }
            Self::PortTooLarge => set_field(line, start, 20, b"Port: 99999999999"),
            Self::InvalidUtf8 => {
                set_field(
                    line,
                    start,
                    10,
                    draws.one_of(&[&b"Agent: Caf\xe9/1.0"[..], b"Agent: \xff\xfe\x00", b"Agent: \xe2\x82"]),
                );
            }
            Self::WrongDelimiter => edit_delimiters(line, start, draws.one_of(&[&b", "[..], b"|", b";", b"\t"])),
        }
    }
}

/// A line that a typed table accepts, but the users' transformation in Spark doesn't wholly.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Oddity {
    /// A timestamp without its fraction, as Python writes it when the fraction is 0: `to_timestamp` gives NULL.
    NoFraction,
    /// A value without its label: `regexp_extract` gives ''.
    LabelMissing,
}

impl Oddity {
    /// All of them.
    pub const ALL: [Self; 2] = [Self::NoFraction, Self::LabelMissing];

    /// Makes the sound line that begins at `start` odd.
    pub(crate) fn apply(self, draws: &mut Draws, line: &mut Vec<u8>, start: usize) {
        edit_fields(line, start, |fields| match self {
            Self::NoFraction => {
                let seconds = fields[0].iter().position(|&byte| byte == b'.').unwrap_or(fields[0].len());
                fields[0].truncate(seconds);
            }
            Self::LabelMissing => {
                // Fields 8 to 21 and the last one have a label.
                let field = &mut fields[draws.one_of(&[8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21, 23])];
                let label = field.windows(2).position(|pair| pair == b": ").map_or(0, |at| at + 2);
                field.drain(..label);
            }
        });
    }
}

fn split(line: &[u8]) -> Vec<Vec<u8>> {
    let mut fields = Vec::new();
    let mut rest = line;
    while let Some(at) = rest.windows(DELIMITER.len()).position(|part| part == DELIMITER) {
        fields.push(rest[..at].to_vec());
        rest = &rest[at + DELIMITER.len()..];
    }
    fields.push(rest.to_vec());
    fields
}

fn edit_fields(line: &mut Vec<u8>, start: usize, edit: impl FnOnce(&mut Vec<Vec<u8>>)) {
    let mut fields = split(&line[start..]);
    edit(&mut fields);
    line.truncate(start);
    line.extend_from_slice(&fields.join(DELIMITER));
}

fn set_field(line: &mut Vec<u8>, start: usize, index: usize, text: &[u8]) {
    edit_fields(line, start, |fields| fields[index] = text.to_vec());
}

fn edit_delimiters(line: &mut Vec<u8>, start: usize, delimiter: &[u8]) {
    let joined = split(&line[start..]).join(delimiter);
    line.truncate(start);
    line.extend_from_slice(&joined);
}

/// Where the last delimiter begins.
fn memrfind(line: &[u8]) -> usize {
    line.windows(DELIMITER.len()).rposition(|part| part == DELIMITER).unwrap_or(line.len())
}
