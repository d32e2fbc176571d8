//! What an epoch of the users' pipeline costs in one process: 1, 100 and 10,000 rows. One JSON line a size.
//!
//! ```text
//! cargo run --release -p salamander-benches --bin epoch_cost
//! ```

#![allow(clippy::print_stdout, reason = "a benchmark's result goes to standard output")]

use anyhow::{Context, Result};
use arrow::array::BinaryViewBuilder;
use async_trait::async_trait;
use clap::Parser;
use salamander_benches::{percentile, pipeline, usage::cpu_seconds};
use salamander_connector_api::{Decoder, RawBatch, Source};
use salamander_operators::{EpochContext, ReusedPlan, run_epoch};
use salamander_planner::{JobPlan, JobTarget, PlanError, Planner, Relation, StreamRelation, Tables, arrow_schema};
use salamander_types::{Epoch, JobId, Position, SplitId, TableId};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Instant;

#[derive(Debug, Parser)]
struct Arguments {
    /// Epochs of each size.
    #[arg(long, default_value_t = 3000)]
    epochs: u64,
    /// Plan partitions.
    #[arg(long, default_value_t = 2)]
    partitions: usize,
}

#[derive(Debug)]
struct Example {
    parts: pipeline::Parts,
    source: Arc<dyn Source>,
    decoder: Arc<dyn Decoder>,
}

#[async_trait]
impl Tables for Example {
    fn has_database(&self, _: &str) -> bool {
        true
    }

    fn has_table(&self, _: &str, name: &str) -> bool {
        name == self.parts.stream || self.parts.views.iter().any(|(view, _)| view == name)
    }

    async fn relation(&self, _: &str, name: &str) -> Result<Option<Relation>, PlanError> {
        if name == self.parts.stream {
            return Ok(Some(Relation::Stream(StreamRelation {
                id: TableId::from_text("t1"),
                name: name.to_owned(),
                source: Arc::clone(&self.source),
                decoder: Arc::clone(&self.decoder),
                event_time: None,
            })));
        }
        let view = self.parts.views.iter().find(|(view, _)| view == name);
        Ok(view.map(|(_, query)| Relation::View {
            database: "default".to_owned(),
            query: query.clone(),
            columns: vec![],
        }))
    }

    fn table_names(&self, _: &str) -> Vec<String> {
        vec![]
    }
}

async fn plan(partitions: usize) -> Result<JobPlan> {
    let parts = pipeline::parts()?;
    let body = arrow::datatypes::Schema::new(vec![arrow::datatypes::Field::new(
        "body",
        arrow::datatypes::DataType::Utf8View,
        true,
    )]);
    let decoder = salamander_formats::decoder("text", Arc::new(body), &BTreeMap::new())?;
    let source = salamander_generator::from_options(&BTreeMap::new())?;
    let target = JobTarget {
        name: parts.target.name.to_string(),
        schema: Arc::new(arrow_schema(parts.target.all_columns())),
        columns: vec![],
    };
    let query = parts.insert.query.clone();
    let tables = Arc::new(Example { parts, source, decoder });
    let planner = Planner::try_new(Arc::default(), partitions)?;
    Ok(planner.job(tables, "default", &query, &target, partitions, salamander_planner::Keeps::Table).await?)
}

/// `rows` generated lines as the reader of a source would give them.
fn batch(first: u64, rows: usize) -> Result<RawBatch> {
    let generator = salamander_generator::Settings::from_options(&BTreeMap::new())?.generator;
    let mut payload = BinaryViewBuilder::with_capacity(rows).with_fixed_block_size(4 << 20);
    let (mut line, mut bytes) = (Vec::new(), 0);
    for row in 0..rows {
        line.clear();
        generator.line(first + row as u64, &mut line);
        bytes += line.len();
        payload.append_value(&line);
    }
    Ok(RawBatch {
        split: SplitId::new("0"),
        first_sequence: first,
        payload: payload.finish(),
        offsets: None,
        enqueued: None,
        partition_key: None,
        properties: None,
        next: Position::at(first + rows as u64),
        bytes,
    })
}

fn main() -> Result<()> {
    salamander_cluster::memory::keep_freed_memory();
    tokio::runtime::Runtime::new()?.block_on(run_all())
}

async fn run_all() -> Result<()> {
    let arguments = Arguments::parse();
    let plan = plan(arguments.partitions).await?;
    let job = JobId::from_text("j1");
    for rows in [1usize, 100, 10_000] {
        let raw = batch(0, rows)?;
        let epochs = if rows > 1000 { arguments.epochs / 10 } else { arguments.epochs };
        let mut millis = Vec::new();
        let mut reused = ReusedPlan::new(&plan.physical);
        let begun = cpu_seconds();
        for epoch in 0..epochs {
            let mut inputs = vec![Vec::new(); plan.scans];
            inputs[0].push(raw.clone());
            let start = Instant::now();
            let context = EpochContext::new(job.clone(), Epoch(epoch + 1), inputs, plan.partitions);
            let output = run_epoch(&mut reused, &plan.task, context).await?;
            millis.push(start.elapsed().as_secs_f64() * 1000.0);
            let made: usize = output.batches.iter().map(arrow::array::RecordBatch::num_rows).sum();
            (made == rows).then_some(()).context("an epoch lost rows")?;
        }
        let cpu = cpu_seconds() - begun;
        println!(
            "{}",
            serde_json::json!({
                "bench": "epoch_cost", "rows": rows, "epochs": epochs,
                "p50_ms": percentile(&mut millis, 50.0), "p99_ms": percentile(&mut millis, 99.0),
                "rows_per_cpu_second": (rows as f64 * epochs as f64 / cpu).round(),
            })
        );
    }
    Ok(())
}
