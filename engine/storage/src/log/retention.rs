//! Deleting manifests that no reader needs: those below a base that has been there for a while.
//!
//! The base itself and all above it stay, so the newest object is never deleted: a writer that slept through many
//! commits finds out by listing that it rules no more. Anybody may prune, at any time, more than once: only what lies
//! below an existing base goes, and no load reads past a base.

use super::{Log, LogError};
use crate::failpoint;
use futures::{StreamExt, stream};
use object_store::Error;
use salamander_types::LogNumber;
use salamander_types::manifest::{Body, LogState};
use std::time::Duration;

/// How long superseded manifests and hidden objects stay, for readers that are at work with them.
pub const RETENTION: Duration = Duration::from_secs(3600);

impl<S: LogState> Log<S> {
    /// Deletes what lies below the newest base that was written at least `keep` ago (usually [`RETENTION`]); returns
    /// how many objects that were.
    ///
    /// # Errors
    /// The store's. What was deleted until then stays deleted; calling again goes on.
    pub async fn prune(&self, keep: Duration) -> Result<usize, LogError> {
        let numbers = self.list().await?;
        let Some(base) = self.settled_base(&numbers, keep).await? else {
            return Ok(0);
        };
        let old: Vec<_> =
            numbers.into_iter().filter(|number| *number < base).map(|number| Ok(self.object(number))).collect();
        if old.is_empty() {
            return Ok(0);
        }
        failpoint::hit("log.before-prune");
        let mut deleted = 0;
        let mut answers = self.store.delete_stream(stream::iter(old).boxed());
        while let Some(answer) = answers.next().await {
            match answer {
                Ok(_) => deleted += 1,
                Err(Error::NotFound { .. }) => {}
                Err(source) => return Err(self.store_error("delete from", self.folder.as_ref(), source)),
            }
        }
        Ok(deleted)
    }

    /// The newest base that was written at least `keep` ago.
    async fn settled_base(&self, numbers: &[LogNumber], keep: Duration) -> Result<Option<LogNumber>, LogError> {
        let keep = i64::try_from(keep.as_micros()).unwrap_or(i64::MAX);
        let latest = self.context.clock.now_micros().saturating_sub(keep);
        for number in numbers.iter().rev().filter(|number| self.is_base(**number)) {
            if let Some(manifest) = self.read_manifest(*number).await?
                && matches!(manifest.body, Body::Base(_))
                && manifest.written_at <= latest
            {
                return Ok(Some(*number));
            }
        }
        Ok(None)
    }
}
