//! Committed rows on their way to a sink outside.

use crate::memory_source::MemorySource;
use crate::world::*;
use arrow::array::AsArray;
use arrow::datatypes::Int64Type;
use async_trait::async_trait;
use object_store::ObjectStore;
use parking_lot::Mutex;
use salamander_connector_api::{ConnectorError, Delivery, DeliverySink};
use salamander_storage::testing::CrashStore;
use salamander_types::{Entropy, ErrorKind, SystemEntropy};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

/// Takes rows, and at times says that it doesn't: before or after it has.
#[derive(Debug)]
struct Outside {
    entropy: SystemEntropy,
    accepted: Mutex<BTreeMap<(u64, u64), Vec<i64>>>,
}

#[async_trait]
impl DeliverySink for Outside {
    async fn deliver(&self, delivery: Delivery<'_>) -> Result<(), ConnectorError> {
        let fate = self.entropy.next_u64() % 20;
        let broken = || ConnectorError::new(ErrorKind::Transient, "outside", "injected");
        if fate == 0 {
            return Err(broken());
        }
        tokio::time::sleep(Duration::from_micros(fate * 50)).await;
        let ids = delivery.batch.column_by_name("id").unwrap().as_primitive::<Int64Type>();
        for (index, id) in ids.values().iter().enumerate() {
            let name = (delivery.number.0, delivery.first_index + index as u64);
            self.accepted.lock().entry(name).or_default().push(*id);
        }
        if fate == 1 { Err(broken()) } else { Ok(()) }
    }
}

#[tokio::test]
async fn a_sink_outside_gets_each_row_at_least_once_under_one_name() {
    for seed in 0..6 {
        println!("seed {seed}");
        let mut world = World::new(MemorySource::new(true), seed).await;
        let outside = Arc::new(Outside { entropy: SystemEntropy::seeded(seed), accepted: Mutex::default() });
        world.sink = Some(Arc::clone(&outside) as _);
        let store = CrashStore::new(Arc::new(SystemEntropy::seeded(seed))).unwrap();
        for life in 0..4 {
            world.source.append("a", rows(life * 300..(life + 1) * 300));
            let process = world.start(Arc::new(store.clone()) as Arc<dyn ObjectStore>);
            tokio::time::sleep(Duration::from_micros(world.random(60_000))).await;
            process.kill().await;
            if world.random(2) == 0 {
                store.crash().unwrap();
            }
        }
        world.source.complete();
        let process = world.start(Arc::new(store.clone()));
        process.wait_finished().await;
        let accepted = outside.accepted.lock().clone();
        let mut once: Vec<i64> = Vec::new();
        for (name, ids) in &accepted {
            assert!(ids.iter().all(|id| *id == ids[0]), "{name:?} stands for {ids:?}");
            once.push(ids[0]);
        }
        once.sort_unstable();
        assert_exactly_once(&once, &good(0..1_200), "names outside");
        // Nothing is left in the outbox; the bad rows have become files like any table's.
        assert_eq!(process.live_ids().await, Vec::<i64>::new());
        assert_bad_rows(&process.bad_rows().await, &[("a", 0..1_200)]);
    }
}

#[tokio::test]
async fn an_insert_ends_when_a_sink_outside_has_its_rows() {
    let mut world = World::new(MemorySource::new(true), 7).await;
    world.plan = once("SELECT value, 'text', 'day' FROM generate_series(1, 100)").await;
    let outside = Arc::new(Outside { entropy: SystemEntropy::seeded(7), accepted: Mutex::default() });
    world.sink = Some(Arc::clone(&outside) as _);
    let process = world.start(Arc::new(object_store::memory::InMemory::new()));
    let status = process.handle.wait().await;
    assert_eq!((process.wait_finished().await.committed.rows_written, status.failures), (100, 0));
    let mut once: Vec<i64> = outside.accepted.lock().values().map(|ids| ids[0]).collect();
    once.sort_unstable();
    assert_exactly_once(&once, &(1..=100).collect::<Vec<_>>(), "names outside");
    assert_eq!(process.live_ids().await, Vec::<i64>::new());
}
