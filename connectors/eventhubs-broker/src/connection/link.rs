//! The kinds of links, and putting a delivery together from its transfers.

use std::collections::VecDeque;
use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use fe2o3_amqp_types::performatives::Transfer;

use super::consumer::Consumer;
use super::session::{LinkFlow, Windows};
use crate::amqp::frame::{self, Delivery};
use crate::hubs::Hub;
use crate::log::PartitionLog;
use crate::options::MAX_MESSAGE_SIZE;

/// Deliveries that a producer may have under way.
pub(super) const PRODUCER_CREDIT: u32 = 300;

/// Requests that a client may have under way.
pub(super) const REQUEST_CREDIT: u32 = 100;

/// Replies that wait for a client's credit.
const MAX_WAITING_REPLIES: usize = 100;

/// A node that answers requests.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Node {
    Cbs,
    Management,
}

/// A link, seen from our side.
pub(super) enum Link {
    /// Events come in.
    Producer(Producer),
    /// Events go out.
    Consumer(Box<Consumer>),
    /// Requests come in.
    Requests(Requests),
    /// Replies go out.
    Replies(Replies),
    /// We have detached it and wait for the peer's detach; whatever else comes is ignored.
    Closing,
}

/// Whole deliveries that came on a link, and the credit given for them.
#[derive(Debug)]
pub(super) struct Intake {
    limit: u32,
    credit: u32,
    in_flight: u32,
    delivery_count: u32,
    partial: Option<Partial>,
}

#[derive(Debug)]
struct Partial {
    id: u32,
    settled: bool,
    format: u32,
    /// Bytes so far; those of a delivery that has grown too large are counted and dropped.
    size: u64,
    message: BytesMut,
}

/// A whole delivery.
#[derive(Debug)]
pub(super) struct Incoming {
    pub id: u32,
    pub settled: bool,
    pub format: u32,
    pub message: Bytes,
}

/// Why a transfer was not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Refusal {
    /// The whole delivery is too large; its bytes were dropped. It is under way until [`done`](Intake::done).
    TooLarge {
        /// Its bytes.
        size: u64,
        /// Its number.
        id: u32,
        /// Whether its sender wants to hear of it.
        settled: bool,
    },
    /// It belongs to no delivery.
    NoDelivery,
    /// It came without credit.
    NoCredit,
}

impl Intake {
    pub(super) fn new(limit: u32) -> Self {
        Self { limit, credit: 0, in_flight: 0, delivery_count: 0, partial: None }
    }

    /// Takes a transfer; a whole delivery is under way until [`done`](Self::done).
    pub(super) fn take(&mut self, transfer: &Transfer, payload: Bytes) -> Result<Option<Incoming>, Refusal> {
        if transfer.aborted {
            if self.partial.take().is_some() {
                self.delivery_count = self.delivery_count.wrapping_add(1);
            }
            return Ok(None);
        }
        if self.partial.is_none() {
            if self.credit == 0 {
                return Err(Refusal::NoCredit);
            }
            self.credit -= 1;
        }
        let mut partial = match self.partial.take() {
            Some(partial) => partial,
            None => {
                let id = transfer.delivery_id.ok_or(Refusal::NoDelivery)?;
                let (settled, format) = (transfer.settled.unwrap_or(false), transfer.message_format.unwrap_or(0));
                if !transfer.more && payload.len() as u64 <= MAX_MESSAGE_SIZE {
                    self.complete();
                    return Ok(Some(Incoming { id, settled, format, message: payload }));
                }
                Partial { id, settled, format, size: 0, message: BytesMut::new() }
            }
        };
        partial.size += payload.len() as u64;
        partial.settled |= transfer.settled.unwrap_or(false);
        match partial.size <= MAX_MESSAGE_SIZE {
            true => partial.message.extend_from_slice(&payload),
            false => partial.message = BytesMut::new(),
        }
        if transfer.more {
            self.partial = Some(partial);
            return Ok(None);
        }
        self.complete();
        let Partial { id, settled, format, size, message } = partial;
        match size <= MAX_MESSAGE_SIZE {
            true => Ok(Some(Incoming { id, settled, format, message: message.freeze() })),
            false => Err(Refusal::TooLarge { size, id, settled }),
        }
    }

    fn complete(&mut self) {
        self.delivery_count = self.delivery_count.wrapping_add(1);
        self.in_flight += 1;
    }

    /// A delivery has been dealt with.
    pub(super) fn done(&mut self) {
        self.in_flight = self.in_flight.saturating_sub(1);
    }

    /// New credit, when it is time to give some.
    pub(super) fn top_up(&mut self, handle: u32) -> Option<LinkFlow> {
        if self.credit + self.in_flight > self.limit / 2 {
            return None;
        }
        self.credit = self.limit - self.in_flight;
        Some(self.flow(handle))
    }

    /// The state of the link.
    pub(super) fn flow(&self, handle: u32) -> LinkFlow {
        LinkFlow { handle, delivery_count: self.delivery_count, credit: self.credit, drain: false }
    }
}

/// A link on which a client sends events.
pub(super) struct Producer {
    pub id: u64,
    /// What its tokens must cover.
    pub address: String,
    pub hub: Arc<Hub>,
    /// The partition, where the client chose one.
    pub partition: Option<Arc<PartitionLog>>,
    pub intake: Intake,
}

/// A link on which a client sends requests.
pub(super) struct Requests {
    pub node: Node,
    pub intake: Intake,
}

/// The credit that a receiving peer has given, and what is being sent.
#[derive(Debug, Default)]
pub(super) struct Outlet {
    pub credit: u32,
    pub delivery_count: u32,
    pub drain: bool,
    pub settled: bool,
    partial: Option<(Delivery, Bytes, bool)>,
}

impl Outlet {
    pub(super) fn new(settled: bool) -> Self {
        Self { settled, ..Self::default() }
    }

    /// Takes note of the peer's flow.
    pub(super) fn on_flow(&mut self, delivery_count: Option<u32>, credit: Option<u32>, drain: bool) {
        if let Some(credit) = credit {
            // delivery-limit = the peer's delivery-count + link-credit; what we have sent beyond its count is used up.
            let limit = delivery_count.unwrap_or(0).wrapping_add(credit);
            let left = limit.wrapping_sub(self.delivery_count);
            self.credit = if left > u32::MAX / 2 { 0 } else { left };
        }
        self.drain = drain;
    }

    /// Whether a new delivery may begin.
    pub(super) fn may_begin(&self, windows: &Windows) -> bool {
        self.credit > 0 && self.partial.is_none() && windows.is_open()
    }

    /// Begins a delivery, and sends as much of it as the session's window takes.
    pub(super) fn begin(
        &mut self,
        handle: u32,
        message: Bytes,
        windows: &mut Windows,
        out: &mut BytesMut,
        max_frame_size: u32,
    ) {
        let delivery =
            Delivery { channel: windows.channel, handle, id: windows.take_delivery_id(), settled: self.settled };
        self.credit = self.credit.saturating_sub(1);
        self.delivery_count = self.delivery_count.wrapping_add(1);
        self.partial = Some((delivery, message, true));
        self.go_on(windows, out, max_frame_size);
    }

    /// Sends more of a delivery that the window had stopped; false while it is not out.
    pub(super) fn go_on(&mut self, windows: &mut Windows, out: &mut BytesMut, max_frame_size: u32) -> bool {
        while let Some((delivery, rest, first)) = &mut self.partial {
            if !windows.is_open() {
                return false;
            }
            frame::put_transfer(out, delivery, *first, rest, max_frame_size);
            windows.sent_frame();
            *first = false;
            if rest.is_empty() {
                self.partial = None;
            }
        }
        true
    }

    /// Uses up the credit of a peer that drains, and tells it so.
    pub(super) fn finish_drain(&mut self, handle: u32) -> Option<LinkFlow> {
        if !self.drain {
            return None;
        }
        self.drain = false;
        self.delivery_count = self.delivery_count.wrapping_add(self.credit);
        self.credit = 0;
        Some(LinkFlow { handle, delivery_count: self.delivery_count, credit: 0, drain: true })
    }
}

/// A link on which a client receives replies.
pub(super) struct Replies {
    pub node: Node,
    /// The client's own address, which its requests name as reply-to.
    pub address: Option<String>,
    pub outlet: Outlet,
    waiting: VecDeque<Bytes>,
}

impl Replies {
    pub(super) fn new(node: Node, address: Option<String>, settled: bool) -> Self {
        Self { node, address, outlet: Outlet::new(settled), waiting: VecDeque::new() }
    }

    /// Takes a reply; false when too many wait.
    pub(super) fn push(&mut self, reply: Bytes) -> bool {
        let fits = self.waiting.len() < MAX_WAITING_REPLIES;
        if fits {
            self.waiting.push_back(reply);
        }
        fits
    }

    /// Sends what may be sent.
    pub(super) fn pump(
        &mut self,
        handle: u32,
        windows: &mut Windows,
        out: &mut BytesMut,
        max_frame_size: u32,
    ) -> Option<LinkFlow> {
        while self.outlet.go_on(windows, out, max_frame_size) && self.outlet.may_begin(windows) {
            let Some(reply) = self.waiting.pop_front() else { return self.outlet.finish_drain(handle) };
            self.outlet.begin(handle, reply, windows, out, max_frame_size);
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use fe2o3_amqp_types::definitions::Handle;

    fn transfer(id: Option<u32>, more: bool) -> Transfer {
        Transfer {
            handle: Handle(0),
            delivery_id: id,
            delivery_tag: None,
            message_format: None,
            settled: None,
            more,
            rcv_settle_mode: None,
            state: None,
            resume: false,
            aborted: false,
            batchable: false,
        }
    }

    #[test]
    fn deliveries_come_together() {
        let mut intake = Intake::new(4);
        assert_eq!(intake.take(&transfer(Some(0), false), Bytes::new()).unwrap_err(), Refusal::NoCredit);
        assert_eq!(intake.top_up(0).unwrap().credit, 4);
        assert!(intake.take(&transfer(Some(0), true), Bytes::from_static(b"ab")).unwrap().is_none());
        assert!(intake.take(&transfer(None, true), Bytes::from_static(b"cd")).unwrap().is_none());
        let whole = intake.take(&transfer(None, false), Bytes::from_static(b"e")).unwrap().unwrap();
        assert_eq!((whole.id, &whole.message[..]), (0, &b"abcde"[..]));
        assert_eq!(intake.top_up(0).map(|flow| flow.credit), None, "three are left");
        let large = Bytes::from(vec![0; MAX_MESSAGE_SIZE as usize]);
        assert!(intake.take(&transfer(Some(1), true), large).unwrap().is_none());
        assert_eq!(
            intake.take(&transfer(None, false), Bytes::from_static(b"x")).unwrap_err(),
            Refusal::TooLarge { size: MAX_MESSAGE_SIZE + 1, id: 1, settled: false }
        );
    }

    #[test]
    fn credit_counts_what_is_under_way() {
        let mut intake = Intake::new(4);
        intake.top_up(0);
        for id in 0..4 {
            intake.take(&transfer(Some(id), false), Bytes::new()).unwrap();
        }
        assert!(intake.top_up(0).is_none(), "all four are under way");
        intake.done();
        intake.done();
        let flow = intake.top_up(0).unwrap();
        assert_eq!((flow.credit, flow.delivery_count), (2, 4));
    }

    #[test]
    fn an_aborted_delivery_leaves_nothing() {
        let mut intake = Intake::new(4);
        intake.top_up(0);
        intake.take(&transfer(Some(0), true), Bytes::from_static(b"ab")).unwrap();
        let aborted = Transfer { aborted: true, ..transfer(None, false) };
        assert!(intake.take(&aborted, Bytes::new()).unwrap().is_none());
        let whole = intake.take(&transfer(Some(1), false), Bytes::from_static(b"c")).unwrap().unwrap();
        assert_eq!(&whole.message[..], b"c");
    }

    #[test]
    fn the_peers_credit_is_counted_from_its_delivery_count() {
        let mut outlet = Outlet { delivery_count: 10, ..Outlet::default() };
        outlet.on_flow(Some(8), Some(5), false);
        assert_eq!(outlet.credit, 3, "two deliveries are on their way");
        outlet.on_flow(Some(2), Some(5), true);
        assert_eq!(outlet.credit, 0);
        let flow = outlet.finish_drain(1).unwrap();
        assert_eq!((flow.delivery_count, flow.credit, flow.drain), (10, 0, true));
        assert!(outlet.finish_drain(1).is_none());
    }
}
