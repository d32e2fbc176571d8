//! Frames: the outer shape of everything that two AMQP peers say after the protocol headers.
//!
//! ```text
//!   size u32 | doff u8 | type u8 | channel u16 | … doff·4 | performative | payload (transfer only)
//! ```
//!
//! Performatives other than `transfer` are rare and go through the library's codec. `transfer` comes once for every
//! event, so its head is read in place.

use super::error::AmqpError;
use super::wire::{Cursor, Malformed};
use bytes::{BufMut, BytesMut};
use serde::Serialize;

/// Type byte of AMQP frames.
pub(crate) const AMQP: u8 = 0;
/// Type byte of SASL frames.
pub(crate) const SASL: u8 = 1;
const HEAD: usize = 8;
/// Descriptor of `transfer`.
pub(crate) const TRANSFER: u64 = 0x14;

/// A frame within received bytes.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Frame<'a> {
    pub(crate) kind: u8,
    pub(crate) channel: u16,
    /// Performative and payload; empty for a heartbeat.
    pub(crate) body: &'a [u8],
    /// Bytes of the whole frame.
    pub(crate) size: usize,
}

/// The first frame in the bytes, if it is all there.
///
/// # Errors
/// When its size or offset is impossible, or above `limit`.
pub(crate) fn first(bytes: &[u8], limit: usize) -> Result<Option<Frame<'_>>, AmqpError> {
    let Some((head, _)) = bytes.split_first_chunk::<HEAD>() else {
        return Ok(None);
    };
    let [a, b, c, d, doff, kind, high, low] = *head;
    let size = u32::from_be_bytes([a, b, c, d]) as usize;
    let start = usize::from(doff) * 4;
    if start < HEAD || size < start {
        return Err(AmqpError::Protocol("a frame with an impossible offset: is this an AMQP 1.0 endpoint?".into()));
    }
    if size > limit {
        return Err(AmqpError::Protocol(format!("a frame of {size} bytes, above the limit of {limit}")));
    }
    Ok(bytes.get(start..size).map(|body| Frame { kind, channel: u16::from_be_bytes([high, low]), body, size }))
}

/// Appends a frame.
///
/// # Errors
/// When the performative can't be encoded.
pub(crate) fn write(
    out: &mut BytesMut,
    kind: u8,
    performative: &impl Serialize,
    payload: &[u8],
) -> Result<(), AmqpError> {
    let encoded = serde_amqp::to_vec(performative)?;
    let size = HEAD + encoded.len() + payload.len();
    let size = u32::try_from(size).map_err(|_| AmqpError::Protocol("a frame above 4 GiB".into()))?;
    out.put_u32(size);
    out.put_u8(2);
    out.put_u8(kind);
    out.put_u16(0);
    out.put_slice(&encoded);
    out.put_slice(payload);
    Ok(())
}

/// Appends an empty frame, which tells the peer that this side lives.
pub(crate) fn write_heartbeat(out: &mut BytesMut) {
    out.put_slice(&[0, 0, 0, 8, 2, AMQP, 0, 0]);
}

/// What a receiver needs of a `transfer`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct TransferHead {
    pub(crate) handle: u32,
    pub(crate) delivery_id: Option<u32>,
    pub(crate) settled: bool,
    pub(crate) more: bool,
    pub(crate) aborted: bool,
}

/// Reads the fields of a `transfer` whose descriptor has been read; the cursor is left at the payload.
pub(crate) fn transfer_head(cursor: &mut Cursor<'_>) -> Result<TransferHead, Malformed> {
    let (count, mut fields) = cursor.list()?;
    let mut head = TransferHead::default();
    for field in 0..count {
        match field {
            0 => head.handle = fields.uint()?.ok_or(Malformed("a transfer without a handle"))?,
            1 => head.delivery_id = fields.uint()?,
            4 => head.settled = fields.boolean()?.unwrap_or(false),
            5 => head.more = fields.boolean()?.unwrap_or(false),
            9 => head.aborted = fields.boolean()?.unwrap_or(false),
            _ => fields.skip()?,
        }
    }
    if count == 0 {
        return Err(Malformed("a transfer without a handle"));
    }
    Ok(head)
}

#[cfg(test)]
mod tests {
    use super::*;
    use fe2o3_amqp_types::definitions::Handle;
    use fe2o3_amqp_types::performatives::Transfer;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn transfers_are_read_as_the_library_writes_them(
            handle: u32, id in proptest::option::of(any::<u32>()), tag in proptest::option::of(proptest::collection::vec(any::<u8>(), 0..32)),
            settled in proptest::option::of(any::<bool>()), more: bool, aborted: bool, batchable: bool,
            payload in proptest::collection::vec(any::<u8>(), 0..600),
        ) {
            let transfer = Transfer {
                handle: Handle(handle), delivery_id: id, delivery_tag: tag.map(Into::into), message_format: Some(0),
                settled, more, rcv_settle_mode: None, state: None, resume: false, aborted, batchable,
            };
            let mut out = BytesMut::new();
            write(&mut out, AMQP, &transfer, &payload).unwrap();
            let frame = first(&out, 1 << 20).unwrap().unwrap();
            prop_assert_eq!((frame.size, frame.kind, frame.channel), (out.len(), AMQP, 0));
            let mut cursor = Cursor::new(frame.body);
            prop_assert_eq!(cursor.descriptor().unwrap(), Some(TRANSFER));
            let head = transfer_head(&mut cursor).unwrap();
            prop_assert_eq!(head, TransferHead { handle, delivery_id: id, settled: settled.unwrap_or(false), more, aborted });
            prop_assert_eq!(cursor.rest(), &payload[..]);
        }

        #[test]
        fn arbitrary_frames_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            if let Ok(Some(frame)) = first(&bytes, 1 << 20) {
                let mut cursor = Cursor::new(frame.body);
                if cursor.descriptor().is_ok() {
                    let _ = transfer_head(&mut cursor);
                }
            }
        }
    }

    #[test]
    fn a_frame_waits_for_its_last_byte() {
        let mut out = BytesMut::new();
        write_heartbeat(&mut out);
        assert!(first(&out[..7], 512).unwrap().is_none());
        assert_eq!(first(&out, 512).unwrap().unwrap().body, b"");
        assert!(first(&[0, 0, 0, 4, 2, 0, 0, 0], 512).is_err());
        assert!(first(&[0x7f, 0, 0, 4, 2, 0, 0, 0], 512).is_err());
    }
}
