//! What a table looks like on its store: folder, columns, options.
//!
//! Invariants, checked by [`TableLayout::new`]: column names are lower-case and unique, as Hive wants them; the partition
//! columns are the last ones and in order; every type is one that Parquet files of Hive tables can hold.

use crate::error::{HiveError, Result};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef, TimeUnit};
use object_store::ObjectStore;
use object_store::path::Path;
use salamander_types::TableId;
use std::sync::Arc;
use std::time::Duration;

/// The hidden folder inside a table's folder.
pub const HIDDEN_FOLDER: &str = "_salamander";

/// How Parquet files hold strings that are mostly distinct.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum TextEncoding {
    /// Lengths and common beginnings as packed differences (DELTA_LENGTH_BYTE_ARRAY, DELTA_BYTE_ARRAY): smaller, and a
    /// fifth of the CPU. Read by Spark from 3.3, Hive, Trino, Arrow, DuckDB.
    #[default]
    Delta,
    /// Each value with its length (PLAIN): for Spark before 3.3, whose vectorised reader knows nothing else.
    Plain,
}

/// How a table's rows become files.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TableOptions {
    /// A Hive partition is rolled when about this many bytes of Parquet would come of its unrolled rows.
    pub roll_size: u64,
    /// … or when its oldest unrolled rows are this old.
    pub roll_interval: Duration,
    /// Most bytes of segment parts that go into one roll. Together with twice `roll_size` it bounds a roll's memory.
    pub roll_input_limit: u64,
    /// zstd level of the Parquet files, 1 to 22.
    pub zstd_level: i32,
    /// A row group ends with the block of a segment that brings it to this many rows.
    pub row_group_rows: usize,
    /// How files hold strings that are mostly distinct.
    pub text_encoding: TextEncoding,
}

impl Default for TableOptions {
    fn default() -> Self {
        Self {
            roll_size: 128 << 20,
            roll_interval: Duration::from_secs(300),
            roll_input_limit: 512 << 20,
            zstd_level: 1,
            row_group_rows: 1 << 20,
            text_encoding: TextEncoding::default(),
        }
    }
}

/// Where a table lives.
#[derive(Debug, Clone)]
pub struct TableLocation {
    /// The store, which must support create-if-absent and make a Create durable before it answers.
    pub store: Arc<dyn ObjectStore>,
    /// The table's folder within the store.
    pub root: Path,
}

/// A table on its store.
#[derive(Debug, Clone)]
pub struct TableLayout {
    /// The table's id.
    pub id: TableId,
    /// Its name, for errors: `db.table`.
    pub name: String,
    /// Where it is.
    pub location: TableLocation,
    /// How rows become files.
    pub options: TableOptions,
    schema: SchemaRef,
    file_schema: SchemaRef,
    partition_columns: Vec<String>,
}

impl TableLayout {
    /// Describes a table. `schema` holds all columns, the partition columns last and in order. Column names become
    /// lower-case; a TIMESTAMP of whatever unit and zone becomes microseconds in UTC.
    ///
    /// # Errors
    /// When the columns can't be those of a Hive table.
    pub fn new(
        id: TableId,
        name: impl Into<String>,
        location: TableLocation,
        schema: &Schema,
        partition_columns: &[String],
        options: TableOptions,
    ) -> Result<Self> {
        let name = name.into();
        let fields: Vec<Field> = schema.fields().iter().map(|f| canonical_field(f)).collect();
        let partition_columns: Vec<String> = partition_columns.iter().map(|c| c.to_lowercase()).collect();
        check_columns(&name, &fields, &partition_columns)?;
        let files = fields.len() - partition_columns.len();
        let file_schema = Arc::new(Schema::new(fields[..files].to_vec()));
        Ok(Self { id, name, location, options, schema: Arc::new(Schema::new(fields)), file_schema, partition_columns })
    }

    /// All columns, the partition columns last.
    pub fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    /// The columns that stand in files: all but the partition columns.
    pub fn file_schema(&self) -> &SchemaRef {
        &self.file_schema
    }

    /// Names of the partition columns, in order.
    pub fn partition_columns(&self) -> &[String] {
        &self.partition_columns
    }

    /// The partition columns with their types.
    pub fn partition_fields(&self) -> &[Arc<Field>] {
        &self.schema.fields()[self.file_schema.fields().len()..]
    }

    /// The URL under which DataFusion finds the table's store: one a table, since local stores are rooted at the
    /// table's folder. [`crate::scan::HiveTable`] registers it.
    pub fn store_url(&self) -> String {
        format!("salamander-table://{}/", self.id)
    }

    /// The object behind a path relative to the table's folder, as manifests hold it.
    ///
    /// # Errors
    /// When the path is not one that a store can hold.
    pub fn object(&self, relative: &str) -> Result<Path> {
        let root = self.location.root.as_ref();
        let full = if root.is_empty() { relative.to_owned() } else { format!("{root}/{relative}") };
        Path::parse(&full).map_err(|e| HiveError::invalid(full, format!("not a path: {e}")))
    }

    /// The path relative to the table's folder of an object in it.
    pub(crate) fn relative<'a>(&self, object: &'a Path) -> Option<&'a str> {
        let root = self.location.root.as_ref();
        let rest = object.as_ref().strip_prefix(root)?;
        if root.is_empty() { Some(rest) } else { rest.strip_prefix('/') }
    }

    /// The object's place for errors: table and path.
    pub(crate) fn place(&self, relative: &str) -> String {
        format!("table {}, {relative}", self.name)
    }
}

fn canonical_field(field: &Field) -> Field {
    let data_type = match field.data_type() {
        DataType::Timestamp(_, _) => DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())),
        other => other.clone(),
    };
    // Hive columns are always nullable.
    Field::new(field.name().to_lowercase(), data_type, true)
}

fn check_columns(table: &str, fields: &[Field], partition_columns: &[String]) -> Result<()> {
    if fields.len() <= partition_columns.len() {
        return Err(HiveError::invalid(table, "a table needs at least one column that is not a partition column"));
    }
    for (i, field) in fields.iter().enumerate() {
        if fields[..i].iter().any(|f| f.name() == field.name()) {
            let message = format!("column '{}' is there twice: Hive's column names do not know case", field.name());
            return Err(HiveError::invalid(table, message));
        }
    }
    let last = &fields[fields.len() - partition_columns.len()..];
    for (field, wanted) in last.iter().zip(partition_columns) {
        if field.name() != wanted {
            let message =
                format!("partition column '{wanted}' is not where it belongs: partition columns come last, in order");
            return Err(HiveError::invalid(table, message));
        }
        if !is_partition_type(field.data_type()) {
            let message = format!(
                "partition column '{wanted}' has type {}, which has no text form for a folder's name; use STRING, a \
                 number, BOOLEAN, DATE or TIMESTAMP",
                field.data_type()
            );
            return Err(HiveError::invalid(table, message));
        }
    }
    Ok(())
}

fn is_partition_type(data_type: &DataType) -> bool {
    data_type.is_numeric()
        || matches!(
            data_type,
            DataType::Utf8
                | DataType::LargeUtf8
                | DataType::Utf8View
                | DataType::Boolean
                | DataType::Date32
                | DataType::Timestamp(_, _)
        )
}
