//! What a generation's operators keep between epochs: restored at its begin, made durable with each checkpoint.

use crate::error::JobError;
use crate::spec::{JobEnvironment, JobSpec};
use salamander_operators::JobStates;
use salamander_state::{Delta, StateFolder, StateStore};
use salamander_types::Generation;
use salamander_types::manifest::JobState;
use salamander_types::state::StateChange;
use std::collections::BTreeSet;
use std::sync::Arc;

/// The state of a job's operators, and where it is kept.
#[derive(Debug)]
pub(crate) struct KeyedState {
    states: Arc<JobStates>,
    folder: StateFolder,
    generation: Generation,
    /// Windows that end by then have been emitted.
    closed: Option<i64>,
    /// Objects that are being deleted, until a commit says that they are.
    deleting: BTreeSet<String>,
}

/// State of one checkpoint on its way to the store.
pub(crate) struct Pending {
    folder: StateFolder,
    delta: Delta,
    closed: Option<i64>,
}

impl KeyedState {
    /// Restores what a state says, and removes what earlier generations left half-made. `reads` is false for a
    /// generation that runs no epochs: it needs no state.
    pub(crate) async fn restore(
        spec: &JobSpec,
        environment: &JobEnvironment,
        generation: Generation,
        state: &JobState,
        reads: bool,
    ) -> Result<Self, JobError> {
        let folder = StateFolder::new(Arc::clone(&environment.store), environment.state_folder.clone());
        let keeps = spec.plan.keeps_state || !state.state.is_empty();
        let store = match keeps {
            true if reads => folder.restore(&state.state).await?,
            _ => StateStore::default(),
        };
        if keeps {
            let removed = folder.delete_orphans(generation, &state.state).await?;
            if removed > 0 {
                tracing::info!(job = %spec.name, objects = removed, "removed state that an earlier generation left half-made");
            }
        }
        let states = Arc::new(JobStates::try_new(&spec.plan.physical, store)?);
        Ok(Self { states, folder, generation, closed: state.state.closed, deleting: BTreeSet::new() })
    }

    pub(crate) fn states(&self) -> &Arc<JobStates> {
        &self.states
    }

    /// Windows that end by then have been emitted.
    pub(crate) fn closed(&self) -> Option<i64> {
        self.closed
    }

    /// An epoch has emitted the windows that end by this watermark.
    pub(crate) fn emitted(&mut self, watermark: Option<i64>) {
        if self.states.any() {
            self.closed = self.closed.max(watermark);
        }
    }

    /// True if a window has ended by this watermark and is to be emitted.
    pub(crate) fn is_due(&self, watermark: Option<i64>) -> bool {
        let next = || self.states.next_close(self.closed);
        watermark.is_some_and(|watermark| self.states.any() && next().is_some_and(|end| end <= watermark))
    }

    /// Takes what has changed since the last checkpoint; none if no operator keeps state.
    pub(crate) fn checkpoint(&self, environment: &JobEnvironment) -> Result<Option<Pending>, JobError> {
        if !self.states.any() {
            return Ok(None);
        }
        let name = StateFolder::fresh_name(self.generation, environment.entropy.as_ref());
        let delta = self.states.checkpoint(name)?;
        Ok(Some(Pending { folder: self.folder.clone(), delta, closed: self.closed }))
    }

    /// Objects that a committed state no longer needs and that aren't being deleted, and who deletes them.
    pub(crate) fn to_delete(&mut self, state: &JobState) -> Option<(StateFolder, Vec<String>)> {
        self.deleting.retain(|path| state.state.objects.contains_key(path));
        let superseded = state.state.superseded().filter(|path| !self.deleting.contains(*path));
        let paths: Vec<String> = superseded.cloned().collect();
        self.deleting.extend(paths.iter().cloned());
        (!paths.is_empty()).then(|| (self.folder.clone(), paths))
    }
}

impl Pending {
    /// Makes it durable; what the log is to say.
    pub(crate) async fn write(self) -> Result<StateChange, JobError> {
        Ok(self.folder.write(self.delta, self.closed).await?)
    }
}
