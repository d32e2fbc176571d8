//! Takes hidden objects away that nobody needs any more.
//!
//! *Orphans* are segments that no manifest names: a crash came between their PUT and the commit. Only those of
//! generations below one's own opened one are taken (rule 12), so no clock decides, and a living writer is never
//! robbed. *Superseded* segments, all of whose rows stand in visible files, stay for an hour, because queries that
//! began before may still read them (rule 18).

use crate::error::{At, HiveError, Result};
use crate::layout::{HIDDEN_FOLDER, TableLayout};
use futures::TryStreamExt;
use object_store::ObjectStoreExt;
use salamander_storage::failpoint;
use salamander_types::manifest::TableState;
use salamander_types::{Generation, JobId};
use std::collections::BTreeMap;
use std::time::Duration;

/// How long superseded segments stay. Queries have shorter deadlines.
pub const SUPERSEDED_FOR: Duration = Duration::from_secs(3600);

/// Deletes the job's hidden objects that its state does not name, of generations below `opened`, the one that the
/// caller has opened. Returns their paths, relative to the table's folder. They never stood in the log.
///
/// # Errors
/// When the store fails; then it can be done again.
pub async fn delete_orphans(
    layout: &TableLayout,
    job: &JobId,
    opened: Generation,
    state: &TableState,
) -> Result<Vec<String>> {
    let folder = format!("{HIDDEN_FOLDER}/{job}");
    let place = layout.place(&folder);
    let prefix = layout.object(&folder)?;
    let listed: Vec<_> = layout.location.store.list(Some(&prefix)).try_collect().await.at(&place)?;
    let mut deleted = Vec::new();
    for object in listed {
        let Some(path) = layout.relative(&object.location) else {
            continue;
        };
        let is_older = segment_generation(path).is_some_and(|g| g < opened);
        if is_older && !state.segments.contains_key(path) {
            delete(layout, path).await?;
            deleted.push(path.to_owned());
        }
    }
    Ok(deleted)
}

/// The generation in a segment's name; none if it isn't a segment's name.
fn segment_generation(path: &str) -> Option<Generation> {
    let name = path.rsplit('/').next()?.strip_suffix(".seg")?;
    let (generation, _) = name.split_once('-')?;
    generation.parse().ok().map(Generation)
}

async fn delete(layout: &TableLayout, path: &str) -> Result<()> {
    let object = layout.object(path)?;
    failpoint::hit("hive.cleanup-before-delete");
    match layout.location.store.delete(&object).await {
        Ok(()) | Err(object_store::Error::NotFound { .. }) => Ok(()),
        Err(error) => Err(error).at(layout.place(path)),
    }
}

/// Remembers since when segments are superseded. It forgets with the process; then they stay a while longer.
#[derive(Debug, Default)]
pub struct SupersededSegments {
    since: BTreeMap<String, Duration>,
}

impl SupersededSegments {
    /// The segments that have been superseded for [`SUPERSEDED_FOR`]. `now` is a monotonic time; `retention` is
    /// [`SUPERSEDED_FOR`] but in tests.
    pub fn due(&mut self, state: &TableState, now: Duration, retention: Duration) -> Vec<String> {
        let superseded = |path: &String| state.segments.get(path).is_some_and(|s| state.is_superseded(s));
        self.since.retain(|path, _| superseded(path));
        for path in state.segments.keys().filter(|p| superseded(p)) {
            self.since.entry(path.clone()).or_insert(now);
        }
        let old = |since: &Duration| now.saturating_sub(*since) >= retention;
        self.since.iter().filter(|(_, since)| old(since)).map(|(path, _)| path.clone()).collect()
    }
}

/// Deletes superseded segments, which [`SupersededSegments::due`] has named; returns the paths, for the log's `Deleted`
/// entry. A crash before that entry is harmless: readers take the files, and deleting again finds nothing.
///
/// # Errors
/// When a segment still holds unrolled rows, or the store fails.
pub async fn delete_superseded(layout: &TableLayout, state: &TableState, due: Vec<String>) -> Result<Vec<String>> {
    for path in &due {
        let superseded = state.segments.get(path).is_some_and(|s| state.is_superseded(s));
        if !superseded && !state.delivered.contains(path) {
            let message = "this segment still holds rows that stand in no file";
            return Err(HiveError::corrupt(layout.place(path), message));
        }
    }
    for path in &due {
        delete(layout, path).await?;
    }
    Ok(due)
}
