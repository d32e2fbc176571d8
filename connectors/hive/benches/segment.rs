//! What a row of the users' 25 STRING columns costs on its way to Parquet, stage by stage:
//! `cargo bench -p salamander-hive --bench segment` (the profile is `release`). One item is one row.

#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, unreachable_pub)]

mod users;

use arrow::array::RecordBatch;
use divan::counter::ItemsCount;
use parquet::arrow::ArrowWriter;
use parquet::arrow::arrow_writer::ArrowWriterOptions;
use parquet::basic::{Compression, ZstdLevel};
use parquet::file::properties::{EnabledStatistics, WriterProperties};
use salamander_hive::segment::EncodedSegment;
use salamander_hive::{
    RollRequest, SegmentStamp, TableLayout, TableLocation, TableOptions, encode_segment, execute_roll, plan_rolls,
    read_part, store_segment,
};
use salamander_types::manifest::{Segment, TableState};
use salamander_types::{Epoch, Generation, JobId, SystemEntropy, TableId};
use std::sync::{Arc, LazyLock};

const ROWS: usize = 200_000;
const BATCH: usize = 8_192;

fn main() {
    divan::main();
}

static BATCHES: LazyLock<Vec<RecordBatch>> = LazyLock::new(|| {
    (0..ROWS.div_ceil(BATCH)).map(|i| users::batch(BATCH.min(ROWS - i * BATCH), i * BATCH, i as u64)).collect()
});

fn layout() -> Arc<TableLayout> {
    let location = TableLocation { store: Arc::new(object_store::memory::InMemory::new()), root: "logs".into() };
    let schema = users::schema();
    let partition = ["date".to_owned()];
    let id = TableId::from_text("t1");
    let options = TableOptions::default();
    Arc::new(TableLayout::new(id, "logs", location, &schema, &partition, options).unwrap())
}

fn encode(layout: &Arc<TableLayout>) -> EncodedSegment {
    let stamp =
        SegmentStamp { job: JobId::from_text("j1"), generation: Generation(1), epoch: Epoch(1), committed_at: 0 };
    encode_segment(layout, &stamp, &SystemEntropy::seeded(1), BATCHES.clone().into()).unwrap().unwrap()
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().build().unwrap()
}

fn stored(layout: &Arc<TableLayout>) -> Segment {
    runtime().block_on(store_segment(layout, encode(layout))).unwrap()
}

#[divan::bench]
fn a1_segment_encode(bencher: divan::Bencher<'_, '_>) {
    let layout = layout();
    LazyLock::force(&BATCHES);
    println!("segment: {} bytes a row", encode(&layout).segment.bytes / ROWS as u64);
    bencher.counter(ItemsCount::new(ROWS)).bench(|| encode(&layout));
}

/// What the same rows cost as Arrow IPC: every column would write the whole payload, so views are compacted first.
#[divan::bench(args = [None, Some(arrow::ipc::CompressionType::LZ4_FRAME)])]
fn a2_arrow_ipc_after_gc(bencher: divan::Bencher<'_, '_>, compression: Option<arrow::ipc::CompressionType>) {
    let options = arrow::ipc::writer::IpcWriteOptions::default().try_with_compression(compression).unwrap();
    let write = || {
        let mut writer =
            arrow::ipc::writer::StreamWriter::try_new_with_options(Vec::new(), &users::schema(), options.clone())
                .unwrap();
        for batch in BATCHES.iter() {
            let columns = batch.columns().iter().map(|c| {
                let strings = arrow::array::AsArray::as_string_view(c);
                Arc::new(strings.gc()) as arrow::array::ArrayRef
            });
            let batch = RecordBatch::try_new(users::schema(), columns.collect()).unwrap();
            writer.write(&batch).unwrap();
        }
        writer.finish().unwrap();
        writer.into_inner().unwrap()
    };
    println!("ipc {compression:?}: {} bytes a row", write().len() / ROWS);
    bencher.counter(ItemsCount::new(ROWS)).bench(write);
}

/// The cheapest form that knows nothing of the values: each payload buffer once, and the views as they are.
#[divan::bench]
fn a3_raw_views_and_payload(bencher: divan::Bencher<'_, '_>) {
    let write = || {
        let mut out = Vec::new();
        for batch in BATCHES.iter() {
            let first = arrow::array::AsArray::as_string_view(batch.column(0));
            out.extend_from_slice(&first.data_buffers()[0]);
            for column in batch.columns() {
                let views = arrow::array::AsArray::as_string_view(column).views();
                out.extend_from_slice(views.inner());
            }
        }
        (xxhash_rust::xxh3::xxh3_64(&out), out)
    };
    println!("raw views: {} bytes a row", write().1.len() / ROWS);
    bencher.counter(ItemsCount::new(ROWS)).bench(write);
}

#[divan::bench]
fn b1_segment_read_to_arrow(bencher: divan::Bencher<'_, '_>) {
    let layout = layout();
    let segment = stored(&layout);
    let runtime = runtime();
    bencher.counter(ItemsCount::new(ROWS)).bench(|| {
        let stream = read_part(&layout, &segment, 0).unwrap();
        runtime.block_on(futures::TryStreamExt::try_collect::<Vec<_>>(stream)).unwrap()
    });
}

#[divan::bench(args = [1, 3])]
fn c1_roll(bencher: divan::Bencher<'_, '_>, level: i32) {
    let layout = with_level(&layout(), level);
    let segment = stored(&layout);
    let mut state = TableState { partition_columns: vec!["date".into()], ..Default::default() };
    state.segments.insert(segment.path.clone(), segment);
    let job = JobId::from_text("j1");
    let request = RollRequest { job: &job, generation: Generation(1), now_micros: 0, force: true };
    let entropy = SystemEntropy::seeded(7);
    let runtime = runtime();
    let roll = || {
        let rolls = plan_rolls(&state, &request, &layout.options, &entropy);
        runtime.block_on(execute_roll(&layout, &state, &rolls[0])).unwrap()
    };
    println!("rolled, zstd {level}: {} bytes a row", roll().bytes / ROWS as u64);
    bencher.counter(ItemsCount::new(ROWS)).bench(roll);
}

fn with_level(layout: &TableLayout, level: i32) -> Arc<TableLayout> {
    let mut layout = layout.clone();
    layout.options.zstd_level = level;
    Arc::new(layout)
}

/// The generic writer on the same rows. `dictionary`: all columns, or only those where it pays.
#[divan::bench(args = ["all", "all, chunk statistics", "chosen", "chosen, chunk statistics", "none"])]
fn d1_arrow_writer(bencher: divan::Bencher<'_, '_>, how: &str) {
    let distinct = ["time", "request_id", "ip_address", "token", "correlation_id", "server_ip", "port_number"];
    let mut builder = WriterProperties::builder()
        .set_compression(Compression::ZSTD(ZstdLevel::try_new(1).unwrap()))
        .set_dictionary_enabled(how != "none")
        .set_statistics_enabled(if how.ends_with("chunk statistics") {
            EnabledStatistics::Chunk
        } else {
            EnabledStatistics::Page
        });
    if how.starts_with("chosen") {
        for name in distinct {
            builder = builder.set_column_dictionary_enabled(name.into(), false);
        }
    }
    let properties = builder.build();
    let write = || {
        let options = ArrowWriterOptions::new().with_properties(properties.clone()).with_skip_arrow_metadata(true);
        let mut writer = ArrowWriter::try_new_with_options(Vec::new(), users::schema(), options).unwrap();
        for batch in BATCHES.iter() {
            writer.write(batch).unwrap();
        }
        writer.into_inner().unwrap()
    };
    println!("arrow writer, {how}: {} bytes a row", write().len() / ROWS);
    bencher.counter(ItemsCount::new(ROWS)).bench(write);
}
