//! Writers that can reach only what an update may change.
//!
//! Owns: the two fences, one around the partition tables, one around the idle slot's files on the ESP. Never does:
//! decide what to write. Invariant: whatever a bug above asks for, no byte of a partition is written through the whole
//! disk, and no path of the running slot, the boot loader or its settings is changed.

use std::io::{self, Read};
use std::path::Path;

use roamcore_agent::commit::spare_name;
use roamcore_agent::entry::{DIRECTORY, EntryName};
use roamcore_agent::slot::Slot;

use crate::error::SlotError;
use crate::esp::{EspTree, Item};
use crate::media::Block;
use crate::placement;

/// MBR, primary header and 128 entries; the backup has one sector less.
const HEAD: u64 = 34 * 512;
const TAIL: u64 = 33 * 512;

/// A whole disk of which only the partition tables can be written.
pub struct TableFence<B>(pub B);

impl<B: Block> Block for TableFence<B> {
    fn path(&self) -> &Path {
        self.0.path()
    }

    fn size(&self) -> u64 {
        self.0.size()
    }

    fn read_exact_at(&self, buf: &mut [u8], offset: u64) -> io::Result<()> {
        self.0.read_exact_at(buf, offset)
    }

    fn read_past_cache(&self, buf: &mut [u8], offset: u64) -> io::Result<()> {
        self.0.read_past_cache(buf, offset)
    }

    fn write_all_at(&self, buf: &[u8], offset: u64) -> io::Result<()> {
        let end = offset.saturating_add(buf.len() as u64);
        let size = self.size();
        // The MBR is never changed either.
        let head = offset >= 512 && end <= HEAD;
        let tail = offset >= size.saturating_sub(TAIL) && end <= size;
        if head || tail {
            return self.0.write_all_at(buf, offset);
        }
        Err(io::Error::new(
            io::ErrorKind::PermissionDenied,
            format!(
                "{} bytes at {offset} are outside of the partition tables",
                buf.len()
            ),
        ))
    }

    fn sync(&self) -> io::Result<()> {
        self.0.sync()
    }
}

/// The ESP, of which only the idle slot's files can be changed.
pub struct EspFence {
    inner: Box<dyn EspTree>,
    idle: Slot,
}

impl EspFence {
    /// Around `inner`.
    pub fn new(inner: Box<dyn EspTree>, idle: Slot) -> Self {
        Self { inner, idle }
    }

    fn check(&self, path: &str) -> Result<(), SlotError> {
        if is_of(self.idle, path) {
            return Ok(());
        }
        Err(SlotError::Fence {
            path: path.to_owned(),
            idle: self.idle,
        })
    }
}

/// Whether a path on the ESP belongs to a slot. Fillers among the entries are whose turn it is.
fn is_of(slot: Slot, path: &str) -> bool {
    let Some((directory, name)) = path.rsplit_once('/') else {
        return false;
    };
    if directory == slot.esp_directory() {
        return !matches!(name, "" | "." | "..");
    }
    directory == DIRECTORY
        && (name == spare_name(slot.entry_file())
            || placement::is_filler(name)
            || EntryName::parse(name).is_ok_and(|entry| entry.slot() == Some(slot)))
}

impl EspTree for EspFence {
    fn list(&self, directory: &str) -> Result<Vec<Item>, SlotError> {
        self.inner.list(directory)
    }

    fn read(&self, path: &str, limit: u64) -> Result<Option<Vec<u8>>, SlotError> {
        self.inner.read(path, limit)
    }

    fn size(&self, path: &str) -> Result<Option<u64>, SlotError> {
        self.inner.size(path)
    }

    fn digest(&self, path: &str) -> Result<Option<roamcore_ota::Digest>, SlotError> {
        self.inner.digest(path)
    }

    fn free(&self) -> Result<u64, SlotError> {
        self.inner.free()
    }

    fn open(&self, path: &str) -> Result<Option<Box<dyn Block>>, SlotError> {
        self.inner.open(path)
    }

    fn edit(&self, path: &str, size: u64) -> Result<Box<dyn Block>, SlotError> {
        self.check(path)?;
        self.inner.edit(path, size)
    }

    fn create(&self, path: &str, content: &mut dyn Read) -> Result<(), SlotError> {
        self.check(path)?;
        self.inner.create(path, content)
    }

    fn rename(&self, directory: &str, from: &str, to: &str) -> Result<(), SlotError> {
        for name in [from, to] {
            self.check(&format!("{directory}/{name}"))?;
        }
        self.inner.rename(directory, from, to)
    }

    fn remove(&self, path: &str) -> Result<(), SlotError> {
        self.check(path)?;
        self.inner.remove(path)
    }

    fn ensure_directory(&self, path: &str) -> Result<(), SlotError> {
        // Only the slot's own, and what leads to it.
        let own = self.idle.esp_directory();
        if path == own || own.starts_with(&format!("{path}/")) || path == DIRECTORY {
            return self.inner.ensure_directory(path);
        }
        self.check(path)
    }

    fn sync(&self, directory: &str) -> Result<(), SlotError> {
        self.inner.sync(directory)
    }

    fn raw_directory(&self, directory: &str) -> Result<Option<Vec<u8>>, SlotError> {
        self.inner.raw_directory(directory)
    }

    fn close(self: Box<Self>) -> Result<(), SlotError> {
        self.inner.close()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whose_path_it_is() {
        let cases = [
            ("loader/entries/roamcore-b.conf", Some(Slot::B)),
            ("loader/entries/roamcore-b+3.conf", Some(Slot::B)),
            ("loader/entries/roamcore-b.tmp", Some(Slot::B)),
            ("loader/entries/roamcore-a+0-3.conf", Some(Slot::A)),
            ("EFI/roamcore/b/roamcore.efi", Some(Slot::B)),
            ("EFI/roamcore/b/x/../../a/roamcore.efi", None),
            ("EFI/roamcore/b/..", None),
            ("EFI/roamcore/b/", None),
            ("EFI/roamcore/b", None),
            ("EFI/BOOT/BOOTX64.EFI", None),
            ("loader/loader.conf", None),
            ("loader/entries/roamcore-c.conf", None),
            ("loader/entries/GAP00001", Some(Slot::A)),
            ("loader/entries/gap-0.conf", None),
            ("loader/entries/roamcore.tmp", None),
            ("roamcore-b.conf", None),
            ("", None),
        ];
        for (path, want) in cases {
            let got = [Slot::A, Slot::B]
                .into_iter()
                .find(|slot| is_of(*slot, path));
            assert_eq!(got, want, "{path}");
        }
    }
}
