//! State by itself: checkpoints, merging of chunks, restores, what is refused.

use super::exec::merge;
use super::state::WindowState;
use super::{Aggregation, WindowFunction, WindowKey, WindowSpec};
use crate::states::Keeps;
use arrow::array::{AsArray, RecordBatch, StringViewArray, StringViewBuilder, TimestampMicrosecondArray};
use arrow::datatypes::{DataType, Field, Int64Type, Schema, SchemaRef};
use datafusion::functions_aggregate::count::count_udaf;
use datafusion::functions_aggregate::min_max::max_udaf;
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_expr::aggregate::AggregateExprBuilder;
use datafusion::physical_expr::expressions::Column;
use parking_lot::Mutex;
use salamander_connector_api::timestamp_type;
use salamander_state::StateStore;
use salamander_types::state::Bucket;
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

fn input() -> SchemaRef {
    Arc::new(Schema::new(vec![Field::new("ts", timestamp_type(), true), Field::new("k", DataType::Utf8View, true)]))
}

/// Rows, and the latest time, by key and window.
fn aggregation(windows: WindowSpec) -> Arc<Aggregation> {
    let column = |name: &str, at| Arc::new(Column::new(name, at)) as Arc<dyn PhysicalExpr>;
    let function = |udaf, name: &str| WindowFunction {
        function: Arc::new(
            AggregateExprBuilder::new(udaf, vec![column("ts", 0)]).schema(input()).alias(name).build().unwrap(),
        ),
        filter: None,
    };
    Arc::new(Aggregation {
        windows,
        time: column("ts", 0),
        behind: None,
        sets: vec![],
        watermark: None,
        keys: vec![WindowKey::Start, WindowKey::Expression(column("k", 1))],
        functions: vec![function(count_udaf(), "rows"), function(max_udaf(), "latest")],
        schema: Arc::new(Schema::new(vec![
            Field::new("start", timestamp_type(), true),
            Field::new("k", DataType::Utf8View, true),
            Field::new("rows", DataType::Int64, true),
            Field::new("latest", timestamp_type(), true),
        ])),
    })
}

fn rows(times: impl Iterator<Item = i64>, key: impl Fn(i64) -> String) -> RecordBatch {
    let times: Vec<i64> = times.collect();
    let keys: StringViewArray = times.iter().map(|t| Some(key(*t))).collect();
    let times = TimestampMicrosecondArray::from(times).with_timezone("UTC");
    RecordBatch::try_new(input(), vec![Arc::new(times), Arc::new(keys)]).unwrap()
}

/// What is emitted by a watermark: rows by start and key.
async fn emitted(
    aggregation: &Arc<Aggregation>,
    state: &WindowState,
    store: &Mutex<StateStore>,
    closed: Option<i64>,
    watermark: i64,
) -> BTreeMap<(i64, String), i64> {
    let mut counts = BTreeMap::new();
    for closing in state.close(store, closed, watermark).unwrap() {
        let start = closing.window.start;
        let batch = merge(Arc::clone(aggregation), closing).await.unwrap();
        let (keys, rows) = (batch.column(1).as_string_view(), batch.column(2).as_primitive::<Int64Type>());
        for row in 0..batch.num_rows() {
            let twice = counts.insert((start, keys.value(row).to_owned()), rows.value(row));
            assert_eq!(twice, None, "a key is emitted twice");
        }
    }
    counts
}

#[tokio::test]
async fn many_checkpoints_leave_few_chunks_and_the_right_counts() {
    let aggregation = aggregation(WindowSpec::tumbling(1_000_000, 0).unwrap());
    let state = WindowState::new("w".to_owned(), Arc::clone(&aggregation), 2);
    let store = Mutex::new(StateStore::default());
    for round in 0..200i64 {
        for partition in 0..2 {
            state.add(partition, &rows(round * 1_000..(round + 1) * 1_000, |t| format!("key {}", t % 50))).unwrap();
        }
        let mut store = store.lock();
        state.freeze(&mut store).unwrap();
        store.checkpoint(round.to_string());
        assert!(store.chunks("w", Bucket::at(0)).count() <= 10);
    }
    assert_eq!(state.next_close(&store.lock(), None), Some(1_000_000));
    assert!(emitted(&aggregation, &state, &store, None, 999_999).await.is_empty());
    let counts = emitted(&aggregation, &state, &store, None, 1_000_000).await;
    assert_eq!(counts.len(), 50);
    assert!(counts.values().all(|rows| *rows == 8_000), "{counts:?}");
    assert_eq!(state.next_close(&store.lock(), Some(1_000_000)), None);
    assert_eq!(store.lock().bytes(), 0);
}

#[tokio::test]
async fn panes_go_when_their_last_window_has_closed() {
    let aggregation = aggregation(WindowSpec::hopping(20, 10, 0).unwrap());
    let state = WindowState::new("w".to_owned(), Arc::clone(&aggregation), 1);
    let store = Mutex::new(StateStore::default());
    state.add(0, &rows(5..35, |_| "k".to_owned())).unwrap();
    let key = |start: i64| (start, "k".to_owned());
    let first = emitted(&aggregation, &state, &store, None, 20).await;
    assert_eq!(first, [(key(-10), 5), (key(0), 15)].into());
    assert_eq!(state.next_close(&store.lock(), Some(20)), Some(30));
    let second = emitted(&aggregation, &state, &store, Some(20), 40).await;
    assert_eq!(second, [(key(10), 20), (key(20), 15)].into());
    let last = emitted(&aggregation, &state, &store, Some(40), i64::MAX).await;
    assert_eq!(last, [(key(30), 5)].into());
    assert_eq!(store.lock().bytes(), 0);
}

/// Keys are views of the payload; a chunk must not hold on to it.
#[test]
fn chunks_do_not_pin_payloads() {
    let aggregation = aggregation(WindowSpec::tumbling(1_000_000, 0).unwrap());
    let state = WindowState::new("w".to_owned(), Arc::clone(&aggregation), 1);
    let mut builder = StringViewBuilder::new().with_fixed_block_size(8 << 20);
    builder.append_value("x".repeat(4 << 20));
    builder.append_value("a key that is longer than a view holds");
    let keys = builder.finish().slice(1, 1);
    let times = TimestampMicrosecondArray::from(vec![1]).with_timezone("UTC");
    state.add(0, &RecordBatch::try_new(input(), vec![Arc::new(times), Arc::new(keys)]).unwrap()).unwrap();
    let mut store = StateStore::default();
    state.freeze(&mut store).unwrap();
    assert!(store.bytes() < 10_000, "{}", store.bytes());
}

#[test]
fn state_of_another_build_or_query_is_refused() {
    let aggregation = aggregation(WindowSpec::tumbling(10, 0).unwrap());
    let schema = aggregation.state_schema().unwrap();
    aggregation.check_state("window-0", &schema).unwrap();
    let other = HashMap::from([
        ("salamander.state".to_owned(), "window 1".to_owned()),
        ("datafusion".to_owned(), "54.0.0".to_owned()),
    ]);
    let error = aggregation.check_state("window-0", &schema.as_ref().clone().with_metadata(other)).unwrap_err();
    assert!(error.to_string().contains("was written with datafusion 54.0.0, this build has"), "{error}");
    let fewer = schema.project(&[0, 1]).unwrap();
    let error = aggregation.check_state("window-0", &fewer).unwrap_err();
    assert!(error.to_string().contains("has the columns (k Utf8View"), "{error}");
}
