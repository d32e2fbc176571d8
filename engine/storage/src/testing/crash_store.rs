//! [`CrashStore`]: an object store on a [`SimulatedDisk`], written by the very code that writes local disks.

use super::SimulatedDisk;
use crate::disk::Disk;
use crate::durable_write::DurableWriter;
use crate::local::{PUT_DONE, is_staging, put_mode, store_error};
use async_trait::async_trait;
use futures::stream::BoxStream;
use futures::{StreamExt, TryStreamExt, stream};
use object_store::memory::InMemory;
use object_store::path::Path;
use object_store::{
    CopyMode, CopyOptions, Error, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta, ObjectStore,
    ObjectStoreExt, PutMode, PutMultipartOptions, PutOptions, PutPayload, PutResult, Result,
};
use parking_lot::RwLock;
use salamander_types::Entropy;
use std::fmt;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;

const STORE: &str = "CrashStore";
const ROOT: &str = "/store";

/// A store whose unsynced writes are kept, lost or torn by [`CrashStore::crash`]. Clones are the same store.
///
/// Reads copy what they read (it is for tests); `put_multipart` is not there.
#[derive(Debug, Clone)]
pub struct CrashStore {
    disk: SimulatedDisk,
    entropy: Arc<dyn Entropy>,
    /// What the living process knows; a crash begins a new one.
    writer: Arc<RwLock<Arc<DurableWriter>>>,
}

impl CrashStore {
    /// An empty store. The entropy decides what survives a crash.
    ///
    /// # Errors
    /// When the disk is one that can't make its first folder.
    pub fn new(entropy: Arc<dyn Entropy>) -> io::Result<Self> {
        Self::on(SimulatedDisk::new(Arc::clone(&entropy)), entropy)
    }

    /// An empty store on a disk of the caller's.
    ///
    /// # Errors
    /// When the disk can't make the store's folder.
    pub fn on(disk: SimulatedDisk, entropy: Arc<dyn Entropy>) -> io::Result<Self> {
        disk.create_folder(ROOT.as_ref())?;
        disk.sync_folder("/".as_ref())?;
        let writer = RwLock::new(new_writer(&disk, &entropy));
        Ok(Self { disk, entropy, writer: Arc::new(writer) })
    }

    /// The same disk, opened by another process: it knows nothing of what this one has synced.
    #[must_use]
    pub fn another_process(&self) -> Self {
        Self {
            disk: self.disk.clone(),
            entropy: Arc::clone(&self.entropy),
            writer: Arc::new(RwLock::new(new_writer(&self.disk, &self.entropy))),
        }
    }

    /// The disk below, to cut its power.
    pub fn disk(&self) -> &SimulatedDisk {
        &self.disk
    }

    /// A power cut, a restart, and an open that removes leftovers.
    ///
    /// # Errors
    /// The disk's.
    pub fn crash(&self) -> io::Result<()> {
        self.disk.crash();
        let writer = new_writer(&self.disk, &self.entropy);
        writer.remove_leftovers()?;
        *self.writer.write() = writer;
        Ok(())
    }

    /// Files in the staging folder.
    ///
    /// # Errors
    /// While the power is off.
    pub fn staged_files(&self) -> io::Result<usize> {
        let files = self.disk.files(ROOT.as_ref())?;
        Ok(files.iter().filter(|(path, _)| path.starts_with("_salamander/tmp")).count())
    }

    fn file_path(location: &Path) -> PathBuf {
        PathBuf::from(ROOT).join(location.as_ref())
    }

    /// What can be seen now, as a store to read from.
    async fn visible(&self) -> Result<InMemory> {
        let files = self.disk.files(ROOT.as_ref()).map_err(generic)?;
        let store = InMemory::new();
        for (path, bytes) in files {
            let location = Path::parse(path.to_string_lossy())?;
            if !is_staging(&location) {
                store.put(&location, bytes.into()).await?;
            }
        }
        Ok(store)
    }
}

fn new_writer(disk: &SimulatedDisk, entropy: &Arc<dyn Entropy>) -> Arc<DurableWriter> {
    Arc::new(DurableWriter::new(ROOT.into(), Arc::new(disk.clone()), Arc::clone(entropy)))
}

fn generic(source: io::Error) -> Error {
    Error::Generic { store: STORE, source: source.into() }
}

impl fmt::Display for CrashStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(STORE)
    }
}

#[async_trait]
impl ObjectStore for CrashStore {
    async fn put_opts(&self, location: &Path, payload: PutPayload, options: PutOptions) -> Result<PutResult> {
        let Some(taken) = put_mode(&options) else {
            return Err(Error::NotImplemented {
                operation: format!("put_opts with {:?}", PutMode::Update(PUT_DONE.into())),
                implementer: STORE.to_owned(),
            });
        };
        let writer = Arc::clone(&self.writer.read());
        writer.put(&Self::file_path(location), &payload, taken).map_err(|error| store_error(error, location))?;
        Ok(PUT_DONE)
    }

    async fn put_multipart_opts(&self, _: &Path, _: PutMultipartOptions) -> Result<Box<dyn MultipartUpload>> {
        Err(Error::NotImplemented { operation: "put_multipart_opts".to_owned(), implementer: STORE.to_owned() })
    }

    async fn get_opts(&self, location: &Path, options: GetOptions) -> Result<GetResult> {
        self.visible().await?.get_opts(location, options).await
    }

    fn delete_stream(&self, locations: BoxStream<'static, Result<Path>>) -> BoxStream<'static, Result<Path>> {
        let disk = self.disk.clone();
        locations
            .map(move |location| {
                let location = location?;
                match disk.unlink(&Self::file_path(&location)) {
                    Ok(()) => Ok(location),
                    Err(error) if error.kind() == io::ErrorKind::NotFound => {
                        Err(Error::NotFound { path: location.to_string(), source: error.into() })
                    }
                    Err(error) => Err(generic(error)),
                }
            })
            .boxed()
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        let (store, prefix) = (self.clone(), prefix.cloned());
        stream::once(async move { Ok::<_, Error>(store.visible().await?.list(prefix.as_ref())) }).try_flatten().boxed()
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        self.visible().await?.list_with_delimiter(prefix).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        let mode = match options.mode {
            CopyMode::Create => PutMode::Create,
            CopyMode::Overwrite => PutMode::Overwrite,
        };
        let Some(taken) = put_mode(&mode.into()) else {
            return Ok(());
        };
        let writer = Arc::clone(&self.writer.read());
        writer.copy(&Self::file_path(from), &Self::file_path(to), taken).map_err(|error| store_error(error, to))
    }
}
