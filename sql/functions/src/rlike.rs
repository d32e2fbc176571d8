//! `rlike(str, regex)`, also `regexp` and `regexp_like`: whether the pattern occurs anywhere in the text.
//!
//! NULL if an argument is NULL, or if a pattern that comes from a column is invalid.

use std::sync::Arc;

use arrow::array::{ArrayRef, BooleanArray};
use arrow::datatypes::{DataType, Field, FieldRef};
use datafusion::common::Result;
use datafusion::logical_expr::{ColumnarValue, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDFImpl, Signature};

use crate::arguments::{check_count, coercing};
use crate::java_regex::pattern_error;
use crate::patterns::PatternCache;
use crate::views;

/// See the module's docs.
#[derive(Debug, PartialEq, Eq, Hash)]
pub(crate) struct Rlike {
    signature: Signature,
    aliases: Vec<String>,
    patterns: PatternCache,
}

impl Rlike {
    pub(crate) fn new() -> Self {
        let aliases = vec!["regexp".to_string(), "regexp_like".to_string()];
        Rlike { signature: coercing(), aliases, patterns: PatternCache::default() }
    }
}

impl ScalarUDFImpl for Rlike {
    fn name(&self) -> &str {
        "rlike"
    }

    fn aliases(&self) -> &[String] {
        &self.aliases
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn coerce_types(&self, given: &[DataType]) -> Result<Vec<DataType>> {
        check_count(self.name(), given.len(), 2, 2)?;
        Ok(given.iter().map(views::string_argument).collect())
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(DataType::Boolean)
    }

    fn return_field_from_args(&self, args: ReturnFieldArgs) -> Result<FieldRef> {
        self.patterns.check(self.name(), args.scalar_arguments.get(1))?;
        Ok(Arc::new(Field::new(self.name(), DataType::Boolean, true)))
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let rows = views::rows_of(&args.args, args.number_rows);
        let text = views::string_column(&args.args[0], rows)?;
        let found: BooleanArray = match views::constant(&args.args[1]) {
            Some(None) => BooleanArray::new_null(rows),
            Some(Some(pattern)) => {
                let regex = self.patterns.get(pattern).map_err(|e| pattern_error(self.name(), pattern, &e))?;
                let matcher = regex.matcher();
                text.iter().map(|text| matcher.is_match(text?).ok()).collect()
            }
            None => {
                let patterns = views::string_column(&args.args[1], rows)?;
                let row = |(text, pattern): (Option<&str>, Option<&str>)| {
                    let (text, regex) = (text?, self.patterns.get(pattern?).ok()?);
                    regex.matcher().is_match(text).ok()
                };
                text.iter().zip(patterns.iter()).map(row).collect()
            }
        };
        let found: ArrayRef = Arc::new(found);
        views::scalar_if_constant(found, &args.args)
    }
}
