//! A store that fails before and after the effect, calls own successes "already exists", and lets puts arrive late.

use crate::memory_source::MemorySource;
use crate::world::*;
use object_store::ObjectStore;
use object_store::memory::InMemory;
use salamander_job::{Ending, JobPhase};
use salamander_storage::testing::{Fault, FaultyStore, Operation, RandomFaults, Script};
use salamander_types::SystemEntropy;
use std::sync::Arc;

const ROWS: u64 = 1_500;

#[tokio::test]
async fn each_row_is_there_once_whatever_the_store_answers() {
    for seed in 0..8 {
        println!("seed {seed}");
        let world = World::new(MemorySource::new(true), seed).await;
        let inner: Arc<dyn ObjectStore> = Arc::new(InMemory::new());
        let faults = RandomFaults::new(Arc::new(SystemEntropy::seeded(seed)), 15 + seed * 5);
        let store = FaultyStore::new(Arc::clone(&inner), Arc::new(faults));
        world.source.append("a", rows(0..ROWS));
        world.source.append("b", rows(10_000..10_000 + ROWS));
        world.source.complete();
        let process = world.start(Arc::new(store.clone()));
        process.wait_finished().await;
        let written = [good(0..ROWS), good(10_000..10_000 + ROWS)].concat();
        assert_exactly_once(&visible_ids(inner.as_ref()).await, &written, "plain readers");
        // What is still on its way changes nothing.
        while store.arrive().await {}
        assert_exactly_once(&visible_ids(inner.as_ref()).await, &written, "plain readers");
        process.kill().await;
        let process = world.start(Arc::clone(&inner));
        process.wait_finished().await;
        assert_exactly_once(&process.live_ids().await, &written, "our readers");
        assert_bad_rows(&process.bad_rows().await, &[("a", 0..ROWS), ("b", 10_000..10_000 + ROWS)]);
    }
}

/// Told to end while generations fail, the job waits for the store rather than giving up at once.
#[tokio::test]
async fn a_job_that_is_told_to_end_outlives_a_store_that_fails_for_a_while() {
    let mut world = World::new(MemorySource::new(false), 1).await;
    world.options.longest_backoff = std::time::Duration::from_secs(30);
    let inner: Arc<dyn ObjectStore> = Arc::new(InMemory::new());
    world.source.append("a", rows(0..500));
    let process = world.start(Arc::clone(&inner));
    process.wait("committed", |s| s.committed.rows_read == 500).await;
    process.kill().await;
    // The look whether the job is at rest begins with a listing of the log, and so does each generation.
    let faults = [(Operation::List, Fault::FailBefore); 4];
    let store = FaultyStore::new(Arc::clone(&inner), Arc::new(Script::new(faults)));
    let process = world.start(Arc::new(store));
    let status = process.handle.end(Ending::Finish { reason: "stopped".to_owned() }).await;
    assert_eq!(status.phase, JobPhase::Finished("stopped".to_owned()));
    assert_eq!(status.failures, 3);
    assert_exactly_once(&visible_ids(inner.as_ref()).await, &good(0..500), "plain readers");
}
