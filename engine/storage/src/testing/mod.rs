//! What tests need of storage, in this crate and in others: never used by the engine itself.
//!
//! - [`SimulatedDisk`], [`CrashStore`]: a disk that on a power cut forgets, keeps or tears whatever was not synced.
//! - [`FaultyStore`]: any store, with failures before and after the effect, late effects, and waits.
//! - [`YieldSleep`]: waiting that takes no time; [`ManualClock`]: a clock that is set.

mod crash_store;
mod faulty_store;
mod simulated_disk;

pub use crash_store::CrashStore;
pub use faulty_store::{Fault, FaultPlan, FaultyStore, Operation, RandomFaults, Script};
pub use simulated_disk::{Neglect, SimulatedDisk};

use crate::sleep::Sleep;
use futures::future::BoxFuture;
use salamander_types::Clock;
use std::sync::atomic::{AtomicI64, Ordering};
use std::task::Poll;
use std::time::Duration;

/// A future that lets others run so many times.
pub async fn yield_times(times: u32) {
    let mut left = times;
    futures::future::poll_fn(move |context| {
        if left == 0 {
            return Poll::Ready(());
        }
        left -= 1;
        context.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}

/// Lets others run once instead of waiting.
#[derive(Debug, Clone, Copy, Default)]
pub struct YieldSleep;

impl Sleep for YieldSleep {
    fn sleep(&self, _: Duration) -> BoxFuture<'static, ()> {
        Box::pin(yield_times(1))
    }
}

/// A clock that stands until it is moved.
#[derive(Debug, Default)]
pub struct ManualClock(AtomicI64);

impl ManualClock {
    /// Moves the clock on.
    pub fn advance(&self, by: Duration) {
        let micros = i64::try_from(by.as_micros()).unwrap_or(i64::MAX);
        self.0.fetch_add(micros, Ordering::SeqCst);
    }
}

impl Clock for ManualClock {
    fn now_micros(&self) -> i64 {
        self.0.load(Ordering::SeqCst)
    }

    fn monotonic(&self) -> Duration {
        Duration::from_micros(u64::try_from(self.now_micros()).unwrap_or(0))
    }
}
