//! The log: a folder of numbered objects, each created once, that folds to a state.
//!
//! One type serves jobs (`jobs/<job id>/log/`) and the catalog (`catalog/`). The rules stand in docs/protocol.md; in
//! short: whoever creates number n+1 decides what comes after n; a tenure (*generation*) begins by winning a number
//! with an `open` manifest and restores what precedes it; one commit at a time; a commit counts only after a listing
//! shows it to be the newest.
//!
//! | module | what it does |
//! |---|---|
//! | [`codec`] | one object: names, bytes, checksum, and what may follow what |
//! | [`read`] | listing, loading, following |
//! | [`write`] | opening generations and committing (decisions: [`crate::commit`]) |
//! | [`retention`] | deleting what no reader needs |

mod codec;
mod error;
mod read;
mod retention;
mod write;

pub use error::LogError;
pub use retention::RETENTION;
pub use write::Commit;

use crate::commit::RetryPolicy;
use crate::sleep::{Sleep, TokioSleep};
use object_store::ObjectStore;
use object_store::path::Path;
use salamander_types::manifest::LogState;
use salamander_types::{Clock, Entropy, Generation, LogNumber, WriterId};
use std::fmt;
use std::marker::PhantomData;
use std::sync::Arc;
use std::time::Duration;

/// Who writes, and where time and randomness come from.
#[derive(Debug, Clone)]
pub struct LogContext {
    /// Unique to the process start.
    pub writer: WriterId,
    /// Only for people: when a manifest was written, and how old is old enough to delete.
    pub clock: Arc<dyn Clock>,
    /// For the ids of objects, and to spread retries.
    pub entropy: Arc<dyn Entropy>,
}

/// What may be tuned.
#[derive(Debug, Clone)]
pub struct LogOptions {
    /// How long a commit insists before it says that its outcome is unknown.
    pub retry: RetryPolicy,
    /// A request without an answer for so long counts as unclear. None waits for ever.
    pub request_timeout: Option<Duration>,
    /// Numbers from one full base to the next (at least 1). Number 1 is always a base.
    pub base_every: u64,
    /// How often opening a generation tries the next number before it says that too many others want it.
    pub open_attempts: u32,
    /// How waiting is done.
    pub sleep: Arc<dyn Sleep>,
}

impl Default for LogOptions {
    fn default() -> Self {
        Self {
            retry: RetryPolicy::default(),
            request_timeout: Some(Duration::from_secs(30)),
            base_every: 64,
            open_attempts: 16,
            sleep: Arc::new(TokioSleep),
        }
    }
}

/// The newest object of a log, as its reader or writer knows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Head {
    /// Its number.
    pub number: LogNumber,
    /// Its id: the parent of the next.
    pub id: String,
    /// The generation that rules.
    pub generation: Generation,
}

/// A log up to its head.
#[derive(Debug, Clone)]
pub struct Loaded<S> {
    /// The newest object.
    pub head: Head,
    /// What everything up to it folds to.
    pub state: S,
}

/// A log. Cheap to clone; clones share nothing but the store, and are bound to the same rules as strangers.
pub struct Log<S: LogState> {
    store: Arc<dyn ObjectStore>,
    folder: Path,
    name: String,
    context: LogContext,
    options: LogOptions,
    folds_to: PhantomData<fn() -> S>,
}

impl<S: LogState> Log<S> {
    /// A log in a folder of a store. `name` (a job's id, `catalog`) stands in each object and is checked.
    ///
    /// Nothing is read or written yet.
    pub fn new(store: Arc<dyn ObjectStore>, folder: Path, name: String, context: LogContext) -> Self {
        Self { store, folder, name, context, options: LogOptions::default(), folds_to: PhantomData }
    }

    /// The same log with other options.
    #[must_use]
    pub fn with_options(mut self, options: LogOptions) -> Self {
        self.options = options;
        self
    }

    /// Where its objects lie.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Whose log it is.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Who writes through this value.
    pub fn writer(&self) -> &WriterId {
        &self.context.writer
    }

    fn object(&self, number: LogNumber) -> Path {
        self.folder.clone().join(codec::object_name(number).as_str())
    }

    fn is_base(&self, number: LogNumber) -> bool {
        number.0 == 1 || number.0.is_multiple_of(self.options.base_every.max(1))
    }
}

impl<S: LogState> Clone for Log<S> {
    fn clone(&self) -> Self {
        Self {
            store: Arc::clone(&self.store),
            folder: self.folder.clone(),
            name: self.name.clone(),
            context: self.context.clone(),
            options: self.options.clone(),
            folds_to: PhantomData,
        }
    }
}

impl<S: LogState> fmt::Debug for Log<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Log")
            .field("name", &self.name)
            .field("folder", &self.folder.as_ref())
            .field("writer", &self.context.writer)
            .finish_non_exhaustive()
    }
}
