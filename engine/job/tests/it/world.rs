//! What outlives a process (a store, a source, a plan), processes on it, and readers of what they leave.

use crate::memory_source::MemorySource;
use arrow::array::{Array, AsArray, RecordBatch};
use arrow::datatypes::{DataType, Field, Int64Type, Schema};
use async_trait::async_trait;
use datafusion::prelude::{SessionConfig, SessionContext};
use futures::TryStreamExt;
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt};
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use salamander_connector_api::{DeliverySink, bad_records_schema, late_records_schema};
use salamander_hive::{HiveTable, LiveTable, TableLayout, TableLocation, TableOptions};
use salamander_job::spec::Target;
use salamander_job::{Ending, JobEnvironment, JobHandle, JobOptions, JobPhase, JobSpec, JobStatus, SinkTable};
use salamander_operators::EventTime;
use salamander_planner::{JobPlan, JobTarget, Keeps, PlanError, Planner, Relation, StreamRelation, Tables};
use salamander_types::{Entropy, JobId, SystemClock, SystemEntropy, TableId, WriterId};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Where the target's files are.
pub(crate) const TABLE: &str = "lake/events";
/// Where the job's keyed state is.
pub(crate) const STATE: &str = "data/jobs/j1/state";
const STREAM: &str = "t1";

/// `id | text | day`; every 20th row is one that doesn't decode.
pub(crate) fn row(id: u64) -> String {
    if is_bad(id) {
        return format!("no number|{id}|broken");
    }
    format!("{id}|the text of row {id}, some of it like that of others|2026-11-{:02}", 1 + id % 3)
}

pub(crate) fn is_bad(id: u64) -> bool {
    id % 20 == 13
}

pub(crate) fn rows(ids: std::ops::Range<u64>) -> impl Iterator<Item = String> {
    ids.map(row)
}

/// The ids of a range that decode.
pub(crate) fn good(ids: std::ops::Range<u64>) -> Vec<i64> {
    ids.filter(|id| !is_bad(*id)).map(|id| id as i64).collect()
}

fn columns() -> Schema {
    Schema::new(vec![
        Field::new("id", DataType::Int64, true),
        Field::new("text", DataType::Utf8View, true),
        Field::new("day", DataType::Utf8View, true),
    ])
}

/// What a job of a world computes.
#[derive(Debug, Clone)]
pub(crate) struct Workload {
    pub(crate) query: String,
    pub(crate) stream: Schema,
    pub(crate) event_time: Option<EventTime>,
    pub(crate) target: Schema,
    pub(crate) partitions: Vec<&'static str>,
}

impl Workload {
    /// Rows as they come.
    fn copy() -> Self {
        Self {
            query: "SELECT id, text, day FROM events".to_owned(),
            stream: columns(),
            event_time: None,
            target: columns(),
            partitions: vec!["day"],
        }
    }
}

#[derive(Debug)]
struct OneStream(StreamRelation);

#[async_trait]
impl Tables for OneStream {
    fn has_database(&self, _: &str) -> bool {
        true
    }

    fn has_table(&self, _: &str, name: &str) -> bool {
        name == "events"
    }

    async fn relation(&self, _: &str, name: &str) -> Result<Option<Relation>, PlanError> {
        Ok((name == "events").then(|| Relation::Stream(self.0.clone())))
    }

    fn table_names(&self, _: &str) -> Vec<String> {
        vec![]
    }
}

/// A plan that runs once.
pub(crate) async fn once(query: &str) -> JobPlan {
    let target = JobTarget { name: "db.target".to_owned(), schema: Arc::new(columns()), columns: vec![] };
    let query = query_of(query);
    let planner = Planner::try_new(Arc::default(), 2).unwrap();
    planner.insertion(Arc::new(NoTables), "db", &query, &target).await.unwrap()
}

#[derive(Debug)]
struct NoTables;

#[async_trait]
impl Tables for NoTables {
    fn has_database(&self, _: &str) -> bool {
        true
    }

    fn has_table(&self, _: &str, _: &str) -> bool {
        false
    }

    async fn relation(&self, _: &str, _: &str) -> Result<Option<Relation>, PlanError> {
        Ok(None)
    }

    fn table_names(&self, _: &str) -> Vec<String> {
        vec![]
    }
}

pub(crate) fn query_of(sql: &str) -> Box<salamander_sql::ast::Query> {
    let salamander_sql::Statement::Query(query) = salamander_sql::parse_one(sql).unwrap().statement else {
        panic!("a query")
    };
    query
}

async fn plan(source: &MemorySource, workload: &Workload) -> JobPlan {
    let options = [("delimiter", "|"), ("null_value", "")].map(|(k, v)| (k.to_owned(), v.to_owned()));
    let options = BTreeMap::from(options);
    let decoder = salamander_formats::decoder("delimited", Arc::new(workload.stream.clone()), &options).unwrap();
    let stream = StreamRelation {
        id: TableId::from_text(STREAM),
        name: "db.events".to_owned(),
        source: Arc::new(source.clone()),
        decoder,
        event_time: workload.event_time,
    };
    let schema = Arc::new(workload.target.clone());
    let target = JobTarget { name: "db.target".to_owned(), schema, columns: vec![] };
    let planner = Planner::try_new(Arc::default(), 2).unwrap();
    planner.job(Arc::new(OneStream(stream)), "db", &query_of(&workload.query), &target, 2, Keeps::Table).await.unwrap()
}

/// Small epochs, checkpoints and rolls all the time.
pub(crate) fn hurried() -> JobOptions {
    JobOptions {
        checkpoint_interval: Duration::from_millis(2),
        epoch_rows: 50,
        encode_rows: 30,
        discovery_interval: Duration::from_millis(3),
        longest_backoff: Duration::from_millis(10),
        ..JobOptions::default()
    }
}

/// What outlives processes.
pub(crate) struct World {
    workload: Workload,
    pub(crate) source: MemorySource,
    pub(crate) plan: JobPlan,
    pub(crate) options: JobOptions,
    pub(crate) table: TableOptions,
    pub(crate) entropy: Arc<SystemEntropy>,
    pub(crate) sink: Option<Arc<dyn DeliverySink>>,
}

impl World {
    pub(crate) async fn new(source: MemorySource, seed: u64) -> Self {
        Self::with(source, seed, Workload::copy()).await
    }

    pub(crate) async fn with(source: MemorySource, seed: u64, workload: Workload) -> Self {
        let plan = plan(&source, &workload).await;
        let table =
            TableOptions { roll_size: 20_000, roll_interval: Duration::from_millis(15), ..TableOptions::default() };
        let entropy = Arc::new(SystemEntropy::seeded(seed));
        Self { workload, source, plan, options: hurried(), table, entropy, sink: None }
    }

    pub(crate) fn random(&self, below: u64) -> u64 {
        self.entropy.next_u64() % below
    }

    fn sink_table(
        &self,
        store: &Arc<dyn ObjectStore>,
        id: &str,
        root: &str,
        schema: &Schema,
        partitions: &[&str],
    ) -> SinkTable {
        let location = TableLocation { store: Arc::clone(store), root: Path::parse(root).unwrap() };
        let partitions: Vec<String> = partitions.iter().map(|p| (*p).to_owned()).collect();
        let options = self.table.clone();
        let layout =
            TableLayout::new(TableId::from_text(id), format!("db.{id}"), location, schema, &partitions, options);
        let layout = Arc::new(layout.unwrap());
        SinkTable { live: Arc::new(LiveTable::new(Arc::clone(&layout))), layout }
    }

    /// Starts a process that runs the job on a store.
    pub(crate) fn start(&self, store: Arc<dyn ObjectStore>) -> Process {
        let (spec, environment) = self.job(store);
        Process { handle: JobHandle::spawn(spec, environment) }
    }

    /// Starts a process that only ends what the job has committed.
    pub(crate) fn settle(&self, store: Arc<dyn ObjectStore>) -> Process {
        let (spec, environment) = self.job(store);
        Process { handle: JobHandle::settle(spec, environment, Ending::Finish { reason: "settled".to_owned() }) }
    }

    pub(crate) fn job(&self, store: Arc<dyn ObjectStore>) -> (Arc<JobSpec>, JobEnvironment) {
        let target = match &self.sink {
            None => {
                let Workload { target, partitions, .. } = &self.workload;
                Target::Table(self.sink_table(&store, "t2", TABLE, target, partitions))
            }
            Some(sink) => Target::Delivery {
                outbox: self.sink_table(&store, "t2", TABLE, &columns(), &[]),
                sink: Arc::clone(sink),
            },
        };
        let bad = self.sink_table(&store, "t1bad", "data/bad", &bad_records_schema(), &[]);
        let bad_records = self.plan.inputs.iter().map(|input| (input.stream.id.clone(), bad.clone())).collect();
        let late = self.sink_table(&store, "t1late", "data/late", &late_records_schema(), &[]);
        let late_records =
            if self.plan.keeps_state { BTreeMap::from([(TableId::from_text(STREAM), late)]) } else { BTreeMap::new() };
        let spec = JobSpec {
            id: JobId::from_text("j1"),
            name: "ingest".to_owned(),
            sql: format!("INSERT INTO target {}", self.workload.query),
            plan: self.plan.clone(),
            target,
            bad_records,
            late_records,
            options: self.options.clone(),
        };
        let environment = JobEnvironment {
            store,
            log_folder: Path::parse("data/jobs/j1/log").unwrap(),
            state_folder: Path::parse(STATE).unwrap(),
            writer: WriterId::fresh(self.entropy.as_ref()),
            clock: Arc::new(SystemClock::default()),
            entropy: self.entropy.clone(),
        };
        (Arc::new(spec), environment)
    }
}

/// A process that runs the job, and its readers.
pub(crate) struct Process {
    pub(crate) handle: JobHandle,
}

impl Process {
    /// Ends as `kill -9` does; what was under way is over when this returns.
    pub(crate) async fn kill(self) {
        drop(self.handle);
        tokio::time::sleep(Duration::from_millis(2)).await;
    }

    fn live(&self) -> &Arc<LiveTable> {
        &self.handle.spec().target.table().unwrap().live
    }

    /// The ids that the engine's own readers see now, sorted.
    pub(crate) async fn live_ids(&self) -> Vec<i64> {
        ids(&read(self.live(), "SELECT id FROM t").await)
    }

    /// Rows of the target as text, sorted.
    pub(crate) async fn target_rows(&self, sql: &str) -> Vec<String> {
        lines(&read(self.live(), sql).await)
    }

    /// Rows of `$late_records` as text, sorted.
    pub(crate) async fn late_rows(&self, sql: &str) -> Vec<String> {
        lines(&read(&self.handle.spec().late_records[&TableId::from_text(STREAM)].live, sql).await)
    }

    /// The rows of `$bad_records` as `split number: reason`, sorted.
    pub(crate) async fn bad_rows(&self) -> Vec<String> {
        let bad = &self.handle.spec().bad_records[&TableId::from_text(STREAM)].live;
        let batches = read(bad, "SELECT _partition, _sequence_number, reason FROM t").await;
        let mut rows = Vec::new();
        for batch in &batches {
            let (split, reason) = (batch.column(0).as_string_view(), batch.column(2).as_string_view());
            let number = batch.column(1).as_primitive::<Int64Type>();
            let lines =
                (0..batch.num_rows()).map(|i| format!("{} {}: {}", split.value(i), number.value(i), reason.value(i)));
            rows.extend(lines);
        }
        rows.sort();
        rows
    }

    /// Waits until the status is as wanted.
    pub(crate) async fn wait(&self, what: &str, wanted: impl Fn(&JobStatus) -> bool) -> JobStatus {
        let begun = Instant::now();
        loop {
            let status = self.handle.status();
            if wanted(&status) {
                return status;
            }
            assert!(begun.elapsed() < Duration::from_secs(60), "still not {what}: {status:?}");
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }

    pub(crate) async fn wait_finished(&self) -> JobStatus {
        self.wait("finished", |s| {
            assert!(!matches!(s.phase, JobPhase::Failed { retrying: false, .. }), "{s:?}");
            matches!(s.phase, JobPhase::Finished(_))
        })
        .await
    }
}

async fn read(live: &Arc<LiveTable>, sql: &str) -> Vec<RecordBatch> {
    let context = SessionContext::new_with_config(SessionConfig::new().with_target_partitions(2));
    context.register_table("t", Arc::new(HiveTable::latest(Arc::clone(live)))).unwrap();
    context.sql(sql).await.unwrap().collect().await.unwrap()
}

/// Rows as text, sorted.
pub(crate) fn lines(batches: &[RecordBatch]) -> Vec<String> {
    use arrow::util::display::{ArrayFormatter, FormatOptions};
    let options = FormatOptions::default().with_null("NULL");
    let mut lines = Vec::new();
    for batch in batches {
        let columns: Vec<_> = batch.columns().iter().map(|c| ArrayFormatter::try_new(c, &options).unwrap()).collect();
        let line = |row| columns.iter().map(|c| c.value(row).to_string()).collect::<Vec<_>>().join("|");
        lines.extend((0..batch.num_rows()).map(line));
    }
    lines.sort();
    lines
}

fn ids(batches: &[RecordBatch]) -> Vec<i64> {
    let mut ids: Vec<i64> = Vec::new();
    for batch in batches {
        let column = batch.column_by_name("id").unwrap().as_primitive::<Int64Type>();
        assert_eq!(column.null_count(), 0);
        ids.extend(column.values());
    }
    ids.sort_unstable();
    ids
}

/// The ids in the files that Hive and Spark see, sorted: every object whose path has no hidden name, each one whole.
pub(crate) async fn visible_ids(store: &dyn ObjectStore) -> Vec<i64> {
    let objects: Vec<_> = store.list(Some(&Path::from(TABLE))).try_collect().await.unwrap();
    let mut batches = Vec::new();
    for object in objects {
        if object.location.parts().any(|part| part.as_ref().starts_with(['_', '.'])) {
            continue;
        }
        let bytes = store.get(&object.location).await.unwrap().bytes().await.unwrap();
        let reader = ParquetRecordBatchReaderBuilder::try_new(bytes).unwrap().build().unwrap();
        batches.extend(reader.map(Result::unwrap));
    }
    ids(&batches)
}

/// Panics if an id is there twice, or is not among those written.
pub(crate) fn assert_at_most_once(found: &[i64], written: &[i64], who: &str) {
    let twice: Vec<_> = found.windows(2).filter(|w| w[0] == w[1]).map(|w| w[0]).collect();
    assert!(twice.is_empty(), "{who} see twice: {twice:?}");
    let strange: Vec<_> = found.iter().filter(|id| written.binary_search(id).is_err()).collect();
    assert!(strange.is_empty(), "{who} see what was never written: {strange:?}");
}

/// Panics unless each id is there once.
pub(crate) fn assert_exactly_once(found: &[i64], written: &[i64], who: &str) {
    assert_at_most_once(found, written, who);
    let missing: Vec<_> = written.iter().filter(|id| found.binary_search(id).is_err()).collect();
    assert!(missing.is_empty(), "{who} miss {} of {}: {missing:?}", missing.len(), written.len());
}

pub(crate) fn assert_bad_rows(found: &[String], splits: &[(&str, std::ops::Range<u64>)]) {
    let mut expected: Vec<String> = Vec::new();
    for (split, ids) in splits {
        let first = ids.start;
        expected.extend(ids.clone().filter(|id| is_bad(*id)).map(|id| format!("{split} {}", id - first)));
    }
    expected.sort();
    let mut found: Vec<String> = found.iter().map(|row| row.split(':').next().unwrap().to_owned()).collect();
    found.sort();
    assert_eq!(found, expected);
}
