//! [`SimulatedDisk`]: a disk in memory that keeps its promises and nothing more.
//!
//! Everything is visible at once. On a power cut each file whose bytes were not synced is kept, put back to what was
//! last synced, or torn; and each name whose folder was not synced becomes any of what it has stood for since the last
//! sync. The choices come from the injected entropy, so a failing case can be run again.

use crate::disk::{Disk, DiskFile};
use parking_lot::Mutex;
use salamander_types::Entropy;
use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::io::{self, ErrorKind};
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;

/// Which syncs are left out, to prove that a test notices.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Neglect {
    /// None.
    #[default]
    Nothing,
    /// Of files.
    Files,
    /// Of folders.
    Folders,
}

/// A disk in memory. Clones are the same disk.
#[derive(Debug, Clone)]
pub struct SimulatedDisk {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    entropy: Arc<dyn Entropy>,
    platter: Mutex<Platter>,
    interlude: Mutex<Option<Interlude>>,
}

struct Interlude {
    before_operation: u64,
    run: Box<dyn FnOnce() + Send>,
}

impl std::fmt::Debug for Interlude {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Interlude before operation {}", self.before_operation)
    }
}

const ROOT: u64 = 0;

#[derive(Debug)]
struct Platter {
    nodes: BTreeMap<u64, Node>,
    next_node: u64,
    /// Files that a living writer has open.
    in_use: BTreeSet<u64>,
    neglect: Neglect,
    operations: u64,
    fails_at: Option<u64>,
    is_off: bool,
    /// Counts restarts: handles from before one are dead.
    boot: u64,
}

#[derive(Debug)]
enum Node {
    File {
        bytes: Vec<u8>,
        /// What was last synced, if that is not `bytes`.
        synced: Option<Vec<u8>>,
    },
    Folder {
        names: BTreeMap<OsString, u64>,
        /// For each name that changed since the last sync, what it has stood for, the synced value first.
        unsynced: BTreeMap<OsString, Vec<Option<u64>>>,
    },
}

impl Node {
    fn folder() -> Self {
        Self::Folder { names: BTreeMap::new(), unsynced: BTreeMap::new() }
    }
}

impl SimulatedDisk {
    /// An empty disk: only the root folder `/`.
    pub fn new(entropy: Arc<dyn Entropy>) -> Self {
        let platter = Platter {
            nodes: BTreeMap::from([(ROOT, Node::folder())]),
            next_node: ROOT + 1,
            in_use: BTreeSet::new(),
            neglect: Neglect::Nothing,
            operations: 0,
            fails_at: None,
            is_off: false,
            boot: 0,
        };
        Self { shared: Arc::new(Shared { entropy, platter: Mutex::new(platter), interlude: Mutex::new(None) }) }
    }

    /// From now on the disk lies about some syncs.
    pub fn neglect(&self, neglect: Neglect) {
        self.shared.platter.lock().neglect = neglect;
    }

    /// Operations so far.
    pub fn operations(&self) -> u64 {
        self.shared.platter.lock().operations
    }

    /// Cuts the power at the n-th operation from now (1 is the next): that one may or may not happen any more, and
    /// it and all later ones fail, until [`SimulatedDisk::crash`].
    pub fn cut_power_at(&self, n: u64) {
        let mut platter = self.shared.platter.lock();
        platter.fails_at = Some(platter.operations + n);
    }

    /// True between a power cut and [`SimulatedDisk::crash`].
    pub fn is_off(&self) -> bool {
        self.shared.platter.lock().is_off
    }

    /// Runs something just before the n-th operation from now (1 is the next): another writer who comes between.
    pub fn interrupt_at(&self, n: u64, run: impl FnOnce() + Send + 'static) {
        *self.shared.interlude.lock() = Some(Interlude { before_operation: self.operations() + n, run: Box::new(run) });
    }

    /// A power cut and a restart: what was not synced is kept, lost or torn.
    pub fn crash(&self) {
        let mut platter = self.shared.platter.lock();
        for node in platter.nodes.values_mut() {
            match node {
                Node::File { bytes, synced } => {
                    if let Some(synced) = synced.take() {
                        *bytes = self.after_the_cut(std::mem::take(bytes), synced);
                    }
                }
                Node::Folder { names, unsynced } => {
                    for (name, values) in std::mem::take(unsynced) {
                        match values[self.choose(values.len())] {
                            Some(node) => names.insert(name, node),
                            None => names.remove(&name),
                        };
                    }
                }
            }
        }
        platter.in_use.clear();
        platter.fails_at = None;
        platter.is_off = false;
        platter.boot += 1;
    }

    /// The files below a folder, with their bytes, by path relative to it.
    ///
    /// # Errors
    /// While the power is off; without the folder.
    pub fn files(&self, folder: &Path) -> io::Result<Vec<(PathBuf, Vec<u8>)>> {
        let platter = self.shared.platter.lock();
        if platter.is_off {
            return Err(power_is_off());
        }
        let mut found = Vec::new();
        let mut todo = vec![(PathBuf::new(), platter.find(folder)?)];
        while let Some((path, node)) = todo.pop() {
            match platter.nodes.get(&node) {
                Some(Node::File { bytes, .. }) => found.push((path, bytes.clone())),
                Some(Node::Folder { names, .. }) => {
                    todo.extend(names.iter().map(|(name, node)| (path.join(name), *node)));
                }
                None => {}
            }
        }
        found.sort();
        Ok(found)
    }

    fn choose(&self, among: usize) -> usize {
        (self.shared.entropy.next_u64() % among.max(1) as u64) as usize
    }

    fn after_the_cut(&self, written: Vec<u8>, synced: Vec<u8>) -> Vec<u8> {
        match self.choose(3) {
            0 => written,
            1 => synced,
            _ => {
                // Blocks reach a disk in any order: some length, and a hole of zeros somewhere.
                let mut torn = written;
                torn.truncate(self.choose(torn.len() + 1));
                if !torn.is_empty() {
                    let hole = self.choose(torn.len());
                    let end = hole + self.choose(torn.len() - hole + 1);
                    torn[hole..end].fill(0);
                }
                torn
            }
        }
    }

    fn operate<T>(&self, effect: impl FnOnce(&mut Platter) -> io::Result<T>) -> io::Result<T> {
        self.interlude();
        let mut platter = self.shared.platter.lock();
        if platter.is_off {
            return Err(power_is_off());
        }
        platter.operations += 1;
        if platter.fails_at == Some(platter.operations) {
            platter.is_off = true;
            if self.choose(2) == 0 {
                let _ = effect(&mut platter);
            }
            return Err(power_is_off());
        }
        effect(&mut platter)
    }

    fn interlude(&self) {
        let next = self.operations() + 1;
        let mut slot = self.shared.interlude.lock();
        let run = match slot.take() {
            Some(interlude) if interlude.before_operation == next => interlude.run,
            other => {
                *slot = other;
                return;
            }
        };
        drop(slot);
        run();
    }
}

fn power_is_off() -> io::Error {
    io::Error::other("the power is off")
}

impl Platter {
    fn find(&self, path: &Path) -> io::Result<u64> {
        let mut at = ROOT;
        for component in path.components() {
            if let Component::Normal(name) = component {
                let Some(Node::Folder { names, .. }) = self.nodes.get(&at) else {
                    return Err(ErrorKind::NotADirectory.into());
                };
                at = *names.get(name).ok_or(ErrorKind::NotFound)?;
            }
        }
        Ok(at)
    }

    /// The folder that a path's last name stands in, and that name.
    fn place(&self, path: &Path) -> io::Result<(u64, OsString)> {
        match (path.parent(), path.file_name()) {
            (Some(parent), Some(name)) => Ok((self.find(parent)?, name.to_owned())),
            _ => Err(ErrorKind::InvalidInput.into()),
        }
    }

    fn name(&self, (folder, name): &(u64, OsString)) -> io::Result<Option<u64>> {
        match self.nodes.get(folder) {
            Some(Node::Folder { names, .. }) => Ok(names.get(name).copied()),
            _ => Err(ErrorKind::NotADirectory.into()),
        }
    }

    fn set_name(&mut self, (folder, name): (u64, OsString), node: Option<u64>) -> io::Result<()> {
        let Some(Node::Folder { names, unsynced }) = self.nodes.get_mut(&folder) else {
            return Err(ErrorKind::NotADirectory.into());
        };
        let before = match node {
            Some(node) => names.insert(name.clone(), node),
            None => names.remove(&name),
        };
        unsynced.entry(name).or_insert_with(|| vec![before]).push(node);
        Ok(())
    }

    fn add(&mut self, place: (u64, OsString), node: Node) -> io::Result<u64> {
        if self.name(&place)?.is_some() {
            return Err(ErrorKind::AlreadyExists.into());
        }
        let id = self.next_node;
        self.next_node += 1;
        self.nodes.insert(id, node);
        self.set_name(place, Some(id))?;
        Ok(id)
    }

    fn sync(&mut self, id: u64) {
        match self.nodes.get_mut(&id) {
            Some(Node::File { synced, .. }) => *synced = None,
            Some(Node::Folder { unsynced, .. }) => unsynced.clear(),
            None => {}
        }
    }
}

impl Disk for SimulatedDisk {
    fn create(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        let (node, boot) = self.operate(|platter| {
            let file = Node::File { bytes: Vec::new(), synced: None };
            let place = platter.place(path)?;
            let node = platter.add(place, file)?;
            platter.in_use.insert(node);
            Ok((node, platter.boot))
        })?;
        Ok(Box::new(SimulatedFile { disk: self.clone(), node, boot }))
    }

    fn hard_link(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.operate(|platter| {
            let node = platter.find(from)?;
            let place = platter.place(to)?;
            if platter.name(&place)?.is_some() {
                return Err(ErrorKind::AlreadyExists.into());
            }
            platter.set_name(place, Some(node))
        })
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.operate(|platter| {
            let node = platter.find(from)?;
            let (old, new) = (platter.place(from)?, platter.place(to)?);
            platter.set_name(new, Some(node))?;
            platter.set_name(old, None)
        })
    }

    fn unlink(&self, path: &Path) -> io::Result<()> {
        self.operate(|platter| {
            platter.find(path)?;
            let place = platter.place(path)?;
            platter.set_name(place, None)
        })
    }

    fn create_folder(&self, path: &Path) -> io::Result<()> {
        self.operate(|platter| {
            let place = platter.place(path)?;
            platter.add(place, Node::folder()).map(drop)
        })
    }

    fn sync_file(&self, path: &Path) -> io::Result<()> {
        self.operate(|platter| {
            let node = platter.find(path)?;
            if platter.neglect != Neglect::Files {
                platter.sync(node);
            }
            Ok(())
        })
    }

    fn sync_folder(&self, path: &Path) -> io::Result<()> {
        self.operate(|platter| {
            let node = platter.find(path)?;
            if platter.neglect != Neglect::Folders {
                platter.sync(node);
            }
            Ok(())
        })
    }

    fn abandoned_files(&self, folder: &Path) -> io::Result<Vec<PathBuf>> {
        self.operate(|platter| {
            let node = match platter.find(folder) {
                Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
                node => node?,
            };
            let Some(Node::Folder { names, .. }) = platter.nodes.get(&node) else {
                return Err(ErrorKind::NotADirectory.into());
            };
            let free = names.iter().filter(|(_, node)| !platter.in_use.contains(node));
            Ok(free.map(|(name, _)| folder.join(name)).collect())
        })
    }
}

#[derive(Debug)]
struct SimulatedFile {
    disk: SimulatedDisk,
    node: u64,
    boot: u64,
}

impl SimulatedFile {
    fn operate(&self, effect: impl FnOnce(&mut Platter)) -> io::Result<()> {
        self.disk.operate(|platter| {
            if platter.boot != self.boot {
                return Err(power_is_off());
            }
            effect(platter);
            Ok(())
        })
    }
}

impl DiskFile for SimulatedFile {
    fn write_at(&self, offset: u64, new: &[u8]) -> io::Result<()> {
        let start = usize::try_from(offset).map_err(|_| ErrorKind::FileTooLarge)?;
        self.operate(|platter| {
            if let Some(Node::File { bytes, synced }) = platter.nodes.get_mut(&self.node) {
                if synced.is_none() {
                    *synced = Some(bytes.clone());
                }
                let end = start + new.len();
                if bytes.len() < end {
                    bytes.resize(end, 0);
                }
                bytes[start..end].copy_from_slice(new);
            }
        })
    }

    fn sync(&self) -> io::Result<()> {
        self.operate(|platter| {
            if platter.neglect != Neglect::Files {
                platter.sync(self.node);
            }
        })
    }
}

impl Drop for SimulatedFile {
    fn drop(&mut self) {
        let mut platter = self.disk.shared.platter.lock();
        if platter.boot == self.boot {
            platter.in_use.remove(&self.node);
        }
    }
}
