//! Lays a tree out and writes it.
//!
//! Owns allocation: root, then directories, then files, each in one piece, in the order of the tree. So a volume's
//! used part is one prefix, and its FAT is a list of runs.

use std::io::{Read, Seek, SeekFrom, Write};

use super::image::{Dir, FatImage, FileSource, Node};
use super::name::{Alias, aliases};
use super::{
    ATTR_ARCHIVE, ATTR_DIR, ATTR_LABEL, END_OF_CHAIN, ENTRY, FatError, MAX_DIR_BYTES, ROOT_CLUSTER,
    dirent,
};

/// Large enough that system calls do not show; small enough to forget about.
const COPY_BUFFER: usize = 1 << 20;

/// What was written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FatStats {
    /// Bytes of a cluster.
    pub cluster_bytes: u64,
    /// Clusters nothing uses.
    pub free_clusters: u32,
    /// Everything that has content lies below this offset; a flasher must write it all, zeros included.
    pub used_bytes: u64,
}

#[derive(Clone, Copy)]
enum Target {
    Dir(usize),
    File(usize),
}

struct Item {
    name: String,
    alias: Alias,
    target: Target,
}

#[derive(Default)]
struct FlatDir {
    parent: usize,
    items: Vec<Item>,
    bytes: u64,
    cluster: u32,
}

struct FlatFile<'a> {
    path: String,
    source: FileSource<'a>,
    cluster: u32,
}

#[derive(Default)]
struct Plan<'a> {
    dirs: Vec<FlatDir>,
    files: Vec<FlatFile<'a>>,
    /// First cluster and count of everything allocated.
    runs: Vec<(u32, u32)>,
}

impl<'a> Plan<'a> {
    fn flatten(&mut self, dir: Dir<'a>, parent: usize, path: &str) -> Result<usize, FatError> {
        let me = self.dirs.len();
        self.dirs.push(FlatDir {
            parent,
            ..FlatDir::default()
        });
        let names: Vec<&str> = dir.0.values().map(|(name, _)| name.as_str()).collect();
        let aliases = aliases(&names);
        // The root starts with the label, any other directory with `.` and `..`.
        let mut bytes = if me == 0 { ENTRY } else { 2 * ENTRY } as u64;
        let mut items = Vec::with_capacity(aliases.len());
        for ((name, node), alias) in dir.0.into_values().zip(aliases) {
            bytes += dirent::encoded_len(&name, &alias);
            let path = format!("{path}/{name}");
            let target = match node {
                Node::Dir(child) => Target::Dir(self.flatten(child, me, &path)?),
                Node::File(source) => {
                    self.files.push(FlatFile {
                        path,
                        source,
                        cluster: 0,
                    });
                    Target::File(self.files.len() - 1)
                }
            };
            items.push(Item {
                name,
                alias,
                target,
            });
        }
        if bytes > MAX_DIR_BYTES {
            return Err(FatError::DirectoryTooLarge {
                path: format!("{path}/"),
                bytes,
            });
        }
        self.dirs[me].items = items;
        self.dirs[me].bytes = bytes;
        Ok(me)
    }

    /// Gives everything its clusters; returns the first free one.
    fn allocate(&mut self, cluster: u64, available: u64) -> Result<u32, FatError> {
        let sizes = self
            .dirs
            .iter()
            .map(|d| d.bytes)
            .chain(self.files.iter().map(|f| f.source.len));
        let needed: u64 = sizes.map(|bytes| bytes.div_ceil(cluster)).sum();
        if needed > available {
            return Err(FatError::Full {
                needed,
                available,
                cluster,
            });
        }
        let mut next = ROOT_CLUSTER;
        let runs = &mut self.runs;
        let mut take = |bytes: u64| {
            // Fits: the sum above is at most `available`, a u32.
            let count = bytes.div_ceil(cluster) as u32;
            if count == 0 {
                return 0;
            }
            runs.push((next, count));
            next += count;
            next - count
        };
        self.dirs
            .iter_mut()
            .for_each(|dir| dir.cluster = take(dir.bytes));
        self.files
            .iter_mut()
            .for_each(|file| file.cluster = take(file.source.len));
        Ok(next)
    }

    /// The used part of the FAT.
    fn fat(&self) -> Vec<u8> {
        let mut fat = Vec::new();
        fat.extend(0x0FFF_FFF8_u32.to_le_bytes());
        fat.extend(END_OF_CHAIN.to_le_bytes()); // all ones: cleanly unmounted, no errors
        for (first, count) in &self.runs {
            for next in first + 1..first + count {
                fat.extend(next.to_le_bytes());
            }
            fat.extend(END_OF_CHAIN.to_le_bytes());
        }
        fat
    }
}

impl FatImage<'_> {
    /// Writes the volume to `out` from its offset 0. `out` must read as zeros there: only sectors with content are
    /// written.
    ///
    /// # Errors
    /// Too small, a source that fails or has another length than announced, or the writer's failure.
    pub fn write_to<W: Write + Seek>(self, out: &mut W) -> Result<FatStats, FatError> {
        let Self {
            geometry,
            volume_id,
            label,
            time,
            root,
        } = self;
        let cluster_bytes = geometry.cluster_bytes();
        let mut plan = Plan::default();
        plan.flatten(root, 0, "")?;
        let next = plan.allocate(cluster_bytes, geometry.clusters.into())?;

        for (offset, bytes) in geometry.encode(volume_id, &label, next) {
            put(out, offset, &bytes)?;
        }
        let fat = plan.fat();
        for number in 0..geometry.fats {
            put(out, geometry.fat_offset(number), &fat)?;
        }
        for (number, dir) in plan.dirs.iter().enumerate() {
            let mut bytes = Vec::with_capacity(dir.bytes as usize);
            if number == 0 {
                bytes.extend(dirent::encode_short(&label, ATTR_LABEL, 0, 0, time));
            } else {
                // The root is cluster 0 when seen from below (specification, section 6.5).
                let up = if dir.parent == 0 {
                    0
                } else {
                    plan.dirs[dir.parent].cluster
                };
                bytes.extend(dirent::encode_short(
                    b".          ",
                    ATTR_DIR,
                    dir.cluster,
                    0,
                    time,
                ));
                bytes.extend(dirent::encode_short(b"..         ", ATTR_DIR, up, 0, time));
            }
            for item in &dir.items {
                let (attr, cluster, len) = match item.target {
                    Target::Dir(dir) => (ATTR_DIR, plan.dirs[dir].cluster, 0),
                    // `add_file` refused anything longer than 32 bits.
                    Target::File(file) => (
                        ATTR_ARCHIVE,
                        plan.files[file].cluster,
                        plan.files[file].source.len as u32,
                    ),
                };
                dirent::encode_long(&item.name, &item.alias, &mut bytes);
                bytes.extend(dirent::encode_short(
                    &item.alias.short,
                    attr,
                    cluster,
                    len,
                    time,
                ));
            }
            put(out, geometry.cluster_offset(dir.cluster), &bytes)?;
        }
        let mut buffer = vec![0; COPY_BUFFER];
        for file in plan.files {
            let offset = if file.cluster == 0 {
                0
            } else {
                geometry.cluster_offset(file.cluster)
            };
            copy(file, out, offset, &mut buffer)?;
        }
        out.flush()
            .map_err(|source| FatError::Write { offset: 0, source })?;
        Ok(FatStats {
            cluster_bytes,
            free_clusters: geometry.clusters - (next - ROOT_CLUSTER),
            used_bytes: geometry.cluster_offset(next),
        })
    }
}

fn put<W: Write + Seek>(out: &mut W, offset: u64, bytes: &[u8]) -> Result<(), FatError> {
    out.seek(SeekFrom::Start(offset))
        .and_then(|_| out.write_all(bytes))
        .map_err(|source| FatError::Write { offset, source })
}

fn copy<W: Write + Seek>(
    file: FlatFile<'_>,
    out: &mut W,
    offset: u64,
    buffer: &mut [u8],
) -> Result<(), FatError> {
    let FlatFile {
        path,
        source: FileSource {
            len: announced,
            mut reader,
        },
        ..
    } = file;
    let mut done = 0;
    loop {
        let got = match reader.read(buffer) {
            Ok(got) => got,
            Err(e) if e.kind() == std::io::ErrorKind::Interrupted => continue,
            Err(source) => return Err(FatError::Source { path, source }),
        };
        let what = match done + got as u64 {
            now if now > announced => "gave more",
            now if got == 0 && now < announced => "ended early",
            _ if got == 0 => return Ok(()),
            _ => {
                put(out, offset + done, &buffer[..got])?;
                done += got as u64;
                continue;
            }
        };
        return Err(FatError::SourceLength {
            path,
            announced,
            what,
        });
    }
}
