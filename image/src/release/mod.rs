//! The update made from a built image: what devices fetch.
//!
//! Owns: the way from a finished build directory to a directory of update files, and reading such
//! directories and single files again. The formats are those of the crates `ota` and `ota/delta`.
//! Never does: believe a build directory without verifying it, or show an update under its final
//! name before it was put together again and compared.
//!
//! ```text
//! release.json(.sig) --verify--> disk.img.zst --one pass--> root-a, verity-a, ESP
//!                                                              |      |       '--pack--> uki.index, uki.000 ...
//!                                                              |      '--> salt, UUID
//!                                                              '--pack--> root.index, root.000 ...
//!                    update.json <--sizes, hashes--------------------'        |
//!                    update.json.sig                              rebuild <---'  same root, same UKI?
//! ```

mod check;
mod diff;
mod extract;
mod facts;
mod failure;
mod file_at;
mod make;
mod parts;
mod single;
mod source;

pub use check::{Checked, Mismatch, check, rebuild};
pub use diff::{Cost, Prediction, predict};
pub use failure::class;
pub use file_at::FileAt;
pub use make::{MINIMUM_AGENT, Made, Options, attach, make};
pub use parts::Parts;
pub use single::{single_name, write_single};
pub use source::Source;

/// Name of the root's files in an update, before the dot.
const ROOT: &str = "root";
/// Name of the UKI's.
const UKI: &str = "uki";
/// Last part of the name of a chunk index.
const INDEX: &str = "index";
/// Suffix of the directory of an update that still lacks signatures.
pub const UNSIGNED: &str = ".unsigned";
