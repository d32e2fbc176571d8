//! Writes one Parquet file from blocks of segments, in memory.
//!
//! Byte-string columns, which are nearly all columns of log tables, go from a block's encoding to Parquet pages without
//! becoming Arrow arrays in between ([`bytes_column`]): the generic Arrow writer hashes and copies every value again,
//! which alone costs more CPU than the whole way from the source to the file may take (numbers in
//! `docs/adr/0003-segments-and-rolls.md`). Other columns go through the Arrow writer.
//!
//! What comes out is Parquet that Spark and Hive read: data pages of version 1, dictionaries, delta encodings for strings
//! that are mostly distinct (or PLAIN, if the table asks for it), zstd where it saves something, statistics for chunks and pages, offset and column index; INT64 microseconds in UTC
//! for timestamps; no Arrow schema in the footer.

pub(crate) mod bytes_column;
pub(crate) mod delta;
pub(crate) mod hybrid;

use crate::error::{At, HiveError, Result};
use crate::layout::{TableOptions, TextEncoding};
use crate::segment::block::{Block, BlockColumn};
use arrow::array::ArrayRef;
use arrow::datatypes::{DataType, Field, FieldRef, Schema, SchemaRef};
use bytes::Bytes;
use bytes_column::{BytesColumnWriter, Zstd};
use parquet::arrow::ArrowSchemaConverter;
use parquet::arrow::arrow_writer::{ArrowColumnWriter, ArrowRowGroupWriterFactory, compute_leaves};
use parquet::basic::{Compression, ZstdLevel};
use parquet::file::metadata::KeyValue;
use parquet::file::properties::{EnabledStatistics, WriterProperties};
use parquet::file::writer::SerializedFileWriter;
use parquet::schema::types::SchemaDescriptor;
use std::sync::Arc;

/// Says in a file's footer that it stands for a file that is gone.
pub(crate) const TOMBSTONE_KEY: &str = "salamander.tombstone";

/// Values of a column that are looked at to decide whether a dictionary pays.
const SAMPLE: usize = 4096;

/// A Parquet file in the making.
pub(crate) struct ParquetFile {
    place: String,
    /// The file columns, in the types that the Arrow writer gets.
    schema: SchemaRef,
    writer: SerializedFileWriter<Vec<u8>>,
    zstd: Zstd,
    text_encoding: TextEncoding,
    row_group_rows: usize,
    group: Option<RowGroup>,
    groups: usize,
    rows: u64,
}

struct RowGroup {
    columns: Vec<ColumnWriter>,
    rows: usize,
}

enum ColumnWriter {
    Bytes(Box<BytesColumnWriter>),
    Arrow(Vec<ArrowColumnWriter>, FieldRef),
}

/// The columns in the types that a Parquet file gives back without any hint: no views, no dictionaries.
fn plain_schema(file_schema: &Schema) -> SchemaRef {
    let fields: Vec<Field> = file_schema
        .fields()
        .iter()
        .map(|field| {
            let data_type = match field.data_type() {
                DataType::Utf8View | DataType::LargeUtf8 => DataType::Utf8,
                DataType::BinaryView | DataType::LargeBinary => DataType::Binary,
                other => other.clone(),
            };
            Field::new(field.name(), data_type, true)
        })
        .collect();
    Arc::new(Schema::new(fields))
}

fn is_bytes(data_type: &DataType) -> bool {
    matches!(data_type, DataType::Utf8 | DataType::Binary)
}

/// Properties for the columns that go through the Arrow writer.
fn properties(
    descriptor: &SchemaDescriptor,
    first: Option<&Block>,
    options: &TableOptions,
    metadata: Option<Vec<KeyValue>>,
) -> Result<WriterProperties> {
    let level = ZstdLevel::try_new(options.zstd_level).at("zstd level of the table")?;
    let mut builder = WriterProperties::builder()
        .set_created_by(concat!("salamander version ", env!("CARGO_PKG_VERSION")).to_owned())
        .set_compression(Compression::ZSTD(level))
        .set_statistics_enabled(EnabledStatistics::Page)
        .set_statistics_truncate_length(Some(crate::bounds::MAX_BOUND))
        .set_column_index_truncate_length(Some(crate::bounds::MAX_BOUND))
        .set_max_row_group_row_count(None)
        .set_key_value_metadata(metadata);
    for leaf in descriptor.columns() {
        let root = &leaf.path().parts()[0];
        let pays = first.is_none_or(|block| {
            let index = descriptor.root_schema().get_fields().iter().position(|f| f.name() == root);
            index.is_none_or(|i| dictionary_pays(&block.columns[i]))
        });
        builder = builder.set_column_dictionary_enabled(leaf.path().clone(), pays);
    }
    Ok(builder.build())
}

/// Measures the beginning of a fixed-width column: a dictionary pays if at most half of the values are distinct.
fn dictionary_pays(column: &BlockColumn) -> bool {
    let crate::segment::block::ColumnData::Array(array) = &column.data else {
        return true;
    };
    let Some(width) = array.data_type().primitive_width() else {
        return true;
    };
    let data = array.slice(0, array.len().min(SAMPLE)).to_data();
    let start = data.offset() * width;
    let bytes = &data.buffers()[0].as_slice()[start..start + data.len() * width];
    let distinct: std::collections::HashSet<&[u8]> = bytes.chunks_exact(width).collect();
    distinct.len() * 2 <= data.len()
}

impl ParquetFile {
    /// Begins a file with the columns of `file_schema`. `first` is the first block, which is measured, not written.
    pub(crate) fn new(
        place: &str,
        file_schema: &Schema,
        options: &TableOptions,
        first: Option<&Block>,
        metadata: Option<Vec<KeyValue>>,
    ) -> Result<Self> {
        let schema = plain_schema(file_schema);
        let descriptor = ArrowSchemaConverter::new().schema_root("spark_schema").convert(&schema).at(place)?;
        let properties = properties(&descriptor, first, options, metadata)?;
        let root = descriptor.root_schema_ptr();
        let writer = SerializedFileWriter::new(Vec::new(), root, Arc::new(properties)).at(place)?;
        Ok(Self {
            place: place.to_owned(),
            schema,
            writer,
            zstd: Zstd::new(options.zstd_level).map_err(|e| HiveError::invalid(place, format!("zstd: {e}")))?,
            text_encoding: options.text_encoding,
            row_group_rows: options.row_group_rows.max(1),
            group: None,
            groups: 0,
            rows: 0,
        })
    }

    /// Appends a block's rows.
    pub(crate) fn append(&mut self, block: &Block) -> Result<()> {
        if block.rows == 0 {
            return Ok(());
        }
        let mut group = match self.group.take() {
            Some(group) => group,
            None => self.begin_group(block)?,
        };
        for (writer, column) in group.columns.iter_mut().zip(&block.columns) {
            match writer {
                ColumnWriter::Bytes(writer) => {
                    writer.append(column, block.rows, &mut self.zstd, &self.place)?;
                }
                ColumnWriter::Arrow(writers, field) => {
                    let array = column.to_array(block.rows, field.data_type(), &self.place)?;
                    write_array(writers, field, &array).at(&self.place)?;
                }
            }
        }
        group.rows += block.rows;
        self.rows += block.rows as u64;
        if group.rows >= self.row_group_rows {
            self.end_group(group)?;
        } else {
            self.group = Some(group);
        }
        Ok(())
    }

    fn begin_group(&self, first: &Block) -> Result<RowGroup> {
        let factory = ArrowRowGroupWriterFactory::new(&self.writer, self.schema.clone());
        let mut leaves = factory.create_column_writers(self.groups).at(&self.place)?.into_iter();
        let descriptor = self.writer.schema_descr();
        let mut leaf = 0;
        let mut columns = Vec::with_capacity(self.schema.fields().len());
        for (index, field) in self.schema.fields().iter().enumerate() {
            let width = leaf_count(descriptor, index, leaf);
            let writers: Vec<ArrowColumnWriter> = leaves.by_ref().take(width).collect();
            columns.push(if is_bytes(field.data_type()) {
                let column = descriptor.column(leaf);
                let first = first.columns.get(index);
                ColumnWriter::Bytes(Box::new(BytesColumnWriter::new(column, first, self.text_encoding)))
            } else {
                ColumnWriter::Arrow(writers, field.clone())
            });
            leaf += width;
        }
        Ok(RowGroup { columns, rows: 0 })
    }

    fn end_group(&mut self, group: RowGroup) -> Result<()> {
        let place = self.place.clone();
        let mut row_group = self.writer.next_row_group().at(&place)?;
        for writer in group.columns {
            match writer {
                ColumnWriter::Bytes(writer) => {
                    let (bytes, close) = writer.close(&mut self.zstd, &place)?;
                    row_group.append_column(&bytes, close).at(&place)?;
                }
                ColumnWriter::Arrow(writers, _) => {
                    for writer in writers {
                        let chunk = writer.close().at(&place)?;
                        chunk.append_to_row_group(&mut row_group).at(&place)?;
                    }
                }
            }
        }
        row_group.close().at(&place)?;
        self.groups += 1;
        Ok(())
    }

    /// Ends the file: its bytes and rows.
    pub(crate) fn finish(mut self) -> Result<(Bytes, u64)> {
        if let Some(group) = self.group.take() {
            self.end_group(group)?;
        }
        let bytes = self.writer.into_inner().at(&self.place)?;
        Ok((Bytes::from(bytes), self.rows))
    }
}

/// Leaf columns of the root field `index`, whose first leaf is `from`.
fn leaf_count(descriptor: &SchemaDescriptor, index: usize, from: usize) -> usize {
    (from..descriptor.num_columns()).take_while(|leaf| descriptor.get_column_root_idx(*leaf) == index).count()
}

fn write_array(writers: &mut [ArrowColumnWriter], field: &FieldRef, array: &ArrayRef) -> parquet::errors::Result<()> {
    for (writer, leaf) in writers.iter_mut().zip(compute_leaves(field, array)?) {
        writer.write(&leaf)?;
    }
    Ok(())
}

/// A file of zero rows that stands for one that is gone.
pub(crate) fn tombstone_bytes(place: &str, file_schema: &Schema) -> Result<Bytes> {
    let metadata = KeyValue::new(TOMBSTONE_KEY.to_owned(), "1".to_owned());
    let options = TableOptions::default();
    let file = ParquetFile::new(place, file_schema, &options, None, Some(vec![metadata]))?;
    Ok(file.finish()?.0)
}
