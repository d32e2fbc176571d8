//! Committed rows on their way to a hub.
//!
//! At least once: a delivery counts when the service has accepted every batch; one that fails is made again with the
//! same rows, and each event carries the row's name (job, log number, index) so that consumers can drop doubles. Rows
//! with the same partition key keep their order: a key's batches go one after the other, each when the one before it is
//! accepted. Batches of different keys, and batches without one (which the service spreads over the partitions anyway),
//! go side by side.

use crate::amqp::{AmqpError, LinkHandle, Meaning, SenderSpec};
use crate::backoff::Backoff;
use crate::encode::{BATCH, Batcher, RowName};
use crate::hub::{Hub, HubError, Live};
use arrow::array::{Array, ArrayRef, AsArray, RecordBatch, StringArray};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Schema};
use arrow::error::ArrowError;
use arrow::json::WriterBuilder;
use arrow::json::writer::LineDelimited;
use async_trait::async_trait;
use bytes::Bytes;
use futures::{StreamExt, TryStreamExt};
use salamander_connector_api::{ConnectorError, Delivery, DeliverySink};
use salamander_types::ErrorKind;
use std::collections::HashMap;
use std::sync::Arc;

/// The largest message where the service doesn't say.
const DEFAULT_MESSAGE: u64 = 1 << 20;
/// What is left free of the largest message.
const MARGIN: usize = 1_024;
/// Batches under way at once.
const SIDE_BY_SIDE: usize = 8;
/// Attempts at one batch before the delivery is given back to the engine.
const ATTEMPTS: u32 = 5;

/// How a row becomes an event's body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Rendering {
    /// One JSON object.
    Json,
    /// The one column beside the partition key, as text.
    Text,
}

/// How rows are sent.
#[derive(Debug, Clone)]
pub(crate) struct SinkSettings {
    pub(crate) rendering: Rendering,
    /// The column whose text is the partition key.
    pub(crate) partition_key: Option<String>,
    pub(crate) backoff: Backoff,
}

/// A hub that is written.
#[derive(Debug)]
pub struct EventHubsSink {
    hub: Hub,
    settings: SinkSettings,
    sender: tokio::sync::Mutex<Option<Sender>>,
}

/// An attached sender. It keeps the connection that it belongs to.
#[derive(Debug, Clone)]
struct Sender {
    live: Arc<Live>,
    link: Arc<LinkHandle>,
}

impl EventHubsSink {
    pub(crate) fn new(hub: Hub, settings: SinkSettings) -> Self {
        Self { hub, settings, sender: tokio::sync::Mutex::default() }
    }

    async fn sender(&self) -> Result<Sender, HubError> {
        let mut slot = self.sender.lock().await;
        if let Some(sender) = slot.as_ref().filter(|sender| !sender.live.connection.is_closed()) {
            return Ok(sender.clone());
        }
        let live = self.hub.live().await?;
        let spec = SenderSpec {
            name: format!("{}-{:08x}", self.hub.name(), self.hub.entropy().next_u64() as u32),
            address: self.hub.name().to_owned(),
        };
        let link = Arc::new(live.connection.attach_sender(spec).await?);
        let sender = Sender { live, link };
        *slot = Some(sender.clone());
        Ok(sender)
    }

    /// Sends a batch until it is accepted, or a failure lasts.
    async fn send(&self, batch: &Bytes) -> Result<(), ConnectorError> {
        let mut failures = 0;
        loop {
            let sender = self.sender().await;
            let (sender, error) = match sender {
                Ok(sender) => match sender.link.send(BATCH, batch.clone()).await {
                    Ok(()) => return Ok(()),
                    Err(error) => (Some(sender), error.into()),
                },
                Err(error) => (None, error),
            };
            failures += 1;
            let meaning = match &error {
                HubError::Amqp(error) => error.meaning(),
                HubError::Token(_) => Meaning::Unauthorized,
            };
            let passing = matches!(meaning, Meaning::Transient | Meaning::Busy | Meaning::Quota);
            if !passing || failures >= ATTEMPTS {
                return Err(self.hub.error(&self.hub.place(), &error));
            }
            if let Some(sender) = sender.filter(|_| meaning != Meaning::Busy) {
                self.forget(&sender).await;
            }
            let wait = self.settings.backoff.wait(failures, meaning == Meaning::Busy, self.hub.entropy());
            tracing::warn!(hub = self.hub.name(), ?error, ?wait, "a batch was not accepted; trying again");
            tokio::time::sleep(wait).await;
        }
    }

    /// Has the next batch attach anew, unless another one has done so already.
    async fn forget(&self, failed: &Sender) {
        let mut slot = self.sender.lock().await;
        if slot.as_ref().is_some_and(|sender| Arc::ptr_eq(&sender.link, &failed.link)) {
            *slot = None;
        }
    }

    async fn limit(&self) -> Result<usize, ConnectorError> {
        let mut failures = 0;
        loop {
            match self.sender().await {
                Ok(sender) => {
                    let limit = sender.link.max_message_size().unwrap_or(DEFAULT_MESSAGE);
                    return Ok(usize::try_from(limit).unwrap_or(usize::MAX).saturating_sub(MARGIN));
                }
                Err(HubError::Amqp(AmqpError::Io(_) | AmqpError::Closed)) if failures + 1 < ATTEMPTS => {
                    failures += 1;
                    tokio::time::sleep(self.settings.backoff.wait(failures, false, self.hub.entropy())).await;
                }
                Err(error) => return Err(self.hub.error(&self.hub.place(), &error)),
            }
        }
    }

    fn invalid(&self, message: String) -> ConnectorError {
        ConnectorError::new(ErrorKind::Invalid, self.hub.place(), message)
    }

    /// The batches of a delivery, in chains that must each go one after the other: one chain a partition key, with its
    /// rows in their order, and one chain for each batch without a key.
    fn chains(&self, delivery: &Delivery<'_>, limit: usize) -> Result<Vec<Vec<Bytes>>, ConnectorError> {
        let keys = self.keys(delivery.batch)?;
        let bodies = self.bodies(delivery.batch)?;
        let mut places: HashMap<Option<&str>, usize> = HashMap::new();
        let mut batchers = Vec::new();
        for (row, body) in bodies.iter().enumerate() {
            let key = keys.as_ref().filter(|keys| keys.is_valid(row)).map(|keys| keys.value(row));
            let place = match places.get(&key) {
                Some(place) => *place,
                None => {
                    let batcher = Batcher::new(key, limit).map_err(|error| self.invalid(error.to_string()))?;
                    batchers.push(batcher);
                    places.insert(key, batchers.len() - 1);
                    batchers.len() - 1
                }
            };
            let index = delivery.first_index + row as u64;
            let name = RowName { job: delivery.job, number: delivery.number, index };
            if let Some(batcher) = batchers.get_mut(place) {
                batcher.push(name, body).map_err(|too_large| {
                    let bytes = too_large.bytes;
                    self.invalid(format!(
                        "row {index} of commit {} is an event of {bytes} bytes, above the hub's limit of {limit}",
                        delivery.number
                    ))
                })?;
            }
        }
        let keyless = places.get(&None).copied();
        let chains = batchers.into_iter().map(Batcher::finish).enumerate();
        Ok(chains
            .flat_map(|(place, batches)| match keyless == Some(place) {
                true => batches.into_iter().map(|batch| vec![batch]).collect(),
                false => vec![batches],
            })
            .collect())
    }

    fn keys(&self, batch: &RecordBatch) -> Result<Option<StringArray>, ConnectorError> {
        let Some(name) = &self.settings.partition_key else {
            return Ok(None);
        };
        let Some(column) = batch.column_by_name(name) else {
            return Err(self
                .invalid(format!("'partition_key'='{name}' is not a column: there are {}", columns(&batch.schema()))));
        };
        Ok(Some(self.as_text(name, column)?))
    }

    fn as_text(&self, name: &str, column: &ArrayRef) -> Result<StringArray, ConnectorError> {
        let text = cast(column, &DataType::Utf8)
            .map_err(|error| self.invalid(format!("column '{name}' can't be written as text: {error}")))?;
        Ok(text.as_string::<i32>().clone())
    }

    fn bodies(&self, batch: &RecordBatch) -> Result<Vec<Vec<u8>>, ConnectorError> {
        match self.settings.rendering {
            Rendering::Json => {
                json_rows(batch).map_err(|error| self.invalid(format!("the rows can't be written as JSON: {error}")))
            }
            Rendering::Text => self.text_rows(batch),
        }
    }

    fn text_rows(&self, batch: &RecordBatch) -> Result<Vec<Vec<u8>>, ConnectorError> {
        let schema = batch.schema();
        let is_key = |name: &str| self.settings.partition_key.as_deref() == Some(name);
        let mut others = schema.fields().iter().enumerate().filter(|(_, field)| !is_key(field.name()));
        let only = others.next().filter(|_| others.next().is_none());
        // A table whose one column is also its key.
        let only = only.or_else(|| schema.fields().iter().enumerate().next().filter(|_| schema.fields().len() == 1));
        let Some((place, field)) = only else {
            let message = format!(
                "'format'='text' needs exactly one column beside the partition key: there are {}",
                columns(&schema)
            );
            return Err(self.invalid(message));
        };
        let column = batch.column(place);
        if matches!(field.data_type(), DataType::Binary | DataType::LargeBinary | DataType::BinaryView) {
            // Bytes go as they are, text or not.
            let bytes = cast(column, &DataType::Binary);
            let bytes = bytes.map_err(|error| self.invalid(format!("column '{}': {error}", field.name())))?;
            return Ok(bytes.as_binary::<i32>().iter().map(|row| row.unwrap_or_default().to_vec()).collect());
        }
        let text = self.as_text(field.name(), column)?;
        Ok(text.iter().map(|row| row.unwrap_or_default().as_bytes().to_vec()).collect())
    }
}

fn columns(schema: &Schema) -> String {
    let names: Vec<_> = schema.fields().iter().map(|field| field.name().as_str()).collect();
    names.join(", ")
}

/// One JSON object a row, NULLs included.
fn json_rows(batch: &RecordBatch) -> Result<Vec<Vec<u8>>, ArrowError> {
    let mut lines = Vec::new();
    let mut writer = WriterBuilder::new().with_explicit_nulls(true).build::<_, LineDelimited>(&mut lines);
    writer.write(batch)?;
    writer.finish()?;
    // A line feed within a value is escaped, so each one ends a row.
    let rows: Vec<_> = lines.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()).map(<[u8]>::to_vec).collect();
    match rows.len() == batch.num_rows() {
        true => Ok(rows),
        false => Err(ArrowError::JsonError(format!("{} objects for {} rows", rows.len(), batch.num_rows()))),
    }
}

#[async_trait]
impl DeliverySink for EventHubsSink {
    async fn deliver(&self, delivery: Delivery<'_>) -> Result<(), ConnectorError> {
        if delivery.batch.num_rows() == 0 {
            return Ok(());
        }
        let limit = self.limit().await?;
        let chains = self.chains(&delivery, limit)?.into_iter().map(|chain| async move {
            for batch in &chain {
                self.send(batch).await?;
            }
            Ok(())
        });
        futures::stream::iter(chains).buffer_unordered(SIDE_BY_SIDE).try_collect().await
    }
}
