//! A result as a stream of Flight messages.
//!
//! A task of its own polls the engine's stream, so that heavy batches don't block the other calls of the client's
//! connection; a bounded channel is the backpressure. Whoever stops first stops everything:
//!
//! - the client goes (gRPC drops [`ResultStream`]): the task is aborted, which drops the engine's stream;
//! - the engine's stream ends or fails: the last message says so;
//! - the server is shut down: the stream ends with UNAVAILABLE.
//!
//! A stream that ends without the task's own end mark is an error for the client: rows never go missing in silence.

use super::columns::{adapt_batch, result_schema};
use super::status;
use arrow::datatypes::SchemaRef;
use arrow::record_batch::RecordBatch;
use arrow_flight::FlightData;
use arrow_flight::encode::{FlightDataEncoder, FlightDataEncoderBuilder};
use arrow_flight::error::FlightError;
use datafusion::execution::SendableRecordBatchStream;
use futures::{Stream, StreamExt};
use std::pin::Pin;
use std::task::{Context, Poll};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;
use tonic::Status;

/// Encoded messages that wait for the client. One is at most about 2 MiB, so a slow client holds a few MiB.
const MESSAGES_AHEAD: usize = 2;

enum Item {
    Message(FlightData),
    Failed(Status),
    /// All rows have been sent.
    End,
}

/// The messages of one result. Dropping it ends the work.
pub(crate) struct ResultStream {
    messages: mpsc::Receiver<Item>,
    task: JoinHandle<()>,
    cut: watch::Receiver<bool>,
    done: bool,
}

impl ResultStream {
    /// Starts to send a result. `cut` turns true when the server gives up on its clients.
    pub(crate) fn start(rows: SendableRecordBatchStream, cut: watch::Receiver<bool>) -> Self {
        let (sender, messages) = mpsc::channel(MESSAGES_AHEAD);
        let mut cut_signal = cut.clone();
        let task = tokio::spawn(async move {
            tokio::select! {
                () = pump(encode(rows), &sender) => {}
                _ = cut_signal.wait_for(|cut| *cut) => {}
            }
        });
        Self { messages, task, cut, done: false }
    }

    fn broken_off(&self) -> Status {
        if *self.cut.borrow() {
            Status::unavailable("the server is shutting down; the result is not complete")
        } else {
            Status::internal("the result broke off: a mistake of the server's, see its log")
        }
    }
}

impl Drop for ResultStream {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Stream for ResultStream {
    type Item = Result<FlightData, Status>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        if self.done {
            return Poll::Ready(None);
        }
        let item = std::task::ready!(self.messages.poll_recv(cx));
        if let Some(Item::Message(message)) = item {
            return Poll::Ready(Some(Ok(message)));
        }
        self.done = true;
        Poll::Ready(match item {
            Some(Item::Failed(status)) => Some(Err(status)),
            None => Some(Err(self.broken_off())),
            _ => None,
        })
    }
}

async fn pump(mut messages: FlightDataEncoder, sender: &mpsc::Sender<Item>) {
    loop {
        let item = match messages.next().await {
            Some(Ok(message)) => Item::Message(message),
            Some(Err(error)) => Item::Failed(status::from_flight(error)),
            None => Item::End,
        };
        let last = !matches!(item, Item::Message(_));
        if sender.send(item).await.is_err() || last {
            return;
        }
    }
}

fn encode(rows: SendableRecordBatchStream) -> FlightDataEncoder {
    let schema = result_schema(&rows.schema());
    let target = std::sync::Arc::clone(&schema);
    let batches = rows.map(move |batch| {
        let batch = batch.map_err(|e| FlightError::from_external_error(Box::new(e)))?;
        Ok(adapt_batch(&batch, &target)?)
    });
    FlightDataEncoderBuilder::new().with_schema(schema).build(batches)
}

/// The messages of a small result that is at hand.
pub(crate) fn send_batch(batch: RecordBatch) -> impl Stream<Item = Result<FlightData, Status>> + Send + 'static {
    send_batches(batch.schema(), vec![batch])
}

/// The messages of batches that are at hand.
pub(crate) fn send_batches(
    schema: SchemaRef,
    batches: Vec<RecordBatch>,
) -> impl Stream<Item = Result<FlightData, Status>> + Send + 'static {
    FlightDataEncoderBuilder::new()
        .with_schema(schema)
        .build(futures::stream::iter(batches.into_iter().map(Ok)))
        .map(|message| message.map_err(status::from_flight))
}
