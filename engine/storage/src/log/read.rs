//! Reading a log: the newest object is found by listing (never by probing), then the way goes back to the newest base
//! and forward again, folding.

use super::codec::{check_place, decode, number_in};
use super::{Head, Loaded, Log, LogError, RETENTION};
use bytes::Bytes;
use futures::{StreamExt, TryStreamExt, future};
use object_store::ObjectStoreExt;
use salamander_types::LogNumber;
use salamander_types::manifest::{Body, LogState, Manifest};
use std::time::Duration;

/// Objects that are read ahead on the way back to a base.
const READ_AHEAD: usize = 8;
/// How often a load starts afresh when retention deletes under it.
const LOAD_ATTEMPTS: u32 = 4;
/// A load that took longer may have met an object that a zombie wrote under a number that retention had deleted
/// meanwhile: it starts afresh. Retention keeps far longer what a load needs.
const LOAD_LIMIT: Duration = Duration::from_secs(RETENTION.as_secs() / 4);

impl<S: LogState> Log<S> {
    /// The numbers that are there, in order. They have gaps below the newest base, and only there.
    ///
    /// # Errors
    /// The store's.
    pub async fn list(&self) -> Result<Vec<LogNumber>, LogError> {
        self.list_from(LogNumber(0)).await
    }

    /// Everything up to the newest object; none if the log has no object yet.
    ///
    /// # Errors
    /// The store's, and what is corrupt or unknown on the way.
    pub async fn load(&self) -> Result<Option<Loaded<S>>, LogError> {
        self.load_after(None).await
    }

    /// What a reader who knows the log up to some head learns anew: reads only what came since.
    ///
    /// # Errors
    /// As for [`Log::load`]; a log that has gone back, or has another object where `known` had its head, is corrupt.
    pub async fn load_after(&self, known: Option<Loaded<S>>) -> Result<Option<Loaded<S>>, LogError> {
        let mut obstacle = None;
        for _ in 0..LOAD_ATTEMPTS {
            let begun = self.context.clock.monotonic();
            let from = known.as_ref().map_or(LogNumber(0), |k| k.head.number);
            let Some(newest) = self.list_from(from).await?.pop() else {
                return match known {
                    None => Ok(None),
                    Some(_) => Err(self.corrupt(from, "it was there, and neither it nor any later one is now")),
                };
            };
            if newest == from {
                return Ok(known);
            }
            match self.read_back(newest, known.as_ref().map(|k| &k.head)).await? {
                Ok(_) if self.context.clock.monotonic().saturating_sub(begun) > LOAD_LIMIT => {}
                Ok(chain) => return self.fold(chain, known).map(Some),
                Err(error) => obstacle = Some(error),
            }
        }
        Err(obstacle.unwrap_or_else(|| LogError::Store {
            action: "load",
            object: self.folder.to_string(),
            source: object_store::Error::Generic {
                store: "log",
                source: format!("each attempt took more than {LOAD_LIMIT:?}").into(),
            },
        }))
    }

    pub(super) async fn list_from(&self, from: LogNumber) -> Result<Vec<LogNumber>, LogError> {
        let before = LogNumber(from.0.saturating_sub(1));
        let listing = self
            .store
            .list_with_offset(Some(&self.folder), &self.object(before))
            .try_filter_map(|object| {
                let name = object.location.prefix_match(&self.folder).and_then(|mut parts| {
                    let first = parts.next()?;
                    parts.next().is_none().then(|| first.as_ref().to_owned())
                });
                future::ready(Ok(name.and_then(|name| number_in(&name))))
            })
            .try_collect();
        let mut numbers: Vec<LogNumber> =
            self.in_time(listing).await.map_err(|source| self.store_error("list", self.folder.as_ref(), source))?;
        // A store may show more than was asked for.
        numbers.retain(|number| *number >= from);
        numbers.sort_unstable();
        Ok(numbers)
    }

    /// The objects from `newest` back to a base or to just above `known`, newest first, each in its place. The inner
    /// error is what retention (and a zombie) may have caused meanwhile, if it isn't damage: it may be gone next time.
    async fn read_back(
        &self,
        newest: LogNumber,
        known: Option<&Head>,
    ) -> Result<Result<Vec<Manifest<S>>, LogError>, LogError> {
        let known_number = known.map_or(0, |head| head.number.0);
        let mut objects = futures::stream::iter((known_number + 1..=newest.0).rev().map(LogNumber))
            .map(|number| async move { (number, self.read_manifest(number).await) })
            .buffered(READ_AHEAD);
        let mut chain = Vec::new();
        let mut reached_base = false;
        while !reached_base && let Some((number, read)) = objects.next().await {
            let Some(manifest) = read? else {
                return Ok(Err(self.corrupt(number, "it is missing below later ones")));
            };
            reached_base = matches!(manifest.body, Body::Base(_));
            chain.push(manifest);
        }
        if !reached_base && known.is_none() {
            return Ok(Err(self.corrupt(LogNumber(1), "a log begins with a base")));
        }
        Ok(self.check_chain(&chain, known).map(|()| chain))
    }

    fn check_chain(&self, chain: &[Manifest<S>], known: Option<&Head>) -> Result<(), LogError> {
        let first = chain.last().map(|manifest| manifest.number);
        // A base further up replaces what was known: nothing but the log's rules connects the two.
        let mut before = known.filter(|head| Some(head.number.next()) == first).cloned();
        for manifest in chain.iter().rev() {
            check_place(self.object(manifest.number).as_ref(), manifest, before.as_ref())?;
            before = Some(head_of(manifest));
        }
        Ok(())
    }

    /// Folds checked objects, newest first, that begin with a base or follow `known`.
    fn fold(&self, mut chain: Vec<Manifest<S>>, known: Option<Loaded<S>>) -> Result<Loaded<S>, LogError> {
        let (mut head, mut state) = known.map_or((None, S::default()), |k| (Some(k.head), k.state));
        while let Some(manifest) = chain.pop() {
            head = Some(head_of(&manifest));
            match manifest.body {
                Body::Base(whole) => state = *whole,
                Body::Delta(entries) => {
                    for entry in &entries {
                        state.apply(entry).map_err(|error| self.corrupt(manifest.number, &error.to_string()))?;
                    }
                }
            }
        }
        match head {
            Some(head) => Ok(Loaded { head, state }),
            None => Err(self.corrupt(LogNumber(1), "it is missing")),
        }
    }

    pub(super) async fn read_manifest(&self, number: LogNumber) -> Result<Option<Manifest<S>>, LogError> {
        match self.read_bytes(number).await {
            Ok(bytes) => decode(self.object(number).as_ref(), &bytes, &self.name, number).map(Some),
            Err(object_store::Error::NotFound { .. }) => Ok(None),
            Err(source) => Err(self.store_error("read", self.object(number).as_ref(), source)),
        }
    }

    pub(super) async fn read_bytes(&self, number: LogNumber) -> object_store::Result<Bytes> {
        let object = self.object(number);
        self.in_time(async { self.store.get(&object).await?.bytes().await }).await
    }

    pub(super) fn corrupt(&self, number: LogNumber, reason: &str) -> LogError {
        LogError::Corrupt { object: self.object(number).to_string(), reason: reason.to_owned() }
    }

    pub(super) fn store_error(&self, action: &'static str, object: &str, source: object_store::Error) -> LogError {
        LogError::Store { action, object: object.to_owned(), source }
    }
}

fn head_of<S: LogState>(manifest: &Manifest<S>) -> Head {
    Head { number: manifest.number, id: manifest.id.clone(), generation: manifest.generation }
}
