//! The artifacts' bytes, by SHA-256.
//!
//! ```text
//!   artifacts/ab/ab12...   finished: written, synced, renamed; the name is the hash
//!   artifacts/incoming/    unfinished; emptied when the server starts
//! ```
//!
//! Owns: taking bytes in while hashing them, and finding them again. Never does: read a whole artifact into memory, or
//! name a file after anything but a hash. Invariant: what stands under a hash has that hash, whenever power was cut.

use std::collections::HashSet;
use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};

use md5::Md5;
use roamcore_ota::Digest;
use sha1::Sha1;
use sha2::{Digest as _, Sha256};

use super::StoreError;
use crate::secret::hex;

/// What is known of a file's content.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Content {
    /// Bytes.
    pub size: u64,
    /// The name in the store.
    pub sha256: Digest,
    /// hawkBit's ETag.
    pub sha1: String,
    /// For `.MD5SUM`.
    pub md5: String,
}

/// The directory.
#[derive(Debug, Clone)]
pub struct Blobs {
    dir: PathBuf,
}

impl Blobs {
    pub(super) fn open(dir: &Path) -> Result<Self, StoreError> {
        let incoming = dir.join("incoming");
        if incoming.exists() {
            fs::remove_dir_all(&incoming).map_err(StoreError::file("cannot empty", &incoming))?;
        }
        fs::create_dir_all(&incoming)
            .map_err(StoreError::file("cannot make directory", &incoming))?;
        Ok(Blobs {
            dir: dir.to_owned(),
        })
    }

    /// Where the bytes of a hash are, if they are.
    pub fn path(&self, sha256: &Digest) -> PathBuf {
        let name = sha256.to_string();
        self.dir.join(&name[..2]).join(name)
    }

    /// Starts taking bytes in. Blocking, as are the methods of what it returns.
    pub fn incoming(&self) -> Result<Incoming, StoreError> {
        let dir = self.dir.join("incoming");
        let file = tempfile::NamedTempFile::new_in(&dir)
            .map_err(StoreError::file("cannot make a file in", &dir))?;
        Ok(Incoming {
            blobs: self.clone(),
            file,
            size: 0,
            sha256: Sha256::new(),
            sha1: Sha1::new(),
            md5: Md5::new(),
        })
    }

    /// Removes the bytes of one hash; it is no error if they are gone.
    pub fn remove(&self, sha256: &Digest) -> Result<(), StoreError> {
        let path = self.path(sha256);
        match fs::remove_file(&path) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                Err(StoreError::file("cannot remove", &path)(error))
            }
            _ => Ok(()),
        }
    }

    /// Removes everything but `keep`: what a power cut left between bytes and database.
    pub fn sweep(&self, keep: &HashSet<String>) -> Result<usize, StoreError> {
        let mut removed = 0;
        for shelf in self.entries(&self.dir)? {
            if shelf.file_name().is_none_or(|name| name.len() != 2) {
                continue;
            }
            for path in self.entries(&shelf)? {
                let kept = path
                    .file_name()
                    .and_then(|name| name.to_str())
                    .is_some_and(|name| keep.contains(name));
                if !kept {
                    fs::remove_file(&path).map_err(StoreError::file("cannot remove", &path))?;
                    removed += 1;
                }
            }
        }
        Ok(removed)
    }

    fn entries(&self, dir: &Path) -> Result<Vec<PathBuf>, StoreError> {
        let found = fs::read_dir(dir)
            .and_then(|entries| entries.map(|entry| entry.map(|e| e.path())).collect());
        found.map_err(StoreError::file("cannot list", dir))
    }
}

/// A file that is being taken in. Dropped unfinished, it leaves nothing.
#[derive(Debug)]
pub struct Incoming {
    blobs: Blobs,
    file: tempfile::NamedTempFile,
    size: u64,
    sha256: Sha256,
    sha1: Sha1,
    md5: Md5,
}

impl Incoming {
    /// Takes the next bytes.
    pub fn write(&mut self, bytes: &[u8]) -> Result<(), StoreError> {
        let written = self.file.write_all(bytes);
        written.map_err(StoreError::file("cannot write", self.file.path()))?;
        self.sha256.update(bytes);
        self.sha1.update(bytes);
        self.md5.update(bytes);
        self.size += bytes.len() as u64;
        Ok(())
    }

    /// Bytes so far.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// All bytes are there.
    pub fn seal(self) -> Sealed {
        let sum: [u8; 32] = self.sha256.finalize().into();
        let content = Content {
            size: self.size,
            sha256: Digest::from(sum),
            sha1: hex(&self.sha1.finalize()),
            md5: hex(&self.md5.finalize()),
        };
        Sealed {
            blobs: self.blobs,
            file: self.file,
            content,
        }
    }
}

/// A complete file that is not kept yet. Dropped, it leaves nothing.
#[derive(Debug)]
pub struct Sealed {
    blobs: Blobs,
    file: tempfile::NamedTempFile,
    content: Content,
}

impl Sealed {
    /// What it holds.
    pub fn content(&self) -> &Content {
        &self.content
    }

    /// Puts the file under its hash, durably.
    pub fn keep(self) -> Result<Content, StoreError> {
        let path = self.blobs.path(&self.content.sha256);
        let shelf = path.parent().unwrap_or(&self.blobs.dir).to_owned();
        self.file
            .as_file()
            .sync_all()
            .map_err(StoreError::file("cannot sync", self.file.path()))?;
        fs::create_dir_all(&shelf).map_err(StoreError::file("cannot make directory", &shelf))?;
        self.file
            .persist(&path)
            .map_err(|e| StoreError::file("cannot put in place", &path)(e.error))?;
        for dir in [&shelf, &self.blobs.dir] {
            let synced = File::open(dir).and_then(|dir| dir.sync_all());
            synced.map_err(StoreError::file("cannot sync", dir))?;
        }
        Ok(self.content)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn take(blobs: &Blobs, bytes: &[u8]) -> Content {
        let mut incoming = blobs.incoming().unwrap();
        for piece in bytes.chunks(3) {
            incoming.write(piece).unwrap();
        }
        incoming.seal().keep().unwrap()
    }

    #[test]
    fn bytes_come_back_under_their_hashes() {
        let dir = tempfile::tempdir().unwrap();
        let blobs = Blobs::open(dir.path()).unwrap();
        let content = take(&blobs, b"hello");
        // As sha256sum, sha1sum and md5sum print them.
        assert_eq!(
            content.sha256.to_string(),
            "2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824"
        );
        assert_eq!(content.sha1, "aaf4c61ddcc5e8a2dabede0f3b482cd9aea9434d");
        assert_eq!(content.md5, "5d41402abc4b2a76b9719d911017c592");
        assert_eq!(content.size, 5);
        assert_eq!(fs::read(blobs.path(&content.sha256)).unwrap(), b"hello");
        assert_eq!(take(&blobs, b"hello"), content);
    }

    #[test]
    fn what_was_not_finished_vanishes() {
        let dir = tempfile::tempdir().unwrap();
        let blobs = Blobs::open(dir.path()).unwrap();
        fs::write(dir.path().join("incoming/left"), b"by a power cut").unwrap();
        let (kept, orphan) = (take(&blobs, b"kept"), take(&blobs, b"orphan"));
        let blobs = Blobs::open(dir.path()).unwrap();
        assert_eq!(
            fs::read_dir(dir.path().join("incoming")).unwrap().count(),
            0
        );
        let keep = HashSet::from([kept.sha256.to_string()]);
        assert_eq!(blobs.sweep(&keep).unwrap(), 1);
        assert!(blobs.path(&kept.sha256).exists() && !blobs.path(&orphan.sha256).exists());
    }
}
