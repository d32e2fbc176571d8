//! Power cuts at any operation of the disk, kills and pauses at any instant.

use crate::memory_source::MemorySource;
use crate::world::*;
use object_store::ObjectStore;
use salamander_job::Ending;
use salamander_storage::testing::CrashStore;
use salamander_types::SystemEntropy;
use std::sync::Arc;
use std::time::Duration;

const SEEDS: u64 = 24;
const ROWS: u64 = 1_200;
const LIVES: u64 = 6;

/// Ends a life: a pause, a kill, or a power cut at some operation.
async fn end_life(world: &World, store: &CrashStore, process: Process) {
    match world.random(8) {
        0 => {
            process.handle.end(Ending::Pause).await;
            process.kill().await;
        }
        1 | 2 => {
            tokio::time::sleep(Duration::from_micros(world.random(30_000))).await;
            process.kill().await;
        }
        _ => {
            store.disk().cut_power_at(1 + world.random(400));
            for _ in 0..100 {
                if store.disk().is_off() {
                    break;
                }
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
            process.kill().await;
            store.crash().unwrap();
        }
    }
}

async fn lives(seed: u64) {
    let world = World::new(MemorySource::new(true), seed).await;
    let disk_entropy = Arc::new(SystemEntropy::seeded(seed ^ 0xD15C));
    let store = CrashStore::new(disk_entropy).unwrap();
    let splits = [("a", 0..ROWS), ("b", 10_000..10_000 + ROWS)];
    let mut written: Vec<i64> = Vec::new();
    for (_, ids) in &splits {
        written.extend(good(ids.clone()));
    }
    for life in 0..LIVES {
        for (split, ids) in &splits {
            let from = ids.start + ROWS * life / LIVES;
            world.source.append(split, rows(from..ids.start + ROWS * (life + 1) / LIVES));
        }
        if life + 1 == LIVES {
            world.source.complete();
        }
        let process = world.start(Arc::new(store.clone()) as Arc<dyn ObjectStore>);
        tokio::time::sleep(Duration::from_micros(world.random(20_000))).await;
        if !store.disk().is_off() {
            assert_at_most_once(&process.live_ids().await, &written, "our readers");
        }
        end_life(&world, &store, process).await;
        assert_at_most_once(&visible_ids(&store).await, &written, "plain readers");
    }
    let process = world.start(Arc::new(store.clone()));
    process.wait_finished().await;
    assert_exactly_once(&visible_ids(&store).await, &written, "plain readers");
    assert_exactly_once(&process.live_ids().await, &written, "our readers");
    assert_bad_rows(&process.bad_rows().await, &splits);
    let counters = process.handle.status().committed;
    assert_eq!((counters.rows_read, counters.rows_written), (2 * ROWS, written.len() as u64));
    process.kill().await;
    // A power cut after the end takes nothing, and a new process finds the job finished.
    store.crash().unwrap();
    let process = world.start(Arc::new(store.clone()));
    process.wait_finished().await;
    assert_exactly_once(&process.live_ids().await, &written, "our readers");
    assert_exactly_once(&visible_ids(&store).await, &written, "plain readers");
}

#[tokio::test]
async fn each_row_is_there_once_whatever_the_power_does() {
    for seed in 0..SEEDS {
        println!("seed {seed}");
        lives(seed).await;
    }
}
