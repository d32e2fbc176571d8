//! The few file operations that durable writing needs, as a trait, so that a simulated disk can forget what was
//! never synced (see [`crate::testing::SimulatedDisk`]).
//!
//! What survives a power cut, on the real disk as in the simulation: a file's bytes once [`DiskFile::sync`] has
//! returned, a name in a folder once [`Disk::sync_folder`] of that folder has returned. Nothing else is promised.

use std::fmt::Debug;
use std::fs::{File, OpenOptions, TryLockError};
use std::io;
use std::path::{Path, PathBuf};

/// A file being written.
pub trait DiskFile: Debug + Send + Sync {
    /// Writes bytes at an offset, all of them.
    ///
    /// # Errors
    /// The system's.
    fn write_at(&self, offset: u64, bytes: &[u8]) -> io::Result<()>;

    /// Makes what was written survive a power cut (the bytes, not the file's name).
    ///
    /// # Errors
    /// The system's. After an error the file's content is unknown for good: it must be written anew.
    fn sync(&self) -> io::Result<()>;
}

/// A file system.
pub trait Disk: Debug + Send + Sync + 'static {
    /// Makes a new file and marks it as in use for as long as the returned value lives.
    ///
    /// # Errors
    /// `AlreadyExists` if the name is taken, `NotFound` without its folder.
    fn create(&self, path: &Path) -> io::Result<Box<dyn DiskFile>>;

    /// Gives a file a second name.
    ///
    /// # Errors
    /// `AlreadyExists` if the new name is taken, `NotFound` without the file or the new name's folder.
    fn hard_link(&self, from: &Path, to: &Path) -> io::Result<()>;

    /// Moves a file, over whatever is there.
    ///
    /// # Errors
    /// `NotFound` without the file or the new name's folder.
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;

    /// Takes a name away.
    ///
    /// # Errors
    /// `NotFound` if it isn't there.
    fn unlink(&self, path: &Path) -> io::Result<()>;

    /// Makes a folder.
    ///
    /// # Errors
    /// `AlreadyExists` if the name is taken, `NotFound` without its parent.
    fn create_folder(&self, path: &Path) -> io::Result<()>;

    /// Makes a file that somebody else wrote survive a power cut.
    ///
    /// # Errors
    /// The system's.
    fn sync_file(&self, path: &Path) -> io::Result<()>;

    /// Makes the names in a folder survive a power cut.
    ///
    /// # Errors
    /// The system's.
    fn sync_folder(&self, path: &Path) -> io::Result<()>;

    /// The files of a folder that nobody has in use: left behind by writers that died. None without the folder.
    ///
    /// # Errors
    /// The system's.
    fn abandoned_files(&self, folder: &Path) -> io::Result<Vec<PathBuf>>;
}

/// The operating system's own file system.
///
/// A file in use carries an exclusive advisory lock (`flock`), which the kernel drops with the process: so a leftover
/// is told from a file of a living process, whatever that one's pid or container, without any clock.
#[derive(Debug, Default, Clone, Copy)]
pub struct RealDisk;

#[derive(Debug)]
struct RealFile(File);

impl DiskFile for RealFile {
    fn write_at(&self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        std::os::unix::fs::FileExt::write_all_at(&self.0, bytes, offset)
    }

    fn sync(&self) -> io::Result<()> {
        self.0.sync_all()
    }
}

impl Disk for RealDisk {
    fn create(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        let file = OpenOptions::new().write(true).create_new(true).open(path)?;
        // A file system without locks keeps its leftovers: see `abandoned_files`.
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::Error(error)) if error.kind() == io::ErrorKind::Unsupported => {}
            Err(TryLockError::Error(error)) => return Err(error),
            // A cleaner looked between the two calls and is about to take the name away.
            Err(TryLockError::WouldBlock) => return Err(io::ErrorKind::NotFound.into()),
        }
        Ok(Box::new(RealFile(file)))
    }

    fn hard_link(&self, from: &Path, to: &Path) -> io::Result<()> {
        std::fs::hard_link(from, to)
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        std::fs::rename(from, to)
    }

    fn unlink(&self, path: &Path) -> io::Result<()> {
        std::fs::remove_file(path)
    }

    fn create_folder(&self, path: &Path) -> io::Result<()> {
        std::fs::create_dir(path)
    }

    fn sync_file(&self, path: &Path) -> io::Result<()> {
        File::open(path)?.sync_all()
    }

    fn sync_folder(&self, path: &Path) -> io::Result<()> {
        File::open(path)?.sync_all()
    }

    fn abandoned_files(&self, folder: &Path) -> io::Result<Vec<PathBuf>> {
        let entries = match std::fs::read_dir(folder) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            entries => entries?,
        };
        let mut abandoned = Vec::new();
        for entry in entries {
            let path = entry?.path();
            if path.is_file() && is_unlocked(&path) {
                abandoned.push(path);
            }
        }
        Ok(abandoned)
    }
}

/// False also when it can't be found out: a leftover costs little, another's file much.
fn is_unlocked(path: &Path) -> bool {
    File::open(path).is_ok_and(|file| file.try_lock().is_ok())
}
