//! Bounds of byte strings for statistics, kept short.
//!
//! Up to [`MAX_BOUND`] bytes a bound is the value itself. Of a longer value the lower bound is a prefix, the upper bound
//! a prefix whose last character (or byte) is raised by one. Both stay valid UTF-8 if the value is, since readers decode
//! them as text.

/// Most bytes of a bound.
pub(crate) const MAX_BOUND: usize = 64;

/// True when a bound may not be a value of its column.
pub(crate) fn is_exact(bound: &[u8]) -> bool {
    bound.len() < MAX_BOUND - 4
}

/// A short value that is not greater.
pub(crate) fn lower(value: &[u8]) -> Vec<u8> {
    prefix(value).to_vec()
}

/// A short value that is not less; none if there is no such value.
pub(crate) fn upper(value: &[u8]) -> Option<Vec<u8>> {
    if value.len() <= MAX_BOUND {
        return Some(value.to_vec());
    }
    let start = prefix(value);
    match std::str::from_utf8(start) {
        Ok(text) => raise_text(text),
        Err(_) => raise_bytes(start),
    }
}

/// The longest prefix within the limit that does not cut a character of UTF-8 text.
fn prefix(value: &[u8]) -> &[u8] {
    if value.len() <= MAX_BOUND {
        return value;
    }
    let mut end = MAX_BOUND;
    while end > MAX_BOUND - 4 && value[end] & 0xC0 == 0x80 {
        end -= 1;
    }
    if value[end] & 0xC0 == 0x80 {
        end = MAX_BOUND; // not UTF-8
    }
    &value[..end]
}

fn raise_text(text: &str) -> Option<Vec<u8>> {
    for (at, last) in text.char_indices().rev() {
        let next = match u32::from(last) + 1 {
            0xD800 => 0xE000,
            next => next,
        };
        if let Some(raised) = char::from_u32(next) {
            let mut out = text[..at].to_owned();
            out.push(raised);
            return Some(out.into_bytes());
        }
    }
    None
}

fn raise_bytes(bytes: &[u8]) -> Option<Vec<u8>> {
    let last = bytes.iter().rposition(|b| *b < 255)?;
    let mut out = bytes[..=last].to_vec();
    out[last] += 1;
    Some(out)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn bounds_bound(text in "[a-b\u{7f}é\u{d7ff}\u{10ffff}]{0,90}", bytes in prop::collection::vec(250u8.., 0..90)) {
            for value in [text.as_bytes(), &bytes] {
                prop_assert!(lower(value).as_slice() <= value);
                if let Some(upper) = upper(value) {
                    prop_assert!(upper.as_slice() >= value);
                    prop_assert!(upper.len() <= MAX_BOUND + 4);
                }
            }
            prop_assert!(std::str::from_utf8(&lower(text.as_bytes())).is_ok());
            prop_assert!(upper(text.as_bytes()).is_none_or(|u| std::str::from_utf8(&u).is_ok()));
            if text.len() < MAX_BOUND - 4 {
                prop_assert_eq!(lower(text.as_bytes()), text.as_bytes());
            }
        }
    }
}
