//! Spark reads what rolls have written: the independent reader.
//!
//! Needs `SALAMANDER_SPARK_PYTHON`, a Python with pyspark; the project's test command sets it.

use crate::fixture::*;
use arrow::array::{Array, AsArray, RecordBatch};
use arrow::datatypes::{
    Date32Type, Decimal128Type, Float32Type, Float64Type, Int32Type, Int64Type, TimestampMicrosecondType,
};
use salamander_hive::{LiveTable, TableOptions, TextEncoding, claim_folder, tombstone};
use salamander_types::{Epoch, LogNumber};
use serde_json::{Value, json};
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

/// A row as `spark_read.py` wants it.
fn expected(batch: &RecordBatch) -> String {
    let mut out = String::new();
    let column = |i: usize| batch.column(i);
    for row in 0..batch.num_rows() {
        let or_null = |i: usize, value: Value| if column(i).is_null(row) { Value::Null } else { value };
        let text = |i: usize| or_null(i, json!(column(i).as_string_view().value(row)));
        let raw = column(10).as_binary_view().value(row).iter().map(|b| format!("{b:02X}")).collect::<String>();
        let date = Some(text(11)).filter(|d| d != "").unwrap_or(Value::Null);
        let values = [
            text(0),
            text(1),
            or_null(2, json!(column(2).as_primitive::<Int64Type>().value(row))),
            or_null(3, json!(column(3).as_primitive::<Int32Type>().value(row))),
            or_null(4, json!(column(4).as_primitive::<Float64Type>().value(row))),
            or_null(5, json!(column(5).as_primitive::<Float32Type>().value(row))),
            or_null(6, json!(column(6).as_boolean().value(row))),
            or_null(7, json!(column(7).as_primitive::<TimestampMicrosecondType>().value(row))),
            or_null(8, json!(column(8).as_primitive::<Date32Type>().value(row))),
            or_null(9, json!(column(9).as_primitive::<Decimal128Type>().value(row) as i64)),
            or_null(10, json!(raw)),
            date,
            or_null(12, json!(column(12).as_primitive::<Int32Type>().value(row).to_string())),
        ];
        writeln!(out, "{}", Value::from(values.to_vec())).unwrap();
    }
    out
}

/// Rows with neighbours that begin alike, long texts, and all partitions.
fn varied(count: usize) -> RecordBatch {
    let rows: Vec<Row> = (0..count)
        .map(|i| {
            let text = match i % 3 {
                0 => format!("req_{:06}", i * 7919 % 1_000_000),
                1 => format!("request number {i} of a long and rather verbose application, é{}", i % 17),
                _ => format!("{}", i * 31 % 50_021),
            };
            let partition = [Some(0), Some(1), None, Some(2), Some(3)][i % 5];
            ((i % 11 > 0).then_some(text), i as u8, (i % 13 > 0).then_some(i as i64 * 1_000_003), None, partition)
        })
        .collect();
    batch(&rows)
}

/// Writes a table; returns its folder and the file of its rows.
fn write(folder: &Path, text_encoding: TextEncoding) -> [PathBuf; 2] {
    let place = folder.join(format!("{text_encoding:?}"));
    let (store, root) = salamander_storage::open_store(place.to_str().unwrap()).unwrap();
    let options = TableOptions { text_encoding, row_group_rows: 20_000, ..Default::default() };
    let layout = layout_of(store, root.as_ref(), options);
    let batches = [many(50_000, 1), varied(30_000), many(300, 2), varied(7), batch(&[])];
    block_on(async {
        claim_folder(&layout).await.unwrap();
        let mut job = Job::new(&layout, "j1");
        for (at, batch) in batches.iter().enumerate() {
            job.checkpoint(std::slice::from_ref(batch), at as i64).await;
        }
        job.plan(10, true);
        job.roll().await;
        // None of this is visible to Spark: a segment, memory, and a file that was retired.
        job.checkpoint(&[many(1000, 3)], 11).await;
        let live = LiveTable::new(layout.clone());
        live.reset(&job.id, LogNumber(1), Arc::new(job.state().clone())).unwrap();
        live.publish(&job.id, Epoch(1), vec![many(10, 4)].into()).unwrap();
        tombstone(&layout, "date=2026-11-24/hour=__HIVE_DEFAULT_PARTITION__/sal-j1-1-0000000000000000.parquet")
            .await
            .unwrap();
    });
    let lines = folder.join(format!("{text_encoding:?}.jsonl"));
    std::fs::write(&lines, batches.iter().map(expected).collect::<String>()).unwrap();
    [place, lines]
}

#[test]
fn spark_reads_what_rolls_write() {
    let Some(python) = std::env::var_os("SALAMANDER_SPARK_PYTHON") else {
        eprintln!(
            "\n*** SKIPPED: Spark does not check the rolled files. Set SALAMANDER_SPARK_PYTHON to a Python with pyspark 4 \
             (the project's test command does). ***\n"
        );
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    let tables = [TextEncoding::Delta, TextEncoding::Plain].map(|encoding| write(folder.path(), encoding));
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/spark_read.py");
    let output = Command::new(python).arg(script).args(tables.iter().flatten()).output().unwrap();
    let (stdout, stderr) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "Spark reads other rows than were written:\n{stdout}\n{stderr}");
    assert_eq!(stdout.matches("80307 rows as written").count(), 4, "{stdout}");
}
