//! The log, one rule at a time.

use super::ballots::{Ballot, Ballots, log_of, quick_options};
use super::local::UnsyncedFolders;
use bytes::Bytes;
use expect_test::{Expect, expect};
use object_store::memory::InMemory;
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt};
use salamander_storage::testing::{Fault, FaultyStore, ManualClock, Operation, Script};
use salamander_storage::{Commit, DurableLocal, Head, Loaded, Log, LogContext, LogError, LogOptions};
use salamander_types::{ErrorKind, Generation, LogNumber, SystemEntropy, WriterId};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

fn memory() -> Arc<InMemory> {
    Arc::new(InMemory::new())
}

fn at(number: u64) -> Path {
    Path::from(format!("jobs/j1/log/{number:020}.json"))
}

async fn bytes_at(store: &dyn ObjectStore, number: u64) -> Bytes {
    store.get(&at(number)).await.unwrap().bytes().await.unwrap()
}

async fn open(log: &Log<Ballots>) -> Loaded<Ballots> {
    log.open_generation(|_| Vec::new()).await.unwrap()
}

/// Commits a text; the new head and state, or who is in the way.
async fn cast(log: &Log<Ballots>, loaded: &mut Loaded<Ballots>, text: &str) -> Result<Commit, LogError> {
    let (after, entries) = loaded.state.with(text);
    let commit = log.commit(&loaded.head, &after, entries).await?;
    if let Commit::Won(head) = &commit {
        *loaded = Loaded { head: head.clone(), state: after };
    }
    Ok(commit)
}

/// A log with so many numbers: one open, then commits `c2`, `c3` …
async fn filled(store: Arc<dyn ObjectStore>, numbers: u64) -> (Log<Ballots>, Loaded<Ballots>) {
    let log = log_of(store, "w1", 1);
    let mut loaded = open(&log).await;
    for number in 2..=numbers {
        let commit = cast(&log, &mut loaded, &format!("c{number}")).await.unwrap();
        assert!(matches!(commit, Commit::Won(_)));
    }
    (log, loaded)
}

#[tokio::test]
async fn the_objects_of_a_log() {
    let store = memory();
    let log = log_of(store.clone(), "w1", 1);
    assert!(log.load().await.unwrap().is_none());
    let mut loaded = log.open_generation(|_| vec![Ballot::Cast("a".into())]).await.unwrap();
    let _ = cast(&log, &mut loaded, "b").await.unwrap();
    let text = [bytes_at(&*store, 1).await, bytes_at(&*store, 2).await].concat();
    // The format on disk: changing it needs a new MANIFEST_FORMAT.
    expect![[r#"
        {"format":1,"log":"j1","number":1,"generation":1,"id":"w1-910a2dec89025cc1","parent":null,"writer":"w1","written_at":0,"kind":"open","body":{"base":{"cast":["a"]}}}
        xxh3:51c90877d7010aeb
        {"format":1,"log":"j1","number":2,"generation":1,"id":"w1-beeb8da1658eec67","parent":"w1-910a2dec89025cc1","writer":"w1","written_at":0,"kind":"commit","body":{"delta":[{"cast":"b"}]}}
        xxh3:4acae6fac2fcfce6
    "#]]
    .assert_eq(&String::from_utf8(text).unwrap());
}

#[tokio::test]
async fn a_log_is_read_back_from_its_newest_base() {
    let store = memory();
    let (log, written) = filled(store.clone(), 11).await;
    assert_eq!(written.head.number, LogNumber(11));
    assert_eq!(log.list().await.unwrap(), (1..=11).map(LogNumber).collect::<Vec<_>>());
    let read = log.load().await.unwrap().unwrap();
    assert_eq!((&read.head, &read.state), (&written.head, &written.state));
    assert_eq!(read.state.cast.len(), 10);
    // Nothing below the base at 8 is needed, nothing else in the folder matters.
    for number in 1..8 {
        store.delete(&at(number)).await.unwrap();
    }
    for name in ["notes.txt", "00000000000000000012.json.bak", "12.json", "deeper/00000000000000000012.json"] {
        store.put(&Path::from(format!("jobs/j1/log/{name}")), "x".into()).await.unwrap();
    }
    assert_eq!(log.load().await.unwrap().unwrap().state, written.state);
}

#[tokio::test]
async fn a_reader_follows_from_what_it_knows() {
    let store = memory();
    let (log, mut written) = filled(store.clone(), 5).await;
    let mut known = log.load().await.unwrap();
    for text in ["x", "y", "z"] {
        let _ = cast(&log, &mut written, text).await.unwrap();
        known = log.load_after(known).await.unwrap();
        assert_eq!(known.as_ref().unwrap().state, written.state);
        assert_eq!(known.as_ref().unwrap().head, written.head);
    }
    assert_eq!(log.load_after(known.clone()).await.unwrap().unwrap().head, written.head);
    for number in log.list().await.unwrap() {
        store.delete(&at(number.0)).await.unwrap();
    }
    let error = log.load_after(known).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Corrupt);
}

#[tokio::test]
async fn a_generation_takes_over_and_fences() {
    let store = memory();
    let (old, mut of_old) = filled(store.clone(), 3).await;
    let new = log_of(store.clone(), "w2", 2);
    let mut of_new = new
        .open_generation(|before| {
            assert_eq!(before.unwrap().head.number, LogNumber(3));
            vec![Ballot::Cast("opened".into())]
        })
        .await
        .unwrap();
    assert_eq!((of_new.head.number, of_new.head.generation), (LogNumber(4), Generation(2)));
    match cast(&old, &mut of_old, "late").await.unwrap() {
        Commit::Fenced { by } => {
            assert_eq!((by.number, by.generation), (LogNumber(4), Some(Generation(2))));
            assert_eq!(by.writer, Some(WriterId::from_text("w2")));
        }
        won => panic!("{won:?}"),
    }
    assert!(matches!(cast(&new, &mut of_new, "more").await.unwrap(), Commit::Won(_)));
    let read = old.load().await.unwrap().unwrap();
    assert_eq!(read.state.cast, ["c2", "c3", "opened", "more"]);
}

#[tokio::test]
async fn a_zombie_may_win_a_deleted_number_but_not_commit_with_it() {
    let store = memory();
    let (zombie, mut of_zombie) = filled(store.clone(), 2).await;
    let new = log_of(store.clone(), "w2", 2);
    let mut of_new = open(&new).await;
    for text in ["a", "b", "c", "d", "e"] {
        let _ = cast(&new, &mut of_new, text).await.unwrap();
    }
    // Retention deletes what lies below the base at 8; the zombie's next number, 3, is free again.
    assert_eq!(new.prune(Duration::ZERO).await.unwrap(), 7);
    match cast(&zombie, &mut of_zombie, "undead").await.unwrap() {
        Commit::Fenced { by } => assert_eq!((by.number, by.generation), (LogNumber(8), Some(Generation(2)))),
        won => panic!("{won:?}"),
    }
    assert!(store.head(&at(3)).await.is_ok(), "its object lies there");
    assert_eq!(new.load().await.unwrap().unwrap().state, of_new.state, "and nobody reads it");
    assert_eq!(new.prune(Duration::ZERO).await.unwrap(), 1);
}

/// One commit under a script of faults.
async fn commit_under(faults: Vec<(Operation, Fault)>) -> (Result<Commit, LogError>, Log<Ballots>) {
    let store = memory();
    let (_, mut loaded) = filled(store.clone(), 2).await;
    let script = Arc::new(Script::new(faults));
    let faulty = log_of(Arc::new(FaultyStore::new(store.clone(), script.clone())), "w1", 7);
    let outcome = cast(&faulty, &mut loaded, "third").await;
    assert_eq!(script.left(), 0, "every fault was met");
    (outcome, log_of(store, "reader", 8))
}

#[tokio::test]
async fn faults_that_a_commit_survives() {
    use Fault::{Delay, ExistsAfter, FailAfter, FailBefore, Late};
    use Operation::{Get, List, Put};
    for faults in [
        vec![(Put, FailBefore)],
        vec![(Put, FailAfter)],
        vec![(Put, ExistsAfter)],
        vec![(Put, Late)],
        vec![(Put, Delay(3))],
        vec![(Put, FailAfter), (Put, FailBefore), (Put, FailBefore)],
        vec![(Put, ExistsAfter), (Get, FailBefore), (List, FailBefore)],
        vec![(List, FailBefore), (List, FailBefore)],
    ] {
        let (outcome, reader) = commit_under(faults.clone()).await;
        assert!(matches!(outcome, Ok(Commit::Won(Head { number: LogNumber(3), .. }))), "{faults:?}: {outcome:?}");
        assert_eq!(reader.load().await.unwrap().unwrap().state.cast, ["c2", "third"], "{faults:?}");
    }
}

#[tokio::test]
async fn when_patience_ends_the_outcome_is_unknown() {
    for (fault, is_there) in [(Fault::FailBefore, false), (Fault::FailAfter, true)] {
        let mut faults = vec![(Operation::Put, fault)];
        faults.extend([(Operation::Put, Fault::FailBefore); 5]);
        let (outcome, reader) = commit_under(faults).await;
        let error = outcome.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Transient);
        assert!(error.to_string().contains("open a new generation"), "{error}");
        let opened = open(&reader).await;
        assert_eq!(opened.state.cast.contains(&"third".to_owned()), is_there, "the new generation finds out");
    }
}

#[tokio::test]
async fn a_request_without_an_answer_is_given_up_and_repeated() {
    let store = memory();
    let (_, mut loaded) = filled(store.clone(), 2).await;
    let script = Arc::new(Script::new([(Operation::Put, Fault::Hang), (Operation::List, Fault::Hang)]));
    let options = LogOptions { request_timeout: Some(Duration::from_millis(30)), ..LogOptions::default() };
    let log = log_of(Arc::new(FaultyStore::new(store, script)), "w1", 7).with_options(options);
    assert!(matches!(cast(&log, &mut loaded, "third").await, Ok(Commit::Won(_))));
}

#[tokio::test]
async fn a_commit_counts_only_once_its_name_is_durable() {
    let folder = tempfile::tempdir().unwrap();
    let disk = Arc::new(UnsyncedFolders::default());
    let store = DurableLocal::open_with(folder.path(), disk.clone(), Arc::new(SystemEntropy::seeded(1))).unwrap();
    let (log, mut loaded) = filled(Arc::new(store), 2).await;
    // The object is visible, with our id, after the first failure: reading it would say "won".
    disk.failures.store(3, Ordering::SeqCst);
    assert!(matches!(cast(&log, &mut loaded, "third").await, Ok(Commit::Won(_))));
    assert_eq!(disk.failures.load(Ordering::SeqCst), 0, "it was synced in the end");
    disk.failures.store(100, Ordering::SeqCst);
    let error = cast(&log, &mut loaded, "fourth").await.unwrap_err();
    assert!(matches!(error, LogError::OutcomeUnknown { .. }), "{error}");
}

#[tokio::test]
async fn rivals_open_one_after_the_other() {
    let store = memory();
    let logs: Vec<_> = (0..5).map(|n| log_of(store.clone(), &format!("w{n}"), n)).collect();
    let opened = futures::future::join_all(logs.iter().map(open)).await;
    let mut generations: Vec<u64> = opened.iter().map(|loaded| loaded.head.generation.0).collect();
    generations.sort_unstable();
    assert_eq!(generations, [1, 2, 3, 4, 5]);
}

#[tokio::test]
async fn entries_that_contradict_the_state_are_not_written() {
    let store = memory();
    let (log, _) = filled(store, 2).await;
    let error = log.open_generation(|_| vec![Ballot::Cast("c2".into())]).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Internal);
    assert_eq!(log.list().await.unwrap().len(), 2);
}

#[tokio::test]
async fn retention_waits_for_its_hour() {
    let store = memory();
    let clock = Arc::new(ManualClock::default());
    let context = LogContext {
        writer: WriterId::from_text("w1"),
        clock: clock.clone(),
        entropy: Arc::new(SystemEntropy::seeded(1)),
    };
    let log: Log<Ballots> =
        Log::new(store.clone(), Path::from("jobs/j1/log"), "j1".into(), context).with_options(quick_options());
    let mut loaded = open(&log).await;
    for number in 2..=10 {
        clock.advance(Duration::from_secs(600));
        let _ = cast(&log, &mut loaded, &format!("c{number}")).await.unwrap();
    }
    // Written at (minutes): 4 at 30, 8 at 70, 10 at 90. Now is 90.
    assert_eq!(log.prune(Duration::from_secs(3600)).await.unwrap(), 3);
    assert_eq!(log.list().await.unwrap().first(), Some(&LogNumber(4)));
    assert_eq!(log.prune(Duration::from_secs(3600)).await.unwrap(), 0);
    clock.advance(Duration::from_secs(100 * 3600));
    assert_eq!(log.prune(Duration::from_secs(3600)).await.unwrap(), 4);
    assert_eq!(log.list().await.unwrap(), [8, 9, 10].map(LogNumber));
    assert_eq!(log.load().await.unwrap().unwrap().state, loaded.state);
}

/// Damages one object of a log of seven; what loading then says.
async fn damaged(number: u64, damage: impl Fn(&str) -> Option<String>, expected: Expect) {
    let store = memory();
    let (log, _) = filled(store.clone(), 7).await;
    let text = String::from_utf8(bytes_at(&*store, number).await.to_vec()).unwrap();
    match damage(&text) {
        Some(text) => store.put(&at(number), text.into()).await.map(drop).unwrap(),
        None => store.delete(&at(number)).await.unwrap(),
    }
    let error = log.load().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Corrupt);
    expected.assert_eq(&error.to_string());
}

/// Changes the manifest and puts the right checksum under it.
fn resealed(text: &str, from: &str, to: &str) -> Option<String> {
    let line = text.lines().next().unwrap();
    assert!(line.contains(from), "{line}");
    let line = line.replace(from, to);
    Some(format!("{line}\nxxh3:{:016x}\n", xxhash_rust::xxh3::xxh3_64(line.as_bytes())))
}

#[tokio::test]
async fn damage_is_refused_by_name() {
    let changed = |text: &str| Some(text.replace("c6", "c9"));
    damaged(6, changed, expect!["log object jobs/j1/log/00000000000000000006.json is damaged: its checksum doesn't match its content; restore it from a backup, nothing is read past it"]).await;
    damaged(6, |text| Some(text[..text.len() / 2].to_owned()), expect!["log object jobs/j1/log/00000000000000000006.json is damaged: it has 104 bytes but not two whole lines; restore it from a backup, nothing is read past it"]).await;
    damaged(6, |_| Some(String::new()), expect!["log object jobs/j1/log/00000000000000000006.json is damaged: it has 0 bytes but not two whole lines; restore it from a backup, nothing is read past it"]).await;
    damaged(5, |_| None, expect!["log object jobs/j1/log/00000000000000000005.json is damaged: it is missing below later ones; restore it from a backup, nothing is read past it"]).await;
    damaged(5, |text| resealed(text, "\"number\":5", "\"number\":6"), expect!["log object jobs/j1/log/00000000000000000005.json is damaged: it says that it is number 6; restore it from a backup, nothing is read past it"]).await;
    damaged(5, |text| resealed(text, "\"log\":\"j1\"", "\"log\":\"j2\""), expect!["log object jobs/j1/log/00000000000000000005.json is damaged: it belongs to log j2, not j1; restore it from a backup, nothing is read past it"]).await;
    damaged(5, |text| resealed(text, "\"parent\":\"w1-", "\"parent\":\"w2-"), expect!["log object jobs/j1/log/00000000000000000005.json is damaged: its parent is w2-71c18690ee42c90b, but the object before it is w1-71c18690ee42c90b; restore it from a backup, nothing is read past it"]).await;
    damaged(5, |text| resealed(text, "\"generation\":1", "\"generation\":2"), expect!["log object jobs/j1/log/00000000000000000005.json is damaged: Commit of generation 2 after generation 1; restore it from a backup, nothing is read past it"]).await;
    damaged(5, |text| resealed(text, "\"commit\"", "\"open\""), expect!["log object jobs/j1/log/00000000000000000005.json is damaged: Open of generation 1 after generation 1; restore it from a backup, nothing is read past it"]).await;
    damaged(6, |text| resealed(text, "c6", "c5"), expect!["log object jobs/j1/log/00000000000000000006.json is damaged: c5 was cast twice; restore it from a backup, nothing is read past it"]).await;
}

#[tokio::test]
async fn what_is_unknown_is_refused_never_skipped() {
    damaged(5, |text| resealed(text, "\"format\":1", "\"format\":2"), expect!["log object jobs/j1/log/00000000000000000005.json can't be understood: its format is 2, this version knows only 1; use the version of the engine that wrote it, or a newer one"]).await;
    damaged(5, |text| resealed(text, "{\"cast\":", "{\"spoil\":"), expect!["log object jobs/j1/log/00000000000000000005.json can't be understood: unknown variant `spoil`, expected `cast` at line 1 column 177; use the version of the engine that wrote it, or a newer one"]).await;
    damaged(5, |text| resealed(text, "\"kind\"", "\"more\":0,\"kind\""), expect!["log object jobs/j1/log/00000000000000000005.json can't be understood: unknown field `more`, expected one of `format`, `log`, `number`, `generation`, `id`, `parent`, `writer`, `written_at`, `kind`, `body` at line 1 column 142; use the version of the engine that wrote it, or a newer one"]).await;
    damaged(5, |text| resealed(text, "\"delta\"", "\"patch\""), expect!["log object jobs/j1/log/00000000000000000005.json can't be understood: unknown variant `patch`, expected `delta` or `base` at line 1 column 167; use the version of the engine that wrote it, or a newer one"]).await;
}

#[tokio::test]
async fn a_newer_version_fences_too() {
    let store = memory();
    let (log, mut loaded) = filled(store.clone(), 2).await;
    let text = String::from_utf8(bytes_at(&*store, 2).await.to_vec()).unwrap();
    let newer = resealed(&text, "\"format\":1", "\"format\":2").unwrap().replace("\"number\":2", "\"number\":3");
    let newer = resealed(&newer, "\"id\":\"", "\"id\":\"x").unwrap();
    store.put(&at(3), newer.into()).await.unwrap();
    assert!(matches!(cast(&log, &mut loaded, "third").await.unwrap(), Commit::Fenced { .. }));
}
