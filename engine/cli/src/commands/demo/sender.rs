//! Lines to a hub, over AMQP with the connector's own sink.

use anyhow::Context;
use arrow::array::{ArrayRef, BinaryArray, RecordBatch};
use bytes::Bytes;
use salamander_connector_api::{Delivery, DeliverySink};
use salamander_types::{JobId, LogNumber};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

/// How long a batch may take until it is acknowledged.
const SEND_TIMEOUT: Duration = Duration::from_secs(30);

/// A hub to send to.
pub(super) struct Sender {
    sink: Arc<dyn DeliverySink>,
    name: JobId,
    /// Names the batches.
    number: LogNumber,
}

impl Sender {
    /// A sender to this hub; it connects with its first batch.
    pub(super) fn new(connection_string: &str, hub: &str) -> anyhow::Result<Self> {
        let options = BTreeMap::from([
            ("connection_string".to_owned(), connection_string.to_owned()),
            ("event_hub".to_owned(), hub.to_owned()),
            ("format".to_owned(), "text".to_owned()),
        ]);
        let sink = salamander_eventhubs::sink_from_options(&options)?;
        Ok(Self { sink, name: JobId::from_text("demo"), number: LogNumber::default() })
    }

    /// Sends the lines and returns when the broker has acknowledged all of them.
    pub(super) async fn send(&mut self, lines: &[Bytes]) -> anyhow::Result<()> {
        // Bytes, since damaged lines are not always text: such a line arrives as an empty one, which is damaged as well.
        let column: ArrayRef = Arc::new(BinaryArray::from_iter_values(lines));
        let batch = RecordBatch::try_from_iter([("body", column)])?;
        self.number = self.number.next();
        let delivery = Delivery { job: &self.name, number: self.number, first_index: 0, batch: &batch };
        let sent = tokio::time::timeout(SEND_TIMEOUT, self.sink.deliver(delivery)).await;
        sent.with_context(|| format!("no acknowledgement within {} s", SEND_TIMEOUT.as_secs()))??;
        Ok(())
    }
}
