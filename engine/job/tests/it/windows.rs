//! Windowed aggregates over any cutting into epochs, checkpoints and lives: the result is that of a batch query over the
//! same rows, without those that are late for their windows by the watermark of their split's rows before them.

use crate::memory_source::MemorySource;
use crate::world::*;
use arrow::array::{Int64Array, RecordBatch, StringViewArray, TimestampMicrosecondArray};
use arrow::datatypes::{DataType, Field, Schema, TimeUnit};
use async_trait::async_trait;
use datafusion::datasource::MemTable;
use futures::TryStreamExt;
use object_store::ObjectStore;
use object_store::path::Path;
use salamander_connector_api::timestamp_type;
use salamander_job::{Ending, JobPhase};
use salamander_operators::EventTime;
use salamander_planner::{PlanError, Planner, Relation, Tables};
use salamander_storage::testing::CrashStore;
use salamander_types::{Entropy, SystemEntropy};
use std::sync::Arc;
use std::time::Duration;

const SECOND: i64 = 1_000_000;
const DELAY: i64 = 5 * SECOND;
pub(crate) const SPLITS: [&str; 3] = ["a", "b", "c"];
/// Some day in 2026.
const BEGIN: i64 = 1_795_564_800 * SECOND;

/// A row as it was written, with the watermark of its split before it.
#[derive(Debug, Clone)]
pub(crate) struct Row {
    pub(crate) time: Option<i64>,
    pub(crate) key: Option<String>,
    pub(crate) number: i64,
    pub(crate) before: Option<i64>,
}

impl Row {
    pub(crate) fn line(&self) -> String {
        let time = self.time.map_or_else(String::new, text_of);
        format!("{time}|{}|{}", self.key.as_deref().unwrap_or(""), self.number)
    }
}

/// A time as it stands in a line.
fn text_of(micros: i64) -> String {
    let array = TimestampMicrosecondArray::from(vec![micros]);
    let text = arrow::compute::cast(&array, &DataType::Utf8).unwrap();
    arrow::array::AsArray::as_string::<i32>(&text).value(0).to_owned()
}

/// Rows of one split: time goes on by leaps, with rows that come early, late and very late, and a few without a time.
pub(crate) fn rows_of(entropy: &dyn Entropy, count: usize) -> Vec<Row> {
    let random = |below: i64| (entropy.next_u64() % below as u64) as i64;
    let (mut now, mut latest): (i64, Option<i64>) = (BEGIN, None);
    let mut rows = Vec::with_capacity(count);
    for _ in 0..count {
        now += random(400) * 1_000;
        let time = match random(40) {
            0 => None,
            1 => Some(now - random(60) * SECOND),
            2 => Some(now + random(12) * SECOND),
            _ => Some(now - random(6_000) * 1_000),
        };
        let key = (random(12) > 0).then(|| format!("key {}, which is longer than a view holds", random(7)));
        let before = latest.map(|latest| latest - DELAY);
        rows.push(Row { time, key, number: random(50), before });
        latest = latest.max(time);
    }
    rows
}

pub(crate) fn stream() -> Schema {
    Schema::new(vec![
        Field::new("ts", timestamp_type(), true),
        Field::new("k", DataType::Utf8View, true),
        Field::new("n", DataType::Int64, true),
    ])
}

fn target() -> Schema {
    let number = |name: &str| Field::new(name, DataType::Int64, true);
    Schema::new(vec![
        Field::new("starts", timestamp_type(), true),
        Field::new("ends", timestamp_type(), true),
        Field::new("k", DataType::Utf8View, true),
        number("rows"),
        number("total"),
        number("least"),
        number("even"),
        number("different"),
        Field::new("mean", DataType::Float64, true),
    ])
}

/// The aggregate by itself.
const PLAIN: &str = "SELECT * FROM WINDOWS";

const FUNCTIONS: &str = "count(*) AS rows, sum(n) AS total, min(n) AS least, count(*) FILTER (WHERE n % 2 = 0) AS even, \
                         count(DISTINCT n) AS different, avg(n) AS mean";

/// `window` is a call such as `window(ts, '10 seconds')`; `above` a query over the aggregate, which stands as `WINDOWS` in it.
fn workload(window: &str, above: &str) -> Workload {
    let name = if window.starts_with("session") { "session_window" } else { "window" };
    let query =
        format!("SELECT {name}.start AS starts, {name}.end AS ends, k, {FUNCTIONS} FROM events GROUP BY {window}, k");
    Workload {
        query: above.replace("WINDOWS", &format!("({query})")),
        stream: stream(),
        event_time: Some(EventTime {
            column: 0,
            delay_micros: DELAY,
            future_micros: EventTime::FUTURE_MICROS,
            drift_micros: None,
        }),
        target: target(),
        partitions: vec![],
    }
}

#[derive(Debug)]
pub(crate) struct Rows(pub(crate) Arc<MemTable>);

#[async_trait]
impl Tables for Rows {
    fn has_database(&self, _: &str) -> bool {
        true
    }

    fn has_table(&self, _: &str, name: &str) -> bool {
        name == "events"
    }

    async fn relation(&self, _: &str, name: &str) -> Result<Option<Relation>, PlanError> {
        Ok((name == "events").then(|| Relation::Table(Arc::clone(&self.0) as _)))
    }

    fn table_names(&self, _: &str) -> Vec<String> {
        vec![]
    }
}

/// The rows as a table, with a column more: the watermark before each.
pub(crate) fn batch_table(rows: &[Row]) -> Arc<MemTable> {
    let time = DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()));
    let mut fields: Vec<_> = stream().fields().iter().cloned().collect();
    fields.push(Arc::new(Field::new("before", time, true)));
    let schema = Arc::new(Schema::new(fields));
    let times = |of: fn(&Row) -> Option<i64>| {
        Arc::new(rows.iter().map(of).collect::<TimestampMicrosecondArray>().with_timezone("UTC"))
    };
    let keys: StringViewArray = rows.iter().map(|r| r.key.as_deref()).collect();
    let numbers: Int64Array = rows.iter().map(|r| Some(r.number)).collect();
    let batch = RecordBatch::try_new(
        Arc::clone(&schema),
        vec![times(|r| r.time), Arc::new(keys), Arc::new(numbers), times(|r| r.before)],
    );
    Arc::new(MemTable::try_new(schema, vec![vec![batch.unwrap()]]).unwrap())
}

/// What a batch gives of all rows: each row in each of its windows that had not closed before it.
async fn batch(rows: &[Row], window: &str, above: &str) -> Vec<String> {
    let tables = Arc::new(Rows(batch_table(rows)));
    let sql = format!(
        "(SELECT w.start AS starts, w.end AS ends, k, {FUNCTIONS} FROM (SELECT *, {window} AS w FROM events) AS e \
         WHERE before IS NULL OR w.end > before GROUP BY w, k)"
    );
    // A session isn't a row's own: its rows are those that had not passed when they came.
    let sessions = format!(
        "(SELECT session_window.start AS starts, session_window.end AS ends, k, {FUNCTIONS} FROM events WHERE before IS NULL OR \
         ts >= before GROUP BY {window}, k)"
    );
    let sql = above.replace("WINDOWS", if window.starts_with("session") { &sessions } else { &sql });
    let planner = Planner::try_new(Arc::default(), 2).unwrap();
    let plan = planner.query(Arc::clone(&tables) as _, "db", &query_of(&sql)).await.unwrap();
    let state = planner.state(tables, "db");
    let physical = state.create_physical_plan(&plan).await.unwrap();
    lines(&datafusion::physical_plan::collect(physical, state.task_ctx()).await.unwrap())
}

/// Late rows: those of which all windows had closed, and those without a time.
fn late(rows: &[(&str, Vec<Row>)], last_end: impl Fn(i64) -> i64) -> Vec<String> {
    let mut late = Vec::new();
    for (split, rows) in rows {
        for (number, row) in rows.iter().enumerate() {
            match (row.time, row.before) {
                (None, _) => late.push(format!("{split}|{number}|NULL|NULL")),
                (Some(time), Some(before)) if last_end(time) <= before => {
                    late.push(format!("{split}|{number}|{time}|{before}"));
                }
                _ => {}
            }
        }
    }
    late.sort();
    late
}

const LATE: &str = "SELECT _partition, _sequence_number, arrow_cast(event_time, 'Int64'), \
                    arrow_cast(watermark, 'Int64') FROM t";

pub(crate) async fn end_life(world: &World, store: &CrashStore, process: Process) {
    match world.random(6) {
        0 => {
            process.handle.end(Ending::Pause).await;
            process.kill().await;
        }
        1 | 2 => {
            tokio::time::sleep(Duration::from_micros(world.random(25_000))).await;
            process.kill().await;
        }
        _ => {
            store.disk().cut_power_at(1 + world.random(300));
            for _ in 0..60 {
                if store.disk().is_off() {
                    break;
                }
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
            process.kill().await;
            store.crash().unwrap();
        }
    }
}

/// Runs a query in several lives over rows that come bit by bit, and compares.
async fn check(seed: u64, window: &str, above: &str, last_end: impl Fn(i64) -> i64) {
    const LIVES: usize = 5;
    let source = MemorySource::new(true);
    let mut world = World::with(source, seed, workload(window, above)).await;
    world.options.epoch_rows = 1 + world.random(400) as usize;
    world.options.checkpoint_interval = Duration::from_millis(1 + world.random(12));
    let entropy = Arc::clone(&world.entropy);
    let rows: Vec<_> = SPLITS.iter().map(|split| (*split, rows_of(entropy.as_ref(), 600))).collect();
    let store = CrashStore::new(Arc::new(SystemEntropy::seeded(seed ^ 0xD15C))).unwrap();
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
    let status = process.wait_finished().await;
    let all: Vec<Row> = rows.iter().flat_map(|(_, rows)| rows.clone()).collect();
    let expected = batch(&all, window, above).await;
    let found = process.target_rows("SELECT * FROM t").await;
    assert!(!expected.is_empty());
    assert_eq!(found, expected, "seed {seed}, {window}, {above}");
    // A row is late once for each reading of the stream.
    let late: Vec<_> =
        late(&rows, last_end).into_iter().flat_map(|row| vec![row; above.matches("WINDOWS").count()]).collect();
    assert_eq!(process.late_rows(LATE).await, late, "seed {seed}, {window}, {above}");
    assert_eq!(status.committed.rows_late, late.len() as u64);
    assert_eq!(status.committed.rows_written, expected.len() as u64);
    process.kill().await;
}

fn floor(at: i64, length: i64) -> i64 {
    at - at.rem_euclid(length)
}

#[tokio::test]
async fn tumbling_windows_give_what_a_batch_gives() {
    for seed in 0..12 {
        println!("seed {seed}");
        check(seed, "window(ts, '10 seconds')", PLAIN, |at| floor(at, 10 * SECOND) + 10 * SECOND).await;
    }
}

#[tokio::test]
async fn hopping_windows_give_what_a_batch_gives() {
    for seed in 100..108 {
        println!("seed {seed}");
        check(seed, "window(ts, '30 seconds', '10 seconds')", PLAIN, |at| floor(at, 10 * SECOND) + 30 * SECOND).await;
        // Panes of two seconds, and an offset.
        let end = |at| floor(at - SECOND, 4 * SECOND) + 11 * SECOND;
        check(seed, "window(ts, '10 seconds', '4 seconds', '1 second')", PLAIN, end).await;
    }
}

#[tokio::test]
async fn cumulating_windows_give_what_a_batch_gives() {
    for seed in 200..206 {
        println!("seed {seed}");
        check(seed, "cumulate_window(ts, '40 seconds', '10 seconds')", PLAIN, |at| {
            floor(at, 40 * SECOND) + 40 * SECOND
        })
        .await;
    }
}

#[tokio::test]
async fn sessions_give_what_a_batch_gives() {
    for seed in 400..412 {
        println!("seed {seed}");
        check(seed, "session_window(ts, '2 seconds')", PLAIN, |at| at + 1).await;
        check(seed, "session_window(ts, '700 milliseconds')", PLAIN, |at| at + 1).await;
    }
}

/// Windows over windows, whose state is behind the first ones'; ranks and joins of whole windows, which have none.
#[tokio::test]
async fn what_is_above_windows_gives_what_a_batch_gives() {
    let sums = "sum(rows), sum(total), min(least), sum(even), max(different), max(mean)";
    let ranked = "SELECT starts, ends, k, rows, total, least, even, different, mean FROM (SELECT *, row_number() OVER \
                  (PARTITION BY starts ORDER BY rows DESC, k) AS place FROM WINDOWS) WHERE place <= 3";
    let joined = "SELECT a.starts, b.ends, b.k, a.rows, b.total, a.least, a.even, b.different, b.mean FROM WINDOWS AS a FULL JOIN \
                  WINDOWS AS b ON a.ends = b.ends AND a.rows = b.least";
    for seed in 300..306 {
        println!("seed {seed}");
        let end = |at| floor(at, 10 * SECOND) + 10 * SECOND;
        let by_end = format!(
            "SELECT window.start, window.end, k, {sums} FROM WINDOWS GROUP BY window(ends - INTERVAL '1 millisecond', '40 \
             seconds'), k"
        );
        check(seed, "window(ts, '10 seconds')", &by_end, end).await;
        // Not aligned with those below, and overlapping.
        let by_start = format!(
            "SELECT window.start, window.end, k, {sums} FROM WINDOWS GROUP BY window(starts, '45 seconds', '15 seconds'), k"
        );
        check(seed, "window(ts, '10 seconds')", &by_start, end).await;
        check(seed, "window(ts, '10 seconds')", ranked, end).await;
        let hopping = |at| floor(at, 10 * SECOND) + 20 * SECOND;
        check(seed, "window(ts, '20 seconds', '10 seconds')", joined, hopping).await;
        check(seed, "window(ts, '20 seconds', '10 seconds')", &by_start, hopping).await;
    }
}

#[tokio::test]
async fn windows_close_while_the_job_runs_and_their_state_goes() {
    let world = World::with(MemorySource::new(false), 1, workload("window(ts, '10 seconds')", PLAIN)).await;
    let store: Arc<dyn ObjectStore> = Arc::new(object_store::memory::InMemory::new());
    let row = |second: i64| {
        let time = Some(BEGIN + second * SECOND);
        Row { time, key: Some("k".to_owned()), number: 1, before: None }.line()
    };
    world.source.append("a", (0..20).map(row));
    let process = world.start(Arc::clone(&store));
    process.wait("committed", |s| s.committed.rows_written == 1 && s.committed.rows_read == 20).await;
    assert_eq!(process.target_rows("SELECT rows FROM t").await, ["10"]);
    // Nothing but the watermark moves on: the next window closes at once.
    world.source.append("a", [row(200)]);
    process.wait("committed", |s| s.committed.rows_written == 2).await;
    world.source.append("a", [row(400)]);
    process.wait("committed", |s| s.committed.rows_written == 3).await;
    // The objects of what was emitted go; what is left holds the open window.
    let begun = std::time::Instant::now();
    loop {
        let objects: Vec<_> = store.list(Some(&Path::from(STATE))).try_collect().await.unwrap();
        if objects.len() == 1 {
            break;
        }
        assert!(begun.elapsed() < Duration::from_secs(20), "{objects:?}");
        world.source.append("a", [row(401)]);
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    // A stop keeps what is open: it is not emitted.
    let status = process.handle.end(Ending::Finish { reason: "stopped".to_owned() }).await;
    assert_eq!(status.phase, JobPhase::Finished("stopped".to_owned()));
    assert_eq!(status.committed.rows_written, 3);
}

/// A silent split doesn't hold the windows of the others; its rows are judged by the job's watermark when it wakes.
#[tokio::test]
async fn a_split_that_runs_ahead_waits_for_the_others() {
    let mut workload = workload("window(ts, '10 seconds')", PLAIN);
    workload.event_time = workload.event_time.map(|time| EventTime { drift_micros: Some(30 * SECOND), ..time });
    let mut world = World::with(MemorySource::new(true), 1, workload).await;
    world.options.epoch_rows = 10;
    let row = |second: i64| {
        let time = Some(BEGIN + second * SECOND);
        Row { time, key: Some("k".to_owned()), number: 1, before: None }.line()
    };
    world.source.append("a", (0..20).map(row));
    world.source.append("b", (0..1_000).map(row));
    let process = world.start(Arc::new(object_store::memory::InMemory::new()));
    // The slow one is at 19 s: the other stops when an epoch has brought it beyond 49.
    let status = process.wait("committed", |s| s.committed.rows_read >= 20 + 50).await;
    tokio::time::sleep(Duration::from_millis(100)).await;
    let read = process.handle.status().counters.rows_read;
    assert!((70..=90).contains(&read), "{read} rows, {} at first", status.committed.rows_read);
    let panes = process.handle.status().state.iter().map(|s| s.panes).max();
    assert!(panes <= Some(8), "{panes:?} panes are open");
    world.source.append("a", (20..500).map(row));
    world.source.complete();
    process.wait_finished().await;
    assert_eq!(process.target_rows("SELECT sum(rows) FROM t").await, ["1500"]);
    assert!(process.late_rows(LATE).await.is_empty());
    process.kill().await;
}

#[tokio::test]
async fn a_silent_split_does_not_hold_windows_open() {
    let world = World::with(MemorySource::new(false), 1, workload("window(ts, '10 seconds')", PLAIN)).await;
    let store: Arc<dyn ObjectStore> = Arc::new(object_store::memory::InMemory::new());
    let row = |second: i64| {
        let time = Some(BEGIN + second * SECOND);
        Row { time, key: Some("k".to_owned()), number: 1, before: None }.line()
    };
    world.source.append("a", [row(1), row(40)]);
    world.source.append("b", [row(2)]);
    let process = world.start(Arc::clone(&store));
    process.wait("read", |s| s.committed.rows_read == 3).await;
    assert_eq!(process.handle.status().counters.rows_written, 0, "split b holds the window");
    // Split a goes on for longer than it takes to become idle.
    let begun = std::time::Instant::now();
    let mut second = 40;
    while process.handle.status().counters.rows_written == 0 {
        assert!(begun.elapsed() < Duration::from_secs(30));
        second += 1;
        world.source.append("a", [row(second)]);
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    assert_eq!(process.target_rows("SELECT rows FROM t WHERE starts = TIMESTAMP '2026-11-25T00:00:00Z'").await, ["2"]);
    world.source.append("b", [row(3), row(second)]);
    let status = process.wait("read", |s| s.committed.rows_late == 1).await;
    assert_eq!(status.failures, 0, "{status:?}");
    process.kill().await;
    // What was idle and how far time had come is known to the next process.
    let process = world.start(store);
    process.wait("running", |s| s.phase == JobPhase::Running).await;
    world.source.append("b", [row(4)]);
    process.wait("read", |s| s.committed.rows_late == 2).await;
}
