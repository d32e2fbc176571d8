//! Real processes that die at each place of the protocol, on a real folder.

use super::ballots::{Ballots, quick_options};
use object_store::path::Path;
use salamander_storage::{Commit, DurableLocal, Log, LogContext, failpoint};
use salamander_types::{SystemClock, SystemEntropy, WriterId};
use std::io::Write;
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

const FOLDER: &str = "SALAMANDER_TEST_FOLDER";
const COMMITS: usize = 10;

fn log_in(folder: &std::path::Path) -> Log<Ballots> {
    let entropy = Arc::new(SystemEntropy::default());
    let context =
        LogContext { writer: WriterId::fresh(entropy.as_ref()), clock: Arc::new(SystemClock::default()), entropy };
    let store = Arc::new(DurableLocal::open(folder).unwrap());
    Log::new(store, Path::from("log"), "j1".to_owned(), context)
        .with_options(salamander_storage::LogOptions { base_every: 4, ..salamander_storage::LogOptions::default() })
}

/// Opens a generation, commits, prunes; writes down what it was told.
async fn work(folder: &std::path::Path) {
    let log = log_in(folder);
    let mut acknowledged =
        std::fs::File::options().create(true).append(true).open(folder.join("../acknowledged")).unwrap();
    let mut loaded = log.open_generation(|_| Vec::new()).await.unwrap();
    for nth in 0..COMMITS {
        let text = format!("{}.{nth}", log.writer());
        let (after, entries) = loaded.state.with(&text);
        match log.commit(&loaded.head, &after, entries).await.unwrap() {
            Commit::Won(head) => loaded.head = head,
            Commit::Fenced { by } => panic!("{by:?}"),
        }
        loaded.state = after;
        writeln!(acknowledged, "{text}").unwrap();
    }
    log.prune(Duration::ZERO).await.unwrap();
}

#[test]
#[ignore = "the victim: run by a_process_may_die_anywhere"]
fn victim() {
    let Some(folder) = std::env::var_os(FOLDER) else { return };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(work(folder.as_ref()));
}

#[tokio::test]
async fn a_process_may_die_anywhere() {
    assert_eq!(quick_options().base_every, 4);
    for place in failpoint::PLACES {
        let folder = tempfile::tempdir().unwrap();
        let data = folder.path().join("data");
        let mut died = 0;
        for nth in [1, 2, 7] {
            let status = Command::new(std::env::current_exe().unwrap())
                .args(["failpoints::victim", "--exact", "--ignored", "--nocapture"])
                .env(FOLDER, &data)
                .env(failpoint::VARIABLE, format!("{place}:{nth}"))
                .output()
                .unwrap();
            died += u32::from(!status.status.success());
            let acknowledged = std::fs::read_to_string(folder.path().join("acknowledged")).unwrap_or_default();
            let loaded = log_in(&data).load().await.unwrap();
            let state = loaded.map(|loaded| loaded.state).unwrap_or_default();
            for text in acknowledged.lines() {
                assert!(state.cast.iter().any(|cast| cast == text), "{place}:{nth} lost {text}");
            }
        }
        assert!(died > 0, "nobody passed {place}");
        work(&data).await;
        let staged = std::fs::read_dir(data.join("_salamander/tmp")).unwrap().count();
        assert_eq!(staged, 0, "{place}: leftovers are removed");
    }
}
