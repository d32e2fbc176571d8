//! A link on which a client receives events.

use std::sync::Arc;

use bytes::{Bytes, BytesMut};

use super::link::Outlet;
use super::session::{LinkFlow, Windows};
use crate::clock::Clock;
use crate::log::{Chunk, FileRange, Look, PartitionLog, Records, Subscription};
use crate::readers::ReaderSlot;
use crate::sections::{self, LastEnqueued};

/// Bytes that one consumer writes before the others of its connection have their turn.
const TURN_BYTES: usize = 64 * 1024;

/// A reader of one partition.
pub(super) struct Consumer {
    pub id: u64,
    /// What its tokens must cover.
    pub address: String,
    /// The hub's name.
    pub hub: String,
    pub slot: Arc<ReaderSlot>,
    pub outlet: Outlet,
    log: Arc<PartitionLog>,
    /// Whether each event comes with what is known of the partition's last one.
    tracks_last: bool,
    records: Option<Records>,
    next_offset: u64,
    reading: bool,
    _subscription: Subscription,
}

/// What a turn led to.
pub(super) enum Turn {
    /// Nothing more can be sent now.
    Rests,
    /// There is more to send.
    HasMore,
    /// Records must be read from this file first.
    Reads(FileRange),
    /// The peer has drained the link and is to be told.
    Drained(LinkFlow),
}

/// What a new consumer is made of.
pub(super) struct NewConsumer {
    pub id: u64,
    pub address: String,
    pub hub: String,
    pub slot: Arc<ReaderSlot>,
    pub log: Arc<PartitionLog>,
    pub subscription: Subscription,
    pub start_offset: u64,
    pub settled: bool,
    pub tracks_last: bool,
}

impl Consumer {
    pub(super) fn new(new: NewConsumer) -> Self {
        Self {
            id: new.id,
            address: new.address,
            hub: new.hub,
            slot: new.slot,
            outlet: Outlet::new(new.settled),
            log: new.log,
            tracks_last: new.tracks_last,
            records: None,
            next_offset: new.start_offset,
            reading: false,
            _subscription: new.subscription,
        }
    }

    /// The partition it reads.
    pub(super) fn log(&self) -> &Arc<PartitionLog> {
        &self.log
    }

    /// Takes records that were read from a file.
    pub(super) fn take(&mut self, chunk: Chunk) {
        self.reading = false;
        self.set(chunk);
    }

    fn set(&mut self, chunk: Chunk) {
        self.next_offset = chunk.next_offset;
        self.records = Some(chunk.records);
    }

    /// Sends events, as many as credit, window and its turn allow.
    pub(super) fn turn(
        &mut self,
        handle: u32,
        windows: &mut Windows,
        out: &mut BytesMut,
        max_frame_size: u32,
        clock: &dyn Clock,
    ) -> Turn {
        let stop = out.len() + TURN_BYTES;
        if !self.outlet.go_on(windows, out, max_frame_size) {
            return Turn::Rests;
        }
        while self.outlet.may_begin(windows) {
            if out.len() >= stop {
                return Turn::HasMore;
            }
            match self.records.as_mut().and_then(Iterator::next) {
                Some(record) => {
                    let message = if self.tracks_last { self.with_last(record.message, clock) } else { record.message };
                    self.outlet.begin(handle, message, windows, out, max_frame_size);
                }
                None if self.reading => return Turn::Rests,
                None => match self.log.look(self.next_offset) {
                    Look::Records(chunk) => self.set(chunk),
                    Look::InFile(range) => {
                        self.reading = true;
                        return Turn::Reads(range);
                    }
                    Look::AtEnd => return self.outlet.finish_drain(handle).map_or(Turn::Rests, Turn::Drained),
                },
            }
        }
        match self.outlet.credit {
            0 => self.outlet.finish_drain(handle).map_or(Turn::Rests, Turn::Drained),
            _ => Turn::Rests,
        }
    }

    fn with_last(&self, message: Bytes, clock: &dyn Clock) -> Bytes {
        let status = self.log.status();
        let Some(offset) = status.last_offset else { return message };
        let last = LastEnqueued {
            sequence: status.last_sequence,
            offset,
            enqueued_ms: status.last_enqueued_ms,
            now_ms: clock.now_millis(),
        };
        let at = sections::after_header(&message);
        let mut out = BytesMut::with_capacity(message.len() + 200);
        out.extend_from_slice(&message[..at]);
        sections::write_last_enqueued(&mut out, &last);
        out.extend_from_slice(&message[at..]);
        out.freeze()
    }
}
