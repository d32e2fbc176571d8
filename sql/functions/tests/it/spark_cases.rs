//! Every expression of `golden/spark_cases.json` (made by `spark_cases.py` from a real Spark) gives the same here.

use std::sync::Arc;

use crate::session;
use arrow::array::{
    Array, ArrayRef, AsArray, Int32Array, RecordBatch, StringArray, StringViewArray, TimestampMicrosecondArray,
};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Float32Type, Float64Type, Int64Type, TimeUnit};
use datafusion::common::Result;
use datafusion::prelude::SessionContext;
use salamander_functions::{Kernels, timestamp_type};
use serde_json::{Value, json};

/// Where this engine differs from Spark: the beginning of the expression, the input, and the reason.
const DIFFERENT: &[(&str, &str, &str)] = &[
    ("split(s, 'a*'", "\u{1f98e}: \u{1f98e}", "Spark tears characters beyond U+FFFF apart at empty matches"),
    ("regexp_replace(s, '", "\u{1f98e}: \u{1f98e}", "the same"),
    ("to_timestamp(s)", "22:07:37", "a time alone means today in Spark; a job has no today"),
    ("CAST(s AS TIMESTAMP)", "22:07:37", "the same"),
    ("date_format(s, ", "22:07:37", "the same"),
    ("CAST(CAST(s AS FLOAT)", "1703282857", "Java 17 writes more digits than a float has; later ones as here"),
    ("CAST(CAST(s AS FLOAT)", "2147483647", "the same"),
    ("CAST(CAST(s AS FLOAT)", "2147483648", "the same"),
];

fn is_known(expr: &str, input: Option<&str>) -> bool {
    DIFFERENT.iter().any(|(start, text, _)| expr.starts_with(start) && input == Some(text))
}

fn golden() -> Value {
    serde_json::from_str(include_str!("../golden/spark_cases.json")).unwrap()
}

fn strings(golden: &Value) -> Vec<Option<&str>> {
    golden["strings"].as_array().unwrap().iter().map(Value::as_str).collect()
}

/// The table of nasty values, its strings in one of arrow's forms.
fn nasty(golden: &Value, views: bool) -> RecordBatch {
    let strings = strings(golden);
    let times: Vec<Option<i64>> = golden["times"].as_array().unwrap().iter().map(Value::as_i64).collect();
    let rows = strings.len();
    let text: ArrayRef =
        if views { Arc::new(StringViewArray::from(strings)) } else { Arc::new(StringArray::from(strings)) };
    let times = TimestampMicrosecondArray::from_iter((0..rows).map(|i| times.get(i).copied().flatten()));
    let times = times.with_data_type(timestamp_type());
    let number = Int32Array::from_iter_values(0..rows as i32);
    RecordBatch::try_from_iter_with_nullable(vec![
        ("i", Arc::new(number) as ArrayRef, false),
        ("s", text, true),
        ("t", Arc::new(times) as ArrayRef, true),
    ])
    .unwrap()
}

/// A value as `spark_cases.py` writes it.
fn plain(array: &ArrayRef, row: usize) -> Value {
    if array.is_null(row) {
        return Value::Null;
    }
    let as_double = |v: f64| if v.is_finite() { json!(v) } else { json!(format!("{v}").to_lowercase()) };
    match array.data_type() {
        DataType::Boolean => json!(array.as_boolean().value(row)),
        DataType::Float64 => as_double(array.as_primitive::<Float64Type>().value(row)),
        DataType::Float32 => as_double(f64::from(array.as_primitive::<Float32Type>().value(row))),
        DataType::List(_) => {
            let list = array.as_list::<i32>().value(row);
            (0..list.len()).map(|i| plain(&list, i)).collect()
        }
        t if t.is_integer() => json!(cast(array, &DataType::Int64).unwrap().as_primitive::<Int64Type>().value(row)),
        DataType::Timestamp(_, zone) => {
            let micros = cast(array, &DataType::Timestamp(TimeUnit::Microsecond, zone.clone())).unwrap();
            json!(cast(&micros, &DataType::Int64).unwrap().as_primitive::<Int64Type>().value(row))
        }
        _ => json!(cast(array, &DataType::Utf8).unwrap().as_string::<i32>().value(row)),
    }
}

async fn ask(ctx: &SessionContext, sql: &str) -> Result<Vec<Value>> {
    let batches = ctx.sql(sql).await?.collect().await?;
    Ok(batches.iter().flat_map(|b| (0..b.num_rows()).map(|row| plain(b.column(0), row))).collect())
}

fn same(expected: &Value, got: &Value) -> bool {
    match (expected, got) {
        (Value::Number(a), Value::Number(b)) => a.as_f64() == b.as_f64(),
        (Value::Array(a), Value::Array(b)) => a.len() == b.len() && a.iter().zip(b).all(|(a, b)| same(a, b)),
        (a, b) => a == b,
    }
}

/// Compares one case; appends what differs.
fn compare(expr: &str, expected: &Value, got: Result<Value>, inputs: &[Option<&str>], differences: &mut Vec<String>) {
    let refused = expected.get("error");
    match (refused, got) {
        (Some(_), Err(_)) => {}
        (Some(error), Ok(got)) => differences.push(format!("{expr}: Spark refuses it ({error}), here {got}")),
        (None, Err(error)) => {
            differences.push(format!("{expr}: {}", error.strip_backtrace().lines().next().unwrap_or("")))
        }
        (None, Ok(Value::Array(got))) if !inputs.is_empty() => {
            let expected = expected.as_array().unwrap();
            assert_eq!(got.len(), expected.len(), "{expr}");
            let differs =
                |&i: &usize| !same(&expected[i], &got[i]) && !is_known(expr, inputs.get(i).copied().flatten());
            let rows: Vec<_> = (0..got.len()).filter(differs).collect();
            for &row in rows.iter().take(4) {
                let input = inputs.get(row).copied().flatten();
                differences.push(format!(
                    "{expr} of row {row} {input:?}: Spark {}, here {} ({} rows)",
                    expected[row],
                    got[row],
                    rows.len()
                ));
            }
        }
        (None, Ok(got)) if !same(expected, &got) => differences.push(format!("{expr}: Spark {expected}, here {got}")),
        (None, Ok(_)) => {}
    }
}

async fn run(kernels: Kernels, views: bool) {
    let golden = golden();
    let ctx = session(kernels);
    ctx.register_batch("nasty", nasty(&golden, views)).unwrap();
    let mut differences = Vec::new();
    for case in golden["literal"].as_array().unwrap() {
        let expr = case[0].as_str().unwrap();
        let got = ask(&ctx, &format!("SELECT {expr} AS r")).await.map(|mut rows| rows.remove(0));
        compare(expr, &case[1], got, &[], &mut differences);
    }
    let inputs = strings(&golden);
    for case in golden["column"].as_array().unwrap() {
        let expr = case[0].as_str().unwrap();
        let got = ask(&ctx, &format!("SELECT {expr} AS r FROM nasty ORDER BY i")).await.map(Value::Array);
        compare(expr, &case[1], got, &inputs, &mut differences);
    }
    assert!(differences.is_empty(), "{} differences from Spark:\n{}", differences.len(), differences.join("\n"));
}

#[tokio::test]
async fn fast_kernels_give_what_spark_gives() {
    run(Kernels::Fast, true).await;
}

#[tokio::test]
async fn general_kernels_give_what_spark_gives() {
    run(Kernels::General, false).await;
}
