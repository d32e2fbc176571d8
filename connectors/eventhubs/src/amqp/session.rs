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
            Some(Link { phase: Phase::Attached, end: End::Sender(sender), .. }) => {
                sender.queue.push_back(Outgoing { format, message, sent: 0, delivery_id: None, done })
            }
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
        let attached = Attached { handle: ours, max_message_size: attach.max_message_size.filter(|size| *size > 0) };
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
            Some(link) => {
                link.remote.is_none()
                    && matches!((&link.end, role), (End::Receiver(_), Role::Sender) | (End::Sender(_), Role::Receiver))
            }
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
        let ids: Vec<u32> =
            self.unanswered.range(disposition.first..=last.max(disposition.first)).map(|(id, _)| *id).collect();
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
        let ids: Vec<u32> =
            self.unanswered.iter().filter(|(_, (link, _))| *link == handle).map(|(id, _)| *id).collect();
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
            let Some(Some(Link { phase: Phase::Attached, end: End::Sender(sender), .. })) =
                self.links.get_mut(handle as usize)
            else {
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
    AmqpError::Remote { condition: condition.to_owned(), description: description.to_owned() }
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

#[cfg(test)]
mod tests {
    use super::*;
    use fe2o3_amqp_types::definitions::{LinkError, ReceiverSettleMode, SenderSettleMode};
    use fe2o3_amqp_types::messaging::{Source, Target, TargetArchetype};
    use proptest::prelude::*;
    use std::sync::{Arc, Mutex};

    /// What an inlet has seen.
    #[derive(Debug, Default)]
    struct Seen {
        messages: Vec<Vec<u8>>,
        ended: Option<AmqpError>,
    }

    struct Recording(Arc<Mutex<Seen>>);

    impl Inlet for Recording {
        fn message(&mut self, message: &[u8]) {
            self.0.lock().unwrap().messages.push(message.to_vec());
        }

        fn credit(&mut self, outstanding: u32) -> Option<u32> {
            (outstanding < 5).then_some(10)
        }

        fn ended(&mut self, error: AmqpError) {
            self.0.lock().unwrap().ended = Some(error);
        }
    }

    fn session(peer_window: u32, peer_frame: usize) -> Session {
        Session::new(&Begin { incoming_window: peer_window, next_outgoing_id: 7, ..Session::begin() }, peer_frame)
    }

    /// What the session has written since it was last asked.
    fn written(session: &mut Session) -> Vec<(Performative, Vec<u8>)> {
        let out = session.out.split();
        let (mut at, mut frames) = (0, Vec::new());
        while let Some(frame) = frame::first(&out[at..], 1 << 20).unwrap() {
            let mut cursor = Cursor::new(frame.body);
            cursor.descriptor().unwrap();
            cursor.skip().unwrap();
            let performative = &frame.body[..frame.body.len() - cursor.rest().len()];
            frames.push((serde_amqp::from_slice(performative).unwrap(), cursor.rest().to_vec()));
            at += frame.size;
        }
        frames
    }

    fn hear(session: &mut Session, performative: &impl serde::Serialize, payload: &[u8]) -> Result<(), AmqpError> {
        let mut bytes = BytesMut::new();
        frame::write(&mut bytes, AMQP, performative, payload).unwrap();
        session.on_frame(&frame::first(&bytes, 1 << 20)?.unwrap())
    }

    fn attach(name: &str, role: Role, remote: u32) -> Attach {
        Attach {
            name: name.into(),
            handle: Handle(remote),
            role,
            snd_settle_mode: SenderSettleMode::Mixed,
            rcv_settle_mode: ReceiverSettleMode::First,
            source: Some(Box::new(Source::default())),
            target: Some(Box::new(TargetArchetype::Target(Target::default()))),
            unsettled: None,
            incomplete_unsettled: false,
            initial_delivery_count: Some(0),
            max_message_size: Some(1 << 20),
            offered_capabilities: None,
            desired_capabilities: None,
            properties: None,
        }
    }

    fn receiver(session: &mut Session) -> (Arc<Mutex<Seen>>, oneshot::Receiver<Result<Attached, AmqpError>>) {
        let seen = Arc::new(Mutex::new(Seen::default()));
        let (reply, attached) = oneshot::channel();
        let spec = ReceiverSpec { name: "r".into(), address: "hub".into(), target: None, filter: None, epoch: Some(3) };
        session.attach_receiver(&spec, Box::new(Recording(Arc::clone(&seen))), reply).unwrap();
        (seen, attached)
    }

    fn sender(session: &mut Session) -> oneshot::Receiver<Result<Attached, AmqpError>> {
        let (reply, attached) = oneshot::channel();
        session.attach_sender(&SenderSpec { name: "s".into(), address: "hub".into() }, reply).unwrap();
        attached
    }

    fn transfer(id: u32, settled: bool, more: bool) -> Transfer {
        Transfer {
            handle: Handle(9),
            delivery_id: Some(id),
            delivery_tag: Some(DeliveryTag::from(id.to_be_bytes())),
            message_format: Some(0),
            settled: Some(settled),
            more,
            rcv_settle_mode: None,
            state: None,
            resume: false,
            aborted: false,
            batchable: false,
        }
    }

    #[test]
    fn a_receiver_gets_whole_messages_gives_credit_and_settles_in_ranges() {
        let mut session = session(100, 1 << 16);
        let (seen, mut attached) = receiver(&mut session);
        hear(&mut session, &attach("0-r", Role::Sender, 9), &[]).unwrap();
        assert_eq!(attached.try_recv().unwrap().unwrap().handle, 0);
        session.poke(0).unwrap();
        written(&mut session);
        for (id, settled, more, part) in [
            (0, true, false, "a"),
            (1, false, true, "b"),
            (1, false, false, "c"),
            (2, false, false, "d"),
            (5, false, false, "e"),
        ] {
            hear(&mut session, &transfer(id, settled, more), part.as_bytes()).unwrap();
        }
        session.end_of_read().unwrap();
        assert_eq!(seen.lock().unwrap().messages, [b"a".to_vec(), b"bc".to_vec(), b"d".to_vec(), b"e".to_vec()]);
        let settled = written(&mut session).into_iter().map(|(performative, _)| match performative {
            Performative::Disposition(disposition) => (disposition.first, disposition.last),
            other => panic!("not a disposition: {other:?}"),
        });
        assert_eq!(settled.collect::<Vec<_>>(), [(1, Some(2)), (5, Some(5))]);
        // Two more, and the inlet wants more credit.
        for id in [6, 7] {
            hear(&mut session, &transfer(id, true, false), b"f").unwrap();
        }
        session.end_of_read().unwrap();
        let (Performative::Flow(flow), _) = written(&mut session).remove(0) else { panic!("no flow") };
        assert_eq!((flow.next_incoming_id, flow.delivery_count, flow.link_credit), (Some(14), Some(6), Some(10)));
    }

    #[test]
    fn a_refusal_and_a_theft_reach_whom_they_concern() {
        let mut session = session(100, 1 << 16);
        let (_, mut refused) = receiver(&mut session);
        let (seen, mut attached) = receiver(&mut session);
        hear(&mut session, &Attach { source: None, ..attach("0-r", Role::Sender, 3) }, &[]).unwrap();
        assert!(refused.try_recv().is_err(), "the detach says why");
        let stolen = fe2o3_amqp_types::definitions::Error::new(LinkError::Stolen, Some("level 4".into()), None);
        let detach = |handle| Detach { handle: Handle(handle), closed: true, error: Some(stolen.clone()) };
        hear(&mut session, &detach(3), &[]).unwrap();
        let expected = AmqpError::Remote { condition: "amqp:link:stolen".into(), description: "level 4".into() };
        assert_eq!(refused.try_recv().unwrap(), Err(expected.clone()));
        hear(&mut session, &attach("1-r", Role::Sender, 4), &[]).unwrap();
        assert!(attached.try_recv().unwrap().is_ok());
        written(&mut session);
        hear(&mut session, &detach(4), &[]).unwrap();
        assert_eq!(seen.lock().unwrap().ended, Some(expected));
        assert!(matches!(written(&mut session)[0].0, Performative::Detach(_)), "a detach is answered");
        assert!(hear(&mut session, &detach(4), &[]).is_err());
    }

    #[test]
    fn a_sender_obeys_credit_window_and_frame_size() {
        let mut session = session(2, 512);
        let mut attached = sender(&mut session);
        hear(&mut session, &attach("0-s", Role::Receiver, 5), &[]).unwrap();
        assert_eq!(attached.try_recv().unwrap().unwrap().max_message_size, Some(1 << 20));
        written(&mut session);
        let send = |session: &mut Session, size: usize| {
            let (done, verdict) = oneshot::channel();
            session.send(0, 0, Bytes::from(vec![1; size]), done).unwrap();
            verdict
        };
        let (mut first, mut second) = (send(&mut session, 1_000), send(&mut session, 10));
        assert!(written(&mut session).is_empty(), "no credit yet");
        let flow = |window, base| Flow {
            next_incoming_id: Some(base),
            incoming_window: window,
            next_outgoing_id: 7,
            outgoing_window: 100,
            handle: Some(Handle(5)),
            delivery_count: Some(0),
            link_credit: Some(1),
            available: None,
            drain: false,
            echo: false,
            properties: None,
        };
        hear(&mut session, &flow(2, 0), &[]).unwrap();
        let frames = written(&mut session);
        assert_eq!(
            frames.iter().map(|(_, payload)| payload.len()).collect::<Vec<_>>(),
            [448, 448],
            "the window is two frames"
        );
        hear(&mut session, &flow(10, 2), &[]).unwrap();
        let frames = written(&mut session);
        let last = matches!(&frames[0].0, Performative::Transfer(t) if !t.more && t.delivery_id.is_none());
        assert!(last && frames.len() == 1, "the second message has no credit");
        let accepted = Disposition {
            role: Role::Receiver,
            first: 0,
            last: None,
            settled: true,
            state: Some(DeliveryState::Accepted(Accepted {})),
            batchable: false,
        };
        hear(&mut session, &accepted, &[]).unwrap();
        assert_eq!(first.try_recv().unwrap(), Ok(()));
        session.fail(&AmqpError::Closed);
        assert_eq!(second.try_recv().unwrap(), Err(AmqpError::Closed));
    }

    proptest! {
        #[test]
        fn whatever_a_peer_sends_nothing_panics(
            frames in proptest::collection::vec((0usize..9, any::<u32>(), any::<u32>(), proptest::collection::vec(any::<u8>(), 0..60), any::<prop::sample::Index>(), any::<u8>()), 1..30),
        ) {
            let mut session = session(3, 512);
            let (_seen, _attached) = receiver(&mut session);
            let _sender = sender(&mut session);
            for (kind, a, b, payload, at, flip) in frames {
                let mut bytes = BytesMut::new();
                let small = a % 4;
                let performative = match kind {
                    0 => Performative::Attach(attach("0-r", Role::Sender, small)),
                    1 => Performative::Attach(attach("1-s", Role::Receiver, small)),
                    2 => Performative::Transfer(Transfer { handle: Handle(small), delivery_id: Some(b), more: a & 64 != 0, ..transfer(b, a & 128 != 0, false) }),
                    3 => Performative::Flow(Flow {
                        next_incoming_id: Some(a), incoming_window: b, next_outgoing_id: a, outgoing_window: b, handle: Some(Handle(small)),
                        delivery_count: Some(a), link_credit: Some(b % 8), available: None, drain: false, echo: a & 1 == 0, properties: None,
                    }),
                    4 => Performative::Disposition(Disposition {
                        role: Role::Receiver, first: small, last: Some(b), settled: a & 1 == 0, state: Some(DeliveryState::Accepted(Accepted {})), batchable: false,
                    }),
                    5 => Performative::Detach(Detach { handle: Handle(small), closed: true, error: None }),
                    6 => Performative::Begin(Session::begin()),
                    _ => Performative::Close(Close { error: None }),
                };
                frame::write(&mut bytes, AMQP, &performative, &payload).unwrap();
                if flip % 3 == 0 {
                    let place = 8 + at.index(bytes.len() - 8);
                    bytes[place] ^= flip;
                }
                let (done, _verdict) = oneshot::channel();
                let _ = session.send(1, 0, Bytes::from(payload), done);
                if let Ok(Some(frame)) = frame::first(&bytes, 1 << 20) {
                    let _ = session.on_frame(&frame);
                }
                let _ = session.end_of_read();
            }
            session.fail(&AmqpError::Closed);
        }
    }
}
