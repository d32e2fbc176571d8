//! A hub as a table's source: its partitions are the splits.

use crate::amqp::{AmqpError, Inlet, ReceiverSpec, within};
use crate::hub::{Hub, HubError};
use crate::management::PartitionProperties;
use crate::reader::{PartitionReader, ReadSettings, partition_address};
use async_trait::async_trait;
use chrono::{DateTime, SecondsFormat, Utc};
use futures::{StreamExt, TryStreamExt};
use salamander_connector_api::{ConnectorError, Source, SourceDescription, SplitInfo, SplitReader};
use salamander_types::{ErrorKind, Position, SplitId};
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::{Notify, oneshot};

/// Partitions that are asked about at once.
const ASKED_AT_ONCE: usize = 8;

/// Where reading begins when nothing was read yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StartingPosition {
    /// The first event that is there.
    Earliest,
    /// The next event that comes.
    Latest,
    /// The event with this sequence number.
    Sequence(u64),
    /// The event at this offset, or the first behind it.
    Offset(String),
    /// The first event enqueued at or after this time.
    Time(DateTime<Utc>),
}

impl StartingPosition {
    /// Reads `earliest`, `latest`, `sequence:N`, `offset:N` or `time:2026-11-24T22:00:00Z`.
    ///
    /// # Errors
    /// When it is none of these, in words for the user.
    pub fn parse(text: &str) -> Result<Self, String> {
        let wrong = || {
            format!(
                "'{text}' is not a starting position: use earliest, latest, sequence:<number>, offset:<offset> or \
                 time:<RFC 3339, like 2026-11-24T22:00:00Z>"
            )
        };
        match text.split_once(':') {
            None if text.eq_ignore_ascii_case("earliest") => Ok(Self::Earliest),
            None if text.eq_ignore_ascii_case("latest") => Ok(Self::Latest),
            Some((kind, number)) if kind.eq_ignore_ascii_case("sequence") => {
                number.trim().parse().map(Self::Sequence).map_err(|_| wrong())
            }
            // The offset goes into a selector between quotes.
            Some((kind, offset)) if kind.eq_ignore_ascii_case("offset") => match offset.trim() {
                "" => Err(wrong()),
                offset if offset.contains(['\'', '\\']) => Err(wrong()),
                offset => Ok(Self::Offset(offset.to_owned())),
            },
            Some((kind, time)) if kind.eq_ignore_ascii_case("time") => {
                match DateTime::parse_from_rfc3339(time.trim()) {
                    Ok(time) => Ok(Self::Time(time.with_timezone(&Utc))),
                    Err(_) => Err(wrong()),
                }
            }
            _ => Err(wrong()),
        }
    }
}

/// A hub that is read.
#[derive(Debug)]
pub struct EventHubsSource {
    hub: Arc<Hub>,
    settings: ReadSettings,
    start: StartingPosition,
    call_limit: Duration,
    /// Starting positions that took a receive to find.
    found: Mutex<HashMap<SplitId, u64>>,
}

impl EventHubsSource {
    pub(crate) fn new(hub: Arc<Hub>, settings: ReadSettings, start: StartingPosition, call_limit: Duration) -> Self {
        Self { hub, settings, start, call_limit, found: Mutex::default() }
    }

    fn place(&self, split: &SplitId) -> String {
        format!("{}, partition {split}", self.hub.place())
    }

    async fn split(&self, id: String) -> Result<SplitInfo, ConnectorError> {
        let split = SplitId::new(id);
        let place = self.place(&split);
        let properties = self.hub.partition(split.as_str()).await.map_err(|error| self.hub.error(&place, &error))?;
        let start = self.start_of(&split, &properties).await?;
        Ok(SplitInfo { split, start: Position::at(start), end: Some(properties.end) })
    }

    /// The starting position as a sequence number.
    async fn start_of(&self, split: &SplitId, properties: &PartitionProperties) -> Result<u64, ConnectorError> {
        match &self.start {
            StartingPosition::Earliest => Ok(properties.begin),
            StartingPosition::Latest => Ok(properties.end),
            StartingPosition::Sequence(number) if *number > properties.end => {
                let message =
                    format!("'starting_position'='sequence:{number}' is above the partition's end {}", properties.end);
                Err(ConnectorError::new(ErrorKind::Invalid, self.place(split), message))
            }
            StartingPosition::Sequence(number) => Ok(*number),
            StartingPosition::Offset(offset) => {
                if properties.begin == properties.end || is_behind(offset, properties.last_offset.as_deref()) {
                    return Ok(properties.end);
                }
                self.search(split, format!("amqp.annotation.x-opt-offset >= '{offset}'")).await
            }
            StartingPosition::Time(time) => {
                let millis = time.timestamp_millis();
                if properties.begin == properties.end || properties.last_enqueued.is_some_and(|last| last < millis) {
                    return Ok(properties.end);
                }
                self.search(split, format!("amqp.annotation.x-opt-enqueued-time >= '{millis}'")).await
            }
        }
    }

    /// The sequence number of the first event that a selector lets through, found by receiving it.
    async fn search(&self, split: &SplitId, filter: String) -> Result<u64, ConnectorError> {
        if let Some(found) = self.found.lock().unwrap_or_else(PoisonError::into_inner).get(split) {
            return Ok(*found);
        }
        let found = self.receive_one(split, filter).await;
        let found = found.map_err(|error| self.hub.error(&self.place(split), &error))?;
        self.found.lock().unwrap_or_else(PoisonError::into_inner).insert(split.clone(), found);
        Ok(found)
    }

    async fn receive_one(&self, split: &SplitId, filter: String) -> Result<u64, HubError> {
        let live = self.hub.live().await?;
        let (found, first) = oneshot::channel();
        let spec = ReceiverSpec {
            name: format!("{}-{split}-start-{:08x}", self.hub.name(), self.hub.entropy().next_u64() as u32),
            address: partition_address(self.hub.name(), &self.settings.consumer_group, split.as_str()),
            target: None,
            filter: Some(filter),
            epoch: self.settings.owner_level,
        };
        let link = live.connection.attach_receiver(spec, Box::new(FirstEvent { found: Some(found) })).await?;
        link.poke();
        let first = within(self.call_limit, "a search for the starting position", async {
            first.await.unwrap_or(Err(AmqpError::Closed))
        });
        Ok(first.await?)
    }
}

/// True when both offsets are numbers and the first is larger.
fn is_behind(offset: &str, last: Option<&str>) -> bool {
    match (offset.parse::<i64>(), last.map(str::parse::<i64>)) {
        (Ok(offset), Some(Ok(last))) => offset > last,
        _ => false,
    }
}

/// Takes one event and tells its number.
struct FirstEvent {
    found: Option<oneshot::Sender<Result<u64, AmqpError>>>,
}

impl Inlet for FirstEvent {
    fn message(&mut self, message: &[u8]) {
        if let Some(found) = self.found.take() {
            let number = crate::amqp::section::read(message).map_err(AmqpError::from);
            let number = number.and_then(|event| {
                let number = event.sequence.and_then(|number| u64::try_from(number).ok());
                number.ok_or_else(|| AmqpError::Protocol("an event without x-opt-sequence-number".into()))
            });
            let _ = found.send(number);
        }
    }

    fn credit(&mut self, outstanding: u32) -> Option<u32> {
        (self.found.is_some() && outstanding == 0).then_some(1)
    }

    fn ended(&mut self, error: AmqpError) {
        if let Some(found) = self.found.take() {
            let _ = found.send(Err(error));
        }
    }
}

#[async_trait]
impl Source for EventHubsSource {
    async fn describe(&self) -> Result<SourceDescription, ConnectorError> {
        let properties = self.hub.properties().await;
        let properties = properties.map_err(|error| self.hub.error(&self.hub.place(), &error))?;
        let created = match DateTime::from_timestamp_millis(properties.created_at) {
            Some(time) => time.to_rfc3339_opts(SecondsFormat::Millis, true),
            None => properties.created_at.to_string(),
        };
        let splits = futures::stream::iter(properties.partition_ids.into_iter().map(|id| self.split(id)));
        Ok(SourceDescription {
            identity: format!("event hub '{}' created at {created}", properties.name),
            splits: splits.buffered(ASKED_AT_ONCE).try_collect().await?,
            bounded: false,
        })
    }

    async fn open(
        &self,
        split: &SplitId,
        position: &Position,
        notify: Arc<Notify>,
    ) -> Result<Box<dyn SplitReader>, ConnectorError> {
        let (hub, settings) = (Arc::clone(&self.hub), self.settings.clone());
        let reader = PartitionReader::open(hub, settings, split.clone(), position.next, notify).await?;
        Ok(Box::new(reader))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn starting_positions() {
        assert_eq!(StartingPosition::parse("Earliest"), Ok(StartingPosition::Earliest));
        assert_eq!(StartingPosition::parse("latest"), Ok(StartingPosition::Latest));
        assert_eq!(StartingPosition::parse("sequence:42"), Ok(StartingPosition::Sequence(42)));
        assert_eq!(StartingPosition::parse("offset:4294967296"), Ok(StartingPosition::Offset("4294967296".into())));
        let time = DateTime::from_timestamp_millis(1_790_000_000_123).unwrap();
        assert_eq!(StartingPosition::parse(&format!("time:{}", time.to_rfc3339())), Ok(StartingPosition::Time(time)));
        for wrong in ["", "first", "sequence:-1", "offset:", "offset:1' or '1", "time:yesterday", "sequence"] {
            assert!(StartingPosition::parse(wrong).is_err(), "{wrong}");
        }
    }
}
