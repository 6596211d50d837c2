//! Comparing streams with a signed document.
//!
//! Owns the reading: once, front to back, in constant memory, never more than one byte beyond the signed size, so that
//! endless data ends here. Never keeps or passes on what it read: bytes are good only after the call returned `Ok`.

use std::io::{self, Read};

use sha2::{Digest as _, Sha256};

use super::{VerifiedRelease, VerifyError};
use crate::digest::Digest;
use crate::document::Document;
use crate::manifest::Artefact;
use crate::names::{FileName, excerpt};

/// Large enough that system calls do not matter, small enough for the CPU's cache.
const BUFFER: usize = 256 << 10;

/// A file as a signed document lists it.
#[derive(Clone, Copy)]
pub(crate) struct Listed<'a> {
    pub(crate) name: &'a FileName,
    pub(crate) size: u64,
    pub(crate) sha256: Digest,
}

/// Compares one file with its signed size and SHA-256.
pub(crate) fn check_listed(listed: Listed<'_>, reader: impl Read) -> Result<(), VerifyError> {
    let (name, expected) = (listed.name, listed.size);
    let mut stream = Stream::new(reader, format!("artefact {name}"));
    let Some(found) = stream.hash(expected)? else {
        return Err(VerifyError::ArtefactTruncated {
            name: name.clone(),
            expected,
            found: stream.offset,
        });
    };
    if stream.continues()? {
        return Err(VerifyError::ArtefactTooLong {
            name: name.clone(),
            expected,
        });
    }
    if found != listed.sha256 {
        return Err(VerifyError::ArtefactMismatch {
            name: name.clone(),
            expected: listed.sha256,
            found,
        });
    }
    Ok(())
}

/// Compares every file. `open` gives the stream of a name; its [`io::ErrorKind::NotFound`] means that it is missing.
pub(crate) fn check_all_listed<'a, R: Read>(
    files: impl IntoIterator<Item = Listed<'a>>,
    mut open: impl FnMut(&FileName) -> io::Result<R>,
) -> Result<(), VerifyError> {
    for file in files {
        let name = file.name;
        let reader = open(name).map_err(|source| match source.kind() {
            io::ErrorKind::NotFound => VerifyError::ArtefactMissing { name: name.clone() },
            _ => VerifyError::ReadFailed {
                what: format!("artefact {name}"),
                offset: 0,
                source,
            },
        })?;
        check_listed(file, reader)?;
    }
    Ok(())
}

impl Artefact {
    fn listed(&self) -> Listed<'_> {
        Listed {
            name: &self.name,
            size: self.size,
            sha256: self.sha256,
        }
    }
}

impl VerifiedRelease {
    /// Compares one artefact with its signed size and SHA-256.
    pub fn check_artefact(&self, name: &str, reader: impl Read) -> Result<(), VerifyError> {
        let artefact = self.release.artefact(name);
        let artefact = artefact.ok_or_else(|| VerifyError::ArtefactNotListed {
            document: Document::Release,
            name: excerpt(name),
        })?;
        check_listed(artefact.listed(), reader)
    }

    /// Compares every artefact, in the manifest's order. `open` gives the stream of a name; its
    /// [`io::ErrorKind::NotFound`] means that the artefact is missing.
    pub fn check_all_artefacts<R: Read>(
        &self,
        open: impl FnMut(&FileName) -> io::Result<R>,
    ) -> Result<(), VerifyError> {
        check_all_listed(self.release.artefacts.iter().map(Artefact::listed), open)
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
