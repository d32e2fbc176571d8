//! `regexp_extract(str, regex[, idx])`: group `idx` (default 1, 0 = the whole match) of the first match.
//!
//! As in Spark: '' if nothing matches or the group took no part in the match, NULL if an argument is NULL. A literal
//! pattern that is invalid or has no such group is refused when the query is planned. Where pattern or index come from a
//! column, such rows are NULL (Spark fails the query), since one bad row must not stop a job.
//!
//! The result's texts are views into the input. Patterns that have a [`Shape`] run without a regex engine.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, StringViewArray};
use arrow::buffer::NullBuffer;
use arrow::datatypes::{DataType, Field, FieldRef};
use datafusion::common::{Result, ScalarValue, plan_err};
use datafusion::logical_expr::{ColumnarValue, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDFImpl, Signature};

use crate::arguments::{Integer, check_count, coercing};
use crate::java_regex::shape::{Atom, Shape, find_prefix, line_length, until_after};
use crate::java_regex::{JavaRegex, Span, TooManySteps, pattern_error};
use crate::kernels::Kernels;
use crate::patterns::PatternCache;
use crate::views;

const NAME: &str = "regexp_extract";

/// See the module's docs.
#[derive(Debug, PartialEq, Eq, Hash)]
pub(crate) struct RegexpExtract {
    signature: Signature,
    kernels: Kernels,
    patterns: PatternCache,
}

impl RegexpExtract {
    pub(crate) fn new(kernels: Kernels) -> Self {
        RegexpExtract { signature: coercing(), kernels, patterns: PatternCache::default() }
    }

    fn extract(&self, text: &StringViewArray, args: &[ColumnarValue]) -> Result<StringViewArray> {
        let group = match args.get(2) {
            Some(group) => Integer::of(group)?,
            None => Integer::Constant(Some(1)),
        };
        match (views::constant(&args[1]), &group) {
            (Some(None), _) | (_, Integer::Constant(None)) => Ok(StringViewArray::new_null(text.len())),
            (Some(Some(pattern)), Integer::Constant(Some(group))) => {
                let regex = self.patterns.get(pattern).map_err(|e| pattern_error(NAME, pattern, &e))?;
                let group = check_group(&regex, *group)?;
                Ok(self.one_pattern(text, &regex, group))
            }
            _ => {
                let patterns = views::string_column(&args[1], text.len())?;
                Ok(self.pattern_column(text, &patterns, &group))
            }
        }
    }

    fn one_pattern(&self, text: &StringViewArray, regex: &JavaRegex, group: usize) -> StringViewArray {
        match self.kernels.allow(regex.shape()) {
            Some(Shape::RestAfter { prefix, prefix_is_lookbehind }) if group == 1 || *prefix_is_lookbehind => {
                rest_after_label(text, prefix)
            }
            Some(Shape::UntilAfter { prefix, stop }) => map_bytes(text, |bytes| until_after(bytes, prefix, stop)),
            _ => {
                let mut matcher = regex.matcher();
                map_rows(text, |row| {
                    let groups = matcher.captures_at(text.value(row), 0)?;
                    Ok(groups.and_then(|groups| groups[group]).unwrap_or_default())
                })
            }
        }
    }

    fn pattern_column(&self, text: &StringViewArray, patterns: &StringViewArray, group: &Integer) -> StringViewArray {
        let found = |row: usize| -> Option<Span> {
            let regex = patterns.is_valid(row).then(|| self.patterns.get(patterns.value(row)).ok()).flatten()?;
            let group = usize::try_from(group.at(row)?).ok().filter(|g| *g <= regex.groups())?;
            let mut matcher = regex.matcher();
            let groups = matcher.captures_at(text.value(row), 0).ok()?;
            Some(groups.and_then(|groups| groups[group]).unwrap_or_default())
        };
        map_rows(text, |row| found(row).ok_or(TooManySteps))
    }
}

/// Group `group` of `regex`, or the planning error that Spark gives.
fn check_group(regex: &JavaRegex, group: i64) -> Result<usize> {
    match usize::try_from(group) {
        Ok(index) if index <= regex.groups() => Ok(index),
        _ => plan_err!("{NAME}: the group index must be between 0 and {}, got {group}", regex.groups()),
    }
}

/// What the texts of a column begin with, up to the end of a prefix: mostly all with the same, such as `Port: `. A text
/// that begins as one before it has its first prefix in the same place, which needs no search.
struct Label {
    text: u128,
    mask: u128,
    length: usize,
}

impl Label {
    /// The label of a text with this head whose first prefix ends at `length`.
    fn new(head: u128, length: usize) -> Self {
        if length >= 16 {
            return Self::none(length);
        }
        let mask = views::low_bytes(length);
        Self { text: head & mask, mask, length }
    }

    /// One that no text begins with, as far as its head can tell.
    fn none(length: usize) -> Self {
        Self { text: 1, mask: 0, length }
    }

    #[inline]
    fn begins(&self, head: u128, length: usize) -> bool {
        length >= self.length && head & self.mask == self.text
    }
}

/// Group 1 of [`Shape::RestAfter`], '' where the prefix isn't found.
fn rest_after_label(text: &StringViewArray, prefix: &[Atom]) -> StringViewArray {
    let buffers = text.data_buffers();
    let mut label = Label::none(0);
    map_views(text, |view| {
        let head = views::head(view, buffers);
        let mut scratch = [0; 16];
        let bytes = views::bytes(view, buffers, &mut scratch);
        if !label.begins(head, bytes.len()) {
            let Some(at) = find_prefix(bytes, prefix, 0) else { return 0 };
            label = Label::new(head, at + prefix.len());
        }
        let start = label.length;
        views::sub_view(view, buffers, (start, start + line_length(&bytes[start..])))
    })
}

/// For each text the span that `find` gives, '' where it gives none.
fn map_bytes(text: &StringViewArray, find: impl Fn(&[u8]) -> Option<Span>) -> StringViewArray {
    let buffers = text.data_buffers();
    map_views(text, |view| {
        let mut scratch = [0; 16];
        match find(views::bytes(view, buffers, &mut scratch)) {
            Some(span) => views::sub_view(view, buffers, span),
            None => 0,
        }
    })
}

/// For each text that is not NULL the view that `cut` makes of its view.
fn map_views(text: &StringViewArray, mut cut: impl FnMut(u128) -> u128) -> StringViewArray {
    // A NULL's view may be anything: it is not looked at.
    let views = match text.nulls() {
        None => text.views().iter().map(|&view| cut(view)).collect(),
        Some(nulls) => text.views().iter().zip(nulls).map(|(&view, valid)| if valid { cut(view) } else { 0 }).collect(),
    };
    views::column(views, text, text.nulls().cloned())
}

/// For each row that is not NULL the span that `find` gives; NULL where it fails.
fn map_rows(text: &StringViewArray, mut find: impl FnMut(usize) -> Result<Span, TooManySteps>) -> StringViewArray {
    let mut valid = Vec::with_capacity(text.len());
    let views = (0..text.len())
        .map(|row| {
            let span = if text.is_valid(row) { find(row).ok() } else { None };
            valid.push(span.is_some());
            span.map_or(0, |span| views::sub_view(text.views()[row], text.data_buffers(), span))
        })
        .collect();
    let nulls = NullBuffer::from(valid);
    views::column(views, text, (nulls.null_count() > 0).then_some(nulls))
}

impl ScalarUDFImpl for RegexpExtract {
    fn name(&self) -> &str {
        NAME
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn coerce_types(&self, given: &[DataType]) -> Result<Vec<DataType>> {
        check_count(NAME, given.len(), 2, 3)?;
        let mut types = vec![views::string_argument(&given[0]), views::string_argument(&given[1])];
        types.extend(given.get(2).map(|_| DataType::Int64));
        Ok(types)
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(DataType::Utf8View)
    }

    fn return_field_from_args(&self, args: ReturnFieldArgs) -> Result<FieldRef> {
        if let Some(regex) = self.patterns.check(NAME, args.scalar_arguments.get(1))? {
            let group = match args.scalar_arguments.get(2) {
                None => Some(1),
                Some(Some(scalar)) => match scalar.cast_to(&DataType::Int64)? {
                    ScalarValue::Int64(group) => group,
                    _ => None,
                },
                Some(None) => None,
            };
            if let Some(group) = group {
                check_group(&regex, group)?;
            }
        }
        Ok(Arc::new(Field::new(NAME, DataType::Utf8View, true)))
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let rows = views::rows_of(&args.args, args.number_rows);
        let text = views::string_column(&args.args[0], rows)?;
        let found: ArrayRef = Arc::new(self.extract(&text, &args.args)?);
        views::scalar_if_constant(found, &args.args)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn both(pattern: &str, text: &StringViewArray, group: usize) -> (StringViewArray, StringViewArray) {
        let regex = JavaRegex::new(pattern).unwrap();
        assert!(regex.shape().is_some(), "{pattern} has no shape");
        let fast = RegexpExtract::new(Kernels::Fast).one_pattern(text, &regex, group);
        let general = RegexpExtract::new(Kernels::General).one_pattern(text, &regex, group);
        fast.to_data().validate_full().unwrap();
        general.to_data().validate_full().unwrap();
        (fast, general)
    }

    /// Texts that are as nasty as possible for these patterns.
    fn texts() -> impl Strategy<Value = Vec<Option<String>>> {
        let nasty = "([:/ab. é\u{1f98e}]|//|: |:\t|\n|\r|\r\n|\u{85}|\u{2028}|\u{2029}|\u{b}|Ab){0,14}";
        prop::collection::vec(prop::option::of(nasty), 1..40)
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(400))]
        #[test]
        fn shapes_answer_as_the_general_engine(texts in texts()) {
            let column = StringViewArray::from_iter(texts);
            for (pattern, groups) in [
                (r"(?<=:\s)(.*)", 0..2),
                (r"(?<=: )(.*)", 0..2),
                (r":\s(.*)", 0..2),
                (r"Ab(.*)", 0..2),
                (r"(?<=\s)(.*)", 0..2),
                (r"(?<=é)(.*)", 0..2),
                ("(?<=//)(.*?)(?=/|$)", 0..2),
                (r"(?<=:\s)(.*?)(?=/|$)", 0..2),
                (r"(?<=/)(.*?)(?=\.é|$)", 0..2),
                (r"(?<=a)(.*?)(?=\n|$)", 0..2),
            ] {
                for group in groups {
                    let (fast, general) = both(pattern, &column, group);
                    prop_assert_eq!(&fast, &general, "{} group {}", pattern, group);
                }
            }
        }
    }

    #[test]
    fn a_missing_group_is_a_planning_error() {
        let regex = JavaRegex::new("a").unwrap();
        assert!(check_group(&regex, 1).unwrap_err().to_string().contains("between 0 and 0, got 1"));
        assert!(check_group(&regex, -1).is_err());
    }
}
