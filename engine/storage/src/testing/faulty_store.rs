//! [`FaultyStore`]: any store, with the failures that remote stores have.

use super::yield_times;
use async_trait::async_trait;
use futures::stream::BoxStream;
use futures::{StreamExt, TryStreamExt, stream};
use object_store::path::Path;
use object_store::{
    CopyOptions, Error, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta, ObjectStore,
    PutMultipartOptions, PutOptions, PutPayload, PutResult, Result,
};
use parking_lot::Mutex;
use salamander_types::Entropy;
use std::collections::VecDeque;
use std::fmt;
use std::sync::Arc;

/// What is asked of the store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Operation {
    /// Any way of putting a whole object.
    Put,
    /// Any way of reading an object.
    Get,
    /// Any way of listing.
    List,
    /// A deletion.
    Delete,
    /// A copy.
    Copy,
}

/// What goes wrong with one operation. What only makes sense for puts is [`Fault::FailBefore`] for others.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// Nothing.
    None,
    /// An error, without the effect.
    FailBefore,
    /// The effect, then an error: a timeout after a success.
    FailAfter,
    /// The effect, then "already exists": a store's client that repeats a create after a server error.
    ExistsAfter,
    /// An error, and the effect some time later: a request that is still on its way.
    Late,
    /// The effect, after others have run so many times, and the answer after as many again.
    Delay(u32),
    /// Never an answer, and no effect.
    Hang,
}

/// Decides what goes wrong.
pub trait FaultPlan: fmt::Debug + Send + Sync + 'static {
    /// The fate of this operation.
    fn next(&self, operation: Operation, location: &Path) -> Fault;

    /// True when one of the late puts arrives now. Asked before each operation.
    fn late_arrives(&self) -> bool {
        false
    }
}

/// Faults in a fixed order: each waits for the next operation of its kind, and holds up those behind it.
#[derive(Debug, Default)]
pub struct Script(Mutex<VecDeque<(Operation, Fault)>>);

impl Script {
    /// These faults, in this order; then none.
    pub fn new(faults: impl IntoIterator<Item = (Operation, Fault)>) -> Self {
        Self(Mutex::new(faults.into_iter().collect()))
    }

    /// Faults that are still to come.
    pub fn left(&self) -> usize {
        self.0.lock().len()
    }
}

impl FaultPlan for Script {
    fn next(&self, operation: Operation, _: &Path) -> Fault {
        let mut faults = self.0.lock();
        match faults.front() {
            Some((next, _)) if *next == operation => faults.pop_front().map_or(Fault::None, |(_, fault)| fault),
            _ => Fault::None,
        }
    }
}

/// Faults and delays at random.
#[derive(Debug)]
pub struct RandomFaults {
    entropy: Arc<dyn Entropy>,
    one_in: u64,
}

impl RandomFaults {
    /// One operation in so many goes wrong (0: none); half of the others are delayed.
    pub fn new(entropy: Arc<dyn Entropy>, one_in: u64) -> Self {
        Self { entropy, one_in }
    }
}

impl FaultPlan for RandomFaults {
    fn next(&self, _: Operation, _: &Path) -> Fault {
        let fate = self.entropy.next_u64();
        if self.one_in > 0 && (fate >> 8).is_multiple_of(self.one_in) {
            return match fate % 4 {
                0 => Fault::FailBefore,
                1 => Fault::FailAfter,
                2 => Fault::ExistsAfter,
                _ => Fault::Late,
            };
        }
        match fate % 4 {
            0 => Fault::Delay(1),
            1 => Fault::Delay(4),
            _ => Fault::None,
        }
    }

    fn late_arrives(&self) -> bool {
        self.entropy.next_u64().is_multiple_of(6)
    }
}

/// A store with faults.
#[derive(Debug, Clone)]
pub struct FaultyStore {
    inner: Arc<dyn ObjectStore>,
    plan: Arc<dyn FaultPlan>,
    late: Arc<Mutex<Vec<LatePut>>>,
}

#[derive(Debug)]
struct LatePut {
    location: Path,
    payload: PutPayload,
    options: PutOptions,
}

impl FaultyStore {
    /// Wraps a store.
    pub fn new(inner: Arc<dyn ObjectStore>, plan: Arc<dyn FaultPlan>) -> Self {
        Self { inner, plan, late: Arc::default() }
    }

    /// Lets the oldest put that is still on its way arrive; false if there is none. Its own outcome is nobody's.
    pub async fn arrive(&self) -> bool {
        let put = {
            let mut late = self.late.lock();
            if late.is_empty() {
                return false;
            }
            late.remove(0)
        };
        let _ = self.inner.put_opts(&put.location, put.payload, put.options).await;
        true
    }

    /// Before an operation: what has to fail fails here. Returns what is to be done after the effect.
    async fn before(&self, operation: Operation, location: &Path) -> Result<Fault> {
        if self.plan.late_arrives() {
            self.arrive().await;
        }
        let fault = self.plan.next(operation, location);
        match fault {
            Fault::Hang => futures::future::pending().await,
            Fault::Delay(times) => {
                yield_times(times).await;
                Ok(fault)
            }
            Fault::FailBefore => Err(broken("failed before the effect")),
            _ if operation != Operation::Put && fault != Fault::None => Err(broken("failed")),
            _ => Ok(fault),
        }
    }
}

fn broken(what: &str) -> Error {
    Error::Generic { store: "FaultyStore", source: format!("injected: {what}").into() }
}

async fn delayed<T>(fault: Fault, answer: Result<T>) -> Result<T> {
    if let Fault::Delay(times) = fault {
        yield_times(times).await;
    }
    answer
}

impl fmt::Display for FaultyStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "FaultyStore({})", self.inner)
    }
}

#[async_trait]
impl ObjectStore for FaultyStore {
    async fn put_opts(&self, location: &Path, payload: PutPayload, options: PutOptions) -> Result<PutResult> {
        let fault = self.before(Operation::Put, location).await?;
        if fault == Fault::Late {
            self.late.lock().push(LatePut { location: location.clone(), payload, options });
            return Err(broken("no answer; the put is still on its way"));
        }
        let answer = self.inner.put_opts(location, payload, options).await;
        match fault {
            Fault::FailAfter => Err(broken("failed after the effect")),
            Fault::ExistsAfter => {
                Err(Error::AlreadyExists { path: location.to_string(), source: "injected: a repeated create".into() })
            }
            fault => delayed(fault, answer).await,
        }
    }

    async fn put_multipart_opts(
        &self,
        location: &Path,
        options: PutMultipartOptions,
    ) -> Result<Box<dyn MultipartUpload>> {
        self.inner.put_multipart_opts(location, options).await
    }

    async fn get_opts(&self, location: &Path, options: GetOptions) -> Result<GetResult> {
        let fault = self.before(Operation::Get, location).await?;
        delayed(fault, self.inner.get_opts(location, options).await).await
    }

    fn delete_stream(&self, locations: BoxStream<'static, Result<Path>>) -> BoxStream<'static, Result<Path>> {
        let store = self.clone();
        locations
            .and_then(move |location| {
                let store = store.clone();
                async move {
                    let fault = store.before(Operation::Delete, &location).await?;
                    let answer = object_store::ObjectStoreExt::delete(&store.inner, &location).await;
                    delayed(fault, answer.map(|()| location)).await
                }
            })
            .boxed()
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        let (store, prefix) = (self.clone(), prefix.cloned());
        stream::once(async move {
            let place = prefix.clone().unwrap_or_default();
            store.before(Operation::List, &place).await?;
            Ok::<_, Error>(store.inner.list(prefix.as_ref()))
        })
        .try_flatten()
        .boxed()
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        let place = prefix.cloned().unwrap_or_default();
        let fault = self.before(Operation::List, &place).await?;
        delayed(fault, self.inner.list_with_delimiter(prefix).await).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        let fault = self.before(Operation::Copy, to).await?;
        delayed(fault, self.inner.copy_opts(from, to, options).await).await
    }
}
