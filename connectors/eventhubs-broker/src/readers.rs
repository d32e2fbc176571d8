//! Who may read a partition within a consumer group, and who has to go.
//!
//! A reader may carry an *epoch* (the SDKs' owner level). A reader with an epoch reads alone: it takes the partition from everyone whose epoch is not higher.
//! Readers without one share the partition, five at most, and only while no reader with an epoch is there.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use parking_lot::Mutex;
use tokio::sync::Notify;

/// Readers without an epoch that may share a partition within a consumer group: the service's own limit.
pub(crate) const MAX_SHARED_READERS: usize = 5;

/// What happens to a new reader.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Admission {
    /// It reads; the present readers at these places have to go.
    Admitted {
        /// Indices into the present readers.
        evicted: Vec<usize>,
    },
    /// A reader with this epoch holds the partition.
    HeldByEpoch(i64),
    /// There are as many readers as may be.
    Full,
}

/// Decides about a new reader, given the epochs of those present.
pub(crate) fn admit(present: &[Option<i64>], epoch: Option<i64>) -> Admission {
    let highest = present.iter().flatten().max().copied();
    match (epoch, highest) {
        (None, Some(held)) => Admission::HeldByEpoch(held),
        (None, None) if present.len() >= MAX_SHARED_READERS => Admission::Full,
        (None, None) => Admission::Admitted { evicted: Vec::new() },
        (Some(new), Some(held)) if held > new => Admission::HeldByEpoch(held),
        (Some(_), _) => Admission::Admitted { evicted: (0..present.len()).collect() },
    }
}

/// A reader's place in its partition; dropping it makes the place free.
#[derive(Debug)]
pub(crate) struct ReaderSlot {
    epoch: Option<i64>,
    evicted: AtomicBool,
    wake: Arc<Notify>,
}

impl ReaderSlot {
    /// Whether another reader has taken the partition.
    pub(crate) fn is_evicted(&self) -> bool {
        self.evicted.load(Ordering::Acquire)
    }
}

/// The readers of one hub.
#[derive(Debug, Default)]
pub(crate) struct Readers {
    by_group: Mutex<HashMap<(String, u32), Vec<std::sync::Weak<ReaderSlot>>>>,
}

impl Readers {
    /// Lets a reader in, or says why not. `wake` is notified when it is evicted later.
    pub(crate) fn enter(
        &self,
        group: &str,
        partition: u32,
        epoch: Option<i64>,
        wake: Arc<Notify>,
    ) -> Result<Arc<ReaderSlot>, Admission> {
        let mut by_group = self.by_group.lock();
        let places = by_group.entry((group.to_owned(), partition)).or_default();
        places.retain(|place| place.upgrade().is_some_and(|slot| !slot.is_evicted()));
        let present: Vec<Arc<ReaderSlot>> = places.iter().filter_map(std::sync::Weak::upgrade).collect();
        let epochs: Vec<Option<i64>> = present.iter().map(|slot| slot.epoch).collect();
        let Admission::Admitted { evicted } = admit(&epochs, epoch) else { return Err(admit(&epochs, epoch)) };
        for slot in evicted.into_iter().filter_map(|at| present.get(at)) {
            slot.evicted.store(true, Ordering::Release);
            slot.wake.notify_one();
        }
        let slot = Arc::new(ReaderSlot { epoch, evicted: AtomicBool::new(false), wake });
        places.push(Arc::downgrade(&slot));
        Ok(slot)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn epochs_decide() {
        let all = |evicted: &[usize]| Admission::Admitted { evicted: evicted.to_vec() };
        assert_eq!(admit(&[], None), all(&[]));
        assert_eq!(admit(&[], Some(0)), all(&[]));
        assert_eq!(admit(&[None, None], Some(0)), all(&[0, 1]));
        assert_eq!(admit(&[Some(1)], Some(2)), all(&[0]));
        assert_eq!(admit(&[Some(1)], Some(1)), all(&[0]), "the same owner comes back after a lost connection");
        assert_eq!(admit(&[Some(1)], Some(0)), Admission::HeldByEpoch(1));
        assert_eq!(admit(&[Some(0)], None), Admission::HeldByEpoch(0));
        assert_eq!(admit(&[None; 4], None), all(&[]));
        assert_eq!(admit(&[None; 5], None), Admission::Full);
    }

    #[test]
    fn a_dropped_reader_frees_its_place() {
        let readers = Readers::default();
        let wake = || Arc::new(Notify::new());
        let first = readers.enter("g", 0, Some(5), wake()).unwrap();
        assert_eq!(readers.enter("g", 0, None, wake()).unwrap_err(), Admission::HeldByEpoch(5));
        assert!(readers.enter("g", 1, None, wake()).is_ok(), "another partition");
        assert!(readers.enter("h", 0, None, wake()).is_ok(), "another group");
        let second = readers.enter("g", 0, Some(6), wake()).unwrap();
        assert!(first.is_evicted() && !second.is_evicted());
        drop(second);
        assert!(readers.enter("g", 0, None, wake()).is_ok());
    }
}
