//! References in option values: `${VAR}` and `${file:PATH}`, stored as written and looked up on the server.

use super::OptionEntry;
use crate::error::SqlError;

/// What a reference names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ref {
    /// `${VAR}`: an environment variable of the server.
    Env(String),
    /// `${file:PATH}`: the content of a file on the server, without the line end at its end.
    File(String),
}

impl std::fmt::Display for Ref {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Env(name) => write!(f, "${{{name}}}"),
            Self::File(path) => write!(f, "${{file:{path}}}"),
        }
    }
}

/// A part of a value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Segment<'a> {
    Text(&'a str),
    Reference(Ref),
}

/// The parts of a value, or what is wrong with its references.
pub(crate) fn segments(value: &str) -> Result<Vec<Segment<'_>>, String> {
    let mut segments = Vec::new();
    let mut rest = value;
    while let Some(start) = rest.find("${") {
        if start > 0 {
            segments.push(Segment::Text(&rest[..start]));
        }
        let after = &rest[start + 2..];
        let Some(end) = after.find('}') else {
            return Err("a reference that begins with ${ has no closing }".into());
        };
        segments.push(Segment::Reference(parse_ref(&after[..end])?));
        rest = &after[end + 1..];
    }
    if !rest.is_empty() {
        segments.push(Segment::Text(rest));
    }
    Ok(segments)
}

fn parse_ref(inner: &str) -> Result<Ref, String> {
    if let Some(path) = inner.strip_prefix("file:") {
        return if path.trim().is_empty() {
            Err("${file:} names no file".into())
        } else {
            Ok(Ref::File(path.to_owned()))
        };
    }
    let mut chars = inner.chars();
    let plain = chars.next().is_some_and(|c| c.is_ascii_alphabetic() || c == '_')
        && chars.all(|c| c.is_ascii_alphanumeric() || c == '_');
    if plain { Ok(Ref::Env(inner.to_owned())) } else { Err("a reference is ${VAR} or ${file:PATH}".into()) }
}

/// Whether a value holds a reference.
pub(crate) fn has_reference(value: &str) -> bool {
    value.contains("${")
}

/// Whether a value is one reference and nothing else.
pub(crate) fn is_reference(value: &str) -> bool {
    matches!(segments(value).as_deref(), Ok([Segment::Reference(_)]))
}

/// The value with its references replaced by what `lookup` finds.
pub(crate) fn resolve(
    key: &str,
    entry: &OptionEntry,
    lookup: &dyn Fn(Ref) -> Option<String>,
) -> Result<String, SqlError> {
    let parts = segments(&entry.value)
        .map_err(|message| SqlError::new(entry.value_at, format!("option '{key}': {message}")))?;
    let mut value = String::with_capacity(entry.value.len());
    for part in parts {
        match part {
            Segment::Text(text) => value.push_str(text),
            Segment::Reference(reference) => {
                let Some(found) = lookup(reference.clone()) else {
                    let hint = match &reference {
                        Ref::Env(name) => format!("set the environment variable {name} where the server runs"),
                        Ref::File(path) => format!("the server must be able to read {path}"),
                    };
                    return Err(SqlError::new(entry.value_at, format!("option '{key}': {reference} was not found"))
                        .with_hint(hint));
                };
                match reference {
                    Ref::Env(_) => value.push_str(&found),
                    Ref::File(_) => value.push_str(found.trim_end_matches(['\n', '\r'])),
                }
            }
        }
    }
    Ok(value)
}
