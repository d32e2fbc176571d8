//! What a source reads, and from where.

use crate::local::{Local, Reading, properties};
use salamander_connector_api::testing::{Check, check_source};
use salamander_types::ErrorKind;
use std::collections::BTreeSet;
use std::time::Duration;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_row_is_read_once_and_the_contract_is_kept() {
    let local = Local::start().await;
    local.fill("logs", 5_000).await;
    let source = local.source("logs", &[]);
    let splits = check_source(source.as_ref(), &Check::default()).await.unwrap();
    assert_eq!(splits.len(), 4);
    let bodies = splits.iter().flat_map(|(_, split)| split.rows.iter().map(|row| row.payload.clone().unwrap()));
    let bodies: Vec<_> = bodies.collect();
    let expected: BTreeSet<_> = (0..5_000).map(|i| format!("row {i}").into_bytes()).collect();
    assert_eq!(bodies.len(), 5_000);
    assert_eq!(bodies.into_iter().collect::<BTreeSet<_>>(), expected);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rows_carry_their_metadata() {
    let local = Local::start_with(|options| options.default_partitions = 1).await;
    local.fill("logs", 3).await;
    let source = local.source("logs", &[]);
    let description = source.describe().await.unwrap();
    assert!(description.identity.starts_with("event hub 'logs' created at 20"), "{}", description.identity);
    let mut reading = Reading::open(source.as_ref(), "0", 0).await.unwrap();
    let mut seen = 0;
    while seen < 3 {
        let batch = reading.batch().await.unwrap();
        let keys = batch.partition_key.as_ref().unwrap();
        for row in 0..batch.len() {
            assert!(keys.value(row).starts_with("key "));
            let index = properties(&batch, row)["_index"].clone().unwrap();
            assert_eq!(batch.payload.value(row), format!("row {index}").as_bytes());
            assert!(batch.enqueued.as_ref().unwrap().value(row) > 1_700_000_000_000_000);
            assert!(!batch.offsets.as_ref().unwrap().value(row).is_empty());
        }
        seen += batch.len();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn reading_goes_on_from_every_position() {
    let local = Local::start_with(|options| options.default_partitions = 1).await;
    local.fill("logs", 40).await;
    let source = local.source("logs", &[]);
    let whole = Reading::open(source.as_ref(), "0", 0).await.unwrap().until(0, 40).await.unwrap();
    for next in 0..40 {
        let mut reading = Reading::open(source.as_ref(), "0", next).await.unwrap();
        assert_eq!(reading.until(next, 40).await.unwrap(), whole[next as usize..]);
    }
    // At the end: nothing, and then what comes.
    let mut reading = Reading::open(source.as_ref(), "0", 40).await.unwrap();
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert!(reading.reader.status().at_end);
    local.fill("logs", 1).await;
    assert_eq!(reading.until(40, 41).await.unwrap(), [(40, "row 0".to_owned())]);
    // Above it: not this hub.
    let error = Reading::open(source.as_ref(), "0", 42).await.err().unwrap();
    assert_eq!(error.kind, ErrorKind::Invalid);
    assert!(
        error.to_string().contains("event hub 'logs', partition 0: the position 42 is above the partition's end 41"),
        "{error}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn starting_positions_become_sequence_numbers() {
    let local = Local::start_with(|options| options.default_partitions = 1).await;
    let empty = local.source("empty", &[("starting_position", "earliest")]).describe().await.unwrap();
    assert_eq!((empty.splits[0].start.next, empty.splits[0].end), (0, Some(0)));
    local.fill("logs", 10).await;
    tokio::time::sleep(Duration::from_millis(20)).await;
    let between = chrono::Utc::now();
    tokio::time::sleep(Duration::from_millis(20)).await;
    local.fill("logs", 10).await;
    let source = local.source("logs", &[]);
    let mut reading = Reading::open(source.as_ref(), "0", 5).await.unwrap();
    let batch = reading.batch().await.unwrap();
    assert_eq!(batch.first_sequence, 5);
    let offset = batch.offsets.as_ref().unwrap().value(0).to_owned();
    let start = async |position: String| {
        let source = local.source("logs", &[("starting_position", position.as_str())]);
        source.describe().await.map(|description| description.splits[0].start.next)
    };
    assert_eq!(start("earliest".into()).await.unwrap(), 0);
    assert_eq!(start("latest".into()).await.unwrap(), 20);
    assert_eq!(start("sequence:7".into()).await.unwrap(), 7);
    assert_eq!(start(format!("offset:{offset}")).await.unwrap(), 5);
    assert_eq!(start(format!("offset:{}", i64::MAX)).await.unwrap(), 20);
    assert_eq!(start(format!("time:{}", between.to_rfc3339())).await.unwrap(), 10);
    assert_eq!(start("time:2020-01-01T00:00:00Z".into()).await.unwrap(), 0);
    assert_eq!(start("time:2120-01-01T00:00:00Z".into()).await.unwrap(), 20);
    assert_eq!(start("sequence:21".into()).await.unwrap_err().kind, ErrorKind::Invalid);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_expired_is_an_error_or_a_recorded_gap() {
    let local = Local::start_with(|options| {
        options.default_partitions = 1;
        options.segment_bytes = 64 << 10;
        options.retention_bytes = Some(256 << 10);
    })
    .await;
    for _ in 0..20 {
        local.fill_bodies("logs", (0..40).map(|i| format!("{i:01000}")).collect()).await;
    }
    assert!(local.broker.enforce_retention().await.unwrap() > 0);
    let source = local.source("logs", &[]);
    let description = source.describe().await.unwrap();
    let (begin, end) = (description.splits[0].start.next, description.splits[0].end.unwrap());
    assert!(begin > 3 && end == 800, "{begin} to {end}");
    let error = Reading::open(source.as_ref(), "0", 3).await.err().unwrap();
    assert_eq!(error.kind, ErrorKind::Invalid);
    let text = error.to_string();
    let expected =
        format!("event hub 'logs', partition 0: the events 3 to {} have expired before they were read", begin - 1);
    assert!(
        text.contains(&expected) && text.contains("'on_expired'='skip'") && text.contains("starting_position"),
        "{text}"
    );
    let skipping = local.source("logs", &[("on_expired", "skip")]);
    let mut reading = Reading::open(skipping.as_ref(), "0", 3).await.unwrap();
    let rows = reading.until(begin, end).await.unwrap();
    assert_eq!(reading.gaps, [(3, begin)]);
    assert_eq!((rows[0].0, rows.len() as u64), (begin, end - begin));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_buffer_stays_within_its_bytes() {
    const BOUND: usize = 128 << 10;
    let local = Local::start_with(|options| options.default_partitions = 1).await;
    local.fill_bodies("logs", (0..20_000).map(|i| format!("{i:0300}")).collect()).await;
    let source = local.source("logs", &[("prefetch_bytes", "128 KB")]);
    let mut reading = Reading::open(source.as_ref(), "0", 0).await.unwrap();
    for _ in 0..20 {
        tokio::time::sleep(Duration::from_millis(25)).await;
        let held = reading.reader.status().buffered_bytes;
        assert!(held <= BOUND + (BOUND >> 3), "{held} bytes are held");
    }
    assert!(reading.reader.status().buffered_bytes > BOUND / 2);
    let rows = reading.until(0, 20_000).await.unwrap();
    assert_eq!(rows.len(), 20_000);
    assert_eq!(rows[19_999].1, format!("{:0300}", 19_999));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn large_events_come_in_many_frames() {
    let local = Local::start_with(|options| options.default_partitions = 1).await;
    let bodies: Vec<String> = (1..8).map(|i| char::from(b'a' + i).to_string().repeat(i as usize * 130_000)).collect();
    local.fill_bodies("logs", bodies.clone()).await;
    let source = local.source("logs", &[]);
    let rows = Reading::open(source.as_ref(), "0", 0).await.unwrap().until(0, 7).await.unwrap();
    let read: BTreeSet<_> = rows.into_iter().map(|(_, body)| body).collect();
    assert_eq!(read, bodies.into_iter().collect());
}
