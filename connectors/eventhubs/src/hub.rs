//! A hub as a client sees it: one authorised connection that all of a source's partitions share.
//!
//! The connection is made when somebody first wants it and again after it has ended; whoever comes meanwhile waits for
//! the same attempt. A token for the hub is put at `$cbs` before anything else, and renewed at three quarters of its
//! time by a task that lives as long as the connection's [`Live`].

use crate::amqp::transport::Address;
use crate::amqp::{AmqpError, Connection, Meaning};
use crate::auth::{Credential, Token, TokenError};
use crate::management::{self, HubProperties, PartitionProperties};
use crate::rpc::Rpc;
use fe2o3_amqp_types::primitives::{SimpleValue, Timestamp, Value};
use salamander_connector_api::ConnectorError;
use salamander_types::{Clock, Entropy, ErrorKind};
use secrecy::{ExposeSecret, SecretString};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::task::JoinHandle;

/// How often a failed renewal is tried again.
const RENEWAL_RETRY: Duration = Duration::from_secs(5);
/// The least time between two renewals.
const RENEWAL_LEAST: Duration = Duration::from_millis(200);

/// What a hub's client needs to know.
#[derive(Debug, Clone)]
pub(crate) struct HubSettings {
    /// The namespace.
    pub(crate) address: Address,
    /// The hub's name.
    pub(crate) hub: String,
    /// What makes tokens.
    pub(crate) credential: Credential,
    /// How long a token made here lasts.
    pub(crate) token_lifetime: Duration,
    /// Time limit of each call to the peer.
    pub(crate) call_limit: Duration,
}

/// A hub's client.
#[derive(Debug)]
pub(crate) struct Hub {
    settings: HubSettings,
    clock: Arc<dyn Clock>,
    entropy: Arc<dyn Entropy>,
    live: tokio::sync::Mutex<Option<Arc<Live>>>,
}

/// An authorised connection.
#[derive(Debug)]
pub(crate) struct Live {
    pub(crate) connection: Connection,
    client: String,
    limit: Duration,
    token: Arc<Mutex<SecretString>>,
    management: tokio::sync::Mutex<Option<Arc<Rpc>>>,
    renewal: JoinHandle<()>,
}

impl Drop for Live {
    fn drop(&mut self) {
        self.renewal.abort();
    }
}

/// A failed attempt to connect and be let in.
#[derive(Debug, Clone)]
pub(crate) enum HubError {
    /// By the peer or the network.
    Amqp(AmqpError),
    /// By whoever gives tokens.
    Token(TokenError),
}

impl From<AmqpError> for HubError {
    fn from(error: AmqpError) -> Self {
        Self::Amqp(error)
    }
}

impl Hub {
    /// A client that has not connected yet.
    pub(crate) fn new(settings: HubSettings, clock: Arc<dyn Clock>, entropy: Arc<dyn Entropy>) -> Self {
        Self { settings, clock, entropy, live: tokio::sync::Mutex::default() }
    }

    /// The hub's name.
    pub(crate) fn name(&self) -> &str {
        &self.settings.hub
    }

    /// Randomness for jitter and names.
    pub(crate) fn entropy(&self) -> &dyn Entropy {
        self.entropy.as_ref()
    }

    /// `event hub 'logs'`.
    pub(crate) fn place(&self) -> String {
        format!("event hub '{}'", self.settings.hub)
    }

    /// The shared connection, made if there is none.
    ///
    /// # Errors
    /// When the namespace can't be reached, or does not let us in.
    pub(crate) async fn live(&self) -> Result<Arc<Live>, HubError> {
        let mut slot = self.live.lock().await;
        if let Some(live) = slot.as_ref().filter(|live| !live.connection.is_closed()) {
            return Ok(Arc::clone(live));
        }
        *slot = None;
        let live = Arc::new(self.connect().await?);
        *slot = Some(Arc::clone(&live));
        Ok(live)
    }

    async fn connect(&self) -> Result<Live, HubError> {
        let settings = &self.settings;
        let client = format!("{:016x}", self.entropy.next_u64());
        let container = format!("salamander-{client}");
        let connection = Connection::open(&settings.address, &container, settings.call_limit).await?;
        let authority = Authority {
            connection: connection.clone(),
            audience: format!("sb://{}/{}", settings.address.host, settings.hub),
            client: client.clone(),
            settings: settings.clone(),
            clock: Arc::clone(&self.clock),
        };
        let token = authority.authorise().await?;
        let shared = Arc::new(Mutex::new(token.text.clone()));
        let renewal = tokio::spawn(authority.renew(token.expires, Arc::clone(&shared)));
        Ok(Live {
            connection,
            client,
            limit: settings.call_limit,
            token: shared,
            management: tokio::sync::Mutex::default(),
            renewal,
        })
    }

    /// The hub's properties.
    ///
    /// # Errors
    /// See [`Hub::live`] and [`management::hub`].
    pub(crate) async fn properties(&self) -> Result<HubProperties, HubError> {
        let live = self.live().await?;
        let rpc = live.management().await?;
        let token = live.token();
        live.forget_if_failed(management::hub(&rpc, &self.settings.hub, &token).await).await
    }

    /// A partition's properties.
    ///
    /// # Errors
    /// See [`Hub::live`] and [`management::partition`].
    pub(crate) async fn partition(&self, partition: &str) -> Result<PartitionProperties, HubError> {
        let live = self.live().await?;
        let rpc = live.management().await?;
        let token = live.token();
        live.forget_if_failed(management::partition(&rpc, &self.settings.hub, partition, &token).await).await
    }

    /// The contract's error for a failure at a place.
    pub(crate) fn error(&self, place: &str, error: &HubError) -> ConnectorError {
        let (kind, message) = match error {
            HubError::Token(TokenError::Entra(_)) => (ErrorKind::Transient, error_text(error)),
            HubError::Token(_) => (ErrorKind::Unauthorized, error_text(error)),
            HubError::Amqp(amqp) => explain(amqp, &self.settings.address),
        };
        ConnectorError::new(kind, place, message)
    }
}

fn error_text(error: &HubError) -> String {
    match error {
        HubError::Amqp(error) => error.to_string(),
        HubError::Token(error) => error.to_string(),
    }
}

fn explain(error: &AmqpError, address: &Address) -> (ErrorKind, String) {
    let host = format!("{}:{}", address.host, address.port);
    match error.meaning() {
        Meaning::Transient => (ErrorKind::Transient, format!("{error} (namespace {host})")),
        Meaning::Busy => (ErrorKind::Transient, format!("the service throttles: {error}")),
        Meaning::NotFound => (
            ErrorKind::NotFound,
            format!(
                "not found at {host}: {error}. Check 'event_hub' (or the connection string's EntityPath) and 'consumer_group'"
            ),
        ),
        Meaning::Unauthorized => (
            ErrorKind::Unauthorized,
            format!(
                "{host} refuses: {error}. Check the key's name and value and that its policy has the right to listen (source) or send (sink); with Entra ID, that the identity has a role of Event Hubs Data Receiver or Sender"
            ),
        ),
        Meaning::Stolen => (
            ErrorKind::Fenced,
            format!(
                "another reader of the consumer group took the partition with an owner level: {error}. Give this job its own consumer group, or find out who else reads in this one"
            ),
        ),
        Meaning::Quota => (
            ErrorKind::Transient,
            format!(
                "{error}. A partition takes five readers without owner level in a consumer group: give this job its own group"
            ),
        ),
        Meaning::Invalid => (ErrorKind::Invalid, error.to_string()),
    }
}

impl Live {
    /// The token that was last put.
    fn token(&self) -> SecretString {
        self.token.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    async fn management(&self) -> Result<Arc<Rpc>, HubError> {
        let mut slot = self.management.lock().await;
        if let Some(rpc) = slot.as_ref() {
            return Ok(Arc::clone(rpc));
        }
        let rpc = Arc::new(Rpc::open(&self.connection, "$management", &self.client, self.limit).await?);
        *slot = Some(Arc::clone(&rpc));
        Ok(rpc)
    }

    /// The service detaches idle links: after a failure that is no answer, the next call attaches anew.
    async fn forget_if_failed<T>(&self, result: Result<T, AmqpError>) -> Result<T, HubError> {
        if let Err(error) = &result
            && error.meaning() == Meaning::Transient
        {
            *self.management.lock().await = None;
        }
        Ok(result?)
    }
}

/// What a renewal needs.
struct Authority {
    connection: Connection,
    audience: String,
    client: String,
    settings: HubSettings,
    clock: Arc<dyn Clock>,
}

impl Authority {
    async fn authorise(&self) -> Result<Token, HubError> {
        let settings = &self.settings;
        let token = settings.credential.token(&self.audience, self.clock.as_ref(), settings.token_lifetime);
        let token = match tokio::time::timeout(settings.call_limit, token).await {
            Ok(token) => token.map_err(HubError::Token)?,
            Err(_) => {
                return Err(HubError::Token(TokenError::Entra(format!("no answer within {:?}", settings.call_limit))));
            }
        };
        // The service detaches idle $cbs links, so a pair is attached for each token.
        let rpc = Rpc::open(&self.connection, "$cbs", &self.client, settings.call_limit).await?;
        let expires = Timestamp::from_milliseconds(token.expires.saturating_mul(1000));
        let fields = vec![
            ("operation", SimpleValue::String("put-token".into())),
            ("type", SimpleValue::String(token.kind.into())),
            ("name", SimpleValue::String(self.audience.clone())),
            ("expiration", SimpleValue::Timestamp(expires)),
        ];
        let body = Value::String(token.text.expose_secret().to_owned());
        rpc.call(fields, body).await?.success()?;
        Ok(token)
    }

    async fn renew(self, mut expires: i64, shared: Arc<Mutex<SecretString>>) {
        loop {
            let now = self.clock.now_micros() / 1_000;
            let left = u64::try_from(expires.saturating_mul(1000).saturating_sub(now)).unwrap_or(0);
            tokio::time::sleep(Duration::from_millis(left / 4 * 3).max(RENEWAL_LEAST)).await;
            loop {
                match self.authorise().await {
                    Ok(token) => {
                        expires = token.expires;
                        *shared.lock().unwrap_or_else(PoisonError::into_inner) = token.text;
                        tracing::debug!(hub = self.settings.hub, "token renewed");
                        break;
                    }
                    Err(error) if self.connection.is_closed() => {
                        tracing::debug!(
                            hub = self.settings.hub,
                            error = error_text(&error),
                            "connection ended before the token was renewed"
                        );
                        return;
                    }
                    Err(error) => {
                        tracing::warn!(
                            hub = self.settings.hub,
                            error = error_text(&error),
                            "token not renewed; trying again"
                        );
                        tokio::time::sleep(RENEWAL_RETRY).await;
                    }
                }
            }
        }
    }
}
