//! Rolls: what is due, files that hold what was written, redo, tombstones.

use crate::fixture::*;
use arrow::array::RecordBatch;
use bytes::Bytes;
use object_store::ObjectStoreExt;
use parquet::arrow::arrow_reader::{ArrowReaderOptions, ParquetRecordBatchReaderBuilder};
use parquet::basic::{Compression, Encoding};
use parquet::file::metadata::PageIndexPolicy;
use proptest::prelude::*;
use salamander_hive::{HiveError, RolledFile, TableLayout, TableOptions, execute_roll, tombstone};
use salamander_types::manifest::Roll;
use std::sync::Arc;
use std::time::Duration;

const FILE_COLUMNS: [usize; 11] = [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10];

async fn file_bytes(layout: &TableLayout, path: &str) -> Bytes {
    let object = layout.object(path).unwrap();
    layout.location.store.get(&object).await.unwrap().bytes().await.unwrap()
}

/// What an independent reader makes of a file.
async fn read_file(layout: &TableLayout, path: &str) -> Vec<RecordBatch> {
    let options = ArrowReaderOptions::new().with_page_index_policy(PageIndexPolicy::Required);
    let bytes = file_bytes(layout, path).await;
    let reader = ParquetRecordBatchReaderBuilder::try_new_with_options(bytes, options).unwrap();
    reader.build().unwrap().map(Result::unwrap).collect()
}

/// Casts expected rows to the types that a Parquet file gives back.
fn as_read(batches: &[RecordBatch], read: &[RecordBatch]) -> Vec<RecordBatch> {
    let Some(first) = read.first() else { return Vec::new() };
    let schema = first.schema();
    batches
        .iter()
        .map(|b| {
            let columns =
                schema.fields().iter().zip(b.columns()).map(|(f, c)| arrow::compute::cast(c, f.data_type()).unwrap());
            RecordBatch::try_new(schema.clone(), columns.collect()).unwrap()
        })
        .collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn files_hold_what_was_written(
        checkpoints in prop::collection::vec(prop::collection::vec(rows(), 1..3), 1..6),
        row_group_rows in 20usize..500,
    ) {
        let options = TableOptions { row_group_rows, ..Default::default() };
        let layout = layout_of(Arc::new(object_store::memory::InMemory::new()), "", options);
        let mut job = Job::new(&layout, "j1");
        let mut written = Vec::new();
        block_on(async {
            for (at, rows) in checkpoints.iter().enumerate() {
                let batches: Vec<RecordBatch> = rows.iter().map(|r| batch(r)).collect();
                job.checkpoint(&batches, at as i64).await;
                written.extend(batches.iter().map(|b| b.project(&FILE_COLUMNS).unwrap()));
            }
            job.plan(0, true);
            job.roll().await;
            let mut read = Vec::new();
            for file in job.state().files.values() {
                assert!(!file.path.contains("//"), "{}", file.path);
                let batches = read_file(&layout, &file.path).await;
                assert_eq!(batches.iter().map(|b| b.num_rows() as u64).sum::<u64>(), file.rows);
                assert_eq!(file_bytes(&layout, &file.path).await.len() as u64, file.bytes);
                read.extend(batches);
            }
            assert_eq!(job.state().live_parts().count(), 0);
            assert_eq!(lines(&read), lines(&as_read(&written, &read)));
        });
    }
}

#[test]
fn big_rolls_keep_order_and_choose_encodings() {
    let layout = layout_of(
        Arc::new(object_store::memory::InMemory::new()),
        "t",
        TableOptions { row_group_rows: 150_000, ..Default::default() },
    );
    let mut job = Job::new(&layout, "j1");
    block_on(async {
        let mut written = Vec::new();
        for at in 0..5 {
            let batch = many(70_000, at);
            job.checkpoint(&[batch.clone()], at as i64).await;
            written.push(batch.project(&FILE_COLUMNS).unwrap());
        }
        assert_eq!(job.plan(10, true), 1);
        job.roll().await;
        let file = job.state().files.values().next().unwrap().clone();
        let read = read_file(&layout, &file.path).await;
        let read = arrow::compute::concat_batches(&read[0].schema(), &read).unwrap();
        let written = as_read(&written, std::slice::from_ref(&read));
        let written = arrow::compute::concat_batches(&read.schema(), &written).unwrap();
        assert!(read == written, "rows come back in commit order");

        let bytes = file_bytes(&layout, &file.path).await;
        let options = ArrowReaderOptions::new().with_page_index_policy(PageIndexPolicy::Required);
        let metadata =
            ParquetRecordBatchReaderBuilder::try_new_with_options(bytes, options).unwrap().metadata().clone();
        assert_eq!(metadata.num_row_groups(), 2);
        let group = metadata.row_group(0);
        let has = |column: usize, encoding| group.column(column).encodings().any(|e| e == encoding);
        assert!(has(1, Encoding::RLE_DICTIONARY), "few words: a dictionary");
        assert!(!has(0, Encoding::RLE_DICTIONARY), "distinct texts: none");
        assert!(matches!(group.column(0).compression(), Compression::ZSTD(_)));
        for column in group.columns() {
            let statistics = column.statistics().expect("statistics for each column");
            assert!(statistics.null_count_opt().is_some());
            assert!(statistics.min_bytes_opt().is_some(), "{}", column.column_path());
        }
        assert!(metadata.column_index().is_some() && metadata.offset_index().is_some());
        assert!(metadata.file_metadata().key_value_metadata().is_none(), "no Arrow schema in the footer");
    });
}

#[test]
fn rolls_are_due_by_size_and_by_age() {
    let options = TableOptions { roll_size: 40_000, roll_interval: Duration::from_secs(60), ..Default::default() };
    let layout = layout_of(Arc::new(object_store::memory::InMemory::new()), "t", options);
    let mut job = Job::new(&layout, "j1");
    block_on(async {
        job.checkpoint(&[many(200, 1)], 1_000_000).await;
        assert_eq!(job.plan(2_000_000, false), 0, "too little and too young");
        for at in 2..8 {
            job.checkpoint(&[many(500, at)], at as i64 * 1_000_000).await;
        }
        let planned = job.plan(9_000_000, false);
        assert!(planned >= 1, "enough bytes");
        let taken: usize = job.state().rolls.values().map(|r| r.parts.len()).sum();
        assert!(taken < 7, "the rest waits");
        job.roll().await;
        assert_eq!(job.plan(9_000_000, false), 0);
        assert_eq!(job.plan(68_000_000, false), 1, "old enough");
        job.roll().await;
        assert_eq!(job.state().live_parts().count(), 0);
        let rows: u64 = job.state().files.values().map(|f| f.rows).sum();
        assert_eq!(rows, 200 + 6 * 500);
        assert_eq!(job.plan(i64::MAX, true), 0, "nothing left");
    });
}

#[test]
fn rolls_take_bounded_input() {
    let options = TableOptions { roll_input_limit: 1, ..Default::default() };
    let layout = layout_of(Arc::new(object_store::memory::InMemory::new()), "t", options);
    let mut job = Job::new(&layout, "j1");
    block_on(async {
        for at in 0..3 {
            job.checkpoint(&[many(100, at)], at as i64).await;
        }
        assert_eq!(job.plan(10, true), 3);
    });
}

fn first_roll(job: &Job) -> Roll {
    job.state().rolls.values().next().unwrap().clone()
}

#[test]
fn redo_finds_the_file() {
    let layout = layout();
    let mut job = Job::new(&layout, "j1");
    block_on(async {
        job.checkpoint(&[many(1000, 1)], 1).await;
        job.plan(2, true);
        let roll = first_roll(&job);
        let first = execute_roll(&layout, job.state(), &roll).await.unwrap();
        let bytes = file_bytes(&layout, &roll.path).await;
        assert_eq!(first, RolledFile { rows: 1000, bytes: bytes.len() as u64 });
        assert_eq!(execute_roll(&layout, job.state(), &roll).await.unwrap(), first);
        assert_eq!(file_bytes(&layout, &roll.path).await, bytes);
    });
}

#[test]
fn two_at_once_make_one_file() {
    let layout = layout();
    let mut job = Job::new(&layout, "j1");
    block_on(async {
        job.checkpoint(&[many(5000, 1)], 1).await;
        job.plan(2, true);
        let roll = first_roll(&job);
        let roll = &roll;
        let (state, layout) = (job.state(), &layout);
        let all = futures::future::join_all((0..4).map(|_| execute_roll(layout, state, roll))).await;
        for one in &all {
            assert_eq!(one.as_ref().unwrap(), all[0].as_ref().unwrap());
        }
    });
}

#[test]
fn retired_names_stay_retired() {
    let layout = layout();
    let mut job = Job::new(&layout, "j1");
    block_on(async {
        job.checkpoint(&[many(100, 1)], 1).await;
        job.plan(2, true);
        let roll = first_roll(&job);
        tombstone(&layout, &roll.path).await.unwrap();
        let error = execute_roll(&layout, job.state(), &roll).await.unwrap_err();
        assert!(matches!(error, HiveError::Retired { .. }), "{error}");
        assert!(read_file(&layout, &roll.path).await.is_empty());
        let bytes = file_bytes(&layout, &roll.path).await;
        tombstone(&layout, &roll.path).await.unwrap();
        assert_eq!(file_bytes(&layout, &roll.path).await, bytes, "a tombstone is constant");
    });
}

#[test]
fn a_file_with_other_rows_is_an_error() {
    let layout = layout();
    let mut job = Job::new(&layout, "j1");
    block_on(async {
        job.checkpoint(&[many(100, 1)], 1).await;
        job.plan(2, true);
        let roll = first_roll(&job);
        execute_roll(&layout, job.state(), &roll).await.unwrap();
        let mut other = Job::new(&layout, "j2");
        other.checkpoint(&[many(50, 1)], 1).await;
        other.plan(2, true);
        let wrong = first_roll(&other);
        let stolen = file_bytes(&layout, &roll.path).await;
        layout.location.store.put(&layout.object(&wrong.path).unwrap(), stolen.into()).await.unwrap();
        let error = execute_roll(&layout, other.state(), &wrong).await.unwrap_err();
        assert!(error.to_string().contains("100 rows where its roll has 50"), "{error}");
    });
}
