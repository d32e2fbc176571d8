//! The options of `WITH ('connector' = 'files', …)`.

use salamander_connector_api::ConnectorError;
use salamander_types::ErrorKind;
use std::collections::BTreeMap;
use std::time::Duration;

/// The options that the connector takes.
pub const OPTION_NAMES: [&str; 2] = ["path", "follow"];

/// What the options say, and the reader's bounds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// A file, a folder, or a pattern: a path or a URL.
    pub path: String,
    /// Read on as files grow and appear.
    pub follow: bool,
    /// Bytes that are read at a time.
    pub chunk_bytes: usize,
    /// Bytes that one split may hold ready.
    pub split_bytes: usize,
    /// Bytes that all splits may hold ready together, but for one small chunk of each.
    pub source_bytes: usize,
    /// How often the end of a file that is followed is looked at.
    pub poll: Duration,
}

impl Settings {
    /// The default bounds for a path.
    pub fn for_path(path: impl Into<String>) -> Self {
        Self {
            path: path.into(),
            follow: false,
            chunk_bytes: 1 << 20,
            split_bytes: 8 << 20,
            source_bytes: 64 << 20,
            poll: Duration::from_millis(50),
        }
    }

    /// Reads `path` and `follow`; options of others (a format's) are not looked at.
    ///
    /// # Errors
    /// When `path` is missing, or `follow` is not a truth value.
    pub fn from_options(options: &BTreeMap<String, String>) -> Result<Self, ConnectorError> {
        let invalid = |message: &str| ConnectorError::new(ErrorKind::Invalid, "files", message);
        let path = options
            .get("path")
            .filter(|path| !path.trim().is_empty())
            .ok_or_else(|| invalid("option 'path' is missing: give a file, a folder, a pattern or a URL"))?;
        let follow = match options.get("follow").map(|text| text.trim().to_ascii_lowercase()).as_deref() {
            None | Some("false") => false,
            Some("true") => true,
            Some(other) => {
                return Err(invalid(&format!("option 'follow' is 'true' or 'false', not '{other}'")));
            }
        };
        Ok(Self { follow, ..Self::for_path(path) })
    }
}
