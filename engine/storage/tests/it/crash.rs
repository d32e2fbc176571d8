//! What a power cut may leave behind: the write path of local disks on a disk that forgets.

use futures::FutureExt;
use object_store::path::Path;
use object_store::{Error, ObjectStore, ObjectStoreExt, PutMode, PutPayload};
use proptest::prelude::*;
use salamander_storage::testing::{CrashStore, Neglect};
use salamander_types::SystemEntropy;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// One write of the sequence.
#[derive(Debug, Clone)]
struct Write {
    place: u8,
    overwrite: bool,
    bytes: u16,
}

/// Writes, then a power cut at some operation.
#[derive(Debug, Clone)]
struct Round {
    writes: Vec<Write>,
    cut_at: u64,
}

fn rounds() -> impl Strategy<Value = Vec<Round>> {
    let write = (0..8u8, any::<bool>(), 0..300u16);
    let write = write.prop_map(|(place, overwrite, bytes)| Write { place, overwrite, bytes });
    let round = (prop::collection::vec(write, 1..8), 1..60u64);
    prop::collection::vec(round.prop_map(|(writes, cut_at)| Round { writes, cut_at }), 1..4)
}

/// Places 0 to 3 are only created, 4 to 7 also overwritten; two lie in each of four folders, which are new at first.
fn location(place: u8) -> Path {
    Path::parse(format!("t/date={}/h={}/part-{place}", place % 2, place % 4)).unwrap()
}

/// Never zero, so that a hole shows; different for each write.
fn content(id: usize, bytes: u16) -> Vec<u8> {
    let id = id + 1;
    (0..bytes).map(|at| ((id * 31 + usize::from(at)) % 255 + 1) as u8).chain(id.to_string().into_bytes()).collect()
}

/// What each place may hold, as far as the writer was told: none stands for nothing.
#[derive(Debug, Default)]
struct Model {
    possible: BTreeMap<u8, BTreeSet<Option<Vec<u8>>>>,
}

impl Model {
    fn at(&mut self, place: u8) -> &mut BTreeSet<Option<Vec<u8>>> {
        self.possible.entry(place).or_insert_with(|| BTreeSet::from([None]))
    }

    fn learn(&mut self, write: &Write, new: Vec<u8>, answer: &object_store::Result<()>) -> Result<(), String> {
        let creates = write.place < 4 || !write.overwrite;
        let possible = self.at(write.place);
        match answer {
            Ok(()) if creates && !possible.contains(&None) => return Err(format!("{write:?} replaced something")),
            Ok(()) => *possible = BTreeSet::from([Some(new)]),
            Err(Error::AlreadyExists { .. }) => {
                possible.remove(&None);
                if possible.is_empty() {
                    return Err(format!("{write:?}: nothing was there"));
                }
            }
            Err(_) if creates && !possible.contains(&None) => {}
            Err(_) => {
                possible.insert(Some(new));
            }
        }
        Ok(())
    }

    /// After a restart what is there must be one of the possible things, whole.
    async fn check(&mut self, store: &CrashStore) -> Result<(), String> {
        for place in 0..8 {
            let found = match store.get(&location(place)).await {
                Ok(object) => Some(object.bytes().await.map_err(|e| e.to_string())?.to_vec()),
                Err(Error::NotFound { .. }) => None,
                Err(error) => return Err(error.to_string()),
            };
            let possible = self.at(place);
            if !possible.contains(&found) {
                let size = found.map(|bytes| bytes.len());
                return Err(format!("place {place} has {size:?} bytes, {} contents were possible", possible.len()));
            }
            *possible = BTreeSet::from([found]);
        }
        Ok(())
    }
}

async fn run(seed: u64, neglect: Neglect, rounds: &[Round]) -> Result<(), String> {
    let entropy = Arc::new(SystemEntropy::seeded(seed));
    let store = CrashStore::new(entropy).map_err(|e| e.to_string())?;
    store.disk().neglect(neglect);
    let mut model = Model::default();
    let mut id = 0;
    for round in rounds {
        store.disk().cut_power_at(round.cut_at);
        for write in &round.writes {
            id += 1;
            let new = content(id, write.bytes);
            let mode = if write.place < 4 || !write.overwrite { PutMode::Create } else { PutMode::Overwrite };
            let answer = store.put_opts(&location(write.place), PutPayload::from(new.clone()), mode.into()).await;
            model.learn(write, new, &answer.map(drop))?;
        }
        store.crash().map_err(|e| e.to_string())?;
        model.check(&store).await?;
        if store.staged_files().map_err(|e| e.to_string())? > 0 {
            return Err("leftovers stay after an open".to_owned());
        }
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]
    #[test]
    fn acknowledged_objects_are_whole_after_a_power_cut(seed: u64, rounds in rounds()) {
        let outcome = futures::executor::block_on(run(seed, Neglect::Nothing, &rounds));
        prop_assert!(outcome.is_ok(), "{outcome:?}");
    }
}

/// The property must fail on a disk that leaves a sync out, or it proves nothing.
#[test]
fn a_missing_sync_is_noticed() {
    for neglect in [Neglect::Files, Neglect::Folders] {
        let noticed = (0..200).any(|seed| {
            let writes = (0..8).map(|place| Write { place, overwrite: true, bytes: 100 }).collect();
            let rounds = [Round { writes, cut_at: 1_000 }];
            futures::executor::block_on(run(seed, neglect, &rounds)).is_err()
        });
        assert!(noticed, "{neglect:?}");
    }
}

/// Another write into the same new folders comes in between at every point, is acknowledged, and then the power goes.
#[test]
fn an_acknowledgement_does_not_rest_on_the_syncs_of_others() {
    for other_process in [false, true] {
        for at in 1..=14 {
            for seed in 0..60 {
                interrupted(at, seed, other_process);
            }
        }
    }
}

fn interrupted(at: u64, seed: u64, other_process: bool) {
    let store = CrashStore::new(Arc::new(SystemEntropy::seeded(seed))).unwrap();
    let (inner_place, outer_place) = (location(0), location(4));
    let second = if other_process { store.another_process() } else { store.clone() };
    let disk = store.disk().clone();
    let inner_at = inner_place.clone();
    store.disk().interrupt_at(at, move || {
        let put = second.put_opts(&inner_at, "inner".into(), PutMode::Create.into());
        // Nothing on this disk has to wait.
        put.now_or_never().unwrap().expect("nothing is in its way");
        disk.cut_power_at(1);
    });
    let outer = futures::executor::block_on(store.put(&outer_place, "outer".into()));
    let was_interrupted = outer.is_err();
    store.crash().unwrap();
    if was_interrupted {
        let found = futures::executor::block_on(async { store.get(&inner_place).await?.bytes().await });
        assert_eq!(found.ok().as_deref(), Some(&b"inner"[..]), "at {at}, seed {seed}, {other_process}");
    }
}
