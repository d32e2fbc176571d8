//! Enough of AMQP's type system to step over encoded values without decoding them.

use bytes::{BufMut, BytesMut};

/// Encoded bytes that are no AMQP value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("malformed AMQP data: {0}")]
pub(crate) struct Malformed(pub &'static str);

/// How deep described values may be nested.
const MAX_DESCRIBED: usize = 8;

/// Bytes of the value that begins `bytes`, its constructor included.
pub(crate) fn encoded_len(bytes: &[u8]) -> Result<usize, Malformed> {
    encoded_len_at(bytes, 0)
}

fn encoded_len_at(bytes: &[u8], depth: usize) -> Result<usize, Malformed> {
    const SHORT: Malformed = Malformed("a value ends early");
    let code = *bytes.first().ok_or(SHORT)?;
    let length = match code >> 4 {
        0x0 if code == 0 => {
            if depth == MAX_DESCRIBED {
                return Err(Malformed("described values are nested too deep"));
            }
            let descriptor = encoded_len_at(&bytes[1..], depth + 1)?;
            let value = encoded_len_at(&bytes[1 + descriptor..], depth + 1)?;
            1 + descriptor + value
        }
        0x4 => 1,
        0x5 => 2,
        0x6 => 3,
        0x7 => 5,
        0x8 => 9,
        0x9 => 17,
        0xa | 0xc | 0xe => 2 + usize::from(*bytes.get(1).ok_or(SHORT)?),
        0xb | 0xd | 0xf => {
            let size = bytes.get(1..5).ok_or(SHORT)?;
            5usize.saturating_add(u32::from_be_bytes([size[0], size[1], size[2], size[3]]) as usize)
        }
        _ => return Err(Malformed("an unknown type constructor")),
    };
    if bytes.len() < length { Err(SHORT) } else { Ok(length) }
}

/// The bytes of a binary, string or symbol; `None` for anything else.
pub(crate) fn variable(bytes: &[u8]) -> Option<&[u8]> {
    let length = encoded_len(bytes).ok()?;
    match bytes.first()? {
        0xa0 | 0xa1 | 0xa3 => bytes.get(2..length),
        0xb0 | 0xb1 | 0xb3 => bytes.get(5..length),
        _ => None,
    }
}

/// The encoded keys and values of a map, alternating; an encoded null is an empty map.
pub(crate) fn map_items(bytes: &[u8]) -> Result<MapItems<'_>, Malformed> {
    let length = encoded_len(bytes)?;
    let rest = match bytes[0] {
        0x40 => &[],
        0xc1 => bytes.get(3..length).ok_or(Malformed("a map without a count"))?,
        0xd1 => bytes.get(9..length).ok_or(Malformed("a map without a count"))?,
        _ => return Err(Malformed("a map was expected")),
    };
    Ok(MapItems { rest })
}

/// See [`map_items`].
#[derive(Debug, Clone)]
pub(crate) struct MapItems<'a> {
    rest: &'a [u8],
}

impl<'a> Iterator for MapItems<'a> {
    type Item = Result<(&'a [u8], &'a [u8]), Malformed>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.rest.is_empty() {
            return None;
        }
        let pair = (|| {
            let (key, rest) = self.rest.split_at(encoded_len(self.rest)?);
            let (value, rest) = rest.split_at(encoded_len(rest)?);
            self.rest = rest;
            Ok((key, value))
        })();
        if pair.is_err() {
            self.rest = &[];
        }
        Some(pair)
    }
}

/// Writes a symbol of at most 255 bytes.
pub(crate) fn put_symbol(out: &mut BytesMut, symbol: &'static str) {
    out.put_u8(0xa3);
    out.put_u8(symbol.len() as u8);
    out.put_slice(symbol.as_bytes());
}

/// Writes a string.
pub(crate) fn put_string(out: &mut BytesMut, text: &str) {
    match u8::try_from(text.len()) {
        Ok(length) => {
            out.put_u8(0xa1);
            out.put_u8(length);
        }
        Err(_) => {
            out.put_u8(0xb1);
            out.put_u32(text.len() as u32);
        }
    }
    out.put_slice(text.as_bytes());
}

/// Writes a long.
pub(crate) fn put_long(out: &mut BytesMut, value: i64) {
    out.put_u8(0x81);
    out.put_i64(value);
}

/// Writes a timestamp, in milliseconds since 1970-01-01 UTC.
pub(crate) fn put_timestamp(out: &mut BytesMut, millis: i64) {
    out.put_u8(0x83);
    out.put_i64(millis);
}

/// Writes a uint in its shortest form.
pub(crate) fn put_uint(out: &mut BytesMut, value: u32) {
    match value {
        0 => out.put_u8(0x43),
        1..=255 => {
            out.put_u8(0x52);
            out.put_u8(value as u8);
        }
        _ => {
            out.put_u8(0x70);
            out.put_u32(value);
        }
    }
}

/// Writes a number without the allocation that formatting it would need.
pub(crate) fn put_decimal_string(out: &mut BytesMut, value: u64) {
    let mut digits = [0u8; 20];
    let mut at = digits.len();
    let mut rest = value;
    loop {
        at -= 1;
        digits[at] = b'0' + (rest % 10) as u8;
        rest /= 10;
        if rest == 0 {
            break;
        }
    }
    out.put_u8(0xa1);
    out.put_u8((digits.len() - at) as u8);
    out.put_slice(&digits[at..]);
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_amqp::Value;
    use serde_amqp::primitives::{Array, Binary, OrderedMap, Symbol, Timestamp};

    fn any_value() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::Bool),
            any::<u8>().prop_map(Value::Ubyte),
            any::<u32>().prop_map(Value::Uint),
            any::<u64>().prop_map(Value::Ulong),
            any::<i64>().prop_map(Value::Long),
            any::<i64>().prop_map(|millis| Value::Timestamp(Timestamp::from_milliseconds(millis))),
            ".{0,300}".prop_map(Value::String),
            "[a-z]{0,20}".prop_map(|text| Value::Symbol(Symbol::from(text))),
            prop::collection::vec(any::<u8>(), 0..300).prop_map(|bytes| Value::Binary(Binary::from(bytes))),
            prop::collection::vec(any::<i64>(), 1..9)
                .prop_map(|items| Value::Array(Array::from(items.into_iter().map(Value::Long).collect::<Vec<_>>()))),
        ];
        leaf.prop_recursive(3, 24, 6, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..6).prop_map(Value::List),
                prop::collection::vec(("[a-z]{1,5}", inner), 0..4).prop_map(|pairs| {
                    let mut map = OrderedMap::new();
                    for (key, value) in pairs {
                        map.insert(Value::String(key), value);
                    }
                    Value::Map(map)
                }),
            ]
        })
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(128))]

        #[test]
        fn values_are_stepped_over_whole(value in any_value(), after in prop::collection::vec(any::<u8>(), 0..9)) {
            let mut bytes = serde_amqp::to_vec(&value).unwrap();
            let length = bytes.len();
            bytes.extend(after);
            prop_assert_eq!(encoded_len(&bytes), Ok(length));
            for cut in 0..length {
                prop_assert!(encoded_len(&bytes[..cut]).is_err());
            }
        }

        #[test]
        fn noise_never_panics(bytes in prop::collection::vec(any::<u8>(), 0..64)) {
            if let Ok(length) = encoded_len(&bytes) {
                prop_assert!(length <= bytes.len());
            }
            if let Ok(items) = map_items(&bytes) {
                let _ = items.count();
            }
            let _ = variable(&bytes);
        }

        #[test]
        fn decimals_are_written_as_strings(value in any::<u64>()) {
            let mut out = BytesMut::new();
            put_decimal_string(&mut out, value);
            prop_assert_eq!(serde_amqp::from_slice::<String>(&out).unwrap(), value.to_string());
        }
    }

    #[test]
    fn descriptors_of_descriptors_end() {
        assert!(encoded_len(&[0u8; 100]).is_err());
    }
}
