//! Streams `logs (body STRING)`, `events (id BIGINT, name STRING, at TIMESTAMP)`, the users' example, and a target.

use arrow::array::{BinaryViewArray, RecordBatch};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use async_trait::async_trait;
use salamander_connector_api::RawBatch;
use salamander_operators::{EpochContext, EventTime, run_epoch};
use salamander_planner::{JobPlan, JobTarget, PlanError, Planner, Relation, StreamRelation, Tables, arrow_schema};
use salamander_sql::{Statement, TableDef, ast::Query};
use salamander_types::{Epoch, JobId, Position, SplitId, TableId};
use std::collections::BTreeMap;
use std::sync::Arc;

const TABLES: &str = r"
    CREATE TABLE logs (body STRING) WITH ('connector' = 'generator', 'format' = 'text');
    CREATE TABLE other_logs (body STRING) WITH ('connector' = 'generator', 'format' = 'text');
    CREATE TABLE events (id BIGINT, name STRING, at TIMESTAMP)
        WITH ('connector' = 'generator', 'format' = 'delimited', 'delimiter' = ',');
    CREATE TABLE clicks (url STRING, at TIMESTAMP, n INT, seen TIMESTAMP, WATERMARK FOR at AS at - INTERVAL '10' SECOND)
        WITH ('connector' = 'generator', 'format' = 'delimited', 'delimiter' = ',');
    CREATE VIEW pages AS SELECT lower(url) AS page, at AS clicked, n FROM clicks WHERE n > 0;
    CREATE VIEW words AS SELECT split(body, ' ') AS w FROM logs;
";

#[derive(Debug)]
pub(crate) struct Catalog {
    streams: BTreeMap<String, StreamRelation>,
    views: BTreeMap<String, Box<Query>>,
    pub(crate) target: Option<TableDef>,
    pub(crate) job: Option<salamander_sql::Insert>,
}

impl Catalog {
    pub(crate) fn of(script: &str) -> Self {
        let mut catalog = Self { streams: BTreeMap::new(), views: BTreeMap::new(), target: None, job: None };
        for statement in salamander_sql::parse(script).unwrap() {
            match statement.statement {
                Statement::CreateTable(create) if create.table.hive().is_some() => catalog.target = Some(create.table),
                Statement::CreateTable(create) => catalog.add_stream(&create.table),
                Statement::CreateView(view) => {
                    catalog.views.insert(view.name.name.key().to_owned(), view.query);
                }
                Statement::CreateJob(job) => catalog.job = Some(job.insert),
                _ => {}
            }
        }
        catalog
    }

    pub(crate) fn small() -> Self {
        Self::of(TABLES)
    }

    fn add_stream(&mut self, table: &TableDef) {
        let connector = table.connector().unwrap();
        let format = connector.format_name().unwrap_or("text");
        let options = connector.resolved_options(&|_| Some("x".to_owned())).unwrap_or_default();
        let schema = Arc::new(arrow_schema(table.all_columns()));
        let name = table.name.name.key().to_owned();
        let stream = StreamRelation {
            id: TableId::from_text(&format!("t{}", self.streams.len() + 1)),
            name: format!("default.{name}"),
            source: salamander_generator::from_options(&BTreeMap::new()).unwrap(),
            decoder: salamander_formats::decoder(format, schema, &options).unwrap(),
            event_time: connector.watermark.as_ref().map(|watermark| EventTime {
                column: table.columns.iter().position(|c| c.name == watermark.column).unwrap(),
                delay_micros: watermark.delay_micros,
                future_micros: EventTime::FUTURE_MICROS,
                drift_micros: None,
            }),
        };
        self.streams.insert(name, stream);
    }
}

#[async_trait]
impl Tables for Catalog {
    fn has_database(&self, name: &str) -> bool {
        name == "default"
    }

    fn has_table(&self, _: &str, name: &str) -> bool {
        self.streams.contains_key(name) || self.views.contains_key(name)
    }

    async fn relation(&self, _: &str, name: &str) -> Result<Option<Relation>, PlanError> {
        if let Some(stream) = self.streams.get(name) {
            return Ok(Some(Relation::Stream(stream.clone())));
        }
        let view = self.views.get(name);
        Ok(view.map(|query| Relation::View { database: "default".to_owned(), query: query.clone(), columns: vec![] }))
    }

    fn table_names(&self, _: &str) -> Vec<String> {
        self.streams.keys().chain(self.views.keys()).cloned().collect()
    }
}

pub(crate) fn planner() -> Planner {
    Planner::try_new(Arc::default(), 2).unwrap()
}

pub(crate) fn query(sql: &str) -> Box<Query> {
    match salamander_sql::parse_one(sql).unwrap().statement {
        Statement::Query(query) => query,
        other => panic!("not a query: {other:?}"),
    }
}

/// A target with these columns.
pub(crate) fn target(columns: &[(&str, DataType)]) -> JobTarget {
    let fields: Vec<Field> = columns.iter().map(|(name, kind)| Field::new(*name, kind.clone(), true)).collect();
    JobTarget { name: "default.target".to_owned(), schema: Arc::new(Schema::new(fields)), columns: vec![] }
}

pub(crate) fn text_target() -> JobTarget {
    target(&[("body", DataType::Utf8View)])
}

pub(crate) async fn job(sql: &str, target: &JobTarget) -> Result<JobPlan, PlanError> {
    planner().job(Arc::new(Catalog::small()), "default", &query(sql), target, 2, salamander_planner::Keeps::Table).await
}

/// The columns that a query has, by name.
pub(crate) async fn names(sql: &str) -> Vec<String> {
    let plan = planner().query(Arc::new(Catalog::small()), "default", &query(sql)).await.unwrap();
    plan.schema().fields().iter().map(|f| f.name().clone()).collect()
}

/// One epoch of a job over these payloads, which every scan gets.
pub(crate) async fn run(plan: &JobPlan, payloads: &[&str]) -> Vec<RecordBatch> {
    let raw = RawBatch {
        split: SplitId::new("0"),
        first_sequence: 0,
        payload: BinaryViewArray::from_iter_values(payloads),
        offsets: None,
        enqueued: None,
        partition_key: None,
        properties: None,
        next: Position::at(payloads.len() as u64),
        bytes: 1,
    };
    let context = EpochContext::new(JobId::from_text("j1"), Epoch(1), vec![vec![raw]; plan.scans], plan.partitions);
    let output =
        run_epoch(&mut salamander_operators::ReusedPlan::new(&plan.physical), &plan.task, context).await.unwrap();
    output.batches
}

/// Rows as text, in order.
pub(crate) fn lines(batches: &[RecordBatch]) -> Vec<String> {
    use arrow::util::display::{ArrayFormatter, FormatOptions};
    let options = FormatOptions::default().with_null("NULL");
    let mut lines = Vec::new();
    for batch in batches {
        let columns: Vec<_> = batch.columns().iter().map(|c| ArrayFormatter::try_new(c, &options).unwrap()).collect();
        lines.extend(
            (0..batch.num_rows())
                .map(|row| columns.iter().map(|c| c.value(row).to_string()).collect::<Vec<_>>().join("|")),
        );
    }
    lines
}

pub(crate) fn schema_of(table: &TableDef) -> SchemaRef {
    Arc::new(arrow_schema(table.all_columns()))
}
