//! What comes before the first AMQP frame: protocol headers and SASL.
//!
//! The mechanisms are those of Event Hubs. None of them authenticates anybody here: the SDKs choose ANONYMOUS (or MSSBCBS, which means the same), and access
//! is given by the tokens put to `$cbs`.

use std::io;

use bytes::{Buf, BufMut, BytesMut};
use fe2o3_amqp::frames::sasl::{Frame, FrameCodec};
use fe2o3_amqp_types::sasl::{SaslCode, SaslMechanisms, SaslOutcome};
use serde_amqp::primitives::{Array, Symbol};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_util::codec::{Decoder, Encoder};

const AMQP_HEADER: [u8; 8] = *b"AMQP\x00\x01\x00\x00";
const SASL_HEADER: [u8; 8] = *b"AMQP\x03\x01\x00\x00";
const MECHANISMS: [&str; 4] = ["MSSBCBS", "PLAIN", "ANONYMOUS", "EXTERNAL"];

/// The largest SASL frame that is taken.
const MAX_SASL_FRAME: usize = 4096;

/// Leads a new connection to the point where AMQP frames begin, and returns what was read beyond it.
pub(crate) async fn accept(stream: &mut TcpStream) -> io::Result<BytesMut> {
    let mut input = BytesMut::with_capacity(4096);
    loop {
        let header = take_header(stream, &mut input).await?;
        match header {
            AMQP_HEADER => {
                stream.write_all(&AMQP_HEADER).await?;
                return Ok(input);
            }
            SASL_HEADER => {
                stream.write_all(&SASL_HEADER).await?;
                negotiate_sasl(stream, &mut input).await?;
            }
            _ => {
                // The specification's answer to a header that isn't spoken: ours, then the end.
                stream.write_all(&SASL_HEADER).await?;
                return Err(invalid(
                    "the peer does not begin with an AMQP 1.0 or SASL header (TLS is not spoken here)",
                ));
            }
        }
    }
}

async fn take_header(stream: &mut TcpStream, input: &mut BytesMut) -> io::Result<[u8; 8]> {
    loop {
        if let Some(header) = input.first_chunk::<8>().copied() {
            input.advance(8);
            return Ok(header);
        }
        read_more(stream, input).await?;
    }
}

async fn negotiate_sasl(stream: &mut TcpStream, input: &mut BytesMut) -> io::Result<()> {
    let mechanisms = MECHANISMS.into_iter().map(Symbol::from).collect::<Vec<_>>();
    send(stream, Frame::Mechanisms(SaslMechanisms { sasl_server_mechanisms: Array::from(mechanisms) })).await?;
    let Frame::Init(init) = take_sasl(stream, input).await? else { return Err(invalid("SASL init was expected")) };
    let known = MECHANISMS.contains(&init.mechanism.as_str());
    let code = if known { SaslCode::Ok } else { SaslCode::Auth };
    send(stream, Frame::Outcome(SaslOutcome { code, additional_data: None })).await?;
    match known {
        true => Ok(()),
        false => Err(invalid("the peer chose a SASL mechanism that was not offered")),
    }
}

async fn send(stream: &mut TcpStream, frame: Frame) -> io::Result<()> {
    let mut body = BytesMut::new();
    FrameCodec {}.encode(frame, &mut body).map_err(|error| invalid(error.to_string()))?;
    let mut out = BytesMut::with_capacity(body.len() + 4);
    out.put_u32(body.len() as u32 + 4);
    out.put_slice(&body);
    stream.write_all(&out).await
}

async fn take_sasl(stream: &mut TcpStream, input: &mut BytesMut) -> io::Result<Frame> {
    loop {
        if let Some(size) = input.first_chunk().map(|size| u32::from_be_bytes(*size) as usize) {
            if !(8..=MAX_SASL_FRAME).contains(&size) {
                return Err(invalid("a SASL frame of an impossible size"));
            }
            if input.len() >= size {
                let mut frame = input.split_to(size);
                frame.advance(4);
                return FrameCodec {}
                    .decode(&mut frame)
                    .map_err(|error| invalid(error.to_string()))?
                    .ok_or_else(|| invalid("an empty SASL frame"));
            }
        }
        read_more(stream, input).await?;
    }
}

async fn read_more(stream: &mut TcpStream, input: &mut BytesMut) -> io::Result<()> {
    match stream.read_buf(input).await? {
        0 => Err(io::ErrorKind::UnexpectedEof.into()),
        _ => Ok(()),
    }
}

fn invalid(why: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, why)
}
