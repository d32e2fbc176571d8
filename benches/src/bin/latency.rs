//! Sent -> visible: from just before an event is sent until a Flight SQL query, repeated without pause, returns its row.
//!
//! ```text
//! cargo run --release -p salamander-benches --bin latency -- --server grpc://127.0.0.1:32010 --eventhubs 127.0.0.1:5672
//! ```
//!
//! With `--windows`: from just before the event is sent that brings the watermark to a window's end (of 50 ms of event time)
//! until the window's row is returned. The hub's other partitions are silent meanwhile.
//!
//! Against a running `salamander server`; this process has the one clock. A steady load of `--rate` events a second goes through
//! one partition; a query for the newest event's number runs all the time. One JSON line: p50 and p99 in milliseconds.

#![allow(clippy::print_stdout, reason = "a benchmark's result goes to standard output")]

use anyhow::{Context, Result, bail};
use arrow::array::{Array, Int64Array};
use arrow::datatypes::{DataType, Field, Schema};
use arrow_flight::sql::client::FlightSqlServiceClient;
use clap::Parser;
use futures::{StreamExt, TryStreamExt};
use salamander_benches::percentile;
use salamander_connector_api::{Delivery, DeliverySink};
use salamander_types::{JobId, LogNumber};
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, Instant};
use tonic::transport::Channel;

#[derive(Debug, Parser)]
struct Arguments {
    /// The server's Flight SQL address.
    #[arg(long, default_value = "127.0.0.1:32010")]
    flight: String,
    /// The broker's address.
    #[arg(long, default_value = "127.0.0.1:5672")]
    eventhubs: String,
    /// Events a second.
    #[arg(long, default_value_t = 1000)]
    rate: u64,
    /// How long.
    #[arg(long, default_value_t = 20)]
    seconds: u64,
    /// Measure windows instead of rows.
    #[arg(long)]
    windows: bool,
    /// Folder of the table.
    #[arg(long)]
    table: PathBuf,
}

fn connection(address: &str) -> String {
    format!(
        "Endpoint=sb://{address};SharedAccessKeyName=RootManageSharedAccessKey;SharedAccessKey=SAS_KEY_VALUE;UseDevelopmentEmulator=true"
    )
}

type Client = FlightSqlServiceClient<Channel>;

async fn query(client: &mut Client, sql: &str) -> Result<Option<i64>> {
    let info = client.execute(sql.to_owned(), None).await?;
    let ticket = info.endpoint.into_iter().next().and_then(|e| e.ticket).context("no endpoint")?;
    let mut stream = client.do_get(ticket).await?;
    let mut value = None;
    while let Some(batch) = stream.next().await {
        let batch = batch?;
        let column = batch.columns().first().and_then(|c| c.as_any().downcast_ref::<Int64Array>());
        if let Some(column) = column.filter(|c| !c.is_empty() && c.is_valid(0)) {
            value = Some(column.value(0));
        }
    }
    Ok(value)
}

/// Sends numbered events at a rate, one a call, each with its instant noted just before.
async fn produce(arguments: &Arguments, sent: Arc<Vec<AtomicI64>>, begun: Instant) -> Result<()> {
    let options = BTreeMap::from([
        ("connection_string".to_owned(), connection(&arguments.eventhubs)),
        ("event_hub".to_owned(), "latency".to_owned()),
        ("format".to_owned(), "json".to_owned()),
        ("partition_key".to_owned(), "key".to_owned()),
    ]);
    let sink: Arc<dyn DeliverySink> = salamander_eventhubs::sink_from_options(&options)?;
    let text = |name: &str| Field::new(name, DataType::Utf8, true);
    let schema = Arc::new(Schema::new(vec![Field::new("n", DataType::Int64, false), text("at"), text("key")]));
    let start = chrono::Utc::now();
    let job = JobId::from_text("latency");
    // A tick of 5 ms, so that the timer's granularity doesn't bound the rate.
    let each = (arguments.rate / 200).max(1);
    let mut tick = tokio::time::interval(Duration::from_micros(1_000_000 * each / arguments.rate));
    let mut number = 0;
    while number + (each as usize) < sent.len() {
        tick.tick().await;
        let numbers: Vec<i64> = (number..number + each as usize).filter_map(|n| i64::try_from(n).ok()).collect();
        // Event time goes on by a millisecond an event.
        let at =
            |n: &i64| (start + Duration::from_millis(n.unsigned_abs())).format("%Y-%m-%dT%H:%M:%S%.3fZ").to_string();
        let times = arrow::array::StringArray::from_iter_values(numbers.iter().map(at));
        // One partition takes all windows' rows; rows go to all of them.
        let keys = numbers.iter().map(|_| arguments.windows.then_some("k"));
        let keys = arrow::array::StringArray::from(keys.collect::<Vec<_>>());
        let now = i64::try_from(begun.elapsed().as_micros())?;
        for slot in &sent[number..number + each as usize] {
            slot.store(now, Ordering::Release);
        }
        let columns: Vec<arrow::array::ArrayRef> =
            vec![Arc::new(Int64Array::from(numbers)), Arc::new(times), Arc::new(keys)];
        let batch = arrow::array::RecordBatch::try_new(Arc::clone(&schema), columns)?;
        sink.deliver(Delivery { job: &job, number: LogNumber(1), first_index: number as u64, batch: &batch }).await?;
        number += each as usize;
    }
    Ok(())
}

#[tokio::main]
async fn main() -> Result<()> {
    let arguments = Arguments::parse();
    let channel = Channel::from_shared(format!("http://{}", arguments.flight))?.connect().await?;
    let mut client = FlightSqlServiceClient::new(channel);
    let query_of_job = match arguments.windows {
        false => "SELECT n FROM latency_events",
        // The number of the event that closes the window.
        true => "SELECT max(n) + 1 FROM latency_events GROUP BY window(at, '50 milliseconds')",
    };
    for statement in [
        format!(
            "CREATE TABLE latency_events (n BIGINT, at TIMESTAMP, key STRING, WATERMARK FOR at AS at - INTERVAL '0' SECOND) WITH \
             ('connector' = 'eventhubs', 'connection_string' = '{}', 'event_hub' = 'latency', 'format' = 'json')",
            connection(&arguments.eventhubs)
        ),
        format!(
            "CREATE EXTERNAL TABLE latency_table (n BIGINT) STORED AS PARQUET LOCATION '{}'",
            arguments.table.display()
        ),
        format!("CREATE JOB latency AS INSERT INTO latency_table {query_of_job}"),
    ] {
        let info = client.execute(statement, None).await?;
        let ticket = info.endpoint.into_iter().next().and_then(|e| e.ticket).context("no endpoint")?;
        client.do_get(ticket).await?.try_collect::<Vec<_>>().await?;
    }
    let count = usize::try_from(arguments.rate * arguments.seconds)?;
    let sent: Arc<Vec<AtomicI64>> = Arc::new((0..count).map(|_| AtomicI64::new(-1)).collect());
    let begun = Instant::now();
    let (mut millis, mut seen, mut queries) = (Vec::new(), 0i64, 0u64);
    let producer = produce(&arguments, Arc::clone(&sent), begun);
    let mut producer = std::pin::pin!(producer);
    let mut producing = true;
    let deadline = Duration::from_secs(arguments.seconds + 30);
    while begun.elapsed() < deadline {
        let max = async { query(&mut client, "SELECT max(n) FROM latency_table").await };
        let found = if producing {
            // The producer runs on beside the query.
            let mut max = std::pin::pin!(max);
            loop {
                tokio::select! {
                    found = &mut max => break found?,
                    done = &mut producer, if producing => { done?; producing = false; }
                }
            }
        } else {
            max.await?
        };
        queries += 1;
        let now = i64::try_from(begun.elapsed().as_micros())?;
        let newest = found.unwrap_or(-1);
        // Four partitions: a row below the newest may be missing still, so each query counts its newest row alone.
        if newest >= seen {
            let at = sent[usize::try_from(newest)?].load(Ordering::Acquire);
            millis.push((now - at) as f64 / 1000.0);
            seen = newest + 1;
        } else if !producing {
            break;
        }
    }
    if millis.is_empty() {
        bail!("no event became visible");
    }
    // The first second warms up links and caches.
    let mut steady = millis.split_off(millis.len() / arguments.seconds.max(1) as usize);
    println!(
        "{}",
        serde_json::json!({
            "bench": if arguments.windows { "window latency" } else { "latency" }, "rate": arguments.rate, "samples": steady.len(), "queries": queries,
            "p50_ms": percentile(&mut steady, 50.0), "p99_ms": percentile(&mut steady, 99.0),
        })
    );
    Ok(())
}
