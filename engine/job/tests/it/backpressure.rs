//! A store that takes no rows stops the job from taking them.

use crate::memory_source::MemorySource;
use crate::world::*;
use object_store::ObjectStore;
use object_store::memory::InMemory;
use object_store::path::Path;
use salamander_storage::testing::{Fault, FaultPlan, FaultyStore, Operation};
use std::sync::Arc;
use std::time::Duration;

/// Segments are never stored; all else is.
#[derive(Debug)]
struct NoSegments;

impl FaultPlan for NoSegments {
    fn next(&self, operation: Operation, location: &Path) -> Fault {
        let is_segment = location.as_ref().ends_with(".seg");
        if operation == Operation::Put && is_segment { Fault::Hang } else { Fault::None }
    }
}

#[tokio::test]
async fn uncommitted_rows_stay_below_their_bound() {
    let mut world = World::new(MemorySource::new(true), 1).await;
    world.options.uncommitted_bytes = 20_000;
    world.options.epoch_bytes = 1_000;
    world.source.append("a", rows(0..5_000));
    world.source.complete();
    let inner: Arc<dyn ObjectStore> = Arc::new(InMemory::new());
    let process = world.start(Arc::new(FaultyStore::new(Arc::clone(&inner), Arc::new(NoSegments))));
    process.wait("at its bound", |s| s.counters.bytes_read >= 20_000).await;
    tokio::time::sleep(Duration::from_millis(100)).await;
    let status = process.handle.status();
    assert_eq!(status.committed.rows_read, 0);
    // The epoch that passes the bound is the last, and an epoch passes its own by a row at most.
    assert!((20_000..21_200).contains(&status.counters.bytes_read), "{status:?}");
    assert_eq!(world.source.taken(), status.counters.rows_read);
    assert!(world.source.taken() < 1_000);
    assert_eq!(process.live_ids().await.len() as u64, status.counters.rows_written);
    process.kill().await;
    let process = world.start(Arc::clone(&inner));
    process.wait_finished().await;
    assert_exactly_once(&visible_ids(inner.as_ref()).await, &good(0..5_000), "plain readers");
}
