//! A FAT32 volume as EDK II's driver reads it (`FatPkg/EnhancedFatDxe`).
//!
//! Facts:
//! - Only the first FAT is read. The mark of an unclean volume and the backup boot sector are not looked at.
//! - A directory is as long as its chain; one whose chain leads to a free or reserved cluster is empty. A chain that leads
//!   into itself is followed for ever: the machine hangs.
//! - A file is as long as its entry says. Its chain is followed only as far as that; where it ends too early, reading fails.
//!   The first cluster is used without a look at the FAT.
//! - Of two files with one name, the one that is met first is opened, or the one that was met last, depending on what was
//!   read before. Which, is [`Pick`]; [`Fat::ambiguous`] says that it mattered.

use std::cell::{Cell, RefCell};
use std::collections::BTreeSet;

use super::dirent::{self, Dirent, ENTRY};
use crate::state::Disk;

/// Bytes of a sector of our disks.
const SECTOR: u64 = 512;
/// FAT32 has at least this many clusters, for EDK II.
const FEWEST_CLUSTERS: u64 = 0xFFF5;
/// Directories end here (specification, section 6).
const MOST_DIR_BYTES: u64 = 2 << 20;
/// Part of the FAT that is read at once.
const FAT_BLOCK: u64 = 4096;

/// Which of several files with one name is opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pick {
    /// The first in the directory.
    First,
    /// The last one.
    Last,
}

/// Why firmware cannot read something.
#[derive(Debug, Clone, PartialEq, Eq, Hash, thiserror::Error)]
pub enum FatFault {
    /// Not a volume it takes.
    #[error("boot sector: {0}")]
    BootSector(&'static str),
    /// A chain without end.
    #[error("the cluster chain of {path} leads into itself: the firmware hangs")]
    Endless {
        /// Directory.
        path: String,
    },
    /// Reading something failed.
    #[error("{path}: {reason}")]
    Unreadable {
        /// Path.
        path: String,
        /// Why.
        reason: &'static str,
    },
    /// It is not there.
    #[error("{path} does not exist")]
    Missing {
        /// Path.
        path: String,
    },
}

/// An opened volume.
#[allow(missing_debug_implementations, reason = "a disk cannot be shown")]
pub struct Fat<'a> {
    disk: &'a dyn Disk,
    start: u64,
    end: u64,
    fat: u64,
    /// Bytes of one FAT.
    fat_bytes: u64,
    fats: u64,
    data: u64,
    cluster: u64,
    clusters: u64,
    root: u32,
    pick: Pick,
    ambiguous: Cell<bool>,
    block: RefCell<(u64, Vec<u8>)>,
}

impl<'a> Fat<'a> {
    /// Opens the volume in `start..end` of a disk.
    ///
    /// # Errors
    /// The firmware does not take it for FAT32.
    pub fn open(
        disk: &'a dyn Disk,
        (start, end): (u64, u64),
        pick: Pick,
    ) -> Result<Self, FatFault> {
        let mut boot = [0; SECTOR as usize];
        disk.read_exact_at(&mut boot, start)
            .map_err(|_| FatFault::BootSector("cannot be read"))?;
        let le = |at: usize, len: usize| {
            boot[at..at + len]
                .iter()
                .rev()
                .fold(0_u64, |value, byte| value << 8 | u64::from(*byte))
        };
        let check = |good: bool, reason| match good {
            true => Ok(()),
            false => Err(FatFault::BootSector(reason)),
        };
        let (per_cluster, reserved, fats) = (le(13, 1), le(14, 2), le(16, 1));
        let sectors = if le(19, 2) == 0 { le(32, 4) } else { le(19, 2) };
        let per_fat = le(36, 4);
        check(le(11, 2) == SECTOR, "sectors are not of 512 bytes")?;
        check(per_cluster.is_power_of_two(), "impossible cluster size")?;
        check(
            reserved != 0 && fats != 0 && sectors != 0,
            "a count is zero",
        )?;
        check(matches!(le(21, 1), 0 | 1 | 0xF0 | 0xF8..), "unknown medium")?;
        check(le(22, 2) == 0 && per_fat != 0, "not FAT32")?;
        check(
            le(42, 2) == 0 && le(40, 1) & 0x80 == 0,
            "unknown version, or FATs not mirrored",
        )?;
        let data = reserved + fats * per_fat;
        let clusters = sectors.saturating_sub(data) / per_cluster;
        check(clusters >= FEWEST_CLUSTERS, "too few clusters")?;
        Ok(Self {
            disk,
            start,
            end,
            fat: start + reserved * SECTOR,
            fat_bytes: per_fat * SECTOR,
            fats,
            data: start + data * SECTOR,
            cluster: per_cluster * SECTOR,
            clusters,
            root: le(44, 4) as u32,
            pick,
            ambiguous: Cell::new(false),
            block: RefCell::new((u64::MAX, Vec::new())),
        })
    }

    /// Whether an answer so far depended on [`Pick`].
    #[must_use]
    pub const fn ambiguous(&self) -> bool {
        self.ambiguous.get()
    }

    /// The root directory's first cluster.
    #[must_use]
    pub const fn root(&self) -> u32 {
        self.root
    }

    /// Bytes of a cluster.
    #[must_use]
    pub const fn cluster_bytes(&self) -> u64 {
        self.cluster
    }

    /// Byte of the disk at which a cluster begins, if there is such a cluster.
    #[must_use]
    pub const fn place(&self, cluster: u32) -> Option<u64> {
        if cluster < 2 || cluster as u64 > self.clusters + 1 {
            return None;
        }
        let place = self.data + (cluster as u64 - 2) * self.cluster;
        if place + self.cluster <= self.end {
            Some(place)
        } else {
            None
        }
    }

    /// What the FAT says of a cluster: the number of the next one, or 0x0FFFFFF8 and more for the end.
    fn next(&self, cluster: u32) -> u32 {
        const END: u32 = 0x0FFF_FFFF;
        if u64::from(cluster) > self.clusters + 1 {
            return END;
        }
        let at = self.fat + u64::from(cluster) * 4;
        let number = (at - self.start) / FAT_BLOCK;
        let mut block = self.block.borrow_mut();
        if block.0 != number {
            let from = self.start + number * FAT_BLOCK;
            let len = FAT_BLOCK.min(self.end.saturating_sub(from));
            let mut bytes = vec![0; len as usize];
            if self.disk.read_exact_at(&mut bytes, from).is_err() {
                return END;
            }
            *block = (number, bytes);
        }
        let within = ((at - self.start) % FAT_BLOCK) as usize;
        let raw = block
            .1
            .get(within..within + 4)
            .and_then(<[u8]>::first_chunk);
        raw.map_or(END, |raw| u32::from_le_bytes(*raw) & 0x0FFF_FFFF)
    }

    /// What a directory shows. One that cannot be read to its end shows what comes before.
    ///
    /// # Errors
    /// The firmware would hang.
    pub fn list(&self, path: &str, first: u32) -> Result<Vec<Dirent>, FatFault> {
        let mut bytes = Vec::new();
        let mut chain = Vec::new();
        let mut cluster = first;
        // A free or reserved cluster in the chain makes the directory empty, so look before reading.
        while cluster < 0x0FFF_FFF8 {
            if cluster == 0 || cluster == 0x0FFF_FFF7 {
                return Ok(Vec::new());
            }
            if chain.len() as u64 > self.clusters {
                return Err(FatFault::Endless { path: path.into() });
            }
            chain.push(cluster);
            cluster = self.next(cluster);
        }
        for cluster in chain {
            let at = bytes.len();
            let Some(place) = self.place(cluster).filter(|_| (at as u64) < MOST_DIR_BYTES) else {
                break;
            };
            bytes.resize(at + self.cluster as usize, 0);
            if self.disk.read_exact_at(&mut bytes[at..], place).is_err() {
                bytes.truncate(at);
                break;
            }
            if bytes[at..].chunks_exact(ENTRY).any(|raw| raw[0] == 0) {
                break;
            }
        }
        Ok(dirent::decode(&bytes))
    }

    /// The file that opening `name` gives, among what a directory shows.
    pub fn pick<'d>(&self, shown: &'d [Dirent], name: &str) -> Option<&'d Dirent> {
        let short = dirent::as_short(name);
        let mut found = shown
            .iter()
            .filter(|d| d.name.eq_ignore_ascii_case(name) || Some(d.short) == short);
        let first = found.next()?;
        let last = found.next_back();
        if last.is_some() {
            self.ambiguous.set(true);
        }
        match self.pick {
            Pick::First => Some(first),
            Pick::Last => last.or(Some(first)),
        }
    }

    /// Opens a path.
    ///
    /// # Errors
    /// It does not exist, or the firmware would hang.
    pub fn open_path(&self, path: &str) -> Result<Dirent, FatFault> {
        let missing = || FatFault::Missing { path: path.into() };
        let mut here = Dirent {
            slot: 0,
            slots: 0,
            name: String::new(),
            short: [0; 11],
            is_dir: true,
            cluster: self.root,
            size: 0,
        };
        for name in path.split('/').filter(|name| !name.is_empty()) {
            if !here.is_dir {
                return Err(missing());
            }
            let shown = self.list(path, here.cluster)?;
            here = self.pick(&shown, name).ok_or_else(missing)?.clone();
        }
        Ok(here)
    }

    /// Ranges of the disk that hold a file.
    ///
    /// # Errors
    /// The chain is shorter than the file.
    pub fn ranges(&self, path: &str, file: &Dirent) -> Result<Vec<(u64, u64)>, FatFault> {
        let bad = |reason| FatFault::Unreadable {
            path: path.into(),
            reason,
        };
        let mut list: Vec<(u64, u64)> = Vec::new();
        let mut left = u64::from(file.size);
        let mut cluster = file.cluster;
        while left > 0 {
            let start = self
                .place(cluster)
                .ok_or_else(|| bad("its cluster chain ends too early"))?;
            let len = left.min(self.cluster);
            match list.last_mut() {
                Some(last) if last.1 == start => last.1 += len,
                _ => list.push((start, start + len)),
            }
            left -= len;
            if left > 0 {
                cluster = self.next(cluster);
            }
        }
        Ok(list)
    }

    /// A file's bytes.
    ///
    /// # Errors
    /// It cannot be read, or is larger than `limit`.
    pub fn read(&self, path: &str, file: &Dirent, limit: u32) -> Result<Vec<u8>, FatFault> {
        let bad = |reason| FatFault::Unreadable {
            path: path.into(),
            reason,
        };
        if file.is_dir || file.size > limit {
            return Err(bad("it is a directory, or larger than such a file can be"));
        }
        let mut bytes = Vec::new();
        for (start, end) in self.ranges(path, file)? {
            let at = bytes.len();
            bytes.resize(at + (end - start) as usize, 0);
            self.disk
                .read_exact_at(&mut bytes[at..], start)
                .map_err(|_| bad("the disk cannot be read"))?;
        }
        Ok(bytes)
    }

    /// The cluster after `cluster` in its chain.
    #[must_use]
    pub fn following(&self, cluster: u32) -> Option<u32> {
        Some(self.next(cluster)).filter(|next| *next < 0x0FFF_FFF8)
    }

    /// Bytes of the disk at which the FATs hold a cluster's number, the first FAT's first.
    #[must_use]
    pub fn fat_places(&self, cluster: u32) -> Vec<u64> {
        let place = |fat: u64| self.fat + fat * self.fat_bytes + u64::from(cluster) * 4;
        (0..self.fats).map(place).collect()
    }

    /// Whether the FAT says that nothing uses a cluster.
    #[must_use]
    pub fn is_free(&self, cluster: u32) -> bool {
        self.place(cluster).is_some() && self.next(cluster) == 0
    }

    /// The clusters of a file as the FAT chains them, whatever its size says: what a driver frees when it is removed.
    #[must_use]
    pub fn chain(&self, file: &Dirent) -> BTreeSet<u32> {
        let mut chain = BTreeSet::new();
        let mut cluster = file.cluster;
        while self.place(cluster).is_some() && chain.insert(cluster) {
            cluster = self.next(cluster);
        }
        chain
    }
}
