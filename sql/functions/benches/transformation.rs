//! The users' transformation (25 columns out of one line of about 500 bytes), one core:
//! `cargo bench -p salamander-functions`. Rows per second is the number of items per second.

#[allow(dead_code)] // the tests use the rest of it
mod log_lines;

use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch, StringArray};
use datafusion::common::config::Dialect;
use datafusion::datasource::MemTable;
use datafusion::execution::session_state::SessionStateBuilder;
use datafusion::physical_plan::execution_plan::reset_plan_states;
use datafusion::physical_plan::{ExecutionPlan, execute_stream};
use datafusion::prelude::{SessionConfig, SessionContext};
use divan::Bencher;
use divan::counter::{BytesCount, ItemsCount};
use futures::StreamExt;
use salamander_functions::{Kernels, with_spark_kernels};

const ROWS: usize = 65_536;

fn main() {
    divan::main();
}

struct Setup {
    runtime: tokio::runtime::Runtime,
    ctx: SessionContext,
    plan: Arc<dyn ExecutionPlan>,
    bytes: usize,
}

fn setup(kernels: Kernels, sql: &str, rows: usize) -> Setup {
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
    let mut random = log_lines::Random::new(1);
    let lines: Vec<String> = (0..rows).map(|i| log_lines::line(&mut random, i)).collect();
    let bytes = lines.iter().map(String::len).sum();
    let bodies: ArrayRef = Arc::new(StringArray::from(lines));
    let batch = RecordBatch::try_from_iter_with_nullable(vec![("body", bodies, true)]).expect("a batch");
    let batches = (0..rows).step_by(8192).map(|at| batch.slice(at, 8192.min(rows - at))).collect();
    let mut config = SessionConfig::new().with_target_partitions(1);
    config.options_mut().sql_parser.dialect = Dialect::Databricks;
    let builder = SessionStateBuilder::new().with_config(config).with_default_features();
    let ctx = SessionContext::new_with_state(with_spark_kernels(builder, kernels).build());
    ctx.register_table("raw_logs", Arc::new(MemTable::try_new(batch.schema(), vec![batches]).expect("a table")))
        .expect("registered");
    let plan = runtime.block_on(async { ctx.sql(sql).await?.create_physical_plan().await }).expect("a plan");
    Setup { runtime, ctx, plan, bytes }
}

fn run(setup: &Setup) -> usize {
    let plan = reset_plan_states(Arc::clone(&setup.plan)).expect("reset");
    setup.runtime.block_on(async {
        let mut stream = execute_stream(plan, setup.ctx.task_ctx()).expect("a stream");
        let mut rows = 0;
        while let Some(batch) = stream.next().await {
            rows += divan::black_box(batch).expect("a batch").num_rows();
        }
        rows
    })
}

fn bench(bencher: Bencher, kernels: Kernels, sql: &str, rows: usize) {
    let setup = setup(kernels, sql, rows);
    bencher.counter(ItemsCount::new(rows)).counter(BytesCount::new(setup.bytes)).bench_local(|| run(&setup));
}

#[divan::bench(sample_count = 20)]
fn users_transformation_fast(bencher: Bencher) {
    bench(bencher, Kernels::Fast, log_lines::TRANSFORMATION, ROWS);
}

#[divan::bench(sample_count = 3)]
fn users_transformation_general(bencher: Bencher) {
    bench(bencher, Kernels::General, log_lines::TRANSFORMATION, ROWS / 8);
}

/// Of an epoch of 100 rows: what is left is the fixed cost.
#[divan::bench(sample_count = 100)]
fn users_transformation_100_rows(bencher: Bencher) {
    bench(bencher, Kernels::Fast, log_lines::TRANSFORMATION, 100);
}

#[divan::bench(sample_count = 20)]
fn split_24_fields(bencher: Bencher) {
    let fields: Vec<String> = (0..24).map(|i| format!("f[{i}] AS c{i}")).collect();
    let sql = format!(r"SELECT {} FROM (SELECT split(body, ' \| ') AS f FROM raw_logs) AS s", fields.join(", "));
    bench(bencher, Kernels::Fast, &sql, ROWS);
}

#[divan::bench(sample_count = 20)]
fn time_of_a_line(bencher: Bencher) {
    let sql = r"SELECT date_format(ts, 'yyyy-MM-dd') AS d, date_format(ts, 'HH:mm:ss.SSS') AS t
                FROM (SELECT to_timestamp(split(body, ' \| ')[0], 'yyyy-MM-dd''T''HH:mm:ss.SSSSSS') AS ts FROM raw_logs) AS s";
    bench(bencher, Kernels::Fast, sql, ROWS);
}
