//! CPU nanoseconds a row of the users' 25 STRING columns, stage by stage, least of several runs:
//! `cargo bench -p salamander-hive --bench stages`. CPU time comes from the kernel's accounting, so a busy machine blurs
//! the figures less than wall time; see `segment.rs` for alternatives that were measured and not taken.

#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::print_stdout, unreachable_pub)]

mod users;

use arrow::array::RecordBatch;
use salamander_hive::{
    RollRequest, SegmentStamp, TableLayout, TableLocation, TableOptions, encode_segment, execute_roll, plan_rolls,
    read_part, split_by_partition, store_segment,
};
use salamander_types::manifest::TableState;
use salamander_types::{Epoch, Generation, JobId, SystemEntropy, TableId};
use std::hint::black_box;
use std::sync::Arc;

const ROWS: usize = 400_000;
const BATCH: usize = 8_192;
const RUNS: usize = 7;

/// CPU nanoseconds of all of the process's threads.
fn cpu_nanos() -> u64 {
    let tasks = std::fs::read_dir("/proc/self/task").expect("Linux");
    tasks
        .filter_map(|task| std::fs::read_to_string(task.ok()?.path().join("schedstat")).ok())
        .filter_map(|text| text.split(' ').next()?.parse::<u64>().ok())
        .sum()
}

fn report<T>(stage: &str, rows: usize, mut run: impl FnMut() -> T) -> u64 {
    let least = (0..RUNS)
        .map(|_| {
            std::thread::sleep(std::time::Duration::from_millis(1)); // lets the kernel settle its accounts
            let before = cpu_nanos();
            black_box(run());
            std::thread::sleep(std::time::Duration::from_millis(1));
            cpu_nanos() - before
        })
        .min()
        .unwrap_or_default();
    let nanos = least / rows as u64;
    println!("{stage:<52} {nanos:>6} ns of CPU a row");
    nanos
}

fn main() {
    let wanted = std::env::args().skip(1).find(|a| !a.starts_with('-')).unwrap_or_default();
    let batches: Vec<RecordBatch> =
        (0..ROWS.div_ceil(BATCH)).map(|i| users::batch(BATCH.min(ROWS - i * BATCH), i * BATCH, i as u64)).collect();
    let location = TableLocation { store: Arc::new(object_store::memory::InMemory::new()), root: "logs".into() };
    let id = TableId::from_text("t1");
    let partition = ["date".to_owned()];
    let options = TableOptions::default();
    let layout = Arc::new(TableLayout::new(id, "logs", location, &users::schema(), &partition, options).unwrap());
    let job = JobId::from_text("j1");
    let stamp = SegmentStamp { job: job.clone(), generation: Generation(1), epoch: Epoch(1), committed_at: 0 };
    let entropy = SystemEntropy::seeded(1);
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let encode = || encode_segment(&layout, &stamp, &entropy, batches.clone().into()).unwrap().unwrap();
    let is_wanted = |stage: &str| stage.contains(wanted.as_str());

    if is_wanted("split") {
        report("split by partition (one in the batch)", ROWS, || {
            batches.iter().map(|b| split_by_partition(b, &layout).unwrap().len()).sum::<usize>()
        });
    }
    if is_wanted("encode") {
        report("encode segment, split included", ROWS, encode);
    }
    let segment = runtime.block_on(store_segment(&layout, encode())).unwrap();
    println!("{:<52} {:>6} bytes a row", "", segment.bytes / ROWS as u64);
    let stored = segment.clone();
    if is_wanted("read") {
        report("read segment to Arrow", ROWS, || {
            let stream = read_part(&layout, &stored, 0).unwrap();
            runtime.block_on(futures::TryStreamExt::try_collect::<Vec<_>>(stream)).unwrap()
        });
    }
    let mut state = TableState { partition_columns: vec!["date".into()], ..Default::default() };
    state.segments.insert(segment.path.clone(), segment);
    let request = RollRequest { job: &job, generation: Generation(1), now_micros: 0, force: true };
    if is_wanted("roll") {
        let mut size = 0;
        report("roll: segment to Parquet", ROWS, || {
            let rolls = plan_rolls(&state, &request, &layout.options, &entropy);
            size = runtime.block_on(execute_roll(&layout, &state, &rolls[0])).unwrap().bytes;
        });
        println!("{:<52} {:>6} bytes a row", "", size / ROWS as u64);
    }
    if is_wanted("column") {
        columns(&batches, &layout, &stamp, &job, &runtime);
    }
}

/// Each column for itself: where the time goes.
fn columns(
    batches: &[RecordBatch],
    layout: &TableLayout,
    stamp: &SegmentStamp,
    job: &JobId,
    runtime: &tokio::runtime::Runtime,
) {
    let entropy = SystemEntropy::seeded(2);
    for (index, name) in users::COLUMNS[..24].iter().enumerate() {
        let one: Vec<RecordBatch> = batches.iter().map(|b| b.project(&[index]).unwrap()).collect();
        let location = layout.location.clone();
        let schema = users::schema().project(&[index]).unwrap();
        let layout = Arc::new(
            TableLayout::new(TableId::from_text("t1"), "one", location, &schema, &[], TableOptions::default()).unwrap(),
        );
        let encode = || encode_segment(&layout, stamp, &entropy, one.clone().into()).unwrap().unwrap();
        report(&format!("column {name}: encode"), ROWS, encode);
        let segment = runtime.block_on(store_segment(&layout, encode())).unwrap();
        let mut state = TableState::default();
        let bytes = segment.bytes;
        state.segments.insert(segment.path.clone(), segment);
        let request = RollRequest { job, generation: Generation(1), now_micros: 0, force: true };
        let mut size = 0;
        report(&format!("column {name}: roll"), ROWS, || {
            let rolls = plan_rolls(&state, &request, &layout.options, &entropy);
            size = runtime.block_on(execute_roll(&layout, &state, &rolls[0])).unwrap().bytes;
        });
        println!("{:<52} {:.1} -> {:.1} bytes a row", "", bytes as f64 / ROWS as f64, size as f64 / ROWS as f64);
    }
}
