//! Where files are: the local file system or an object store.
//!
//! Names that begin with `_` or `.` don't count, nor anything in folders so named: as in Hive, they are hidden.

use crate::pattern;
use futures::TryStreamExt;
use object_store::path::Path as ObjectPath;
use object_store::{ObjectStore, ObjectStoreExt};
use salamander_connector_api::ConnectorError;
use salamander_types::ErrorKind;
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use url::Url;

/// Deepest folder that is looked into: a guard against links that lead in circles.
const MAX_DEPTH: usize = 32;
/// Endings of files that aren't lines of text.
const NOT_TEXT: [&str; 11] =
    [".gz", ".gzip", ".zst", ".bz2", ".xz", ".lz4", ".snappy", ".zip", ".parquet", ".orc", ".avro"];

/// The files that a source reads.
#[derive(Debug, Clone)]
pub struct Place {
    store: Store,
    /// Which of the files below the root; none for all.
    pattern: Option<String>,
    /// As the user wrote it.
    path: String,
}

#[derive(Debug, Clone)]
enum Store {
    Local { root: PathBuf },
    Object { store: Arc<dyn ObjectStore>, root: ObjectPath },
}

impl Place {
    /// A place by its path or URL. Credentials of object stores come from the environment (`AZURE_…`).
    ///
    /// # Errors
    /// When the URL can't be read, or names a store that isn't supported.
    pub fn of_path(path: &str) -> Result<Self, ConnectorError> {
        let invalid = |message: String| ConnectorError::new(ErrorKind::Invalid, path, message);
        let path = path.trim();
        let local = match path.strip_prefix("file://") {
            Some(_) if !pattern::is_pattern(path) => Url::parse(path)
                .ok()
                .and_then(|url| url.to_file_path().ok())
                .and_then(|path| path.to_str().map(str::to_owned))
                .ok_or_else(|| invalid("not the URL of a local file: write file:///folder/file".into()))?,
            Some(rest) => rest.to_owned(),
            None => path.to_owned(),
        };
        if !local.contains("://") {
            let (root, pattern) = parted(&local);
            let store = Store::Local { root: PathBuf::from(if root.is_empty() { "." } else { root }) };
            return Ok(Self { store, pattern, path: path.to_owned() });
        }
        let (root, pattern) = parted(path);
        let url = Url::parse(root).map_err(|error| invalid(format!("not a URL: {error}")))?;
        let environment = std::env::vars()
            .filter(|(name, _)| name.starts_with("AZURE_"))
            .map(|(name, value)| (name.to_ascii_lowercase(), value));
        let (store, root) = object_store::parse_url_opts(&url, environment)
            .map_err(|error| invalid(format!("this store can't be opened: {error}")))?;
        Ok(Self { store: Store::Object { store: store.into(), root }, pattern, path: path.to_owned() })
    }

    /// A place in an object store that is already open.
    pub fn in_store(store: Arc<dyn ObjectStore>, root: ObjectPath, pattern: Option<String>) -> Self {
        let path = root.to_string();
        Self { store: Store::Object { store, root }, pattern, path }
    }

    /// True if each read is a request to a server.
    pub fn is_remote(&self) -> bool {
        matches!(self.store, Store::Object { .. })
    }

    /// As the user wrote it.
    pub fn path(&self) -> &str {
        &self.path
    }

    /// The files that are there now, by their path relative to the root, in order.
    ///
    /// # Errors
    /// When the root isn't there or can't be read, or when one of the files isn't text.
    pub async fn list(&self) -> Result<Vec<String>, ConnectorError> {
        let mut names = match &self.store {
            Store::Local { root } => {
                let root = root.clone();
                tokio::task::spawn_blocking(move || list_local(&root))
                    .await
                    .map_err(|error| ConnectorError::new(ErrorKind::Internal, &self.path, error.to_string()))?
                    .map_err(|error| self.io_error(&self.path, &error))?
            }
            Store::Object { store, root } => {
                list_objects(store, root).await.map_err(|error| object_error(&self.path, &error))?
            }
        };
        if let Some(pattern) = &self.pattern {
            names.retain(|name| pattern::fits(pattern, name));
        }
        if let Some(name) = names.iter().find(|name| NOT_TEXT.iter().any(|ending| name.ends_with(ending))) {
            return Err(ConnectorError::new(
                ErrorKind::Invalid,
                format!("{}, file '{name}'", self.path),
                "only uncompressed lines of text are read: decompress it, or leave it out by a pattern such as \
                 '/folder/*.log'",
            ));
        }
        names.sort_unstable();
        Ok(names)
    }

    /// Opens one of the files at a byte.
    ///
    /// # Errors
    /// When it isn't there, can't be read, or is shorter than that.
    pub async fn open(&self, name: &str, byte: u64) -> Result<OpenFile, ConnectorError> {
        let place = format!("{}, file '{name}'", self.path);
        if name.split('/').any(|part| part == ".." || part.is_empty()) {
            return Err(ConnectorError::new(ErrorKind::Invalid, place, "not a path below the source's folder"));
        }
        let file = match &self.store {
            Store::Local { root } => {
                let path = if root.is_file() { root.clone() } else { root.join(name) };
                FileKind::Local(Some(File::open(path).map_err(|error| self.io_error(&place, &error))?))
            }
            Store::Object { store, root } => {
                let whole = if root.filename() == Some(name) { Some(root.clone()) } else { None };
                let below = ObjectPath::from_iter(root.parts().chain(name.split('/').map(Into::into)));
                let path = match whole {
                    Some(path) if store.head(&path).await.is_ok() => path,
                    _ => below,
                };
                FileKind::Object { store: Arc::clone(store), path, size: 0 }
            }
        };
        let mut open = OpenFile { file, byte, place };
        let size = open.size().await?;
        if size < byte {
            return Err(open.shrunk(size));
        }
        Ok(open)
    }

    fn io_error(&self, place: &str, error: &io::Error) -> ConnectorError {
        let kind = match error.kind() {
            io::ErrorKind::NotFound => ErrorKind::NotFound,
            io::ErrorKind::PermissionDenied => ErrorKind::Unauthorized,
            _ => ErrorKind::Transient,
        };
        ConnectorError::new(kind, place, error.to_string())
    }
}

fn parted(path: &str) -> (&str, Option<String>) {
    if pattern::is_pattern(path) {
        let (root, pattern) = pattern::split_root(path);
        (root, Some(pattern.to_owned()))
    } else {
        (path, None)
    }
}

fn is_hidden(name: &str) -> bool {
    name.starts_with(['_', '.'])
}

fn list_local(root: &Path) -> io::Result<Vec<String>> {
    let mut names = Vec::new();
    if root.metadata()?.is_file() {
        names.extend(root.file_name().and_then(|name| name.to_str()).map(str::to_owned));
    } else {
        list_folder(root, "", 0, &mut names)?;
    }
    Ok(names)
}

fn list_folder(folder: &Path, prefix: &str, depth: usize, names: &mut Vec<String>) -> io::Result<()> {
    if depth > MAX_DEPTH {
        return Err(io::Error::other(format!("folders are nested more than {MAX_DEPTH} deep below '{prefix}'")));
    }
    for entry in std::fs::read_dir(folder)? {
        let entry = entry?;
        let name = entry.file_name();
        let Some(name) = name.to_str() else { continue };
        if is_hidden(name) {
            continue;
        }
        // A file may vanish between being listed and being looked at.
        let Ok(metadata) = std::fs::metadata(entry.path()) else { continue };
        if metadata.is_dir() {
            list_folder(&entry.path(), &format!("{prefix}{name}/"), depth + 1, names)?;
        } else if metadata.is_file() {
            names.push(format!("{prefix}{name}"));
        }
    }
    Ok(())
}

async fn list_objects(store: &Arc<dyn ObjectStore>, root: &ObjectPath) -> object_store::Result<Vec<String>> {
    let objects: Vec<_> = store.list(Some(root)).try_collect().await?;
    let mut names = Vec::new();
    for object in objects {
        let Some(parts) = object.location.prefix_match(root) else { continue };
        let parts: Vec<String> = parts.map(|part| part.as_ref().to_owned()).collect();
        if !parts.is_empty() && !parts.iter().any(|part| is_hidden(part)) {
            names.push(parts.join("/"));
        }
    }
    if names.is_empty() && root.filename().is_some() {
        match store.head(root).await {
            Ok(_) => names.extend(root.filename().map(str::to_owned)),
            Err(object_store::Error::NotFound { .. }) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(names)
}

fn object_error(place: &str, error: &object_store::Error) -> ConnectorError {
    use object_store::Error;
    let kind = match error {
        Error::NotFound { .. } => ErrorKind::NotFound,
        Error::PermissionDenied { .. } | Error::Unauthenticated { .. } => ErrorKind::Unauthorized,
        Error::InvalidPath { .. } | Error::UnknownConfigurationKey { .. } => ErrorKind::Invalid,
        _ => ErrorKind::Transient,
    };
    ConnectorError::new(kind, place, error.to_string())
}

/// A file that is being read, from one byte on.
#[derive(Debug)]
pub struct OpenFile {
    file: FileKind,
    /// The next byte to read.
    byte: u64,
    place: String,
}

#[derive(Debug)]
enum FileKind {
    /// None only while a read is under way on another thread.
    Local(Option<File>),
    Object {
        store: Arc<dyn ObjectStore>,
        path: ObjectPath,
        /// As the store said when it was last asked.
        size: u64,
    },
}

impl OpenFile {
    /// The place, for errors.
    pub fn place(&self) -> &str {
        &self.place
    }

    /// The file's size now.
    ///
    /// # Errors
    /// When the file can't be looked at.
    pub async fn size(&mut self) -> Result<u64, ConnectorError> {
        match &mut self.file {
            FileKind::Local(Some(file)) => match file.metadata() {
                Ok(metadata) => Ok(metadata.len()),
                Err(error) => Err(self.error(ErrorKind::Transient, error.to_string())),
            },
            FileKind::Local(None) => Err(self.error(ErrorKind::Transient, "an earlier read was broken off".into())),
            FileKind::Object { store, path, size } => match store.head(path).await {
                Ok(meta) => {
                    *size = meta.size;
                    Ok(meta.size)
                }
                Err(error) => Err(object_error(&self.place, &error)),
            },
        }
    }

    /// Appends up to `length` bytes to `buffer`; fewer only at the end of the file.
    ///
    /// # Errors
    /// When the file can't be read.
    pub async fn read(&mut self, mut buffer: Vec<u8>, length: usize) -> Result<Vec<u8>, ConnectorError> {
        let before = buffer.len();
        let byte = self.byte;
        match &mut self.file {
            FileKind::Local(file) => {
                let Some(mut open) = file.take() else {
                    return Err(self.error(ErrorKind::Transient, "an earlier read was broken off".into()));
                };
                let work = tokio::task::spawn_blocking(move || {
                    buffer.reserve_exact(length);
                    let outcome = open
                        .seek(SeekFrom::Start(byte))
                        .and_then(|_| (&mut open).take(length as u64).read_to_end(&mut buffer));
                    (open, buffer, outcome)
                });
                let (open, read, outcome) =
                    work.await.map_err(|error| self.error(ErrorKind::Internal, error.to_string()))?;
                self.file = FileKind::Local(Some(open));
                outcome.map_err(|error| self.error(ErrorKind::Transient, error.to_string()))?;
                buffer = read;
            }
            FileKind::Object { store, path, size } => {
                let wanted = byte + length as u64;
                if wanted > *size {
                    let meta = store.head(path).await.map_err(|error| object_error(&self.place, &error))?;
                    *size = meta.size;
                }
                let end = wanted.min(*size);
                if end > byte {
                    let bytes =
                        store.get_range(path, byte..end).await.map_err(|error| object_error(&self.place, &error))?;
                    buffer.extend_from_slice(&bytes);
                }
            }
        }
        self.byte += (buffer.len() - before) as u64;
        Ok(buffer)
    }

    /// The next byte to read.
    pub fn byte(&self) -> u64 {
        self.byte
    }

    /// The error for a file that has lost bytes that were read.
    pub fn shrunk(&self, size: u64) -> ConnectorError {
        self.error(
            ErrorKind::Corrupt,
            format!(
                "the file has {size} bytes, but was read up to byte {}: it was cut off or replaced; put it back, or \
                 give new contents a new name",
                self.byte
            ),
        )
    }

    fn error(&self, kind: ErrorKind, message: String) -> ConnectorError {
        ConnectorError::new(kind, &self.place, message)
    }
}
