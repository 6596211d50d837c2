//! A FAT32 volume as Linux's vfat driver writes it (`fs/fat/dir.c`, `namei_vfat.c`): into the page cache, nothing in any order.
//!
//! - New names take the first run of free places in the directory that is long enough; a place is free when it was removed or
//!   never used.
//! - A rename adds the new name without content, removes the old one, and later puts the content into the new one. Until the
//!   next sync it is up to the page cache what of that reaches the disk.
//! - Removing a file removes its name and frees its clusters.

use super::{Machine, ModelError};
use crate::firmware::dirent::{self, Dirent, ENTRY, REMOVED};
use crate::firmware::fat::{Fat, Pick};

/// A mounted volume.
#[derive(Debug, Clone, Copy)]
pub struct Vfat {
    range: (u64, u64),
}

/// A file that has a new name which does not lead to it yet.
#[derive(Debug)]
pub struct Renamed {
    place: u64,
    file: Dirent,
}

/// A directory, as far as a driver must know it to change it.
pub(super) struct Directory {
    /// Where each of its clusters lies.
    pub(super) places: Vec<u64>,
    pub(super) bytes: Vec<u8>,
    pub(super) shown: Vec<Dirent>,
    last_cluster: u32,
    cluster_bytes: u64,
}

impl Directory {
    /// Byte of the disk at which a slot lies.
    pub(super) fn slot(&self, slot: usize) -> Result<u64, ModelError> {
        let at = (slot * ENTRY) as u64;
        let place = self.places.get((at / self.cluster_bytes) as usize);
        let place = place.ok_or_else(|| ModelError(format!("no slot {slot} in the directory")))?;
        Ok(place + at % self.cluster_bytes)
    }

    fn free(&self, slot: usize) -> bool {
        matches!(self.bytes.get(slot * ENTRY), Some(0 | &REMOVED))
    }

    /// The first of `count` free slots in a row; past the end when there are none.
    fn first_fit(&self, count: usize) -> usize {
        let slots = self.bytes.len() / ENTRY;
        let fits = |start: &usize| (*start..*start + count).all(|slot| self.free(slot));
        (0..slots).find(fits).unwrap_or_else(|| {
            let used = (0..slots).rev().find(|slot| !self.free(*slot));
            used.map_or(0, |slot| slot + 1)
        })
    }
}

impl Vfat {
    /// The volume in a range of the disk.
    #[must_use]
    pub const fn new(range: (u64, u64)) -> Self {
        Self { range }
    }

    pub(super) fn open<'a>(&self, machine: &'a Machine) -> Result<Fat<'a>, ModelError> {
        Fat::open(machine, self.range, Pick::First).map_err(ModelError::of)
    }

    /// Looks at a directory.
    pub(super) fn directory(&self, machine: &Machine, path: &str) -> Result<Directory, ModelError> {
        let fat = self.open(machine)?;
        let here = fat.open_path(path).map_err(ModelError::of)?;
        let shown = fat.list(path, here.cluster).map_err(ModelError::of)?;
        let mut directory = Directory {
            places: Vec::new(),
            bytes: Vec::new(),
            shown,
            last_cluster: here.cluster,
            cluster_bytes: fat.cluster_bytes(),
        };
        let mut next = Some(here.cluster);
        while let Some(cluster) = next {
            let place = fat
                .place(cluster)
                .ok_or_else(|| ModelError(format!("{path} has a broken chain")))?;
            let at = directory.bytes.len();
            directory.bytes.resize(at + fat.cluster_bytes() as usize, 0);
            super::machine::read(machine, place, &mut directory.bytes[at..])?;
            directory.places.push(place);
            directory.last_cluster = cluster;
            next = fat.following(cluster);
        }
        Ok(directory)
    }

    /// Names in a directory.
    pub fn names(&self, machine: &Machine, path: &str) -> Result<Vec<String>, ModelError> {
        let shown = self.directory(machine, path)?.shown;
        Ok(shown.into_iter().map(|d| d.name).collect())
    }

    /// A file's content.
    pub fn read(&self, machine: &Machine, path: &str) -> Result<Vec<u8>, ModelError> {
        let fat = self.open(machine)?;
        let file = fat.open_path(path).map_err(ModelError::of)?;
        fat.read(path, &file, 1 << 20).map_err(ModelError::of)
    }

    /// Makes a file.
    pub fn create(
        &self,
        machine: &mut Machine,
        directory: &str,
        name: &str,
        content: &[u8],
    ) -> Result<(), ModelError> {
        let slots = self.add(machine, directory, name)?;
        let first = self.allocate(machine, content)?;
        self.set_content(machine, slots, first, content.len() as u32)
    }

    /// Writes into a file's own clusters, which it keeps.
    pub fn write(
        &self,
        machine: &mut Machine,
        path: &str,
        offset: u64,
        bytes: &[u8],
    ) -> Result<(), ModelError> {
        let fat = self.open(machine)?;
        let file = fat.open_path(path).map_err(ModelError::of)?;
        let size = fat.cluster_bytes();
        let places: Option<Vec<u64>> = fat.chain(&file).into_iter().map(|c| fat.place(c)).collect();
        let places = places.ok_or_else(|| ModelError(format!("{path} has a broken chain")))?;
        let (mut at, mut rest) = (offset, bytes);
        while !rest.is_empty() {
            let place = places.get((at / size) as usize);
            let place = place.ok_or_else(|| ModelError(format!("{path} ends before {at}")))?;
            let inside = rest.len().min((size - at % size) as usize);
            let (head, tail) = rest.split_at(inside);
            machine.buffer(place + at % size, head)?;
            (at, rest) = (at + inside as u64, tail);
        }
        Ok(())
    }

    /// Removes a file and frees its clusters.
    pub fn remove(
        &self,
        machine: &mut Machine,
        directory: &str,
        name: &str,
    ) -> Result<(), ModelError> {
        let file = self.unname(machine, directory, name)?;
        let chain = self.open(machine)?.chain(&file);
        for cluster in chain {
            self.set_fat(machine, cluster, 0)?;
        }
        Ok(())
    }

    /// Renames a file within its directory.
    pub fn rename(
        &self,
        machine: &mut Machine,
        directory: &str,
        old: &str,
        new: &str,
    ) -> Result<(), ModelError> {
        let renamed = self.rename_names(machine, directory, old, new)?;
        self.rename_content(machine, renamed)
    }

    /// The first half of a rename: the names. `fsync` of the directory makes this half durable, alone.
    pub fn rename_names(
        &self,
        machine: &mut Machine,
        directory: &str,
        old: &str,
        new: &str,
    ) -> Result<Renamed, ModelError> {
        let place = self.add(machine, directory, new)?;
        let file = self.unname(machine, directory, old)?;
        Ok(Renamed { place, file })
    }

    /// The second half: the file's content gets its new name. `fsync` of the file or `syncfs` do this.
    pub fn rename_content(
        &self,
        machine: &mut Machine,
        renamed: Renamed,
    ) -> Result<(), ModelError> {
        let Renamed { place, file } = renamed;
        self.set_content(machine, place, file.cluster, file.size)
    }

    /// Fills the gaps of a directory with empty files of one slot each, and with `border` goes on until the next free slot is
    /// a sector's first. Gives their names.
    pub fn fill(
        &self,
        machine: &mut Machine,
        path: &str,
        border: bool,
    ) -> Result<Vec<String>, ModelError> {
        const SLOTS: usize = 512 / ENTRY;
        let mut names = Vec::new();
        loop {
            let directory = self.directory(machine, path)?;
            let next = directory.first_fit(1);
            let used = directory.bytes.chunks_exact(ENTRY);
            let end = used.take_while(|raw| raw[0] != 0).count();
            if next == end && !(border && end % SLOTS != 0) {
                return Ok(names);
            }
            let name = format!("FILL{:04}", names.len());
            self.create(machine, path, &name, &[])?;
            names.push(name);
        }
    }

    /// Puts entries for a name into a directory; gives the place of the short one.
    fn add(&self, machine: &mut Machine, path: &str, name: &str) -> Result<u64, ModelError> {
        let mut directory = self.directory(machine, path)?;
        if directory
            .shown
            .iter()
            .any(|d| d.name.eq_ignore_ascii_case(name))
        {
            return Err(ModelError(format!("{path} has {name:?} already")));
        }
        let mut slots = dirent::encode(name, alias(&directory.shown, name), 0x20);
        if is_short(name) {
            slots.drain(..slots.len() - 1);
        }
        let at = directory.first_fit(slots.len());
        if (at + slots.len()) * ENTRY > directory.bytes.len() {
            self.grow(machine, &mut directory)?;
        }
        for (slot, raw) in (at..).zip(&slots) {
            machine.buffer(directory.slot(slot)?, raw)?;
        }
        directory.slot(at + slots.len() - 1)
    }

    /// Removes a name; gives what it named.
    fn unname(&self, machine: &mut Machine, path: &str, name: &str) -> Result<Dirent, ModelError> {
        let directory = self.directory(machine, path)?;
        let file = directory
            .shown
            .iter()
            .find(|d| d.name.eq_ignore_ascii_case(name))
            .ok_or_else(|| ModelError(format!("{path} has no {name:?}")))?;
        for slot in file.slot + 1 - file.slots..=file.slot {
            machine.buffer(directory.slot(slot)?, &[REMOVED])?;
        }
        Ok(file.clone())
    }

    pub(super) fn set_content(
        &self,
        machine: &mut Machine,
        place: u64,
        cluster: u32,
        size: u32,
    ) -> Result<(), ModelError> {
        let mut raw = [0; ENTRY];
        super::machine::read(machine, place, &mut raw)?;
        dirent::set_content(&mut raw, cluster, size);
        machine.buffer(place, &raw)
    }

    /// Adds a cluster to a directory.
    pub(super) fn grow(
        &self,
        machine: &mut Machine,
        directory: &mut Directory,
    ) -> Result<(), ModelError> {
        let zeros = vec![0; directory.cluster_bytes as usize];
        let cluster = self.allocate(machine, &zeros)?;
        self.set_fat(machine, directory.last_cluster, cluster)?;
        let place = self.open(machine)?.place(cluster);
        directory
            .places
            .push(place.ok_or_else(|| ModelError("no such cluster".into()))?);
        directory.bytes.extend(zeros);
        directory.last_cluster = cluster;
        Ok(())
    }

    /// Takes free clusters, chains them and fills them; gives the first one, 0 for nothing.
    pub(super) fn allocate(
        &self,
        machine: &mut Machine,
        content: &[u8],
    ) -> Result<u32, ModelError> {
        let fat = self.open(machine)?;
        let bytes = fat.cluster_bytes() as usize;
        let count = content.len().div_ceil(bytes);
        let mut list = Vec::with_capacity(count);
        let mut cluster = 2;
        while list.len() < count {
            if fat.place(cluster).is_none() {
                return Err(ModelError("the volume is full".into()));
            }
            if fat.is_free(cluster) {
                list.push(cluster);
            }
            cluster += 1;
        }
        let places: Vec<u64> = list.iter().filter_map(|c| fat.place(*c)).collect();
        for (index, cluster) in list.iter().enumerate() {
            let next = list.get(index + 1).copied().unwrap_or(0x0FFF_FFFF);
            self.set_fat(machine, *cluster, next)?;
        }
        for (place, part) in places.iter().zip(content.chunks(bytes)) {
            machine.buffer(*place, part)?;
        }
        Ok(list.first().copied().unwrap_or(0))
    }

    fn set_fat(&self, machine: &mut Machine, cluster: u32, value: u32) -> Result<(), ModelError> {
        for place in self.open(machine)?.fat_places(cluster) {
            machine.buffer(place, &value.to_le_bytes())?;
        }
        Ok(())
    }
}

/// Whether a name needs no long one beside it.
fn is_short(name: &str) -> bool {
    dirent::as_short(name).is_some() && !name.contains(|c: char| c.is_ascii_lowercase())
}

/// A short name that nothing else has: six characters, `~`, a number.
pub(super) fn alias(shown: &[Dirent], name: &str) -> [u8; 11] {
    if let Some(short) = dirent::as_short(name).filter(|_| is_short(name)) {
        return short;
    }
    let plain = |text: &str, most: usize| -> Vec<u8> {
        let kept = text.bytes().filter(|c| !b". ".contains(c)).take(most);
        kept.map(|c| {
            if c.is_ascii_alphanumeric() || c == b'-' {
                c.to_ascii_uppercase()
            } else {
                b'_'
            }
        })
        .collect()
    };
    let (base, ext) = name.rsplit_once('.').unwrap_or((name, ""));
    let (base, ext) = (plain(base, 6), plain(ext, 3));
    for number in 1..100_000_u32 {
        let tail = format!("~{number}");
        let mut short = [b' '; 11];
        let stem = base.len().min(8 - tail.len());
        short[..stem].copy_from_slice(&base[..stem]);
        short[stem..stem + tail.len()].copy_from_slice(tail.as_bytes());
        short[8..8 + ext.len()].copy_from_slice(&ext);
        if shown.iter().all(|d| d.short != short) {
            return short;
        }
    }
    [b'X'; 11]
}
