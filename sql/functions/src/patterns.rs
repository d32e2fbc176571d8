//! The compiled regular expressions of one function.

use datafusion::common::{Result, ScalarValue};

use crate::cache::Cache;
use crate::java_regex::{JavaRegex, PatternError, pattern_error};
use std::sync::Arc;

/// Compiled Java patterns by their text.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub(crate) struct PatternCache {
    compiled: Cache<JavaRegex, PatternError>,
}

impl PatternCache {
    pub(crate) fn get(&self, pattern: &str) -> Result<Arc<JavaRegex>, PatternError> {
        self.compiled.get_or_compile(pattern, JavaRegex::new)
    }

    /// A planning error if the argument is a literal and no valid pattern; the pattern if it is valid.
    pub(crate) fn check(
        &self,
        function: &str,
        argument: Option<&Option<&ScalarValue>>,
    ) -> Result<Option<Arc<JavaRegex>>> {
        let Some(Some(pattern)) = argument.copied().flatten().map(ScalarValue::try_as_str).unwrap_or_default() else {
            return Ok(None);
        };
        self.get(pattern).map(Some).map_err(|e| pattern_error(function, pattern, &e))
    }
}
