//! What a materialized view's reader is shown of a job: what it has written and what its windows hold, at one epoch's end.
//!
//! Readers ask the running generation, which answers between two epochs. When none runs, the last checkpoint answers.

use crate::error::JobError;
use crate::run::open_log;
use crate::spec::{JobEnvironment, JobSpec};
use crate::status::{JobPhase, SharedStatus};
use parking_lot::Mutex;
use salamander_hive::live::Snapshot;
use salamander_operators::{JobStates, OpenWindows};
use salamander_state::{StateFolder, StateStore};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{Notify, oneshot};

/// After so long without an answer the job is looked at: its generation may have ended.
const LOOK: Duration = Duration::from_millis(100);
/// So long a reader waits for a job that is starting or being tried again.
const WAIT: Duration = Duration::from_secs(10);

/// A job at one epoch's end.
#[derive(Debug)]
pub struct Peek {
    /// What its windows hold.
    pub open: Vec<OpenWindows>,
    /// The rows of its target table, if it has one.
    pub written: Option<Snapshot>,
}

/// Readers that wait for the job's next epoch to end. Outlives the job's generations.
#[derive(Debug, Clone, Default)]
pub struct Peeks {
    waiting: Arc<Mutex<Vec<oneshot::Sender<Peek>>>>,
    asked: Arc<Notify>,
}

impl Peeks {
    fn ask(&self) -> oneshot::Receiver<Peek> {
        let (answer, answered) = oneshot::channel();
        self.waiting.lock().push(answer);
        self.asked.notify_one();
        answered
    }

    /// Resolves when somebody has asked.
    pub(crate) fn asked(&self) -> impl Future<Output = ()> + '_ {
        self.asked.notified()
    }

    /// Answers all who wait; all get what the first gets, since no epoch has run in between.
    pub(crate) fn answer(&self, spec: &JobSpec, states: &JobStates, closed: Option<i64>) -> Result<(), JobError> {
        let waiting = std::mem::take(&mut *self.waiting.lock());
        for reader in waiting {
            // Who has gone away needs no answer.
            let _ = reader.send(peek(spec, states, closed)?);
        }
        Ok(())
    }

    /// Asks the job's generation; none if no generation runs or will.
    pub(crate) async fn running(&self, status: &SharedStatus) -> Result<Option<Peek>, JobError> {
        let give_up = tokio::time::sleep(WAIT);
        tokio::pin!(give_up);
        let mut answered = None;
        loop {
            let phase = status.get().phase;
            if matches!(phase, JobPhase::Finished(_) | JobPhase::Paused | JobPhase::Failed { retrying: false, .. }) {
                return Ok(None);
            }
            let waiting = answered.get_or_insert_with(|| self.ask());
            tokio::select! {
                peek = waiting => match peek {
                    Ok(peek) => return Ok(Some(peek)),
                    Err(_) => answered = None,
                },
                () = tokio::time::sleep(LOOK) => {}
                () = &mut give_up => return Err(JobError::NoAnswer { phase: phase.to_string() }),
            }
        }
    }
}

fn peek(spec: &JobSpec, states: &JobStates, closed: Option<i64>) -> Result<Peek, JobError> {
    let written = spec.target.table().map(|table| table.live.pin());
    Ok(Peek { open: states.open_windows(closed)?, written })
}

/// What a job that doesn't run has left with its last checkpoint.
///
/// # Errors
/// When its log or its state can't be read.
pub async fn peek_at_rest(spec: &JobSpec, environment: &JobEnvironment) -> Result<Peek, JobError> {
    let loaded = open_log(spec, environment).load().await?;
    let (store, closed) = match &loaded {
        None => (StateStore::default(), None),
        Some(loaded) => {
            let folder = StateFolder::new(Arc::clone(&environment.store), environment.state_folder.clone());
            (folder.restore(&loaded.state.state).await?, loaded.state.state.closed)
        }
    };
    peek(spec, &JobStates::try_new(&spec.plan.physical, store)?, closed)
}
