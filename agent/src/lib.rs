//! What runs on the device, in the initrd and in the running system.
//!
//! Owns: the way from a verified root to a usable system (`prepare`), the read-through of a slot
//! (`verify`), the commit of a trial boot (`commit`), what is known of a trial's boots (`attempts`), the way out of a
//! committed slot that no longer comes up (`fall_over`, `boots`), and test settings of development images
//! (`settings`). Never does: updates over the network, anything to the slot that runs.
//! Invariant: a fact that cannot be read is an error, never a default; every failure exits non-zero.
//!
//! ```text
//!   initrd:  begin-boot --> [open root] --> prepare-root --> [switch root] --> verify-slot --> commit
//!            (no trial)                       | writes slot.json, trial.json   (only while trial.json exists)
//!                                             '-- failed --> fall-over          healthy: every boot that came up
//! ```

pub mod attempts;
pub mod boots;
pub mod commit;
pub mod disk;
pub mod efivar;
pub mod entry;
pub mod fall_over;
pub mod files;
pub mod fsck;
pub mod layout;
pub mod log;
pub mod machine_id;
pub mod mounts;
pub mod power;
pub mod prepare;
pub mod roots;
pub mod settings;
pub mod slot;
pub mod smbios;
pub mod trial;
pub mod verify;
