//! The store against a plain model, over checkpoints and restores at any point.

use super::*;
use crate::object::{decode, encode};
use arrow::array::{Array, AsArray, Int64Array};
use arrow::datatypes::{DataType, Field, Int64Type, Schema};
use proptest::prelude::*;
use std::sync::Arc;

fn chunk(value: i64, rows: usize) -> RecordBatch {
    let schema = Arc::new(Schema::new(vec![Field::new("x", DataType::Int64, false)]));
    RecordBatch::try_new(schema, vec![Arc::new(Int64Array::from(vec![value; rows]))]).unwrap()
}

#[derive(Debug, Clone)]
enum Step {
    Append { bucket: i64, rows: usize },
    Replace { bucket: i64 },
    Drop { bucket: i64 },
    Checkpoint,
    Restore,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => (0..5i64, 1..4_000usize).prop_map(|(bucket, rows)| Step::Append { bucket, rows }),
        2 => (0..5i64).prop_map(|bucket| Step::Replace { bucket }),
        2 => (0..5i64).prop_map(|bucket| Step::Drop { bucket }),
        3 => Just(Step::Checkpoint),
        1 => Just(Step::Restore),
    ]
}

/// What a log and a folder of objects hold.
#[derive(Default)]
struct Durable {
    state: KeyedState,
    chunks: BTreeMap<(String, u32), RecordBatch>,
    sums: BTreeMap<i64, i64>,
}

impl Durable {
    fn commit(&mut self, delta: Delta, sums: BTreeMap<i64, i64>) {
        let encoded = encode(&delta).unwrap();
        if let Some((object, pieces)) = &encoded {
            for (index, (chunk, bytes)) in (0u32..).zip(object.chunks.iter().zip(&pieces[1..])) {
                let batch = decode(&object.path, chunk, bytes.clone()).unwrap();
                self.chunks.insert((object.path.clone(), index), batch);
            }
        }
        self.state.apply(&delta.change(encoded.map(|(object, _)| object), None)).unwrap();
        let superseded: Vec<_> = self.state.superseded().cloned().collect();
        self.state.forget(&superseded).unwrap();
        self.sums = sums;
    }
}

fn sums(store: &StateStore) -> BTreeMap<i64, i64> {
    let of = |bucket| -> i64 {
        let chunks = store.chunks("op", bucket);
        chunks.map(|(_, b)| b.column(0).as_primitive::<Int64Type>().values().iter().sum::<i64>()).sum()
    };
    store.buckets("op").map(|b| (b.start, of(b))).filter(|(_, sum)| *sum != 0).collect()
}

proptest! {
    #[test]
    fn a_restored_store_says_what_was_committed(steps in prop::collection::vec(step(), 1..80)) {
        let (mut store, mut durable, mut objects) = (StateStore::default(), Durable::default(), 0);
        for step in steps {
            match step {
                Step::Append { bucket, rows } => {
                    store.append("op", Bucket::at(bucket), chunk(1 + bucket, rows));
                }
                Step::Replace { bucket } => {
                    let bucket = Bucket::at(bucket);
                    let old: Vec<_> = store.chunks("op", bucket).map(|(id, b)| (id, b.clone())).collect();
                    let rows: usize = old.iter().map(|(_, b)| b.num_rows()).sum();
                    let ids: Vec<_> = old.iter().map(|(id, _)| *id).collect();
                    if rows > 0 {
                        store.replace("op", bucket, &ids, chunk(1 + bucket.start, rows));
                        prop_assert_eq!(store.chunks("op", bucket).count(), 1);
                    }
                }
                Step::Drop { bucket } => store.drop_bucket("op", Bucket::at(bucket)),
                Step::Checkpoint => {
                    objects += 1;
                    let delta = store.checkpoint(format!("{objects:05}"));
                    durable.commit(delta, sums(&store));
                }
                Step::Restore => {
                    let chunks = &durable.chunks;
                    store = StateStore::restored(&durable.state, |path, index| {
                        chunks.get(&(path.to_owned(), index)).cloned()
                    });
                    prop_assert_eq!(sums(&store), durable.sums.clone());
                }
            }
        }
    }
}

#[test]
fn what_lived_between_two_checkpoints_is_never_written() {
    let mut store = StateStore::default();
    store.append("op", Bucket::at(1), chunk(1, 10));
    store.drop_bucket("op", Bucket::at(1));
    assert!(store.checkpoint("a".into()).is_empty());
}

#[test]
fn an_object_of_which_little_counts_is_written_anew() {
    let mut store = StateStore::default();
    store.append("op", Bucket::at(1), chunk(1, 20_000));
    store.append("op", Bucket::at(2), chunk(2, 10));
    assert_eq!(store.checkpoint("a".into()).appended.len(), 2);
    store.drop_bucket("op", Bucket::at(1));
    let delta = store.checkpoint("b".into());
    assert_eq!(delta.appended.len(), 1);
    assert_eq!(delta.dropped["a"], [0, 1].into());
}

#[test]
fn damage_and_other_formats_are_refused() {
    let mut store = StateStore::default();
    store.append("op", Bucket::at(1), chunk(1, 10));
    let (object, pieces) = encode(&store.checkpoint("a".into())).unwrap().unwrap();
    let mut bytes = pieces[1].to_vec();
    bytes[20] ^= 1;
    let error = decode("a", &object.chunks[0], bytes.into()).unwrap_err();
    assert_eq!(error.to_string(), "state object a: the chunk at 16 is not the one that the log speaks of");
    let mut header = pieces[0].to_vec();
    header[8] = 9;
    let error = crate::object::check_header("a", &header).unwrap_err();
    assert!(error.to_string().contains("has format 9, this build reads format 1"), "{error}");
    assert!(store.checkpoint("b".into()).appended.iter().all(|a| !a.batch.column(0).is_empty()));
}
