//! Frames: taking them from what was read, writing them to what will be sent.
//!
//! Performatives are written at their full length, absent fields as nulls: fe2o3-amqp leaves trailing nulls out, as it may, but pyamqp reads fields by position.
//! Transfers are written by hand, since an event is a transfer.

use bytes::{Buf, BufMut, Bytes, BytesMut};
use fe2o3_amqp::frames::amqp::{Frame, FrameDecoder};
use serde::Serialize;
use tokio_util::codec::Decoder;

use super::value::{self, Malformed};

/// The largest frame we take, and the largest we send.
pub(crate) const MAX_FRAME_SIZE: u32 = 65_536;

/// Bytes of a frame before its body.
const FRAME_HEADER: usize = 8;

/// Room in a frame for a transfer's performative.
const TRANSFER_HEAD: usize = 64;

/// Something that is no frame, or no performative.
#[derive(Debug, thiserror::Error)]
pub(crate) enum FrameError {
    /// The framing is wrong.
    #[error("framing error: {0}")]
    Framing(&'static str),
    /// The performative is not understood.
    #[error("decode error: {0}")]
    Decode(String),
    /// Something could not be encoded.
    #[error("encode error: {0}")]
    Encode(String),
}

impl From<Malformed> for FrameError {
    fn from(error: Malformed) -> Self {
        Self::Encode(error.to_string())
    }
}

/// Takes the next whole frame from `input`.
pub(crate) fn take(input: &mut BytesMut) -> Result<Option<Frame>, FrameError> {
    let Some(size) = input.first_chunk().map(|size| u32::from_be_bytes(*size)) else { return Ok(None) };
    if size > MAX_FRAME_SIZE {
        return Err(FrameError::Framing("the frame is larger than this container's max-frame-size"));
    }
    let size = size as usize;
    if size < FRAME_HEADER {
        return Err(FrameError::Framing("the frame is shorter than its header"));
    }
    if input.len() < size {
        return Ok(None);
    }
    let mut frame = input.split_to(size);
    frame.advance(4);
    FrameDecoder {}.decode(&mut frame).map_err(|error| FrameError::Decode(error.to_string()))
}

/// Writes a frame that holds `performative`, of which the specification lists `fields` fields.
pub(crate) fn put<T: Serialize>(
    out: &mut BytesMut,
    channel: u16,
    performative: &T,
    fields: u32,
) -> Result<(), FrameError> {
    let encoded = serde_amqp::to_vec(performative).map_err(|error| FrameError::Encode(error.to_string()))?;
    let start = begin(out, channel);
    put_padded(out, &encoded, fields)?;
    end(out, start);
    Ok(())
}

/// Writes an empty frame: a sign of life.
pub(crate) fn put_empty(out: &mut BytesMut) {
    let start = begin(out, 0);
    end(out, start);
}

fn begin(out: &mut BytesMut, channel: u16) -> usize {
    let start = out.len();
    out.put_u32(0);
    out.put_u8(2);
    out.put_u8(0);
    out.put_u16(channel);
    start
}

fn end(out: &mut BytesMut, start: usize) {
    let size = (out.len() - start) as u32;
    out[start..start + 4].copy_from_slice(&size.to_be_bytes());
}

/// Writes a described list with nulls for the fields it lacks.
fn put_padded(out: &mut BytesMut, encoded: &[u8], fields: u32) -> Result<(), Malformed> {
    let described = encoded.strip_prefix(&[0]).ok_or(Malformed("a performative is a described list"))?;
    let (descriptor, list) = described.split_at(value::encoded_len(described)?);
    let (count, items) = match list {
        [0x45] => (0, &list[1..]),
        [0xc0, _, count, items @ ..] => (u32::from(*count), items),
        [0xd0, _, _, _, _, a, b, c, d, items @ ..] => (u32::from_be_bytes([*a, *b, *c, *d]), items),
        _ => return Err(Malformed("a performative is a described list")),
    };
    let missing = fields.saturating_sub(count);
    out.put_u8(0);
    out.put_slice(descriptor);
    out.put_u8(0xd0);
    out.put_u32(4 + items.len() as u32 + missing);
    out.put_u32(count + missing);
    out.put_slice(items);
    out.put_bytes(0x40, missing as usize);
    Ok(())
}

/// The head of a delivery that is being sent.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Delivery {
    /// The session's channel.
    pub channel: u16,
    /// The link's handle.
    pub handle: u32,
    /// Its number in the session.
    pub id: u32,
    /// Whether no disposition is expected.
    pub settled: bool,
}

/// Writes one transfer frame with as much of `payload` as fits, and leaves the rest in it. `first` says whether the delivery begins here.
pub(crate) fn put_transfer(
    out: &mut BytesMut,
    delivery: &Delivery,
    first: bool,
    payload: &mut Bytes,
    max_frame_size: u32,
) {
    let room = (max_frame_size as usize).saturating_sub(FRAME_HEADER + TRANSFER_HEAD);
    let part = payload.split_to(room.min(payload.len()));
    let start = begin(out, delivery.channel);
    // transfer: handle, delivery-id, delivery-tag, message-format, settled, more, and five fields that stay null
    out.put_slice(&[0x00, 0x53, 0x14, 0xc0, 0, 11]);
    let size_at = out.len() - 2;
    value::put_uint(out, delivery.handle);
    match first {
        true => {
            out.put_u8(0x70);
            out.put_u32(delivery.id);
            out.put_slice(&[0xa0, 4]);
            out.put_u32(delivery.id);
            out.put_u8(0x43);
            out.put_u8(if delivery.settled { 0x41 } else { 0x42 });
        }
        false => out.put_slice(&[0x40, 0x40, 0x40, 0x40]),
    }
    out.put_u8(if payload.is_empty() { 0x42 } else { 0x41 });
    out.put_slice(&[0x40; 5]);
    out[size_at] = (out.len() - size_at - 1) as u8;
    out.put_slice(&part);
    end(out, start);
}

#[cfg(test)]
mod tests {
    use super::*;
    use fe2o3_amqp::frames::amqp::FrameBody;
    use fe2o3_amqp_types::definitions::{Error, Handle, Role};
    use fe2o3_amqp_types::performatives::{Detach, Disposition};
    use proptest::prelude::*;

    #[test]
    fn performatives_are_padded_to_their_full_length() {
        let mut out = BytesMut::new();
        put(&mut out, 3, &Detach { handle: Handle(1), closed: true, error: None }, 3).unwrap();
        assert_eq!(&out[4..], [2, 0, 0, 3, 0, 0x53, 0x16, 0xd0, 0, 0, 0, 8, 0, 0, 0, 3, 0x52, 1, 0x41, 0x40]);
        let frame = take(&mut out).unwrap().unwrap();
        assert!(matches!(frame.body, FrameBody::Detach(Detach { handle: Handle(1), closed: true, error: None })));
        assert!(out.is_empty());
    }

    #[test]
    fn several_frames_in_one_read_and_one_frame_in_several() {
        let mut out = BytesMut::new();
        let disposition =
            Disposition { role: Role::Receiver, first: 9, last: None, settled: true, state: None, batchable: false };
        put(&mut out, 0, &disposition, 6).unwrap();
        put_empty(&mut out);
        let whole = out.clone();
        let mut input = BytesMut::new();
        let mut taken = 0;
        for byte in whole {
            input.put_u8(byte);
            while take(&mut input).unwrap().is_some() {
                taken += 1;
            }
        }
        assert_eq!(taken, 2);
    }

    #[test]
    fn bad_framing_is_an_error() {
        assert!(matches!(take(&mut BytesMut::from(&[0, 0, 0, 7, 2, 0, 0, 0][..])), Err(FrameError::Framing(_))));
        assert!(matches!(take(&mut BytesMut::from(&[0xff, 0, 0, 0, 2, 0, 0, 0][..])), Err(FrameError::Framing(_))));
        assert!(matches!(take(&mut BytesMut::from(&[0, 0, 0, 9, 2, 0, 0, 0, 0x40][..])), Err(FrameError::Decode(_))));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn deliveries_are_split_and_put_together(payload in prop::collection::vec(any::<u8>(), 0..3_000), handle in 0u32..300, id in any::<u32>(), max in 512u32..1_200) {
            let delivery = Delivery { channel: 1, handle, id, settled: false };
            let mut rest = Bytes::from(payload.clone());
            let mut out = BytesMut::new();
            let mut first = true;
            while first || !rest.is_empty() {
                let before = out.len();
                put_transfer(&mut out, &delivery, first, &mut rest, max);
                prop_assert!(out.len() - before <= max as usize);
                first = false;
            }
            let mut received = Vec::new();
            let mut frames = 0;
            while let Some(frame) = take(&mut out).unwrap() {
                let FrameBody::Transfer { performative, payload } = frame.body else { panic!("no transfer") };
                prop_assert_eq!(performative.handle, Handle(handle));
                prop_assert_eq!(performative.delivery_id, (frames == 0).then_some(id));
                prop_assert_eq!(performative.more, !out.is_empty());
                received.extend_from_slice(&payload);
                frames += 1;
            }
            prop_assert_eq!(received, payload);
        }

        #[test]
        fn noise_never_panics(body in prop::collection::vec(any::<u8>(), 4..64)) {
            let mut input = BytesMut::new();
            input.put_u32(4 + body.len() as u32);
            input.put_slice(&body);
            let _ = take(&mut input);
        }
    }

    #[test]
    fn an_error_has_its_three_fields() {
        use fe2o3_amqp_types::definitions::{AmqpError, Fields};
        let error = Error::new(AmqpError::NotFound, "gone".to_string(), Fields::new());
        let encoded = serde_amqp::to_vec(&error).unwrap();
        assert_eq!(encoded[3..6], [0xc0, encoded[4], 3]);
    }
}
