//! Sources that change, lose rows, grow and end.

use crate::memory_source::MemorySource;
use crate::world::*;
use object_store::ObjectStore;
use object_store::memory::InMemory;
use salamander_job::{Ending, JobPhase};
use salamander_storage::testing::{Fault, FaultyStore, Operation, Script};
use std::sync::Arc;
use std::time::Duration;

fn store() -> Arc<dyn ObjectStore> {
    Arc::new(InMemory::new())
}

async fn refusal(process: &Process) -> String {
    let status = process.wait("refused", |s| matches!(s.phase, JobPhase::Failed { retrying: false, .. })).await;
    assert_eq!(status.failures, 1);
    status.last_failure.unwrap()
}

async fn read_500(world: &World, store: &Arc<dyn ObjectStore>) {
    world.source.append("a", rows(0..500));
    let process = world.start(Arc::clone(store));
    process.wait("committed", |s| s.committed.rows_read == 500).await;
    process.kill().await;
}

#[tokio::test]
async fn a_source_that_is_another_one_is_refused() {
    let (world, store) = (World::new(MemorySource::new(false), 1).await, store());
    read_500(&world, &store).await;
    world.source.rename("memory 2");
    let process = world.start(Arc::clone(&store));
    assert_eq!(
        refusal(&process).await,
        "db.events is not the source that the job began with: it was 'memory 1' and is 'memory 2'. Create a new job \
         to read it from its start"
    );
    // What was read stays readable.
    assert_exactly_once(&process.live_ids().await, &good(0..500), "our readers");
    world.source.rename("memory 1");
    let process = world.start(Arc::clone(&store));
    process.wait("running", |s| s.phase == JobPhase::Running).await;
}

#[tokio::test]
async fn a_source_that_becomes_another_one_while_it_is_read_is_refused() {
    let (world, store) = (World::new(MemorySource::new(false), 1).await, store());
    world.source.append("a", rows(0..10));
    let process = world.start(store);
    process.wait("committed", |s| s.committed.rows_read == 10).await;
    world.source.rename("memory 2");
    assert!(refusal(&process).await.contains("it was 'memory 1' and is 'memory 2'"));
}

#[tokio::test]
async fn a_source_that_has_lost_rows_is_refused() {
    let (world, store) = (World::new(MemorySource::new(false), 1).await, store());
    read_500(&world, &store).await;
    world.source.truncate("a", 400);
    let process = world.start(store);
    assert_eq!(
        refusal(&process).await,
        "db.events, split a: the job has read up to row 500, but the source ends at 400: it has lost rows or was made \
         anew"
    );
}

#[tokio::test]
async fn rows_that_expired_are_recorded_once() {
    let (world, store) = (World::new(MemorySource::new(true), 1).await, store());
    world.source.append("a", rows(0..500));
    world.source.expire("a", 100);
    let process = world.start(Arc::clone(&store));
    process.wait("committed", |s| s.committed.rows_read == 400).await;
    process.kill().await;
    world.source.append("a", rows(500..1_000));
    world.source.expire("a", 700);
    world.source.complete();
    let process = world.start(Arc::clone(&store));
    process.wait_finished().await;
    let written = [good(100..500), good(700..1_000)].concat();
    assert_exactly_once(&visible_ids(store.as_ref()).await, &written, "plain readers");
    let bad = process.bad_rows().await;
    let gaps: Vec<_> = bad.iter().filter(|row| row.contains("expired")).collect();
    assert_eq!(
        gaps,
        [
            "a 0: rows 0 to 99 expired in the source before they were read",
            "a 500: rows 500 to 699 expired in the source before they were read"
        ]
    );
    let undecodable = (100..500).chain(700..1_000).filter(|id| is_bad(*id)).count();
    assert_eq!(bad.len(), undecodable + 2);
    assert_eq!(process.handle.status().committed.rows_bad, bad.len() as u64);
}

#[tokio::test]
async fn splits_that_appear_are_read_from_their_start() {
    let (world, store) = (World::new(MemorySource::new(false), 1).await, store());
    world.source.append("a", rows(0..300));
    let process = world.start(Arc::clone(&store));
    process.wait("read", |s| s.counters.rows_read == 300).await;
    world.source.append("b", rows(10_000..10_400));
    process.wait("read", |s| s.counters.rows_read == 700).await;
    world.source.append("c", rows(20_000..20_100));
    world.source.append("a", rows(300..400));
    process.wait("read", |s| s.counters.rows_read == 900).await;
    let status = process.handle.end(Ending::Finish { reason: "stopped".to_owned() }).await;
    assert_eq!(status.phase, JobPhase::Finished("stopped".to_owned()));
    assert_eq!(status.failures, 0, "{status:?}");
    let written = [good(0..400), good(10_000..10_400), good(20_000..20_100)].concat();
    assert_exactly_once(&visible_ids(store.as_ref()).await, &written, "plain readers");
    assert_exactly_once(&process.live_ids().await, &written, "our readers");
}

/// Many looks find a new split while a commit takes long: it is announced once.
#[tokio::test]
async fn a_split_that_is_found_again_before_it_is_committed_does_not_go_back() {
    let (world, store) = (World::new(MemorySource::new(false), 1).await, store());
    world.source.append("a", rows(0..10));
    let process = world.start(Arc::clone(&store));
    process.wait("committed", |s| s.committed.rows_read == 10).await;
    process.kill().await;
    // The opening manifest, then the first commit goes wrong for about 0.3 s.
    let faults = [Fault::None, Fault::None, Fault::None, Fault::FailBefore, Fault::FailBefore, Fault::FailBefore];
    let script = Arc::new(Script::new(faults.map(|fault| (Operation::Put, fault))));
    let slow = FaultyStore::new(Arc::clone(&store), Arc::clone(&script) as _);
    let process = world.start(Arc::new(slow));
    process.wait("running", |s| s.phase == JobPhase::Running).await;
    for split in ["b", "c", "d", "e"] {
        world.source.append(split, rows(1_000..1_100));
        world.source.append("a", rows(10..11));
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let status = process.wait("committed", |s| s.committed.rows_read == 10 + 4 + 400).await;
    assert_eq!(script.left(), 0);
    // Should one of the injected faults have met something else than the commit, that is the only failure there may be.
    assert!(status.last_failure.as_deref().is_none_or(|f| f.contains("injected")), "{status:?}");
}
