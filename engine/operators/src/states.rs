//! The state of all stateful operators of a job: what lives longer than an epoch.

use crate::join::IntervalJoinExec;
use crate::window::exec::merge;
use crate::window::state::{Closing, WindowState};
use crate::window::{Aggregation, WindowAggregateExec};
use arrow::array::{Array, ArrayRef, AsArray, RecordBatch};
use arrow::datatypes::DataType;
use datafusion::common::{Result, exec_err, internal_datafusion_err};
use datafusion::physical_plan::ExecutionPlan;
use parking_lot::Mutex;
use salamander_state::{Delta, StateStore};
use std::any::Any;
use std::collections::BTreeMap;
use std::fmt::Debug;
use std::sync::Arc;

/// What one operator keeps between epochs: in memory what came since the last checkpoint, in the [`StateStore`] what is
/// older, under the operator's id.
pub(crate) trait Keeps: Any + Debug + Send + Sync {
    /// The watermark that the job must reach for the operator to have something to emit; none while it has nothing.
    /// What was due by `closed` has been emitted.
    fn next_close(&self, store: &StateStore, closed: Option<i64>) -> Option<i64>;

    /// Puts everything into the store, for a checkpoint. No epoch is running.
    ///
    /// # Errors
    /// When a part doesn't give its state.
    fn freeze(&self, store: &mut StateStore) -> Result<()>;

    /// Takes over what was restored under the operator's id.
    ///
    /// # Errors
    /// When it isn't the state of this operator, or was written by a build that counts otherwise.
    fn restore(&self, store: &StateStore) -> Result<()>;

    /// What it keeps.
    fn describe(&self, store: &StateStore, closed: Option<i64>) -> OperatorState;
}

/// A plan node that keeps state.
trait Stateful {
    fn operator(&self) -> &str;
    /// Its state, empty.
    fn keeps(&self) -> Arc<dyn Keeps>;
}

impl Stateful for WindowAggregateExec {
    fn operator(&self) -> &str {
        self.operator()
    }

    fn keeps(&self) -> Arc<dyn Keeps> {
        Arc::new(self.state())
    }
}

impl Stateful for IntervalJoinExec {
    fn operator(&self) -> &str {
        self.operator()
    }

    fn keeps(&self) -> Arc<dyn Keeps> {
        Arc::new(self.state())
    }
}

/// The node, if it is one that keeps state. Each kind has its line here.
fn stateful(plan: &Arc<dyn ExecutionPlan>) -> Option<&dyn Stateful> {
    let window = plan.downcast_ref::<WindowAggregateExec>().map(|node| node as &dyn Stateful);
    window.or_else(|| plan.downcast_ref::<IntervalJoinExec>().map(|node| node as &dyn Stateful))
}

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

/// What the windows of one operator hold so far, as the parts that it is to be merged of.
#[derive(Debug)]
pub struct OpenWindows {
    /// The operator's id.
    pub operator: String,
    aggregation: Arc<Aggregation>,
    windows: Vec<Closing>,
}

impl OpenWindows {
    /// The rows that the operator would emit if all its windows closed now, in its output's schema.
    ///
    /// # Errors
    /// When parts don't fit together.
    pub async fn rows(self) -> Result<Vec<RecordBatch>> {
        let mut rows = Vec::with_capacity(self.windows.len());
        for window in self.windows {
            rows.push(merge(Arc::clone(&self.aggregation), window).await?);
        }
        Ok(rows)
    }
}

/// The states of a job's operators, by operator id. One per generation; every epoch's context holds it.
#[derive(Debug, Default)]
pub struct JobStates {
    operators: BTreeMap<String, Arc<dyn Keeps>>,
    store: Mutex<StateStore>,
}

impl JobStates {
    /// States for a plan's operators, with what was restored.
    ///
    /// # Errors
    /// When what was restored isn't the state of this plan, or was written by a build that counts otherwise.
    pub fn try_new(plan: &Arc<dyn ExecutionPlan>, restored: StateStore) -> Result<Self> {
        let mut operators = BTreeMap::new();
        find(plan, &mut |node| {
            operators.insert(node.operator().to_owned(), node.keeps());
        });
        for operator in restored.operators() {
            match operators.get(operator) {
                Some(state) => state.restore(&restored)?,
                None => {
                    return exec_err!(
                        "the job has state of {operator}, which its query doesn't have: this build plans the query \
                         otherwise. Run the build that wrote it, or stop the job and create it anew"
                    );
                }
            }
        }
        Ok(Self { operators, store: Mutex::new(restored) })
    }

    /// True if any operator keeps state.
    pub fn any(&self) -> bool {
        !self.operators.is_empty()
    }

    /// What an operator keeps, and the store that it shares with the others.
    pub(crate) fn of<K: Keeps>(&self, operator: &str) -> Result<Arc<K>> {
        let found: Option<Arc<dyn Any + Send + Sync>> = self.operators.get(operator).cloned().map(|keeps| keeps as _);
        found
            .and_then(|keeps| keeps.downcast().ok())
            .ok_or_else(|| internal_datafusion_err!("{operator} has no state: the plan is another job's"))
    }

    /// The chunks of all operators. An operator that locks parts of its own too locks no other operator's.
    pub(crate) fn store(&self) -> &Mutex<StateStore> {
        &self.store
    }

    /// The watermark at which an operator next has something to emit, after what was emitted by `closed`.
    pub fn next_close(&self, closed: Option<i64>) -> Option<i64> {
        let store = self.store.lock();
        self.operators.values().filter_map(|keeps| keeps.next_close(&store, closed)).min()
    }

    /// What the next checkpoint must make durable, in an object of this name. No epoch may be running.
    ///
    /// # Errors
    /// When an accumulator doesn't give its state.
    pub fn checkpoint(&self, path: String) -> Result<Delta> {
        let mut store = self.store.lock();
        self.operators.values().try_for_each(|keeps| keeps.freeze(&mut store))?;
        Ok(store.checkpoint(path))
    }

    /// What the windows hold that have not been emitted by `closed`. No epoch may be running.
    ///
    /// # Errors
    /// When an accumulator doesn't give its state.
    pub fn open_windows(&self, closed: Option<i64>) -> Result<Vec<OpenWindows>> {
        let mut store = self.store.lock();
        let mut open = Vec::new();
        for (operator, keeps) in &self.operators {
            let keeps: Arc<dyn Any + Send + Sync> = Arc::clone(keeps) as _;
            if let Ok(state) = keeps.downcast::<WindowState>() {
                let aggregation = Arc::clone(state.aggregation());
                open.push(OpenWindows {
                    operator: operator.clone(),
                    aggregation,
                    windows: state.peek(&mut store, closed)?,
                });
            }
        }
        Ok(open)
    }

    /// What each operator keeps. Windows that end by `closed` have been emitted.
    pub fn describe(&self, closed: Option<i64>) -> Vec<OperatorState> {
        let store = self.store.lock();
        self.operators.values().map(|keeps| keeps.describe(&store, closed)).collect()
    }
}

/// True if a plan has an operator that keeps state.
pub fn keeps_state(plan: &Arc<dyn ExecutionPlan>) -> bool {
    let mut any = false;
    find(plan, &mut |_| any = true);
    any
}

/// The id of a node that keeps state.
pub(crate) fn operator_of(plan: &Arc<dyn ExecutionPlan>) -> Option<String> {
    stateful(plan).map(|node| node.operator().to_owned())
}

fn find(plan: &Arc<dyn ExecutionPlan>, found: &mut dyn FnMut(&dyn Stateful)) {
    stateful(plan).into_iter().for_each(&mut *found);
    plan.children().into_iter().for_each(|child| find(child, found));
}

/// A column whose views point into buffers of their own: what is kept as state must not hold on to whole payloads.
pub(crate) fn compact(column: ArrayRef) -> ArrayRef {
    match column.data_type() {
        DataType::Utf8View => Arc::new(column.as_string_view().gc()),
        DataType::BinaryView => Arc::new(column.as_binary_view().gc()),
        _ => column,
    }
}
