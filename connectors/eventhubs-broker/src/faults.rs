//! Faults that tests switch on: what a cloud service does now and then, on demand.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::time::Duration;

use tokio::sync::broadcast;

/// A fault that hits all connections at once.
#[derive(Debug, Clone)]
pub(crate) enum Strike {
    /// Links of this hub (or of all) are detached with this condition.
    Detach { hub: Option<String>, condition: String },
    /// Connections end without a word.
    Cut,
}

/// Switches faults on and off; clones switch the same broker.
#[derive(Debug, Clone)]
pub struct Faults(Arc<State>);

#[derive(Debug)]
struct State {
    strikes: broadcast::Sender<Strike>,
    busy: AtomicU32,
    lost: AtomicU32,
    delay_ms: AtomicU64,
    deaf: AtomicBool,
}

impl Default for Faults {
    fn default() -> Self {
        Self(Arc::new(State {
            strikes: broadcast::Sender::new(64),
            busy: AtomicU32::new(0),
            lost: AtomicU32::new(0),
            delay_ms: AtomicU64::new(0),
            deaf: AtomicBool::new(false),
        }))
    }
}

impl Faults {
    /// Detaches the producers' and consumers' links of `hub` (of all hubs with `None`) with an error condition such as `amqp:link:detach-forced`.
    pub fn detach_links(&self, hub: Option<&str>, condition: &str) {
        let _ =
            self.0.strikes.send(Strike::Detach { hub: hub.map(str::to_lowercase), condition: condition.to_owned() });
    }

    /// Ends all connections at once, without a close frame.
    pub fn cut_connections(&self) {
        let _ = self.0.strikes.send(Strike::Cut);
    }

    /// Rejects the next `sends` messages or batches with `com.microsoft:server-busy`; nothing of them is stored.
    pub fn server_busy(&self, sends: u32) {
        self.0.busy.store(sends, Ordering::SeqCst);
    }

    /// Stores the next `sends` messages or batches and then ends their connection instead of acknowledging them.
    pub fn lose_acknowledgements(&self, sends: u32) {
        self.0.lost.store(sends, Ordering::SeqCst);
    }

    /// Holds back everything that the broker writes by this long; zero ends it.
    pub fn delay(&self, delay: Duration) {
        self.0.delay_ms.store(u64::try_from(delay.as_millis()).unwrap_or(u64::MAX), Ordering::SeqCst);
    }

    /// Whether new connections are ended at once.
    pub fn refuse_connections(&self, refuse: bool) {
        self.0.deaf.store(refuse, Ordering::SeqCst);
    }

    /// Ends all lasting faults.
    pub fn clear(&self) {
        self.server_busy(0);
        self.lose_acknowledgements(0);
        self.delay(Duration::ZERO);
        self.refuse_connections(false);
    }

    pub(crate) fn strikes(&self) -> broadcast::Receiver<Strike> {
        self.0.strikes.subscribe()
    }

    pub(crate) fn takes_busy(&self) -> bool {
        take_one(&self.0.busy)
    }

    pub(crate) fn takes_lost(&self) -> bool {
        take_one(&self.0.lost)
    }

    pub(crate) fn current_delay(&self) -> Duration {
        Duration::from_millis(self.0.delay_ms.load(Ordering::Relaxed))
    }

    pub(crate) fn refuses_connections(&self) -> bool {
        self.0.deaf.load(Ordering::SeqCst)
    }
}

fn take_one(left: &AtomicU32) -> bool {
    // The common case must not write.
    left.load(Ordering::Relaxed) > 0
        && left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1)).is_ok()
}
