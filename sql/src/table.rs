//! What a table is: its columns, and either a connector with options or a folder of Hive-style Parquet.
//!
//! The definition is pure data, stored in the catalog as JSON. [`TableDef::to_sql`] gives the statement that makes
//! it, which parses back to the same definition.

use serde::{Deserialize, Serialize};

use crate::column_type::ColumnType;
use crate::name::{Name, TableName};
use crate::options::Options;
use crate::redact::redact;

/// A table as defined by CREATE TABLE or CREATE EXTERNAL TABLE.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TableDef {
    /// Its name as written; in the catalog the database is always there.
    pub name: TableName,
    /// The columns, without a Hive table's partition columns.
    pub columns: Vec<ColumnDef>,
    /// What it is for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub comment: Option<String>,
    /// What stands behind it.
    pub kind: TableKind,
}

/// What stands behind a table.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub enum TableKind {
    /// A source or sink outside: `CREATE TABLE … WITH ('connector' = …)`.
    Connector(ConnectorTable),
    /// A folder of Parquet files in Hive's layout: `CREATE EXTERNAL TABLE`.
    Hive(HiveTable),
    /// A query's result that a job keeps up to date: `CREATE MATERIALIZED VIEW`.
    Materialized(MaterializedView),
}

/// A connector's table.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ConnectorTable {
    /// Its event time, if it has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub watermark: Option<Watermark>,
    /// Its options as written, checked against [`crate::options::registry`].
    pub options: Options,
}

/// A materialized view's query.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MaterializedView {
    /// Its query as written.
    pub query: String,
}

/// A Hive table. Its partition columns come after its other columns.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HiveTable {
    /// The partition columns, in the order of the folders.
    pub partition_columns: Vec<ColumnDef>,
    /// The files' format.
    pub format: FileFormat,
    /// Its folder: a path or URL, in which `${VAR}` may stand.
    pub location: String,
    /// Its TBLPROPERTIES as written, checked against [`crate::options::registry`].
    pub properties: Options,
}

/// The format of a Hive table's files.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum FileFormat {
    /// Apache Parquet.
    Parquet,
}

/// A column.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ColumnDef {
    /// Its name.
    pub name: Name,
    /// Its type.
    #[serde(rename = "type")]
    pub column_type: ColumnType,
    /// Whether it may hold NULL. `NOT NULL` on a source makes a row without a value a bad record.
    #[serde(default = "yes", skip_serializing_if = "is_yes")]
    pub nullable: bool,
    /// What it holds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub comment: Option<String>,
}

fn yes() -> bool {
    true
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
fn is_yes(nullable: &bool) -> bool {
    *nullable
}

/// `WATERMARK FOR column AS column - INTERVAL …`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Watermark {
    /// The event time: a TIMESTAMP column.
    pub column: Name,
    /// How far the watermark stays behind the latest event time, in microseconds.
    pub delay_micros: i64,
    /// The expression as written.
    pub expression: String,
}

impl TableDef {
    /// All columns in the table's order: a Hive table's partition columns come last.
    pub fn all_columns(&self) -> impl Iterator<Item = &ColumnDef> {
        let partition_columns = match &self.kind {
            TableKind::Hive(hive) => hive.partition_columns.as_slice(),
            TableKind::Connector(_) | TableKind::Materialized(_) => &[],
        };
        self.columns.iter().chain(partition_columns)
    }

    /// The column of that name, partition columns included.
    pub fn column(&self, name: &Name) -> Option<&ColumnDef> {
        self.all_columns().find(|column| column.name == *name)
    }

    /// The connector's part, if it is a connector's table.
    pub fn connector(&self) -> Option<&ConnectorTable> {
        match &self.kind {
            TableKind::Connector(connector) => Some(connector),
            TableKind::Hive(_) | TableKind::Materialized(_) => None,
        }
    }

    /// The materialized view's part, if it is one.
    pub fn materialized(&self) -> Option<&MaterializedView> {
        match &self.kind {
            TableKind::Materialized(view) => Some(view),
            TableKind::Connector(_) | TableKind::Hive(_) => None,
        }
    }

    /// The Hive part, if it is a Hive table.
    pub fn hive(&self) -> Option<&HiveTable> {
        match &self.kind {
            TableKind::Hive(hive) => Some(hive),
            TableKind::Connector(_) | TableKind::Materialized(_) => None,
        }
    }

    /// The statement that makes this table, as SHOW CREATE TABLE shows it: keys that stand inline are masked.
    pub fn to_sql(&self) -> String {
        if let TableKind::Materialized(view) = &self.kind {
            return self.materialized_sql(view);
        }
        let mut lines: Vec<String> = self.columns.iter().map(column_sql).collect();
        let external = match &self.kind {
            TableKind::Connector(connector) => {
                if let Some(watermark) = &connector.watermark {
                    lines.push(format!("  WATERMARK FOR {} AS {}", watermark.column.to_sql(), watermark.expression));
                }
                ""
            }
            TableKind::Hive(_) => "EXTERNAL ",
            TableKind::Materialized(_) => "",
        };
        let mut sql = format!("CREATE {external}TABLE {} (\n{}\n)", self.name.to_sql(), lines.join(",\n"));
        if let Some(comment) = &self.comment {
            sql.push_str(&format!("\nCOMMENT {}", string_sql(comment)));
        }
        match &self.kind {
            TableKind::Connector(connector) => sql.push_str(&format!("\nWITH {}", options_sql(&connector.options))),
            TableKind::Hive(hive) => sql.push_str(&hive_sql(hive)),
            TableKind::Materialized(_) => {}
        }
        sql
    }

    fn materialized_sql(&self, view: &MaterializedView) -> String {
        let columns: Vec<String> = self.columns.iter().map(|column| column.name.to_sql()).collect();
        let comment = self.comment.as_deref().map_or_else(String::new, |c| format!("\nCOMMENT {}", string_sql(c)));
        let name = self.name.to_sql();
        format!("CREATE MATERIALIZED VIEW {name} ({}){comment} AS\n{}", columns.join(", "), view.query)
    }
}

fn hive_sql(hive: &HiveTable) -> String {
    let mut sql = String::new();
    if !hive.partition_columns.is_empty() {
        let columns: Vec<String> = hive.partition_columns.iter().map(column_sql).collect();
        sql.push_str(&format!("\nPARTITIONED BY (\n{}\n)", columns.join(",\n")));
    }
    let FileFormat::Parquet = hive.format;
    sql.push_str(&format!("\nSTORED AS PARQUET\nLOCATION {}", string_sql(&redact(&hive.location))));
    if !hive.properties.is_empty() {
        sql.push_str(&format!("\nTBLPROPERTIES {}", options_sql(&hive.properties)));
    }
    sql
}

fn column_sql(column: &ColumnDef) -> String {
    let not_null = if column.nullable { "" } else { " NOT NULL" };
    let comment = column.comment.as_deref().map_or_else(String::new, |c| format!(" COMMENT {}", string_sql(c)));
    format!("  {} {}{not_null}{comment}", column.name.to_sql(), column.column_type)
}

fn options_sql(options: &Options) -> String {
    let lines: Vec<String> = options
        .iter()
        .map(|(key, value)| format!("  {} = {}", string_sql(key), string_sql(&options.shown(key, value))))
        .collect();
    format!("(\n{}\n)", lines.join(",\n"))
}

/// A text as a SQL string.
pub(crate) fn string_sql(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}
