//! Measures what receiving costs: events a second, and events a second of this process's CPU time.
//!
//! ```text
//! cargo run --release -p salamander-eventhubs --example receive_bench -- [events] [bytes an event] [partitions]
//! ```
//!
//! The broker runs in a child process, so that its work does not count. The events are sent first and then read through
//! the source as a job reads them, up to sealed Arrow batches.

use salamander_connector_api::{Delivery, Take};
use salamander_eventhubs::{from_options, sink_from_options};
use salamander_eventhubs_broker::{Broker, BrokerOptions};
use salamander_types::{JobId, LogNumber};
use std::collections::BTreeMap;
use std::error::Error;
use std::io::{BufRead, BufReader, Write};
use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::Notify;

type Outcome<T> = Result<T, Box<dyn Error>>;

/// Clock ticks a second in `/proc/self/stat`, on every Linux that matters.
const TICKS: f64 = 100.0;

fn main() -> Outcome<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
    match arguments.first().map(String::as_str) {
        Some("serve") => {
            let (dir, partitions) = (arguments.get(1).ok_or("no directory")?, number(&arguments, 2, 1)?);
            runtime.block_on(serve(dir, partitions as u32))
        }
        _ => {
            let (events, bytes) = (number(&arguments, 0, 1_000_000)?, number(&arguments, 1, 300)?);
            runtime.block_on(measure(events, bytes, number(&arguments, 2, 4)?))
        }
    }
}

fn number(arguments: &[String], place: usize, default: usize) -> Outcome<usize> {
    Ok(arguments.get(place).map(|text| text.parse()).transpose()?.unwrap_or(default))
}

async fn serve(dir: &str, partitions: u32) -> Outcome<()> {
    let mut options = BrokerOptions::new(SocketAddr::from(([127, 0, 0, 1], 0)), dir);
    options.default_partitions = partitions;
    let broker = Broker::start(options).await?;
    writeln!(std::io::stdout(), "{}", broker.local_addr())?;
    std::future::pending::<()>().await;
    Ok(())
}

/// The broker's process, ended with the bench.
struct Server(Child);

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

async fn measure(events: usize, bytes: usize, partitions: usize) -> Outcome<()> {
    let dir = tempfile::tempdir()?;
    let mut command = Command::new(std::env::current_exe()?);
    command.arg("serve").arg(dir.path()).arg(partitions.to_string()).stdout(Stdio::piped());
    let mut server = Server(command.spawn()?);
    let mut address = String::new();
    BufReader::new(server.0.stdout.take().ok_or("no output of the broker")?).read_line(&mut address)?;
    let connection = format!(
        "Endpoint=sb://{};SharedAccessKeyName=RootManageSharedAccessKey;SharedAccessKey=SAS_KEY_VALUE;UseDevelopmentEmulator=true",
        address.trim()
    );
    let options = BTreeMap::from([
        ("connection_string".to_owned(), connection),
        ("event_hub".to_owned(), "bench".to_owned()),
        ("format".to_owned(), "text".to_owned()),
    ]);
    send(&options, events, bytes).await?;
    receive(&options, events).await
}

async fn send(options: &BTreeMap<String, String>, events: usize, bytes: usize) -> Outcome<()> {
    use arrow::array::{RecordBatch, StringArray};
    let sink = sink_from_options(options)?;
    let job = JobId::from_text("bench");
    let began = Instant::now();
    let mut sent = 0;
    while sent < events {
        let rows = (events - sent).min(20_000);
        let bodies = StringArray::from_iter_values((sent..sent + rows).map(|i| format!("{i:0bytes$}")));
        let batch = RecordBatch::try_from_iter([("body", Arc::new(bodies) as _)])?;
        sink.deliver(Delivery { job: &job, number: LogNumber(1), first_index: sent as u64, batch: &batch }).await?;
        sent += rows;
    }
    let seconds = began.elapsed().as_secs_f64();
    writeln!(std::io::stdout(), "sent {events} events of {bytes} bytes: {:.0} events/s", events as f64 / seconds)?;
    Ok(())
}

async fn receive(options: &BTreeMap<String, String>, events: usize) -> Outcome<()> {
    let source = from_options(options)?;
    let splits = source.describe().await?.splits;
    let notify = Arc::new(Notify::new());
    let (began, before) = (Instant::now(), cpu_seconds()?);
    let mut readers = Vec::new();
    for split in &splits {
        readers.push(source.open(&split.split, &split.start, Arc::clone(&notify)).await?);
    }
    let (mut rows, mut bytes, mut batches) = (0, 0, 0);
    while rows < events {
        let mut empty = true;
        for reader in &mut readers {
            while let Take::Batch(batch) = reader.take(65_536, 4 << 20)? {
                rows += batch.len();
                bytes += batch.bytes;
                batches += 1;
                empty = false;
            }
        }
        if empty {
            tokio::time::timeout(Duration::from_secs(30), notify.notified()).await?;
        }
    }
    let (seconds, cpu) = (began.elapsed().as_secs_f64(), cpu_seconds()? - before);
    let mut out = std::io::stdout();
    writeln!(
        out,
        "received {rows} events, {bytes} bytes, in {batches} batches and {seconds:.2} s: {:.0} events/s",
        rows as f64 / seconds
    )?;
    writeln!(out, "receiver's CPU {cpu:.2} s: {:.0} events a CPU second", rows as f64 / cpu)?;
    Ok(())
}

/// User and system time of this process, all threads.
fn cpu_seconds() -> Outcome<f64> {
    let stat = std::fs::read_to_string("/proc/self/stat")?;
    let (_, fields) = stat.rsplit_once(')').ok_or("no ')' in /proc/self/stat")?;
    let fields: Vec<&str> = fields.split_whitespace().collect();
    let ticks = |place: usize| -> Outcome<f64> { Ok(fields.get(place).ok_or("a short /proc/self/stat")?.parse()?) };
    Ok((ticks(11)? + ticks(12)?) / TICKS)
}
