//! One partition, read in order for as long as the engine wants it.
//!
//! ```text
//!   supervisor (a task):  look ──▶ check position ──▶ attach ──▶ watch ──┐   any end: wait, then look again,
//!                           ▲                                            │   at the number after the last one kept
//!                           └──────────────── backoff ◀──────────────────┘
//!   driver ──messages──▶ Prefetch ──take()──▶ engine
//! ```
//!
//! Guarantees: events come with strictly rising sequence numbers without a silent gap. Before each attach the position
//! is checked against the partition: above its end means another hub or a lost log and is refused; below its begin
//! means that retention was faster, and `on_expired` decides. A link taken by an owner level is a lasting error: this
//! side never fights for it.

use crate::amqp::{AmqpError, LinkHandle, Meaning, ReceiverSpec};
use crate::backoff::Backoff;
use crate::chunk;
use crate::hub::{Hub, HubError, Live};
use crate::management::PartitionProperties;
use crate::prefetch::{Broken, Item, Prefetch};
use salamander_connector_api::{ConnectorError, RawBatch, SplitReader, SplitStatus, Take};
use salamander_types::{ErrorKind, SplitId};
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::Notify;
use tokio::task::JoinHandle;
use tokio::time::Instant;

/// Failures in a row after which a refusal that may pass (a token that expired at a bad moment) counts as lasting.
const REFUSALS: u32 = 3;
/// The same for a full consumer group: a reader that was killed holds its place for a while.
const FULL_GROUP: u32 = 10;
/// The same for a peer that sends what it should not.
const NONSENSE: u32 = 3;
/// A link that was attached for so long was a good one, even if nothing came.
const STEADY: Duration = Duration::from_secs(10);
/// A reader that knows of events it has not read asks only so seldom where the end is.
const BEHIND: u32 = 5;

/// What to do when events expired before they were read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum OnExpired {
    /// Stop with an error.
    Fail,
    /// Record the gap and go on.
    Skip,
}

/// How partitions are read.
#[derive(Debug, Clone)]
pub(crate) struct ReadSettings {
    pub(crate) consumer_group: String,
    pub(crate) owner_level: Option<i64>,
    pub(crate) on_expired: OnExpired,
    /// Bytes that a partition may hold before the engine takes them.
    pub(crate) prefetch_bytes: usize,
    /// How often a reader at the end asks where the end is.
    pub(crate) end_refresh: Duration,
    pub(crate) backoff: Backoff,
}

/// What the supervisor tells the reader.
#[derive(Debug, Default)]
struct Facts {
    attached: bool,
    end: Option<u64>,
    error: Option<ConnectorError>,
    link: Option<Arc<LinkHandle>>,
}

/// The engine's side of an open partition.
pub(crate) struct PartitionReader {
    split: SplitId,
    prefetch: Arc<Prefetch>,
    facts: Arc<Mutex<Facts>>,
    /// What was left of a chunk that was larger than what was asked for.
    rest: Option<RawBatch>,
    supervisor: JoinHandle<()>,
}

impl fmt::Debug for PartitionReader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PartitionReader")
            .field("split", &self.split)
            .field("status", &self.status())
            .finish_non_exhaustive()
    }
}

impl Drop for PartitionReader {
    fn drop(&mut self) {
        self.supervisor.abort();
        lock(&self.facts).link = None;
    }
}

fn lock(facts: &Mutex<Facts>) -> MutexGuard<'_, Facts> {
    facts.lock().unwrap_or_else(PoisonError::into_inner)
}

impl PartitionReader {
    /// Checks the position, attaches, and starts the supervisor.
    ///
    /// # Errors
    /// When the partition can't be read from there. A failure that may pass is the supervisor's matter.
    pub(crate) async fn open(
        hub: Arc<Hub>,
        settings: ReadSettings,
        split: SplitId,
        next: u64,
        notify: Arc<Notify>,
    ) -> Result<Self, ConnectorError> {
        let prefetch = Arc::new(Prefetch::new(next, settings.prefetch_bytes, notify));
        let facts = Arc::new(Mutex::new(Facts::default()));
        let supervisor = Supervisor {
            place: format!("{}, partition {split}", hub.place()),
            hub,
            settings,
            split: split.clone(),
            prefetch: Arc::clone(&prefetch),
            facts: Arc::clone(&facts),
        };
        let first = match supervisor.attach().await {
            Ok(attachment) => Ok(attachment),
            Err(fault) if fault.first_is_lasting() => return Err(fault.error),
            Err(fault) => Err(fault),
        };
        Ok(Self { split, prefetch, facts, rest: None, supervisor: tokio::spawn(supervisor.run(first)) })
    }

    fn cut(&mut self, batch: RawBatch, max_rows: usize, max_bytes: usize) -> Take {
        let rows = chunk::fitting(&batch, max_rows, max_bytes);
        let (head, rest) = chunk::split(batch, rows);
        self.rest = rest;
        Take::Batch(head)
    }
}

impl SplitReader for PartitionReader {
    fn take(&mut self, max_rows: usize, max_bytes: usize) -> Result<Take, ConnectorError> {
        if let Some(batch) = self.rest.take() {
            return Ok(self.cut(batch, max_rows, max_bytes));
        }
        let (item, poke) = self.prefetch.pop();
        if poke && let Some(link) = lock(&self.facts).link.as_ref() {
            link.poke();
        }
        match item {
            Some(Item::Chunk(chunk)) => {
                let batch = chunk.seal(&self.split);
                Ok(self.cut(batch, max_rows, max_bytes))
            }
            Some(Item::Gap { from, to }) => Ok(Take::Gap { from, to }),
            None => match &lock(&self.facts).error {
                Some(error) => Err(error.clone()),
                None => Ok(Take::Empty),
            },
        }
    }

    fn status(&self) -> SplitStatus {
        let facts = lock(&self.facts);
        let rest = self.rest.as_ref().map_or(0, |batch| batch.bytes);
        let buffered_bytes = self.prefetch.bytes() + rest;
        let next = self.prefetch.next();
        SplitStatus {
            at_end: facts.attached
                && buffered_bytes == 0
                && self.rest.is_none()
                && facts.end.is_some_and(|end| next >= end),
            end: facts.end.map(|end| end.max(next)),
            buffered_bytes,
        }
    }
}

/// A failure, and how often in a row it may come before it counts as lasting.
#[derive(Debug, Clone)]
struct Fault {
    error: ConnectorError,
    tries: u32,
    busy: bool,
}

impl Fault {
    fn lasting(error: ConnectorError) -> Self {
        Self { error, tries: 1, busy: false }
    }

    /// At open nothing was read yet: a refusal is then an answer, not an accident.
    fn first_is_lasting(&self) -> bool {
        self.tries <= REFUSALS
    }
}

struct Attachment {
    live: Arc<Live>,
    link: Arc<LinkHandle>,
}

struct Supervisor {
    hub: Arc<Hub>,
    settings: ReadSettings,
    split: SplitId,
    place: String,
    prefetch: Arc<Prefetch>,
    facts: Arc<Mutex<Facts>>,
}

impl Supervisor {
    async fn run(self, first: Result<Attachment, Fault>) {
        // Failures in a row set the pace; those that are not mere accidents count towards an end.
        let (mut failures, mut refusals) = (0, 0);
        let mut attempt = first;
        loop {
            let (before, began) = (self.prefetch.next(), Instant::now());
            let fault = match attempt {
                Ok(attachment) => self.watch(attachment).await,
                Err(fault) => fault,
            };
            if self.prefetch.next() > before || began.elapsed() > STEADY {
                (failures, refusals) = (0, 0);
            }
            failures += 1;
            refusals += u32::from(fault.tries != u32::MAX);
            if refusals >= fault.tries {
                lock(&self.facts).error = Some(fault.error);
                self.prefetch.wake();
                return;
            }
            let wait = self.settings.backoff.wait(failures, fault.busy, self.hub.entropy());
            tracing::warn!(place = self.place, error = fault.error.message, ?wait, "reading stopped; trying again");
            tokio::time::sleep(wait).await;
            attempt = self.attach().await;
        }
    }

    /// Looks at the partition, checks the position, attaches.
    async fn attach(&self) -> Result<Attachment, Fault> {
        let properties = self.hub.partition(self.split.as_str()).await.map_err(|error| self.fault(&error))?;
        lock(&self.facts).end = Some(properties.end);
        self.check(&properties)?;
        let live = self.hub.live().await.map_err(|error| self.fault(&error))?;
        let next = self.prefetch.next();
        let spec = ReceiverSpec {
            name: format!("{}-{}-{:08x}", self.hub.name(), self.split, self.hub.entropy().next_u64() as u32),
            address: partition_address(self.hub.name(), &self.settings.consumer_group, self.split.as_str()),
            target: None,
            filter: Some(from_sequence(next)),
            epoch: self.settings.owner_level,
        };
        let link = live.connection.attach_receiver(spec, self.prefetch.inlet()).await;
        let link = Arc::new(link.map_err(|error| self.fault(&error.into()))?);
        link.poke();
        Ok(Attachment { live, link })
    }

    fn check(&self, properties: &PartitionProperties) -> Result<(), Fault> {
        let next = self.prefetch.next();
        let PartitionProperties { begin, end, .. } = *properties;
        if next > end {
            let message = format!(
                "the position {next} is above the partition's end {end}: this is not the hub that was read before (it was deleted and made anew, \
                 or it lost its log). Create the job anew, or point it at the right hub"
            );
            return Err(Fault::lasting(ConnectorError::new(ErrorKind::Invalid, &self.place, message)));
        }
        if next >= begin {
            return Ok(());
        }
        match self.settings.on_expired {
            OnExpired::Skip => {
                tracing::warn!(
                    place = self.place,
                    from = next,
                    to = begin,
                    "events expired before they were read; going on behind them"
                );
                self.prefetch.push_gap(begin);
                Ok(())
            }
            OnExpired::Fail => {
                let message = format!(
                    "the events {next} to {} have expired before they were read: the hub keeps events from {begin} on. \
                     Set 'on_expired'='skip' to go on at {begin} (the gap is recorded in $bad_records), create the job anew with another \
                     'starting_position', or lengthen the hub's retention so that it does not happen again",
                    begin - 1
                );
                Err(Fault::lasting(ConnectorError::new(ErrorKind::Invalid, &self.place, message)))
            }
        }
    }

    /// Watches over an attached link until it breaks.
    async fn watch(&self, attachment: Attachment) -> Fault {
        {
            let mut facts = lock(&self.facts);
            facts.attached = true;
            facts.link = Some(Arc::clone(&attachment.link));
        }
        let fault = self.until_broken(&attachment).await;
        let mut facts = lock(&self.facts);
        facts.attached = false;
        facts.link = None;
        fault
    }

    async fn until_broken(&self, attachment: &Attachment) -> Fault {
        let mut tick = tokio::time::interval(self.settings.end_refresh);
        tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        tick.reset();
        let mut ticks = 0u32;
        loop {
            if let Some(broken) = self.prefetch.take_broken() {
                return self.judge(broken).await;
            }
            tokio::select! {
                () = self.prefetch.broken.notified() => {}
                () = attachment.live.connection.closed() => {
                    // The session tells the inlet why; without that, closed is all there is to say.
                    tokio::task::yield_now().await;
                    let broken = self.prefetch.take_broken().unwrap_or(Broken::Ended(AmqpError::Closed));
                    return self.judge(broken).await;
                }
                _ = tick.tick() => {
                    attachment.link.poke();
                    ticks = ticks.wrapping_add(1);
                    let end = lock(&self.facts).end;
                    if end.is_none_or(|end| self.prefetch.next() >= end) || ticks.is_multiple_of(BEHIND) {
                        self.refresh_end().await;
                    }
                }
            }
        }
    }

    async fn refresh_end(&self) {
        match self.hub.partition(self.split.as_str()).await {
            Ok(properties) => lock(&self.facts).end = Some(properties.end),
            Err(error) => tracing::debug!(place = self.place, ?error, "the partition's end is not known anew"),
        }
    }

    async fn judge(&self, broken: Broken) -> Fault {
        match broken {
            Broken::Ended(error) => self.fault(&error.into()),
            Broken::NoEvent(what) => Fault {
                error: ConnectorError::new(
                    ErrorKind::Corrupt,
                    &self.place,
                    format!("the peer sent something that is no event: {what}"),
                ),
                tries: NONSENSE,
                busy: false,
            },
            Broken::Jump { expected, got } => {
                // If retention explains it, the check before the next attach says so and does what `on_expired` asks.
                let message = format!(
                    "event {got} came where {expected} was to come, and the partition's begin does not explain it"
                );
                Fault {
                    error: ConnectorError::new(ErrorKind::Corrupt, &self.place, message),
                    tries: NONSENSE,
                    busy: false,
                }
            }
        }
    }

    fn fault(&self, error: &HubError) -> Fault {
        let meaning = match error {
            HubError::Amqp(error) => error.meaning(),
            HubError::Token(_) => Meaning::Unauthorized,
        };
        let tries = match meaning {
            Meaning::Transient | Meaning::Busy => u32::MAX,
            Meaning::NotFound | Meaning::Stolen | Meaning::Invalid => 1,
            Meaning::Unauthorized => REFUSALS,
            Meaning::Quota => FULL_GROUP,
        };
        Fault { error: self.hub.error(&self.place, error), tries, busy: meaning == Meaning::Busy }
    }
}

/// The node to read a partition from.
pub(crate) fn partition_address(hub: &str, group: &str, partition: &str) -> String {
    format!("{hub}/ConsumerGroups/{group}/Partitions/{partition}")
}

/// The selector for events from this number on. Exclusive of the number before it: that one was there once, so the
/// service knows where it is even if nothing has come since.
fn from_sequence(next: u64) -> String {
    match next.checked_sub(1) {
        Some(last) => format!("amqp.annotation.x-opt-sequence-number > '{last}'"),
        None => "amqp.annotation.x-opt-offset > '-1'".to_owned(),
    }
}
