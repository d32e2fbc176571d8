//! `split(str, regex[, limit])`: Spark's, that is Java's `String.split` with its own rule for an empty pattern.
//!
//! - without a limit, or with one of 0 or less, all parts are kept, trailing empty ones too;
//! - with a limit n > 0 there are at most n parts, the last is the unsplit rest;
//! - a match of no characters at the very start adds no empty part;
//! - the empty pattern cuts between characters.
//!
//! The result is an array of `Utf8View`s that point into the input. NULL if any argument is NULL, or if a pattern that
//! comes from a column is invalid (a literal one is refused when the query is planned).

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, ListArray, StringViewArray};
use arrow::buffer::{NullBuffer, OffsetBuffer};
use arrow::datatypes::{DataType, Field, FieldRef};
use datafusion::common::Result;
use datafusion::logical_expr::{ColumnarValue, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDFImpl, Signature};
use salamander_formats::scan::Literal;

use crate::arguments::{Integer, check_count, coercing};
use crate::java_regex::shape::Shape;
use crate::java_regex::{JavaRegex, Span, TooManySteps, next_start, pattern_error};
use crate::kernels::Kernels;
use crate::patterns::PatternCache;
use crate::views;

/// See the module's docs.
#[derive(Debug, PartialEq, Eq, Hash)]
pub(crate) struct Split {
    signature: Signature,
    kernels: Kernels,
    patterns: PatternCache,
}

impl Split {
    pub(crate) fn new(kernels: Kernels) -> Self {
        Split { signature: coercing(), kernels, patterns: PatternCache::default() }
    }

    /// Whether [`crate::rules::SplitOnce`] may replace it.
    pub(crate) fn is_fast(&self) -> bool {
        self.kernels == Kernels::Fast
    }

    fn list(&self, text: &StringViewArray, args: &[ColumnarValue]) -> Result<ListArray> {
        let limit = match args.get(2) {
            Some(limit) => Integer::of(limit)?,
            None => Integer::Constant(Some(-1)),
        };
        let mut parts = Parts::new(text);
        match views::constant(&args[1]) {
            Some(Some(pattern)) => {
                let regex = self.patterns.get(pattern).map_err(|e| pattern_error("split", pattern, &e))?;
                let literal = self.kernels.allow(regex.shape()).and_then(|shape| match shape {
                    Shape::Literal(bytes) => Some(Literal::new(bytes.as_slice())),
                    _ => None,
                });
                for row in 0..text.len() {
                    let Some(limit) = parts.limit(row, &limit) else { continue };
                    match &literal {
                        Some(delimiter) => parts.push_literal(row, delimiter, limit),
                        None => parts.push_regex(row, &regex, pattern.is_empty(), limit),
                    }
                }
            }
            Some(None) => return Ok(ListArray::new_null(list_item(), text.len())),
            None => {
                let patterns = views::string_column(&args[1], text.len())?;
                for row in 0..text.len() {
                    let Some(limit) = parts.limit(row, &limit) else { continue };
                    let regex = patterns.is_valid(row).then(|| self.patterns.get(patterns.value(row)).ok()).flatten();
                    match regex {
                        Some(regex) => parts.push_regex(row, &regex, patterns.value(row).is_empty(), limit),
                        None => parts.push_null(),
                    }
                }
            }
        }
        parts.finish()
    }
}

fn list_item() -> FieldRef {
    Arc::new(Field::new_list_field(DataType::Utf8View, true))
}

impl ScalarUDFImpl for Split {
    fn name(&self) -> &str {
        "split"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn coerce_types(&self, given: &[DataType]) -> Result<Vec<DataType>> {
        check_count("split", given.len(), 2, 3)?;
        let mut types = vec![views::string_argument(&given[0]), views::string_argument(&given[1])];
        types.extend(given.get(2).map(|_| DataType::Int64));
        Ok(types)
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(DataType::List(list_item()))
    }

    fn return_field_from_args(&self, args: ReturnFieldArgs) -> Result<FieldRef> {
        self.patterns.check("split", args.scalar_arguments.get(1))?;
        Ok(Arc::new(Field::new(self.name(), DataType::List(list_item()), true)))
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let rows = views::rows_of(&args.args, args.number_rows);
        let text = views::string_column(&args.args[0], rows)?;
        let list: ArrayRef = Arc::new(self.list(&text, &args.args)?);
        views::scalar_if_constant(list, &args.args)
    }
}

/// The list column under construction.
struct Parts<'a> {
    text: &'a StringViewArray,
    views: Vec<u128>,
    offsets: Vec<i32>,
    valid: Vec<bool>,
    spans: Vec<Span>,
}

impl<'a> Parts<'a> {
    fn new(text: &'a StringViewArray) -> Self {
        let mut offsets = Vec::with_capacity(text.len() + 1);
        offsets.push(0);
        Parts { text, views: Vec::new(), offsets, valid: Vec::with_capacity(text.len()), spans: Vec::new() }
    }

    /// The limit for `row` (`usize::MAX` = none). `None`, and the row is NULL, if the text or the limit is NULL.
    fn limit(&mut self, row: usize, limit: &Integer) -> Option<usize> {
        let limit = limit.at(row).filter(|_| self.text.is_valid(row));
        if limit.is_none() {
            self.push_null();
        }
        limit.map(|n| if n <= 0 { usize::MAX } else { usize::try_from(n).unwrap_or(usize::MAX) })
    }

    fn push_null(&mut self) {
        self.end_row(false);
    }

    fn push_literal(&mut self, row: usize, delimiter: &Literal, limit: usize) {
        let text = self.text.value(row).as_bytes();
        self.spans.clear();
        let mut start = 0;
        if limit > 1 {
            delimiter.each(text, |from, to| {
                self.spans.push((start, from));
                start = to;
                self.spans.len() + 1 < limit
            });
        }
        self.spans.push((start, text.len()));
        self.push_spans(row);
    }

    fn push_regex(&mut self, row: usize, regex: &JavaRegex, pattern_is_empty: bool, limit: usize) {
        let text = self.text.value(row);
        self.spans.clear();
        let found = if pattern_is_empty && !text.is_empty() {
            split_characters(text, limit, &mut self.spans);
            Ok(())
        } else {
            split_regex(text, regex, limit, &mut self.spans)
        };
        match found {
            Ok(()) => self.push_spans(row),
            Err(TooManySteps) => self.push_null(),
        }
    }

    fn push_spans(&mut self, row: usize) {
        let (view, buffers) = (self.text.views()[row], self.text.data_buffers());
        self.views.extend(self.spans.iter().map(|&span| views::sub_view(view, buffers, span)));
        self.end_row(true);
    }

    fn end_row(&mut self, valid: bool) {
        self.valid.push(valid);
        self.offsets.push(i32::try_from(self.views.len()).unwrap_or(i32::MAX));
    }

    fn finish(self) -> Result<ListArray> {
        let values = views::column(self.views, self.text, None);
        let nulls = NullBuffer::from(self.valid);
        let nulls = (nulls.null_count() > 0).then_some(nulls);
        Ok(ListArray::try_new(list_item(), OffsetBuffer::new(self.offsets.into()), Arc::new(values), nulls)?)
    }
}

/// One part for each character, the last taking the rest if there is a limit.
fn split_characters(text: &str, limit: usize, spans: &mut Vec<Span>) {
    let mut starts = text.char_indices().map(|(at, _)| at).take(limit).peekable();
    while let Some(start) = starts.next() {
        spans.push((start, starts.peek().copied().unwrap_or(text.len())));
    }
}

/// Java's `Pattern.split` that keeps trailing empty parts.
fn split_regex(text: &str, regex: &JavaRegex, limit: usize, spans: &mut Vec<Span>) -> Result<(), TooManySteps> {
    let matcher = regex.matcher();
    let (mut part, mut from) = (0, Some(0));
    while let Some(start) = from
        && spans.len() + 1 < limit
        && let Some(found) = matcher.find_at(text, start)?
    {
        from = next_start(text, found);
        let empty_at_start = part == 0 && found == (0, 0);
        if !empty_at_start {
            spans.push((part, found.0));
            part = found.1;
        }
    }
    spans.push((part, text.len()));
    Ok(())
}
