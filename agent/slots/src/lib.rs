//! The two slots on the disk: what they hold, and the order in which the idle one is rewritten and armed.
//!
//! Owns: every write to the idle slot's two partitions, to its two GUIDs in the partition table, to its directory and
//! its entry on the ESP, and to its layer of /etc. Never does: write anything of the running slot, the boot loader or
//! its settings; decide whether an update is wanted, or remember anything: every fact is read from the disk.
//! Invariant: whatever moment the power fails at, the boot loader finds the committed slot as it was, or a trial whose
//! every byte was read back from the disk.
//!
//! ```text
//!  Slots::open --facts--> Situation                                    what a cut leaves behind
//!      '-- idle() --> IdleSlot
//!            invalidate        entries removed | GUIDs that no root hash has      running slot only
//!            target            bytes of the root                                     "
//!            write_verity      tree, both compared with the signed digests           "
//!            read_back         the same, past the page cache  --> Verified           "
//!            publish_partuuids table not in use | flush | table in use               "
//!            uki_target        spare name, whole size | written | read back | rename  "
//!            carry_etc         new upper layer | swap                                "
//!            arm               gaps | spare name | rename to NAME+3.conf      running slot, or a trial
//! ```
//! Each step is idempotent and durable when it returns, and begins by looking at what the step before left on the disk.

mod arm;
mod block;
mod boot_entry;
mod carry;
mod content;
mod database;
mod device;
mod error;
mod esp;
mod esp_dir;
pub mod etc;
mod facts;
mod fence;
mod idle;
mod image_files;
mod loader;
mod media;
mod pass;
mod placement;
mod repair;
mod seal;
mod slots;
pub mod snapshot;
mod table;
mod uki;

pub use arm::{ArmRequest, MOST_REARMS, TRIES};
pub use block::FileBlock;
pub use boot_entry::{BootEntry, Note};
pub use carry::CarryOver;
pub use content::Content;
pub use device::Device;
pub use error::SlotError;
pub use esp::{EspTree, Item};
pub use esp_dir::EspDirectory;
pub use facts::{EntryState, Facts, Situation, SlotFacts, TableState, TrialVerdict};
pub use idle::{IdleSlot, Target};
pub use image_files::ImageFiles;
pub use loader::{Candidate, compare_versions, order};
pub use media::{Block, Circumstances, EtcTrees, Media, Part};
pub use placement::read as read_directory;
pub use repair::Repair;
pub use roamcore_agent::roots::Roots;
pub use roamcore_agent::slot::Slot;
pub use roamcore_disk::gpt::Guid;
pub use roamcore_disk::verity::RootHash;
pub use seal::{RootSpec, Verified};
pub use slots::{Reader, Slots};
pub use uki::{UkiSpec, UkiTarget, Ukis};
