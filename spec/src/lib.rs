//! What to build, as pure types: appliance, board and overlay specifications.
//!
//! ```text
//!   text ── TOML ──> schema number ──> that version's types ──> validate ──> Document<T>
//!                        │                    │                     │
//!                    unknown number      unknown key,         every rule that is
//!                                        wrong shape          broken, all at once
//! ```
//!
//! Parsers take text; only [`load`] reads files. Nothing here builds, mounts or runs anything, so the builder, the
//! agent and the tests can all depend on it. A [`Document`] is the proof that its value passed validation: code that
//! takes one never checks again. Whatever is refused is a [`Problem`] that knows its file, line and column.

pub mod appliance;
pub mod board;
pub mod check;
mod document;
mod fault;
mod findings;
mod hint;
mod layout;
pub mod load;
pub mod names;
pub mod net;
pub mod overlay;
mod pci;
mod problem;
pub mod schema;
mod size;
mod source;

pub use appliance::Appliance;
pub use board::Board;
pub use check::cross_check;
pub use document::{Document, Spec};
pub use fault::Fault;
pub use findings::Findings;
pub use layout::{Disk, Origin, Placed, Planned, Role, Slot, TooSmall, verity_size};
pub use overlay::Overlay;
pub use pci::PciAddress;
pub use problem::{Problem, Problems, Report};
pub use size::Size;
pub use source::{Place, Source};
