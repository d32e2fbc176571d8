//! The chunks of a job's operators, in memory, and what of them is durable.

use arrow::array::RecordBatch;
use salamander_types::state::{Bucket, KeyedState, StateChange};
use std::collections::{BTreeMap, BTreeSet};

/// An object of at least so many bytes is written anew when less than a [`REWRITE_BELOW`]th of it counts.
const REWRITE_FROM: u64 = 64 << 10;
const REWRITE_BELOW: u64 = 4;
/// With more objects than this, those of which least counts are written anew whatever their size.
const MOST_OBJECTS: usize = 256;

/// Names a chunk within a store.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct ChunkId(u64);

#[derive(Debug, Clone)]
struct Chunk {
    batch: RecordBatch,
    /// Object and index, once it was given out to be written.
    home: Option<(String, u32)>,
}

/// What is known of a durable object.
#[derive(Debug, Clone, Default)]
struct Object {
    bytes: u64,
    live_bytes: u64,
    /// The bytes of each chunk that counts, by index.
    live: BTreeMap<u32, u64>,
}

/// A chunk to be written.
#[derive(Debug, Clone)]
pub struct Appended {
    /// The operator that it belongs to.
    pub operator: String,
    /// Where it belongs there.
    pub bucket: Bucket,
    /// Its rows.
    pub batch: RecordBatch,
}

/// What has changed since the last checkpoint.
#[derive(Debug, Clone, Default)]
pub struct Delta {
    /// The object that `appended` goes to, relative to the job's state folder.
    pub path: String,
    /// Chunks to be written, in order.
    pub appended: Vec<Appended>,
    /// Chunks of earlier objects that no longer count.
    pub dropped: BTreeMap<String, BTreeSet<u32>>,
}

/// The chunks of all operators of a job.
#[derive(Debug, Clone, Default)]
pub struct StateStore {
    operators: BTreeMap<String, BTreeMap<Bucket, BTreeMap<ChunkId, Chunk>>>,
    objects: BTreeMap<String, Object>,
    dropped: BTreeMap<String, BTreeSet<u32>>,
    next: u64,
}

impl StateStore {
    /// Appends a chunk to a bucket.
    pub fn append(&mut self, operator: &str, bucket: Bucket, batch: RecordBatch) -> ChunkId {
        self.insert(operator, bucket, Chunk { batch, home: None })
    }

    fn insert(&mut self, operator: &str, bucket: Bucket, chunk: Chunk) -> ChunkId {
        let id = ChunkId(self.next);
        self.next += 1;
        self.operators.entry(operator.to_owned()).or_default().entry(bucket).or_default().insert(id, chunk);
        id
    }

    /// The buckets of an operator, in order.
    pub fn buckets(&self, operator: &str) -> impl Iterator<Item = Bucket> {
        self.operators.get(operator).into_iter().flat_map(BTreeMap::keys).copied()
    }

    /// The chunks of a bucket, in the order in which they were appended.
    pub fn chunks(&self, operator: &str, bucket: Bucket) -> impl Iterator<Item = (ChunkId, &RecordBatch)> {
        let chunks = self.operators.get(operator).and_then(|b| b.get(&bucket));
        chunks.into_iter().flatten().map(|(id, chunk)| (*id, &chunk.batch))
    }

    /// Puts one chunk in place of some of a bucket's, which together say the same.
    pub fn replace(&mut self, operator: &str, bucket: Bucket, old: &[ChunkId], batch: RecordBatch) -> ChunkId {
        if let Some(chunks) = self.operators.get_mut(operator).and_then(|b| b.get_mut(&bucket)) {
            let gone: Vec<_> = old.iter().filter_map(|id| chunks.remove(id)).collect();
            gone.into_iter().for_each(|chunk| self.leave_home(chunk));
        }
        self.append(operator, bucket, batch)
    }

    /// Drops a bucket with all its chunks.
    pub fn drop_bucket(&mut self, operator: &str, bucket: Bucket) {
        let gone = self.operators.get_mut(operator).and_then(|b| b.remove(&bucket));
        gone.into_iter().flatten().for_each(|(_, chunk)| self.leave_home(chunk));
    }

    fn leave_home(&mut self, chunk: Chunk) {
        let Some((path, index)) = chunk.home else { return };
        if let Some(object) = self.objects.get_mut(&path) {
            object.live_bytes -= object.live.remove(&index).unwrap_or(0);
            if object.live.is_empty() {
                self.objects.remove(&path);
            }
        }
        self.dropped.entry(path).or_default().insert(index);
    }

    /// Bytes of memory that the chunks hold.
    pub fn bytes(&self) -> usize {
        let buckets = self.operators.values().flat_map(BTreeMap::values);
        buckets.flat_map(BTreeMap::values).map(|c| c.batch.get_array_memory_size()).sum()
    }

    /// What the next checkpoint must make durable, in an object of this name. From here on the store takes it for
    /// durable: if it can't be written or committed, the store is of no more use.
    pub fn checkpoint(&mut self, path: String) -> Delta {
        self.rewrite();
        let mut delta = Delta { dropped: std::mem::take(&mut self.dropped), ..Delta::default() };
        let mut object = Object::default();
        for (operator, buckets) in &mut self.operators {
            buckets.retain(|_, chunks| !chunks.is_empty());
            for (bucket, chunks) in buckets {
                for chunk in chunks.values_mut().filter(|c| c.home.is_none()) {
                    let index = u32::try_from(delta.appended.len()).unwrap_or(u32::MAX);
                    chunk.home = Some((path.clone(), index));
                    let bytes = chunk.batch.get_array_memory_size() as u64;
                    object.live.insert(index, bytes);
                    object.bytes += bytes;
                    let batch = chunk.batch.clone();
                    delta.appended.push(Appended { operator: operator.clone(), bucket: *bucket, batch });
                }
            }
        }
        object.live_bytes = object.bytes;
        if !delta.appended.is_empty() {
            self.objects.insert(path.clone(), object);
        }
        delta.path = path;
        delta
    }

    /// Gives the chunks of objects of which little counts a new home with the next checkpoint.
    fn rewrite(&mut self) {
        let mostly_dead = |o: &Object| o.bytes >= REWRITE_FROM && o.live_bytes < o.bytes / REWRITE_BELOW;
        let mut paths: BTreeSet<String> =
            self.objects.iter().filter(|(_, o)| mostly_dead(o)).map(|(path, _)| path.clone()).collect();
        if self.objects.len() > MOST_OBJECTS {
            let mut by_size: Vec<_> = self.objects.iter().map(|(path, o)| (o.live_bytes, path.clone())).collect();
            by_size.sort_unstable();
            paths.extend(by_size.into_iter().take(MOST_OBJECTS / 2).map(|(_, path)| path));
        }
        if paths.is_empty() {
            return;
        }
        let chunks = self.operators.values_mut().flat_map(BTreeMap::values_mut).flat_map(BTreeMap::values_mut);
        for chunk in chunks {
            if let Some((path, index)) = chunk.home.take_if(|(path, _)| paths.contains(path)) {
                self.dropped.entry(path).or_default().insert(index);
            }
        }
        self.objects.retain(|path, _| !paths.contains(path));
    }

    /// A store of restored chunks, in the order of their objects' paths.
    pub fn restored(state: &KeyedState, mut read: impl FnMut(&str, u32) -> Option<RecordBatch>) -> Self {
        let mut store = Self::default();
        for object in state.objects.values() {
            let mut known = Object { bytes: object.chunks.iter().map(|c| c.bytes).sum(), ..Object::default() };
            for (index, chunk) in object.live() {
                let Some(batch) = read(&object.path, index) else { continue };
                known.live.insert(index, chunk.bytes);
                known.live_bytes += chunk.bytes;
                let home = Some((object.path.clone(), index));
                store.insert(&chunk.operator, chunk.bucket, Chunk { batch, home });
            }
            if !known.live.is_empty() {
                store.objects.insert(object.path.clone(), known);
            }
        }
        store
    }

    /// Ids of the operators that have state.
    pub fn operators(&self) -> impl Iterator<Item = &str> {
        self.operators.keys().map(String::as_str)
    }
}

impl Delta {
    /// True when nothing has changed.
    pub fn is_empty(&self) -> bool {
        self.appended.is_empty() && self.dropped.is_empty()
    }

    /// What the log says of it; the object is what [`crate::object::encode`] made of it.
    pub fn change(self, object: Option<salamander_types::state::StateObject>, closed: Option<i64>) -> StateChange {
        StateChange { object, dropped: self.dropped, closed }
    }
}

#[cfg(test)]
mod tests;
