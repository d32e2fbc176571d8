//! [`DurableLocal`]: local folders as an object store whose writes survive a power cut.
//!
//! `object_store`'s own local store stages half-written files beside their targets and syncs nothing. Here writing goes
//! through [`crate::durable_write`]; reading, listing and deleting are `object_store`'s. Names are taken as they
//! are: a Hive folder `a%3Ab` is a folder of that name.
//!
//! A deletion is not synced: after a power cut a deleted object may be back. Names are never reused, and every
//! cleanup can be done twice, so nothing depends on it.

use crate::disk::{Disk, RealDisk};
use crate::durable_write::{DurableWriter, HIDDEN_FOLDER, STAGING_FOLDER, Staged, Taken, WriteError};
use crate::error::StoreError;
use async_trait::async_trait;
use bytes::Bytes;
use futures::stream::BoxStream;
use futures::{StreamExt, TryStreamExt};
use object_store::local::LocalFileSystem;
use object_store::path::Path;
use object_store::{
    CopyMode, CopyOptions, Error, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta, ObjectStore, PutMode,
    PutMultipartOptions, PutOptions, PutPayload, PutResult, Result, UploadPart,
};
use salamander_types::{Entropy, SystemEntropy};
use std::fmt;
use std::io;
use std::ops::Range;
use std::path::PathBuf;
use std::sync::Arc;

const STORE: &str = "DurableLocal";

/// A folder as an object store. Cheap to clone.
///
/// Its staging folder `_salamander/tmp` is made by the first write and shown by no listing.
#[derive(Debug, Clone)]
pub struct DurableLocal {
    root: PathBuf,
    files: Arc<LocalFileSystem>,
    writer: Arc<DurableWriter>,
}

impl DurableLocal {
    /// Opens a folder, which is made if it isn't there, and removes what dead writers have left in it.
    ///
    /// # Errors
    /// When the folder can't be made or read.
    pub fn open(root: impl AsRef<std::path::Path>) -> std::result::Result<Self, StoreError> {
        Self::open_with(root, Arc::new(RealDisk), Arc::new(SystemEntropy::default()))
    }

    /// The same with a disk and an entropy of the caller's. The disk must show the system's own files, which is
    /// where reads come from; it may fail where the system wouldn't.
    ///
    /// # Errors
    /// When the folder can't be made or read.
    pub fn open_with(
        root: impl AsRef<std::path::Path>,
        disk: Arc<dyn Disk>,
        entropy: Arc<dyn Entropy>,
    ) -> std::result::Result<Self, StoreError> {
        let root = make_durable_folder(root.as_ref(), disk.as_ref())?;
        let files = LocalFileSystem::new_with_prefix(&root)
            .map_err(|source| StoreError::Store { location: root.display().to_string(), source })?;
        let writer = DurableWriter::new(root.clone(), disk, entropy);
        match writer.remove_leftovers() {
            Ok(0) => {}
            Ok(removed) => tracing::info!(root = %root.display(), removed, "removed files that dead writers left"),
            // A folder that may only be read has none of ours.
            Err(error) => tracing::debug!(root = %root.display(), %error, "cannot look for leftovers"),
        }
        Ok(Self { root, files: Arc::new(files), writer: Arc::new(writer) })
    }

    /// The root folder, absolute and without links.
    pub fn root(&self) -> &std::path::Path {
        &self.root
    }

    fn file_path(&self, location: &Path) -> Result<PathBuf> {
        if is_staging(location) {
            return Err(Error::Generic {
                store: STORE,
                source: format!("{location} lies in the staging folder, whose files have no names of their own").into(),
            });
        }
        self.files.path_to_filesystem(location)
    }

    fn unsupported(&self, operation: &str) -> Error {
        Error::NotImplemented { operation: operation.to_owned(), implementer: self.to_string() }
    }
}

impl fmt::Display for DurableLocal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{STORE}({})", self.root.display())
    }
}

/// Makes a folder and those above it, each name synced; returns its absolute path.
fn make_durable_folder(folder: &std::path::Path, disk: &dyn Disk) -> std::result::Result<PathBuf, StoreError> {
    let failed = |action: &'static str, path: &std::path::Path| {
        let path = path.to_owned();
        move |source| StoreError::Io { action, path, source }
    };
    let absolute = std::path::absolute(folder).map_err(failed("find", folder))?;
    let mut missing: Vec<&std::path::Path> = absolute.ancestors().take_while(|path| !path.exists()).collect();
    while let Some(path) = missing.pop() {
        match disk.create_folder(path) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => {
                return Err(failed("create folder", path)(error));
            }
            _ => {}
        }
        if let Some(parent) = path.parent() {
            disk.sync_folder(parent).map_err(failed("sync folder", parent))?;
        }
    }
    let root = std::fs::canonicalize(&absolute).map_err(failed("open folder", &absolute))?;
    if !root.is_dir() {
        return Err(failed("use as a folder", &root)(io::ErrorKind::NotADirectory.into()));
    }
    if let Some(parent) = root.parent() {
        // Somebody else may have made it a moment ago. Where the parent can't be opened it wasn't us, nor now.
        let _ = disk.sync_folder(parent);
    }
    Ok(root)
}

/// True for what lies in the staging folder of this root, or of a root within this one.
pub(crate) fn is_staging(location: &Path) -> bool {
    let mut previous_is_hidden = false;
    for part in location.parts() {
        if previous_is_hidden && part.as_ref() == STAGING_FOLDER {
            return true;
        }
        previous_is_hidden = part.as_ref() == HIDDEN_FOLDER;
    }
    false
}

pub(crate) fn put_mode(options: &PutOptions) -> Option<Taken> {
    match options.mode {
        PutMode::Create => Some(Taken::Refuse),
        PutMode::Overwrite => Some(Taken::Replace),
        PutMode::Update(_) => None,
    }
}

pub(crate) fn store_error(error: WriteError, location: &Path) -> Error {
    let path = location.to_string();
    match error {
        WriteError::Exists => Error::AlreadyExists { path, source: error.into() },
        WriteError::NotWritten { ref source, .. } if source.kind() == io::ErrorKind::PermissionDenied => {
            Error::PermissionDenied { path, source: error.into() }
        }
        WriteError::NotWritten { ref source, .. } if source.kind() == io::ErrorKind::NotFound => {
            Error::NotFound { path, source: error.into() }
        }
        _ => Error::Generic { store: STORE, source: error.into() },
    }
}

pub(crate) const PUT_DONE: PutResult = PutResult { e_tag: None, version: None };

async fn blocking<T: Send + 'static>(work: impl FnOnce() -> Result<T> + Send + 'static) -> Result<T> {
    match tokio::runtime::Handle::try_current() {
        Ok(runtime) => runtime.spawn_blocking(work).await?,
        Err(_) => work(),
    }
}

#[async_trait]
impl ObjectStore for DurableLocal {
    async fn put_opts(&self, location: &Path, payload: PutPayload, options: PutOptions) -> Result<PutResult> {
        let Some(taken) = put_mode(&options) else {
            return Err(self.unsupported("put_opts with PutMode::Update"));
        };
        if !options.attributes.is_empty() {
            return Err(self.unsupported("put_opts with attributes"));
        }
        let target = self.file_path(location)?;
        let (writer, location) = (Arc::clone(&self.writer), location.clone());
        blocking(move || {
            writer.put(&target, &payload, taken).map_err(|error| store_error(error, &location))?;
            Ok(PUT_DONE)
        })
        .await
    }

    async fn put_multipart_opts(
        &self,
        location: &Path,
        options: PutMultipartOptions,
    ) -> Result<Box<dyn MultipartUpload>> {
        if !options.attributes.is_empty() {
            return Err(self.unsupported("put_multipart_opts with attributes"));
        }
        let target = self.file_path(location)?;
        let (writer, at) = (Arc::clone(&self.writer), location.clone());
        let staged = blocking(move || writer.stage().map_err(|error| store_error(error, &at))).await?;
        Ok(Box::new(DurableUpload {
            writer: Arc::clone(&self.writer),
            location: location.clone(),
            target,
            staged: Some(Arc::new(staged)),
            offset: 0,
        }))
    }

    async fn get_opts(&self, location: &Path, options: GetOptions) -> Result<GetResult> {
        self.files.get_opts(location, options).await
    }

    async fn get_ranges(&self, location: &Path, ranges: &[Range<u64>]) -> Result<Vec<Bytes>> {
        self.files.get_ranges(location, ranges).await
    }

    fn delete_stream(&self, locations: BoxStream<'static, Result<Path>>) -> BoxStream<'static, Result<Path>> {
        self.files.delete_stream(locations)
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        without_staging(self.files.list(prefix))
    }

    fn list_with_offset(&self, prefix: Option<&Path>, offset: &Path) -> BoxStream<'static, Result<ObjectMeta>> {
        without_staging(self.files.list_with_offset(prefix, offset))
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        let mut listed = self.files.list_with_delimiter(prefix).await?;
        listed.objects.retain(|object| !is_staging(&object.location));
        listed.common_prefixes.retain(|folder| !is_staging(folder));
        Ok(listed)
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        let taken = match options.mode {
            CopyMode::Create => Taken::Refuse,
            CopyMode::Overwrite => Taken::Replace,
        };
        let (source, target) = (self.file_path(from)?, self.file_path(to)?);
        let (writer, to) = (Arc::clone(&self.writer), to.clone());
        blocking(move || writer.copy(&source, &target, taken).map_err(|error| store_error(error, &to))).await
    }
}

fn without_staging(listed: BoxStream<'static, Result<ObjectMeta>>) -> BoxStream<'static, Result<ObjectMeta>> {
    listed.try_filter(|object| futures::future::ready(!is_staging(&object.location))).boxed()
}

/// An object that comes in parts. Invisible until it is complete.
#[derive(Debug)]
struct DurableUpload {
    writer: Arc<DurableWriter>,
    location: Path,
    target: PathBuf,
    staged: Option<Arc<Staged>>,
    offset: u64,
}

impl DurableUpload {
    fn over(&self) -> Error {
        Error::Generic {
            store: STORE,
            source: format!("the upload of {} is over, or a part of it is still being written", self.location).into(),
        }
    }
}

#[async_trait]
impl MultipartUpload for DurableUpload {
    fn put_part(&mut self, data: PutPayload) -> UploadPart {
        let Some(staged) = self.staged.clone() else {
            let error = self.over();
            return Box::pin(async { Err(error) });
        };
        let (offset, location) = (self.offset, self.location.clone());
        self.offset += data.content_length() as u64;
        Box::pin(blocking(move || staged.write_at(offset, &data).map_err(|error| store_error(error, &location))))
    }

    async fn complete(&mut self) -> Result<PutResult> {
        let staged = self.staged.take().and_then(Arc::into_inner).ok_or_else(|| self.over())?;
        let (writer, target, location) = (Arc::clone(&self.writer), self.target.clone(), self.location.clone());
        blocking(move || {
            writer.publish(staged, &target, Taken::Replace).map_err(|error| store_error(error, &location))?;
            Ok(PUT_DONE)
        })
        .await
    }

    async fn abort(&mut self) -> Result<()> {
        self.staged = None;
        Ok(())
    }
}
