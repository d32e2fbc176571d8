//! What a session keeps of each link.

use super::error::AmqpError;
use bytes::Bytes;
use fe2o3_amqp_types::definitions::{Handle, ReceiverSettleMode, Role, SenderSettleMode};
use fe2o3_amqp_types::messaging::{FilterSet, Source, Target, TargetArchetype};
use fe2o3_amqp_types::performatives::Attach;
use fe2o3_amqp_types::primitives::{Symbol, Value};
use serde_amqp::described::Described;
use serde_amqp::descriptor::Descriptor;
use std::collections::VecDeque;
use tokio::sync::oneshot;

/// Name and descriptor of the filter that chooses where a receiver begins.
const SELECTOR: &str = "apache.org:selector-filter:string";
/// The attach property that makes a receiver an exclusive one.
const EPOCH: &str = "com.microsoft:epoch";

/// Where a receiver's messages go. Called by the connection's task, so it must not block.
pub(crate) trait Inlet: Send {
    /// A whole message.
    fn message(&mut self, message: &[u8]);

    /// Called after each read from the socket in which messages came, and after each poke: the number of messages that
    /// may be under way from now on, if that is to change.
    fn credit(&mut self, outstanding: u32) -> Option<u32>;

    /// The link has ended. Called once, and nothing after it.
    fn ended(&mut self, error: AmqpError);
}

/// A receiver to attach.
#[derive(Debug, Clone)]
pub(crate) struct ReceiverSpec {
    /// For people who look at the service's logs; made unique by the session.
    pub(crate) name: String,
    /// The node to read from.
    pub(crate) address: String,
    /// Where replies are addressed to, for request and response.
    pub(crate) target: Option<String>,
    /// The selector: `amqp.annotation.x-opt-sequence-number > '41'`.
    pub(crate) filter: Option<String>,
    /// Owner level.
    pub(crate) epoch: Option<i64>,
}

/// A sender to attach.
#[derive(Debug, Clone)]
pub(crate) struct SenderSpec {
    /// For people who look at the service's logs; made unique by the session.
    pub(crate) name: String,
    /// The node to send to.
    pub(crate) address: String,
}

/// An attached link.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Attached {
    /// This side's handle.
    pub(crate) handle: u32,
    /// The largest message that the peer takes, if it says so.
    pub(crate) max_message_size: Option<u64>,
}

/// A message on its way out.
#[derive(Debug)]
pub(crate) struct Outgoing {
    pub(crate) format: u32,
    pub(crate) message: Bytes,
    /// Bytes already sent, in earlier frames.
    pub(crate) sent: usize,
    /// Assigned with the first frame.
    pub(crate) delivery_id: Option<u32>,
    pub(crate) done: oneshot::Sender<Result<(), AmqpError>>,
}

/// How far a link has come.
#[derive(Debug)]
pub(crate) enum Phase {
    /// Our attach is out; who asked waits.
    Attaching(oneshot::Sender<Result<Attached, AmqpError>>),
    /// Both sides are attached.
    Attached,
    /// Our detach is out; what still comes is dropped.
    Detaching,
}

/// A link of either direction.
pub(crate) struct Link {
    pub(crate) phase: Phase,
    /// The peer's handle, once it has attached.
    pub(crate) remote: Option<u32>,
    pub(crate) end: End,
}

/// What differs by direction.
pub(crate) enum End {
    Receiver(ReceiverEnd),
    Sender(SenderEnd),
}

/// The receiving end of a link.
pub(crate) struct ReceiverEnd {
    pub(crate) inlet: Box<dyn Inlet>,
    pub(crate) delivery_count: u32,
    /// Messages that the peer may still send.
    pub(crate) credit: u32,
    /// The frames so far of a message that comes in several.
    pub(crate) partial: Vec<u8>,
    pub(crate) partial_id: Option<u32>,
    pub(crate) partial_settled: bool,
    /// Messages have come in this read.
    pub(crate) touched: bool,
}

/// The sending end of a link.
#[derive(Default)]
pub(crate) struct SenderEnd {
    pub(crate) delivery_count: u32,
    pub(crate) credit: u32,
    pub(crate) queue: VecDeque<Outgoing>,
}

impl ReceiverEnd {
    pub(crate) fn new(inlet: Box<dyn Inlet>) -> Self {
        Self {
            inlet,
            delivery_count: 0,
            credit: 0,
            partial: Vec::new(),
            partial_id: None,
            partial_settled: false,
            touched: false,
        }
    }
}

/// The attach of a receiver. Deliveries come settled: a reader's position stands in the engine's log, not at the peer.
pub(crate) fn receiver_attach(handle: u32, spec: &ReceiverSpec) -> Attach {
    let source = Source {
        address: Some(spec.address.clone()),
        filter: spec.filter.as_deref().map(selector),
        ..Source::default()
    };
    let target = Target { address: spec.target.clone(), ..Target::default() };
    let properties = spec.epoch.map(|epoch| [(Symbol::from(EPOCH), Value::Long(epoch))].into_iter().collect());
    Attach {
        properties,
        snd_settle_mode: SenderSettleMode::Settled,
        ..attach(handle, &spec.name, Role::Receiver, source, target)
    }
}

/// The attach of a sender. Deliveries go unsettled: each one's outcome is awaited.
pub(crate) fn sender_attach(handle: u32, spec: &SenderSpec) -> Attach {
    let target = Target { address: Some(spec.address.clone()), ..Target::default() };
    Attach {
        snd_settle_mode: SenderSettleMode::Unsettled,
        initial_delivery_count: Some(0),
        ..attach(handle, &spec.name, Role::Sender, Source::default(), target)
    }
}

fn attach(handle: u32, name: &str, role: Role, source: Source, target: Target) -> Attach {
    Attach {
        // The peer's attach carries only the name: the handle in it says which link is meant.
        name: format!("{handle}-{name}"),
        handle: Handle(handle),
        role,
        snd_settle_mode: SenderSettleMode::Mixed,
        rcv_settle_mode: ReceiverSettleMode::First,
        source: Some(Box::new(source)),
        target: Some(Box::new(TargetArchetype::Target(target))),
        unsettled: None,
        incomplete_unsettled: false,
        initial_delivery_count: None,
        max_message_size: None,
        offered_capabilities: None,
        desired_capabilities: None,
        properties: None,
    }
}

fn selector(expression: &str) -> FilterSet {
    let filter =
        Described { descriptor: Descriptor::Name(Symbol::from(SELECTOR)), value: Value::String(expression.to_owned()) };
    [(Symbol::from(SELECTOR), Value::Described(Box::new(filter)))].into_iter().collect()
}
