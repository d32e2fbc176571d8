//! Options with their references replaced: on the server, in memory, never stored or printed.

use std::collections::BTreeMap;
use std::fmt;

use secrecy::SecretString;

use super::reference::{self, Ref, resolve};
use super::registry::{OptionKind, OptionSpec, Presence};
use super::value::{StartPosition, fits, parse_bool, parse_char, unescape};
use super::{OptionEntry, Options};
use crate::error::{Position, SqlError};
use crate::units::{parse_duration_micros, parse_size_bytes};

/// Values by key, with defaults. Its `Debug` shows keys only.
#[derive(Clone, Default)]
pub struct ResolvedOptions {
    values: BTreeMap<&'static str, Resolved>,
}

#[derive(Clone)]
struct Resolved {
    spec: &'static OptionSpec,
    text: String,
    at: Position,
}

impl fmt::Debug for ResolvedOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.values.keys()).finish()
    }
}

impl ResolvedOptions {
    /// Resolves the options that `specs` lists; others are left to someone else. Values that come from references
    /// are checked here; errors about them don't show them.
    pub(crate) fn new(
        options: &Options,
        specs: impl Iterator<Item = &'static OptionSpec>,
        lookup: &dyn Fn(Ref) -> Option<String>,
    ) -> Result<Self, SqlError> {
        let mut values = BTreeMap::new();
        for spec in specs {
            let given = options.entries().find(|(key, _)| spec.is_named(key));
            let (text, at) = match (given, spec.presence) {
                (Some((key, entry)), _) => (resolve_checked(spec, key, entry, lookup)?, entry.value_at),
                (None, Presence::Default(text)) => (text.to_owned(), Position::default()),
                (None, Presence::Optional) => continue,
                (None, Presence::Required) => {
                    return Err(SqlError::new(Position::default(), format!("the option '{}' is missing", spec.key)));
                }
            };
            values.insert(spec.key, Resolved { spec, text, at });
        }
        Ok(Self { values })
    }

    fn read<T>(&self, key: &str, parse: impl FnOnce(&str) -> Option<T>) -> Result<Option<T>, SqlError> {
        let Some(value) = self.values.get(key) else { return Ok(None) };
        match parse(&value.text) {
            Some(parsed) => Ok(Some(parsed)),
            None => Err(SqlError::new(value.at, format!("option '{key}' takes {}", value.spec.kind.accepts()))),
        }
    }

    /// A text, if given or defaulted.
    pub fn text(&self, key: &str) -> Option<&str> {
        self.values.get(key).map(|value| value.text.as_str())
    }

    /// A text that must be there.
    pub fn required_text(&self, key: &str) -> Result<String, SqlError> {
        self.text(key).map(str::to_owned).ok_or_else(|| missing(key))
    }

    /// A secret, if given.
    pub fn secret(&self, key: &str) -> Option<SecretString> {
        self.text(key).map(|text| SecretString::from(text.to_owned()))
    }

    /// A secret that must be there.
    pub fn required_secret(&self, key: &str) -> Result<SecretString, SqlError> {
        self.secret(key).ok_or_else(|| missing(key))
    }

    /// `true` or `false`; `false` if not given.
    pub fn flag(&self, key: &str) -> Result<bool, SqlError> {
        Ok(self.read(key, parse_bool)?.unwrap_or(false))
    }

    /// A whole number.
    pub fn int(&self, key: &str) -> Result<Option<i64>, SqlError> {
        self.read(key, |text| text.trim().parse().ok())
    }

    /// A whole number that is not negative.
    pub fn unsigned(&self, key: &str) -> Result<Option<u64>, SqlError> {
        self.read(key, |text| text.trim().parse().ok())
    }

    /// A number.
    pub fn float(&self, key: &str) -> Result<Option<f64>, SqlError> {
        self.read(key, |text| text.trim().parse().ok())
    }

    /// A duration in microseconds.
    pub fn duration_micros(&self, key: &str) -> Result<Option<i64>, SqlError> {
        self.read(key, parse_duration_micros)
    }

    /// A size in bytes.
    pub fn bytes(&self, key: &str) -> Result<Option<u64>, SqlError> {
        self.read(key, parse_size_bytes)
    }

    /// A single character.
    pub fn character(&self, key: &str) -> Result<Option<char>, SqlError> {
        self.read(key, parse_char)
    }

    /// A delimiter, `\t` and `\u0001` replaced by their characters.
    pub fn delimiter(&self, key: &str) -> Result<Option<String>, SqlError> {
        self.read(key, unescape)
    }

    /// A choice, in lower case.
    pub fn choice(&self, key: &str) -> Option<String> {
        self.text(key).map(|text| text.trim().to_ascii_lowercase())
    }

    /// A place to start from.
    pub fn start_position(&self, key: &str) -> Result<Option<StartPosition>, SqlError> {
        self.read(key, StartPosition::parse)
    }
}

/// The error for an option that a use needs and that isn't there.
pub(crate) fn missing(key: &str) -> SqlError {
    SqlError::new(Position::default(), format!("the option '{key}' is missing"))
}

fn resolve_checked(
    spec: &OptionSpec,
    key: &str,
    entry: &OptionEntry,
    lookup: &dyn Fn(Ref) -> Option<String>,
) -> Result<String, SqlError> {
    let text = resolve(key, entry, lookup)?;
    if fits(spec, &text) {
        return Ok(text);
    }
    let shown = if reference::has_reference(&entry.value) || spec.kind == OptionKind::Secret {
        format!(
            "option '{key}': the value of {} doesn't fit",
            if spec.kind == OptionKind::Secret { "the secret" } else { &entry.value }
        )
    } else {
        format!("option '{key}' can't be '{text}'")
    };
    Err(SqlError::new(entry.value_at, shown).with_hint(format!("it takes {}", spec.kind.accepts())))
}
