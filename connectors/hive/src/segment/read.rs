//! Reads parts of segments, block by block, within bounded memory.

use super::block::Block;
use super::decode::{BlockHeader, decode_block};
use super::encoded::EncodedPart;
use super::{BLOCK_HEADER, OBJECT_MAGIC, fingerprint, schema_bytes};
use crate::error::{At, HiveError, Result};
use crate::layout::TableLayout;
use crate::partition::value_array;
use arrow::array::{ArrayRef, RecordBatch, RecordBatchOptions, new_null_array};
use arrow::datatypes::{DataType, SchemaRef};
use bytes::{Bytes, BytesMut};
use futures::Stream;
use object_store::ObjectStoreExt;
use object_store::path::Path;
use salamander_types::manifest::{Segment, SegmentPart};
use std::collections::VecDeque;
use std::sync::Arc;

/// Fetched at once: a small part comes in one request, a large one does not fill the memory.
const WINDOW: u64 = 16 << 20;

/// Where a part's bytes are.
#[derive(Debug)]
enum Origin {
    Object(Path),
    /// Blocks that are not stored yet.
    Memory(VecDeque<Bytes>),
}

/// An open part of a segment, or of what will be one.
#[derive(Debug)]
pub struct PartReader {
    layout: Arc<TableLayout>,
    origin: Origin,
    part: SegmentPart,
    place: String,
    /// The columns as they were written; the table's unless it was altered since.
    written: SchemaRef,
    written_fingerprint: u64,
    /// Bytes of the part that are fetched and not parsed.
    window: Bytes,
    /// Where the window ends within the object.
    fetched: u64,
    rows_read: u64,
}

impl PartReader {
    /// Opens a part. Reads nothing yet.
    ///
    /// # Errors
    /// When the segment has no such part.
    pub fn new(layout: Arc<TableLayout>, segment: &Segment, part: usize) -> Result<Self> {
        let place = layout.place(&segment.path);
        let Some(part) = segment.parts.get(part) else {
            let message = format!("no part {part} among {}", segment.parts.len());
            return Err(HiveError::corrupt(place, message));
        };
        let origin = Origin::Object(layout.object(&segment.path)?);
        Ok(Self::open(layout, origin, part.clone(), place))
    }

    /// Opens rows that are encoded and not stored yet.
    pub fn in_memory(layout: Arc<TableLayout>, part: &EncodedPart) -> Self {
        let place = layout.place("memory");
        let origin = Origin::Memory(part.blocks.iter().cloned().collect());
        let (values, rows, bytes) = (part.values.clone(), part.rows, part.bytes() as u64);
        Self::open(layout, origin, SegmentPart { values, rows, offset: 0, bytes, roll: None }, place)
    }

    fn open(layout: Arc<TableLayout>, origin: Origin, part: SegmentPart, place: String) -> Self {
        let written = layout.file_schema().clone();
        Self {
            written_fingerprint: fingerprint(&schema_bytes(&written)),
            written,
            origin,
            place,
            window: Bytes::new(),
            fetched: part.offset,
            rows_read: 0,
            part,
            layout,
        }
    }

    /// The part's place in the manifest.
    pub fn part(&self) -> &SegmentPart {
        &self.part
    }

    pub(crate) fn place(&self) -> &str {
        &self.place
    }

    /// True when blocks hold the table's columns as they are declared now.
    pub(crate) fn is_current(&self) -> bool {
        self.written == *self.layout.file_schema()
    }

    /// The next block; none at the end, when all of the part's rows have come.
    pub(crate) async fn next_block(&mut self) -> Result<Option<Block>> {
        let end = self.part.offset + self.part.bytes;
        if self.window.is_empty() && self.fetched >= end {
            if self.rows_read != self.part.rows {
                let message = format!("{} rows where the manifest says {}", self.rows_read, self.part.rows);
                return Err(HiveError::corrupt(&self.place, message));
            }
            return Ok(None);
        }
        self.fill(BLOCK_HEADER as u64).await?;
        let header = BlockHeader::parse(&self.window, &self.place)?;
        self.fill(header.length).await?;
        let block = self.window.split_to(header.length as usize);
        if header.fingerprint != self.written_fingerprint {
            self.read_schema(header.fingerprint).await?;
        }
        self.rows_read += header.rows as u64;
        decode_block(&header, &block, self.written.fields(), &self.place).map(Some)
    }

    /// Makes the window hold at least so many bytes.
    async fn fill(&mut self, wanted: u64) -> Result<()> {
        let have = self.window.len() as u64;
        if have >= wanted {
            return Ok(());
        }
        let end = self.part.offset + self.part.bytes;
        let missing = wanted - have;
        if missing > end.saturating_sub(self.fetched) {
            return Err(HiveError::corrupt(&self.place, "a block goes beyond its part"));
        }
        let more = match &mut self.origin {
            Origin::Memory(blocks) => blocks.pop_front().unwrap_or_default(),
            Origin::Object(object) => {
                let to = end.min(self.fetched + missing.max(WINDOW));
                let more = self.layout.location.store.get_range(object, self.fetched..to).await.at(&self.place)?;
                if more.len() as u64 != to - self.fetched {
                    return Err(HiveError::corrupt(&self.place, "the object is shorter than the manifest says"));
                }
                more
            }
        };
        self.fetched += more.len() as u64;
        self.window = if have == 0 {
            more
        } else {
            let mut joined = BytesMut::with_capacity(self.window.len() + more.len());
            joined.extend_from_slice(&self.window);
            joined.extend_from_slice(&more);
            joined.freeze()
        };
        Ok(())
    }

    /// Reads the columns from the object's header: the table was altered since, or another Arrow wrote it.
    async fn read_schema(&mut self, wanted: u64) -> Result<()> {
        let Origin::Object(object) = &self.origin else {
            return Err(HiveError::corrupt(&self.place, "rows in memory have other columns than the table"));
        };
        let store = &self.layout.location.store;
        let fixed = store.get_range(object, 0..24).await.at(&self.place)?;
        if fixed.len() != 24 || &fixed[..8] != OBJECT_MAGIC {
            return Err(HiveError::corrupt(&self.place, "not a segment of a known format"));
        }
        let number = |at: usize| {
            let mut bytes = [0; 8];
            bytes.copy_from_slice(&fixed[at..at + 8]);
            u64::from_le_bytes(bytes)
        };
        let (length, hash) = (number(8), number(16));
        if hash != wanted || length > self.part.offset {
            return Err(HiveError::corrupt(&self.place, "the header does not match the blocks"));
        }
        let bytes = store.get_range(object, 24..24 + length).await.at(&self.place)?;
        if fingerprint(&bytes) != hash {
            return Err(HiveError::corrupt(&self.place, "the header's checksum does not match"));
        }
        let schema = arrow::ipc::root_as_schema(&bytes)
            .map_err(|e| HiveError::corrupt(&self.place, format!("the header's columns: {e}")))?;
        self.written = Arc::new(arrow::ipc::convert::fb_to_schema(schema));
        self.written_fingerprint = hash;
        Ok(())
    }

    /// A block's rows as a batch of some of the table's columns: indices into [`TableLayout::schema`]. Columns that
    /// were not there when it was written are NULL; types that were changed are cast.
    pub(crate) fn to_batch(&self, block: &Block, projection: &[usize], schema: &SchemaRef) -> Result<RecordBatch> {
        let files = self.layout.file_schema().fields().len();
        let columns = projection
            .iter()
            .map(|index| {
                let field = &self.layout.schema().fields()[*index];
                match index.checked_sub(files) {
                    Some(partition) => {
                        let value = self.part.values.get(partition).and_then(|v| v.as_deref());
                        value_array(value, field.data_type(), block.rows)
                    }
                    None => self.file_column(block, field.name(), field.data_type()),
                }
            })
            .collect::<Result<Vec<_>>>()?;
        let options = RecordBatchOptions::new().with_row_count(Some(block.rows));
        RecordBatch::try_new_with_options(schema.clone(), columns, &options).at(&self.place)
    }

    fn file_column(&self, block: &Block, name: &str, data_type: &DataType) -> Result<ArrayRef> {
        let Ok(index) = self.written.index_of(name) else {
            return Ok(new_null_array(data_type, block.rows));
        };
        let written = self.written.field(index).data_type();
        let array = block.columns[index].to_array(block.rows, written, &self.place)?;
        if written == data_type {
            return Ok(array);
        }
        arrow::compute::cast(&array, data_type).at(format!("{}, column {name}", self.place))
    }
}

/// Reads the rows of one part, in order, as batches of the table's file columns. A damaged object is an error that names
/// it, never wrong rows.
///
/// # Errors
/// When the segment has no such part.
pub fn read_part(
    layout: &Arc<TableLayout>,
    segment: &Segment,
    part: usize,
) -> Result<impl Stream<Item = Result<RecordBatch>> + Send + use<>> {
    let reader = PartReader::new(layout.clone(), segment, part)?;
    let schema = layout.file_schema().clone();
    let projection: Vec<usize> = (0..schema.fields().len()).collect();
    Ok(futures::stream::try_unfold((reader, schema, projection), |(mut reader, schema, projection)| async move {
        let Some(block) = reader.next_block().await? else {
            return Ok(None);
        };
        let batch = reader.to_batch(&block, &projection, &schema)?;
        Ok(Some((batch, (reader, schema, projection))))
    }))
}
