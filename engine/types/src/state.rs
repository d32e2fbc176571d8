//! A job's keyed state as its log tells it: which objects hold which chunks, and which of these still count.
//!
//! State is a set of *chunks* (Arrow record batches of group keys and accumulator states), each in a *bucket* of one
//! operator. A checkpoint writes what was appended since the last as one hidden object and says in one
//! [`StateChange`] which chunks are in it and which older ones no longer count. [`KeyedState`] is the fold.

use crate::manifest::FoldError;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

/// Where a chunk belongs within its operator.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Bucket {
    /// What is dropped together: the start of a pane of time, in microseconds since 1970; 0 for state without time.
    pub start: i64,
    /// Tells apart what the operator keeps apart within it; 0 for most.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub tag: i64,
}

fn is_zero(tag: &i64) -> bool {
    *tag == 0
}

impl Bucket {
    /// The bucket that begins here, with tag 0.
    pub fn at(start: i64) -> Self {
        Self { start, tag: 0 }
    }
}

/// One chunk within a state object.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StateChunk {
    /// The operator's id in the plan: stable as long as the plan is.
    pub operator: String,
    /// Where it belongs.
    pub bucket: Bucket,
    /// Where it begins in the object.
    pub offset: u64,
    /// How long it is.
    pub bytes: u64,
    /// Its rows.
    pub rows: u64,
    /// XXH3-64 of its bytes, 16 hex digits.
    pub checksum: String,
}

/// A hidden object of state chunks: what one checkpoint appended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StateObject {
    /// Path relative to the job's state folder: `<generation>-<random>.arrow`.
    pub path: String,
    /// Its length in bytes.
    pub bytes: u64,
    /// Its chunks, in order.
    pub chunks: Vec<StateChunk>,
    /// Those, by index, that no longer count.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub dropped: BTreeSet<u32>,
}

impl StateObject {
    /// The chunks that count, with their index.
    pub fn live(&self) -> impl Iterator<Item = (u32, &StateChunk)> {
        (0u32..).zip(&self.chunks).filter(|(index, _)| !self.dropped.contains(index))
    }

    /// True when no chunk counts any more.
    pub fn is_superseded(&self) -> bool {
        self.dropped.len() == self.chunks.len()
    }
}

/// What one checkpoint changes.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StateChange {
    /// What was appended; none if nothing was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub object: Option<StateObject>,
    /// Chunks of earlier objects that no longer count, by the object's path.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub dropped: BTreeMap<String, BTreeSet<u32>>,
    /// Windows that end at this time (microseconds since 1970) or before have been emitted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub closed: Option<i64>,
}

/// What a job's log folds to, of its keyed state.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KeyedState {
    /// The objects, by path.
    pub objects: BTreeMap<String, StateObject>,
    /// Windows that end at this time or before have been emitted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub closed: Option<i64>,
}

impl KeyedState {
    /// True when there is nothing to say.
    pub fn is_empty(&self) -> bool {
        self.objects.is_empty() && self.closed.is_none()
    }

    /// Applies a checkpoint's change.
    ///
    /// # Errors
    /// When it contradicts what is there.
    pub fn apply(&mut self, change: &StateChange) -> Result<(), FoldError> {
        for (path, dropped) in &change.dropped {
            let Some(object) = self.objects.get_mut(path) else {
                return Err(FoldError(format!("{path} is not a state object of this job")));
            };
            for index in dropped {
                if *index as usize >= object.chunks.len() || !object.dropped.insert(*index) {
                    return Err(FoldError(format!("chunk {index} of {path} is not there or is dropped twice")));
                }
            }
        }
        if let Some(object) = &change.object
            && self.objects.insert(object.path.clone(), object.clone()).is_some()
        {
            return Err(FoldError(format!("state object {} is committed twice", object.path)));
        }
        if change.closed < self.closed {
            return Err(FoldError(format!(
                "windows up to {:?} were emitted, now up to {:?}",
                self.closed, change.closed
            )));
        }
        self.closed = change.closed;
        Ok(())
    }

    /// Forgets objects that have been deleted.
    ///
    /// # Errors
    /// When one isn't there, or has chunks that count.
    pub fn forget(&mut self, paths: &[String]) -> Result<(), FoldError> {
        for path in paths {
            match self.objects.get(path) {
                Some(object) if object.is_superseded() => self.objects.remove(path),
                Some(_) => return Err(FoldError(format!("{path} still holds state"))),
                None => return Err(FoldError(format!("{path} is not a state object of this job"))),
            };
        }
        Ok(())
    }

    /// Paths of the objects without a chunk that counts.
    pub fn superseded(&self) -> impl Iterator<Item = &String> {
        self.objects.values().filter(|o| o.is_superseded()).map(|o| &o.path)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn object(path: &str, chunks: u64) -> StateObject {
        let chunk = |n: u64| StateChunk {
            operator: "window 0".into(),
            bucket: Bucket::at(n as i64),
            offset: n,
            bytes: 1,
            rows: 1,
            checksum: String::new(),
        };
        let (path, chunks) = (path.to_owned(), (0..chunks).map(chunk).collect());
        StateObject { path, bytes: 9, chunks, dropped: BTreeSet::new() }
    }

    fn drops(path: &str, chunks: &[u32]) -> StateChange {
        StateChange { dropped: [(path.to_owned(), chunks.iter().copied().collect())].into(), ..StateChange::default() }
    }

    #[test]
    fn objects_live_as_long_as_their_chunks() {
        let mut state = KeyedState::default();
        state.apply(&StateChange { object: Some(object("a", 2)), ..StateChange::default() }).unwrap();
        state.apply(&drops("a", &[1])).unwrap();
        assert_eq!(state.objects["a"].live().map(|(i, _)| i).collect::<Vec<_>>(), [0]);
        assert!(state.forget(&["a".into()]).is_err());
        assert!(state.apply(&drops("a", &[1])).is_err(), "dropped twice");
        assert!(state.apply(&drops("b", &[0])).is_err(), "not there");
        state.apply(&drops("a", &[0])).unwrap();
        assert_eq!(state.superseded().collect::<Vec<_>>(), ["a"]);
        state.forget(&["a".into()]).unwrap();
        assert!(state.is_empty());
    }

    #[test]
    fn what_was_emitted_stays_emitted() {
        let mut state = KeyedState::default();
        state.apply(&StateChange { closed: Some(5), ..StateChange::default() }).unwrap();
        assert!(state.apply(&StateChange { closed: Some(4), ..StateChange::default() }).is_err());
    }
}
