//! Hides keys in text that is about to be shown.
//!
//! Two shapes are hidden: `SharedAccessKey=…` and `SharedAccessSignature=…` inside connection strings, and the
//! value of an option whose name says that it is secret (`'client_secret' = '…'`). References (`${VAR}`) and the
//! published development key stay, since they are no secrets and help the reader.
//! Redaction errs on the side of hiding too much: it looks at text only, so it also works on statements that don't parse.

/// What is shown instead of a secret.
pub(crate) const MASK: &str = "****";

/// The development key of local brokers. It is public.
pub(crate) const DEVELOPMENT_KEY: &str = "SAS_KEY_VALUE";

/// Names after which a value follows that must not be shown, in lower case.
const NAMES: [&str; 7] = [
    "sharedaccesskey",
    "sharedaccesssignature",
    "accountkey",
    "client_secret",
    "password",
    "connection_string",
    "secret",
];

/// Hides the secrets in a text.
pub(crate) fn redact(text: &str) -> String {
    redact_line(text, 0).0
}

/// Hides the secrets in a line and moves a column (in characters, from 0) along with the text.
pub(crate) fn redact_line(line: &str, column: usize) -> (String, usize) {
    let spans = secret_spans(line);
    if spans.is_empty() {
        return (line.to_owned(), column);
    }
    let mut out = String::with_capacity(line.len());
    let mut moved = column;
    let mut at = 0;
    for (start, end) in spans {
        out.push_str(&line[at..start]);
        let first = line[..start].chars().count();
        let count = line[start..end].chars().count();
        if column >= first + count {
            moved = moved + MASK.len() - count;
        } else if column > first {
            moved = moved + first - column;
        }
        out.push_str(MASK);
        at = end;
    }
    out.push_str(&line[at..]);
    (out, moved)
}

/// The byte ranges of secret values, in order and not overlapping.
fn secret_spans(text: &str) -> Vec<(usize, usize)> {
    // ASCII lower case keeps byte positions.
    let lower = text.to_ascii_lowercase();
    let mut spans: Vec<(usize, usize)> = Vec::new();
    let mut at = 0;
    while let Some((found, name)) = next_name(&lower, at) {
        let after = found + name.len();
        at = after;
        if let Some((start, end)) = value_after(text, after, name) {
            let value = &text[start..end];
            if !value.is_empty() && !is_harmless(value) && spans.last().is_none_or(|last| last.1 <= start) {
                spans.push((start, end));
                at = end;
            }
        }
    }
    spans
}

/// The first secret name at or after a byte position; of two at one place, the longer.
fn next_name(lower: &str, from: usize) -> Option<(usize, &'static str)> {
    NAMES
        .iter()
        .filter_map(|name| lower[from..].find(name).map(|i| (from + i, *name)))
        .min_by_key(|(at, name)| (*at, std::cmp::Reverse(name.len())))
}

/// The value that follows a name: after an optional closing quote, spaces, `=` and an optional opening quote.
/// In a connection string only the keys are secret, so the whole is hidden only if it doesn't look like one.
fn value_after(text: &str, after: usize, name: &str) -> Option<(usize, usize)> {
    let whole = name == "connection_string";
    let signature = name == "sharedaccesssignature";
    let bytes = text.as_bytes();
    let mut i = after;
    if matches!(bytes.get(i), Some(b'\'' | b'"' | b'`')) {
        i += 1;
    }
    while bytes.get(i).is_some_and(u8::is_ascii_whitespace) {
        i += 1;
    }
    if bytes.get(i) != Some(&b'=') {
        return None;
    }
    i += 1;
    while bytes.get(i).is_some_and(u8::is_ascii_whitespace) {
        i += 1;
    }
    let quote = match bytes.get(i) {
        Some(q @ (b'\'' | b'"')) => {
            i += 1;
            Some(*q)
        }
        _ => None,
    };
    let end = match quote {
        Some(quote) => quoted_end(bytes, i, quote),
        // A signature holds blanks ("SharedAccessSignature sr=…&sig=…"), a key doesn't.
        None => text[i..]
            .find(|c: char| {
                matches!(c, ';' | '\'' | '"') || (!signature && (matches!(c, ',' | ')') || c.is_whitespace()))
            })
            .map_or(text.len(), |n| i + n),
    };
    if whole && text[i..end].to_ascii_lowercase().starts_with("endpoint=") {
        return None;
    }
    Some((i, end))
}

/// Where a quoted text that begins at `from` ends: at its closing quote, not at a doubled one.
fn quoted_end(bytes: &[u8], from: usize, quote: u8) -> usize {
    let mut i = from;
    while i < bytes.len() {
        if bytes[i] == quote {
            if bytes.get(i + 1) != Some(&quote) {
                return i;
            }
            i += 1;
        }
        i += 1;
    }
    bytes.len()
}

/// References and the development key may be shown.
fn is_harmless(value: &str) -> bool {
    value == DEVELOPMENT_KEY
        || value == MASK
        || (value.starts_with("${") && value.ends_with('}') && value.matches('}').count() == 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_hidden_and_harmless_values_stay() {
        for (input, expected) in [
            (
                "Endpoint=sb://h/;SharedAccessKeyName=n;SharedAccessKey=abc+/=;EntityPath=x",
                "Endpoint=sb://h/;SharedAccessKeyName=n;SharedAccessKey=****;EntityPath=x",
            ),
            ("sharedaccesskey = 'abc'", "sharedaccesskey = '****'"),
            ("SharedAccessSignature=SharedAccessSignature sr=x&sig=y", "SharedAccessSignature=****"),
            ("'client_secret' = 's3cret'", "'client_secret' = '****'"),
            ("'client_secret' = '${SECRET}'", "'client_secret' = '${SECRET}'"),
            ("SharedAccessKey=SAS_KEY_VALUE;", "SharedAccessKey=SAS_KEY_VALUE;"),
            ("'connection_string' = 'k3y'", "'connection_string' = '****'"),
            (
                "'connection_string' = 'Endpoint=sb://h;SharedAccessKey=k'",
                "'connection_string' = 'Endpoint=sb://h;SharedAccessKey=****'",
            ),
            ("'client_secret' = 'ab''cd', 'x' = 'y'", "'client_secret' = '****', 'x' = 'y'"),
            ("nothing here", "nothing here"),
        ] {
            assert_eq!(redact(input), expected);
        }
    }

    #[test]
    fn the_column_moves_with_the_text() {
        let (line, column) = redact_line("SharedAccessKey=0123456789;x", 27);
        assert_eq!(line.chars().nth(column), Some('x'));
    }
}
