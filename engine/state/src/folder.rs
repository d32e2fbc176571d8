//! A job's folder of state objects: `DATA_DIR/jobs/<job id>/state/<generation>-<random>.arrow`.

use crate::error::StateError;
use crate::object::{HEADER, check_header, decode, encode};
use crate::store::{Delta, StateStore};
use arrow::array::RecordBatch;
use futures::{FutureExt, StreamExt, TryStreamExt};
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt, PutMode, PutOptions, PutPayload};
use salamander_storage::failpoint;
use salamander_types::state::{KeyedState, StateChange, StateObject};
use salamander_types::{Entropy, Generation};
use std::collections::BTreeMap;
use std::sync::Arc;

/// Requests that a restore has under way at a time.
const AT_ONCE: usize = 8;

/// Where the state objects of one job are. Cheap to clone.
#[derive(Debug, Clone)]
pub struct StateFolder {
    store: Arc<dyn ObjectStore>,
    folder: Path,
}

impl StateFolder {
    /// A folder in a store. Nothing is made or read yet.
    pub fn new(store: Arc<dyn ObjectStore>, folder: Path) -> Self {
        Self { store, folder }
    }

    /// A name for a new object.
    pub fn fresh_name(generation: Generation, entropy: &dyn Entropy) -> String {
        format!("{generation}-{:016x}.arrow", entropy.next_u64())
    }

    fn object(&self, path: &str) -> Path {
        self.folder.clone().join(path)
    }

    /// Encodes a delta on a blocking thread and stores it by one create-if-absent PUT; durable when it returns what the
    /// log is to say. `closed` goes with it.
    ///
    /// # Errors
    /// When the store fails: whether the object is there is then unknown, and cleanup will find it.
    pub async fn write(&self, delta: Delta, closed: Option<i64>) -> Result<StateChange, StateError> {
        let (delta, encoded) = tokio::task::spawn_blocking(move || {
            let encoded = encode(&delta);
            (delta, encoded)
        })
        .await?;
        let Some((object, pieces)) = encoded? else { return Ok(delta.change(None, closed)) };
        failpoint::hit("state.before-put");
        let payload: PutPayload = pieces.iter().cloned().collect();
        let put = self.store.put_opts(&self.object(&object.path), payload, PutOptions::from(PutMode::Create)).await;
        match put {
            Ok(_) => {}
            // The store's own retry of a PUT whose first answer was lost; the name is random, so nobody else has it.
            Err(object_store::Error::AlreadyExists { .. }) => {
                self.read_object(&object).await?;
            }
            Err(source) => return Err(StateError::Store { path: object.path, source }),
        }
        failpoint::hit("state.after-put");
        Ok(delta.change(Some(object), closed))
    }

    /// Reads exactly the chunks that count.
    ///
    /// # Errors
    /// When an object can't be read, is damaged, or has a format that this build doesn't know.
    pub async fn restore(&self, state: &KeyedState) -> Result<StateStore, StateError> {
        let live = state.objects.values().filter(|o| !o.is_superseded()).cloned();
        let reads = live.map(|object| {
            let folder = self.clone();
            async move { folder.read_object(&object).await }.boxed()
        });
        let reads = futures::stream::iter(reads.collect::<Vec<_>>()).buffer_unordered(AT_ONCE);
        let all: Vec<BTreeMap<(String, u32), RecordBatch>> = reads.try_collect().await?;
        let mut all: BTreeMap<_, _> = all.into_iter().flatten().collect();
        Ok(StateStore::restored(state, |path, index| all.remove(&(path.to_owned(), index))))
    }

    async fn read_object(&self, object: &StateObject) -> Result<BTreeMap<(String, u32), RecordBatch>, StateError> {
        let place = self.object(&object.path);
        let fail = |source| StateError::Store { path: object.path.clone(), source };
        let chunks = object.live().map(|(_, chunk)| chunk.offset..chunk.offset + chunk.bytes);
        let ranges: Vec<_> = std::iter::once(0..HEADER).chain(chunks).collect();
        // The store fetches together what lies close together.
        let parts = self.store.get_ranges(&place, &ranges).await.map_err(fail)?;
        let mut parts = parts.into_iter();
        check_header(&object.path, &parts.next().unwrap_or_default())?;
        let decoded = object
            .live()
            .zip(parts)
            .map(|((index, chunk), bytes)| Ok(((object.path.clone(), index), decode(&object.path, chunk, bytes)?)));
        decoded.collect()
    }

    /// Deletes objects that a state does not name, of generations below `opened`, the one that the caller has opened:
    /// a crash came between their PUT and the commit. Returns how many.
    ///
    /// # Errors
    /// When the store fails; then it can be done again.
    pub async fn delete_orphans(&self, opened: Generation, state: &KeyedState) -> Result<usize, StateError> {
        let fail = |source| StateError::Store { path: self.folder.to_string(), source };
        let listed: Vec<_> = self.store.list(Some(&self.folder)).try_collect().await.map_err(fail)?;
        let mut orphans = Vec::new();
        for object in listed {
            let Some(name) = object.location.filename() else { continue };
            if generation_of(name).is_some_and(|g| g < opened) && !state.objects.contains_key(name) {
                orphans.push(name.to_owned());
            }
        }
        self.delete(&orphans).await?;
        Ok(orphans.len())
    }

    /// Deletes objects; those that aren't there are deleted.
    ///
    /// # Errors
    /// When the store fails; then it can be done again.
    pub async fn delete(&self, paths: &[String]) -> Result<(), StateError> {
        for path in paths {
            failpoint::hit("state.before-delete");
            match self.store.delete(&self.object(path)).await {
                Ok(()) | Err(object_store::Error::NotFound { .. }) => {}
                Err(source) => return Err(StateError::Store { path: path.clone(), source }),
            }
        }
        Ok(())
    }
}

/// The generation in an object's name; none if it isn't one's name.
fn generation_of(name: &str) -> Option<Generation> {
    let (generation, _) = name.strip_suffix(".arrow")?.split_once('-')?;
    generation.parse().ok().map(Generation)
}
