//! Attaching links: what the address names, whether a token covers it, where a reader starts.
//!
//! A refused link is attached all the same, as the specification asks, and detached with the error at once.

use std::sync::Arc;

use fe2o3_amqp_types::definitions::{Error, Fields, ReceiverSettleMode, Role, SenderSettleMode};
use fe2o3_amqp_types::messaging::{Source, TargetArchetype};
use fe2o3_amqp_types::performatives::Attach;
use serde_amqp::Value;

use super::consumer::{Consumer, NewConsumer};
use super::link::{Intake, Link, Node, PRODUCER_CREDIT, Producer, REQUEST_CREDIT, Replies, Requests};
use super::session::HANDLE_MAX;
use super::{Connection, End};
use crate::address::Address;
use crate::conditions;
use crate::hubs::{Hub, HubError};
use crate::options::MAX_MESSAGE_SIZE;
use crate::position::StartPosition;
use crate::readers::Admission;

const SELECTOR: &str = "apache.org:selector-filter:string";
const EPOCH: &str = "com.microsoft:epoch";
const RUNTIME_METRIC: &str = "com.microsoft:enable-receiver-runtime-metric";

impl Connection {
    pub(super) async fn on_attach(&mut self, channel: u16, attach: Attach) -> Result<(), End> {
        let handle = attach.handle.0;
        let Some(session) = self.sessions.get(&channel) else { return Ok(()) };
        if handle > HANDLE_MAX {
            return self.end_session(channel, "amqp:not-allowed", "the handle is beyond handle-max");
        }
        if matches!(session.links.get(&handle), Some(link) if !matches!(link, Link::Closing)) {
            return self.end_session(channel, conditions::HANDLE_IN_USE, "the handle is attached already");
        }
        self.next_link += 1;
        let made = match attach.role {
            Role::Sender => self.link_from_sender(&attach).await,
            Role::Receiver => self.link_to_receiver(&attach).await,
        };
        self.put(channel, &reply_to(&attach), 14)?;
        match made {
            Ok(mut link) => {
                let credit = match &mut link {
                    Link::Producer(producer) => producer.intake.top_up(handle),
                    Link::Requests(requests) => requests.intake.top_up(handle),
                    _ => None,
                };
                if let Some(session) = self.sessions.get_mut(&channel) {
                    session.links.insert(handle, link);
                }
                match credit {
                    Some(flow) => self.put_flow(channel, Some(flow)),
                    None => Ok(()),
                }
            }
            Err(error) => {
                tracing::debug!(%error, link = attach.name, "refused a link");
                self.detach(channel, handle, error)
            }
        }
    }

    /// The peer sends: events or requests come in.
    async fn link_from_sender(&mut self, attach: &Attach) -> Result<Link, Error> {
        let address = match attach.target.as_deref() {
            Some(TargetArchetype::Target(target)) => target.address.clone().unwrap_or_default(),
            _ => return Err(conditions::error(conditions::INVALID_FIELD, "the target has no address")),
        };
        let partition = match parse(&address)? {
            Address::Cbs => {
                return Ok(Link::Requests(Requests { node: Node::Cbs, intake: Intake::new(REQUEST_CREDIT) }));
            }
            Address::Management => {
                return Ok(Link::Requests(Requests { node: Node::Management, intake: Intake::new(REQUEST_CREDIT) }));
            }
            Address::Hub(hub) => (hub, None),
            Address::Partition { hub, partition } => (hub, Some(partition)),
            Address::Consumer { .. } => {
                return Err(conditions::error(
                    conditions::NOT_ALLOWED,
                    format!("'{address}' can only be received from"),
                ));
            }
        };
        self.require_grant(&address, "Send")?;
        let hub = self.hub(&partition.0).await.map_err(refused)?;
        let partition = match &partition.1 {
            Some(id) => Some(Arc::clone(hub.partition(id).ok_or_else(|| no_partition(&hub, id))?.1)),
            None => None,
        };
        Ok(Link::Producer(Producer {
            id: self.next_link,
            address,
            hub,
            partition,
            intake: Intake::new(PRODUCER_CREDIT),
        }))
    }

    /// The peer receives: events or replies go out.
    async fn link_to_receiver(&mut self, attach: &Attach) -> Result<Link, Error> {
        let Some(source) = attach.source.as_deref() else {
            return Err(conditions::error(conditions::INVALID_FIELD, "the link has no source"));
        };
        let address = source.address.clone().unwrap_or_default();
        let settled = attach.snd_settle_mode == SenderSettleMode::Settled;
        let replies = |node| {
            let own = match attach.target.as_deref() {
                Some(TargetArchetype::Target(target)) => target.address.clone(),
                _ => None,
            };
            Ok(Link::Replies(Replies::new(node, own, settled)))
        };
        let (hub, group, partition) = match parse(&address)? {
            Address::Cbs => return replies(Node::Cbs),
            Address::Management => return replies(Node::Management),
            Address::Consumer { hub, group, partition } => (hub, group, partition),
            Address::Hub(_) | Address::Partition { .. } => {
                let expected = "expected HUB/ConsumerGroups/GROUP/Partitions/N";
                return Err(conditions::error(
                    conditions::NOT_ALLOWED,
                    format!("'{address}' can't be received from; {expected}"),
                ));
            }
        };
        self.require_grant(&address, "Listen")?;
        let start = start_position(source)?;
        let hub = self.hub(&hub).await.map_err(refused)?;
        let (number, log) = hub.partition(&partition).ok_or_else(|| no_partition(&hub, &partition))?;
        let log = Arc::clone(log);
        let slot = hub
            .readers
            .enter(&group, number, epoch(attach.properties.as_ref()), Arc::clone(&self.wake))
            .map_err(|admission| refusal(&admission, &address))?;
        let finder = Arc::clone(&log);
        let start_offset = tokio::task::spawn_blocking(move || finder.resolve(start))
            .await
            .map_err(|error| conditions::error(conditions::INTERNAL_ERROR, error.to_string()))??;
        let subscription = log.subscribe(Arc::clone(&self.wake));
        let tracks_last = attach
            .desired_capabilities
            .iter()
            .flat_map(|capabilities| &capabilities.0)
            .any(|capability| capability.as_str() == RUNTIME_METRIC);
        let new = NewConsumer {
            id: self.next_link,
            address,
            hub: hub.name.clone(),
            slot,
            log,
            subscription,
            start_offset,
            settled,
            tracks_last,
        };
        Ok(Link::Consumer(Box::new(Consumer::new(new))))
    }

    fn require_grant(&self, address: &str, claim: &str) -> Result<(), Error> {
        match self.is_granted(address) {
            true => Ok(()),
            false => {
                let description = format!(
                    "Unauthorized access. '{claim}' claim(s) are required to perform this operation. Resource: '{address}'."
                );
                Err(conditions::error(conditions::UNAUTHORIZED, description))
            }
        }
    }

    /// The hub with this name, created where that is allowed; else the condition and the words of the refusal.
    pub(super) async fn hub(&mut self, name: &str) -> Result<Arc<Hub>, (&'static str, String)> {
        if let Some(hub) = self.shared.hubs.find(name) {
            return Ok(hub);
        }
        let (shared, name) = (Arc::clone(&self.shared), name.to_owned());
        let created = tokio::task::spawn_blocking(move || shared.hubs.find_or_create(&name)).await;
        created.map_err(|error| (conditions::INTERNAL_ERROR, error.to_string()))?.map_err(|error| {
            let condition = match &error {
                HubError::NotFound(_) | HubError::Name(_) => conditions::NOT_FOUND,
                _ => conditions::INTERNAL_ERROR,
            };
            (condition, error.to_string())
        })
    }
}

fn refused((condition, description): (&'static str, String)) -> Error {
    conditions::error(condition, description)
}

fn parse(address: &str) -> Result<Address, Error> {
    Address::parse(address).map_err(|error| conditions::error(conditions::NOT_FOUND, error.to_string()))
}

fn no_partition(hub: &Hub, id: &str) -> Error {
    let last = hub.partition_count() - 1;
    let description = format!(
        "The specified partition is invalid for an EventHub partition sender or receiver. It should be between 0 and {last}, but '{id}' was given for '{}'.",
        hub.name
    );
    conditions::error(conditions::OUT_OF_RANGE, description)
}

fn refusal(admission: &Admission, address: &str) -> Error {
    match admission {
        Admission::HeldByEpoch(held) => {
            let description = format!(
                "Receiver of '{address}' with a higher epoch of '{held}' already exists. Make sure that the new receiver has a higher or equal epoch."
            );
            conditions::error(conditions::STOLEN, description)
        }
        _ => {
            let most = crate::readers::MAX_SHARED_READERS;
            let description = format!(
                "Exceeded the maximum number of allowed receivers per partition in a consumer group which is {most}: '{address}'."
            );
            conditions::error(conditions::RESOURCE_LIMIT, description)
        }
    }
}

/// Our attach: the peer's with the roles turned, its source with its filter and its target as they came.
fn reply_to(attach: &Attach) -> Attach {
    let role = match attach.role {
        Role::Sender => Role::Receiver,
        Role::Receiver => Role::Sender,
    };
    let initial_delivery_count = (role == Role::Sender).then_some(0);
    Attach {
        name: attach.name.clone(),
        handle: attach.handle.clone(),
        role,
        snd_settle_mode: attach.snd_settle_mode.clone(),
        rcv_settle_mode: ReceiverSettleMode::First,
        source: attach.source.clone(),
        target: attach.target.clone(),
        unsettled: None,
        incomplete_unsettled: false,
        initial_delivery_count,
        max_message_size: Some(MAX_MESSAGE_SIZE),
        offered_capabilities: None,
        desired_capabilities: None,
        properties: attach.properties.clone(),
    }
}

fn start_position(source: &Source) -> Result<StartPosition, Error> {
    let Some(filter) = source.filter.as_ref().and_then(|filters| filters.get(SELECTOR)) else {
        return Ok(StartPosition::Earliest);
    };
    let expression = match filter {
        Value::Described(described) => &described.value,
        plain => plain,
    };
    match expression {
        Value::String(text) => {
            StartPosition::parse(text).map_err(|error| conditions::error(conditions::INVALID_FIELD, error.to_string()))
        }
        _ => Err(conditions::error(conditions::INVALID_FIELD, format!("the filter {SELECTOR} is not a string"))),
    }
}

fn epoch(properties: Option<&Fields>) -> Option<i64> {
    match properties?.get(EPOCH)? {
        Value::Long(epoch) => Some(*epoch),
        Value::Int(epoch) => Some(i64::from(*epoch)),
        Value::Short(epoch) => Some(i64::from(*epoch)),
        Value::Byte(epoch) => Some(i64::from(*epoch)),
        Value::Uint(epoch) => Some(i64::from(*epoch)),
        Value::Ulong(epoch) => i64::try_from(*epoch).ok(),
        Value::Ushort(epoch) => Some(i64::from(*epoch)),
        Value::Ubyte(epoch) => Some(i64::from(*epoch)),
        _ => None,
    }
}
