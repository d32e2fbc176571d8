//! Writing a log: opening generations and committing. The decisions are [`crate::commit`]'s; here is the IO.

use super::codec::{decode_envelope, encode};
use super::{Head, Loaded, Log, LogError};
use crate::commit::{Action, Event, ListAnswer, Outcome, Pursuit, PutAnswer, ReadAnswer, Rival};
use crate::error::kind_of_store;
use crate::failpoint;
use bytes::Bytes;
use futures::future::{Either, select};
use object_store::{Error, PutMode, PutOptions, PutPayload};
use salamander_types::manifest::{Body, LogState, MANIFEST_FORMAT, Manifest, ManifestKind};
use salamander_types::{ErrorKind, Generation, LogNumber};
use std::pin::pin;
use std::time::Duration;

/// What became of a commit.
#[derive(Debug, Clone, PartialEq, Eq)]
#[must_use]
pub enum Commit {
    /// It is in the log, durably, and the newest. The next commit starts from this head.
    Won(Head),
    /// Another generation rules: stop without any further effect. The entries may stand in the log or not; opening
    /// a generation tells.
    Fenced {
        /// Who is in the way.
        by: Rival,
    },
}

/// An object ready to be written, again and again, always the same.
struct Draft {
    head: Head,
    bytes: Bytes,
}

impl<S: LogState> Log<S> {
    /// Begins a generation: wins the next number with an `open` manifest, and returns what precedes it with `make`'s
    /// entries applied.
    ///
    /// `make` sees the log as it is at each attempt (none: the log is new). It may be called several times, and must
    /// look: the entries of an attempt that was overtaken by another writer at once may already be in that state.
    ///
    /// # Errors
    /// The store's; [`LogError::Contended`] when others win every time; [`LogError::OutcomeUnknown`] as for
    /// [`Log::commit`], after which it may simply be called again.
    pub async fn open_generation(
        &self,
        mut make: impl FnMut(Option<&Loaded<S>>) -> Vec<S::Entry> + Send,
    ) -> Result<Loaded<S>, LogError> {
        let mut before = None;
        for attempt in 1..=self.options.open_attempts {
            before = self.load_after(before).await?;
            let entries = make(before.as_ref());
            let state = self.applied(before.as_ref(), &entries)?;
            let parent = before.as_ref().map(|loaded| &loaded.head);
            let draft = self.draft(ManifestKind::Open, parent, &state, entries)?;
            match self.pursue(&draft).await? {
                None => {
                    return Ok(Loaded { head: draft.head, state });
                }
                Some(rival) => {
                    tracing::info!(log = %self.name, ?rival, attempt, "another writer was faster; reading again");
                    self.rest(self.options.retry.pause(attempt)).await;
                }
            }
        }
        Err(LogError::Contended { log: self.name.clone(), attempts: self.options.open_attempts })
    }

    /// Writes the number after `head`. `state_after` must be the head's state with `entries` applied.
    ///
    /// One commit at a time: the next number may be tried only after this one was won. A caller that drops the
    /// future, or gets an error of kind `Transient`, doesn't know the outcome and must stop as a writer; opening a
    /// generation finds out.
    ///
    /// # Errors
    /// The store's refusal (nothing was written), or [`LogError::OutcomeUnknown`].
    pub async fn commit(&self, head: &Head, state_after: &S, entries: Vec<S::Entry>) -> Result<Commit, LogError> {
        let draft = self.draft(ManifestKind::Commit, Some(head), state_after, entries)?;
        Ok(match self.pursue(&draft).await? {
            None => Commit::Won(draft.head),
            Some(by) => Commit::Fenced { by },
        })
    }

    fn applied(&self, before: Option<&Loaded<S>>, entries: &[S::Entry]) -> Result<S, LogError> {
        let mut state = before.map(|loaded| loaded.state.clone()).unwrap_or_default();
        for entry in entries {
            state
                .apply(entry)
                .map_err(|error| LogError::Entries { log: self.name.clone(), reason: error.to_string() })?;
        }
        Ok(state)
    }

    fn draft(
        &self,
        kind: ManifestKind,
        parent: Option<&Head>,
        state_after: &S,
        entries: Vec<S::Entry>,
    ) -> Result<Draft, LogError> {
        let number = parent.map_or(LogNumber(1), |head| head.number.next());
        let ruling = parent.map_or(Generation(0), |head| head.generation);
        let generation = match kind {
            ManifestKind::Open => ruling.next(),
            ManifestKind::Commit => ruling,
        };
        let id = format!("{}-{:016x}", self.context.writer, self.context.entropy.next_u64());
        let manifest = Manifest {
            format: MANIFEST_FORMAT,
            log: self.name.clone(),
            number,
            generation,
            id: id.clone(),
            parent: parent.map(|head| head.id.clone()),
            writer: self.context.writer.clone(),
            written_at: self.context.clock.now_micros(),
            kind,
            body: if self.is_base(number) {
                Body::Base(Box::new(state_after.clone()))
            } else {
                Body::<S>::Delta(entries)
            },
        };
        Ok(Draft { bytes: encode(&manifest)?.into(), head: Head { number, id, generation } })
    }

    /// Carries out what [`Pursuit`] decides. None: won. Some: fenced.
    async fn pursue(&self, draft: &Draft) -> Result<Option<Rival>, LogError> {
        let number = draft.head.number;
        let mut pursuit = Pursuit::new(number, self.options.retry);
        let mut last: Option<Error> = None;
        let mut event = Event::Begin;
        loop {
            event = match pursuit.step(event) {
                Action::Put => Event::Put(self.put(draft, &mut last).await),
                Action::Read => Event::Read(self.whose(draft, &mut last).await?),
                Action::List => Event::Listed(self.newest_from(number, &mut last).await),
                Action::Rest(pause) => {
                    self.rest(pause).await;
                    Event::Rested
                }
                Action::End(Outcome::Won) => return Ok(None),
                Action::End(Outcome::Fenced(rival)) => return Ok(Some(self.identified(rival).await)),
                Action::End(Outcome::Refused) => {
                    let source = last.unwrap_or(Error::NotImplemented {
                        operation: "put".into(),
                        implementer: self.store.to_string(),
                    });
                    return Err(self.store_error("create", self.object(number).as_ref(), source));
                }
                Action::End(Outcome::Unknown) => {
                    return Err(LogError::OutcomeUnknown {
                        object: self.object(number).to_string(),
                        attempts: pursuit.failures(),
                        last: last.map_or_else(|| "none".to_owned(), |error| error.to_string()),
                    });
                }
            };
        }
    }

    async fn put(&self, draft: &Draft, last: &mut Option<Error>) -> PutAnswer {
        let object = self.object(draft.head.number);
        let payload = PutPayload::from_bytes(draft.bytes.clone());
        failpoint::hit("log.before-put");
        let put = self.store.put_opts(&object, payload, PutOptions::from(PutMode::Create));
        let answer = self.in_time(put).await;
        failpoint::hit("log.after-put");
        match answer {
            Ok(_) => PutAnswer::Created,
            Err(error) => {
                let answer = understood(&error);
                if !matches!(answer, PutAnswer::Exists) {
                    tracing::warn!(%object, %error, "creating a log object got no success");
                }
                *last = Some(error);
                answer
            }
        }
    }

    async fn whose(&self, draft: &Draft, last: &mut Option<Error>) -> Result<ReadAnswer, LogError> {
        let number = draft.head.number;
        match self.read_bytes(number).await {
            Ok(bytes) if bytes == draft.bytes => Ok(ReadAnswer::Own),
            Ok(bytes) => {
                let envelope = decode_envelope(self.object(number).as_ref(), &bytes)?;
                if envelope.id == draft.head.id {
                    return Err(self.corrupt(number, "it carries our id but not what we wrote"));
                }
                Ok(ReadAnswer::Other(Rival {
                    number,
                    generation: Some(envelope.generation),
                    writer: Some(envelope.writer),
                }))
            }
            Err(Error::NotFound { .. }) => Ok(ReadAnswer::Missing),
            Err(error) => {
                *last = Some(error);
                Ok(ReadAnswer::Unclear)
            }
        }
    }

    async fn newest_from(&self, number: LogNumber, last: &mut Option<Error>) -> ListAnswer {
        let answer = match self.list_from(number).await {
            Ok(mut numbers) => ListAnswer::Newest(numbers.pop()),
            Err(LogError::Store { source, .. }) => {
                *last = Some(source);
                ListAnswer::Unclear
            }
            Err(_) => ListAnswer::Unclear,
        };
        failpoint::hit("log.after-listing");
        answer
    }

    /// The rival with its name, if that can be had.
    async fn identified(&self, mut rival: Rival) -> Rival {
        if rival.writer.is_none()
            && let Ok(bytes) = self.read_bytes(rival.number).await
            && let Ok(envelope) = decode_envelope(self.object(rival.number).as_ref(), &bytes)
        {
            rival.generation = Some(envelope.generation);
            rival.writer = Some(envelope.writer);
        }
        rival
    }

    /// Waits between half the pause and the whole, so that rivals don't meet again.
    async fn rest(&self, pause: Duration) {
        let half = pause / 2;
        let spread = u64::try_from(half.as_micros()).unwrap_or(u64::MAX).max(1);
        let extra = Duration::from_micros(self.context.entropy.next_u64() % spread);
        self.options.sleep.sleep(half + extra).await;
    }

    /// A request that gives up after the configured time. What it asked for may still happen.
    pub(super) async fn in_time<T>(
        &self,
        request: impl Future<Output = object_store::Result<T>>,
    ) -> object_store::Result<T> {
        let Some(timeout) = self.options.request_timeout else {
            return request.await;
        };
        match select(pin!(request), self.options.sleep.sleep(timeout)).await {
            Either::Left((answer, _)) => answer,
            Either::Right(((), _)) => {
                Err(Error::Generic { store: "log", source: format!("no answer within {timeout:?}").into() })
            }
        }
    }
}

fn understood(error: &Error) -> PutAnswer {
    match error {
        Error::AlreadyExists { .. } | Error::Precondition { .. } => PutAnswer::Exists,
        other => match kind_of_store(other) {
            ErrorKind::Invalid | ErrorKind::NotFound | ErrorKind::Unauthorized => PutAnswer::Refused,
            _ => PutAnswer::Unclear,
        },
    }
}
