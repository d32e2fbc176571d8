//! The hubs: which there are, their partitions, and how one comes into being.
//!
//! A hub's `hub.json` is written last, by rename, so that a hub is there with all its partitions or not at all. Names are matched without regard to case.

use std::collections::HashMap;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use parking_lot::RwLock;
use serde::{Deserialize, Serialize};

use crate::clock::Clock;
use crate::log::{LogError, LogOptions, PartitionLog, segment};
use crate::options::HubOptions;
use crate::partitioning::{RoundRobin, partition_of_key};
use crate::readers::Readers;

/// The most partitions a hub may have.
pub const MAX_PARTITIONS: u32 = 1024;

/// A hub.
pub(crate) struct Hub {
    /// Its name, as it was created.
    pub name: String,
    /// When it was created, in milliseconds since 1970-01-01 UTC.
    pub created_ms: i64,
    /// Its partitions, by number.
    pub partitions: Vec<Arc<PartitionLog>>,
    /// Who reads it.
    pub readers: Readers,
    turn: RoundRobin,
}

impl Hub {
    /// The number of partitions.
    pub(crate) fn partition_count(&self) -> u32 {
        self.partitions.len() as u32
    }

    /// The partition with this id, as addresses write it.
    pub(crate) fn partition(&self, id: &str) -> Option<(u32, &Arc<PartitionLog>)> {
        let number: u32 = id.parse().ok().filter(|number: &u32| number.to_string() == id)?;
        Some((number, self.partitions.get(number as usize)?))
    }

    /// The partition for events whose sender did not choose one.
    pub(crate) fn choose(&self, key: Option<&str>) -> Option<&Arc<PartitionLog>> {
        let count = self.partition_count();
        let number = match key {
            Some(key) => partition_of_key(key, count),
            None => self.turn.next(count),
        };
        self.partitions.get(number as usize)
    }
}

/// Why there is no hub.
#[derive(Debug, Clone, thiserror::Error)]
pub enum HubError {
    /// It is not there and may not be created.
    #[error("The messaging entity '{0}' could not be found. Configure the hub, or let hubs be created on first use.")]
    NotFound(String),
    /// The name can't be a hub's.
    #[error(
        "'{0}' can't be a hub's name: use 1 to 256 letters, digits, '.', '-' and '_', beginning with a letter or digit"
    )]
    Name(String),
    /// The number of partitions is impossible.
    #[error("hub '{hub}' can't have {partitions} partitions; 1 to {MAX_PARTITIONS} are possible")]
    Partitions {
        /// The hub.
        hub: String,
        /// What was asked for.
        partitions: u32,
    },
    /// Its description could not be read or written.
    #[error("hub description {path}: {why}")]
    Description {
        /// The file.
        path: String,
        /// What is wrong.
        why: String,
    },
    /// A partition could not be opened.
    #[error(transparent)]
    Log(#[from] LogError),
}

/// `hub.json`.
#[derive(Debug, Serialize, Deserialize)]
struct Description {
    version: u32,
    name: String,
    created_at_ms: i64,
    partitions: u32,
}

/// All hubs of a broker.
pub(crate) struct Hubs {
    dir: PathBuf,
    clock: Arc<dyn Clock>,
    log: LogOptions,
    configured: HashMap<String, HubOptions>,
    /// Partitions of a hub that is created on first use; `None` when hubs are not.
    on_first_use: Option<u32>,
    open: RwLock<HashMap<String, Arc<Hub>>>,
}

impl Hubs {
    /// Opens the hubs that are on disk and creates the configured ones that are not. Blocks.
    pub(crate) fn open(
        data_dir: &Path,
        log: LogOptions,
        configured: &[HubOptions],
        on_first_use: Option<u32>,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, HubError> {
        let dir = data_dir.join("hubs");
        let io =
            |error: std::io::Error| HubError::Description { path: dir.display().to_string(), why: error.to_string() };
        std::fs::create_dir_all(&dir).map_err(io)?;
        let configured = configured.iter().map(|hub| (hub.name.to_lowercase(), hub.clone())).collect();
        let hubs = Self { dir: dir.clone(), clock, log, configured, on_first_use, open: RwLock::default() };
        for entry in std::fs::read_dir(&dir).map_err(io)? {
            let folder = entry.map_err(io)?.path();
            if let Some(hub) = hubs.load(&folder)? {
                hubs.open.write().insert(hub.name.to_lowercase(), Arc::new(hub));
            }
        }
        for hub in hubs.configured.values() {
            hubs.find_or_create(&hub.name)?;
        }
        Ok(hubs)
    }

    /// The hub with this name, if it is open.
    pub(crate) fn find(&self, name: &str) -> Option<Arc<Hub>> {
        self.open.read().get(&name.to_lowercase()).cloned()
    }

    /// All hubs.
    pub(crate) fn all(&self) -> Vec<Arc<Hub>> {
        self.open.read().values().cloned().collect()
    }

    /// The hub with this name; it is created where that is allowed. Blocks.
    pub(crate) fn find_or_create(&self, name: &str) -> Result<Arc<Hub>, HubError> {
        if let Some(hub) = self.find(name) {
            return Ok(hub);
        }
        let key = name.to_lowercase();
        let partitions = match (self.configured.get(&key), self.on_first_use) {
            (Some(hub), _) => hub.partitions,
            (None, Some(partitions)) => partitions,
            (None, None) => return Err(HubError::NotFound(name.to_owned())),
        };
        let mut open = self.open.write();
        if let Some(hub) = open.get(&key) {
            return Ok(Arc::clone(hub));
        }
        let hub = Arc::new(self.create(name, partitions)?);
        open.insert(key, Arc::clone(&hub));
        Ok(hub)
    }

    fn create(&self, name: &str, partitions: u32) -> Result<Hub, HubError> {
        let fitting = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_');
        if name.len() > 256 || !name.starts_with(|c: char| c.is_ascii_alphanumeric()) || !name.chars().all(fitting) {
            return Err(HubError::Name(name.to_owned()));
        }
        if !(1..=MAX_PARTITIONS).contains(&partitions) {
            return Err(HubError::Partitions { hub: name.to_owned(), partitions });
        }
        let folder = self.dir.join(name.to_lowercase());
        let description =
            Description { version: 1, name: name.to_owned(), created_at_ms: self.clock.now_millis(), partitions };
        let hub = self.open_partitions(&folder, &description)?;
        let path = folder.join("hub.json");
        let written = (|| {
            let text = serde_json::to_vec_pretty(&description)?;
            let temporary = folder.join("hub.json.tmp");
            let mut file = std::fs::File::create(&temporary)?;
            file.write_all(&text)?;
            file.sync_all()?;
            std::fs::rename(&temporary, &path)?;
            segment::sync_dir(&folder)?;
            segment::sync_dir(&self.dir)
        })();
        written.map_err(|error: std::io::Error| HubError::Description {
            path: path.display().to_string(),
            why: error.to_string(),
        })?;
        tracing::info!(hub = name, partitions, "created a hub");
        Ok(hub)
    }

    /// Opens the hub in `folder`; `None` where its creation was not finished.
    fn load(&self, folder: &Path) -> Result<Option<Hub>, HubError> {
        let path = folder.join("hub.json");
        let wrong = |why: String| HubError::Description { path: path.display().to_string(), why };
        let text = match std::fs::read(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(wrong(error.to_string())),
        };
        let description: Description = serde_json::from_slice(&text).map_err(|error| wrong(error.to_string()))?;
        if description.version != 1 || !(1..=MAX_PARTITIONS).contains(&description.partitions) {
            return Err(wrong(
                "its version or number of partitions is not known here; was it written by a newer broker?".into(),
            ));
        }
        if let Some(configured) = self.configured.get(&description.name.to_lowercase())
            && configured.partitions != description.partitions
        {
            tracing::warn!(
                hub = description.name,
                held = description.partitions,
                configured = configured.partitions,
                "a hub's number of partitions can't be changed"
            );
        }
        self.open_partitions(folder, &description).map(Some)
    }

    fn open_partitions(&self, folder: &Path, description: &Description) -> Result<Hub, HubError> {
        let mut log = self.log.clone();
        if let Some(configured) = self.configured.get(&description.name.to_lowercase()) {
            let retention = configured.retention.as_ref();
            log.retention_ms =
                retention.map(|time| i64::try_from(time.as_millis()).unwrap_or(i64::MAX)).or(log.retention_ms);
            log.retention_bytes = configured.retention_bytes.or(log.retention_bytes);
        }
        let partitions = (0..description.partitions)
            .map(|number| PartitionLog::open(&folder.join(number.to_string()), log.clone(), Arc::clone(&self.clock)))
            .collect::<Result<Vec<_>, _>>()?;
        Ok(Hub {
            name: description.name.clone(),
            created_ms: description.created_at_ms,
            partitions,
            readers: Readers::default(),
            turn: RoundRobin::default(),
        })
    }
}
