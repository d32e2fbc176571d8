//! Parse, then a 10 s window per url: rows per CPU second, with the state's checkpoints. One JSON line a case.
//!
//!     cargo run --release -p salamander-benches --bin window

#![allow(clippy::print_stdout, reason = "a benchmark's result goes to standard output")]

use anyhow::{Context, Result};
use arrow::array::BinaryViewBuilder;
use async_trait::async_trait;
use clap::Parser;
use salamander_benches::usage::cpu_seconds;
use salamander_connector_api::{Decoder, RawBatch, Source};
use salamander_operators::{EpochContext, EpochTime, EventTime, JobStates, ReusedPlan, run_epoch};
use salamander_planner::{JobPlan, JobTarget, PlanError, Planner, Relation, StreamRelation, Tables, arrow_schema};
use salamander_sql::{Statement, TableDef};
use salamander_types::{Epoch, JobId, Position, SplitId, TableId};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Instant;

#[derive(Debug, Parser)]
struct Arguments {
    /// Rows of each case.
    #[arg(long, default_value_t = 4_000_000)]
    rows: u64,
    /// Rows of an epoch.
    #[arg(long, default_value_t = 131_072)]
    epoch_rows: usize,
    /// Epochs from one checkpoint of the state to the next.
    #[arg(long, default_value_t = 2)]
    checkpoint_every: usize,
    /// Plan partitions.
    #[arg(long, default_value_t = 2)]
    partitions: usize,
}

const STREAM: &str = "CREATE TABLE logs (ts TIMESTAMP, log_level STRING, request_id STRING, session_id STRING, \
    user_id STRING, action STRING, http_method STRING, url STRING, referrer STRING, ip STRING, agent STRING, \
    response_time DOUBLE, product_id STRING, cart_size INT, checkout_status STRING, token STRING, auth_method STRING, \
    auth_level STRING, correlation_id STRING, server_ip STRING, port INT, protocol STRING, status STRING, detail STRING, \
    WATERMARK FOR ts AS ts - INTERVAL '10' SECOND) WITH ('connector' = 'generator', 'format' = 'delimited', \
    'delimiter' = ' | ', 'strip_labels' = 'true')";

const CASES: [(&str, &str); 5] = [
    ("parse only", "SELECT ts, url, 1, response_time FROM logs WHERE response_time < -1"),
    ("count", "SELECT window.start, url, count(*), 0.0 FROM logs GROUP BY window(ts, '10 seconds'), url"),
    (
        "count, avg",
        "SELECT window.start, url, count(*), avg(response_time) FROM logs GROUP BY window(ts, '10 seconds'), url",
    ),
    (
        "count, avg by user",
        "SELECT window.start, user_id, count(*), avg(response_time) FROM logs GROUP BY window(ts, '10 seconds'), user_id",
    ),
    (
        "hopping, count, avg",
        "SELECT window.start, url, count(*), avg(response_time) FROM logs GROUP BY window(ts, '60 seconds', '10 seconds'), url",
    ),
];

#[derive(Debug)]
struct Logs {
    source: Arc<dyn Source>,
    decoder: Arc<dyn Decoder>,
}

#[async_trait]
impl Tables for Logs {
    fn has_database(&self, _: &str) -> bool {
        true
    }

    fn has_table(&self, _: &str, name: &str) -> bool {
        name == "logs"
    }

    async fn relation(&self, _: &str, name: &str) -> Result<Option<Relation>, PlanError> {
        Ok((name == "logs").then(|| {
            Relation::Stream(StreamRelation {
                id: TableId::from_text("t1"),
                name: name.to_owned(),
                source: Arc::clone(&self.source),
                decoder: Arc::clone(&self.decoder),
                event_time: Some(EventTime {
                    column: 0,
                    delay_micros: 10_000_000,
                    future_micros: EventTime::FUTURE_MICROS,
                    drift_micros: None,
                }),
            })
        }))
    }

    fn table_names(&self, _: &str) -> Vec<String> {
        vec![]
    }
}

fn stream() -> Result<TableDef> {
    match salamander_sql::parse_one(STREAM)?.statement {
        Statement::CreateTable(create) => Ok(create.table),
        _ => anyhow::bail!("not a table"),
    }
}

async fn plan(sql: &str, partitions: usize) -> Result<JobPlan> {
    let table = stream()?;
    let connector = table.connector().context("a stream")?;
    let options = connector.resolved_options(&|_| None)?;
    let decoder = salamander_formats::decoder("delimited", Arc::new(arrow_schema(table.all_columns())), &options)?;
    let source = salamander_generator::from_options(&BTreeMap::new())?;
    let Statement::Query(query) = salamander_sql::parse_one(sql)?.statement else { anyhow::bail!("not a query") };
    let Statement::CreateTable(target) = salamander_sql::parse_one(
        "CREATE TABLE target (s TIMESTAMP, k STRING, n BIGINT, mean DOUBLE) WITH ('connector' = 'blackhole')",
    )?
    .statement
    else {
        anyhow::bail!("not a table")
    };
    let schema = Arc::new(arrow_schema(target.table.all_columns()));
    let target = JobTarget { name: "target".to_owned(), schema, columns: vec![] };
    let planner = Planner::try_new(Arc::default(), partitions)?;
    Ok(planner
        .job(
            Arc::new(Logs { source, decoder }),
            "default",
            &query,
            &target,
            partitions,
            salamander_planner::Keeps::Table,
        )
        .await?)
}

/// Generated lines as the reader of a source would give them.
fn batches(rows: u64, batch_rows: u64) -> Result<Vec<RawBatch>> {
    let generator = salamander_generator::Settings::from_options(&BTreeMap::new())?.generator;
    let (mut batches, mut line) = (Vec::new(), Vec::new());
    for first in (0..rows).step_by(usize::try_from(batch_rows)?) {
        let mut payload = BinaryViewBuilder::with_capacity(usize::try_from(batch_rows)?).with_fixed_block_size(4 << 20);
        let (last, mut bytes) = ((first + batch_rows).min(rows), 0);
        for row in first..last {
            line.clear();
            generator.line(row, &mut line);
            bytes += line.len();
            payload.append_value(&line);
        }
        batches.push(RawBatch {
            split: SplitId::new("0"),
            first_sequence: first,
            payload: payload.finish(),
            offsets: None,
            enqueued: None,
            partition_key: None,
            properties: None,
            next: Position::at(last),
            bytes,
        });
    }
    Ok(batches)
}

#[tokio::main]
async fn main() -> Result<()> {
    let arguments = Arguments::parse();
    // The same rows again and again, so that their making doesn't count: event time would stand still, so their windows
    // close at the end of each round.
    let held = batches(arguments.rows.min(524_288), 8_192)?;
    for (name, sql) in CASES {
        let plan = plan(sql, arguments.partitions).await?;
        let mut reused = ReusedPlan::new(&plan.physical);
        let states = Arc::new(JobStates::try_new(&plan.physical, salamander_state::StateStore::default())?);
        let (mut read, mut epoch, mut made, mut written) = (0u64, 0u64, 0u64, 0usize);
        let (begun, start) = (cpu_seconds(), Instant::now());
        while read < arguments.rows {
            for (index, taken) in held.chunks((arguments.epoch_rows / 8_192).max(1)).enumerate() {
                epoch += 1;
                read += taken.iter().map(|b| b.len() as u64).sum::<u64>();
                made += run(&plan, &mut reused, &states, epoch, taken.to_vec(), None).await?;
                if index.is_multiple_of(arguments.checkpoint_every) {
                    written += states.checkpoint(format!("{epoch}"))?.appended.len();
                }
            }
            epoch += 1;
            made += run(&plan, &mut reused, &states, epoch, vec![], Some(i64::MAX)).await?;
        }
        let (cpu, took) = (cpu_seconds() - begun, start.elapsed().as_secs_f64());
        println!(
            "{}",
            serde_json::json!({
                "bench": "window", "case": name, "rows": read, "output_rows": made, "state_chunks": written,
                "rows_per_cpu_second": (read as f64 / cpu).round(), "rows_per_second": (read as f64 / took).round(),
            })
        );
    }
    Ok(())
}

/// One epoch; the rows that it made.
async fn run(
    plan: &JobPlan,
    reused: &mut ReusedPlan,
    states: &Arc<JobStates>,
    epoch: u64,
    taken: Vec<RawBatch>,
    watermark: Option<i64>,
) -> Result<u64> {
    let mut inputs = vec![Vec::new(); plan.scans];
    inputs[0] = taken;
    let time = EpochTime { watermark, ..EpochTime::default() };
    let context = EpochContext::new(JobId::from_text("j1"), Epoch(epoch), inputs, plan.partitions)
        .with_state(time, Arc::clone(states));
    let output = run_epoch(reused, &plan.task, context).await?;
    anyhow::ensure!(output.bad.is_empty() && output.late.is_empty(), "rows were put aside");
    Ok(output.batches.iter().map(|b| b.num_rows() as u64).sum())
}
