//! A broker in this process, and what the tests do with it.

use arrow::array::{Array, AsArray, RecordBatch, StringArray};
use arrow::datatypes::{DataType, Field, Schema};
use salamander_connector_api::{ConnectorError, Delivery, RawBatch, Source, SplitReader, Take};
use salamander_eventhubs::{Surroundings, sink_with, source_with};
use salamander_eventhubs_broker::{Broker, BrokerHandle, BrokerOptions};
use salamander_types::{JobId, LogNumber, Position, SplitId};
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tempfile::TempDir;
use tokio::sync::Notify;

/// How long a test waits for what must come.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

pub(crate) struct Local {
    pub(crate) broker: BrokerHandle,
    pub(crate) dir: TempDir,
}

impl Local {
    pub(crate) async fn start() -> Self {
        Self::start_with(|_| {}).await
    }

    pub(crate) async fn start_with(change: impl FnOnce(&mut BrokerOptions)) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let mut options = BrokerOptions::new(SocketAddr::from(([127, 0, 0, 1], 0)), dir.path());
        change(&mut options);
        let broker = Broker::start(options).await.unwrap();
        Self { broker, dir }
    }

    pub(crate) fn connection_string(&self) -> String {
        let address = self.broker.local_addr();
        format!(
            "Endpoint=sb://{address};SharedAccessKeyName=RootManageSharedAccessKey;SharedAccessKey=SAS_KEY_VALUE;UseDevelopmentEmulator=true"
        )
    }

    /// Options for a hub, with more of them.
    pub(crate) fn options(&self, hub: &str, more: &[(&str, &str)]) -> BTreeMap<String, String> {
        let mut options = BTreeMap::from([
            ("connection_string".to_owned(), self.connection_string()),
            ("event_hub".to_owned(), hub.to_owned()),
            ("call_timeout".to_owned(), "5".to_owned()),
            ("end_refresh".to_owned(), "0.1".to_owned()),
        ]);
        options.extend(more.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())));
        options
    }

    pub(crate) fn source(&self, hub: &str, more: &[(&str, &str)]) -> Arc<dyn Source> {
        source_with(&self.options(hub, more), &Surroundings::default()).unwrap()
    }

    /// Sends `row 0`, `row 1`, … as text, with a key by which they spread over the partitions.
    pub(crate) async fn fill(&self, hub: &str, rows: usize) {
        self.fill_bodies(hub, (0..rows).map(|i| format!("row {i}")).collect()).await;
    }

    pub(crate) async fn fill_bodies(&self, hub: &str, bodies: Vec<String>) {
        let sink =
            sink_with(&self.options(hub, &[("format", "text"), ("partition_key", "key")]), &Surroundings::default());
        let keys: Vec<String> = (0..bodies.len()).map(|i| format!("key {}", i % 16)).collect();
        send(sink.unwrap().as_ref(), &table(&[("key", &keys), ("body", &bodies)]), 0).await.unwrap();
    }
}

pub(crate) fn table(columns: &[(&str, &[String])]) -> RecordBatch {
    let fields: Vec<_> = columns.iter().map(|(name, _)| Field::new(*name, DataType::Utf8, true)).collect();
    let arrays = columns.iter().map(|(_, values)| Arc::new(StringArray::from_iter_values(values.iter())) as _);
    RecordBatch::try_new(Arc::new(Schema::new(fields)), arrays.collect()).unwrap()
}

pub(crate) async fn send(
    sink: &dyn salamander_connector_api::DeliverySink,
    batch: &RecordBatch,
    first_index: u64,
) -> Result<(), ConnectorError> {
    let job = JobId::from_text("j1");
    sink.deliver(Delivery { job: &job, number: LogNumber(7), first_index, batch }).await
}

/// A reader with what it needs.
pub(crate) struct Reading {
    pub(crate) reader: Box<dyn SplitReader>,
    pub(crate) notify: Arc<Notify>,
    /// Gaps that were met.
    pub(crate) gaps: Vec<(u64, u64)>,
}

impl Reading {
    pub(crate) async fn open(source: &dyn Source, split: &str, next: u64) -> Result<Self, ConnectorError> {
        let notify = Arc::new(Notify::new());
        let reader = source.open(&SplitId::new(split), &Position::at(next), Arc::clone(&notify)).await?;
        Ok(Self { reader, notify, gaps: Vec::new() })
    }

    /// The next batch.
    pub(crate) async fn batch(&mut self) -> Result<RawBatch, ConnectorError> {
        let began = Instant::now();
        loop {
            match self.reader.take(10_000, 1 << 20)? {
                Take::Batch(batch) => return Ok(batch),
                Take::Gap { from, to } => self.gaps.push((from, to)),
                Take::Finished => panic!("a hub never ends"),
                Take::Empty => {
                    let left = PATIENCE.checked_sub(began.elapsed()).expect("a batch in time");
                    let _ = tokio::time::timeout(left, self.notify.notified()).await;
                }
            }
        }
    }

    /// Sequence numbers and texts up to the event before `end`, checked to be consecutive.
    pub(crate) async fn until(&mut self, from: u64, end: u64) -> Result<Vec<(u64, String)>, ConnectorError> {
        let mut rows = Vec::new();
        let mut next = from;
        while next < end {
            let batch = self.batch().await?;
            if rows.is_empty() && !self.gaps.is_empty() {
                next = batch.first_sequence;
            }
            assert_eq!(batch.first_sequence, next, "events come in order, each once");
            next = batch.next.next;
            rows.extend(texts(&batch));
        }
        Ok(rows)
    }

    /// The error that the reader ends with.
    pub(crate) async fn error(&mut self) -> ConnectorError {
        loop {
            if let Err(error) = self.batch().await {
                return error;
            }
        }
    }
}

pub(crate) fn texts(batch: &RawBatch) -> Vec<(u64, String)> {
    let payload = batch.payload.iter().map(|body| String::from_utf8(body.unwrap().to_vec()).unwrap());
    (batch.first_sequence..).zip(payload).collect()
}

/// The properties of a row, as text.
pub(crate) fn properties(batch: &RawBatch, row: usize) -> BTreeMap<String, Option<String>> {
    let Some(properties) = &batch.properties else {
        return BTreeMap::new();
    };
    let entries = properties.as_map().value(row);
    let (keys, values) = (entries.column(0).as_string::<i32>(), entries.column(1).as_string::<i32>());
    let value = |i: usize| values.is_valid(i).then(|| values.value(i).to_owned());
    (0..keys.len()).map(|i| (keys.value(i).to_owned(), value(i))).collect()
}
