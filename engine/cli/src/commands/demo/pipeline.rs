//! The users' pipeline as SQL, and the questions that the demo asks of it.

use crate::client::Client;
use crate::commands::server::connection_file;
use anyhow::{Context, bail};
use arrow::array::{Array, Int64Array, RecordBatch, StringArray, TimestampMicrosecondArray};
use arrow::compute::cast;
use arrow::datatypes::{DataType, TimeUnit};
use chrono::{NaiveDateTime, TimeDelta, Utc};
use std::path::Path;
use std::time::{Duration, Instant};

/// The hub that the demo sends to.
pub(super) const HUB: &str = "logs";
/// The table that the job writes.
const TABLE: &str = "formersalamendars.formersalamendars_logs";
/// The stream that it reads.
const STREAM: &str = "logs";
const JOB: &str = "ingest";

/// How long the last rows may take to become visible.
const CATCH_UP: Duration = Duration::from_secs(60);
/// Counts that stay the same for so long are final.
const SETTLED: Duration = Duration::from_secs(1);
const POLL: Duration = Duration::from_millis(100);

/// Rows in the table and rows that did not decode.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Counts {
    pub(super) good: u64,
    pub(super) bad: u64,
    /// Event time of the newest row, in microseconds since 1970.
    pub(super) latest: Option<i64>,
}

impl Counts {
    /// All rows that have arrived.
    pub(super) fn total(&self) -> u64 {
        self.good + self.bad
    }
}

/// One line of the error table.
pub(super) struct ErrorRate {
    pub(super) url: String,
    pub(super) requests: i64,
    pub(super) errors: i64,
}

/// The demo's pipeline on its server.
pub(super) struct Pipeline {
    statements: [String; 4],
}

impl Pipeline {
    pub(super) fn new(data_dir: &Path) -> Self {
        let location = data_dir.join("warehouse").join("formersalamendars_logs");
        Self {
            statements: [
                "CREATE DATABASE IF NOT EXISTS formersalamendars".to_owned(),
                create_stream(&connection_file(data_dir)),
                create_table(&format!("file://{}", location.display())),
                create_job(),
            ],
        }
    }

    /// Creates what is missing and starts the job.
    pub(super) async fn submit(&self, client: &mut Client) -> anyhow::Result<()> {
        for statement in &self.statements {
            client.run_all(statement).await.with_context(|| crate::script::headline(statement))?;
        }
        Ok(())
    }

    /// What is visible now.
    pub(super) async fn counts(&self, client: &mut Client) -> anyhow::Result<Counts> {
        let good = client.run_all(&format!("SELECT count(*) AS n, max(ts) AS latest FROM {TABLE}")).await?;
        let bad = client.run_all(&format!("SELECT count(*) AS n FROM \"{STREAM}$bad_records\"")).await?;
        Ok(Counts { good: number(&good)?, bad: number(&bad)?, latest: latest(&good)? })
    }

    /// What is visible once nothing moves any more.
    pub(super) async fn settled_counts(&self, client: &mut Client) -> anyhow::Result<Counts> {
        let mut counts = self.counts(client).await?;
        if counts.total() == 0 {
            return Ok(counts);
        }
        let mut since = Instant::now();
        while since.elapsed() < SETTLED {
            tokio::time::sleep(POLL).await;
            let next = self.counts(client).await?;
            if next != counts {
                (counts, since) = (next, Instant::now());
            }
        }
        Ok(counts)
    }

    /// Waits until all rows that were sent are visible; gives up when nothing has moved for long.
    pub(super) async fn catch_up(&self, client: &mut Client, before: Counts, sent: u64) -> anyhow::Result<Counts> {
        let mut counts = self.counts(client).await?;
        let mut moved = Instant::now();
        while counts.total() < before.total() + sent && moved.elapsed() < CATCH_UP {
            tokio::time::sleep(POLL).await;
            let next = self.counts(client).await?;
            if next != counts {
                (counts, moved) = (next, Instant::now());
            }
        }
        // One look more, for rows that must not come.
        tokio::time::sleep(SETTLED).await;
        self.counts(client).await
    }

    /// Stops the job, with its rows rolled into files; what is visible after that.
    pub(super) async fn stop(&self, client: &mut Client) -> anyhow::Result<Counts> {
        client.run_all(&format!("STOP JOB {JOB}")).await?;
        self.counts(client).await
    }

    /// The job's watermark as SHOW JOBS has it, in microseconds since 1970; none before the first row.
    pub(super) async fn watermark(&self, client: &mut Client) -> anyhow::Result<Option<i64>> {
        let batches = client.run_all("SHOW JOBS").await?;
        for batch in &batches {
            let column = |name| Some(batch.column_by_name(name)?.as_any().downcast_ref::<StringArray>()?.clone());
            let (Some(jobs), Some(watermarks)) = (column("job"), column("watermark")) else { continue };
            let row = (0..jobs.len()).find(|row| jobs.value(*row) == JOB && watermarks.is_valid(*row));
            if let Some(row) = row {
                let time = NaiveDateTime::parse_from_str(watermarks.value(row), "%Y-%m-%d %H:%M:%S%.f");
                return Ok(time.ok().map(|time| time.and_utc().timestamp_micros()));
            }
        }
        Ok(None)
    }

    /// Requests and errors of the last minute by url: an ordinary query on the table, hot tail included.
    pub(super) async fn error_rates(&self, client: &mut Client) -> anyhow::Result<Vec<ErrorRate>> {
        let batches = client.run_all(&error_rate_query()).await?;
        let mut rates = Vec::new();
        for batch in &batches {
            let urls = cast(batch.column(0), &DataType::Utf8)?;
            let urls = urls.as_any().downcast_ref::<StringArray>().context("urls are not text")?;
            let (requests, errors) = (integers(batch, 1)?, integers(batch, 2)?);
            for row in 0..batch.num_rows() {
                rates.push(ErrorRate {
                    url: if urls.is_null(row) { "NULL".to_owned() } else { urls.value(row).to_owned() },
                    requests: requests.value(row),
                    errors: errors.value(row),
                });
            }
        }
        Ok(rates)
    }
}

/// The query of the view, with the beginning of its minute written out.
pub(super) fn error_rate_query() -> String {
    let minute_ago = Utc::now() - TimeDelta::minutes(1);
    format!(
        "SELECT url, count(*) AS requests, sum(CASE WHEN log_level = 'ERROR' THEN 1 ELSE 0 END) AS errors \
         FROM {TABLE} WHERE ts >= TIMESTAMP '{}' GROUP BY url ORDER BY url",
        minute_ago.format("%Y-%m-%d %H:%M:%S")
    )
}

fn create_stream(connection_file: &Path) -> String {
    format!(
        "CREATE TABLE IF NOT EXISTS {STREAM} (\
         ts TIMESTAMP, log_level STRING, request_id STRING, session_id STRING, user_id STRING, action STRING, \
         http_method STRING, url STRING, referrer STRING, ip_address STRING, user_agent STRING, response_time DOUBLE, \
         product_id STRING, cart_size INT, checkout_status STRING, token STRING, auth_method STRING, \
         auth_level STRING, correlation_id STRING, server_ip STRING, port_number INT, protocol STRING, \
         status STRING, detail STRING, WATERMARK FOR ts AS ts - INTERVAL '10' SECOND) \
         WITH ('connector' = 'eventhubs', 'connection_string' = '${{file:{}}}', 'event_hub' = '{HUB}', \
         'consumer_group' = '$Default', 'starting_position' = 'earliest', \
         'format' = 'delimited', 'delimiter' = ' | ', 'strip_labels' = 'true')",
        quoted(&connection_file.display().to_string())
    )
}

fn create_table(location: &str) -> String {
    format!(
        "CREATE EXTERNAL TABLE IF NOT EXISTS {TABLE} (\
         ts TIMESTAMP, time STRING, log_level STRING, request_id STRING, session_id STRING, user_id STRING, \
         action STRING, http_method STRING, url STRING, referrer_domain STRING, ip_address STRING, user_agent STRING, \
         response_time DOUBLE, product_id STRING, cart_size INT, checkout_status STRING, token STRING, \
         auth_method STRING, auth_level STRING, correlation_id STRING, server_ip STRING, port_number INT, \
         protocol STRING, status STRING, detail STRING) \
         PARTITIONED BY (date STRING) STORED AS PARQUET LOCATION '{}' \
         TBLPROPERTIES ('roll_interval' = '30 seconds')",
        quoted(location)
    )
}

/// Text for between the quotes of a literal.
fn quoted(text: &str) -> String {
    text.replace('\'', "''")
}

fn create_job() -> String {
    format!(
        "CREATE JOB IF NOT EXISTS {JOB} AS INSERT INTO {TABLE} \
         SELECT ts, date_format(ts, 'HH:mm:ss.SSS') AS time, log_level, request_id, session_id, user_id, action, \
         http_method, url, regexp_extract(referrer, '(?<=//)(.*?)(?=/|$)', 1) AS referrer_domain, ip_address, \
         user_agent, response_time, product_id, cart_size, checkout_status, token, auth_method, auth_level, \
         correlation_id, server_ip, port_number, protocol, status, detail, date_format(ts, 'yyyy-MM-dd') AS date \
         FROM {STREAM}"
    )
}

fn integers(batch: &RecordBatch, column: usize) -> anyhow::Result<Int64Array> {
    let array = cast(batch.column(column), &DataType::Int64)?;
    array.as_any().downcast_ref::<Int64Array>().cloned().context("a count is not a number")
}

/// The number in the first column of the one row.
fn number(batches: &[RecordBatch]) -> anyhow::Result<u64> {
    match batches.iter().find(|batch| batch.num_rows() > 0) {
        Some(batch) => Ok(u64::try_from(integers(batch, 0)?.value(0))?),
        None => bail!("a count has come back without a row"),
    }
}

/// The timestamp in the second column of the one row.
fn latest(batches: &[RecordBatch]) -> anyhow::Result<Option<i64>> {
    let Some(batch) = batches.iter().find(|batch| batch.num_rows() > 0) else {
        return Ok(None);
    };
    let array = cast(batch.column(1), &DataType::Timestamp(TimeUnit::Microsecond, None))?;
    let array = array.as_any().downcast_ref::<TimestampMicrosecondArray>().context("latest is not a timestamp")?;
    Ok((!array.is_null(0)).then(|| array.value(0)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_statements_are_the_languages_own() {
        let pipeline = Pipeline::new(Path::new("/tmp/it's"));
        for statement in &pipeline.statements {
            salamander_sql::parse_one(statement).unwrap_or_else(|e| panic!("{}\n{statement}", e.render()));
        }
        salamander_sql::parse_one(&error_rate_query()).unwrap();
    }
}
