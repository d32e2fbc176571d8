//! The catalog in its log: one commit for each statement that changes it.

use crate::error::HeadError;
use object_store::ObjectStore;
use object_store::path::Path;
use parking_lot::RwLock;
use salamander_sql::{Catalog, CatalogChange};
use salamander_storage::{Commit, Head, Loaded, Log, LogContext};
use salamander_types::ErrorKind;
use salamander_types::manifest::{FoldError, LogState};
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// The catalog as the fold of its log.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct CatalogState(pub Catalog);

impl LogState for CatalogState {
    type Entry = CatalogChange;

    fn apply(&mut self, entry: &CatalogChange) -> Result<(), FoldError> {
        self.0.apply(entry).map_err(|e| FoldError(e.to_string()))
    }
}

/// The catalog of a head that rules its log.
#[derive(Debug)]
pub struct CatalogLog {
    log: Log<CatalogState>,
    /// Held through a change, so that changes come one after the other.
    head: tokio::sync::Mutex<Head>,
    current: RwLock<Arc<Catalog>>,
}

impl CatalogLog {
    /// Wins a generation of the catalog's log; an earlier head that still runs is fenced by it.
    ///
    /// # Errors
    /// When the log can't be read or written.
    pub async fn open(store: Arc<dyn ObjectStore>, folder: Path, context: LogContext) -> Result<Self, HeadError> {
        let log = Log::new(store, folder, "catalog".to_owned(), context);
        let Loaded { head, state } = log.open_generation(|_| Vec::new()).await?;
        Ok(Self { log, head: tokio::sync::Mutex::new(head), current: RwLock::new(Arc::new(state.0)) })
    }

    /// The catalog now.
    pub fn get(&self) -> Arc<Catalog> {
        Arc::clone(&self.current.read())
    }

    /// Changes the catalog: `decide` sees it as it is and says what to change. Nothing decided, nothing written.
    ///
    /// # Errors
    /// What `decide` says; what contradicts the catalog; a log that can't be written, or has another ruler.
    pub async fn change(
        &self,
        decide: impl FnOnce(&Catalog) -> Result<Vec<CatalogChange>, HeadError>,
    ) -> Result<(), HeadError> {
        let mut head = self.head.lock().await;
        let mut next = CatalogState(self.get().as_ref().clone());
        let changes = decide(&next.0)?;
        if changes.is_empty() {
            return Ok(());
        }
        for change in &changes {
            next.0.apply(change)?;
        }
        match self.log.commit(&head, &next, changes).await? {
            Commit::Won(won) => *head = won,
            Commit::Fenced { .. } => {
                return Err(HeadError::Refused {
                    kind: ErrorKind::Fenced,
                    message: "another engine has taken over this data directory; connect to it instead".to_owned(),
                });
            }
        }
        *self.current.write() = Arc::new(next.0);
        Ok(())
    }
}
