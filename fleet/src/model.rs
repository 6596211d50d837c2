//! What actions, targets and maintenance windows are, without any storage or network.
//!
//! Owns: their states, the meaning of feedback, and when a window is open. Never does: I/O, or reading a
//! clock: callers bring the time. Invariant: every rule that hawkBit's devices can observe is decided here or in
//! `ops`, and nowhere else.
//!
//! ```text
//!                 +-- WaitForConfirmation --confirmed--+
//!   deployed -----+                                    v
//!                 +-------------------------------> Running --read--> Retrieved --closed/success--> Finished
//!                                                      |                  |   \--closed/failure--> Error
//!                                   cancel, superseded v                  v    \-downloaded (*)--> Downloaded
//!                                                   Canceling --closed--> Canceled    (*) download-only
//!                                                      \--rejected, closed/failure--> Running
//! ```

pub mod action;
pub mod cron;
pub mod id;
pub mod report;
pub mod status;
pub mod text;
pub mod window;

/// Milliseconds since 1970, as hawkBit counts.
pub type Millis = i64;

/// The wall clock.
pub fn now() -> Millis {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    // A clock before 1970 is a clock that was never set; zero keeps the order of what follows.
    since.map_or(0, |d| i64::try_from(d.as_millis()).unwrap_or(i64::MAX))
}
