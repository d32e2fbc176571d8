//! Waiting, as an injected value: a simulation doesn't want to.

use futures::future::BoxFuture;
use std::fmt::Debug;
use std::time::Duration;

/// A way to wait.
pub trait Sleep: Debug + Send + Sync {
    /// A future that is ready after this time.
    fn sleep(&self, time: Duration) -> BoxFuture<'static, ()>;
}

/// Waits on tokio's timer. Needs a tokio runtime.
#[derive(Debug, Clone, Copy, Default)]
pub struct TokioSleep;

impl Sleep for TokioSleep {
    fn sleep(&self, time: Duration) -> BoxFuture<'static, ()> {
        Box::pin(tokio::time::sleep(time))
    }
}
