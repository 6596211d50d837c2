//! A FAT32 volume as EDK II's driver changes it when systemd-boot counts an entry down (`FatPkg`, `Info.c`).
//!
//! It removes the old name, appends the new one behind everything the directory ever held (places of removed names are not
//! taken again), then writes all of it and flushes once.

use super::vfat::{Vfat, alias};
use super::{Machine, ModelError};
use crate::firmware::dirent::{self, ENTRY, REMOVED};

impl Vfat {
    /// Renames as the firmware does.
    pub fn firmware_rename(
        &self,
        machine: &mut Machine,
        path: &str,
        old: &str,
        new: &str,
    ) -> Result<(), ModelError> {
        let mut directory = self.directory(machine, path)?;
        let name = |d: &&dirent::Dirent| d.name.eq_ignore_ascii_case(old);
        let Some(file) = directory.shown.iter().find(name).cloned() else {
            return Err(ModelError(format!("{path} has no {old:?}")));
        };
        let slots = dirent::encode(new, alias(&directory.shown, new), 0x20);
        let used = directory.bytes.chunks_exact(ENTRY);
        let end = used.take_while(|raw| raw[0] != 0).count();
        if (end + slots.len()) * ENTRY > directory.bytes.len() {
            self.grow(machine, &mut directory)?;
        }
        for slot in file.slot + 1 - file.slots..=file.slot {
            machine.buffer(directory.slot(slot)?, &[REMOVED])?;
        }
        for (slot, raw) in (end..).zip(&slots) {
            machine.buffer(directory.slot(slot)?, raw)?;
        }
        let short = directory.slot(end + slots.len() - 1)?;
        self.set_content(machine, short, file.cluster, file.size)?;
        machine.flush()
    }
}
