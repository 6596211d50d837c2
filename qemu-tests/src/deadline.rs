//! Points in time after which waiting is over.
//!
//! Owns the only clock the harness waits by: every wait takes a [`Deadline`], so none is unbounded.

use std::time::{Duration, Instant};

/// A moment to give up, and how long it was away when made (for messages).
#[derive(Debug, Clone, Copy)]
pub struct Deadline {
    end: Instant,
    seconds: u64,
}

impl Deadline {
    /// Gives up `seconds` from now.
    pub fn secs(seconds: u64) -> Self {
        Self {
            end: Instant::now() + Duration::from_secs(seconds),
            seconds,
        }
    }

    /// Time left; zero once passed.
    pub fn left(&self) -> Duration {
        self.end.saturating_duration_since(Instant::now())
    }

    /// Whether it is over.
    pub fn passed(&self) -> bool {
        self.left().is_zero()
    }

    /// The whole wait, as it was granted.
    pub fn seconds(&self) -> u64 {
        self.seconds
    }

    /// The nearer of this deadline and `seconds` from now.
    pub fn at_most(&self, seconds: u64) -> Self {
        let near = Self::secs(seconds);
        if near.end < self.end { near } else { *self }
    }

    /// Sleeps a moment, never past the end. False once passed: `while deadline.pause(100) {...}`.
    pub fn pause(&self, millis: u64) -> bool {
        std::thread::sleep(self.left().min(Duration::from_millis(millis)));
        !self.passed()
    }
}
