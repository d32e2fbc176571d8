//! Two processes run one job.

use crate::memory_source::MemorySource;
use crate::world::*;
use object_store::ObjectStore;
use object_store::memory::InMemory;
use salamander_job::JobPhase;
use std::sync::Arc;
use std::time::Duration;

#[tokio::test]
async fn the_older_generation_stops_without_effect() {
    for seed in 0..6 {
        let world = World::new(MemorySource::new(true), seed).await;
        let store: Arc<dyn ObjectStore> = Arc::new(InMemory::new());
        world.source.append("a", rows(0..1_000));
        let older = world.start(Arc::clone(&store));
        tokio::time::sleep(Duration::from_micros(world.random(40_000))).await;
        older.wait("running", |s| s.generation.0 == 1).await;
        let newer = world.start(Arc::clone(&store));
        newer.wait("running", |s| s.generation.0 == 2).await;
        world.source.append("a", rows(1_000..2_000));
        world.source.complete();
        let status = older.wait("fenced", |s| matches!(s.phase, JobPhase::Failed { retrying: false, .. })).await;
        let JobPhase::Failed { reason, .. } = status.phase else { unreachable!() };
        assert_eq!(reason, "another engine has taken over job ingest");
        newer.wait_finished().await;
        let written = good(0..2_000);
        assert_exactly_once(&visible_ids(store.as_ref()).await, &written, "plain readers");
        assert_exactly_once(&newer.live_ids().await, &written, "our readers");
        assert_bad_rows(&newer.bad_rows().await, &[("a", 0..2_000)]);
        assert_eq!(newer.handle.status().committed.rows_read, 2_000);
    }
}
