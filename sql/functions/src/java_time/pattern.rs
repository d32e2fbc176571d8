//! A date-time pattern's text -> its items.
//!
//! Letters are Spark's documented subset of Java's: `G y M L d D Q q E F a h H k K m s S V z O X x Z`, quoted text, `''`,
//! and `[optional parts]`. Others are refused, as in Spark (`Y`, `w`, `u`, `A`, `n`, `N`, `B`, `e`, `c`, `p`).

/// Which number an item holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Field {
    /// The proleptic year, or with [`Item::Era`] in the pattern the year of the era.
    Year,
    Quarter,
    Month,
    DayOfMonth,
    DayOfYear,
    /// `F`: the day's place in its week if weeks begin on the month's first day.
    AlignedDay,
    /// `H`, 0 to 23.
    Hour,
    /// `k`, 1 to 24.
    ClockHour,
    /// `K`, 0 to 11.
    HourOfHalf,
    /// `h`, 1 to 12.
    ClockHourOfHalf,
    Minute,
    Second,
}

/// How a number's sign is treated.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Sign {
    /// Exactly `min` digits, no sign.
    Never,
    /// A minus may precede.
    Normal,
    /// A minus may precede; a plus must if there are more than `min` digits.
    ExceedsPad,
}

/// How long a name is: `Jan` or `January`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Length {
    Short,
    Full,
}

/// The forms of an offset: `X x Z O` by count of letters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct OffsetForm {
    pub(crate) minutes: Part,
    pub(crate) seconds: Part,
    pub(crate) colon: bool,
    /// What stands for UTC.
    pub(crate) zero: &'static str,
}

/// Whether a part of an offset is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Part {
    Never,
    IfNotZero,
    Always,
}

/// One item of a pattern.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) enum Item {
    Literal(String),
    Number {
        field: Field,
        min: usize,
        max: usize,
        sign: Sign,
    },
    /// `yy`: two digits, 2000 to 2099.
    TwoDigitYear,
    /// `S…`: a fraction of a second; when parsing 1 to `digits` digits, when formatting exactly `digits`.
    Fraction {
        digits: usize,
    },
    MonthName(Length),
    Weekday(Length),
    QuarterName(Length),
    /// `a`: AM or PM.
    HalfOfDay,
    Era(Length),
    Offset(OffsetForm),
    /// `O`: `GMT+8` or `GMT+08:00`.
    LocalizedOffset(Length),
    /// `VV`.
    ZoneId,
    /// `z`.
    ZoneName(Length),
    Optional(Vec<Item>),
}

/// Parses a pattern; the error says what is wrong with it.
pub(crate) fn parse_pattern(pattern: &str) -> Result<Vec<Item>, String> {
    let chars: Vec<char> = pattern.chars().collect();
    let mut stack: Vec<Vec<Item>> = vec![Vec::new()];
    let mut at = 0;
    while at < chars.len() {
        let c = chars[at];
        let top = stack.len() - 1;
        match c {
            'A'..='Z' | 'a'..='z' => {
                let count = chars[at..].iter().take_while(|other| **other == c).count();
                stack[top].push(letter(c, count)?);
                at += count;
            }
            '\'' => {
                let (text, next) = quoted(&chars, at)?;
                push_literal(&mut stack[top], &text);
                at = next;
            }
            '[' => {
                stack.push(Vec::new());
                at += 1;
            }
            ']' => {
                let items = stack.pop().filter(|_| !stack.is_empty()).ok_or("']' without '['")?;
                if let Some(outer) = stack.last_mut() {
                    outer.push(Item::Optional(items));
                }
                at += 1;
            }
            '{' | '}' | '#' => return Err(format!("'{c}' is reserved, quote it")),
            literal => {
                push_literal(&mut stack[top], literal.encode_utf8(&mut [0; 4]));
                at += 1;
            }
        }
    }
    // Java closes optional parts that are still open.
    while let Some(items) = (stack.len() > 1).then(|| stack.pop()).flatten() {
        if let Some(outer) = stack.last_mut() {
            outer.push(Item::Optional(items));
        }
    }
    Ok(stack.pop().unwrap_or_default())
}

/// The letters of a pattern that Spark writes but does not read, if it has such: E, F, q, Q.
pub(crate) fn unreadable(items: &[Item]) -> Option<&'static str> {
    items.iter().find_map(|item| match item {
        Item::Weekday(_) => Some("E"),
        Item::Number { field: Field::AlignedDay, .. } => Some("F"),
        Item::Number { field: Field::Quarter, .. } | Item::QuarterName(_) => Some("Q"),
        Item::Optional(items) => unreadable(items),
        _ => None,
    })
}

/// After an opening quote at `at`: the text and where to go on. `''` is a quote, inside of quotes and outside.
fn quoted(chars: &[char], at: usize) -> Result<(String, usize), String> {
    let mut text = String::new();
    let mut i = at + 1;
    loop {
        match chars.get(i) {
            Some('\'') if chars.get(i + 1) == Some(&'\'') => {
                text.push('\'');
                i += 2;
            }
            Some('\'') => {
                let text = if i == at + 1 { "'".to_string() } else { text };
                return Ok((text, i + 1));
            }
            Some(c) => {
                text.push(*c);
                i += 1;
            }
            None => return Err("a quote is not closed".to_string()),
        }
    }
}

fn push_literal(items: &mut Vec<Item>, text: &str) {
    match items.last_mut() {
        Some(Item::Literal(last)) => last.push_str(text),
        _ => items.push(Item::Literal(text.to_string())),
    }
}

fn letter(c: char, count: usize) -> Result<Item, String> {
    let number = |field, max_count: usize| {
        if count > max_count {
            return Err(format!("too many letters: {}", c.to_string().repeat(count)));
        }
        Ok(if count == 1 {
            Item::Number { field, min: 1, max: 19, sign: Sign::Normal }
        } else {
            Item::Number { field, min: count, max: count, sign: Sign::Never }
        })
    };
    let name = |make: fn(Length) -> Item, short: usize| match count {
        n if n <= short => Ok(make(Length::Short)),
        n if n == short + 1 => Ok(make(Length::Full)),
        _ => Err(format!("too many letters: {}", c.to_string().repeat(count))),
    };
    match c {
        'y' => match count {
            2 => Ok(Item::TwoDigitYear),
            1 | 3 => Ok(Item::Number { field: Field::Year, min: count, max: 19, sign: Sign::Normal }),
            4..=6 => Ok(Item::Number { field: Field::Year, min: count, max: 19, sign: Sign::ExceedsPad }),
            _ => Err("too many letters: a year has at most 6 (yyyyyy)".to_string()),
        },
        'M' | 'L' if count <= 2 => number(Field::Month, 2),
        'M' | 'L' => name(Item::MonthName, 3),
        'Q' | 'q' if count <= 2 => number(Field::Quarter, 2),
        'Q' | 'q' => name(Item::QuarterName, 3),
        'd' => number(Field::DayOfMonth, 2),
        'D' if count == 1 => number(Field::DayOfYear, 1),
        'D' if count <= 3 => Ok(Item::Number { field: Field::DayOfYear, min: count, max: 3, sign: Sign::Never }),
        'F' if count == 1 => Ok(Item::Number { field: Field::AlignedDay, min: 1, max: 1, sign: Sign::Never }),
        'E' => name(Item::Weekday, 3),
        'a' if count == 1 => Ok(Item::HalfOfDay),
        'G' => name(Item::Era, 3),
        'H' => number(Field::Hour, 2),
        'k' => number(Field::ClockHour, 2),
        'K' => number(Field::HourOfHalf, 2),
        'h' => number(Field::ClockHourOfHalf, 2),
        'm' => number(Field::Minute, 2),
        's' => number(Field::Second, 2),
        'S' if count <= 9 => Ok(Item::Fraction { digits: count }),
        'V' if count == 2 => Ok(Item::ZoneId),
        'z' => name(Item::ZoneName, 3),
        'O' if count == 1 => Ok(Item::LocalizedOffset(Length::Short)),
        'O' if count == 4 => Ok(Item::LocalizedOffset(Length::Full)),
        'X' => offset(count, "Z"),
        'x' => offset(
            count,
            if count == 1 {
                "+00"
            } else if count.is_multiple_of(2) {
                "+0000"
            } else {
                "+00:00"
            },
        ),
        'Z' if count <= 3 => offset(2, "+0000"),
        'Z' if count == 4 => Ok(Item::LocalizedOffset(Length::Full)),
        'Z' if count == 5 => offset(5, "Z"),
        _ => Err(format!("unsupported letters: {}", c.to_string().repeat(count))),
    }
}

fn offset(count: usize, zero: &'static str) -> Result<Item, String> {
    let (minutes, seconds, colon) = match count {
        1 => (Part::IfNotZero, Part::Never, false),
        2 => (Part::Always, Part::Never, false),
        3 => (Part::Always, Part::Never, true),
        4 => (Part::Always, Part::IfNotZero, false),
        5 => (Part::Always, Part::IfNotZero, true),
        _ => return Err("too many letters for an offset".to_string()),
    };
    Ok(Item::Offset(OffsetForm { minutes, seconds, colon, zero }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_users_pattern() {
        let items = parse_pattern("yyyy-MM-dd'T'HH:mm:ss.SSSSSS").unwrap();
        assert_eq!(items.len(), 13);
        assert_eq!(items[5], Item::Literal("T".to_string()));
        assert_eq!(items[12], Item::Fraction { digits: 6 });
    }

    #[test]
    fn quotes_and_optional_parts() {
        assert_eq!(parse_pattern("''").unwrap(), vec![Item::Literal("'".to_string())]);
        assert_eq!(parse_pattern("''''").unwrap(), vec![Item::Literal("'".to_string())]);
        assert_eq!(parse_pattern("''y''").unwrap().len(), 3);
        assert_eq!(parse_pattern("'o''clock'").unwrap(), vec![Item::Literal("o'clock".to_string())]);
        let items = parse_pattern("[.S]").unwrap();
        assert_eq!(items, vec![Item::Optional(vec![Item::Literal(".".to_string()), Item::Fraction { digits: 1 }])]);
    }

    #[test]
    fn what_spark_refuses_is_refused() {
        for bad in ["YYYY", "ww", "u", "'x", "]", "{", "MMMMM", "SSSSSSSSSS", "yyyyyyy", "aa", "V", "e", "B"] {
            assert!(parse_pattern(bad).is_err(), "{bad}");
        }
    }
}
