//! Joins of two streams over any cutting into epochs, checkpoints and lives: the result is that of a batch over the same
//! rows, without those that came behind the watermark of their split.

use crate::memory_source::MemorySource;
use crate::windows::{Row, Rows, SPLITS, batch_table, end_life, rows_of, stream};
use crate::world::*;
use arrow::datatypes::{DataType, Field, Schema};
use datafusion::datasource::MemTable;
use object_store::ObjectStore;
use salamander_operators::EventTime;
use salamander_planner::Planner;
use salamander_storage::testing::CrashStore;
use salamander_types::{Entropy, SystemEntropy};
use std::sync::Arc;
use std::time::Duration;

const NEAR: &str =
    "a.k = b.k AND b.ts >= a.ts - INTERVAL '2' SECOND AND b.ts < a.ts + INTERVAL '3' SECOND AND a.n <> b.n";
const EARLIER: &str = "a.k = b.k AND b.ts BETWEEN a.ts - INTERVAL '9' SECOND AND a.ts - INTERVAL '6' SECOND";

fn target() -> Schema {
    let number = |name: &str| Field::new(name, DataType::Int64, true);
    Schema::new(vec![Field::new("k", DataType::Utf8View, true), number("a"), number("b")])
}

/// Both sides are the same stream; `events` stands for its rows.
fn query(kind: &str, condition: &str) -> String {
    let (left, right) = ("(SELECT * FROM events WHERE n < 35)", "(SELECT * FROM events WHERE n >= 10)");
    let columns = match kind {
        "LEFT SEMI" | "LEFT ANTI" => "a.k, a.n, 0",
        "RIGHT SEMI" | "RIGHT ANTI" => "b.k, 0, b.n",
        _ => "coalesce(a.k, b.k), a.n, b.n",
    };
    format!("SELECT {columns} FROM {left} a {kind} JOIN {right} b ON {condition}")
}

/// What a batch gives of the rows that were in time.
async fn batch(rows: &[Row], sql: &str) -> Vec<String> {
    let in_time: Vec<Row> =
        rows.iter().filter(|r| r.time.is_some_and(|t| r.before.is_none_or(|w| t >= w))).cloned().collect();
    let table: Arc<MemTable> = batch_table(&in_time);
    let tables = Arc::new(Rows(table));
    let planner = Planner::try_new(Arc::default(), 2).unwrap();
    let plan = planner.query(Arc::clone(&tables) as _, "db", &query_of(sql)).await.unwrap();
    let state = planner.state(tables, "db");
    let physical = state.create_physical_plan(&plan).await.unwrap();
    lines(&datafusion::physical_plan::collect(physical, state.task_ctx()).await.unwrap())
}

/// Runs a join in several lives over rows that come bit by bit, and compares.
async fn check(seed: u64, kind: &str, condition: &str) {
    const LIVES: usize = 4;
    println!("seed {seed}, {kind}");
    let sql = query(kind, condition);
    let workload = Workload {
        query: sql.clone(),
        stream: stream(),
        event_time: Some(EventTime {
            column: 0,
            delay_micros: 5_000_000,
            future_micros: EventTime::FUTURE_MICROS,
            drift_micros: None,
        }),
        target: target(),
        partitions: vec![],
    };
    let mut world = World::with(MemorySource::new(true), seed, workload).await;
    world.options.epoch_rows = 1 + world.random(300) as usize;
    world.options.checkpoint_interval = Duration::from_millis(1 + world.random(12));
    let entropy = Arc::clone(&world.entropy);
    let rows: Vec<_> = SPLITS.iter().map(|split| (*split, rows_of(entropy.as_ref(), 400))).collect();
    let store = CrashStore::new(Arc::new(SystemEntropy::seeded(entropy.next_u64()))).unwrap();
    for life in 0..LIVES {
        for (split, rows) in &rows {
            let part = rows.len() * life / LIVES..rows.len() * (life + 1) / LIVES;
            world.source.append(split, rows[part].iter().map(Row::line));
        }
        if life + 1 == LIVES {
            world.source.complete();
        }
        let process = world.start(Arc::new(store.clone()) as Arc<dyn ObjectStore>);
        tokio::time::sleep(Duration::from_micros(world.random(20_000))).await;
        end_life(&world, &store, process).await;
    }
    let process = world.start(Arc::new(store.clone()));
    process.wait_finished().await;
    let all: Vec<Row> = rows.iter().flat_map(|(_, rows)| rows.clone()).collect();
    let expected = batch(&all, &sql).await;
    assert!(expected.len() > 20, "{expected:?}");
    assert_eq!(process.target_rows("SELECT * FROM t").await, expected, "seed {seed}: {sql}");
    process.kill().await;
}

#[tokio::test]
async fn inner_joins_give_what_a_batch_gives() {
    for seed in 300..305 {
        check(seed, "INNER", NEAR).await;
        check(seed, "INNER", EARLIER).await;
    }
}

#[tokio::test]
async fn outer_joins_give_what_a_batch_gives() {
    for (seed, kind) in (310..).zip(["LEFT", "RIGHT", "FULL", "LEFT", "RIGHT", "FULL"]) {
        check(seed, kind, NEAR).await;
        check(seed, kind, EARLIER).await;
    }
}

#[tokio::test]
async fn semi_and_anti_joins_give_what_a_batch_gives() {
    for (seed, kind) in (320..).zip(["LEFT SEMI", "LEFT ANTI", "RIGHT SEMI", "RIGHT ANTI", "LEFT SEMI", "LEFT ANTI"]) {
        check(seed, kind, NEAR).await;
        check(seed, kind, EARLIER).await;
    }
}

#[tokio::test]
async fn window_joins_give_what_a_batch_gives() {
    let same = "a.k = b.k AND window(a.ts, '4 seconds') = window(b.ts, '4 seconds')";
    for (seed, kind) in (330..).zip(["INNER", "LEFT", "FULL", "LEFT ANTI"]) {
        check(seed, kind, same).await;
    }
}
