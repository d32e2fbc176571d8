//! Fail points: named places where a kill test lets the process die.
//!
//! `SALAMANDER_FAILPOINT=name[:n]` in the environment aborts the process (as `kill -9` would: no destructor, no flush)
//! the n-th time that the place is passed, the first time without a number. Without the variable a place costs one
//! atomic load. Any crate may add places of its own: a name is just text, by custom `part.what-has-happened`.
//! The names of this crate's places stand in [`PLACES`], for scripts that want to visit them all.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};

/// The environment variable that arms a place.
pub const VARIABLE: &str = "SALAMANDER_FAILPOINT";

/// This crate's places, in the order in which a commit on a local disk passes them.
pub const PLACES: [&str; 10] = [
    "log.before-put",
    "local.temp-created",
    "local.temp-written",
    "local.temp-synced",
    "local.linked",
    "local.folder-synced",
    "local.temp-removed",
    "log.after-put",
    "log.after-listing",
    "log.before-prune",
];

#[derive(Debug)]
struct Armed {
    name: String,
    /// Passes that are still to be survived, this one included.
    left: AtomicU64,
}

static ARMED: OnceLock<Option<Armed>> = OnceLock::new();

/// Dies here if this place is armed and its turn has come.
#[inline]
pub fn hit(name: &str) {
    if let Some(armed) = ARMED.get_or_init(from_environment)
        && armed.passes(name)
    {
        // Straight to standard error: the process ends before any log is flushed.
        eprintln!("fail point {name}: aborting as {VARIABLE} asks");
        std::process::abort();
    }
}

fn from_environment() -> Option<Armed> {
    let text = std::env::var(VARIABLE).ok()?;
    let armed = parse(&text);
    if armed.is_none() {
        tracing::error!("{VARIABLE}={text} is not of the form name[:n] with n from 1: no fail point is armed");
    }
    armed
}

fn parse(text: &str) -> Option<Armed> {
    let (name, left) = match text.rsplit_once(':') {
        Some((name, count)) => (name, count.parse().ok().filter(|n| *n > 0)?),
        None => (text, 1),
    };
    (!name.is_empty()).then(|| Armed { name: name.to_owned(), left: AtomicU64::new(left) })
}

impl Armed {
    /// Counts a pass; true when it is the one to die at.
    fn passes(&self, name: &str) -> bool {
        name == self.name && self.left.fetch_sub(1, Ordering::Relaxed) == 1
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nth_pass_of_the_named_place_is_the_one() {
        let armed = parse("log.before-put:3").unwrap();
        let passes: Vec<bool> =
            ["log.before-put", "log.after-put", "log.before-put", "log.before-put", "log.before-put"]
                .map(|name| armed.passes(name))
                .to_vec();
        assert_eq!(passes, [false, false, false, true, false]);
        assert!(parse("x").unwrap().passes("x"));
    }

    #[test]
    fn what_is_not_understood_arms_nothing() {
        for text in ["", ":1", "x:0", "x:many", "x:-1"] {
            assert!(parse(text).is_none(), "{text:?}");
        }
    }
}
