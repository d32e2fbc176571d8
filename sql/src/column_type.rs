//! The types of columns, as Spark and Hive spell them: a closed set that the planner maps to Arrow.
//!
//! A type is stored and shown as its text (`ARRAY<STRUCT<a: INT>>`), which parses back to the same type.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::name::{Name, nearest};

/// The largest precision of a DECIMAL.
pub const MAX_DECIMAL_PRECISION: u8 = 38;

/// How deep types may nest.
const MAX_DEPTH: usize = 32;

/// A column's type.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum ColumnType {
    /// `BOOLEAN`.
    Boolean,
    /// `TINYINT`, 8 bits.
    TinyInt,
    /// `SMALLINT`, 16 bits.
    SmallInt,
    /// `INT`, 32 bits.
    Int,
    /// `BIGINT`, 64 bits.
    BigInt,
    /// `FLOAT`, 32 bits.
    Float,
    /// `DOUBLE`, 64 bits.
    Double,
    /// `DECIMAL(precision, scale)`, 1 ≤ precision ≤ 38, scale ≤ precision.
    Decimal {
        /// Digits in all.
        precision: u8,
        /// Digits after the point.
        scale: u8,
    },
    /// `STRING`, UTF-8.
    String,
    /// `BINARY`.
    Binary,
    /// `DATE`.
    Date,
    /// `TIMESTAMP`: microseconds in UTC.
    Timestamp,
    /// `ARRAY<element>`.
    Array(Box<ColumnType>),
    /// `MAP<key, value>`.
    Map(Box<ColumnType>, Box<ColumnType>),
    /// `STRUCT<name: type, …>`.
    Struct(Vec<StructField>),
}

/// A field of a [`ColumnType::Struct`].
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct StructField {
    /// Its name.
    pub name: Name,
    /// Its type.
    pub column_type: ColumnType,
}

impl ColumnType {
    /// Whether it is a single value, as a partition column must be.
    pub fn is_primitive(&self) -> bool {
        !matches!(self, Self::Array(_) | Self::Map(..) | Self::Struct(_))
    }
}

impl fmt::Display for ColumnType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Boolean => f.write_str("BOOLEAN"),
            Self::TinyInt => f.write_str("TINYINT"),
            Self::SmallInt => f.write_str("SMALLINT"),
            Self::Int => f.write_str("INT"),
            Self::BigInt => f.write_str("BIGINT"),
            Self::Float => f.write_str("FLOAT"),
            Self::Double => f.write_str("DOUBLE"),
            Self::Decimal { precision, scale } => write!(f, "DECIMAL({precision},{scale})"),
            Self::String => f.write_str("STRING"),
            Self::Binary => f.write_str("BINARY"),
            Self::Date => f.write_str("DATE"),
            Self::Timestamp => f.write_str("TIMESTAMP"),
            Self::Array(element) => write!(f, "ARRAY<{element}>"),
            Self::Map(key, value) => write!(f, "MAP<{key}, {value}>"),
            Self::Struct(fields) => {
                f.write_str("STRUCT<")?;
                for (i, field) in fields.iter().enumerate() {
                    let comma = if i > 0 { ", " } else { "" };
                    write!(f, "{comma}{}: {}", field.name.to_sql(), field.column_type)?;
                }
                f.write_str(">")
            }
        }
    }
}

impl From<ColumnType> for String {
    fn from(column_type: ColumnType) -> Self {
        column_type.to_string()
    }
}

impl TryFrom<String> for ColumnType {
    type Error = TypeError;

    fn try_from(text: String) -> Result<Self, TypeError> {
        text.parse()
    }
}

/// Why a text is no type.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct TypeError {
    /// What is wrong.
    pub message: String,
    /// What to write instead, where that is clear.
    pub hint: Option<String>,
    /// Which of the tokens it is about (an index into what was given).
    pub(crate) token: usize,
}

/// One token of a type's text. The statement parser makes these from sqlparser's tokens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum TypeToken {
    /// A word; `true` if it was quoted.
    Word(String, bool),
    /// A whole number.
    Number(String),
    /// One of `< > ( ) , :`.
    Mark(char),
    /// Anything else: a type has ended before it.
    Other(String),
}

impl TypeToken {
    fn show(&self) -> String {
        match self {
            Self::Word(text, _) | Self::Number(text) | Self::Other(text) => text.clone(),
            Self::Mark(mark) => mark.to_string(),
        }
    }
}

/// Reads a type from the front of `tokens`; returns it and how many tokens it took.
pub(crate) fn read_type(tokens: &[TypeToken]) -> Result<(ColumnType, usize), TypeError> {
    let mut reader = TypeReader { tokens, at: 0, depth: 0 };
    let column_type = reader.column_type()?;
    Ok((column_type, reader.at))
}

impl std::str::FromStr for ColumnType {
    type Err = TypeError;

    fn from_str(text: &str) -> Result<Self, TypeError> {
        let tokens = tokens_of(text);
        let (column_type, used) = read_type(&tokens)?;
        match tokens.get(used) {
            None => Ok(column_type),
            Some(token) => {
                Err(TypeError { message: format!("'{}' after the type", token.show()), hint: None, token: used })
            }
        }
    }
}

/// Tokens of a type's text on its own.
fn tokens_of(text: &str) -> Vec<TypeToken> {
    let mut tokens = Vec::new();
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        let token = match c {
            c if c.is_whitespace() => continue,
            '<' | '>' | '(' | ')' | ',' | ':' => TypeToken::Mark(c),
            '"' | '`' => TypeToken::Word(quoted(&mut chars, c), true),
            c if c.is_ascii_digit() => TypeToken::Number(run(&mut chars, c, |c| c.is_ascii_digit())),
            c if c.is_alphabetic() || c == '_' => {
                TypeToken::Word(run(&mut chars, c, |c| c.is_alphanumeric() || c == '_' || c == '$'), false)
            }
            c => TypeToken::Other(c.to_string()),
        };
        tokens.push(token);
    }
    tokens
}

type Chars<'a> = std::iter::Peekable<std::str::Chars<'a>>;

fn run(chars: &mut Chars<'_>, first: char, part: impl Fn(char) -> bool) -> String {
    let mut text = String::from(first);
    while let Some(c) = chars.next_if(|c| part(*c)) {
        text.push(c);
    }
    text
}

fn quoted(chars: &mut Chars<'_>, quote: char) -> String {
    let mut text = String::new();
    while let Some(c) = chars.next() {
        if c == quote && chars.next_if_eq(&quote).is_none() {
            break;
        }
        text.push(c);
    }
    text
}

struct TypeReader<'a> {
    tokens: &'a [TypeToken],
    at: usize,
    depth: usize,
}

impl TypeReader<'_> {
    fn column_type(&mut self) -> Result<ColumnType, TypeError> {
        if self.depth >= MAX_DEPTH {
            return Err(self.error(format!("types nest at most {MAX_DEPTH} deep")));
        }
        let Some(TypeToken::Word(word, false)) = self.tokens.get(self.at) else {
            return Err(self.expected("a type"));
        };
        let word = word.to_ascii_uppercase();
        let start = self.at;
        self.at += 1;
        let simple = match word.as_str() {
            "BOOLEAN" | "BOOL" => ColumnType::Boolean,
            "TINYINT" | "BYTE" => ColumnType::TinyInt,
            "SMALLINT" | "SHORT" => ColumnType::SmallInt,
            "INT" | "INTEGER" => ColumnType::Int,
            "BIGINT" | "LONG" => ColumnType::BigInt,
            "FLOAT" | "REAL" => ColumnType::Float,
            "DOUBLE" => {
                self.eat_word("PRECISION");
                ColumnType::Double
            }
            "STRING" => ColumnType::String,
            "BINARY" => ColumnType::Binary,
            "DATE" => ColumnType::Date,
            "TIMESTAMP" | "TIMESTAMP_LTZ" => ColumnType::Timestamp,
            "DECIMAL" | "DEC" | "NUMERIC" => return self.decimal(),
            "ARRAY" | "MAP" | "STRUCT" => {
                self.depth += 1;
                let nested = self.nested(&word);
                self.depth -= 1;
                return nested;
            }
            _ => return Err(unknown_type(&word, start)),
        };
        Ok(simple)
    }

    fn decimal(&mut self) -> Result<ColumnType, TypeError> {
        let (mut precision, mut scale) = (10, 0);
        if self.eat('(') {
            let at = self.at;
            precision = self.number()?;
            if self.eat(',') {
                scale = self.number()?;
            }
            self.expect(')')?;
            if precision == 0 || precision > u32::from(MAX_DECIMAL_PRECISION) || scale > precision {
                return Err(TypeError {
                    message: format!("DECIMAL({precision},{scale}) is out of range"),
                    hint: Some(format!(
                        "the precision is 1 to {MAX_DECIMAL_PRECISION}, the scale at most the precision"
                    )),
                    token: at,
                });
            }
        }
        let narrow = |n: u32| u8::try_from(n).unwrap_or(MAX_DECIMAL_PRECISION);
        Ok(ColumnType::Decimal { precision: narrow(precision), scale: narrow(scale) })
    }

    fn nested(&mut self, word: &str) -> Result<ColumnType, TypeError> {
        self.expect('<')?;
        let nested = match word {
            "ARRAY" => ColumnType::Array(Box::new(self.column_type()?)),
            "MAP" => {
                let key_at = self.at;
                let key = self.column_type()?;
                if matches!(key, ColumnType::Map(..)) {
                    return Err(TypeError {
                        message: "a MAP can't be the key of a MAP".into(),
                        hint: None,
                        token: key_at,
                    });
                }
                self.expect(',')?;
                ColumnType::Map(Box::new(key), Box::new(self.column_type()?))
            }
            _ => ColumnType::Struct(self.fields()?),
        };
        self.expect('>')?;
        Ok(nested)
    }

    fn fields(&mut self) -> Result<Vec<StructField>, TypeError> {
        let mut fields: Vec<StructField> = Vec::new();
        loop {
            let Some(TypeToken::Word(word, _)) = self.tokens.get(self.at) else {
                return Err(self.expected("a field name"));
            };
            let name = Name::new(word.clone()).map_err(|e| self.error(e.to_string()))?;
            if fields.iter().any(|field| field.name == name) {
                return Err(self.error(format!("field '{name}' appears twice")));
            }
            self.at += 1;
            self.eat(':');
            fields.push(StructField { name, column_type: self.column_type()? });
            if !self.eat(',') {
                return Ok(fields);
            }
        }
    }

    fn number(&mut self) -> Result<u32, TypeError> {
        let Some(TypeToken::Number(text)) = self.tokens.get(self.at) else {
            return Err(self.expected("a whole number"));
        };
        let number = text.parse().map_err(|_| self.error(format!("{text} is not a whole number in range")))?;
        self.at += 1;
        Ok(number)
    }

    fn eat(&mut self, mark: char) -> bool {
        let found = self.tokens.get(self.at) == Some(&TypeToken::Mark(mark));
        self.at += usize::from(found);
        found
    }

    fn eat_word(&mut self, expected: &str) {
        if matches!(self.tokens.get(self.at), Some(TypeToken::Word(word, false)) if word.eq_ignore_ascii_case(expected))
        {
            self.at += 1;
        }
    }

    fn expect(&mut self, mark: char) -> Result<(), TypeError> {
        if self.eat(mark) { Ok(()) } else { Err(self.expected(&format!("'{mark}'"))) }
    }

    fn expected(&self, what: &str) -> TypeError {
        match self.tokens.get(self.at) {
            Some(token) => self.error(format!("expected {what}, found '{}'", token.show())),
            None => self.error(format!("expected {what}")),
        }
    }

    fn error(&self, message: String) -> TypeError {
        TypeError { message, hint: None, token: self.at }
    }
}

/// The names that a suggestion may come from.
const NAMES: [&str; 15] = [
    "BOOLEAN",
    "TINYINT",
    "SMALLINT",
    "INT",
    "BIGINT",
    "FLOAT",
    "DOUBLE",
    "DECIMAL",
    "STRING",
    "BINARY",
    "DATE",
    "TIMESTAMP",
    "ARRAY",
    "MAP",
    "STRUCT",
];

fn unknown_type(word: &str, token: usize) -> TypeError {
    let hint = match word {
        "VARCHAR" | "CHAR" | "CHARACTER" | "TEXT" | "NVARCHAR" => {
            "write STRING: lengths of strings are not enforced".to_owned()
        }
        "TIMESTAMP_NTZ" | "DATETIME" => "write TIMESTAMP: microseconds in UTC, which Hive reads too".to_owned(),
        "BLOB" | "BYTEA" | "VARBINARY" => "write BINARY".to_owned(),
        "TIME" | "INTERVAL" => "there is no such column type: write STRING or BIGINT".to_owned(),
        _ => match nearest(word, NAMES) {
            Some(name) => format!("did you mean {name}?"),
            None => format!("types are {}", NAMES.join(", ")),
        },
    };
    TypeError { message: format!("unknown type {word}"), hint: Some(hint), token }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    pub(crate) fn any_type() -> impl Strategy<Value = ColumnType> {
        let leaf = prop_oneof![
            Just(ColumnType::Boolean),
            Just(ColumnType::TinyInt),
            Just(ColumnType::BigInt),
            Just(ColumnType::Double),
            Just(ColumnType::String),
            Just(ColumnType::Timestamp),
            (1_u8..=38)
                .prop_flat_map(|p| (Just(p), 0..=p))
                .prop_map(|(precision, scale)| ColumnType::Decimal { precision, scale }),
        ];
        leaf.prop_recursive(4, 16, 3, |inner| {
            prop_oneof![
                inner.clone().prop_map(|t| ColumnType::Array(Box::new(t))),
                (Just(ColumnType::String), inner.clone()).prop_map(|(k, v)| ColumnType::Map(Box::new(k), Box::new(v))),
                prop::collection::btree_map("[a-z\" ]{1,5}", inner, 1..4).prop_map(|fields| {
                    ColumnType::Struct(
                        fields
                            .into_iter()
                            .map(|(name, column_type)| StructField { name: Name::new(name).unwrap(), column_type })
                            .collect(),
                    )
                }),
            ]
        })
    }

    proptest! {
        #[test]
        fn text_round_trip(column_type in any_type()) {
            prop_assert_eq!(column_type.to_string().parse::<ColumnType>().unwrap(), column_type);
        }

        #[test]
        fn any_text(text in any::<String>()) {
            let _ = text.parse::<ColumnType>();
        }
    }

    #[test]
    fn errors_say_what_to_write() {
        for (text, expected) in [
            ("VARCHAR(20)", "unknown type VARCHAR"),
            ("DECIMAL(40,2)", "DECIMAL(40,2) is out of range"),
            ("ARRAY INT", "expected '<', found 'INT'"),
            ("STRUCT<a INT, A INT>", "field 'A' appears twice"),
            ("MAP<MAP<INT,INT>,INT>", "a MAP can't be the key of a MAP"),
            ("INT INT", "'INT' after the type"),
            ("", "expected a type"),
        ] {
            assert_eq!(text.parse::<ColumnType>().unwrap_err().to_string(), expected, "{text}");
        }
        assert_eq!(unknown_type("STRIMG", 0).hint.as_deref(), Some("did you mean STRING?"));
    }
}
