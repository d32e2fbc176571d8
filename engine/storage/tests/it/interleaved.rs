//! Several writers on one log, interleaved at random, over a store with faults: one chain, nothing acknowledged lost.
//!
//! A run is a function of its seed: an executor of its own polls the writers in an order drawn from the seed, which
//! also draws the store's faults (failures before and after the effect, own successes as "already exists", puts that
//! arrive late), freezes writers for a while and kills them. Retention deletes all the time, so that a frozen writer
//! wakes up below the log's oldest number.

use super::ballots::{Ballot, Ballots, log_of};
use object_store::ObjectStore;
use object_store::memory::InMemory;
use salamander_storage::testing::{CrashStore, FaultyStore, RandomFaults};
use salamander_storage::{Commit, Loaded, Log, LogError};
use salamander_types::{Entropy, ErrorKind, SystemEntropy};
use std::collections::BTreeSet;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

const WRITERS: usize = 3;

/// What the writers were told, and the first broken promise.
#[derive(Debug, Default)]
struct World {
    acknowledged: BTreeSet<String>,
    highest_generation: u64,
    commits: u32,
    violation: Option<String>,
}

type Shared = Arc<Mutex<World>>;

fn violated(world: &Shared, what: String) {
    world.lock().unwrap().violation.get_or_insert(what);
}

fn check_error(world: &Shared, error: &LogError) {
    if error.kind() != ErrorKind::Transient {
        violated(world, format!("{:?}: {error}", error.kind()));
    }
}

/// What was acknowledged before a read began must be in it.
fn check_read(world: &Shared, before: &BTreeSet<String>, state: &Ballots, whose: &str) {
    if let Some(lost) = before.iter().find(|text| !state.cast.contains(text)) {
        violated(world, format!("{whose} doesn't see {lost}, which was acknowledged before"));
    }
}

async fn writer(log: Log<Ballots>, world: Shared, entropy: Arc<SystemEntropy>) {
    let name = log.writer().to_string();
    for tenure in 0..4 {
        let before = world.lock().unwrap().acknowledged.clone();
        let text = format!("{name}.{tenure}.open");
        // An attempt that was overtaken at once stands in the log all the same.
        let make = |before: Option<&Loaded<Ballots>>| match before {
            Some(before) if before.state.cast.contains(&text) => Vec::new(),
            _ => vec![Ballot::Cast(text.clone())],
        };
        let mut loaded = match log.open_generation(make).await {
            Ok(loaded) => loaded,
            Err(error) => {
                check_error(&world, &error);
                continue;
            }
        };
        check_read(&world, &before, &loaded.state, &name);
        {
            let mut world = world.lock().unwrap();
            world.acknowledged.insert(text);
            world.highest_generation = world.highest_generation.max(loaded.head.generation.0);
        }
        for nth in 0..entropy.next_u64() % 12 {
            if !commit_one(&log, &world, &mut loaded, format!("{name}.{tenure}.{nth}")).await {
                break;
            }
            if entropy.next_u64().is_multiple_of(3)
                && let Err(error) = log.prune(Duration::ZERO).await
            {
                check_error(&world, &error);
            }
        }
    }
}

async fn commit_one(log: &Log<Ballots>, world: &Shared, loaded: &mut Loaded<Ballots>, text: String) -> bool {
    let ruling = world.lock().unwrap().highest_generation;
    let (after, entries) = loaded.state.with(&text);
    match log.commit(&loaded.head, &after, entries).await {
        Ok(Commit::Won(head)) => {
            if ruling > head.generation.0 {
                violated(world, format!("{text} of generation {} after {ruling} had opened", head.generation));
            }
            let mut world = world.lock().unwrap();
            world.acknowledged.insert(text);
            world.commits += 1;
            *loaded = Loaded { head, state: after };
            true
        }
        Ok(Commit::Fenced { .. }) => false,
        Err(error) => {
            check_error(world, &error);
            false
        }
    }
}

type Task = Pin<Box<dyn Future<Output = ()>>>;

/// Polls tasks in a random order, freezing some for a while, until all are done or `stop` says so.
fn run_interleaved(tasks: &mut [Option<Task>], entropy: &SystemEntropy, mut stop: impl FnMut() -> bool) {
    let mut context = Context::from_waker(Waker::noop());
    let mut frozen_until = vec![0_u64; tasks.len()];
    for step in 0_u64.. {
        let alive: Vec<usize> = (0..tasks.len()).filter(|task| tasks[*task].is_some()).collect();
        if alive.is_empty() || stop() {
            return;
        }
        assert!(step < 2_000_000, "the writers come to an end");
        let task = alive[(entropy.next_u64() % alive.len() as u64) as usize];
        if alive.len() > 1 && frozen_until[task] > step {
            continue;
        }
        if entropy.next_u64().is_multiple_of(50) {
            frozen_until[task] = step + entropy.next_u64() % 600;
        }
        let Some(future) = &mut tasks[task] else { continue };
        if future.as_mut().poll(&mut context) == Poll::Ready(()) || entropy.next_u64().is_multiple_of(1_500) {
            // Done, or killed: what it had under way is dropped.
            tasks[task] = None;
        }
    }
}

fn start(seed: u64, round: u64, store: &Arc<dyn ObjectStore>, world: &Shared) -> Vec<Option<Task>> {
    (0..WRITERS)
        .map(|n| {
            let own = seed.wrapping_mul(31).wrapping_add(round * 7 + n as u64);
            let log = log_of(Arc::clone(store), &format!("w{round}x{n}"), own);
            let entropy = Arc::new(SystemEntropy::seeded(!own));
            Some(Box::pin(writer(log, Arc::clone(world), entropy)) as Task)
        })
        .collect()
}

/// What a later reader folds, on the store without faults.
async fn judge(store: Arc<dyn ObjectStore>, world: &Shared) -> Result<u32, String> {
    let before = world.lock().unwrap().acknowledged.clone();
    match log_of(store, "judge", 0).load().await {
        Ok(Some(loaded)) => check_read(world, &before, &loaded.state, "the last reader"),
        Ok(None) if before.is_empty() => {}
        Ok(None) => violated(world, "the log is gone".to_owned()),
        Err(error) => violated(world, error.to_string()),
    }
    let world = world.lock().unwrap();
    world.violation.clone().map_or(Ok(world.commits), Err)
}

fn remote(seed: u64) -> Result<u32, String> {
    let entropy = Arc::new(SystemEntropy::seeded(seed));
    let one_in = [0, 4, 10, 40][(seed % 4) as usize];
    let inner: Arc<dyn ObjectStore> = Arc::new(InMemory::new());
    let faulty = FaultyStore::new(Arc::clone(&inner), Arc::new(RandomFaults::new(entropy.clone(), one_in)));
    let store: Arc<dyn ObjectStore> = Arc::new(faulty.clone());
    let world = Shared::default();
    for round in 0..2 {
        run_interleaved(&mut start(seed, round, &store, &world), &entropy, || false);
    }
    futures::executor::block_on(async {
        while faulty.arrive().await {}
        judge(inner, &world).await
    })
}

fn local_with_power_cuts(seed: u64) -> Result<u32, String> {
    let entropy = Arc::new(SystemEntropy::seeded(seed));
    let disk = CrashStore::new(entropy.clone()).map_err(|e| e.to_string())?;
    let world = Shared::default();
    for round in 0..3 {
        disk.disk().cut_power_at(100 + entropy.next_u64() % 900);
        let faulty = FaultyStore::new(Arc::new(disk.clone()), Arc::new(RandomFaults::new(entropy.clone(), 20)));
        let store: Arc<dyn ObjectStore> = Arc::new(faulty);
        let mut tasks = start(seed, round, &store, &world);
        run_interleaved(&mut tasks, &entropy, || disk.disk().is_off());
        drop(tasks);
        disk.crash().map_err(|e| e.to_string())?;
    }
    futures::executor::block_on(judge(Arc::new(disk), &world))
}

fn check_seeds(seeds: std::ops::Range<u64>, run: impl Fn(u64) -> Result<u32, String>) {
    let mut commits = 0;
    for seed in seeds.clone() {
        match run(seed) {
            Ok(made) => commits += made,
            Err(violation) => panic!("seed {seed}: {violation}"),
        }
    }
    let runs = seeds.end - seeds.start;
    assert!(u64::from(commits) > runs * 5, "only {commits} commits in {runs} runs: too little was tried");
}

#[test]
fn writers_on_a_faulty_store_make_one_chain() {
    check_seeds(0..1_500, remote);
}

#[test]
fn writers_on_a_disk_with_power_cuts_make_one_chain() {
    check_seeds(0..300, local_with_power_cuts);
}
