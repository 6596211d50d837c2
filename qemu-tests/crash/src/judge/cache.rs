//! Remembers answers by the identity of the bytes they were made from.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

/// Answers by fingerprint.
#[derive(Debug)]
pub(super) struct Cache<T>(Mutex<HashMap<[u8; 32], T>>);

impl<T> Default for Cache<T> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}

impl<T: Clone> Cache<T> {
    /// The answer for `key`, made now if it is not known.
    pub(super) fn get(&self, key: [u8; 32], make: impl FnOnce() -> T) -> T {
        let known = |map: &HashMap<_, T>| map.get(&key).cloned();
        if let Some(found) = known(&self.0.lock().unwrap_or_else(PoisonError::into_inner)) {
            return found;
        }
        // Not locked while it is made; two threads may make the same answer twice.
        let made = make();
        let mut map = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        map.entry(key).or_insert(made).clone()
    }

    pub(super) fn len(&self) -> usize {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).len()
    }
}
