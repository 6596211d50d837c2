//! A machine in software: a disk, the drivers that write to it, and the log they leave. For tests that need no QEMU.
//!
//! Owns models of the kernel's vfat driver and of the firmware's, as far as the order and place of their writes go, and an
//! update in the order that updates have, with every flaw that could be made in it. Never used on a real disk.
//!
//! ```text
//!  cycle      install, arm, boot, count, commit, or roll back     [Flaw]
//!   |   \
//!  vfat  firmware   directory entries, FAT: where each of them puts things
//!   |   /
//!  machine    page cache -> log -> disk
//! ```

mod base;
mod cycle;
mod firmware;
mod machine;
mod sparse;
mod vfat;

pub use base::{Kit, Slot, disk, expect};
pub use cycle::{Cycle, Flaw, Outcome, Placement};
pub use machine::Machine;
pub use sparse::Sparse;
pub use vfat::{Renamed, Vfat};

/// Why a model cannot go on: a test asked for something that a real machine would refuse as well.
#[derive(Debug, thiserror::Error)]
#[error("model: {0}")]
pub struct ModelError(pub String);

impl ModelError {
    fn of(error: impl std::fmt::Display) -> Self {
        Self(error.to_string())
    }
}
