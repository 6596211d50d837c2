//! Replays what a disk saw and judges every state that a power cut could have left.
//!
//! ```text
//!  log       what reached the disk, as QEMU's blklogwrites wrote it down
//!   | plan   which of the possible states to look at
//!  state     base disk + durable writes + a part of the open window, read without copying
//!   | judge  what firmware, boot loader and kernel would do with it          firmware: their rules
//!  run       all of them: a report, and each finding with the words that name its state
//!  model     a kernel's FAT driver, a firmware's, a disk: logs without a machine, good ones and broken ones
//! ```
//! The invariant that is judged: every state boots something valid. What boots when every trial fails, the fallback, is the
//! committed slot, with its entry, UKI and slot byte for byte as they were, in every state between two flushes after both of
//! which it is; only across a commit may it be the one or the other.

pub mod firmware;
pub mod judge;
pub mod layer;
pub mod log;
pub mod materialize;
pub mod model;
pub mod plan;
pub mod rng;
pub mod run;
pub mod state;
