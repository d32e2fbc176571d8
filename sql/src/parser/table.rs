//! Tables' definitions: columns, watermark, options, partitions, location.

use sqlparser::ast::{BinaryOperator, Expr, Interval, Value};
use sqlparser::tokenizer::Token;

use super::StatementParser;
use crate::column_type::{ColumnType, TypeToken, read_type};
use crate::error::{Position, SqlError};
use crate::name::{Name, TableName};
use crate::options::{OptionEntry, Options, check_connector, check_hive};
use crate::table::{ColumnDef, ConnectorTable, FileFormat, HiveTable, TableDef, TableKind, Watermark};
use crate::units::{duration_unit, parse_duration_micros, scale};

/// Columns that each Event Hubs table has besides its own.
pub const EVENTHUBS_METADATA: [&str; 6] =
    ["_partition", "_sequence_number", "_offset", "_enqueued_time", "_partition_key", "_properties"];

/// Names of our own beside a table: `logs$bad_records`.
pub(super) fn check_new_name(name: &TableName, at: Position) -> Result<(), SqlError> {
    if name.name.key().contains('$') {
        return Err(SqlError::new(
            at,
            format!("'{}' can't be created: names with $ are for tables that the engine keeps itself", name.name),
        ));
    }
    Ok(())
}

/// A watermark and its place.
type PlacedWatermark = (Watermark, Position);

/// A column with the places of its name and type.
struct Placed {
    column: ColumnDef,
    at: Position,
    type_at: Position,
}

/// The clauses after a table's columns.
#[derive(Default)]
struct Clauses {
    comment: Option<String>,
    partitions: Option<Vec<(Name, Option<Placed>, Position)>>,
    stored_as: Option<Position>,
    location: Option<(String, Position)>,
    with: Option<(Options, Position)>,
    properties: Option<(Options, Position)>,
}

impl StatementParser<'_> {
    /// The rest of `CREATE [EXTERNAL] TABLE [IF NOT EXISTS]`.
    pub(super) fn table_def(&mut self, external: bool) -> Result<TableDef, SqlError> {
        let name_at = self.at();
        let name = self.table_name("a table")?;
        check_new_name(&name, name_at)?;
        if self.is_word(0, "AS") {
            return Err(SqlError::new(self.at(), "CREATE TABLE … AS is not supported")
                .with_hint("create the table with its columns, then INSERT INTO it; or CREATE VIEW … AS"));
        }
        let (columns, watermark) = self.columns()?;
        let clauses = self.clauses()?;
        if external {
            hive_table(name, name_at, columns, watermark, clauses)
        } else {
            self.connector_table(name, name_at, columns, watermark, clauses)
        }
    }

    fn columns(&mut self) -> Result<(Vec<Placed>, Option<PlacedWatermark>), SqlError> {
        self.expect_token(&Token::LParen)?;
        let mut columns: Vec<Placed> = Vec::new();
        let mut watermark = None;
        loop {
            if self.is_word(0, "WATERMARK") && self.is_word(1, "FOR") {
                let at = self.at();
                if watermark.is_some() {
                    return Err(SqlError::new(at, "a table has at most one watermark"));
                }
                watermark = Some((self.watermark()?, at));
            } else {
                let column = self.column()?;
                check_distinct(&columns, &column)?;
                columns.push(column);
            }
            if !self.eat_token(&Token::Comma) {
                break;
            }
        }
        if *self.peek() != Token::RParen {
            return Err(self.unexpected("',' or ')' after a column"));
        }
        self.parser.advance_token();
        Ok((columns, watermark))
    }

    /// `name TYPE [NOT NULL | NULL] [COMMENT 'c']`, where `name: TYPE` is understood too.
    fn column(&mut self) -> Result<Placed, SqlError> {
        let at = self.at();
        let name = self.name("a column")?;
        self.eat_token(&Token::Colon);
        let type_at = self.at();
        let column_type = self.column_type()?;
        let (mut nullable, mut comment) = (true, None);
        loop {
            if self.eat(&["NOT", "NULL"]) {
                nullable = false;
            } else if self.eat(&["NULL"]) {
            } else if comment.is_none() && self.eat(&["COMMENT"]) {
                comment = Some(self.string("a comment in quotes")?);
            } else {
                break;
            }
        }
        Ok(Placed { column: ColumnDef { name, column_type, nullable, comment }, at, type_at })
    }

    /// A type, read from the tokens ahead. `>>` counts as two `>`.
    fn column_type(&mut self) -> Result<ColumnType, SqlError> {
        let mut tokens = Vec::new();
        let mut owners = Vec::new();
        let mut depth = 0_i32;
        for n in 0.. {
            let token = &self.parser.peek_nth_token_ref(n).token;
            let before = tokens.len();
            match token {
                Token::Word(word) => tokens.push(TypeToken::Word(word.value.clone(), word.quote_style.is_some())),
                Token::Number(number, _) => tokens.push(TypeToken::Number(number.clone())),
                Token::Lt => tokens.push(TypeToken::Mark('<')),
                Token::Gt => tokens.push(TypeToken::Mark('>')),
                Token::ShiftRight => tokens.extend([TypeToken::Mark('>'), TypeToken::Mark('>')]),
                Token::LParen => tokens.push(TypeToken::Mark('(')),
                Token::RParen => tokens.push(TypeToken::Mark(')')),
                Token::Comma => tokens.push(TypeToken::Mark(',')),
                Token::Colon => tokens.push(TypeToken::Mark(':')),
                Token::EOF => break,
                other => {
                    tokens.push(TypeToken::Other(other.to_string()));
                    break;
                }
            }
            owners.extend(std::iter::repeat_n(n, tokens.len() - before));
            match token {
                Token::Lt | Token::LParen => depth += 1,
                Token::Gt => depth -= 1,
                Token::ShiftRight => depth -= 2,
                // The mark after the type, which an error may be about.
                Token::Comma | Token::RParen if depth <= 0 => break,
                Token::RParen => depth -= 1,
                _ => {}
            }
        }
        match read_type(&tokens) {
            Ok((column_type, used)) => {
                let last = used.checked_sub(1).and_then(|i| owners.get(i)).copied().unwrap_or(0);
                // A `>>` of which only the first half belongs to the type.
                if owners.get(used) == Some(&last) {
                    return Err(SqlError::new(self.at(), "the type has one '>' too many"));
                }
                (0..=last).for_each(|_| self.parser.advance_token());
                Ok(column_type)
            }
            Err(error) => {
                let at = match owners.get(error.token) {
                    Some(n) => super::position(self.parser.peek_nth_token_ref(*n).span.start),
                    None => self.end,
                };
                Err(SqlError::new(at, error.message).with_optional_hint(error.hint))
            }
        }
    }

    /// `WATERMARK FOR column AS column [- INTERVAL …]`.
    fn watermark(&mut self) -> Result<Watermark, SqlError> {
        self.expect(&["WATERMARK", "FOR"])?;
        let column = self.name("a column")?;
        self.expect(&["AS"])?;
        let start = self.at();
        let expression = self.parser.parse_expr().map_err(|error| self.convert(error))?;
        let hint = format!("write WATERMARK FOR {column} AS {column} - INTERVAL '10' SECOND");
        let wrong = |message: &str| SqlError::new(start, message).with_hint(&hint);
        let delay_micros = match &expression {
            Expr::Identifier(ident) if ident.value.to_lowercase() == column.key() => 0,
            Expr::BinaryOp { left, op: BinaryOperator::Minus, right } => match (&**left, &**right) {
                (Expr::Identifier(ident), Expr::Interval(interval)) if ident.value.to_lowercase() == column.key() => {
                    interval_micros(interval)
                        .ok_or_else(|| wrong("the delay of a watermark is a fixed interval that is not negative"))?
                }
                _ => return Err(wrong("a watermark is its column minus an interval")),
            },
            _ => return Err(wrong("a watermark is its column minus an interval")),
        };
        Ok(Watermark { column, delay_micros, expression: self.text_taken_from(start).to_owned() })
    }

    fn clauses(&mut self) -> Result<Clauses, SqlError> {
        let mut clauses = Clauses::default();
        loop {
            let at = self.at();
            let twice = if self.eat(&["COMMENT"]) {
                clauses.comment.replace(self.string("a comment in quotes")?).is_some()
            } else if self.eat(&["PARTITIONED", "BY"]) {
                clauses.partitions.replace(self.partitions()?).is_some()
            } else if self.eat(&["STORED", "AS"]) {
                self.stored_as()?;
                clauses.stored_as.replace(at).is_some()
            } else if self.eat(&["LOCATION"]) {
                let value_at = self.at();
                clauses.location.replace((self.string("a location in quotes")?, value_at)).is_some()
            } else if self.eat(&["WITH"]) {
                clauses.with.replace((self.options()?, at)).is_some()
            } else if self.eat(&["TBLPROPERTIES"]) {
                clauses.properties.replace((self.options()?, at)).is_some()
            } else {
                return self.after_clauses().map(|()| clauses);
            };
            if twice {
                return Err(SqlError::new(at, "this clause appears twice"));
            }
        }
    }

    /// Clauses of Spark and Hive that users may bring, and that mean something else or nothing here.
    fn after_clauses(&self) -> Result<(), SqlError> {
        let hint = if self.is_word(0, "USING") {
            "write CREATE EXTERNAL TABLE … STORED AS PARQUET LOCATION '…'"
        } else if self.is_word(0, "ROW")
            || self.is_word(0, "CLUSTERED")
            || self.is_word(0, "SKEWED")
            || self.is_word(0, "STORED")
        {
            "files are Parquet: write STORED AS PARQUET and leave this clause out"
        } else if self.is_word(0, "OPTIONS") {
            "write WITH (…) for a connector's table, TBLPROPERTIES (…) for an external table"
        } else if self.is_word(0, "AS") {
            "create the table first, then INSERT INTO it"
        } else {
            return Ok(());
        };
        Err(self.unexpected("the end of the statement").with_hint(hint))
    }

    fn stored_as(&mut self) -> Result<(), SqlError> {
        if self.eat(&["PARQUET"]) {
            return Ok(());
        }
        Err(self.unexpected("PARQUET").with_hint("external tables are stored as Parquet"))
    }

    /// `(name TYPE …, …)`, or names of columns in the list before.
    fn partitions(&mut self) -> Result<Vec<(Name, Option<Placed>, Position)>, SqlError> {
        self.expect_token(&Token::LParen)?;
        let mut partitions = Vec::new();
        loop {
            let at = self.at();
            let bare = matches!(self.parser.peek_nth_token_ref(1).token, Token::Comma | Token::RParen);
            if bare {
                partitions.push((self.name("a partition column")?, None, at));
            } else {
                let placed = self.column()?;
                partitions.push((placed.column.name.clone(), Some(placed), at));
            }
            if !self.eat_token(&Token::Comma) {
                break;
            }
        }
        self.expect_token(&Token::RParen)?;
        Ok(partitions)
    }

    /// `('key' = 'value', …)`. Keys may also be words with dots, values also numbers and TRUE or FALSE.
    fn options(&mut self) -> Result<Options, SqlError> {
        self.expect_token(&Token::LParen)?;
        let mut options = Options::default();
        if self.eat_token(&Token::RParen) {
            return Ok(options);
        }
        loop {
            let key_at = self.at();
            let key = self.option_key()?;
            self.expect_token(&Token::Eq)?;
            let value_at = self.at();
            let value = self.option_value()?;
            if !options.insert(&key, OptionEntry { value, key_at, value_at }) {
                return Err(SqlError::new(key_at, format!("option '{}' is given twice", key.to_lowercase())));
            }
            if !self.eat_token(&Token::Comma) {
                break;
            }
        }
        if *self.peek() != Token::RParen {
            return Err(self.unexpected("',' or ')' after an option"));
        }
        self.parser.advance_token();
        Ok(options)
    }

    fn option_key(&mut self) -> Result<String, SqlError> {
        if matches!(self.peek(), Token::SingleQuotedString(_)) {
            return self.string("an option");
        }
        let mut key = self.name("an option in quotes")?.key().to_owned();
        while self.eat_token(&Token::Period) {
            key.push('.');
            key.push_str(self.name("an option")?.key());
        }
        Ok(key)
    }

    fn option_value(&mut self) -> Result<String, SqlError> {
        let sign = if self.eat_token(&Token::Minus) { "-" } else { "" };
        let value = match self.peek() {
            Token::Number(number, _) => format!("{sign}{number}"),
            Token::Word(word)
                if sign.is_empty()
                    && word.quote_style.is_none()
                    && matches!(word.value.to_ascii_lowercase().as_str(), "true" | "false") =>
            {
                word.value.to_ascii_lowercase()
            }
            _ if sign.is_empty() => return self.string("a value in quotes"),
            _ => return Err(self.unexpected("a number")),
        };
        self.parser.advance_token();
        Ok(value)
    }

    fn connector_table(
        &self,
        name: TableName,
        name_at: Position,
        columns: Vec<Placed>,
        watermark: Option<PlacedWatermark>,
        clauses: Clauses,
    ) -> Result<TableDef, SqlError> {
        let external_hint = "write CREATE EXTERNAL TABLE … STORED AS PARQUET LOCATION '…' for a table of Parquet files";
        let partitioned = clauses.partitions.as_ref().and_then(|p| p.first()).map(|p| p.2);
        let misplaced = [
            (clauses.stored_as, "STORED AS"),
            (clauses.location.as_ref().map(|l| l.1), "LOCATION"),
            (partitioned, "PARTITIONED BY"),
            (clauses.properties.as_ref().map(|p| p.1), "TBLPROPERTIES"),
        ];
        for (at, clause) in misplaced {
            if let Some(at) = at {
                return Err(SqlError::new(at, format!("{clause} is for external tables")).with_hint(external_hint));
            }
        }
        let Some((options, with_at)) = clauses.with else {
            return Err(self
                .unexpected("WITH ('connector' = '…', …)")
                .with_hint("a table needs a connector, or is an external table: CREATE EXTERNAL TABLE … STORED AS PARQUET LOCATION '…'"));
        };
        let chosen = check_connector(&options, with_at)?;
        let is_eventhubs = chosen.connector.name == "eventhubs";
        if is_eventhubs {
            if let Some(placed) = columns.iter().find(|placed| EVENTHUBS_METADATA.contains(&placed.column.name.key())) {
                return Err(SqlError::new(
                    placed.at,
                    format!("each Event Hubs table has a column '{}' already", placed.column.name),
                )
                .with_hint("leave it out"));
            }
        }
        if chosen.format.is_some_and(|format| format.name == "text") {
            check_text_columns(&columns, name_at)?;
        }
        if let Some((watermark, at)) = &watermark {
            check_watermark(watermark, *at, &columns, is_eventhubs)?;
        }
        let kind =
            TableKind::Connector(ConnectorTable { watermark: watermark.map(|(watermark, _)| watermark), options });
        Ok(TableDef {
            name,
            columns: columns.into_iter().map(|placed| placed.column).collect(),
            comment: clauses.comment,
            kind,
        })
    }
}

fn check_distinct(columns: &[Placed], column: &Placed) -> Result<(), SqlError> {
    if columns.iter().any(|other| other.column.name == column.column.name) {
        return Err(SqlError::new(column.at, format!("column '{}' appears twice", column.column.name)));
    }
    Ok(())
}

/// `'format' = 'text'` fills one column.
fn check_text_columns(columns: &[Placed], name_at: Position) -> Result<(), SqlError> {
    let wrong = |at| {
        SqlError::new(at, "a table with 'format' = 'text' has one column, a STRING or BINARY")
            .with_hint("write (body STRING), or another format for typed columns")
    };
    match columns {
        [placed] if matches!(placed.column.column_type, ColumnType::String | ColumnType::Binary) => Ok(()),
        [placed] => Err(wrong(placed.type_at)),
        [_, second, ..] => Err(wrong(second.at)),
        [] => Err(wrong(name_at)),
    }
}

fn check_watermark(
    watermark: &Watermark,
    at: Position,
    columns: &[Placed],
    is_eventhubs: bool,
) -> Result<(), SqlError> {
    if is_eventhubs && watermark.column.key() == "_enqueued_time" {
        return Ok(());
    }
    match columns.iter().find(|placed| placed.column.name == watermark.column) {
        Some(placed) if placed.column.column_type == ColumnType::Timestamp => Ok(()),
        Some(placed) => Err(SqlError::new(
            at,
            format!("the watermark's column '{}' is {}, not TIMESTAMP", watermark.column, placed.column.column_type),
        )),
        None => {
            let near = crate::name::nearest(
                watermark.column.as_str(),
                columns.iter().map(|placed| placed.column.name.as_str()),
            );
            Err(SqlError::new(at, format!("the watermark's column '{}' is not in the table", watermark.column))
                .with_optional_hint(near.map(|name| format!("did you mean '{name}'?"))))
        }
    }
}

fn hive_table(
    name: TableName,
    name_at: Position,
    mut columns: Vec<Placed>,
    watermark: Option<PlacedWatermark>,
    clauses: Clauses,
) -> Result<TableDef, SqlError> {
    if let Some((_, at)) = watermark {
        return Err(SqlError::new(at, "an external table has no watermark")
            .with_hint("give it to the table that the job reads from"));
    }
    if let Some((_, at)) = clauses.with {
        return Err(SqlError::new(at, "WITH is for connectors' tables")
            .with_hint("write TBLPROPERTIES (…) for an external table"));
    }
    if clauses.stored_as.is_none() {
        return Err(SqlError::new(name_at, "the external table needs STORED AS PARQUET"));
    }
    let Some((location, location_at)) = clauses.location else {
        return Err(SqlError::new(name_at, "the external table needs a LOCATION")
            .with_hint("write LOCATION 'abfss://…', or a folder on the server's disk"));
    };
    if location.trim().is_empty() {
        return Err(SqlError::new(location_at, "the LOCATION is empty"));
    }
    let mut partition_columns: Vec<ColumnDef> = Vec::new();
    for (partition, placed, at) in clauses.partitions.unwrap_or_default() {
        let column = partition_column(&mut columns, &partition, placed, at)?;
        if partition_columns.iter().any(|other| other.name == column.name) {
            return Err(SqlError::new(at, format!("partition column '{partition}' appears twice")));
        }
        partition_columns.push(column);
    }
    if columns.is_empty() {
        return Err(SqlError::new(name_at, "the table has no columns besides its partition columns")
            .with_hint("files need at least one column"));
    }
    let properties = clauses.properties.map(|(properties, _)| properties).unwrap_or_default();
    check_hive(&properties)?;
    let kind = TableKind::Hive(HiveTable { partition_columns, format: FileFormat::Parquet, location, properties });
    Ok(TableDef {
        name,
        columns: columns.into_iter().map(|placed| placed.column).collect(),
        comment: clauses.comment,
        kind,
    })
}

/// A partition column: defined in place (Hive), or taken out of the columns (Spark).
fn partition_column(
    columns: &mut Vec<Placed>,
    name: &Name,
    placed: Option<Placed>,
    at: Position,
) -> Result<ColumnDef, SqlError> {
    let listed = columns.iter().position(|other| other.column.name == *name);
    let placed = match (placed, listed) {
        (Some(_), Some(_)) => {
            return Err(SqlError::new(at, format!("partition column '{name}' is also an ordinary column")).with_hint(
                "a partition column stands in PARTITIONED BY only: it is in the folders' names, not in the files",
            ));
        }
        (Some(placed), None) => placed,
        (None, Some(index)) => columns.remove(index),
        (None, None) => {
            return Err(SqlError::new(at, format!("partition column '{name}' has no type"))
                .with_hint(format!("write {name} STRING")));
        }
    };
    if !placed.column.column_type.is_primitive() || matches!(placed.column.column_type, ColumnType::Binary) {
        return Err(SqlError::new(
            placed.type_at,
            format!("a partition column can't be {}", placed.column.column_type),
        ));
    }
    Ok(placed.column)
}

/// The length of an interval in microseconds, if it has a fixed one that is not negative.
fn interval_micros(interval: &Interval) -> Option<i64> {
    if interval.last_field.is_some() {
        return None;
    }
    let value = match &*interval.value {
        Expr::Value(value) => match &value.value {
            Value::SingleQuotedString(text) => text.trim().to_owned(),
            Value::Number(number, _) => number.clone(),
            _ => return None,
        },
        _ => return None,
    };
    match &interval.leading_field {
        Some(field) => scale(&value, duration_unit(&field.to_string())?)
            .filter(|_| value.chars().all(|c| c.is_ascii_digit() || c == '.')),
        None => parse_duration_micros(&value),
    }
}
