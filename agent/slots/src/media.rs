//! What the steps need of a machine, so that they run on a plain file as well.
//!
//! Owns: the traits. Never does: I/O. Invariant: there is no way to ask for a writable block of the running slot: what
//! is writable is named by the part alone, and belongs to the idle slot.

use std::io;
use std::path::{Path, PathBuf};

use roamcore_agent::attempts::Attempts;
use roamcore_agent::commit::Committed;
use roamcore_agent::efivar::BootFailures;
use roamcore_agent::mounts::{Access, Mounted};
use roamcore_agent::slot::Slot;
use roamcore_agent::trial::Trial;

use crate::error::SlotError;
use crate::esp::EspTree;

/// A slot's two partitions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    /// The file system.
    Data,
    /// Its verity hash tree.
    Tree,
}

impl Part {
    /// Partition label.
    #[must_use]
    pub fn label(self, slot: Slot) -> &'static str {
        match self {
            Self::Data => slot.data_label(),
            Self::Tree => slot.hash_label(),
        }
    }
}

/// A stretch of a disk.
pub trait Block: Send + Sync {
    /// For messages.
    fn path(&self) -> &Path;
    /// Bytes.
    fn size(&self) -> u64;
    /// Reads, from memory if the kernel has it there.
    ///
    /// # Errors
    /// The device's, or an end before the buffer is full.
    fn read_exact_at(&self, buf: &mut [u8], offset: u64) -> io::Result<()>;
    /// Reads what the device holds, whatever the kernel has in memory.
    ///
    /// # Errors
    /// As [`Block::read_exact_at`].
    fn read_past_cache(&self, buf: &mut [u8], offset: u64) -> io::Result<()>;
    /// Writes; not durable before [`Block::sync`].
    ///
    /// # Errors
    /// The device's, and every write outside of what may be written.
    fn write_all_at(&self, buf: &[u8], offset: u64) -> io::Result<()>;
    /// Makes what was written durable.
    ///
    /// # Errors
    /// The device's.
    fn sync(&self) -> io::Result<()>;
}

/// What only a running machine knows.
#[derive(Debug, Clone, Default)]
pub struct Circumstances {
    /// This boot is a trial that is not committed yet.
    pub trial: Option<Trial>,
    /// A trial was committed in this boot.
    pub committed: Option<Committed>,
    /// What the boots of the last trial noted.
    pub attempts: Option<Attempts>,
    /// Failed boots of committed slots.
    pub failures: BootFailures,
}

/// The four directories of a carry-over of /etc.
#[derive(Debug)]
pub struct EtcTrees {
    /// The running image's /etc.
    pub base: PathBuf,
    /// The new image's /etc.
    pub theirs: PathBuf,
    /// The state partition, with the upper layers of both slots.
    pub state: PathBuf,
    /// What has to stay mounted meanwhile.
    pub mounts: Vec<Mounted>,
}

/// A disk with two slots, one of which runs.
pub trait Media: Send + Sync {
    /// The slot that runs.
    fn running(&self) -> Slot;
    /// The whole disk; only its partition tables can be written, and by one at a time.
    ///
    /// # Errors
    /// It cannot be opened.
    fn table(&self, access: Access) -> Result<Box<dyn Block>, SlotError>;
    /// A partition of either slot, to be read.
    ///
    /// # Errors
    /// It cannot be opened.
    fn read(&self, slot: Slot, part: Part) -> Result<Box<dyn Block>, SlotError>;
    /// A partition of the idle slot, to be written; nobody else has it open for writing.
    ///
    /// # Errors
    /// It cannot be opened, or is in use.
    fn write_idle(&self, part: Part) -> Result<Box<dyn Block>, SlotError>;
    /// The ESP.
    ///
    /// # Errors
    /// It cannot be mounted.
    fn esp(&self, access: Access) -> Result<Box<dyn EspTree>, SlotError>;
    /// What only a running machine knows.
    ///
    /// # Errors
    /// A record is there and cannot be read.
    fn circumstances(&self) -> Result<Circumstances, SlotError> {
        Ok(Circumstances::default())
    }
    /// Forgets what is noted of earlier trials and failed boots of the idle slot, before it is armed.
    ///
    /// # Errors
    /// The notes cannot be removed.
    fn forget_trials(&self) -> Result<(), SlotError> {
        Ok(())
    }
    /// The trees of /etc; none where there is no state.
    ///
    /// # Errors
    /// The images cannot be mounted.
    fn etc(&self) -> Result<Option<EtcTrees>, SlotError> {
        Ok(None)
    }
}
