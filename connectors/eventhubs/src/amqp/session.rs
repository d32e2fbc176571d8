//! The protocol of an open session, as a value: frames and calls in, frames and replies out. No IO, no time, no task.
//!
//! Flow control has two levels. *Link credit* counts messages and is what bounds a reader: its [`Inlet`] says after each
//! read how many may be under way. The *session window* counts frames; it is held wide open and renewed in time, so
//! that it never stops what credit allows.

use super::error::AmqpError;
use super::frame::{self, AMQP, Frame, TRANSFER, TransferHead, transfer_head};
use super::link::{
    Attached, End, Inlet, Link, Outgoing, Phase, ReceiverEnd, ReceiverSpec, SenderEnd, SenderSpec, receiver_attach,
    sender_attach,
};
use super::wire::Cursor;
use bytes::{Bytes, BytesMut};
use fe2o3_amqp_types::definitions::{DeliveryTag, Handle, Role};
use fe2o3_amqp_types::messaging::{Accepted, DeliveryState};
use fe2o3_amqp_types::performatives::{Attach, Begin, Close, Detach, Disposition, Flow, Performative, Transfer};
use std::collections::BTreeMap;
use tokio::sync::oneshot;

/// Frames that the peer may send before it needs a new window.
pub(crate) const WINDOW: u32 = 1 << 18;
/// Links in a session.
pub(crate) const MAX_LINKS: u32 = 4_096;
/// Bytes of one message: above the service's largest (20 MB), below what would hurt.
const MAX_MESSAGE: usize = 64 << 20;
/// Bytes of a transfer's head, at most: what a frame leaves less for payload.
const TRANSFER_HEAD: usize = 64;

/// The session's state.
pub(crate) struct Session {
    /// Frames to write.
    pub(crate) out: BytesMut,
    /// Largest frame that the peer takes.
    peer_frame: usize,
    /// By this side's handle.
    links: Vec<Option<Link>>,
    /// This side's handle, by the peer's.
    by_remote: Vec<Option<u32>>,
    next_incoming: u32,
    /// Frames since the window was last renewed.
    since_flow: u32,
    next_outgoing: u32,
    /// Frames that the peer takes now.
    peer_window: u32,
    next_delivery: u32,
    /// Sent and not yet answered, by delivery id: the link, and who waits.
    unanswered: BTreeMap<u32, (u32, oneshot::Sender<Result<(), AmqpError>>)>,
    /// Received unsettled in this read: first and last delivery id.
    to_settle: Option<(u32, u32)>,
    /// Links in which messages came in this read.
    touched: Vec<u32>,
}

impl Session {
    /// A session that both sides have begun.
    pub(crate) fn new(peer: &Begin, peer_frame: usize) -> Self {
        Self {
            out: BytesMut::new(),
            peer_frame,
            links: Vec::new(),
            by_remote: Vec::new(),
            next_incoming: peer.next_outgoing_id,
            since_flow: 0,
            next_outgoing: 0,
            peer_window: peer.incoming_window,
            next_delivery: 0,
            unanswered: BTreeMap::new(),
            to_settle: None,
            touched: Vec::new(),
        }
    }

    /// This side's begin.
    pub(crate) fn begin() -> Begin {
        Begin {
            remote_channel: None,
            next_outgoing_id: 0,
            incoming_window: WINDOW,
            outgoing_window: WINDOW,
            handle_max: Handle(MAX_LINKS - 1),
            offered_capabilities: None,
            desired_capabilities: None,
            properties: None,
        }
    }

    // ---- calls from this side ----

    /// Attaches a receiver; `reply` gets the outcome.
    pub(crate) fn attach_receiver(
        &mut self,
        spec: &ReceiverSpec,
        inlet: Box<dyn Inlet>,
        reply: oneshot::Sender<Result<Attached, AmqpError>>,
    ) -> Result<(), AmqpError> {
        let handle = self.new_link(Phase::Attaching(reply), End::Receiver(ReceiverEnd::new(inlet)))?;
        frame::write(&mut self.out, AMQP, &receiver_attach(handle, spec), &[])
    }

    /// Attaches a sender; `reply` gets the outcome.
    pub(crate) fn attach_sender(
        &mut self,
        spec: &SenderSpec,
        reply: oneshot::Sender<Result<Attached, AmqpError>>,
    ) -> Result<(), AmqpError> {
        let handle = self.new_link(Phase::Attaching(reply), End::Sender(SenderEnd::default()))?;
        frame::write(&mut self.out, AMQP, &sender_attach(handle, spec), &[])
    }

    fn new_link(&mut self, phase: Phase, end: End) -> Result<u32, AmqpError> {
        let link = Link { phase, remote: None, end };
        let free = self.links.iter().position(Option::is_none).unwrap_or(self.links.len());
        if free >= MAX_LINKS as usize {
            return Err(AmqpError::Protocol(format!("more than {MAX_LINKS} links in one session")));
        }
        match self.links.get_mut(free) {
            Some(slot) => *slot = Some(link),
            None => self.links.push(Some(link)),
        }
        Ok(free as u32)
    }

    /// Sends a message; `done` gets the peer's verdict.
    pub(crate) fn send(
        &mut self,
        handle: u32,
        format: u32,
        message: Bytes,
        done: oneshot::Sender<Result<(), AmqpError>>,
    ) -> Result<(), AmqpError> {
        match self.link_mut(handle) {
            Some(Link { phase: Phase::Attached, end: End::Sender(sender), .. }) => sender.queue.push_back(Outgoing {
                format,
                message,
                sent: 0,
                delivery_id: None,
                done,
            }),
            _ => {
                let _ = done.send(Err(AmqpError::Closed));
            }
        }
        self.pump(handle)
    }

    /// Asks a receiver's inlet for its credit.
    pub(crate) fn poke(&mut self, handle: u32) -> Result<(), AmqpError> {
        if let Some(Link { phase: Phase::Attached, end: End::Receiver(receiver), .. }) = self.link_mut(handle)
            && let Some(credit) = receiver.inlet.credit(receiver.credit)
        {
            receiver.credit = credit;
            let count = receiver.delivery_count;
            self.write_flow(Some((handle, count, credit)))?;
        }
        Ok(())
    }

    /// Ends a link.
    pub(crate) fn detach(&mut self, handle: u32) -> Result<(), AmqpError> {
        let Some(link) = self.link_mut(handle) else {
            return Ok(());
        };
        if matches!(link.phase, Phase::Detaching) {
            return Ok(());
        }
        link.phase = Phase::Detaching;
        self.write_detach(handle)
    }

    /// Tells everyone who waits that the connection has ended.
    pub(crate) fn fail(&mut self, error: &AmqpError) {
        for link in std::mem::take(&mut self.links).into_iter().flatten() {
            end_link(link, error);
        }
        for (_, (_, done)) in std::mem::take(&mut self.unanswered) {
            let _ = done.send(Err(error.clone()));
        }
    }

    /// Writes this side's close.
    pub(crate) fn close(&mut self) -> Result<(), AmqpError> {
        frame::write(&mut self.out, AMQP, &Close { error: None }, &[])
    }

    // ---- frames from the peer ----

    /// Takes a frame.
    ///
    /// # Errors
    /// When the peer ends the session or connection, or breaks the protocol: the connection is over.
    pub(crate) fn on_frame(&mut self, frame: &Frame<'_>) -> Result<(), AmqpError> {
        if frame.body.is_empty() {
            return Ok(());
        }
        if frame.kind != AMQP {
            return Err(AmqpError::Protocol("a SASL frame in an open connection".into()));
        }
        let mut cursor = Cursor::new(frame.body);
        if cursor.descriptor()? == Some(TRANSFER) {
            let head = transfer_head(&mut cursor)?;
            return self.on_transfer(head, cursor.rest());
        }
        match serde_amqp::from_slice::<Performative>(frame.body)? {
            Performative::Attach(attach) => self.on_attach(&attach),
            Performative::Flow(flow) => self.on_flow(&flow),
            Performative::Disposition(disposition) => self.on_disposition(&disposition),
            Performative::Detach(detach) => self.on_detach(detach),
            Performative::End(end) => Err(ended(end.error)),
            Performative::Close(close) => Err(ended(close.error)),
            Performative::Open(_) | Performative::Begin(_) | Performative::Transfer(_) => {
                Err(AmqpError::Protocol("a frame that has no place in an open session".into()))
            }
        }
    }

    fn on_transfer(&mut self, head: TransferHead, payload: &[u8]) -> Result<(), AmqpError> {
        self.next_incoming = self.next_incoming.wrapping_add(1);
        self.since_flow += 1;
        let handle = self.by_remote.get(head.handle as usize).copied().flatten();
        let Some(handle) = handle else {
            return Err(AmqpError::Protocol(format!("a transfer on handle {}, which is not attached", head.handle)));
        };
        let Some(Some(Link { phase, end: End::Receiver(receiver), .. })) = self.links.get_mut(handle as usize) else {
            return Err(AmqpError::Protocol("a transfer to a sender".into()));
        };
        if matches!(phase, Phase::Detaching) {
            return Ok(());
        }
        if !receiver.touched {
            receiver.touched = true;
            self.touched.push(handle);
        }
        if head.aborted {
            receiver.partial.clear();
            receiver.partial_id = None;
            return Ok(());
        }
        let (mut id, mut settled) = (head.delivery_id, head.settled);
        if head.more || receiver.partial_id.is_some() {
            if receiver.partial.len() + payload.len() > MAX_MESSAGE {
                return Err(AmqpError::Protocol(format!("a message above {MAX_MESSAGE} bytes")));
            }
            receiver.partial.extend_from_slice(payload);
            receiver.partial_id = receiver.partial_id.or(id).or(Some(0));
            receiver.partial_settled |= settled;
            if head.more {
                return Ok(());
            }
            receiver.inlet.message(&receiver.partial);
            receiver.partial.clear();
            id = receiver.partial_id.take();
            settled = std::mem::take(&mut receiver.partial_settled);
        } else {
            receiver.inlet.message(payload);
        }
        receiver.delivery_count = receiver.delivery_count.wrapping_add(1);
        receiver.credit = receiver.credit.saturating_sub(1);
        match id {
            Some(id) if !settled => self.settle_later(id),
            _ => Ok(()),
        }
    }

    fn settle_later(&mut self, id: u32) -> Result<(), AmqpError> {
        self.to_settle = match self.to_settle {
            Some((first, last)) if last.wrapping_add(1) == id => Some((first, id)),
            None => Some((id, id)),
            Some(_) => {
                self.settle()?;
                Some((id, id))
            }
        };
        Ok(())
    }

    /// One disposition for all consecutive deliveries of a read.
    fn settle(&mut self) -> Result<(), AmqpError> {
        let Some((first, last)) = self.to_settle.take() else {
            return Ok(());
        };
        let disposition = Disposition {
            role: Role::Receiver,
            first,
            last: Some(last),
            settled: true,
            state: Some(DeliveryState::Accepted(Accepted {})),
            batchable: true,
        };
        frame::write(&mut self.out, AMQP, &disposition, &[])
    }

    /// Called when all frames of a read have been taken: settles, asks the inlets for credit, renews the window.
    pub(crate) fn end_of_read(&mut self) -> Result<(), AmqpError> {
        self.settle()?;
        let mut touched = std::mem::take(&mut self.touched);
        for handle in touched.drain(..) {
            if let Some(Link { end: End::Receiver(receiver), .. }) = self.link_mut(handle) {
                receiver.touched = false;
            }
            self.poke(handle)?;
        }
        self.touched = touched;
        if self.since_flow >= WINDOW / 4 {
            self.write_flow(None)?;
        }
        Ok(())
    }

    fn on_attach(&mut self, attach: &Attach) -> Result<(), AmqpError> {
        let ours = self.attaching(&attach.name, &attach.role)?;
        let remote = attach.handle.0;
        if remote >= MAX_LINKS {
            return Err(AmqpError::Protocol(format!("a link handle above {MAX_LINKS}")));
        }
        if self.by_remote.len() <= remote as usize {
            self.by_remote.resize(remote as usize + 1, None);
        }
        if let Some(slot) = self.by_remote.get_mut(remote as usize) {
            *slot = Some(ours);
        }
        let Some(link) = self.link_mut(ours) else {
            return Ok(());
        };
        link.remote = Some(remote);
        let refused = match &mut link.end {
            End::Receiver(receiver) => {
                receiver.delivery_count = attach.initial_delivery_count.unwrap_or(0);
                attach.source.is_none()
            }
            End::Sender(_) => attach.target.is_none(),
        };
        if refused || matches!(link.phase, Phase::Detaching) {
            // A refusal: the detach that follows says why.
            return Ok(());
        }
        let attached = Attached {
            handle: ours,
            max_message_size: attach.max_message_size.filter(|size| *size > 0),
        };
        if let Phase::Attaching(reply) = std::mem::replace(&mut link.phase, Phase::Attached)
            && reply.send(Ok(attached)).is_err()
        {
            // Nobody waits any more.
            return self.detach(ours);
        }
        Ok(())
    }

    fn attaching(&mut self, name: &str, role: &Role) -> Result<u32, AmqpError> {
        let (digits, _) = name.split_once('-').unwrap_or((name, ""));
        let handle = digits.parse::<u32>().ok();
        let found = handle.filter(|handle| match self.link_mut(*handle) {
            Some(link) => link.remote.is_none() && matches!((&link.end, role), (End::Receiver(_), Role::Sender) | (End::Sender(_), Role::Receiver)),
            None => false,
        });
        found.ok_or_else(|| AmqpError::Protocol(format!("an attach of a link '{name}' that was not asked for")))
    }

    fn on_flow(&mut self, flow: &Flow) -> Result<(), AmqpError> {
        let base = flow.next_incoming_id.unwrap_or(0);
        self.peer_window = base.wrapping_add(flow.incoming_window).wrapping_sub(self.next_outgoing);
        let ours = flow.handle.as_ref().and_then(|h| self.by_remote.get(h.0 as usize).copied().flatten());
        if let Some(handle) = ours
            && let Some(Link { end: End::Sender(sender), .. }) = self.link_mut(handle)
            && let Some(credit) = flow.link_credit
        {
            let count = flow.delivery_count.unwrap_or(0);
            sender.credit = count.wrapping_add(credit).wrapping_sub(sender.delivery_count);
            // A peer that counts behind has messages of ours under way: no credit, not four billion.
            if sender.credit > i32::MAX as u32 {
                sender.credit = 0;
            }
        }
        if flow.echo {
            self.write_flow(None)?;
        }
        for handle in 0..self.links.len() as u32 {
            self.pump(handle)?;
        }
        Ok(())
    }

    fn on_disposition(&mut self, disposition: &Disposition) -> Result<(), AmqpError> {
        if disposition.role != Role::Receiver {
            return Ok(());
        }
        let last = disposition.last.unwrap_or(disposition.first);
        let outcome = match &disposition.state {
            Some(DeliveryState::Received(_)) => return Ok(()),
            Some(DeliveryState::Accepted(_)) => Ok(()),
            Some(DeliveryState::Rejected(rejected)) => Err(match &rejected.error {
                Some(error) => error.clone().into(),
                None => remote("amqp:rejected", "the peer rejected the message and gave no reason"),
            }),
            Some(DeliveryState::Released(_) | DeliveryState::Modified(_)) => {
                Err(remote("amqp:released", "the peer did not take the message"))
            }
            None if disposition.settled => Ok(()),
            None => return Ok(()),
        };
        let ids: Vec<u32> = self.unanswered.range(disposition.first..=last.max(disposition.first)).map(|(id, _)| *id).collect();
        for id in ids {
            if let Some((_, done)) = self.unanswered.remove(&id) {
                let _ = done.send(outcome.clone());
            }
        }
        if !disposition.settled {
            let settled = Disposition { role: Role::Sender, settled: true, ..disposition.clone() };
            frame::write(&mut self.out, AMQP, &settled, &[])?;
        }
        Ok(())
    }

    fn on_detach(&mut self, detach: Detach) -> Result<(), AmqpError> {
        let slot = self.by_remote.get_mut(detach.handle.0 as usize).and_then(Option::take);
        let Some(handle) = slot else {
            return Err(AmqpError::Protocol(format!("a detach of handle {}, which is not attached", detach.handle.0)));
        };
        let Some(link) = self.links.get_mut(handle as usize).and_then(Option::take) else {
            return Ok(());
        };
        if !matches!(link.phase, Phase::Detaching) {
            self.write_detach(handle)?;
        }
        let error = match detach.error {
            Some(error) => error.into(),
            None => remote("amqp:link:detached", "the peer ended the link and gave no reason"),
        };
        self.fail_sends(handle, &error);
        end_link(link, &error);
        Ok(())
    }

    fn fail_sends(&mut self, handle: u32, error: &AmqpError) {
        let ids: Vec<u32> = self.unanswered.iter().filter(|(_, (link, _))| *link == handle).map(|(id, _)| *id).collect();
        for id in ids {
            if let Some((_, done)) = self.unanswered.remove(&id) {
                let _ = done.send(Err(error.clone()));
            }
        }
    }

    // ---- writing ----

    /// Sends what credit and window allow.
    fn pump(&mut self, handle: u32) -> Result<(), AmqpError> {
        let room = self.peer_frame.saturating_sub(TRANSFER_HEAD).max(TRANSFER_HEAD);
        while self.peer_window > 0 {
            let Some(Some(Link { phase: Phase::Attached, end: End::Sender(sender), .. })) = self.links.get_mut(handle as usize) else {
                return Ok(());
            };
            let Some(message) = sender.queue.front_mut() else {
                return Ok(());
            };
            if message.delivery_id.is_none() && sender.credit == 0 {
                return Ok(());
            }
            let first = message.delivery_id.is_none();
            let id = *message.delivery_id.get_or_insert(self.next_delivery);
            if first {
                self.next_delivery = self.next_delivery.wrapping_add(1);
            }
            let part = message.message.slice(message.sent..(message.sent + room).min(message.message.len()));
            message.sent += part.len();
            let more = message.sent < message.message.len();
            let transfer = Transfer {
                handle: Handle(handle),
                delivery_id: first.then_some(id),
                delivery_tag: first.then(|| DeliveryTag::from(id.to_be_bytes())),
                message_format: first.then_some(message.format),
                settled: Some(false),
                more,
                rcv_settle_mode: None,
                state: None,
                resume: false,
                aborted: false,
                batchable: false,
            };
            if !more && let Some(sent) = sender.queue.pop_front() {
                sender.credit = sender.credit.saturating_sub(1);
                sender.delivery_count = sender.delivery_count.wrapping_add(1);
                self.unanswered.insert(id, (handle, sent.done));
            }
            frame::write(&mut self.out, AMQP, &transfer, &part)?;
            self.next_outgoing = self.next_outgoing.wrapping_add(1);
            self.peer_window -= 1;
        }
        Ok(())
    }

    fn write_flow(&mut self, link: Option<(u32, u32, u32)>) -> Result<(), AmqpError> {
        self.since_flow = 0;
        let flow = Flow {
            next_incoming_id: Some(self.next_incoming),
            incoming_window: WINDOW,
            next_outgoing_id: self.next_outgoing,
            outgoing_window: WINDOW,
            handle: link.map(|(handle, _, _)| Handle(handle)),
            delivery_count: link.map(|(_, count, _)| count),
            link_credit: link.map(|(_, _, credit)| credit),
            available: None,
            drain: false,
            echo: false,
            properties: None,
        };
        frame::write(&mut self.out, AMQP, &flow, &[])
    }

    fn write_detach(&mut self, handle: u32) -> Result<(), AmqpError> {
        let detach = Detach { handle: Handle(handle), closed: true, error: None };
        frame::write(&mut self.out, AMQP, &detach, &[])
    }

    fn link_mut(&mut self, handle: u32) -> Option<&mut Link> {
        self.links.get_mut(handle as usize)?.as_mut()
    }
}

fn remote(condition: &str, description: &str) -> AmqpError {
    AmqpError::Remote {
        condition: condition.to_owned(),
        description: description.to_owned(),
    }
}

fn ended(error: Option<fe2o3_amqp_types::definitions::Error>) -> AmqpError {
    error.map_or(AmqpError::Closed, Into::into)
}

fn end_link(link: Link, error: &AmqpError) {
    match (link.phase, link.end) {
        (Phase::Attaching(reply), _) => {
            let _ = reply.send(Err(error.clone()));
        }
        (_, End::Receiver(mut receiver)) => receiver.inlet.ended(error.clone()),
        (_, End::Sender(sender)) => {
            for message in sender.queue {
                let _ = message.done.send(Err(error.clone()));
            }
        }
    }
}
