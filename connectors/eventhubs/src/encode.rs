//! Events on their way out: messages, and batches of them.
//!
//! A batch is an envelope with the message format [`BATCH`] whose data sections each hold an encoded message. Its
//! partition key stands on the envelope, by which the service routes the whole batch, and in each message, where
//! consumers read it.

use super::amqp::AmqpError;
use bytes::{BufMut, Bytes, BytesMut};
use fe2o3_amqp_types::messaging::MessageAnnotations;
use fe2o3_amqp_types::primitives::{Symbol, Value};
use salamander_types::{JobId, LogNumber};

/// Message format of a batch.
pub(crate) const BATCH: u32 = 0x8001_3700;
/// Property that names the job.
pub const JOB_PROPERTY: &str = "_job";
/// Property that names the manifest that committed the row.
pub const LOG_NUMBER_PROPERTY: &str = "_log_number";
/// Property with the row's index among those that the manifest committed.
pub const INDEX_PROPERTY: &str = "_index";

/// Head of a data section with a 32-bit length.
const DATA_HEAD: usize = 8;

/// Names a row that is delivered, so that a consumer can drop doubles.
#[derive(Debug, Clone, Copy)]
pub(crate) struct RowName<'a> {
    pub(crate) job: &'a JobId,
    pub(crate) number: LogNumber,
    pub(crate) index: u64,
}

/// The annotations section that carries a partition key.
pub(crate) fn key_annotations(key: Option<&str>) -> Result<Vec<u8>, AmqpError> {
    let Some(key) = key else {
        return Ok(Vec::new());
    };
    let annotations = MessageAnnotations::builder()
        .insert(Symbol::from("x-opt-partition-key"), Value::String(key.to_owned()))
        .build();
    Ok(serde_amqp::to_vec(&annotations)?)
}

/// Appends a data section.
fn put_data(out: &mut BytesMut, data: &[&[u8]]) {
    let length: usize = data.iter().map(|part| part.len()).sum();
    out.put_slice(&[0x00, 0x53, 0x75, 0xB0]);
    out.put_u32(length as u32);
    data.iter().for_each(|part| out.put_slice(part));
}

/// The application properties that name a row.
fn properties(row: RowName<'_>) -> BytesMut {
    let mut entries = BytesMut::new();
    put_text(&mut entries, JOB_PROPERTY);
    put_text(&mut entries, row.job.as_str());
    put_text(&mut entries, LOG_NUMBER_PROPERTY);
    put_long(&mut entries, row.number.0);
    put_text(&mut entries, INDEX_PROPERTY);
    put_long(&mut entries, row.index);
    let mut section = BytesMut::with_capacity(entries.len() + 12);
    section.put_slice(&[0x00, 0x53, 0x74, 0xD1]);
    section.put_u32(entries.len() as u32 + 4);
    section.put_u32(6);
    section.put_slice(&entries);
    section
}

fn put_text(out: &mut BytesMut, text: &str) {
    out.put_u8(0xB1);
    out.put_u32(text.len() as u32);
    out.put_slice(text.as_bytes());
}

fn put_long(out: &mut BytesMut, number: u64) {
    out.put_u8(0x81);
    out.put_i64(i64::try_from(number).unwrap_or(i64::MAX));
}

/// Batches of events with one partition key (or none), each below a size limit.
#[derive(Debug)]
pub(crate) struct Batcher {
    annotations: Vec<u8>,
    limit: usize,
    current: BytesMut,
    full: Vec<Bytes>,
}

/// An event that no batch can hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct TooLarge {
    /// Its size with everything around it.
    pub(crate) bytes: usize,
}

impl Batcher {
    /// Batches of at most `limit` bytes.
    pub(crate) fn new(key: Option<&str>, limit: usize) -> Result<Self, AmqpError> {
        Ok(Self { annotations: key_annotations(key)?, limit, current: BytesMut::new(), full: Vec::new() })
    }

    /// Adds an event.
    pub(crate) fn push(&mut self, row: RowName<'_>, body: &[u8]) -> Result<(), TooLarge> {
        let properties = properties(row);
        let inner = self.annotations.len() + properties.len() + DATA_HEAD + body.len();
        let outer = DATA_HEAD + inner;
        if self.annotations.len() + outer > self.limit {
            return Err(TooLarge { bytes: self.annotations.len() + outer });
        }
        if !self.current.is_empty() && self.current.len() + outer > self.limit {
            self.full.push(std::mem::take(&mut self.current).freeze());
        }
        if self.current.is_empty() {
            self.current.put_slice(&self.annotations);
        }
        let mut head = BytesMut::with_capacity(DATA_HEAD);
        head.put_slice(&[0x00, 0x53, 0x75, 0xB0]);
        head.put_u32(body.len() as u32);
        put_data(&mut self.current, &[&self.annotations, &properties, &head, body]);
        Ok(())
    }

    /// The batches, in order.
    pub(crate) fn finish(mut self) -> Vec<Bytes> {
        if !self.current.is_empty() {
            self.full.push(self.current.freeze());
        }
        self.full
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::amqp::section::{Body, read};
    use crate::amqp::wire::Scalar;

    #[test]
    fn a_batch_holds_messages_that_read_back_and_stays_below_its_limit() {
        let job = JobId::from_text("j1");
        let mut batcher = Batcher::new(Some("key"), 600).unwrap();
        for index in 0..20 {
            let row = RowName { job: &job, number: LogNumber(3), index };
            batcher.push(row, format!("row {index}").as_bytes()).unwrap();
        }
        let row = RowName { job: &job, number: LogNumber(3), index: 20 };
        assert!(batcher.push(row, &[0; 600]).is_err());
        let batches = batcher.finish();
        assert!(batches.len() > 1 && batches.iter().all(|batch| batch.len() <= 600));
        let mut bodies = Vec::new();
        for batch in &batches {
            let envelope = read(batch).unwrap();
            assert_eq!(envelope.partition_key, Some("key"));
            let parts = match envelope.body {
                Body::Bytes(one) => vec![one],
                Body::Parts(parts) => parts,
                other => panic!("not a batch: {other:?}"),
            };
            for part in parts {
                let event = read(part).unwrap();
                assert_eq!(event.partition_key, Some("key"));
                let Body::Bytes(body) = event.body else { panic!("no body") };
                let pairs: Vec<_> = event.properties.iter().map(Result::unwrap).collect();
                let index = bodies.len() as i64;
                assert_eq!(
                    pairs,
                    [
                        (Scalar::Text("_job"), Scalar::Text("j1")),
                        (Scalar::Text("_log_number"), Scalar::Signed(3)),
                        (Scalar::Text("_index"), Scalar::Signed(index)),
                    ]
                );
                bodies.push(String::from_utf8(body.to_vec()).unwrap());
            }
        }
        assert_eq!(bodies, (0..20).map(|i| format!("row {i}")).collect::<Vec<_>>());
    }
}
