//! What a sink sends, and what becomes of it when the service hesitates.

use crate::local::{Local, Reading, properties, send, table};
use arrow::array::{BinaryArray, Float64Array, Int64Array, RecordBatch, StringArray};
use arrow::datatypes::{DataType, Field, Schema};
use salamander_eventhubs::{Surroundings, sink_with};
use salamander_types::ErrorKind;
use std::collections::BTreeMap;
use std::sync::Arc;

fn typed() -> RecordBatch {
    let schema = Schema::new(vec![
        Field::new("url", DataType::Utf8, true),
        Field::new("count", DataType::Int64, true),
        Field::new("rate", DataType::Float64, true),
    ]);
    let urls = StringArray::from(vec![Some("/a"), Some("line\nbreak"), None, Some("/a")]);
    let counts = Int64Array::from(vec![Some(1), None, Some(3), Some(4)]);
    let rates = Float64Array::from(vec![0.5, 1.0, 2.0, 0.25]);
    RecordBatch::try_new(Arc::new(schema), vec![Arc::new(urls), Arc::new(counts), Arc::new(rates)]).unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rows_arrive_as_json_with_their_names_and_keys() {
    let local = Local::start_with(|options| options.default_partitions = 1).await;
    let sink = sink_with(&local.options("out", &[("partition_key", "url")]), &Surroundings::default()).unwrap();
    send(sink.as_ref(), &typed(), 100).await.unwrap();
    let source = local.source("out", &[]);
    let mut reading = Reading::open(source.as_ref(), "0", 0).await.unwrap();
    let mut rows = BTreeMap::new();
    while rows.len() < 4 {
        let batch = reading.batch().await.unwrap();
        for row in 0..batch.len() {
            let properties = properties(&batch, row);
            assert_eq!(properties["_job"].as_deref(), Some("j1"));
            assert_eq!(properties["_log_number"].as_deref(), Some("7"));
            let key = batch.partition_key.as_ref().and_then(|keys| keys.iter().nth(row).flatten()).map(str::to_owned);
            let body = String::from_utf8(batch.payload.value(row).to_vec()).unwrap();
            rows.insert(properties["_index"].clone().unwrap(), (key, body));
        }
    }
    let expected = [
        ("100", Some("/a"), r#"{"url":"/a","count":1,"rate":0.5}"#),
        ("101", Some("line\nbreak"), r#"{"url":"line\nbreak","count":null,"rate":1.0}"#),
        ("102", None, r#"{"url":null,"count":3,"rate":2.0}"#),
        ("103", Some("/a"), r#"{"url":"/a","count":4,"rate":0.25}"#),
    ];
    let expected = expected.map(|(index, key, body)| (index.to_owned(), (key.map(str::to_owned), body.to_owned())));
    assert_eq!(rows, BTreeMap::from(expected));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bytes_go_as_they_are() {
    let local = Local::start_with(|options| options.default_partitions = 1).await;
    let sink = sink_with(&local.options("out", &[("format", "text")]), &Surroundings::default()).unwrap();
    let bytes: Vec<&[u8]> = vec![b"text", b"\xff\x00 no text", b""];
    let column = Arc::new(BinaryArray::from_iter_values(&bytes)) as _;
    send(sink.as_ref(), &RecordBatch::try_from_iter([("body", column)]).unwrap(), 0).await.unwrap();
    let source = local.source("out", &[]);
    let batch = Reading::open(source.as_ref(), "0", 0).await.unwrap().batch().await.unwrap();
    assert_eq!(batch.payload.iter().map(Option::unwrap).collect::<Vec<_>>(), bytes);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn large_deliveries_are_cut_into_batches() {
    let local = Local::start().await;
    let bodies: Vec<String> = (0..12_000).map(|i| format!("{i:0400}")).collect();
    local.fill_bodies("out", bodies).await;
    let ends = local.source("out", &[]).describe().await.unwrap().splits;
    assert_eq!(ends.iter().map(|split| split.end.unwrap()).sum::<u64>(), 12_000);
    let sink = sink_with(&local.options("out", &[("format", "text")]), &Surroundings::default()).unwrap();
    let error = send(sink.as_ref(), &table(&[("body", &["x".repeat(2 << 20)])]), 5).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::Invalid);
    assert!(error.to_string().contains("row 5 of commit 7 is an event of 2097"), "{error}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_busy_service_is_waited_for_and_a_lost_answer_sends_again() {
    let local = Local::start_with(|options| options.default_partitions = 1).await;
    local.fill("out", 1).await;
    local.broker.faults().server_busy(1);
    local.fill("out", 10).await;
    let source = local.source("out", &[]);
    assert_eq!(source.describe().await.unwrap().splits[0].end, Some(11));
    local.broker.faults().lose_acknowledgements(1);
    let sink = sink_with(&local.options("out", &[("format", "text")]), &Surroundings::default()).unwrap();
    let bodies: Vec<String> = (0..5).map(|i| format!("row {i}")).collect();
    send(sink.as_ref(), &table(&[("body", &bodies)]), 40).await.unwrap();
    assert_eq!(source.describe().await.unwrap().splits[0].end, Some(21), "stored twice: at least once");
    let mut reading = Reading::open(source.as_ref(), "0", 11).await.unwrap();
    let mut names = BTreeMap::new();
    let mut next = 11;
    while next < 21 {
        let batch = reading.batch().await.unwrap();
        for row in 0..batch.len() {
            *names.entry(properties(&batch, row)["_index"].clone()).or_insert(0) += 1;
        }
        next = batch.next.next;
    }
    let twice = (40..45).map(|i| (Some(i.to_string()), 2)).collect();
    assert_eq!(names, twice, "a consumer sees by the name which rows are doubles");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rows_of_one_key_keep_their_order() {
    let local = Local::start().await;
    let sink =
        sink_with(&local.options("out", &[("format", "text"), ("partition_key", "key")]), &Surroundings::default())
            .unwrap();
    local.broker.faults().server_busy(3);
    // Several batches a key, some of which are refused at first.
    let bodies: Vec<String> = (0..9_000).map(|i| format!("{i:0800}")).collect();
    let keys: Vec<String> = (0..9_000).map(|i| format!("key {}", i % 3)).collect();
    send(sink.as_ref(), &table(&[("key", &keys), ("body", &bodies)]), 0).await.unwrap();
    let source = local.source("out", &[]);
    let mut last: BTreeMap<String, i64> = BTreeMap::new();
    for split in source.describe().await.unwrap().splits {
        let end = split.end.unwrap();
        let mut reading = Reading::open(source.as_ref(), split.split.as_str(), 0).await.unwrap();
        for (_, body) in reading.until(0, end).await.unwrap() {
            let index: i64 = body.parse().unwrap();
            let before = last.insert(format!("key {}", index % 3), index);
            assert!(before.is_none_or(|before| before < index), "{index} behind {before:?}");
        }
    }
    assert_eq!(last.into_values().sum::<i64>(), 8_997 + 8_998 + 8_999);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_can_not_be_rendered_is_named() {
    let local = Local::start().await;
    let text = sink_with(&local.options("out", &[("format", "text")]), &Surroundings::default()).unwrap();
    let error = send(text.as_ref(), &typed(), 0).await.unwrap_err();
    assert!(
        error
            .to_string()
            .contains("'format'='text' needs exactly one column beside the partition key: there are url, count, rate"),
        "{error}"
    );
    let keyed = sink_with(&local.options("out", &[("partition_key", "uri")]), &Surroundings::default()).unwrap();
    let error = send(keyed.as_ref(), &typed(), 0).await.unwrap_err();
    assert!(error.to_string().contains("'partition_key'='uri' is not a column: there are url, count, rate"), "{error}");
}
