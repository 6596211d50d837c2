//! On-disk formats as bytes: GPT, FAT32, the dm-verity hash tree and block maps.
//!
//! Owns the byte layouts of a RoamCore disk image. Never opens a block device, never runs a tool, never reads
//! a clock or a random source: every GUID, salt, label and time is an input.
//!
//! Invariant: the same inputs give the same bytes on every host, and no input, however hostile, makes a parser
//! panic or read outside the range it was given.

pub mod bmap;
pub mod fat;
pub mod gpt;
pub mod region;
pub mod verity;
