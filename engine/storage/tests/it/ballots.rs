//! A small state to fold: a list of texts in the order in which they were committed. A text may come only once.

use object_store::ObjectStore;
use object_store::path::Path;
use salamander_storage::testing::{ManualClock, YieldSleep};
use salamander_storage::{Log, LogContext, LogOptions, RetryPolicy};
use salamander_types::manifest::{FoldError, LogState};
use salamander_types::{SystemEntropy, WriterId};
use serde::{Deserialize, Serialize};
use std::sync::Arc;

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Ballots {
    pub(crate) cast: Vec<String>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub(crate) enum Ballot {
    Cast(String),
}

impl LogState for Ballots {
    type Entry = Ballot;

    fn apply(&mut self, Ballot::Cast(text): &Ballot) -> Result<(), FoldError> {
        if self.cast.contains(text) {
            return Err(FoldError(format!("{text} was cast twice")));
        }
        self.cast.push(text.clone());
        Ok(())
    }
}

impl Ballots {
    /// This state and one more.
    pub(crate) fn with(&self, text: &str) -> (Self, Vec<Ballot>) {
        let entry = Ballot::Cast(text.to_owned());
        let mut after = self.clone();
        after.apply(&entry).unwrap();
        (after, vec![entry])
    }
}

/// Without real time; a few attempts only; a base every four numbers.
pub(crate) fn quick_options() -> LogOptions {
    LogOptions {
        retry: RetryPolicy { attempts: 6, ..RetryPolicy::default() },
        request_timeout: None,
        base_every: 4,
        open_attempts: 32,
        sleep: Arc::new(YieldSleep),
    }
}

pub(crate) fn log_of(store: Arc<dyn ObjectStore>, writer: &str, seed: u64) -> Log<Ballots> {
    let context = LogContext {
        writer: WriterId::from_text(writer),
        clock: Arc::new(ManualClock::default()),
        entropy: Arc::new(SystemEntropy::seeded(seed)),
    };
    Log::new(store, Path::from("jobs/j1/log"), "j1".to_owned(), context).with_options(quick_options())
}
