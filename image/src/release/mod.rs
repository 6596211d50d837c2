//! The update made from a built image: what devices fetch.
//!
//! Owns: the way from a finished build directory to a directory of update files, and reading such
//! directories and single files again. The formats are those of the crates `ota` and `ota/delta`.
//! Never does: believe a build directory without verifying it, or show an update under its final
//! name before it was put together again and compared.
//!
//! ```text
//! release.json(.sig) --verify--> disk.img.zst --one pass--> root-a, verity-a, ESP
//!                                                              |      |       '--> roamcore.efi
//!                                                              |      '--> salt, UUID
//!                                                              '--pack--> root.index, root.000 ...
//!                    update.json <--sizes, hashes--------------------'        |
//!                    update.json.sig                              rebuild <---'  same root?
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

pub use check::{Checked, RootMismatch, check, rebuild};
pub use diff::{Cost, Prediction, predict};
pub use failure::class;
pub use file_at::FileAt;
pub use make::{MINIMUM_AGENT, Made, Options, attach, make};
pub use parts::Parts;
pub use single::{single_name, write_single};
pub use source::Source;

/// The UKI's name in an update.
pub const UKI: &str = "roamcore.efi";
/// The chunk index's name in an update.
pub const INDEX: &str = "root.index";
/// Suffix of the directory of an update that still lacks signatures.
pub const UNSIGNED: &str = ".unsigned";
