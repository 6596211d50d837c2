//! Every parser of bytes that come from outside, as a function that may be fed anything.
//!
//! Owns the targets: what is called, and what must hold of whatever it accepts. Never does: choose inputs; libFuzzer does
//! (`just fuzz`), and a test replays the committed ones. Invariant: a target panics if and only if a promise was broken.
//!
//! ```text
//!  corpus/TARGET/*  --+--> Target::run --> accepted | refused     tests/replay.rs, on any toolchain
//!  Target::seeds    --'        ^
//!  libFuzzer's mutations ------'                                  bin/fuzz_one.rs, built with coverage counters
//! ```
//!
//! Checksums and compression hide a parser from a fuzzer; targets that need it put them right after the mutation.
#![allow(
    clippy::unwrap_used,
    reason = "a panic is how a target reports, and its fixtures are its own"
)]

mod targets;

pub use targets::TARGETS;

/// One parser, or a few that read the same thing.
pub struct Target {
    /// Its name, which is also its directory below `corpus`.
    pub name: &'static str,
    /// Where its bytes come from.
    pub from: &'static str,
    /// Longest input worth trying.
    pub longest: usize,
    /// Feeds it; returns whether the input was accepted.
    pub run: fn(&[u8]) -> bool,
    /// Inputs that are as they should be, made by the writers of the same formats.
    pub seeds: fn() -> Vec<Vec<u8>>,
}

/// The target of a name.
pub fn target(name: &str) -> Option<&'static Target> {
    TARGETS.iter().find(|target| target.name == name)
}

/// The file name of an input in the corpus: of its content, so that one input is there once.
pub fn name_of(bytes: &[u8]) -> String {
    let digest = roamcore_ota::Digest::of(bytes).to_string();
    digest.chars().take(16).collect()
}
