//! What a broker is started with.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use secrecy::SecretString;

use crate::clock::{Clock, SystemClock};

/// The largest message a link takes, in bytes: the service's limit.
pub const MAX_MESSAGE_SIZE: u64 = 1_048_576;

/// A hub that is there from the start.
#[derive(Debug, Clone)]
pub struct HubOptions {
    /// Its name.
    pub name: String,
    /// Its number of partitions; it can't be changed later.
    pub partitions: u32,
    /// How long events are kept; `None` for the broker's default.
    pub retention: Option<Duration>,
    /// How many bytes each partition keeps; `None` for the broker's default.
    pub retention_bytes: Option<u64>,
}

/// What a broker is started with.
#[derive(Clone)]
pub struct BrokerOptions {
    /// Where to listen; port 0 takes a free one. The broker speaks no TLS.
    pub listen: SocketAddr,
    /// Where hubs are kept.
    pub data_dir: PathBuf,
    /// The hubs that are there from the start.
    pub hubs: Vec<HubOptions>,
    /// Whether a hub comes into being when it is first named.
    pub create_hubs_on_first_use: bool,
    /// Partitions of a hub that is created on first use.
    pub default_partitions: u32,
    /// How long events are kept by hubs that don't say.
    pub retention: Option<Duration>,
    /// How many bytes each partition of such a hub keeps.
    pub retention_bytes: Option<u64>,
    /// A segment file is closed when it has grown past this many bytes. At start the last one of each partition is read whole.
    pub segment_bytes: u64,
    /// Names and values of the keys that tokens may be signed with.
    pub keys: Vec<(String, SecretString)>,
    /// Whether the development key is accepted, on loopback.
    pub development_key: bool,
    /// Bearer tokens that are accepted as they are, for every hub, in place of Entra ID's: a broker can't check those.
    pub bearer_tokens: Vec<SecretString>,
    /// Tells the time.
    pub clock: Arc<dyn Clock>,
}

impl BrokerOptions {
    /// A broker for development: hubs of 4 partitions come into being on first use, and the development key is accepted.
    pub fn new(listen: SocketAddr, data_dir: impl Into<PathBuf>) -> Self {
        Self {
            listen,
            data_dir: data_dir.into(),
            hubs: Vec::new(),
            create_hubs_on_first_use: true,
            default_partitions: 4,
            retention: Some(Duration::from_secs(7 * 24 * 3600)),
            retention_bytes: None,
            segment_bytes: 32 * 1024 * 1024,
            keys: Vec::new(),
            development_key: true,
            bearer_tokens: Vec::new(),
            clock: Arc::new(SystemClock),
        }
    }
}

impl std::fmt::Debug for BrokerOptions {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("BrokerOptions")
            .field("listen", &self.listen)
            .field("data_dir", &self.data_dir)
            .field("hubs", &self.hubs)
            .field("create_hubs_on_first_use", &self.create_hubs_on_first_use)
            .field("keys", &self.keys.iter().map(|(name, _)| name).collect::<Vec<_>>())
            .finish_non_exhaustive()
    }
}
