//! How an object gets onto a disk so that it is either wholly there or not there at all, and stays.
//!
//! ```text
//! _salamander/tmp/sal-<random>.tmp      write, sync the file
//!         │ hard link (create) or rename (overwrite)
//!         ▼
//! date=2026-11-24/part.parquet          sync the folder, and once each folder above it
//!         │
//!         ▼
//! take the temporary name away
//! ```
//!
//! Invariants, whatever fails where and whenever the power is cut ([`crate::testing::CrashStore`] tests them):
//! - a visible name never stands for half an object;
//! - what was acknowledged is there after a power cut, and so are the folders above it;
//! - creating never replaces; "already exists" is said only of an object that would survive a power cut itself.
//!
//! Leftovers of writers that died lie in the staging folder, where no listing shows them, until the next open.

use crate::disk::{Disk, DiskFile};
use crate::failpoint;
use object_store::PutPayload;
use parking_lot::Mutex;
use salamander_types::Entropy;
use std::collections::HashSet;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use thiserror::Error;

/// The hidden folder of ours within each root.
pub(crate) const HIDDEN_FOLDER: &str = "_salamander";
/// Where objects are staged, within the hidden folder.
pub(crate) const STAGING_FOLDER: &str = "tmp";

/// How often a write starts afresh when its folder or its temporary file is taken away under it.
const ATTEMPTS: u32 = 4;
/// Folders that are remembered as durable. Forgetting them costs a sync each.
const REMEMBERED_FOLDERS: usize = 4096;

/// What to do when the name is taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Taken {
    /// Fail, and leave what is there.
    Refuse,
    /// Put the new object in its place.
    Replace,
}

/// A write that failed.
#[derive(Debug, Error)]
pub(crate) enum WriteError {
    /// The name is taken, by a durable object.
    #[error("the name is taken")]
    Exists,
    /// There was no effect.
    #[error("cannot {step} {}: {source}", path.display())]
    NotWritten { step: &'static str, path: PathBuf, source: io::Error },
    /// The object is visible, but may not survive a power cut.
    #[error("cannot {step} {}: {source}; the object is there but may not be durable", path.display())]
    NotDurable { step: &'static str, path: PathBuf, source: io::Error },
}

impl WriteError {
    fn not_written(step: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::NotWritten { step, path: path.to_owned(), source }
    }

    /// True when something was missing that should have been there: a folder that somebody removed meanwhile.
    fn may_pass(&self) -> bool {
        matches!(self, Self::NotWritten { source, .. } if source.kind() == io::ErrorKind::NotFound)
    }
}

/// Writes objects durably below one root folder.
#[derive(Debug)]
pub(crate) struct DurableWriter {
    root: PathBuf,
    staging: PathBuf,
    disk: Arc<dyn Disk>,
    entropy: Arc<dyn Entropy>,
    /// Folders whose names, up to the root, are known to survive a power cut. That a folder exists doesn't say so:
    /// another write may have made it and not yet synced it.
    durable_folders: Mutex<HashSet<PathBuf>>,
}

/// An object that is being written and has no name yet. Dropping it takes the temporary file away.
#[derive(Debug)]
pub(crate) struct Staged {
    disk: Arc<dyn Disk>,
    file: Box<dyn DiskFile>,
    path: PathBuf,
    renamed: bool,
}

impl Staged {
    pub(crate) fn write_at(&self, offset: u64, payload: &PutPayload) -> Result<(), WriteError> {
        let mut at = offset;
        for chunk in payload {
            self.file.write_at(at, chunk).map_err(WriteError::not_written("write", &self.path))?;
            at += chunk.len() as u64;
        }
        Ok(())
    }
}

impl Drop for Staged {
    fn drop(&mut self) {
        if !self.renamed
            && let Err(error) = self.disk.unlink(&self.path)
        {
            tracing::debug!(path = %self.path.display(), %error, "a temporary file stays until the next open");
        }
    }
}

impl DurableWriter {
    /// A writer below a root folder that exists and is durable.
    pub(crate) fn new(root: PathBuf, disk: Arc<dyn Disk>, entropy: Arc<dyn Entropy>) -> Self {
        Self {
            staging: root.join(HIDDEN_FOLDER).join(STAGING_FOLDER),
            root,
            disk,
            entropy,
            durable_folders: Mutex::new(HashSet::new()),
        }
    }

    /// Removes what writers that died have left behind. Only files named by our own pattern.
    pub(crate) fn remove_leftovers(&self) -> io::Result<usize> {
        let mut removed = 0;
        for path in self.disk.abandoned_files(&self.staging)? {
            if is_staging_name(&path) && self.disk.unlink(&path).is_ok() {
                removed += 1;
            }
        }
        Ok(removed)
    }

    /// Writes one whole object.
    pub(crate) fn put(&self, target: &Path, payload: &PutPayload, taken: Taken) -> Result<(), WriteError> {
        self.retry(|| {
            let staged = self.stage()?;
            staged.write_at(0, payload)?;
            self.publish(staged, target, taken)
        })
    }

    /// Gives an object a second name.
    pub(crate) fn copy(&self, from: &Path, to: &Path, taken: Taken) -> Result<(), WriteError> {
        self.retry(|| {
            self.disk.sync_file(from).map_err(WriteError::not_written("sync", from))?;
            match taken {
                Taken::Refuse => self.link(from, to),
                Taken::Replace => {
                    self.ensure_folder(&self.staging)?;
                    let second = self.staging_name();
                    self.disk.hard_link(from, &second).map_err(WriteError::not_written("link", &second))?;
                    self.rename(&second, to).inspect_err(|_| {
                        let _ = self.disk.unlink(&second);
                    })
                }
            }
        })
    }

    /// Begins an object whose parts come one by one.
    pub(crate) fn stage(&self) -> Result<Staged, WriteError> {
        self.ensure_folder(&self.staging)?;
        let path = self.staging_name();
        let file = self.disk.create(&path).map_err(WriteError::not_written("create", &path))?;
        failpoint::hit("local.temp-created");
        Ok(Staged { disk: Arc::clone(&self.disk), file, path, renamed: false })
    }

    /// Gives a written object its name, for good.
    pub(crate) fn publish(&self, mut staged: Staged, target: &Path, taken: Taken) -> Result<(), WriteError> {
        failpoint::hit("local.temp-written");
        staged.file.sync().map_err(WriteError::not_written("sync", &staged.path))?;
        failpoint::hit("local.temp-synced");
        match taken {
            Taken::Refuse => self.link(&staged.path, target)?,
            Taken::Replace => {
                self.rename(&staged.path, target)?;
                staged.renamed = true;
            }
        }
        drop(staged);
        failpoint::hit("local.temp-removed");
        Ok(())
    }

    fn link(&self, from: &Path, target: &Path) -> Result<(), WriteError> {
        let folder = self.folder_of(target)?;
        match self.disk.hard_link(from, target) {
            Ok(()) => {
                failpoint::hit("local.linked");
                self.sync_names(folder)
            }
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                // Whoever was first may not have synced it yet: the caller is going to rely on it.
                self.sync_names(folder)?;
                Err(WriteError::Exists)
            }
            Err(source) => Err(WriteError::NotWritten {
                step: "hard-link (on a file system that has no hard links, like SMB or blobfuse, no data can be kept)",
                path: target.to_owned(),
                source,
            }),
        }
    }

    fn rename(&self, from: &Path, target: &Path) -> Result<(), WriteError> {
        let folder = self.folder_of(target)?;
        self.disk.rename(from, target).map_err(WriteError::not_written("rename to", target))?;
        failpoint::hit("local.linked");
        self.sync_names(folder)
    }

    fn sync_names(&self, folder: &Path) -> Result<(), WriteError> {
        self.disk.sync_folder(folder).map_err(|source| WriteError::NotDurable {
            step: "sync folder",
            path: folder.to_owned(),
            source,
        })?;
        failpoint::hit("local.folder-synced");
        Ok(())
    }

    /// The target's folder, which is there and durable.
    fn folder_of<'a>(&self, target: &'a Path) -> Result<&'a Path, WriteError> {
        let folder = target.parent().unwrap_or(target);
        self.ensure_folder(folder)?;
        Ok(folder)
    }

    fn ensure_folder(&self, folder: &Path) -> Result<(), WriteError> {
        if folder == self.root || self.durable_folders.lock().contains(folder) {
            return Ok(());
        }
        let Some(parent) = folder.parent() else {
            return Ok(());
        };
        self.ensure_folder(parent)?;
        match self.disk.create_folder(folder) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => {
                return Err(WriteError::not_written("create folder", folder)(error));
            }
            _ => {}
        }
        self.disk.sync_folder(parent).map_err(WriteError::not_written("sync folder", parent))?;
        let mut durable = self.durable_folders.lock();
        if durable.len() >= REMEMBERED_FOLDERS {
            durable.clear();
        }
        durable.insert(folder.to_owned());
        Ok(())
    }

    fn retry(&self, mut write: impl FnMut() -> Result<(), WriteError>) -> Result<(), WriteError> {
        for _ in 1..ATTEMPTS {
            match write() {
                Err(error) if error.may_pass() => self.durable_folders.lock().clear(),
                outcome => return outcome,
            }
        }
        write()
    }

    fn staging_name(&self) -> PathBuf {
        self.staging.join(format!("sal-{:016x}.tmp", self.entropy.next_u64()))
    }
}

fn is_staging_name(path: &Path) -> bool {
    path.file_name()
        .and_then(|name| name.to_str())
        .and_then(|name| name.strip_prefix("sal-")?.strip_suffix(".tmp"))
        .is_some_and(|middle| middle.len() == 16 && middle.bytes().all(|b| b.is_ascii_hexdigit()))
}
