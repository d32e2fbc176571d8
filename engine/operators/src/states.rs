//! The state of all stateful operators of a job: what lives longer than an epoch.

use crate::window::WindowAggregateExec;
use crate::window::state::{Closing, WindowState};
use datafusion::common::{DataFusionError, Result, exec_err};
use datafusion::physical_plan::ExecutionPlan;
use parking_lot::Mutex;
use salamander_state::{Delta, StateStore};
use std::collections::BTreeMap;
use std::sync::Arc;

/// What one operator keeps.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OperatorState {
    /// Its id in the plan.
    pub operator: String,
    /// What it does, as in EXPLAIN.
    pub what: String,
    /// Panes that hold rows.
    pub panes: usize,
    /// Groups, counted once for each pane and each part of it that isn't merged yet.
    pub groups: u64,
    /// Bytes in memory of the part that has been through a checkpoint.
    pub bytes: usize,
    /// Where the oldest pane begins, in microseconds since 1970.
    pub oldest: Option<i64>,
    /// When the next window that holds rows ends.
    pub next_end: Option<i64>,
}

/// The states of a job's operators, by operator id. One per generation; every epoch's context holds it.
#[derive(Debug, Default)]
pub struct JobStates {
    windows: BTreeMap<String, Arc<WindowState>>,
    store: Mutex<StateStore>,
}

impl JobStates {
    /// States for a plan's operators, with what was restored.
    ///
    /// # Errors
    /// When what was restored isn't the state of this plan, or was written by a build that counts otherwise.
    pub fn try_new(plan: &Arc<dyn ExecutionPlan>, restored: StateStore) -> Result<Self> {
        let mut windows = BTreeMap::new();
        find(plan, &mut |node| {
            windows.insert(node.operator().to_owned(), Arc::new(node.state()));
        });
        for operator in restored.operators() {
            match windows.get(operator) {
                Some(state) => state.check(&restored)?,
                None => {
                    return exec_err!(
                        "the job has state of {operator}, which its query doesn't have: this build plans the query \
                         otherwise. Run the build that wrote it, or stop the job and create it anew"
                    );
                }
            }
        }
        Ok(Self { windows, store: Mutex::new(restored) })
    }

    /// True if any operator keeps state.
    pub fn any(&self) -> bool {
        !self.windows.is_empty()
    }

    pub(crate) fn window(&self, operator: &str) -> Result<Arc<WindowState>> {
        let found = self.windows.get(operator).cloned();
        found.ok_or_else(|| DataFusionError::Internal(format!("{operator} has no state: the plan is another job's")))
    }

    pub(crate) fn close(&self, state: &WindowState, closed: Option<i64>, watermark: i64) -> Result<Vec<Closing>> {
        state.close(&self.store, closed, watermark)
    }

    /// When the next window ends that holds rows, of those that end after `closed`.
    pub fn next_close(&self, closed: Option<i64>) -> Option<i64> {
        let store = self.store.lock();
        self.windows.values().filter_map(|w| w.next_close(&store, closed)).min()
    }

    /// What the next checkpoint must make durable, in an object of this name. No epoch may be running.
    ///
    /// # Errors
    /// When an accumulator doesn't give its state.
    pub fn checkpoint(&self, path: String) -> Result<Delta> {
        let mut store = self.store.lock();
        self.windows.values().try_for_each(|w| w.freeze(&mut store))?;
        Ok(store.checkpoint(path))
    }

    /// What each operator keeps. Windows that end by `closed` have been emitted.
    pub fn describe(&self, closed: Option<i64>) -> Vec<OperatorState> {
        let store = self.store.lock();
        self.windows.values().map(|window| window.describe(&store, closed)).collect()
    }
}

/// True if a plan has an operator that keeps state.
pub fn keeps_state(plan: &Arc<dyn ExecutionPlan>) -> bool {
    let mut any = false;
    find(plan, &mut |_| any = true);
    any
}

fn find(plan: &Arc<dyn ExecutionPlan>, found: &mut dyn FnMut(&WindowAggregateExec)) {
    if let Some(node) = plan.downcast_ref::<WindowAggregateExec>() {
        found(node);
    }
    plan.children().into_iter().for_each(|child| find(child, found));
}
