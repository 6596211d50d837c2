//! Follows cluster chains and directories of a volume nobody vouches for.
//!
//! Every cluster may be claimed once. That single rule ends loops, finds cross-linked files, and bounds the work by the
//! size of the volume.

use std::collections::BTreeSet;
use std::io::{Read, Seek, SeekFrom};

use super::dirent::{self, Dirent};
use super::geometry::Geometry;
use super::reader::FatEntry;
use super::{
    ATTR_DIR, ATTR_LABEL, FatReadError, MAX_DEPTH, MAX_DIR_BYTES, MAX_PATH, SECTOR, fold, name,
};

/// Far above any ESP; keeps a hostile volume from filling memory with names.
const MAX_ENTRIES: usize = 65536;

pub(super) struct Walk<'a, R> {
    pub(super) reader: &'a mut R,
    pub(super) geometry: &'a Geometry,
    claimed: Vec<u64>,
    /// The FAT sector read last, and its number.
    cache: (u64, [u8; 512]),
    pub(super) entries: Vec<FatEntry>,
    pub(super) label: Option<String>,
}

impl<'a, R: Read + Seek> Walk<'a, R> {
    pub(super) fn new(reader: &'a mut R, geometry: &'a Geometry) -> Self {
        let claimed = vec![0; (geometry.clusters as usize + 2).div_ceil(64)];
        Self {
            reader,
            geometry,
            claimed,
            cache: (u64::MAX, [0; 512]),
            entries: Vec::new(),
            label: None,
        }
    }

    /// Walks everything reachable from the root.
    pub(super) fn run(&mut self) -> Result<(), FatReadError> {
        // (path, first cluster, what `..` must say, depth)
        let mut pending = vec![(String::new(), self.geometry.root, None, 0)];
        while let Some((path, cluster, up, depth)) = pending.pop() {
            let dirents = self.directory(&path, cluster)?;
            let damage = |index, reason| FatReadError::Entry {
                path: format!("{path}/"),
                index,
                reason,
            };
            let (dots, rest) = if let Some(up) = up {
                if dirents.len() < 2 {
                    return Err(damage(0, "'.' or '..' is missing"));
                }
                let (dots, rest) = dirents.split_at(2);
                for (dot, name, want) in [(&dots[0], ".", cluster), (&dots[1], "..", up)] {
                    if dot.name != name || dot.attr & ATTR_DIR == 0 || dot.cluster != want {
                        return Err(damage(dot.index, "'.' or '..' is wrong"));
                    }
                }
                (dots.len(), rest)
            } else {
                (0, dirents.as_slice())
            };
            let here = if dots == 0 { 0 } else { cluster };
            let mut names = BTreeSet::new();
            for dirent in rest {
                if dirent.attr & ATTR_LABEL != 0 {
                    if dots > 0 || self.label.replace(dirent.name.clone()).is_some() {
                        return Err(damage(dirent.index, "a second volume label"));
                    }
                    continue;
                }
                if let Some(reason) = name::fault(&dirent.name) {
                    return Err(damage(dirent.index, reason));
                }
                if !names.insert(fold(&dirent.name)) {
                    return Err(damage(
                        dirent.index,
                        "the name is there twice (FAT ignores case)",
                    ));
                }
                let path = format!("{path}/{}", dirent.name);
                if path.len() > MAX_PATH {
                    return Err(damage(dirent.index, "the path is longer than 4096 bytes"));
                }
                let is_dir = dirent.attr & ATTR_DIR != 0;
                if is_dir {
                    if depth + 1 >= MAX_DEPTH || dirent.len != 0 {
                        return Err(damage(
                            dirent.index,
                            "a directory is nested too deeply or has a length",
                        ));
                    }
                    pending.push((path.clone(), dirent.cluster, Some(here), depth + 1));
                } else {
                    self.file(&path, dirent)?;
                }
                if self.entries.len() == MAX_ENTRIES {
                    return Err(FatReadError::TooMany { limit: MAX_ENTRIES });
                }
                self.entries.push(FatEntry {
                    path,
                    is_dir,
                    len: dirent.len.into(),
                    cluster: dirent.cluster,
                });
            }
        }
        self.entries.sort_by(|a, b| a.path.cmp(&b.path));
        Ok(())
    }

    fn directory(&mut self, path: &str, first: u32) -> Result<Vec<Dirent>, FatReadError> {
        let bytes = self.geometry.cluster_bytes();
        let mut content = Vec::new();
        let mut cluster = first;
        loop {
            self.claim(path, cluster)?;
            if content.len() as u64 >= MAX_DIR_BYTES {
                return Err(chain(path, cluster, "the directory is larger than 2 MiB"));
            }
            let at = content.len();
            content.resize(at + bytes as usize, 0);
            read_at(
                self.reader,
                self.geometry.cluster_offset(cluster),
                &mut content[at..],
            )?;
            match self.next(path, cluster)? {
                Some(next) => cluster = next,
                None => break,
            }
        }
        dirent::decode(&content).map_err(|(index, reason)| FatReadError::Entry {
            path: format!("{path}/"),
            index,
            reason,
        })
    }

    /// Claims a file's chain; its length must be exactly what the size asks for.
    fn file(&mut self, path: &str, dirent: &Dirent) -> Result<(), FatReadError> {
        let count = u64::from(dirent.len).div_ceil(self.geometry.cluster_bytes());
        if count == 0 {
            let good = dirent.cluster == 0;
            return if good {
                Ok(())
            } else {
                Err(chain(path, dirent.cluster, "an empty file has clusters"))
            };
        }
        let mut cluster = dirent.cluster;
        for left in (0..count).rev() {
            self.claim(path, cluster)?;
            match (self.next(path, cluster)?, left) {
                (None, 0) => {}
                (Some(next), 1..) => cluster = next,
                (None, _) => {
                    return Err(chain(path, cluster, "the chain is shorter than the file"));
                }
                (Some(_), _) => {
                    return Err(chain(path, cluster, "the chain is longer than the file"));
                }
            }
        }
        Ok(())
    }

    fn claim(&mut self, path: &str, cluster: u32) -> Result<(), FatReadError> {
        if !self.geometry.holds(cluster) {
            return Err(chain(path, cluster, "the cluster is outside the volume"));
        }
        let (word, bit) = (cluster as usize / 64, 1 << (cluster % 64));
        if self.claimed[word] & bit != 0 {
            return Err(chain(
                path,
                cluster,
                "the cluster is already in use: a loop, or two files share it",
            ));
        }
        self.claimed[word] |= bit;
        Ok(())
    }

    /// The cluster after `cluster`, which is inside the volume; `None` at the end.
    pub(super) fn next(&mut self, path: &str, cluster: u32) -> Result<Option<u32>, FatReadError> {
        let at = self.geometry.fat_offset(0) + u64::from(cluster) * 4;
        let (sector, within) = (at / SECTOR, (at % SECTOR) as usize);
        if self.cache.0 != sector {
            read_at(self.reader, sector * SECTOR, &mut self.cache.1)?;
            self.cache.0 = sector;
        }
        let raw = &self.cache.1;
        // The top four bits are reserved and not part of the number.
        let value = u32::from_le_bytes([
            raw[within],
            raw[within + 1],
            raw[within + 2],
            raw[within + 3],
        ]) & 0x0FFF_FFFF;
        match value {
            0x0FFF_FFF8.. => Ok(None),
            0x0FFF_FFF7 => Err(chain(path, cluster, "it leads to a bad cluster")),
            0 => Err(chain(path, cluster, "it leads to a free cluster")),
            next => Ok(Some(next)),
        }
    }
}

fn chain(path: &str, cluster: u32, reason: &'static str) -> FatReadError {
    FatReadError::Chain {
        path: if path.is_empty() {
            "/".into()
        } else {
            path.into()
        },
        cluster,
        reason,
    }
}

pub(super) fn read_at<R: Read + Seek>(
    reader: &mut R,
    offset: u64,
    buf: &mut [u8],
) -> Result<(), FatReadError> {
    reader
        .seek(SeekFrom::Start(offset))
        .and_then(|_| reader.read_exact(buf))
        .map_err(|source| FatReadError::Io { offset, source })
}
