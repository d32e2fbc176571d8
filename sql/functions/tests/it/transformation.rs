//! The users' transformation (25 columns) over sound and damaged lines: fast kernels and general ones agree.

use std::sync::Arc;

use crate::log_lines::{Random, TRANSFORMATION, damaged_line, line};
use crate::session;
use arrow::array::{Array, ArrayRef, AsArray, RecordBatch, StringArray, StringViewArray};
use arrow::compute::{cast, concat, concat_batches};
use arrow::datatypes::DataType;
use datafusion::datasource::MemTable;
use salamander_functions::Kernels;

/// Two of three lines are damaged.
fn lines() -> Vec<Option<String>> {
    let mut random = Random::new(7);
    (0..2400)
        .map(|i| if i % 3 == 0 { Some(line(&mut random, i * 997)) } else { damaged_line(&mut random, i * 997) })
        .collect()
}

async fn transform(kernels: Kernels, bodies: ArrayRef, sql: &str) -> RecordBatch {
    let ctx = session(kernels);
    let batch = RecordBatch::try_from_iter_with_nullable(vec![("body", bodies, true)]).unwrap();
    // Slices: views and offsets then don't begin at 0.
    let parts = vec![batch.slice(0, 700), batch.slice(700, 1), batch.slice(701, batch.num_rows() - 701)];
    let table = MemTable::try_new(batch.schema(), vec![parts]).unwrap();
    ctx.register_table("raw_logs", Arc::new(table)).unwrap();
    let frame = ctx.sql(sql).await.unwrap();
    let schema = Arc::new(frame.schema().as_arrow().clone());
    let batches = frame.collect().await.unwrap();
    for batch in &batches {
        batch.columns().iter().for_each(|c| c.to_data().validate_full().unwrap());
    }
    concat_batches(&schema, &batches).unwrap()
}

fn texts(batch: &RecordBatch, column: usize) -> Vec<Option<String>> {
    let text = cast(batch.column(column), &DataType::Utf8).unwrap();
    text.as_string::<i32>().iter().map(|t| t.map(str::to_string)).collect()
}

#[tokio::test]
async fn fast_and_general_kernels_agree_on_damaged_lines() {
    let lines = lines();
    let general = transform(Kernels::General, Arc::new(StringArray::from(lines.clone())), TRANSFORMATION).await;
    let fast = transform(Kernels::Fast, Arc::new(StringArray::from(lines.clone())), TRANSFORMATION).await;
    let fast_views =
        transform(Kernels::Fast, Arc::new(StringViewArray::from_iter(lines.clone())), TRANSFORMATION).await;
    assert_eq!(general.num_columns(), 25);
    assert_eq!(general.num_rows(), lines.len());
    for column in 0..25 {
        let name = general.schema().field(column).name().clone();
        let expected = texts(&general, column);
        for (row, expected) in expected.iter().enumerate() {
            for got in [&fast, &fast_views] {
                let got = cast(got.column(column), &DataType::Utf8).unwrap();
                let got = got.as_string::<i32>();
                let got = got.is_valid(row).then(|| got.value(row));
                assert_eq!(got, expected.as_deref(), "{name} of row {row}: {:?}", lines[row]);
            }
        }
        assert!(expected.iter().any(|v| v.as_ref().is_some_and(|v| !v.is_empty())), "{name} is always empty");
    }
}

/// `golden/transformation.jsonl` is what the users' own PySpark makes of 300 lines; see `spark_transformation.py`.
#[tokio::test]
async fn damaged_lines_give_what_pyspark_gives() {
    let golden: Vec<(Option<String>, Vec<Option<String>>)> = include_str!("../golden/transformation.jsonl")
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let bodies: StringArray = golden.iter().map(|(line, _)| line.clone()).collect();
    // `transform` registers slices of 700 rows: repeat the lines.
    let bodies = concat(&[&bodies, &bodies, &bodies]).unwrap();
    for kernels in [Kernels::General, Kernels::Fast] {
        let batch = transform(kernels, Arc::clone(&bodies), TRANSFORMATION).await;
        for column in 0..25 {
            let name = batch.schema().field(column).name().clone();
            for (row, got) in texts(&batch, column).into_iter().enumerate() {
                let (line, expected) = &golden[row % golden.len()];
                assert_eq!(got, expected[column], "{kernels:?}: {name} of {line:?}");
            }
        }
    }
}

#[tokio::test]
async fn a_sound_line_has_its_values() {
    let line = "2023-12-22T22:07:37.780123 | INFO | req_1 | session_2 | user_3 | login | POST | /home | Referrer: https://www.google.com/x | IP: 1.2.3.4 | \
                Agent: Mozilla/5.0 (Windows NT 10.0; Win64; x64) | Response Time: 0.8300000000000001s | Product ID: prod_4 | Cart Size: 5 | \
                Checkout Status: pending | Token: token_6 | Auth Method: JWT | Auth Level: user | Correlation ID: corr_7 | Server IP: 5.6.7.8 | \
                Port: 9 | Protocol: HTTPS | 200 OK | Detail: Request succeeded.";
    let bodies: Vec<Option<&str>> = vec![Some(line); 800];
    let batch = transform(Kernels::Fast, Arc::new(StringArray::from(bodies)), TRANSFORMATION).await;
    let row: Vec<String> = (0..25).map(|c| texts(&batch, c)[799].clone().unwrap()).collect();
    let expected = [
        "22:07:37.780",
        "INFO",
        "req_1",
        "session_2",
        "user_3",
        "login",
        "POST",
        "/home",
        "www.google.com",
        "1.2.3.4",
        "Mozilla/5.0 (Windows NT 10.0; Win64; x64)",
        "0.8300000000000001s",
        "prod_4",
        "5",
        "pending",
        "token_6",
        "JWT",
        "user",
        "corr_7",
        "5.6.7.8",
        "9",
        "HTTPS",
        "200 OK",
        "Request succeeded.",
        "2023-12-22",
    ];
    assert_eq!(row, expected);
}
