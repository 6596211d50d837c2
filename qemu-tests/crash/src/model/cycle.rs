//! An update from install to commit, in the order that updates keep, and the flaws it could have.
//!
//! ```text
//!  entry off | PARTUUIDs off | data | tree | PARTUUIDs | UKI | entry under another name | renamed to NAME+3
//!  boots: the firmware counts | commit: the kernel takes the counter away          each step flushed before the next
//! ```

use roamcore_disk::gpt::{Gpt, Guid};

use super::base::place;
use super::{Kit, Machine, ModelError, Slot, Sparse, Vfat};
use crate::state::{Bytes, Recording};

/// Directory of the entries.
const ENTRIES: &str = "/loader/entries";
/// Bytes of one write of slot data.
const CHUNK: usize = 64 << 10;

/// What an update does wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Flaw {
    /// PARTUUIDs are published before the data is there.
    UuidsBeforeData,
    /// The old PARTUUIDs stay while the slot is written.
    NoInvalidate,
    /// The primary partition table goes first, and without a flush between the data and it. (With the backup first its own
    /// flush would cover the data.)
    DataNotFlushed,
    /// The hash tree is forgotten.
    NoTree,
    /// Both copies of the partition table without a flush between them.
    TablesTogether,
    /// The entry is made before its UKI.
    EntryBeforeUki,
    /// UKI and entry without a flush between them.
    UkiNotFlushed,
    /// The UKI goes over the one of the running slot.
    UkiOverRunning,
    /// The data goes into the running slot.
    DataOverRunning,
    /// The running slot's entry is removed when the new one is armed.
    RunningEntryRemoved,
    /// The running slot's entry is written again, in place.
    RunningEntryRewritten,
    /// A name that counting will need is taken.
    NextNameTaken,
    /// The boot loader is renewed on the way.
    LoaderRewritten,
    /// The settings of the boot loader are renewed on the way.
    SettingsRewritten,
    /// At the commit the old slot's entry goes away before the new one is committed.
    OldEntryRemovedFirst,
    /// The commit syncs the directory before the file.
    DirectorySyncedFirst,
    /// The slot is taken for the new release that has the running one's root hash.
    SameRootTwice,
}

/// How the trial ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// It is committed in its first boot.
    Commit,
    /// All tries fail; the old slot runs again.
    Fails,
    /// The machine stays off once the trial is armed.
    Armed,
}

/// Where the names of a trial go in the directory of entries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Placement {
    /// Where the drivers put them: the kernel's into the first gap, the firmware's at the end. So a rename may touch two
    /// sectors, of which one may get through alone.
    Gaps,
    /// All into one sector: gaps are filled with empty files, up to a sector's border, before a name is made.
    OneSector,
}

/// A device that updates itself.
#[derive(Debug)]
pub struct Cycle {
    machine: Machine,
    esp: Vfat,
    running: Slot,
    placement: Placement,
}

impl Cycle {
    /// On a disk whose slot A runs.
    pub fn new(mut disk: Sparse, placement: Placement) -> Result<Self, ModelError> {
        let size = disk.size();
        let table = Gpt::read_from(&mut disk.cursor(), size).map_err(ModelError::of)?;
        Ok(Self {
            esp: Vfat::new(place(&table.gpt, "esp")?),
            machine: Machine::new(disk),
            running: Slot::A,
            placement,
        })
    }

    /// The machine, to look at or to spoil.
    pub const fn machine(&mut self) -> (&mut Machine, Vfat) {
        (&mut self.machine, self.esp)
    }

    /// Ends it.
    pub fn finish(self) -> Result<Recording<Sparse, Bytes<Vec<u8>>>, ModelError> {
        self.machine.finish()
    }

    /// Updates the slot that does not run.
    pub fn update(
        &mut self,
        kit: &Kit,
        flaw: Option<Flaw>,
        outcome: Outcome,
    ) -> Result<(), ModelError> {
        let has = |wanted| flaw == Some(wanted);
        let target = self.running.other();
        self.machine.mark("invalidate");
        self.remove_entries(target)?;
        if !has(Flaw::NoInvalidate) {
            let off = |byte| {
                Guid::from_bytes([
                    byte,
                    target.letter() as u8,
                    1,
                    1,
                    1,
                    1,
                    1,
                    1,
                    1,
                    1,
                    1,
                    1,
                    1,
                    1,
                    1,
                    1,
                ])
            };
            self.set_uuids(target, (off(1), off(2)), flaw)?;
        }
        if has(Flaw::UuidsBeforeData) {
            self.set_uuids(target, kit.root_hash.partuuids(), flaw)?;
        }
        self.machine.mark("data");
        self.write_slot(kit, target, flaw)?;
        self.machine.mark("PARTUUIDs");
        self.set_uuids(target, kit.root_hash.partuuids(), flaw)?;
        self.machine.mark("boot files");
        if has(Flaw::EntryBeforeUki) {
            self.arm(kit, target, flaw)?;
            self.write_uki(kit, target, flaw)?;
        } else {
            self.write_uki(kit, target, flaw)?;
            self.arm(kit, target, flaw)?;
        }
        if outcome != Outcome::Armed {
            self.machine.mark("boot");
            self.boot(target, flaw, outcome)?;
        }
        Ok(())
    }

    fn write_slot(
        &mut self,
        kit: &Kit,
        target: Slot,
        flaw: Option<Flaw>,
    ) -> Result<(), ModelError> {
        let slot = if flaw == Some(Flaw::DataOverRunning) {
            self.running
        } else {
            target
        };
        let table = self.table()?;
        for (name, bytes) in [("root", &kit.root), ("verity", &kit.tree)] {
            if name == "verity" && flaw == Some(Flaw::NoTree) {
                continue;
            }
            let (start, _) = place(&table, &format!("{name}-{}", slot.letter()))?;
            for (number, chunk) in (0_u64..).zip(bytes.chunks(CHUNK)) {
                self.machine.direct(start + number * CHUNK as u64, chunk)?;
            }
            if flaw != Some(Flaw::DataNotFlushed) {
                self.machine.flush()?;
            }
        }
        Ok(())
    }

    fn write_uki(&mut self, kit: &Kit, target: Slot, flaw: Option<Flaw>) -> Result<(), ModelError> {
        let slot = if flaw == Some(Flaw::UkiOverRunning) {
            self.running
        } else {
            target
        };
        let directory = format!("/EFI/roamcore/{}", slot.letter());
        let (machine, esp) = (&mut self.machine, self.esp);
        if esp
            .names(machine, &directory)?
            .contains(&"roamcore.efi".to_owned())
        {
            esp.remove(machine, &directory, "roamcore.efi")?;
            machine.flush()?;
        }
        esp.create(machine, &directory, "roamcore.efi", &kit.uki)?;
        if flaw != Some(Flaw::UkiNotFlushed) {
            machine.flush()?;
        }
        Ok(())
    }

    fn arm(&mut self, kit: &Kit, target: Slot, flaw: Option<Flaw>) -> Result<(), ModelError> {
        let (machine, esp, running) = (&mut self.machine, self.esp, self.running);
        let letter = target.letter();
        let content = kit.entry(target);
        if flaw == Some(Flaw::NextNameTaken) {
            let taken = format!("roamcore-{letter}+2-1.conf");
            esp.create(machine, ENTRIES, &taken, b"title left over\n")?;
        }
        let counted = format!("roamcore-{letter}+3.conf");
        match self.placement {
            Placement::Gaps => {
                let hidden = format!("roamcore-{letter}.new");
                esp.create(machine, ENTRIES, &hidden, content.as_bytes())?;
                if flaw != Some(Flaw::UkiNotFlushed) {
                    machine.flush()?;
                }
                esp.rename(machine, ENTRIES, &hidden, &counted)?;
            }
            Placement::OneSector => {
                let fillers = esp.fill(machine, ENTRIES, true)?;
                machine.flush()?;
                esp.create(machine, ENTRIES, &counted, content.as_bytes())?;
                machine.flush()?;
                for filler in fillers {
                    esp.remove(machine, ENTRIES, &filler)?;
                }
            }
        }
        let old = format!("roamcore-{}.conf", running.letter());
        match flaw {
            Some(Flaw::RunningEntryRemoved) => esp.remove(machine, ENTRIES, &old)?,
            Some(Flaw::RunningEntryRewritten) => {
                let text = esp.read(machine, &format!("{ENTRIES}/{old}"))?;
                esp.remove(machine, ENTRIES, &old)?;
                machine.flush()?;
                esp.create(machine, ENTRIES, &old, &text)?;
            }
            Some(Flaw::LoaderRewritten) => {
                esp.remove(machine, "/EFI/BOOT", "BOOTX64.EFI")?;
                esp.create(machine, "/EFI/BOOT", "BOOTX64.EFI", b"a newer boot loader")?;
            }
            Some(Flaw::SettingsRewritten) => {
                esp.remove(machine, "/loader", "loader.conf")?;
                esp.create(machine, "/loader", "loader.conf", b"timeout 9\n")?;
            }
            _ => {}
        }
        machine.flush()
    }

    fn boot(
        &mut self,
        target: Slot,
        flaw: Option<Flaw>,
        outcome: Outcome,
    ) -> Result<(), ModelError> {
        let (machine, esp) = (&mut self.machine, self.esp);
        let name = |suffix: &str| format!("roamcore-{}{suffix}.conf", target.letter());
        esp.firmware_rename(machine, ENTRIES, &name("+3"), &name("+2-1"))?;
        if outcome == Outcome::Fails {
            esp.firmware_rename(machine, ENTRIES, &name("+2-1"), &name("+1-2"))?;
            return esp.firmware_rename(machine, ENTRIES, &name("+1-2"), &name("+0-3"));
        }
        machine.mark("commit");
        if flaw == Some(Flaw::OldEntryRemovedFirst) {
            let old = format!("roamcore-{}.conf", self.running.letter());
            esp.remove(machine, ENTRIES, &old)?;
            machine.flush()?;
        }
        if self.placement == Placement::OneSector {
            let fillers = esp.fill(machine, ENTRIES, false)?;
            machine.flush()?;
            esp.rename(machine, ENTRIES, &name("+2-1"), &name(""))?;
            machine.flush()?;
            for filler in fillers {
                esp.remove(machine, ENTRIES, &filler)?;
            }
        } else {
            let renamed = esp.rename_names(machine, ENTRIES, &name("+2-1"), &name(""))?;
            if flaw == Some(Flaw::DirectorySyncedFirst) {
                machine.flush()?;
            }
            esp.rename_content(machine, renamed)?;
        }
        machine.flush()?;
        self.running = target;
        Ok(())
    }

    fn remove_entries(&mut self, slot: Slot) -> Result<(), ModelError> {
        let (machine, esp) = (&mut self.machine, self.esp);
        let start = format!("roamcore-{}", slot.letter());
        for name in esp.names(machine, ENTRIES)? {
            if name.starts_with(&start) {
                esp.remove(machine, ENTRIES, &name)?;
            }
        }
        machine.flush()
    }

    fn table(&mut self) -> Result<Gpt, ModelError> {
        let size = self.machine.disk().size();
        let mut disk = self.machine.disk().clone();
        let read = Gpt::read_from(&mut disk.cursor(), size).map_err(ModelError::of)?;
        Ok(read.gpt)
    }

    /// Gives a slot's partitions other PARTUUIDs: backup, flush, primary, flush.
    fn set_uuids(
        &mut self,
        slot: Slot,
        (root, tree): (Guid, Guid),
        flaw: Option<Flaw>,
    ) -> Result<(), ModelError> {
        let mut table = self.table()?;
        for (name, uuid) in [("root", root), ("verity", tree)] {
            let name = format!("{name}-{}", slot.letter());
            let part = table.partitions.iter_mut().find(|p| p.name == name);
            part.ok_or_else(|| ModelError(format!("no partition {name}")))?
                .part_guid = uuid;
        }
        // A table with two equal GUIDs is refused by our writer; whoever makes one uses another.
        let encoded = match flaw {
            Some(Flaw::SameRootTwice) => super::base::unchecked(&table)?,
            _ => table.encode().map_err(ModelError::of)?,
        };
        let mut copies = [(encoded.tail_offset, &encoded.tail), (0, &encoded.head)];
        if flaw == Some(Flaw::DataNotFlushed) {
            copies.reverse();
        }
        self.machine.direct(copies[0].0, copies[0].1)?;
        if flaw != Some(Flaw::TablesTogether) {
            self.machine.flush()?;
        }
        self.machine.direct(copies[1].0, copies[1].1)?;
        self.machine.flush()?;
        Ok(())
    }
}
