//! AMQP's type encodings, read in place.
//!
//! [`Cursor`] walks encoded bytes and lends out scalars that borrow from them: no allocation, no recursion into maps
//! that nobody asked for. Only what a stream reader needs is understood; every other value can be skipped, since the
//! upper half of a constructor byte tells its width. Whatever the bytes, reading ends with a value or with
//! [`Malformed`]: it never panics (property-tested in `section`).

use std::borrow::Cow;
use std::fmt;

/// Described values within described values that are followed before giving up.
const MAX_DESCRIBED_DEPTH: u8 = 8;

/// Bytes that are not what AMQP says they should be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Malformed(pub(crate) &'static str);

impl fmt::Display for Malformed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "malformed AMQP: {}", self.0)
    }
}

/// A value that is not a list, map or array (those come as [`Scalar::Other`], still encoded).
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Scalar<'a> {
    Null,
    Bool(bool),
    Unsigned(u64),
    Signed(i64),
    Float(f32),
    Double(f64),
    Char(char),
    /// Milliseconds since 1970-01-01 UTC.
    Timestamp(i64),
    Uuid([u8; 16]),
    Binary(&'a [u8]),
    Text(&'a str),
    Symbol(&'a str),
    /// Anything else, as encoded.
    Other(&'a [u8]),
}

impl<'a> Scalar<'a> {
    /// The value as text for a `MAP<STRING, STRING>`; none for null.
    pub(crate) fn render(&self) -> Option<Cow<'a, str>> {
        let text = match *self {
            Scalar::Null => return None,
            Scalar::Text(text) | Scalar::Symbol(text) => return Some(Cow::Borrowed(text)),
            Scalar::Bool(value) => value.to_string(),
            Scalar::Unsigned(value) => value.to_string(),
            Scalar::Signed(value) => value.to_string(),
            Scalar::Float(value) => value.to_string(),
            Scalar::Double(value) => value.to_string(),
            Scalar::Char(value) => value.to_string(),
            Scalar::Timestamp(millis) => render_millis(millis),
            Scalar::Uuid(bytes) => render_uuid(&bytes),
            Scalar::Binary(bytes) | Scalar::Other(bytes) => return Some(String::from_utf8_lossy(bytes)),
        };
        Some(Cow::Owned(text))
    }
}

fn render_millis(millis: i64) -> String {
    match chrono::DateTime::from_timestamp_millis(millis) {
        Some(time) => time.to_rfc3339_opts(chrono::SecondsFormat::Millis, true),
        None => millis.to_string(),
    }
}

fn render_uuid(bytes: &[u8; 16]) -> String {
    let mut text = String::with_capacity(36);
    for (i, byte) in bytes.iter().enumerate() {
        if matches!(i, 4 | 6 | 8 | 10) {
            text.push('-');
        }
        text.push_str(&format!("{byte:02x}"));
    }
    text
}

/// A place in encoded bytes.
#[derive(Debug, Clone)]
pub(crate) struct Cursor<'a> {
    bytes: &'a [u8],
}

impl<'a> Cursor<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Self { bytes }
    }

    /// What has not been read.
    pub(crate) fn rest(&self) -> &'a [u8] {
        self.bytes
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    fn peek(&self) -> Result<u8, Malformed> {
        self.bytes.first().copied().ok_or(Malformed("unexpected end"))
    }

    fn byte(&mut self) -> Result<u8, Malformed> {
        let byte = self.peek()?;
        self.bytes = self.bytes.get(1..).unwrap_or_default();
        Ok(byte)
    }

    fn take(&mut self, count: usize) -> Result<&'a [u8], Malformed> {
        match self.bytes.split_at_checked(count) {
            Some((taken, rest)) => {
                self.bytes = rest;
                Ok(taken)
            }
            None => Err(Malformed("a length reaches behind the end")),
        }
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], Malformed> {
        let taken = self.take(N)?;
        taken.try_into().map_err(|_| Malformed("unexpected end"))
    }

    fn long_size(&mut self) -> Result<usize, Malformed> {
        Ok(u32::from_be_bytes(self.array()?) as usize)
    }

    /// The content of a variable-width value whose constructor has been read.
    fn variable(&mut self, code: u8) -> Result<&'a [u8], Malformed> {
        let size = match code >> 4 {
            0xA | 0xC | 0xE => usize::from(self.byte()?),
            _ => self.long_size()?,
        };
        self.take(size)
    }

    /// Passes over one value of any kind.
    pub(crate) fn skip(&mut self) -> Result<(), Malformed> {
        let mut code = self.byte()?;
        let mut depth = 0;
        while code == 0x00 {
            depth += 1;
            if depth > MAX_DESCRIBED_DEPTH {
                return Err(Malformed("described values too deep"));
            }
            let descriptor = self.byte()?;
            if descriptor == 0x00 {
                return Err(Malformed("a described descriptor"));
            }
            self.skip_content(descriptor)?;
            code = self.byte()?;
        }
        self.skip_content(code)
    }

    fn skip_content(&mut self, code: u8) -> Result<(), Malformed> {
        let width = match code >> 4 {
            0x4 => 0,
            0x5 => 1,
            0x6 => 2,
            0x7 => 4,
            0x8 => 8,
            0x9 => 16,
            0xA..=0xF => return self.variable(code).map(|_| ()),
            _ => return Err(Malformed("unknown constructor")),
        };
        self.take(width).map(|_| ())
    }

    /// Reads one value.
    pub(crate) fn scalar(&mut self) -> Result<Scalar<'a>, Malformed> {
        let start = self.bytes;
        let code = self.byte()?;
        let value = match code {
            0x40 => Scalar::Null,
            0x41 => Scalar::Bool(true),
            0x42 => Scalar::Bool(false),
            0x56 => Scalar::Bool(self.byte()? != 0),
            0x43 | 0x44 => Scalar::Unsigned(0),
            0x50 | 0x52 | 0x53 => Scalar::Unsigned(self.byte()?.into()),
            0x60 => Scalar::Unsigned(u16::from_be_bytes(self.array()?).into()),
            0x70 => Scalar::Unsigned(u32::from_be_bytes(self.array()?).into()),
            0x80 => Scalar::Unsigned(u64::from_be_bytes(self.array()?)),
            0x51 | 0x54 | 0x55 => Scalar::Signed(i8::from_be_bytes(self.array()?).into()),
            0x61 => Scalar::Signed(i16::from_be_bytes(self.array()?).into()),
            0x71 => Scalar::Signed(i32::from_be_bytes(self.array()?).into()),
            0x81 => Scalar::Signed(i64::from_be_bytes(self.array()?)),
            0x72 => Scalar::Float(f32::from_be_bytes(self.array()?)),
            0x82 => Scalar::Double(f64::from_be_bytes(self.array()?)),
            0x73 => {
                let code = u32::from_be_bytes(self.array()?);
                Scalar::Char(char::from_u32(code).ok_or(Malformed("not a character"))?)
            }
            0x83 => Scalar::Timestamp(i64::from_be_bytes(self.array()?)),
            0x98 => Scalar::Uuid(self.array()?),
            0xA0 | 0xB0 => Scalar::Binary(self.variable(code)?),
            0xA1 | 0xB1 => Scalar::Text(text(self.variable(code)?)?),
            0xA3 | 0xB3 => Scalar::Symbol(text(self.variable(code)?)?),
            _ => {
                let mut end = Cursor::new(start);
                end.skip()?;
                let taken = start.len() - end.bytes.len();
                self.bytes = end.bytes;
                Scalar::Other(start.get(..taken).unwrap_or_default())
            }
        };
        Ok(value)
    }

    /// A number of up to 32 bits, or null.
    pub(crate) fn uint(&mut self) -> Result<Option<u32>, Malformed> {
        match self.scalar()? {
            Scalar::Unsigned(value) => u32::try_from(value).map(Some).map_err(|_| Malformed("not a uint")),
            Scalar::Null => Ok(None),
            _ => Err(Malformed("not a uint")),
        }
    }

    /// A truth value, or null.
    pub(crate) fn boolean(&mut self) -> Result<Option<bool>, Malformed> {
        match self.scalar()? {
            Scalar::Bool(value) => Ok(Some(value)),
            Scalar::Null => Ok(None),
            _ => Err(Malformed("not a boolean")),
        }
    }

    /// The numeric descriptor of a described value, the value itself not yet read; none for a symbolic one.
    pub(crate) fn descriptor(&mut self) -> Result<Option<u64>, Malformed> {
        if self.byte()? != 0x00 {
            return Err(Malformed("not a described value"));
        }
        match self.scalar()? {
            Scalar::Unsigned(code) => Ok(Some(code)),
            Scalar::Symbol(_) => Ok(None),
            _ => Err(Malformed("a descriptor that is neither a number nor a symbol")),
        }
    }

    /// The items of a list: their number, and a cursor over them.
    pub(crate) fn list(&mut self) -> Result<(u32, Cursor<'a>), Malformed> {
        match self.byte()? {
            0x45 => Ok((0, Cursor::new(&[]))),
            code @ (0xC0 | 0xD0) => self.compound(code),
            _ => Err(Malformed("not a list")),
        }
    }

    /// The entries of a map: the number of keys and values together, and a cursor over them. None for null.
    pub(crate) fn map(&mut self) -> Result<Option<(u32, Cursor<'a>)>, Malformed> {
        match self.byte()? {
            0x40 => Ok(None),
            code @ (0xC1 | 0xD1) => {
                let (count, items) = self.compound(code)?;
                if count % 2 == 1 {
                    return Err(Malformed("a map with a key and no value"));
                }
                Ok(Some((count, items)))
            }
            _ => Err(Malformed("not a map")),
        }
    }

    fn compound(&mut self, code: u8) -> Result<(u32, Cursor<'a>), Malformed> {
        let mut content = Cursor::new(self.variable(code)?);
        let count = match code >> 4 {
            0xC => u32::from(content.byte()?),
            _ => u32::from_be_bytes(content.array()?),
        };
        // An item takes at least a byte, so that no count makes anyone loop or reserve beyond what is there.
        if count as usize > content.bytes.len() {
            return Err(Malformed("more items than bytes"));
        }
        Ok((count, content))
    }
}

fn text(bytes: &[u8]) -> Result<&str, Malformed> {
    std::str::from_utf8(bytes).map_err(|_| Malformed("text that is not UTF-8"))
}
