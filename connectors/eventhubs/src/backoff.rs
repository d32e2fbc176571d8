//! How long to wait before the next attempt.

use salamander_types::Entropy;
use std::time::Duration;

/// Exponential backoff with full jitter: between nothing and a limit that doubles from `first` up to `most`, so that
/// many readers that lost the same connection don't come back at the same moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Backoff {
    /// The limit of the first wait.
    pub(crate) first: Duration,
    /// The highest limit.
    pub(crate) most: Duration,
    /// The least wait when the service says that it is busy.
    pub(crate) busy: Duration,
}

impl Default for Backoff {
    fn default() -> Self {
        Self { first: Duration::from_millis(100), most: Duration::from_secs(30), busy: Duration::from_secs(4) }
    }
}

impl Backoff {
    /// The wait after this many failures in a row (from 1).
    pub(crate) fn wait(&self, failures: u32, busy: bool, entropy: &dyn Entropy) -> Duration {
        let doublings = failures.saturating_sub(1).min(16);
        let limit = self.first.saturating_mul(1 << doublings).min(self.most);
        let share = (entropy.next_u64() >> 11) as f64 / (1u64 << 53) as f64;
        let wait = limit.mul_f64(share);
        if busy { self.busy + wait } else { wait }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use salamander_types::SystemEntropy;

    #[test]
    fn waits_grow_and_stay_below_their_limits() {
        let (backoff, entropy) = (Backoff::default(), SystemEntropy::seeded(1));
        for failures in 1..40 {
            let limit = Duration::from_millis(100 << (failures - 1).min(16)).min(backoff.most);
            for _ in 0..50 {
                assert!(backoff.wait(failures, false, &entropy) <= limit);
                assert!(backoff.wait(failures, true, &entropy) >= backoff.busy);
            }
        }
    }
}
