//! What is looked up in a JSON object before or beside decoding it: its keys, to find columns that it spells in another
//! case, and how deep it is.

use arrow::datatypes::SchemaRef;

/// Columns (by index) that an object has under another spelling, with that spelling, in the order of the columns.
pub(super) type Spelling = Vec<(usize, String)>;

/// How an object spells columns that it hasn't under their exact name. A key that is another column's exact name, or
/// that an earlier column takes, is not taken.
pub(super) fn spelling(object: &[u8], schema: &SchemaRef) -> Spelling {
    let keys = top_level_keys(object);
    let mut spelling: Spelling = Vec::new();
    for (column, field) in schema.fields().iter().enumerate() {
        if keys.contains(&field.name().as_bytes()) {
            continue;
        }
        let key = keys.iter().filter_map(|key| std::str::from_utf8(key).ok()).find(|key| {
            key.to_lowercase() == field.name().to_lowercase()
                && schema.fields().iter().all(|other| other.name() != key)
                && spelling.iter().all(|(_, taken)| taken != key)
        });
        spelling.extend(key.map(|key| (column, key.to_owned())));
    }
    spelling
}

/// How far the object goes that a text begins with.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Extent {
    /// Its closing bracket is this many bytes from the start, and no nesting is deeper than the limit.
    Ends(usize),
    /// The text ends before it.
    Open,
    /// Objects and lists are nested deeper than the limit.
    TooDeep,
}

/// Finds the end of the object (or list) that `text` begins with, by its brackets outside of strings: `text` is
/// either an object or no JSON that a reader takes.
pub(super) fn extent(text: &[u8], limit: usize) -> Extent {
    let mut depth = 0_usize;
    let mut at = 0;
    while let Some(&byte) = text.get(at) {
        match byte {
            b'{' | b'[' => depth += 1,
            b'}' | b']' => {
                depth = depth.saturating_sub(1);
                if depth == 0 {
                    return Extent::Ends(at);
                }
            }
            b'"' => at += 1 + string_at(text, at + 1).len(),
            _ => {}
        }
        if depth > limit {
            return Extent::TooDeep;
        }
        at += 1;
    }
    Extent::Open
}

/// The keys of an object's own level, without those written with escapes. Text that isn't JSON gives whatever it gives.
fn top_level_keys(object: &[u8]) -> Vec<&[u8]> {
    let mut keys = Vec::new();
    let mut depth = 0_usize;
    let mut key_next = false;
    let mut at = 0;
    while let Some(&byte) = object.get(at) {
        match byte {
            b'{' | b'[' => {
                depth += 1;
                key_next = depth == 1;
            }
            b'}' | b']' => depth = depth.saturating_sub(1),
            b',' if depth == 1 => key_next = true,
            b'"' => {
                let text = string_at(object, at + 1);
                if depth == 1 && key_next && !text.contains(&b'\\') {
                    keys.push(text);
                }
                key_next = false;
                at += 1 + text.len();
            }
            _ => {}
        }
        at += 1;
    }
    keys
}

/// The text from `start` to the quote that ends it, or to the end.
fn string_at(object: &[u8], start: usize) -> &[u8] {
    let mut at = start;
    while let Some(length) = object.get(at..).and_then(|rest| memchr::memchr2(b'"', b'\\', rest)) {
        at += length;
        if object[at] == b'"' {
            return &object[start..at];
        }
        at += 2;
    }
    object.get(start..).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn keys(object: &str) -> Vec<&str> {
        top_level_keys(object.as_bytes()).into_iter().map(|key| std::str::from_utf8(key).unwrap()).collect()
    }

    #[test]
    fn only_the_objects_own_keys() {
        assert_eq!(keys(r#"{"a": 1, "b": {"c": "x,\"y"}, "d": ["e", {"f": 1}], "g": "h"}"#), ["a", "b", "d", "g"]);
        assert_eq!(keys(r#"{"a\"b": 1, "c": "}", "d": 2}"#), ["c", "d"]);
        assert_eq!(keys(r#"{}"#), Vec::<&str>::new());
        assert_eq!(keys(r#"{"a"#), ["a"]);
    }

    #[test]
    fn brackets_outside_of_strings_count() {
        let object = br#"{"a": [[]], "b": "[[[[", "c": [[]]} {"#;
        assert_eq!(extent(object, 3), Extent::Ends(object.len() - 3));
        assert_eq!(extent(object, 2), Extent::TooDeep);
        assert_eq!(extent(br#"{"a": "}"#, 3), Extent::Open);
        assert_eq!(extent(br#"{"a\"}": 1"#, 3), Extent::Open);
    }

    proptest! {
        #[test]
        fn nothing_panics(text in r#"[\{\}\[\],:"\\ab ]{0,60}"#) {
            let _ = (top_level_keys(text.as_bytes()), extent(text.as_bytes(), 3));
        }
    }
}
