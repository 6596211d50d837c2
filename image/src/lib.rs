//! The builder: turns specifications and a lock into signed A/B disk images.
//!
//! Owns: the composition of an image. Never does: need root, a loop device, a mount the host can
//! see, or device-mapper. The invariant of the whole: the same lock and sources give the same
//! bytes, and nothing enters an image that the lock or the checkout does not name.

pub mod build;
pub mod cache;
pub mod clock;
pub mod command;
pub mod compare;
pub mod crates;
pub mod events;
pub mod initrd;
pub mod keys;
pub mod lock;
pub mod nar;
pub mod pool;
pub mod release;
pub mod relock;
pub mod roles;
pub mod sandbox;
pub mod sbom;
pub mod signer;
pub mod tree;
