//! A fixed number of flags, eight to a byte, that several threads may set.

use std::sync::atomic::{AtomicU64, Ordering};

/// Flags, all unset at first.
#[derive(Debug)]
pub struct Bits {
    words: Vec<AtomicU64>,
}

impl Bits {
    /// `len` flags.
    pub fn new(len: usize) -> Bits {
        let words = (0..len.div_ceil(64)).map(|_| AtomicU64::new(0)).collect();
        Bits { words }
    }

    /// Sets one.
    pub fn set(&self, at: usize) {
        // Relaxed: flags say nothing about other memory, and threads are joined before anyone relies on all of them.
        self.words[at / 64].fetch_or(1 << (at % 64), Ordering::Relaxed);
    }

    /// Reads one.
    pub fn get(&self, at: usize) -> bool {
        self.words[at / 64].load(Ordering::Relaxed) & (1 << (at % 64)) != 0
    }
}
