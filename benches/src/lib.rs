//! What the benchmarks share: the reference pipeline, the process's own usage, percentiles.
//!
//! Each benchmark is a binary under `src/bin` and prints one JSON line; docs/benchmarks.md has the commands. They compare
//! within one run, since machines are noisy; none of them is a test.

pub mod pipeline;
pub mod usage;

/// The value below which `percent` of the samples lie. The samples are sorted by this.
pub fn percentile(samples: &mut [f64], percent: f64) -> f64 {
    samples.sort_by(f64::total_cmp);
    let last = samples.len().saturating_sub(1);
    let at = (last as f64 * percent / 100.0).round() as usize;
    samples.get(at).copied().unwrap_or(f64::NAN)
}
