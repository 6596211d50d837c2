//! Lists and reads the files of a volume.
//!
//! Invariant: an opened reader has walked the whole tree, so every chain it follows later is known to end where the
//! file's size says, inside the volume, and to be the file's own.

use std::io::{Read, Seek, SeekFrom, Write};

use super::geometry::Geometry;
use super::walk::{Walk, read_at};
use super::{FatReadError, fold};

/// A file or directory of a volume.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct FatEntry {
    /// From the root, with a leading `/`.
    pub path: String,
    /// Directory, not file.
    pub is_dir: bool,
    /// Bytes of a file; 0 for a directory.
    pub len: u64,
    pub(super) cluster: u32,
}

/// A FAT32 volume that was walked and found sound.
#[derive(Debug)]
pub struct FatReader<R> {
    reader: R,
    geometry: Geometry,
    volume_id: u32,
    label: Option<String>,
    entries: Vec<FatEntry>,
}

impl<R: Read + Seek> FatReader<R> {
    /// Checks the boot sector and walks the whole tree.
    ///
    /// # Errors
    /// Not FAT32, or damage anywhere in it.
    pub fn open(mut reader: R) -> Result<Self, FatReadError> {
        let size = reader
            .seek(SeekFrom::End(0))
            .map_err(|source| FatReadError::Io { offset: 0, source })?;
        let mut boot = [0; 512];
        read_at(&mut reader, 0, &mut boot)?;
        let geometry = Geometry::parse(&boot, size)?;
        let volume_id = u32::from_le_bytes([boot[67], boot[68], boot[69], boot[70]]);
        let mut walk = Walk::new(&mut reader, &geometry);
        walk.run()?;
        let (entries, label) = (walk.entries, walk.label);
        Ok(Self {
            reader,
            geometry,
            volume_id,
            label,
            entries,
        })
    }

    /// Everything in the volume, sorted by path.
    #[must_use]
    pub fn entries(&self) -> &[FatEntry] {
        &self.entries
    }

    /// Serial number.
    #[must_use]
    pub const fn volume_id(&self) -> u32 {
        self.volume_id
    }

    /// Volume label, if the root directory has one.
    #[must_use]
    pub fn label(&self) -> Option<&str> {
        self.label.as_deref()
    }

    /// Copies a file's content to `out`; case does not matter in `path`. Gives its length.
    ///
    /// # Errors
    /// No such file, or reading or writing failed.
    pub fn copy_file<W: Write + ?Sized>(
        &mut self,
        path: &str,
        out: &mut W,
    ) -> Result<u64, FatReadError> {
        let entry = self.find(path)?.clone();
        let mut walk = Walk::new(&mut self.reader, &self.geometry);
        let mut buf = vec![0; self.geometry.cluster_bytes() as usize];
        let (mut left, mut cluster) = (entry.len, entry.cluster);
        while left > 0 {
            let want = left.min(buf.len() as u64) as usize;
            read_at(
                walk.reader,
                self.geometry.cluster_offset(cluster),
                &mut buf[..want],
            )?;
            out.write_all(&buf[..want])
                .map_err(|source| FatReadError::Output {
                    path: entry.path.clone(),
                    source,
                })?;
            left -= want as u64;
            if left > 0 {
                // The chain was sound when the volume was opened; a device that changed since is an error, not a panic.
                let next = walk
                    .next(&entry.path, cluster)?
                    .filter(|next| self.geometry.holds(*next));
                cluster = next.ok_or_else(|| FatReadError::Chain {
                    path: entry.path.clone(),
                    cluster,
                    reason: "the chain changed while the volume was open",
                })?;
            }
        }
        Ok(entry.len)
    }

    /// A file's content, if it has no more than `limit` bytes.
    ///
    /// # Errors
    /// No such file, larger than `limit`, or reading failed.
    pub fn read_file(&mut self, path: &str, limit: u64) -> Result<Vec<u8>, FatReadError> {
        let (len, path) = self
            .find(path)
            .map(|entry| (entry.len, entry.path.clone()))?;
        if len > limit {
            return Err(FatReadError::TooLarge { path, len, limit });
        }
        let mut bytes = Vec::new();
        self.copy_file(&path, &mut bytes)?;
        Ok(bytes)
    }

    fn find(&self, path: &str) -> Result<&FatEntry, FatReadError> {
        let wanted = fold(path.strip_prefix('/').unwrap_or(path));
        let mut files = self.entries.iter().filter(|entry| !entry.is_dir);
        files
            .find(|entry| fold(&entry.path[1..]) == wanted)
            .ok_or_else(|| FatReadError::NotFound {
                path: path.to_owned(),
            })
    }
}
