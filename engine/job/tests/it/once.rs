//! Plans that run once; stops that are taken back.

use crate::memory_source::MemorySource;
use crate::world::*;
use object_store::ObjectStore;
use object_store::memory::InMemory;
use salamander_job::{Ending, INSERTED, JobPhase, STOPPED, reopen};
use salamander_storage::testing::{CrashStore, Fault, FaultyStore, Operation, Script};
use salamander_types::SystemEntropy;
use std::sync::Arc;
use std::time::Duration;

const ROWS: i64 = 600;
const QUERY: &str = "SELECT value, 'text ' || value, '2026-11-0' || (1 + value % 3) FROM generate_series(1, 600)";

async fn world(query: &str, seed: u64) -> World {
    let mut world = World::new(MemorySource::new(true), seed).await;
    world.plan = once(query).await;
    world
}

fn all() -> Vec<i64> {
    (1..=ROWS).collect()
}

fn finished(reason: &str) -> JobPhase {
    JobPhase::Finished(reason.to_owned())
}

#[tokio::test]
async fn the_rows_are_there_and_in_files_when_it_has_ended() {
    let world = world(QUERY, 1).await;
    let store: Arc<dyn ObjectStore> = Arc::new(InMemory::new());
    let process = world.start(Arc::clone(&store));
    let status = process.handle.wait().await;
    assert_eq!(status.phase, finished(INSERTED));
    assert_eq!((status.committed.rows_written, status.counters.rows_written), (ROWS as u64, ROWS as u64));
    assert_exactly_once(&process.live_ids().await, &all(), "our readers");
    assert_exactly_once(&visible_ids(store.as_ref()).await, &all(), "plain readers");
    // A process that finds it finished adds nothing.
    for process in [world.start(Arc::clone(&store)), world.settle(Arc::clone(&store))] {
        assert_eq!(process.handle.wait().await.phase, finished(INSERTED));
        assert_exactly_once(&process.live_ids().await, &all(), "our readers");
    }
}

#[tokio::test]
async fn no_rows_are_rows_enough() {
    let world = world("SELECT 1, 'x', 'y' WHERE 1 = 2", 1).await;
    let status = world.start(Arc::new(InMemory::new())).handle.wait().await;
    assert_eq!((status.phase, status.committed.rows_written), (finished(INSERTED), 0));
}

/// The power goes at each operation of the disk in turn. What is there then, once settled, is all or nothing.
#[tokio::test]
async fn all_rows_or_none_wherever_the_power_goes() {
    let (mut none, mut whole) = (0, 0);
    for cut in 1..=90 {
        let world = world(QUERY, cut).await;
        let store = CrashStore::new(Arc::new(SystemEntropy::seeded(cut))).unwrap();
        store.disk().cut_power_at(cut);
        let process = world.start(Arc::new(store.clone()));
        let begun = std::time::Instant::now();
        let ended = loop {
            let ended = matches!(process.handle.status().phase, JobPhase::Finished(_));
            if ended || store.disk().is_off() || begun.elapsed() > Duration::from_secs(20) {
                break ended;
            }
            tokio::time::sleep(Duration::from_micros(200)).await;
        };
        process.kill().await;
        store.crash().unwrap();
        let process = world.settle(Arc::new(store.clone()));
        let status = process.handle.wait().await;
        assert!(matches!(status.phase, JobPhase::Finished(_)), "cut at {cut}: {status:?}");
        let (live, visible) = (process.live_ids().await, visible_ids(&store).await);
        assert_eq!(live, visible, "cut at {cut}");
        assert_eq!(live.len() as u64, status.committed.rows_written, "cut at {cut}");
        if live.is_empty() {
            assert!(!ended, "cut at {cut}: acknowledged and lost");
            none += 1;
        } else {
            assert_exactly_once(&live, &all(), "our readers");
            whole += 1;
        }
        process.kill().await;
        // Settled is settled: nothing is inserted afterwards.
        let process = world.start(Arc::new(store.clone()));
        process.wait_finished().await;
        assert_eq!(process.live_ids().await, live, "cut at {cut}");
    }
    assert!(none > 5 && whole > 5, "{none} times nothing, {whole} times all");
}

/// A commit that took effect though the store said no is not made again.
#[tokio::test]
async fn a_commit_whose_answer_is_lost_counts_once() {
    for failing in 1..=12 {
        let world = world(QUERY, failing).await;
        let inner: Arc<dyn ObjectStore> = Arc::new(InMemory::new());
        let mut faults = vec![(Operation::Put, Fault::None); failing as usize - 1];
        faults.extend(vec![(Operation::Put, Fault::FailAfter); 3]);
        let store = FaultyStore::new(Arc::clone(&inner), Arc::new(Script::new(faults)));
        let process = world.start(Arc::new(store));
        let status = process.handle.wait().await;
        assert_eq!(status.phase, finished(INSERTED), "{failing}: {status:?}");
        assert_exactly_once(&visible_ids(inner.as_ref()).await, &all(), "plain readers");
        assert_exactly_once(&process.live_ids().await, &all(), "our readers");
    }
}

/// Told to end before its commit, it inserts nothing and leaves nothing.
#[tokio::test]
async fn a_stop_before_the_commit_leaves_nothing() {
    let endless = "SELECT value, 'text', 'day' FROM generate_series(1, 4000000000) WHERE value % 1000 = 0";
    let world = world(endless, 1).await;
    let store: Arc<dyn ObjectStore> = Arc::new(InMemory::new());
    for (how, phase) in
        [(Ending::Pause, JobPhase::Paused), (Ending::Finish { reason: STOPPED.to_owned() }, finished(STOPPED))]
    {
        let process = world.start(Arc::clone(&store));
        process.wait("running", |s| s.phase == JobPhase::Running).await;
        tokio::time::sleep(Duration::from_millis(20)).await;
        assert_eq!(process.handle.end(how).await.phase, phase);
        assert_eq!(process.live_ids().await, Vec::<i64>::new());
    }
    assert_eq!(visible_ids(store.as_ref()).await, Vec::<i64>::new());
}

/// What the query itself does wrong is not tried again.
#[tokio::test]
async fn a_query_that_fails_ends_the_insert() {
    let world =
        world("SELECT value, 'x', 'y' FROM generate_series(1, 10) WHERE arrow_cast('x' || value, 'Int64') = value", 1)
            .await;
    let store: Arc<dyn ObjectStore> = Arc::new(InMemory::new());
    let status = world.start(Arc::clone(&store)).handle.wait().await;
    assert!(matches!(status.phase, JobPhase::Failed { retrying: false, .. }), "{status:?}");
    assert_eq!(status.failures, 1);
    let settled = world.settle(store).handle.wait().await;
    assert_eq!((settled.phase, settled.committed.rows_written), (finished("settled"), 0));
}

#[tokio::test]
async fn a_stopped_job_goes_on_where_it_was_and_a_finished_one_does_not() {
    let world = World::new(MemorySource::new(true), 1).await;
    let store: Arc<dyn ObjectStore> = Arc::new(InMemory::new());
    world.source.append("a", rows(0..500));
    let process = world.start(Arc::clone(&store));
    process.wait("committed", |s| s.committed.rows_read == 500).await;
    process.handle.end(Ending::Finish { reason: STOPPED.to_owned() }).await;
    let (spec, environment) = world.job(Arc::clone(&store));
    reopen(&spec, &environment).await.unwrap();
    reopen(&spec, &environment).await.unwrap();
    world.source.append("a", rows(500..900));
    world.source.complete();
    let process = world.start(Arc::clone(&store));
    let status = process.wait_finished().await;
    assert_eq!(status.committed.rows_read, 900);
    assert_exactly_once(&visible_ids(store.as_ref()).await, &good(0..900), "plain readers");
    let error = reopen(&spec, &environment).await.unwrap_err().to_string();
    assert!(error.contains("has come to its end: all input has been read"), "{error}");
}
