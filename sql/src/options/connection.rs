//! Event Hubs connection strings as written in statements: `Endpoint=sb://host[:port]/;SharedAccessKeyName=…;SharedAccessKey=…[;EntityPath=hub][;UseDevelopmentEmulator=true]`.
//!
//! Only what must be known when the statement is parsed; the connector takes them apart for use.

use super::reference::is_reference;
use crate::redact::DEVELOPMENT_KEY;

/// Checks a connection string that stands in a statement; says whether it names a hub (`EntityPath`).
/// Errors never hold any part of it but names.
pub(crate) fn names_hub(text: &str) -> Result<bool, String> {
    let pairs = pairs(text)?;
    let find = |name: &str| {
        pairs.iter().find(|(key, value)| key.eq_ignore_ascii_case(name) && !value.is_empty()).map(|(_, value)| *value)
    };
    let endpoint = find("Endpoint").ok_or("the connection string has no Endpoint=sb://…")?;
    let host = endpoint.split_once("://").map_or(endpoint, |(_, rest)| rest);
    if host.is_empty() || host.starts_with(['/', ':']) {
        return Err("the connection string's Endpoint has no host".into());
    }
    let has_key = find("SharedAccessKey").is_some() && find("SharedAccessKeyName").is_some();
    if !has_key && find("SharedAccessSignature").is_none() {
        return Err(
            "the connection string needs SharedAccessKeyName and SharedAccessKey, or SharedAccessSignature".into()
        );
    }
    Ok(find("EntityPath").is_some())
}

/// The parts between semicolons, each a name and a value. A value may hold `=`, as Base64 does.
fn pairs(text: &str) -> Result<Vec<(&str, &str)>, String> {
    text.split(';')
        .map(str::trim)
        .filter(|part| !part.is_empty())
        .map(|part| part.split_once('=').map(|(k, v)| (k.trim(), v.trim())))
        .collect::<Option<Vec<_>>>()
        .ok_or_else(|| "the connection string has a part without '='".to_owned())
}

/// Whether a value may stand in a statement as written: its key and signature are references, or it holds the
/// development key and says that it is for a local broker. A text that is no connection string may not.
pub(crate) fn may_stand_inline(value: &str) -> bool {
    if is_reference(value) {
        return true;
    }
    let Ok(pairs) = pairs(value) else { return false };
    let all = |name: &str| {
        pairs.iter().filter(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, v)| *v).collect::<Vec<_>>()
    };
    let known = [
        "Endpoint",
        "SharedAccessKeyName",
        "SharedAccessKey",
        "SharedAccessSignature",
        "EntityPath",
        "UseDevelopmentEmulator",
    ];
    let emulator = all("UseDevelopmentEmulator").iter().any(|v| v.eq_ignore_ascii_case("true"));
    pairs.iter().all(|(key, _)| known.iter().any(|k| k.eq_ignore_ascii_case(key)))
        && all("SharedAccessSignature").iter().all(|v| is_reference(v))
        && all("SharedAccessKey").iter().all(|v| is_reference(v) || (*v == DEVELOPMENT_KEY && emulator))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hubs() {
        let development = "Endpoint=sb://localhost:5672;SharedAccessKeyName=n;SharedAccessKey=SAS_KEY_VALUE;UseDevelopmentEmulator=true";
        assert_eq!(names_hub(development), Ok(false));
        assert_eq!(names_hub(&format!("{development};EntityPath=logs;")), Ok(true));
    }

    #[test]
    fn errors_hold_no_part_of_the_text() {
        for text in [
            "s3cret",
            "SharedAccessKey=s3cret",
            "Endpoint=sb://h;SharedAccessKey=s3cret",
            "Endpoint=sb:///s3cret;SharedAccessKeyName=n;SharedAccessKey=s3cret",
        ] {
            assert!(!names_hub(text).unwrap_err().contains("s3cret"), "{text}");
        }
    }

    #[test]
    fn what_may_stand_inline() {
        for (value, expected) in [
            ("${CS}", true),
            ("${file:/run/secrets/cs}", true),
            ("Endpoint=sb://h/;SharedAccessKeyName=n;SharedAccessKey=${KEY}", true),
            (
                "Endpoint=sb://localhost;SharedAccessKeyName=n;SharedAccessKey=SAS_KEY_VALUE;UseDevelopmentEmulator=true",
                true,
            ),
            ("Endpoint=sb://h/;SharedAccessKeyName=n;SharedAccessKey=SAS_KEY_VALUE", false),
            ("Endpoint=sb://h/;SharedAccessKeyName=n;SharedAccessKey=abc=;UseDevelopmentEmulator=true", false),
            ("Endpoint=sb://h/;SharedAccessSignature=SharedAccessSignature sr=a", false),
            ("Endpoint=sb://h/;SharedAccessKeyName=n;SharedAccessKey=a${KEY}", false),
            ("abc", false),
        ] {
            assert_eq!(may_stand_inline(value), expected, "{value}");
        }
    }
}
