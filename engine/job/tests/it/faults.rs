//! A store that fails before and after the effect, calls own successes "already exists", and lets puts arrive late.

use crate::memory_source::MemorySource;
use crate::world::*;
use object_store::ObjectStore;
use object_store::memory::InMemory;
use object_store::path::Path;
use salamander_job::{Ending, JobPhase};
use salamander_storage::testing::{Fault, FaultPlan, FaultyStore, Operation, RandomFaults, Script};
use salamander_types::SystemEntropy;
use std::sync::Arc;

const ROWS: u64 = 1_500;

/// Reads and listings fail far more seldom than puts: stores' clients repeat them by themselves, and a generation, which
/// reads its whole log, would seldom begin.
#[derive(Debug)]
struct MostlyPuts {
    puts: RandomFaults,
    others: RandomFaults,
}

impl MostlyPuts {
    fn new(seed: u64) -> Self {
        let faults = |seed, one_in| RandomFaults::new(Arc::new(SystemEntropy::seeded(seed)), one_in);
        Self { puts: faults(seed, 15 + seed * 5), others: faults(!seed, 400) }
    }
}

impl FaultPlan for MostlyPuts {
    fn next(&self, operation: Operation, location: &Path) -> Fault {
        let plan = if operation == Operation::Put { &self.puts } else { &self.others };
        plan.next(operation, location)
    }

    fn late_arrives(&self) -> bool {
        self.puts.late_arrives()
    }
}

#[tokio::test]
async fn each_row_is_there_once_whatever_the_store_answers() {
    for seed in 0..8 {
        println!("seed {seed}");
        let world = World::new(MemorySource::new(true), seed).await;
        let inner: Arc<dyn ObjectStore> = Arc::new(InMemory::new());
        let store = FaultyStore::new(Arc::clone(&inner), Arc::new(MostlyPuts::new(seed)));
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
