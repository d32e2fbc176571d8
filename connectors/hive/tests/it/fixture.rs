//! Tables, random rows of every declared type, and rows as text to compare.

use arrow::array::*;
use arrow::datatypes::{DataType, Field, Schema, SchemaRef, TimeUnit};
use arrow::util::display::{ArrayFormatter, FormatOptions};
use object_store::ObjectStore;
use object_store::memory::InMemory;
use proptest::prelude::*;
use salamander_hive::{
    RollRequest, SegmentStamp, TableLayout, TableLocation, TableOptions, encode_segment, execute_roll, plan_rolls,
    store_segment,
};
use salamander_types::manifest::{JobEntry, JobState, LogState, TableState};
use salamander_types::{Epoch, Generation, JobId, SystemEntropy, TableId};
use std::sync::Arc;

pub(crate) fn timestamp() -> DataType {
    DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()))
}

/// One column of each type that SQL declares, and two partition columns.
pub(crate) fn schema() -> SchemaRef {
    let field = |name: &str, data_type| Field::new(name, data_type, true);
    Arc::new(Schema::new(vec![
        field("text", DataType::Utf8View),
        field("word", DataType::Utf8View),
        field("big", DataType::Int64),
        field("small", DataType::Int32),
        field("ratio", DataType::Float64),
        field("share", DataType::Float32),
        field("flag", DataType::Boolean),
        field("at", timestamp()),
        field("day", DataType::Date32),
        field("price", DataType::Decimal128(12, 2)),
        field("raw", DataType::BinaryView),
        field("date", DataType::Utf8View),
        field("hour", DataType::Int32),
    ]))
}

pub(crate) fn layout_of(store: Arc<dyn ObjectStore>, root: &str, options: TableOptions) -> Arc<TableLayout> {
    let location = TableLocation { store, root: object_store::path::Path::parse(root).unwrap() };
    let partition = ["date".to_owned(), "hour".to_owned()];
    let layout = TableLayout::new(TableId::from_text("t1"), "db.logs", location, &schema(), &partition, options);
    Arc::new(layout.unwrap())
}

pub(crate) fn layout() -> Arc<TableLayout> {
    layout_of(Arc::new(InMemory::new()), "lake/logs", TableOptions::default())
}

/// One row's raw material.
pub(crate) type Row = (Option<String>, u8, Option<i64>, Option<bool>, Option<u8>);

pub(crate) fn rows() -> impl Strategy<Value = Vec<Row>> {
    let row = (
        proptest::option::weighted(0.9, "[a-zé\u{0} ]{0,40}"),
        any::<u8>(),
        proptest::option::weighted(0.8, any::<i64>()),
        any::<Option<bool>>(),
        proptest::option::weighted(0.9, 0u8..4),
    );
    proptest::collection::vec(row, 0..200)
}

/// A batch of rows, in all types; the partition is derived from the last part of the row.
pub(crate) fn batch(rows: &[Row]) -> RecordBatch {
    let numbers = || rows.iter().map(|r| r.2);
    let columns: Vec<ArrayRef> = vec![
        Arc::new(StringViewArray::from_iter(rows.iter().map(|r| r.0.as_deref()))),
        Arc::new(StringViewArray::from_iter(rows.iter().map(|r| (r.1 > 9).then(|| format!("word {}", r.1 % 5))))),
        Arc::new(Int64Array::from_iter(numbers())),
        Arc::new(Int32Array::from_iter(numbers().map(|n| n.map(|n| n as i32)))),
        Arc::new(Float64Array::from_iter(numbers().map(|n| n.map(|n| n as f64 / 8.0)))),
        Arc::new(Float32Array::from_iter(numbers().map(|n| n.map(|n| (n % 1000) as f32 / 8.0)))),
        Arc::new(BooleanArray::from_iter(rows.iter().map(|r| r.3))),
        Arc::new(
            TimestampMicrosecondArray::from_iter(numbers().map(|n| n.map(|n| n % 4_000_000_000_000_000)))
                .with_timezone("UTC"),
        ),
        Arc::new(Date32Array::from_iter(numbers().map(|n| n.map(|n| (n % 30_000) as i32)))),
        Arc::new(
            Decimal128Array::from_iter(numbers().map(|n| n.map(|n| i128::from(n % 1_000_000_000))))
                .with_precision_and_scale(12, 2)
                .unwrap(),
        ),
        Arc::new(BinaryViewArray::from_iter(
            rows.iter().map(|r| r.0.as_deref().map(|t| [t.as_bytes(), &[0, 255, r.1]].concat())),
        )),
        Arc::new(StringViewArray::from_iter(
            rows.iter().map(|r| r.4.map(|d| ["2026-11-24", "10:15 a/b=c%", "", "é{x}"][d as usize])),
        )),
        Arc::new(Int32Array::from_iter(rows.iter().map(|r| r.4.filter(|d| *d > 0).map(i32::from)))),
    ];
    RecordBatch::try_new(schema(), columns).unwrap()
}

/// Many rows without proptest.
pub(crate) fn many(count: usize, seed: u64) -> RecordBatch {
    let entropy = SystemEntropy::seeded(seed);
    let random = || salamander_types::Entropy::next_u64(&entropy);
    let rows: Vec<Row> = (0..count)
        .map(|i| {
            let r = random();
            let text = match i % 7 {
                0 => None,
                1 => Some("a text of more than a dozen bytes".to_owned()),
                _ => Some(format!("row {i} {r}")),
            };
            (
                text,
                r as u8,
                (r % 5 > 0).then_some(random() as i64),
                [None, Some(true), Some(false)][(r % 3) as usize],
                Some(0),
            )
        })
        .collect();
    batch(&rows)
}

/// Each row as one line, sorted: what a table holds, order aside. Empty partition values read as NULL.
pub(crate) fn lines(batches: &[RecordBatch]) -> Vec<String> {
    let options = FormatOptions::default().with_null("NULL");
    let mut lines: Vec<String> = Vec::new();
    for batch in batches {
        let columns: Vec<ArrayFormatter<'_>> =
            batch.columns().iter().map(|c| ArrayFormatter::try_new(c, &options).unwrap()).collect();
        let schema = batch.schema();
        for row in 0..batch.num_rows() {
            let line: Vec<String> = columns
                .iter()
                .zip(schema.fields())
                .map(|(column, field)| {
                    let text = column.value(row).to_string();
                    if field.name() == "date" && text.is_empty() { "NULL".into() } else { text }
                })
                .collect();
            lines.push(line.join("|"));
        }
    }
    lines.sort();
    lines
}

/// A job's log in memory, with the table's part of its state.
pub(crate) struct Job {
    pub(crate) id: JobId,
    pub(crate) layout: Arc<TableLayout>,
    pub(crate) log: JobState,
    pub(crate) entropy: Arc<SystemEntropy>,
    pub(crate) generation: Generation,
    pub(crate) epoch: u64,
}

impl Job {
    pub(crate) fn new(layout: &Arc<TableLayout>, id: &str) -> Self {
        let mut log = JobState::default();
        let table = JobEntry::Table {
            table: layout.id.clone(),
            location: "memory:///".into(),
            partition_columns: layout.partition_columns().to_vec(),
        };
        log.apply(&table).unwrap();
        let seed = id.bytes().map(u64::from).sum();
        Self {
            id: JobId::from_text(id),
            layout: layout.clone(),
            log,
            entropy: Arc::new(SystemEntropy::seeded(seed)),
            generation: Generation(1),
            epoch: 0,
        }
    }

    pub(crate) fn state(&self) -> &TableState {
        &self.log.tables[&self.layout.id]
    }

    pub(crate) fn stamp(&self, committed_at: i64) -> SegmentStamp {
        SegmentStamp { job: self.id.clone(), generation: self.generation, epoch: Epoch(self.epoch), committed_at }
    }

    /// Writes and commits a segment.
    pub(crate) async fn checkpoint(&mut self, batches: &[RecordBatch], at: i64) {
        self.epoch += 1;
        let encoded =
            encode_segment(&self.layout, &self.stamp(at), self.entropy.as_ref(), batches.to_vec().into()).unwrap();
        if let Some(encoded) = encoded {
            let segment = store_segment(&self.layout, encoded).await.unwrap();
            self.log.apply(&JobEntry::Segment { table: self.layout.id.clone(), segment }).unwrap();
        }
    }

    /// Plans rolls and commits to them; returns how many.
    pub(crate) fn plan(&mut self, now_micros: i64, force: bool) -> usize {
        let request = RollRequest { job: &self.id, generation: self.generation, now_micros, force };
        let rolls = plan_rolls(self.state(), &request, &self.layout.options, self.entropy.as_ref());
        for roll in &rolls {
            self.log.apply(&JobEntry::Roll { table: self.layout.id.clone(), roll: roll.clone() }).unwrap();
        }
        rolls.len()
    }

    /// Carries out the rolls that the log has committed to.
    pub(crate) async fn roll(&mut self) {
        let rolls: Vec<_> = self.state().rolls.values().cloned().collect();
        for roll in rolls {
            let file = execute_roll(&self.layout, self.state(), &roll).await.unwrap();
            self.log
                .apply(&JobEntry::Rolled {
                    table: self.layout.id.clone(),
                    path: roll.path,
                    rows: file.rows,
                    bytes: file.bytes,
                })
                .unwrap();
        }
    }
}

pub(crate) fn block_on<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap().block_on(future)
}
