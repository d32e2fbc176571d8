//! What a partition's link has received and the engine has not taken: bounded by bytes through link credit.
//!
//! Credit counts messages, the bound counts bytes, so credit is what fits by an estimate of a message's size that rises
//! at once and falls slowly. When messages turn out larger than that, credit is revoked at the bound; what is under way
//! then still comes, so the bound is exceeded by at most what the network holds.
//!
//! Invariant: the items are a gapless walk over sequence numbers: each chunk or gap begins where the one before it ends,
//! and `next` is where the last one ends.

use crate::amqp::section::{self, Event};
use crate::amqp::{AmqpError, Inlet};
use crate::chunk::Chunk;
use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::Notify;

/// Messages under way, at most.
const MAX_CREDIT: u32 = 8_192;
/// Messages under way before any has shown its size.
const FIRST_CREDIT: u32 = 64;
/// A size estimate's least.
const LEAST_SIZE: usize = 64;

/// A piece of the walk.
#[derive(Debug)]
pub(crate) enum Item {
    /// Events.
    Chunk(Box<Chunk>),
    /// Events that retention took before they came.
    Gap {
        /// The first missing.
        from: u64,
        /// The one after the last missing.
        to: u64,
    },
}

/// Why a link must be attached anew, or can't be.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Broken {
    /// The link or connection ended.
    Ended(AmqpError),
    /// The event after a gap came: nothing from it on was kept.
    Jump {
        /// The sequence number that was to come.
        expected: u64,
        /// The one that came.
        got: u64,
    },
    /// The peer sent something that is no event.
    NoEvent(String),
}

/// A partition's buffer.
#[derive(Debug)]
pub(crate) struct Prefetch {
    limit: usize,
    state: Mutex<State>,
    /// The engine's: there is something to take.
    notify: Arc<Notify>,
    /// The supervisor's: the link is broken.
    pub(crate) broken: Notify,
}

#[derive(Debug)]
struct State {
    items: VecDeque<Item>,
    /// Sequence number of the next event to come.
    next: u64,
    bytes: usize,
    /// A message's size, estimated.
    size: usize,
    /// Messages under way.
    outstanding: u32,
    /// Which attach the current link is: messages of an earlier one are dropped.
    attach: u64,
    broken: Option<Broken>,
    fresh: bool,
}

impl Prefetch {
    /// An empty buffer before the event `next`, of at most about `limit` bytes.
    pub(crate) fn new(next: u64, limit: usize, notify: Arc<Notify>) -> Self {
        Self {
            limit,
            state: Mutex::new(State {
                items: VecDeque::new(),
                next,
                bytes: 0,
                size: 0,
                outstanding: 0,
                attach: 0,
                broken: None,
                fresh: false,
            }),
            notify,
            broken: Notify::new(),
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Sequence number of the next event to come.
    pub(crate) fn next(&self) -> u64 {
        self.lock().next
    }

    /// Bytes that wait.
    pub(crate) fn bytes(&self) -> usize {
        self.lock().bytes
    }

    /// Begins with a new link: the inlet for it.
    pub(crate) fn inlet(self: &Arc<Self>) -> Box<dyn Inlet> {
        let mut state = self.lock();
        state.attach += 1;
        state.broken = None;
        state.outstanding = 0;
        Box::new(PartitionInlet { prefetch: Arc::clone(self), attach: state.attach })
    }

    /// Takes why the link is broken, if it is.
    pub(crate) fn take_broken(&self) -> Option<Broken> {
        self.lock().broken.take()
    }

    /// Records that the events before `to` no longer exist.
    pub(crate) fn push_gap(&self, to: u64) {
        let mut state = self.lock();
        let from = state.next;
        state.items.push_back(Item::Gap { from, to });
        state.next = to;
        drop(state);
        self.notify.notify_one();
    }

    /// The first piece, and whether the driver should be poked because there is room again.
    pub(crate) fn pop(&self) -> (Option<Item>, bool) {
        let mut state = self.lock();
        let item = state.items.pop_front();
        if let Some(Item::Chunk(chunk)) = &item {
            state.bytes = state.bytes.saturating_sub(chunk.bytes());
        }
        let wanted = state.wanted(self.limit);
        let poke = item.is_some() && state.outstanding < wanted.div_ceil(2);
        (item, poke)
    }

    /// Wakes the engine's reader.
    pub(crate) fn wake(&self) {
        self.notify.notify_one();
    }
}

impl State {
    /// Messages that may be under way. An empty buffer takes one of any size.
    fn wanted(&self, limit: usize) -> u32 {
        let free = limit.saturating_sub(self.bytes);
        match self.size {
            0 => FIRST_CREDIT,
            size => u32::try_from(free / size).unwrap_or(MAX_CREDIT).clamp(u32::from(self.bytes == 0), MAX_CREDIT),
        }
    }

    fn push(&mut self, event: &Event<'_>) {
        let full = !matches!(self.items.back(), Some(Item::Chunk(chunk)) if !chunk.is_full());
        if full {
            self.items.push_back(Item::Chunk(Box::new(Chunk::new(self.next))));
        }
        if let Some(Item::Chunk(chunk)) = self.items.back_mut() {
            let bytes = chunk.push(event);
            self.bytes += bytes;
            self.next += 1;
            self.fresh = true;
            self.size = match bytes > self.size {
                true => bytes.max(LEAST_SIZE),
                false => self.size - (self.size - bytes) / 64,
            };
        }
    }
}

/// A link's side of the buffer.
struct PartitionInlet {
    prefetch: Arc<Prefetch>,
    attach: u64,
}

impl PartitionInlet {
    fn break_link(&self, state: &mut State, why: Broken) {
        if state.attach == self.attach && state.broken.is_none() {
            state.broken = Some(why);
            self.prefetch.broken.notify_one();
        }
    }
}

impl Inlet for PartitionInlet {
    fn message(&mut self, message: &[u8]) {
        let event = section::read(message);
        let mut state = self.prefetch.lock();
        if state.attach != self.attach || state.broken.is_some() {
            return;
        }
        let event = match event {
            Ok(event) => event,
            Err(malformed) => return self.break_link(&mut state, Broken::NoEvent(malformed.to_string())),
        };
        let Some(sequence) = event.sequence.and_then(|number| u64::try_from(number).ok()) else {
            return self.break_link(&mut state, Broken::NoEvent("an event without x-opt-sequence-number".into()));
        };
        match sequence.cmp(&state.next) {
            std::cmp::Ordering::Equal => state.push(&event),
            // Already here: a peer that begins a little earlier than it was asked to.
            std::cmp::Ordering::Less => {}
            std::cmp::Ordering::Greater => {
                let expected = state.next;
                self.break_link(&mut state, Broken::Jump { expected, got: sequence });
            }
        }
    }

    fn credit(&mut self, outstanding: u32) -> Option<u32> {
        let mut state = self.prefetch.lock();
        if state.attach != self.attach || state.broken.is_some() {
            return (outstanding > 0).then_some(0);
        }
        let fresh = std::mem::take(&mut state.fresh);
        let wanted = state.wanted(self.prefetch.limit);
        let change = match wanted {
            0 => (outstanding > 0).then_some(0),
            wanted if outstanding < wanted.div_ceil(2) => Some(wanted),
            _ => None,
        };
        state.outstanding = change.unwrap_or(outstanding);
        drop(state);
        if fresh {
            self.prefetch.notify.notify_one();
        }
        change
    }

    fn ended(&mut self, error: AmqpError) {
        let mut state = self.prefetch.lock();
        self.break_link(&mut state, Broken::Ended(error));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use fe2o3_amqp_types::messaging::{Data, MessageAnnotations};
    use fe2o3_amqp_types::primitives::{Binary, Symbol, Value};
    use salamander_connector_api::RawBatch;
    use salamander_types::SplitId;

    fn message(sequence: i64, size: usize) -> Vec<u8> {
        let annotations =
            MessageAnnotations::builder().insert(Symbol::from("x-opt-sequence-number"), Value::Long(sequence)).build();
        let mut bytes = serde_amqp::to_vec(&annotations).unwrap();
        bytes.extend(serde_amqp::to_vec(&Data(Binary::from(vec![b'x'; size]))).unwrap());
        bytes
    }

    fn prefetch(limit: usize) -> Arc<Prefetch> {
        Arc::new(Prefetch::new(10, limit, Arc::new(Notify::new())))
    }

    fn pop(prefetch: &Prefetch) -> (Option<RawBatch>, bool) {
        match prefetch.pop() {
            (Some(Item::Chunk(chunk)), poke) => (Some(chunk.seal(&SplitId::new("0"))), poke),
            (_, poke) => (None, poke),
        }
    }

    #[test]
    fn credit_shrinks_to_nothing_at_the_bound_and_returns_when_rows_are_taken() {
        let prefetch = prefetch(100_000);
        let mut inlet = prefetch.inlet();
        assert_eq!(inlet.credit(0), Some(FIRST_CREDIT));
        let mut outstanding = FIRST_CREDIT;
        let mut sequence = 10;
        loop {
            inlet.message(&message(sequence, 936));
            sequence += 1;
            outstanding -= 1;
            outstanding = inlet.credit(outstanding).unwrap_or(outstanding);
            if outstanding == 0 {
                break;
            }
        }
        assert!(prefetch.bytes() > 99_000 && prefetch.bytes() <= 100_000, "{}", prefetch.bytes());
        let (batch, poke) = pop(&prefetch);
        assert_eq!((batch.unwrap().len(), poke, prefetch.bytes()), (100, true, 0));
        assert_eq!(inlet.credit(0), Some(100));
    }

    #[test]
    fn credit_is_revoked_when_messages_grow() {
        let prefetch = prefetch(100_000);
        let mut inlet = prefetch.inlet();
        inlet.message(&message(10, 10));
        assert_eq!(inlet.credit(63), Some(1350));
        inlet.message(&message(11, 200_000));
        assert_eq!(inlet.credit(1349), Some(0));
    }

    #[test]
    fn messages_above_the_bound_come_one_by_one() {
        let prefetch = prefetch(1_000);
        let mut inlet = prefetch.inlet();
        inlet.credit(0);
        for sequence in 10..15 {
            inlet.message(&message(sequence, 5_000));
            inlet.credit(1);
            assert_eq!(inlet.credit(0), None, "full");
            assert!(pop(&prefetch).1, "room again: the driver is poked");
            assert_eq!(inlet.credit(0), Some(1));
        }
    }

    #[test]
    fn a_jump_breaks_the_link_and_keeps_nothing_behind_it() {
        let prefetch = prefetch(100_000);
        let mut inlet = prefetch.inlet();
        inlet.message(&message(9, 1));
        inlet.message(&message(10, 1));
        inlet.message(&message(12, 1));
        inlet.message(&message(11, 1));
        assert_eq!(prefetch.take_broken(), Some(Broken::Jump { expected: 11, got: 12 }));
        assert_eq!(prefetch.next(), 11);
        let mut again = prefetch.inlet();
        inlet.message(&message(11, 1));
        assert_eq!(prefetch.next(), 11, "the old link's messages are dropped");
        again.message(&message(11, 1));
        prefetch.push_gap(20);
        again.message(&message(20, 1));
        let (first, _) = pop(&prefetch);
        assert_eq!(first.map(|b| (b.first_sequence, b.len())), Some((10, 2)));
        assert!(matches!(prefetch.pop().0, Some(Item::Gap { from: 12, to: 20 })));
        let (last, _) = pop(&prefetch);
        assert_eq!(last.map(|b| (b.first_sequence, b.len())), Some((20, 1)));
    }

    #[test]
    fn something_that_is_no_event_breaks_the_link() {
        let prefetch = prefetch(1000);
        let mut inlet = prefetch.inlet();
        inlet.message(b"\x00\x53\x75\xa0\x01x");
        assert!(matches!(prefetch.take_broken(), Some(Broken::NoEvent(_))));
    }
}
