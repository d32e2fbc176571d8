//! Why a row is bad, in words that name the column and show what stood there.

use salamander_connector_api::BadRow;

/// Characters of offending text that a reason shows.
const SHOWN: usize = 40;

/// For a NULL that the table doesn't take.
pub(crate) const NULL_REFUSED: &str = "NULL in a column that is NOT NULL";

/// `field 13 'response_time': not a number: 'fast'`. Fields count from 1.
pub(crate) fn field(row: u32, index: usize, name: &str, what: &str, text: &[u8]) -> BadRow {
    BadRow { row, reason: format!("field {} '{name}': {what}: '{}'", index + 1, shortened(text)) }
}

/// Text for people: at most [`SHOWN`] characters, control characters and broken bytes made visible.
pub(crate) fn shortened(text: &[u8]) -> String {
    // A character has at most four bytes: what is cut off here is never shown.
    let head = &text[..text.len().min(SHOWN * 4 + 4)];
    let decoded = String::from_utf8_lossy(head);
    let mut shown = String::new();
    for character in decoded.chars().take(SHOWN) {
        if character.is_control() {
            shown.extend(character.escape_default());
        } else {
            shown.push(character);
        }
    }
    if head.len() < text.len() || decoded.chars().nth(SHOWN).is_some() {
        shown.push('…');
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_shortened_and_made_visible() {
        assert_eq!(shortened(b"fast"), "fast");
        assert_eq!(shortened(b"a\tb\xff"), "a\\tb\u{fffd}");
        assert_eq!(shortened("é".repeat(500).as_bytes()), format!("{}…", "é".repeat(SHOWN)));
        assert_eq!(shortened(&[b'x'; SHOWN]), "x".repeat(SHOWN));
    }
}
