//! The way in: a disk with two slots.
//!
//! Owns: who may have the idle slot in hand. Never does: write. Invariant: an [`IdleSlot`] exists only while the running
//! slot is committed, so that whatever happens to the idle one, there is a slot to come back to.

use std::io;

use roamcore_agent::mounts::Access;
use roamcore_agent::roots::Roots;
use roamcore_agent::slot::Slot;

use crate::content;
use crate::device::Device;
use crate::error::SlotError;
use crate::facts::{EntryState, Facts};
use crate::idle::IdleSlot;
use crate::media::{Block, Media, Part};

/// Both slots.
pub struct Slots {
    media: Box<dyn Media>,
}

impl Slots {
    /// Those of this machine.
    ///
    /// # Errors
    /// It does not run from one slot of a disk of ours.
    pub fn open(roots: &Roots) -> Result<Self, SlotError> {
        Ok(Self::on(Box::new(Device::open(roots)?)))
    }

    /// Those of any media.
    #[must_use]
    pub fn on(media: Box<dyn Media>) -> Self {
        Self { media }
    }

    /// The slot that runs.
    #[must_use]
    pub fn running(&self) -> Slot {
        self.media.running()
    }

    /// What is on the disk now; also the truth from which a lost state is made anew ([`Facts::situation`]).
    ///
    /// # Errors
    /// Something cannot be read.
    pub fn facts(&self) -> Result<Facts, SlotError> {
        let esp = self.media.esp(Access::Read)?;
        let facts = Facts::read(self.media.as_ref(), esp.as_ref())?;
        esp.close()?;
        Ok(facts)
    }

    /// The idle slot, to be changed.
    ///
    /// # Errors
    /// The running slot is on trial, or has no committed entry: then the other one is what the machine falls back to.
    pub fn idle(&self) -> Result<IdleSlot<'_>, SlotError> {
        let running = self.running();
        let facts = self.facts()?;
        if facts.circumstances.trial.is_some() {
            return Err(SlotError::OnTrial { running });
        }
        match &facts.running.entry {
            EntryState::Committed { .. } => Ok(IdleSlot::of(self.media.as_ref())),
            EntryState::Counted { file, .. } => Err(SlotError::NotCommitted {
                running,
                found: file.clone(),
            }),
            EntryState::None => Err(SlotError::NotCommitted {
                running,
                found: "none".into(),
            }),
        }
    }

    /// The root of the running slot, to take chunks from. It is read beside verity: whoever uses a chunk compares it
    /// with its own hash, and a damaged block must not stop the machine just because an update looked at it.
    ///
    /// # Errors
    /// It cannot be opened.
    pub fn running_root(&self) -> Result<Reader, SlotError> {
        self.root(self.running())
    }

    /// The root of the idle slot, to be read only.
    ///
    /// # Errors
    /// It cannot be opened.
    pub fn idle_root(&self) -> Result<Reader, SlotError> {
        self.root(self.running().other())
    }

    /// Bytes of the smaller root partition: what fits into either slot.
    ///
    /// # Errors
    /// They cannot be opened.
    pub fn slot_bytes(&self) -> Result<u64, SlotError> {
        let own = self.media.read(self.running(), Part::Data)?.size();
        let idle = self.media.read(self.running().other(), Part::Data)?.size();
        Ok(own.min(idle))
    }

    /// SHA-256 of a slot's UKI, if there is one.
    ///
    /// # Errors
    /// The ESP cannot be read.
    pub fn uki_digest(&self, slot: Slot) -> Result<Option<roamcore_ota::Digest>, SlotError> {
        let esp = self.media.esp(Access::Read)?;
        let digest = esp.digest(slot.uki_path())?;
        esp.close()?;
        Ok(digest)
    }

    fn root(&self, slot: Slot) -> Result<Reader, SlotError> {
        let block = self.media.read(slot, Part::Data)?;
        let tree = self.media.read(slot, Part::Tree)?;
        let covered = content::superblock(tree.as_ref())?.map(|found| found.data_blocks * 4096);
        let size = covered.unwrap_or(block.size()).min(block.size());
        Ok(Reader { block, size })
    }
}

/// A root or a UKI that is only read.
pub struct Reader {
    block: Box<dyn Block>,
    size: u64,
}

impl Reader {
    /// All of a block.
    pub(crate) fn of(block: Box<dyn Block>) -> Self {
        let size = block.size();
        Self { block, size }
    }

    /// The first `size` bytes of a block.
    pub(crate) fn of_first(block: Box<dyn Block>, size: u64) -> Self {
        Self { block, size }
    }

    /// Bytes of the root as its tree says, or of the partition when there is no tree; bytes of the UKI.
    #[must_use]
    pub fn size(&self) -> u64 {
        self.size
    }

    /// Fills `buf` from `offset`.
    ///
    /// # Errors
    /// The device's.
    pub fn read_exact_at(&self, buf: &mut [u8], offset: u64) -> io::Result<()> {
        self.block.read_exact_at(buf, offset)
    }
}
