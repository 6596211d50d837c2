//! Chunks, frames and the plan: what a device lacks of a release, and how it is written in place.
//!
//! Owns the chunk index, the payload parts, the plan that turns two slots and an index into a list of copies and
//! ranges, the carrying out of that plan, and the single-file form of a release. `docs/release-format-index.md` states
//! the formats for other implementations.
//!
//! Never opens a device, a file or a socket: callers bring [`ReadAt`], [`Target`] and [`Fetch`]. Never believes what it
//! reads: an index must agree with itself, every chunk is hashed before it is written. Never keeps state of its own:
//! after any interruption [`Plan::make`] finds out again what is there.
//!
//! Invariant: when [`apply`] returns `Ok`, every chunk of the image has been hashed in its place or on its way there.
//! The final word is still the caller's: SHA-256 of the slot read back, and its verity root hash, against the manifest.
//!
//! ```text
//!  build host                       server                 device
//!  image --> pack --> parts ------> root.000 ... -----+
//!                 \-> index ------> root.index --+    |
//!                                                v    |
//!                        running slot --> Plan::make  | ranges
//!                        idle slot ----->     |       |
//!                                             v       v
//!                                           apply <- Fetch
//!                                             |
//!                                             v
//!                                         idle slot
//! ```

mod apply;
mod bits;
mod chunk;
mod context;
mod frame;
mod index;
mod io;
mod observe;
mod pack;
mod plan;
pub mod roam;

pub use apply::{Applied, ApplyError, ErrorClass, apply};
pub use frame::FrameError;
pub use index::{Expected, Index, IndexError, Limits};
pub use io::{
    ALIGN, Fetch, FetchError, Joined, LocalParts, Padded, ReadAt, Section, Stopped, Target, WriteAt,
};
pub use observe::{Observer, Progress, Quiet, Stage};
pub use pack::{PackError, PackOptions, Packed, PartInfo, PartSink, pack};
pub use plan::{Plan, PlanError, PlanOptions, Summary, predict};
