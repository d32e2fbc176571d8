//! Two string functions that DataFusion has otherwise than Spark:
//!
//! - `locate(substr, str[, pos])`: the character position, from 1, of the first occurrence at or after `pos`; 0 if none;
//! - `initcap(str)`: words begin at a space and nowhere else; the rest is in lower case.

use std::sync::Arc;

use arrow::array::{ArrayRef, Int32Array, StringViewArray};
use arrow::datatypes::DataType;
use datafusion::common::Result;
use datafusion::logical_expr::{ColumnarValue, ScalarFunctionArgs, ScalarUDFImpl, Signature};

use crate::arguments::{Integer, check_count, coercing};
use crate::views;

/// `locate(substr, str[, pos])`.
#[derive(Debug, PartialEq, Eq, Hash)]
pub(crate) struct Locate {
    signature: Signature,
}

/// `initcap(str)`.
#[derive(Debug, PartialEq, Eq, Hash)]
pub(crate) struct Initcap {
    signature: Signature,
}

impl Locate {
    pub(crate) fn new() -> Self {
        Locate { signature: coercing() }
    }
}

impl Initcap {
    pub(crate) fn new() -> Self {
        Initcap { signature: coercing() }
    }
}

fn locate(wanted: &str, text: &str, position: i64) -> i32 {
    let Ok(skip) = usize::try_from(position - 1) else { return 0 };
    let start = match text.char_indices().nth(skip) {
        Some((at, _)) => at,
        None if skip == text.chars().count() => text.len(),
        None => return 0,
    };
    match text[start..].find(wanted) {
        Some(at) => i32::try_from(text[..start + at].chars().count() + 1).unwrap_or(i32::MAX),
        None => 0,
    }
}

fn initcap(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut begins = true;
    for c in text.chars() {
        if begins {
            out.extend(c.to_uppercase());
        } else {
            out.extend(c.to_lowercase());
        }
        begins = c == ' ';
    }
    out
}

impl ScalarUDFImpl for Locate {
    fn name(&self) -> &str {
        "locate"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn coerce_types(&self, given: &[DataType]) -> Result<Vec<DataType>> {
        check_count(self.name(), given.len(), 2, 3)?;
        let mut types: Vec<_> = given[..2].iter().map(views::string_argument).collect();
        types.extend(given.get(2).map(|_| DataType::Int64));
        Ok(types)
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(DataType::Int32)
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let rows = views::rows_of(&args.args, args.number_rows);
        let wanted = views::string_column(&args.args[0], rows)?;
        let texts = views::string_column(&args.args[1], rows)?;
        let position = match args.args.get(2) {
            Some(position) => Integer::of(position)?,
            None => Integer::Constant(Some(1)),
        };
        let one = |(row, (wanted, text)): (usize, (Option<&str>, Option<&str>))| {
            let (wanted, text) = (wanted?, text?);
            Some(position.at(row).map_or(0, |position| locate(wanted, text, position)))
        };
        let found: Int32Array = wanted.iter().zip(texts.iter()).enumerate().map(one).collect();
        let found: ArrayRef = Arc::new(found);
        views::scalar_if_constant(found, &args.args)
    }
}

impl ScalarUDFImpl for Initcap {
    fn name(&self) -> &str {
        "initcap"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn coerce_types(&self, given: &[DataType]) -> Result<Vec<DataType>> {
        check_count(self.name(), given.len(), 1, 1)?;
        Ok(given.iter().map(views::string_argument).collect())
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(DataType::Utf8View)
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let rows = views::rows_of(&args.args, args.number_rows);
        let text = views::string_column(&args.args[0], rows)?;
        let words: StringViewArray = text.iter().map(|text| text.map(initcap)).collect();
        let words: ArrayRef = Arc::new(words);
        views::scalar_if_constant(words, &args.args)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn positions_are_characters() {
        assert_eq!(locate("b", "éab", 1), 3);
        assert_eq!(locate("b", "bab", 2), 3);
        assert_eq!(locate("", "ab", 3), 3);
        assert_eq!(locate("", "ab", 4), 0);
        assert_eq!(locate("b", "b", 0), 0);
    }
}
