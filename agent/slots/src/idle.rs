//! The slot that does not run, in hand.
//!
//! Owns: the steps from invalidating it to publishing what was written, in this order and no other. Never does: touch
//! the running slot: there is no call here that takes a slot. Invariant: while a byte of the root or the tree is being
//! written, neither the boot loader nor a root hash leads to it.

use std::io;
use std::ops::ControlFlow;

use roamcore_agent::commit::spare_name;
use roamcore_agent::entry::DIRECTORY;
use roamcore_agent::mounts::Access;
use roamcore_agent::slot::Slot;
use roamcore_disk::verity::RootHash;

use crate::arm::{fillers, names_of};
use crate::content::Content;
use crate::error::{SlotError, at};
use crate::esp::EspTree;
use crate::fence::EspFence;
use crate::media::{Block, Media, Part};
use crate::seal::{self, RootSpec, Verified};
use crate::slots::Reader;
use crate::table;

/// The idle slot. Only [`crate::Slots::idle`] makes one.
pub struct IdleSlot<'a> {
    pub(crate) media: &'a dyn Media,
    pub(crate) slot: Slot,
}

impl<'a> IdleSlot<'a> {
    pub(crate) fn of(media: &'a dyn Media) -> Self {
        Self {
            media,
            slot: media.running().other(),
        }
    }

    /// Which one it is.
    #[must_use]
    pub fn slot(&self) -> Slot {
        self.slot
    }

    pub(crate) fn esp(&self) -> Result<Box<dyn EspTree>, SlotError> {
        let inner = self.media.esp(Access::Write)?;
        Ok(Box::new(EspFence::new(inner, self.slot)))
    }

    pub(crate) fn content(&self) -> Result<Content, SlotError> {
        let disk = self.media.table(Access::Read)?;
        let found = table::read(disk.as_ref())?;
        let partuuids = table::partuuids(&found.gpt, disk.as_ref(), self.slot)?;
        let data = self.media.read(self.slot, Part::Data)?;
        let tree = self.media.read(self.slot, Part::Tree)?;
        Content::of(self.slot, partuuids, data.as_ref(), tree.as_ref())
    }

    /// Takes the slot out of use: first its entries, so that the boot loader no longer knows it, then its PARTUUIDs, so
    /// that no root hash finds it. A whole slot before; nothing bootable after; in between whole, but not booted.
    ///
    /// # Errors
    /// ESP or partition table cannot be read or written.
    pub fn invalidate(&self) -> Result<(), SlotError> {
        // Looked at without writing first: a second call must not even mark the ESP as in use.
        let esp = self.media.esp(Access::Read)?;
        let any = !names_of(esp.as_ref(), self.slot)?.is_empty();
        esp.close()?;
        if any {
            let esp = self.esp()?;
            self.remove_entries(esp.as_ref())?;
            esp.close()?;
        }
        let disk = self.media.table(Access::Write)?;
        table::set(disk.as_ref(), self.slot, table::empty_marks(self.slot))
    }

    /// Takes a committed slot that no longer comes up from the boot loader. It stays written, and can be put on trial.
    ///
    /// # Errors
    /// The ESP cannot be read or written.
    pub fn retire(&self) -> Result<(), SlotError> {
        let esp = self.esp()?;
        self.remove_entries(esp.as_ref())?;
        esp.close()
    }

    /// Removes every name of the slot's entry, and what filled the gaps between them, durably.
    pub(crate) fn remove_entries(&self, esp: &dyn EspTree) -> Result<(), SlotError> {
        for name in names_of(esp, self.slot)? {
            esp.remove(&format!("{DIRECTORY}/{name}"))?;
        }
        esp.remove(&format!(
            "{DIRECTORY}/{}",
            spare_name(self.slot.entry_file())
        ))?;
        for name in fillers(esp)? {
            esp.remove(&format!("{DIRECTORY}/{name}"))?;
        }
        esp.sync(DIRECTORY)?;
        match names_of(esp, self.slot)? {
            left if left.is_empty() => Ok(()),
            left => Err(SlotError::Entries(left)),
        }
    }

    /// Nothing leads to the slot: neither an entry nor a root hash.
    fn require_invalid(&self) -> Result<(), SlotError> {
        let esp = self.media.esp(Access::Read)?;
        let names = names_of(esp.as_ref(), self.slot)?;
        esp.close()?;
        let what = match names.first() {
            Some(name) => Some(format!("the boot entry {name}")),
            None => Some(self.content()?)
                .filter(|content| *content != Content::Invalid)
                .map(|content| content.to_string()),
        };
        match what {
            None => Ok(()),
            Some(what) => Err(SlotError::StillValid {
                slot: self.slot,
                what,
            }),
        }
    }

    /// What lies where a root of `size` bytes will be, to be read.
    ///
    /// # Errors
    /// The slot is too small.
    pub fn present(&self, size: u64) -> Result<Reader, SlotError> {
        let block = self.media.read(self.slot, Part::Data)?;
        holds(block.as_ref(), size)?;
        Ok(Reader::of_first(block, size))
    }

    /// The root's partition, to be written.
    ///
    /// # Errors
    /// The slot is not invalidated, or too small.
    pub fn target(&self, size: u64) -> Result<Target, SlotError> {
        self.require_invalid()?;
        let block = self.media.write_idle(Part::Data)?;
        holds(block.as_ref(), size)?;
        Ok(Target { block, size })
    }

    /// Builds the hash tree from what the disk holds, writes it and reads it back; compares digest and root hash. A slot
    /// that is sealed with this root hash already is only read back.
    ///
    /// # Errors
    /// The slot is not invalidated, what was written is not the release's root, or the disk fails.
    pub fn write_verity(&self, spec: &RootSpec) -> Result<Verified, SlotError> {
        self.write_verity_watched(spec, &seal::unobserved)
    }

    /// As [`IdleSlot::write_verity`]; `observer` hears how many bytes of the root are done and may stop it.
    ///
    /// # Errors
    /// Also [`SlotError::Stopped`].
    pub fn write_verity_watched(
        &self,
        spec: &RootSpec,
        observer: &(dyn Fn(u64) -> ControlFlow<()> + Sync),
    ) -> Result<Verified, SlotError> {
        if self.content()?.root_hash() == Some(spec.root_hash) {
            return self.read_back_watched(spec, observer);
        }
        self.require_invalid()?;
        seal::write_verity(self.media, self.slot, spec, observer)
    }

    /// Reads root and tree from the device and compares everything; for a slot that was written before a restart.
    ///
    /// # Errors
    /// A difference, or a block that cannot be read.
    pub fn read_back(&self, spec: &RootSpec) -> Result<Verified, SlotError> {
        self.read_back_watched(spec, &seal::unobserved)
    }

    /// As [`IdleSlot::read_back`], watched.
    ///
    /// # Errors
    /// Also [`SlotError::Stopped`].
    pub fn read_back_watched(
        &self,
        spec: &RootSpec,
        observer: &(dyn Fn(u64) -> ControlFlow<()> + Sync),
    ) -> Result<Verified, SlotError> {
        seal::read_back(self.media, self.slot, spec, observer)
    }

    /// Lets the root hash find the slot.
    ///
    /// # Errors
    /// Another partition has one of the PARTUUIDs, as when this release runs already; or the table cannot be written.
    pub fn publish_partuuids(&self, proof: &Verified) -> Result<(), SlotError> {
        let expected = proof.root_hash;
        self.refuse_marks(expected)?;
        if proof.slot != self.slot {
            return Err(SlotError::NotSealed {
                slot: self.slot,
                expected,
                found: format!("a proof about {}", proof.slot),
            });
        }
        if self.content()?.root_hash() != Some(expected) {
            self.require_invalid()?;
        }
        let disk = self.media.table(Access::Write)?;
        table::set(disk.as_ref(), self.slot, expected.partuuids())?;
        drop(disk);
        self.require_sealed(expected)
    }

    /// The slot's GUIDs and tree are those of this root hash.
    pub(crate) fn require_sealed(&self, expected: RootHash) -> Result<(), SlotError> {
        match self.content()? {
            Content::Sealed { root_hash, .. } if root_hash == expected => Ok(()),
            other => Err(SlotError::NotSealed {
                slot: self.slot,
                expected,
                found: other.to_string(),
            }),
        }
    }

    fn refuse_marks(&self, root_hash: RootHash) -> Result<(), SlotError> {
        let (data, tree) = root_hash.partuuids();
        let reserved = [self.slot, self.slot.other()]
            .map(table::empty_marks)
            .into_iter()
            .any(|(one, two)| [one, two].contains(&data) || [one, two].contains(&tree));
        if reserved {
            return Err(SlotError::GuidReserved(root_hash));
        }
        Ok(())
    }
}

/// Refuses a root that does not fit.
fn holds(block: &dyn Block, size: u64) -> Result<(), SlotError> {
    if size > block.size() {
        return Err(SlotError::TooLarge {
            what: "the root",
            needed: size,
            path: block.path().to_owned(),
            size: block.size(),
        });
    }
    Ok(())
}

/// The idle slot's root while it is written.
pub struct Target {
    block: Box<dyn Block>,
    size: u64,
}

impl Target {
    /// Bytes of the root that is being written.
    #[must_use]
    pub fn size(&self) -> u64 {
        self.size
    }

    /// Fills `buf` from `offset`: what was written before, or what is left of the slot's old content.
    ///
    /// # Errors
    /// The device's.
    pub fn read_exact_at(&self, buf: &mut [u8], offset: u64) -> io::Result<()> {
        self.block.read_exact_at(buf, offset)
    }

    /// Writes; durable after [`Target::sync`]. Large writes go around the page cache.
    ///
    /// # Errors
    /// The device's, and everything outside of the root.
    pub fn write_all_at(&self, buf: &[u8], offset: u64) -> io::Result<()> {
        match offset.checked_add(buf.len() as u64) {
            Some(end) if end <= self.size => self.block.write_all_at(buf, offset),
            _ => Err(io::Error::new(
                io::ErrorKind::InvalidInput,
                format!(
                    "{} bytes at {offset} leave the root of {} bytes",
                    buf.len(),
                    self.size
                ),
            )),
        }
    }

    /// Makes everything written so far durable.
    ///
    /// # Errors
    /// The device's.
    pub fn sync(&self) -> io::Result<()> {
        self.block.sync()
    }

    /// As [`Target::sync`], with the place in the error.
    ///
    /// # Errors
    /// The device's.
    pub fn finish(&self) -> Result<(), SlotError> {
        self.sync().map_err(at("sync", self.block.path()))
    }
}
