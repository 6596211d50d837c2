//! Releases of the model: a number, frames, a fate.

use roamcore_engine::{Release, Target};
use roamcore_ota::{Digest, Floors};

/// Frames of a root image. One frame stands for one MiB and is eight bytes long.
pub const FRAMES: u64 = 96;
/// Bytes of a frame in the model.
pub const FRAME: u64 = 8;

/// What happens when it is booted on trial.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    Good,
    /// Never comes as far as a process of ours.
    Panics,
    GateFails,
    /// The gate never answers.
    GateHangs,
    /// Refused by the judge.
    WrongBoard,
}

/// Content of a frame: a fifth of the frames changes with every release.
pub fn frame(number: u64, at: u64) -> u64 {
    let changed = (0..=number)
        .rev()
        .find(|n| (at + n).is_multiple_of(5))
        .unwrap_or(0);
    changed * 1000 + at
}

pub fn root_hash(number: u64) -> Digest {
    Digest::of(format!("root {number}").as_bytes())
}

pub fn release(number: u64) -> Release {
    Release {
        product: "bare".parse().unwrap(),
        version: format!("1.{number}").parse().unwrap(),
        sequence: number,
        security_epoch: 1,
    }
}

pub fn target(number: u64) -> Target {
    Target {
        manifest: Digest::of(format!("manifest {number}").as_bytes()),
        release: release(number),
        root_hash: root_hash(number),
        expires: None,
        root_bytes: FRAMES * FRAME,
        floors: Floors {
            security_epoch: 1,
            ..Floors::default()
        },
        created: None,
    }
}

/// Bytes a device with `base` in one slot and nothing in the other has to fetch.
pub fn delta(base: u64, number: u64) -> u64 {
    let missing = (0..FRAMES)
        .filter(|at| (0..FRAMES).all(|other| frame(base, other) != frame(number, *at)))
        .count();
    missing as u64 * FRAME
}
