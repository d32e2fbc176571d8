//! The shared truth: each row exactly once in every snapshot, whatever interleaves.

use crate::fixture::*;
use arrow::array::AsArray;
use arrow::datatypes::Int64Type;
use proptest::prelude::*;
use salamander_hive::{HiveTable, LiveTable, RowsEncoder, TableRows};
use salamander_types::{Epoch, LogNumber};
use std::sync::Arc;

#[derive(Debug, Clone)]
enum Step {
    /// An epoch of so many rows is published.
    Publish(usize, u8),
    /// All published epochs but the last so many are committed.
    Commit(usize, usize),
    /// Rolls are committed to.
    Plan(usize),
    /// … and carried out.
    Roll(usize),
    /// A new generation forgets what was not committed.
    Reset(usize),
    /// A reader looks.
    Pin,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let job = 0usize..2;
    let step = prop_oneof![
        4 => (job.clone(), 0u8..4).prop_map(|(j, n)| Step::Publish(j, n)),
        2 => (job.clone(), 0usize..3).prop_map(|(j, n)| Step::Commit(j, n)),
        1 => job.clone().prop_map(Step::Plan),
        1 => job.clone().prop_map(Step::Roll),
        1 => job.prop_map(Step::Reset),
        3 => Just(Step::Pin),
    ];
    prop::collection::vec(step, 1..40)
}

/// A job beside what it should show.
struct Model {
    job: Job,
    number: u64,
    next: i64,
    published: Vec<(u64, Vec<i64>)>,
    committed: Vec<i64>,
    up_to: u64,
    epoch: u64,
}

fn numbered(ids: &[i64]) -> arrow::array::RecordBatch {
    let rows: Vec<Row> = ids.iter().map(|id| (None, 0, Some(*id), None, Some((*id % 3) as u8))).collect();
    batch(&rows)
}

fn encoded(live: &LiveTable, ids: &[i64]) -> TableRows {
    let mut encoder = RowsEncoder::new(live.layout().clone());
    encoder.push(&numbered(ids)).unwrap();
    TableRows { batches: Vec::new(), encoded: vec![Arc::new(encoder.finish().unwrap())] }
}

impl Model {
    fn commit_state(&mut self, live: &LiveTable) {
        self.number += 1;
        let state = Arc::new(self.job.state().clone());
        live.commit(&self.job.id, LogNumber(self.number), state, Epoch(self.up_to)).unwrap();
    }

    async fn step(&mut self, live: &LiveTable, step: &Step) {
        match step {
            Step::Publish(_, rows) => {
                self.epoch += 1;
                let ids: Vec<i64> = (self.next..self.next + i64::from(*rows)).collect();
                self.next += i64::from(*rows);
                // Large epochs come encoded, small ones as they are; to readers it is all the same.
                let rows = if self.epoch.is_multiple_of(2) { encoded(live, &ids) } else { vec![numbered(&ids)].into() };
                live.publish(&self.job.id, Epoch(self.epoch), rows).unwrap();
                self.published.push((self.epoch, ids));
            }
            Step::Commit(_, behind) => {
                let take = self.published.len().saturating_sub(*behind);
                let epochs: Vec<_> = self.published.drain(..take).collect();
                let Some((last, _)) = epochs.last() else { return };
                self.up_to = *last;
                let ids: Vec<i64> = epochs.into_iter().flat_map(|(_, ids)| ids).collect();
                self.job.checkpoint(&[numbered(&ids)], 0).await;
                self.committed.extend(ids);
                self.commit_state(live);
            }
            Step::Plan(_) => {
                if self.job.plan(0, true) > 0 {
                    self.commit_state(live);
                }
            }
            Step::Roll(_) => {
                if !self.job.state().rolls.is_empty() {
                    self.job.roll().await;
                    self.commit_state(live);
                }
            }
            Step::Reset(_) => {
                self.published.clear();
                (self.epoch, self.up_to) = (0, 0);
                self.number += 1;
                let state = Arc::new(self.job.state().clone());
                live.reset(&self.job.id, LogNumber(self.number), state).unwrap();
            }
            Step::Pin => {}
        }
    }

    fn shown(&self) -> Vec<i64> {
        let memory = self.published.iter().flat_map(|(_, ids)| ids);
        self.committed.iter().chain(memory).copied().collect()
    }
}

async fn ids(table: HiveTable) -> Vec<i64> {
    let context = datafusion::prelude::SessionContext::new();
    let rows = context.read_table(Arc::new(table)).unwrap().select_columns(&["big"]).unwrap().collect().await.unwrap();
    let mut ids: Vec<i64> =
        rows.iter().flat_map(|b| b.column(0).as_primitive::<Int64Type>().values().to_vec()).collect();
    ids.sort_unstable();
    ids
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn every_snapshot_holds_each_row_once(steps in steps()) {
        let layout = layout();
        let live = LiveTable::new(layout.clone());
        block_on(async {
            let mut models: Vec<Model> = ["j1", "j2"]
                .iter()
                .enumerate()
                .map(|(i, id)| Model {
                    job: Job::new(&layout, id), number: 0, next: i as i64 * 1_000_000, published: Vec::new(),
                    committed: Vec::new(), up_to: 0, epoch: 0,
                })
                .collect();
            let mut earlier = Vec::new();
            for step in &steps {
                if let Step::Pin = step {
                    let mut expected: Vec<i64> = models.iter().flat_map(Model::shown).collect();
                    expected.sort_unstable();
                    let snapshot = live.pin();
                    assert_eq!(snapshot.rows(), expected.len() as u64);
                    let mut committed: Vec<i64> = models.iter().flat_map(|m| m.committed.clone()).collect();
                    committed.sort_unstable();
                    earlier.push((snapshot, expected, committed));
                }
                let (Step::Publish(job, _) | Step::Commit(job, _) | Step::Plan(job) | Step::Roll(job) | Step::Reset(job)) = step
                else { continue };
                models[*job].step(&live, step).await;
            }
            // Snapshots stay what they were, whatever came after.
            for (snapshot, expected, committed) in earlier {
                assert_eq!(ids(HiveTable::pinned(snapshot.committed())).await, committed);
                assert_eq!(ids(HiveTable::pinned(snapshot)).await, expected);
            }
        });
    }
}

#[test]
fn contradictions_are_refused() {
    let layout = layout();
    let live = LiveTable::new(layout.clone());
    let job = Job::new(&layout, "j1");
    let state = Arc::new(job.state().clone());
    live.publish(&job.id, Epoch(1), vec![numbered(&[1, 2])].into()).unwrap();
    assert!(live.publish(&job.id, Epoch(1), vec![].into()).is_err(), "an epoch twice");
    assert!(live.commit(&job.id, LogNumber(1), state.clone(), Epoch(2)).is_err(), "an epoch of the future");
    live.commit(&job.id, LogNumber(5), state.clone(), Epoch(0)).unwrap();
    assert!(live.commit(&job.id, LogNumber(5), state.clone(), Epoch(1)).is_err(), "a number twice");
    assert!(live.reset(&job.id, LogNumber(4), state.clone()).is_err(), "the log goes back");
    assert_eq!(live.rows(), 2);
    assert!(live.memory_bytes() > 0);
    live.reset(&job.id, LogNumber(6), state).unwrap();
    assert_eq!((live.rows(), live.memory_bytes()), (0, 0));
}
