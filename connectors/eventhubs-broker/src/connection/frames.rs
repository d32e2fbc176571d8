//! What each frame does.

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::Bytes;
use fe2o3_amqp::frames::amqp::{Frame, FrameBody};
use fe2o3_amqp_types::definitions::{Error, Handle, Role};
use fe2o3_amqp_types::messaging::{Accepted, DeliveryState, Rejected};
use fe2o3_amqp_types::performatives::{
    Begin, ChannelMax, Close, Detach, Disposition, End as EndFrame, Flow, MaxFrameSize, Open, Transfer,
};

use super::link::{Incoming, Link, Node, Refusal};
use super::session::{HANDLE_MAX, INCOMING_WINDOW, Session, Windows};
use super::{Connection, Done, End, IDLE_TIME, Place};
use crate::amqp::frame::MAX_FRAME_SIZE;
use crate::cbs;
use crate::conditions;
use crate::log::{LogError, NewEvent};
use crate::management;
use crate::request::{Reply, Request};
use crate::sections;

/// The highest channel we take: it bounds the sessions of a connection.
const CHANNEL_MAX: u16 = 4_999;

/// The smallest max-frame-size that the specification allows.
const MIN_FRAME_SIZE: u32 = 512;

impl Connection {
    pub(super) async fn on_frame(&mut self, frame: Frame) -> Result<(), End> {
        let channel = frame.channel;
        if !self.opened && !matches!(frame.body, FrameBody::Open(_) | FrameBody::Empty) {
            return Err(framing("the first frame must be open"));
        }
        tracing::trace!(channel, body = ?frame.body, "frame");
        match frame.body {
            FrameBody::Open(open) => self.on_open(&open),
            FrameBody::Begin(begin) => self.on_begin(channel, &begin),
            FrameBody::Attach(attach) => self.on_attach(channel, attach).await,
            FrameBody::Flow(flow) => self.on_flow(channel, flow),
            FrameBody::Transfer { performative, payload } => self.on_transfer(channel, &performative, payload).await,
            FrameBody::Disposition(disposition) => self.on_disposition(channel, disposition),
            FrameBody::Detach(detach) => self.on_detach(channel, detach),
            FrameBody::End(_) => {
                self.sessions.remove(&channel);
                self.put(channel, &EndFrame { error: None }, 1)
            }
            FrameBody::Close(_) => {
                self.closing = true;
                self.sessions.clear();
                self.put(0, &Close { error: None }, 1)
            }
            FrameBody::Empty => Ok(()),
        }
    }

    fn on_open(&mut self, open: &Open) -> Result<(), End> {
        if self.opened {
            return Err(framing("open came twice"));
        }
        self.opened = true;
        self.max_frame_size = open.max_frame_size.0.clamp(MIN_FRAME_SIZE, MAX_FRAME_SIZE);
        self.heartbeat =
            open.idle_time_out.filter(|millis| *millis > 0).map(|millis| Duration::from_millis(u64::from(millis) / 2));
        let reply = Open {
            container_id: "salamander-eventhubs-broker".into(),
            hostname: None,
            max_frame_size: MaxFrameSize(MAX_FRAME_SIZE),
            channel_max: ChannelMax(CHANNEL_MAX),
            idle_time_out: Some((IDLE_TIME.as_millis() / 2) as u32),
            outgoing_locales: None,
            incoming_locales: None,
            offered_capabilities: None,
            desired_capabilities: None,
            properties: None,
        };
        self.put(0, &reply, 10)
    }

    fn on_begin(&mut self, channel: u16, begin: &Begin) -> Result<(), End> {
        if channel > CHANNEL_MAX || self.sessions.contains_key(&channel) {
            return Err(framing("begin on a channel that is beyond channel-max or in use"));
        }
        self.sessions.insert(channel, Session { windows: Windows::new(channel, begin), links: BTreeMap::new() });
        let reply = Begin {
            remote_channel: Some(channel),
            next_outgoing_id: 0,
            incoming_window: INCOMING_WINDOW,
            outgoing_window: INCOMING_WINDOW,
            handle_max: Handle(HANDLE_MAX),
            offered_capabilities: None,
            desired_capabilities: None,
            properties: None,
        };
        self.put(channel, &reply, 8)
    }

    pub(super) fn end_session(&mut self, channel: u16, condition: &'static str, description: &str) -> Result<(), End> {
        self.sessions.remove(&channel);
        self.put(channel, &EndFrame { error: Some(conditions::error(condition, description)) }, 1)
    }

    fn on_flow(&mut self, channel: u16, flow: Flow) -> Result<(), End> {
        let Some(session) = self.sessions.get_mut(&channel) else { return Ok(()) };
        session.windows.on_flow(&flow);
        let Some(Handle(handle)) = flow.handle else {
            return if flow.echo { self.put_flow(channel, None) } else { Ok(()) };
        };
        let echo = match session.links.get_mut(&handle) {
            Some(Link::Consumer(consumer)) => {
                consumer.outlet.on_flow(flow.delivery_count, flow.link_credit, flow.drain);
                super::session::LinkFlow {
                    handle,
                    delivery_count: consumer.outlet.delivery_count,
                    credit: consumer.outlet.credit,
                    drain: flow.drain,
                }
            }
            Some(Link::Replies(replies)) => {
                replies.outlet.on_flow(flow.delivery_count, flow.link_credit, flow.drain);
                super::session::LinkFlow {
                    handle,
                    delivery_count: replies.outlet.delivery_count,
                    credit: replies.outlet.credit,
                    drain: flow.drain,
                }
            }
            Some(Link::Producer(producer)) => producer.intake.flow(handle),
            Some(Link::Requests(requests)) => requests.intake.flow(handle),
            // A peer may have sent it before it saw that the link was detached.
            Some(Link::Closing) | None => return Ok(()),
        };
        if flow.echo && !flow.drain { self.put_flow(channel, Some(echo)) } else { Ok(()) }
    }

    async fn on_transfer(&mut self, channel: u16, transfer: &Transfer, payload: Bytes) -> Result<(), End> {
        let Some(session) = self.sessions.get_mut(&channel) else { return Ok(()) };
        let flow_is_due = session.windows.on_transfer();
        let handle = transfer.handle.0;
        let taken = match session.links.get_mut(&handle) {
            Some(Link::Producer(producer)) => producer.intake.take(transfer, payload),
            Some(Link::Requests(requests)) => requests.intake.take(transfer, payload),
            Some(Link::Closing) | None => Ok(None),
            Some(Link::Consumer(_) | Link::Replies(_)) => {
                let error = conditions::error(
                    conditions::NOT_ALLOWED,
                    "a transfer came on a link whose sender is this container",
                );
                return self.detach(channel, handle, error);
            }
        };
        if flow_is_due {
            self.put_flow(channel, None)?;
        }
        match taken {
            Ok(None) => Ok(()),
            Ok(Some(incoming)) => self.on_delivery(channel, handle, incoming).await,
            Err(Refusal::TooLarge { size, id, settled }) => {
                let limit = crate::options::MAX_MESSAGE_SIZE;
                let description = format!(
                    "The received message (delivery-id:{id}, size:{size} bytes) exceeds the limit ({limit} bytes) \
                     currently allowed on the link."
                );
                let error = conditions::error(conditions::MESSAGE_SIZE_EXCEEDED, description);
                // The SDKs tell a rejected delivery's error better than that of a detached link.
                match settled {
                    true => self.detach(channel, handle, error),
                    false => {
                        self.settle(channel, id, settled, Some(error))?;
                        self.delivery_done(channel, handle)
                    }
                }
            }
            Err(Refusal::NoDelivery) => self.detach(
                channel,
                handle,
                conditions::error(conditions::NOT_ALLOWED, "a delivery's first transfer has no delivery-id"),
            ),
            Err(Refusal::NoCredit) => self.detach(
                channel,
                handle,
                conditions::error("amqp:link:transfer-limit-exceeded", "a transfer came without credit"),
            ),
        }
    }

    async fn on_delivery(&mut self, channel: u16, handle: u32, incoming: Incoming) -> Result<(), End> {
        let node = match self.sessions.get(&channel).and_then(|session| session.links.get(&handle)) {
            Some(Link::Requests(requests)) => Some(requests.node),
            _ => None,
        };
        match node {
            Some(node) => {
                self.settle(channel, incoming.id, incoming.settled, None)?;
                self.answer(channel, node, &incoming.message).await;
                self.delivery_done(channel, handle)
            }
            None => self.on_events(channel, handle, incoming),
        }
    }

    /// Takes a message or batch of a producer: sees that it is stored, or rejects it.
    fn on_events(&mut self, channel: u16, handle: u32, incoming: Incoming) -> Result<(), End> {
        let Some(Link::Producer(producer)) = self.sessions.get(&channel).and_then(|session| session.links.get(&handle))
        else {
            return Ok(());
        };
        let answer = if self.shared.faults.takes_busy() {
            Err(conditions::error(conditions::SERVER_BUSY, "The server is busy. Please retry the operation later."))
        } else {
            events_of(&incoming).and_then(|(events, key)| {
                let log = producer.partition.as_ref().or_else(|| producer.hub.choose(key.as_deref()));
                let log =
                    log.ok_or_else(|| conditions::error(conditions::INTERNAL_ERROR, "the hub has no partitions"))?;
                Ok(log.append(&events))
            })
        };
        match answer {
            Ok(answer) => {
                let place = Place { channel, handle, link: producer.id };
                let (delivery, settled) = (incoming.id, incoming.settled);
                self.work.push(Box::pin(async move {
                    let result = answer.await.unwrap_or_else(|_| {
                        Err(LogError::Io {
                            place: "its file".into(),
                            what: "writing events",
                            why: "the writer ended".into(),
                        })
                    });
                    Done::Stored { place, delivery, settled, result }
                }));
                Ok(())
            }
            Err(error) => {
                self.settle(channel, incoming.id, incoming.settled, Some(error))?;
                self.delivery_done(channel, handle)
            }
        }
    }

    /// Tells the peer what became of a delivery; the disposition settles it.
    fn settle(&mut self, channel: u16, delivery: u32, settled: bool, error: Option<Error>) -> Result<(), End> {
        if settled {
            return Ok(());
        }
        let state = match error {
            None => DeliveryState::Accepted(Accepted {}),
            Some(error) => DeliveryState::Rejected(Rejected { error: Some(error) }),
        };
        let disposition = Disposition {
            role: Role::Receiver,
            first: delivery,
            last: Some(delivery),
            settled: true,
            state: Some(state),
            batchable: false,
        };
        self.put(channel, &disposition, 6)
    }

    fn delivery_done(&mut self, channel: u16, handle: u32) -> Result<(), End> {
        let intake = match self.sessions.get_mut(&channel).and_then(|session| session.links.get_mut(&handle)) {
            Some(Link::Producer(producer)) => &mut producer.intake,
            Some(Link::Requests(requests)) => &mut requests.intake,
            _ => return Ok(()),
        };
        intake.done();
        match intake.top_up(handle) {
            Some(flow) => self.put_flow(channel, Some(flow)),
            None => Ok(()),
        }
    }

    pub(super) fn on_done(&mut self, done: Done) -> Result<(), End> {
        match done {
            Done::Stored { place, delivery, settled, result } => {
                if result.is_ok() && self.shared.faults.takes_lost() {
                    return Err(End::Cut);
                }
                let Some(Link::Producer(producer)) =
                    self.sessions.get(&place.channel).and_then(|session| session.links.get(&place.handle))
                else {
                    return Ok(());
                };
                if producer.id != place.link {
                    return Ok(());
                }
                self.settle(place.channel, delivery, settled, result.err().map(Error::from))?;
                self.delivery_done(place.channel, place.handle)
            }
            Done::Read { place, result } => {
                let link =
                    self.sessions.get_mut(&place.channel).and_then(|session| session.links.get_mut(&place.handle));
                match (link, result) {
                    (Some(Link::Consumer(consumer)), Ok(chunk)) if consumer.id == place.link => consumer.take(chunk),
                    (Some(Link::Consumer(consumer)), Err(error)) if consumer.id == place.link => {
                        tracing::error!(%error, "events can't be read");
                        return self.detach(place.channel, place.handle, error.into());
                    }
                    _ => {}
                }
                Ok(())
            }
        }
    }

    /// A receiver that settles second waits for our settlement; of all others nothing need be known.
    fn on_disposition(&mut self, channel: u16, disposition: Disposition) -> Result<(), End> {
        if disposition.settled || disposition.role != Role::Receiver || !self.sessions.contains_key(&channel) {
            return Ok(());
        }
        let echo = Disposition { role: Role::Sender, settled: true, ..disposition };
        self.put(channel, &echo, 6)
    }

    fn on_detach(&mut self, channel: u16, detach: Detach) -> Result<(), End> {
        let Some(session) = self.sessions.get_mut(&channel) else { return Ok(()) };
        match session.links.remove(&detach.handle.0) {
            None | Some(Link::Closing) => Ok(()),
            Some(_) => self.put(channel, &Detach { handle: detach.handle, closed: detach.closed, error: None }, 3),
        }
    }

    /// Answers a request on the links that its client receives replies on.
    async fn answer(&mut self, channel: u16, node: Node, message: &[u8]) {
        let request = match Request::decode(message) {
            Ok(request) => request,
            Err(error) => return tracing::warn!(%error, ?node, "a request can't be decoded"),
        };
        let reply = match node {
            Node::Cbs => {
                let (reply, grant) = cbs::answer(&request, &self.rules, self.shared.clock.now_millis());
                if let Some(grant) = grant {
                    self.grants.retain(|held| held.path != grant.path);
                    self.grants.push(grant);
                }
                reply
            }
            Node::Management => self.manage(&request).await,
        };
        match request.reply(reply) {
            Ok(reply) => self.route(channel, node, request.reply_to(), reply),
            Err(error) => tracing::warn!(%error, ?node, "a reply can't be encoded"),
        }
    }

    async fn manage(&mut self, request: &Request) -> Reply {
        let text = |name| request.text(name).unwrap_or_default();
        if !text("operation").eq_ignore_ascii_case("READ") {
            return Reply::refused(400, conditions::INVALID_FIELD, "only the operation READ is known at $management");
        }
        let name = text("name");
        let now = self.shared.clock.now_millis();
        let token = request.text("security_token");
        if !self.is_granted(&name) && !token.is_some_and(|token| self.rules.verify(&token, &name, now).is_ok()) {
            return Reply::refused(
                401,
                conditions::UNAUTHORIZED,
                format!("Unauthorized access. A token that covers '{name}' is required."),
            );
        }
        let hub = match self.hub(&name).await {
            Ok(hub) => hub,
            Err((conditions::NOT_FOUND, description)) => {
                return Reply::refused(404, conditions::NOT_FOUND, description);
            }
            Err((condition, description)) => return Reply::refused(500, condition, description),
        };
        match text("type").as_str() {
            management::EVENTHUB => management::describe_hub(&hub),
            management::PARTITION => management::describe_partition(&hub, &text("partition")),
            other => {
                Reply::refused(400, conditions::INVALID_FIELD, format!("'{other}' is no type that can be read here"))
            }
        }
    }

    /// Whether a token covers the address.
    pub(super) fn is_granted(&self, address: &str) -> bool {
        let now = self.shared.clock.now_millis();
        self.grants.iter().any(|grant| grant.expires_ms > now && grant.covers(address))
    }

    /// Finds the link for a reply: the one at the request's reply-to, else one of the same session, else any of the connection. (The Python SDK sets no
    /// reply-to; the Rust SDK attaches the two links of a node in different sessions.)
    fn route(&mut self, channel: u16, node: Node, reply_to: Option<&str>, reply: Bytes) {
        let mut best = None;
        for (&at, session) in &self.sessions {
            for (&handle, link) in &session.links {
                if let Link::Replies(replies) = link
                    && replies.node == node
                {
                    let named = reply_to.is_some() && replies.address.as_deref() == reply_to;
                    let rank = (named, at == channel);
                    if best.is_none_or(|(held, _, _)| held < rank) {
                        best = Some((rank, at, handle));
                    }
                }
            }
        }
        let link = best.and_then(|(_, at, handle)| self.sessions.get_mut(&at)?.links.get_mut(&handle));
        let taken = match link {
            Some(Link::Replies(replies)) => replies.push(reply),
            _ => false,
        };
        if !taken {
            tracing::warn!(?node, ?reply_to, "a reply has no link to go out on, or too many wait there");
        }
    }
}

/// The events in a delivery and the partition key they were sent with.
fn events_of(incoming: &Incoming) -> Result<(Vec<NewEvent>, Option<String>), Error> {
    let wrong =
        |malformed: crate::amqp::value::Malformed| conditions::error(conditions::DECODE_ERROR, malformed.to_string());
    let key = sections::partition_key(&incoming.message).map_err(wrong)?;
    if incoming.format != sections::BATCH_FORMAT {
        let event = NewEvent { message: incoming.message.clone(), partition_key: key.clone() };
        return Ok((vec![event], key));
    }
    let mut events = Vec::new();
    let mut first_key = key.clone();
    for message in sections::split_batch(&incoming.message).map_err(wrong)? {
        let own = sections::partition_key(&message).map_err(wrong)?;
        first_key = first_key.or_else(|| own.clone());
        events.push(NewEvent { message, partition_key: own.or_else(|| key.clone()) });
    }
    Ok((events, first_key))
}

fn framing(why: &str) -> End {
    End::With(conditions::error(conditions::FRAMING_ERROR, why))
}
