//! Comparing streams with a verified manifest.
//!
//! Owns the reading: once, front to back, in constant memory, never more than one byte beyond the signed size, so that
//! endless data ends here. Never keeps or passes on what it read: bytes are good only after the call returned `Ok`.

use std::io::{self, Read};

use sha2::{Digest as _, Sha256};

use super::{VerifiedRelease, VerifyError};
use crate::digest::Digest;
use crate::manifest::Artefact;
use crate::names::{FileName, excerpt};

/// Large enough that system calls do not matter, small enough for the CPU's cache.
const BUFFER: usize = 256 << 10;

impl VerifiedRelease {
    /// Compares one artefact with its signed size and SHA-256.
    pub fn check_artefact(&self, name: &str, reader: impl Read) -> Result<(), VerifyError> {
        let artefact = self.release.artefact(name);
        let artefact = artefact.ok_or_else(|| VerifyError::ArtefactNotListed {
            name: excerpt(name),
        })?;
        let mut stream = Stream::new(reader, format!("artefact {name}"));
        let Artefact {
            name, size, sha256, ..
        } = artefact.clone();
        let Some(found) = stream.hash(size)? else {
            return Err(VerifyError::ArtefactTruncated {
                name,
                expected: size,
                found: stream.offset,
            });
        };
        if stream.continues()? {
            return Err(VerifyError::ArtefactTooLong {
                name,
                expected: size,
            });
        }
        if found != sha256 {
            return Err(VerifyError::ArtefactMismatch {
                name,
                expected: sha256,
                found,
            });
        }
        Ok(())
    }

    /// Compares every artefact, in the manifest's order. `open` gives the stream of a name; its
    /// [`io::ErrorKind::NotFound`] means that the artefact is missing.
    pub fn check_all_artefacts<R: Read>(
        &self,
        mut open: impl FnMut(&FileName) -> io::Result<R>,
    ) -> Result<(), VerifyError> {
        for artefact in &self.release.artefacts {
            let name = &artefact.name;
            let reader = open(name).map_err(|source| match source.kind() {
                io::ErrorKind::NotFound => VerifyError::ArtefactMissing { name: name.clone() },
                _ => VerifyError::ReadFailed {
                    what: format!("artefact {name}"),
                    offset: 0,
                    source,
                },
            })?;
            self.check_artefact(name.as_str(), reader)?;
        }
        Ok(())
    }

    /// Compares a raw disk image, region by region, and stops at the first that differs.
    ///
    /// For a whole disk or a device that may be larger than the image, pass `reader.take(raw_size)`.
    pub fn check_partitions(&self, reader: impl Read) -> Result<(), VerifyError> {
        let expected = self.release.disk.raw_size;
        let mut stream = Stream::new(reader, "the disk image".to_owned());
        // The manifest was validated: regions are in order and cover the image, so one pass meets each in turn.
        for region in &self.release.partitions {
            let Some(found) = stream.hash(region.size)? else {
                return Err(VerifyError::DiskTruncated {
                    region: region.name.clone(),
                    expected,
                    found: stream.offset,
                });
            };
            if found != region.sha256 {
                return Err(VerifyError::PartitionMismatch {
                    region: region.name.clone(),
                    offset: region.offset,
                    expected: region.sha256,
                    found,
                });
            }
        }
        if stream.continues()? {
            Err(VerifyError::DiskTooLong { expected })
        } else {
            Ok(())
        }
    }
}

struct Stream<R> {
    reader: R,
    what: String,
    offset: u64,
    buffer: Box<[u8]>,
}

impl<R: Read> Stream<R> {
    fn new(reader: R, what: String) -> Self {
        Stream {
            reader,
            what,
            offset: 0,
            buffer: vec![0; BUFFER].into_boxed_slice(),
        }
    }

    /// Reads some bytes, at most `limit`; 0 at the end.
    fn read(&mut self, limit: u64) -> Result<usize, VerifyError> {
        let limit = usize::try_from(limit)
            .unwrap_or(usize::MAX)
            .min(self.buffer.len());
        loop {
            match self.reader.read(&mut self.buffer[..limit]) {
                Ok(count) => {
                    self.offset += count as u64;
                    return Ok(count);
                }
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(source) => {
                    return Err(VerifyError::ReadFailed {
                        what: self.what.clone(),
                        offset: self.offset,
                        source,
                    });
                }
            }
        }
    }

    /// Digest of the next `size` bytes, or `None` if the stream ends before.
    fn hash(&mut self, size: u64) -> Result<Option<Digest>, VerifyError> {
        let mut hasher = Sha256::new();
        let mut left = size;
        while left > 0 {
            let count = self.read(left)?;
            if count == 0 {
                return Ok(None);
            }
            hasher.update(&self.buffer[..count]);
            left -= count as u64;
        }
        let digest: [u8; 32] = hasher.finalize().into();
        Ok(Some(digest.into()))
    }

    fn continues(&mut self) -> Result<bool, VerifyError> {
        Ok(self.read(1)? > 0)
    }
}
