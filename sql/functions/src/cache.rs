//! A small bounded cache of things compiled from a literal (patterns, mostly).
//!
//! A function gets its pattern anew with each batch. Compiling costs microseconds to a millisecond, which would dominate
//! an epoch of a few rows, so every function keeps what it compiled. The cache holds at most [`CAPACITY`] entries;
//! when full it starts over, which bounds memory even if patterns come from a column.

use std::collections::HashMap;
use std::hash::{Hash, Hasher};
use std::sync::{Arc, Mutex, PoisonError};

/// Entries a cache holds at most.
const CAPACITY: usize = 256;

/// Compiled values (or the error of compiling them) by their source text. Clones share the entries.
///
/// Two caches always compare equal: a cache is no part of a function's identity.
#[derive(Debug)]
pub(crate) struct Cache<V, E> {
    entries: Arc<Mutex<HashMap<String, Result<Arc<V>, E>>>>,
}

impl<V, E: Clone> Cache<V, E> {
    /// The value for `source`, made by `compile` if it is not there yet.
    pub(crate) fn get_or_compile(&self, source: &str, compile: impl FnOnce(&str) -> Result<V, E>) -> Result<Arc<V>, E> {
        if let Some(found) = self.lock().get(source) {
            return found.clone();
        }
        // Compiled outside of the lock: two threads may do it twice, none waits for it.
        let made = compile(source).map(Arc::new);
        let mut entries = self.lock();
        if entries.len() >= CAPACITY {
            entries.clear();
        }
        entries.insert(source.to_string(), made.clone());
        made
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<String, Result<Arc<V>, E>>> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<V, E> Default for Cache<V, E> {
    fn default() -> Self {
        Cache { entries: Arc::default() }
    }
}

impl<V, E> Clone for Cache<V, E> {
    fn clone(&self) -> Self {
        Cache { entries: Arc::clone(&self.entries) }
    }
}

impl<V, E> PartialEq for Cache<V, E> {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

impl<V, E> Eq for Cache<V, E> {}

impl<V, E> Hash for Cache<V, E> {
    fn hash<H: Hasher>(&self, _: &mut H) {}
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn compiles_once_and_stays_bounded() {
        let cache: Cache<usize, String> = Cache::default();
        let mut compiled = 0;
        for _ in 0..3 {
            let value = cache.get_or_compile("abc", |s| {
                compiled += 1;
                Ok(s.len())
            });
            assert_eq!(*value.unwrap(), 3);
        }
        assert_eq!(compiled, 1);
        for i in 0..1000 {
            cache.get_or_compile(&i.to_string(), |s| Ok(s.len())).unwrap();
        }
        assert!(cache.lock().len() <= CAPACITY);
        assert_eq!(cache.get_or_compile("bad", |_| Err("no".to_string())), Err("no".to_string()));
    }
}
