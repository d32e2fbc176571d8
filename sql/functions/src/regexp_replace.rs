//! `regexp_replace(str, regex, replacement[, position])`: every match replaced, from character `position` (1-based) on.
//!
//! In the replacement `$1` … `$9` and longer numbers are groups (as many digits as make an existing group), `${name}` is
//! not supported (write the number), and a backslash makes the next character a plain one. NULL if an argument is NULL.
//! A replacement that Java refuses (a group that does not exist, a `$` or backslash at the end) is refused at planning
//! if it is a literal, and gives NULL in a row otherwise.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, StringViewArray, StringViewBuilder};
use arrow::datatypes::{DataType, Field, FieldRef};
use datafusion::common::{Result, plan_datafusion_err};
use datafusion::logical_expr::{ColumnarValue, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDFImpl, Signature};

use crate::arguments::{Integer, check_count, coercing};
use crate::java_regex::{JavaRegex, Matcher, next_start, pattern_error};
use crate::patterns::PatternCache;
use crate::views;

const NAME: &str = "regexp_replace";

/// See the module's docs.
#[derive(Debug, PartialEq, Eq, Hash)]
pub(crate) struct RegexpReplace {
    signature: Signature,
    patterns: PatternCache,
}

impl RegexpReplace {
    pub(crate) fn new() -> Self {
        RegexpReplace { signature: coercing(), patterns: PatternCache::default() }
    }

    fn replace(&self, args: &[ColumnarValue], rows: usize) -> Result<StringViewArray> {
        let text = views::string_column(&args[0], rows)?;
        let position = match args.get(3) {
            Some(position) => Integer::of(position)?,
            None => Integer::Constant(Some(1)),
        };
        let mut out = StringViewBuilder::with_capacity(rows);
        let mut scratch = String::new();
        let constants = (views::constant(&args[1]), views::constant(&args[2]));
        if let (Some(Some(pattern)), Some(Some(replacement))) = constants {
            let regex = self.patterns.get(pattern).map_err(|e| pattern_error(NAME, pattern, &e))?;
            let parts =
                Replacement::parse(replacement, regex.groups()).ok_or_else(|| replacement_error(replacement))?;
            let mut matcher = regex.matcher();
            for row in 0..rows {
                let replaced = (text.is_valid(row))
                    .then(|| position.at(row))
                    .flatten()
                    .and_then(|position| replace_all(text.value(row), &mut matcher, &parts, position, &mut scratch));
                out.append_option(replaced);
            }
            return Ok(out.finish());
        }
        let patterns = views::string_column(&args[1], rows)?;
        let replacements = views::string_column(&args[2], rows)?;
        for row in 0..rows {
            let mut one = || {
                let valid = text.is_valid(row) && patterns.is_valid(row) && replacements.is_valid(row);
                let regex = if valid { self.patterns.get(patterns.value(row)).ok()? } else { return None };
                let parts = Replacement::parse(replacements.value(row), regex.groups())?;
                replace_all(text.value(row), &mut regex.matcher(), &parts, position.at(row)?, &mut scratch)?;
                Some(())
            };
            match one() {
                Some(()) => out.append_value(&scratch),
                None => out.append_null(),
            }
        }
        Ok(out.finish())
    }
}

fn replacement_error(replacement: &str) -> datafusion::common::DataFusionError {
    plan_datafusion_err!(
        "{NAME}: '{replacement}' is no valid replacement: $ must be followed by the number of an existing group; write \\$ for the character"
    )
}

/// A parsed replacement.
struct Replacement {
    parts: Vec<Part>,
}

enum Part {
    Text(String),
    Group(usize),
}

impl Replacement {
    /// Java's `Matcher.appendReplacement` for a pattern with `groups` groups; `None` where it throws.
    fn parse(source: &str, groups: usize) -> Option<Replacement> {
        let mut parts = Vec::new();
        let mut text = String::new();
        let mut chars = source.chars().peekable();
        while let Some(c) = chars.next() {
            match c {
                '\\' => text.push(chars.next()?),
                '$' => {
                    let mut group = chars.next()?.to_digit(10)? as usize;
                    if group > groups {
                        return None;
                    }
                    while let Some(digit) = chars.peek().and_then(|c| c.to_digit(10)) {
                        let longer = group * 10 + digit as usize;
                        if longer > groups {
                            break;
                        }
                        group = longer;
                        chars.next();
                    }
                    if !text.is_empty() {
                        parts.push(Part::Text(std::mem::take(&mut text)));
                    }
                    parts.push(Part::Group(group));
                }
                c => text.push(c),
            }
        }
        if !text.is_empty() {
            parts.push(Part::Text(text));
        }
        Some(Replacement { parts })
    }
}

/// Replaces into `out` and returns it; `None` if the pattern gives up or `position` is below 1.
fn replace_all<'o>(
    text: &str,
    matcher: &mut Matcher<'_>,
    replacement: &Replacement,
    position: i64,
    out: &'o mut String,
) -> Option<&'o str> {
    out.clear();
    let skip = usize::try_from(position.checked_sub(1)?).ok()?;
    let region = match text.char_indices().nth(skip) {
        Some((at, _)) => at,
        None if skip == 0 => 0,
        // A position past the end leaves the text as it is.
        None => {
            out.push_str(text);
            return Some(out);
        }
    };
    let (mut copied, mut from) = (0, Some(region));
    while let Some(start) = from {
        let Some(groups) = matcher.captures_at(text, start).ok()? else { break };
        let Some(&Some(found)) = groups.first() else { break };
        out.push_str(&text[copied..found.0]);
        for part in &replacement.parts {
            match part {
                Part::Text(part) => out.push_str(part),
                Part::Group(group) => {
                    if let Some((a, b)) = groups[*group] {
                        out.push_str(&text[a..b]);
                    }
                }
            }
        }
        copied = found.1;
        from = next_start(text, found);
    }
    out.push_str(&text[copied..]);
    Some(out)
}

impl ScalarUDFImpl for RegexpReplace {
    fn name(&self) -> &str {
        NAME
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn coerce_types(&self, given: &[DataType]) -> Result<Vec<DataType>> {
        check_count(NAME, given.len(), 3, 4)?;
        let mut types: Vec<_> = given[..3].iter().map(views::string_argument).collect();
        types.extend(given.get(3).map(|_| DataType::Int64));
        Ok(types)
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(DataType::Utf8View)
    }

    fn return_field_from_args(&self, args: ReturnFieldArgs) -> Result<FieldRef> {
        let regex: Option<Arc<JavaRegex>> = self.patterns.check(NAME, args.scalar_arguments.get(1))?;
        let replacement = args.scalar_arguments.get(2).copied().flatten().and_then(|s| s.try_as_str()).flatten();
        if let (Some(regex), Some(replacement)) = (regex, replacement)
            && Replacement::parse(replacement, regex.groups()).is_none()
        {
            return Err(replacement_error(replacement));
        }
        Ok(Arc::new(Field::new(NAME, DataType::Utf8View, true)))
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let rows = views::rows_of(&args.args, args.number_rows);
        let replaced: ArrayRef = Arc::new(self.replace(&args.args, rows)?);
        views::scalar_if_constant(replaced, &args.args)
    }
}
