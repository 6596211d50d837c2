//! A template's bytes into its volume, and the proof that they are there.
//!
//! Owns: unpacking, writing, reading back, hashing. Never does: give a volume its mark (the caller does, after the proof).
//! Invariants: what is proven was delivered by the device after a flush, past the page cache; memory use does not depend
//! on the template's size.
//!
//! Before a piece is written the volume is read: pieces that a run before a power cut has written are passed over, and
//! zeros are never written where there are zeros, so that the thin pool gives no room to them.

use std::io::{self, Read};
use std::ops::Range;

use roamcore_agent::files::{At, IoAt};
use roamcore_ota::Digest;
use roamcore_slots::Block;
use sha2::{Digest as _, Sha256};

use crate::plan::{Compression, Template};

/// One request: full speed on NVMe, little memory.
const PIECE: usize = 1 << 20;
/// The pool's chunk: it gives room to all of it or to nothing.
const GRAIN: usize = 64 << 10;
/// Window of the decompressor: 64 MiB at most, which every level below the "ultra" ones of zstd stays under.
const WINDOW_LOG: u32 = 26;

/// Why a template has no volume.
#[derive(Debug, thiserror::Error)]
pub enum FillError {
    /// The volume.
    #[error(transparent)]
    Volume(#[from] IoAt),
    /// The template.
    #[error(transparent)]
    Template(#[from] TemplateFault),
}

/// What is wrong with a template, or with the device that should have kept it.
#[derive(Debug, thiserror::Error)]
pub enum TemplateFault {
    /// The file cannot be read or unpacked.
    #[error("it cannot be read or unpacked after {at} bytes")]
    Read {
        /// Bytes unpacked so far.
        at: u64,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// It ends early.
    #[error("it has {found} bytes unpacked, expected {expected}")]
    Short {
        /// Bytes there.
        found: u64,
        /// Bytes promised.
        expected: u64,
    },
    /// It does not end.
    #[error("it has more than the expected {expected} bytes unpacked")]
    Long {
        /// Bytes promised.
        expected: u64,
    },
    /// Other bytes.
    #[error("its content has SHA-256 {found}, expected {expected}")]
    Hash {
        /// Of what is there.
        found: Digest,
        /// Of what was promised.
        expected: Digest,
    },
    /// The volume gives back other bytes.
    #[error("the volume gives back SHA-256 {found}, written was {expected}; the disk is failing")]
    ReadBack {
        /// Of what is there.
        found: Digest,
        /// Of what was written.
        expected: Digest,
    },
    /// The volume's files are not those of the archive.
    #[error("what was unpacked differs from the archive: {said}")]
    Differs {
        /// What the comparison said.
        said: String,
    },
    /// The volume is smaller.
    #[error("its volume has {found} bytes, {expected} are needed")]
    Volume {
        /// Bytes there.
        found: u64,
        /// Bytes needed.
        expected: u64,
    },
}

/// A template's unpacked bytes: counted and hashed on the way, and never more than promised.
pub struct Content<'a> {
    reader: Box<dyn Read + 'a>,
    hash: Sha256,
    size: u64,
    expected: Digest,
    done: u64,
}

impl<'a> Content<'a> {
    /// Of a file of the seed.
    ///
    /// # Errors
    /// The decompressor cannot be set up.
    pub fn new(template: &Template, file: Box<dyn Read + 'a>) -> Result<Self, TemplateFault> {
        let reader: Box<dyn Read + 'a> = match template.compression {
            Compression::None => file,
            Compression::Zstd => {
                let unpacked = zstd::stream::read::Decoder::new(file).and_then(|mut decoder| {
                    decoder.window_log_max(WINDOW_LOG)?;
                    Ok(decoder)
                });
                Box::new(unpacked.map_err(|source| TemplateFault::Read { at: 0, source })?)
            }
        };
        Ok(Self {
            reader,
            hash: Sha256::new(),
            size: template.size,
            expected: template.sha256,
            done: 0,
        })
    }

    /// Fills the buffer unless the end comes first.
    fn piece(&mut self, buffer: &mut [u8]) -> Result<usize, TemplateFault> {
        let mut filled = 0;
        while filled < buffer.len() {
            let at = self.done;
            match self.read(&mut buffer[filled..]) {
                Ok(0) => break,
                Ok(count) => filled += count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(source) => return Err(TemplateFault::Read { at, source }),
            }
        }
        if self.done > self.size {
            let expected = self.size;
            return Err(TemplateFault::Long { expected });
        }
        Ok(filled)
    }

    /// Whether everything came, and nothing else. What follows the last promised byte must be the end.
    ///
    /// # Errors
    /// It did not.
    pub fn finish(mut self) -> Result<(), TemplateFault> {
        let (mut more, at) = ([0; 1], self.done);
        if self.done <= self.size {
            self.piece(&mut more).map_err(|error| match error {
                TemplateFault::Read { source, .. } => TemplateFault::Read { at, source },
                other => other,
            })?;
        }
        let expected = self.size;
        if self.done > expected {
            return Err(TemplateFault::Long { expected });
        }
        if self.done < expected {
            let found = self.done;
            return Err(TemplateFault::Short { found, expected });
        }
        let found: [u8; 32] = self.hash.finalize().into();
        same(found, self.expected)
            .map_err(|(found, expected)| TemplateFault::Hash { found, expected })
    }
}

impl Read for Content<'_> {
    /// One byte more than promised is given at most, so that too many are noticed and nobody unpacks without an end.
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let left = (self.size + 1).saturating_sub(self.done);
        let most = usize::try_from(left)
            .unwrap_or(usize::MAX)
            .min(buffer.len());
        let count = self.reader.read(&mut buffer[..most])?;
        self.hash.update(&buffer[..count]);
        self.done += count as u64;
        Ok(count)
    }
}

fn same(found: [u8; 32], expected: Digest) -> Result<(), (Digest, Digest)> {
    let found = Digest::from(found);
    if found == expected {
        return Ok(());
    }
    Err((found, expected))
}

/// Writes a raw template and proves it. `progress` is told the bytes of writing and reading back together, of twice the
/// size.
///
/// # Errors
/// The template is not what was promised, or the volume fails.
pub fn raw(
    template: &Template,
    mut content: Content<'_>,
    volume: &dyn Block,
    progress: &mut dyn FnMut(u64),
) -> Result<(), FillError> {
    if volume.size() < template.size {
        return Err(FillError::Template(TemplateFault::Volume {
            found: volume.size(),
            expected: template.size,
        }));
    }
    let (mut new, mut there) = (vec![0; PIECE], vec![0; PIECE]);
    let mut at = 0;
    while at < template.size {
        let most = usize::try_from(template.size - at)
            .unwrap_or(PIECE)
            .min(PIECE);
        let count = content.piece(&mut new[..most])?;
        if count == 0 {
            break;
        }
        let (new, there) = (&new[..count], &mut there[..count]);
        volume
            .read_past_cache(there, at)
            .at("read", volume.path())?;
        for run in differing(new, there) {
            let offset = at + run.start as u64;
            volume
                .write_all_at(&new[run], offset)
                .at("write", volume.path())?;
        }
        at += count as u64;
        progress(at);
    }
    content.finish()?;
    volume.sync().at("flush", volume.path())?;
    read_back(template, volume, progress)
}

/// Stretches of whole grains in which two pieces of one length differ.
fn differing(new: &[u8], there: &[u8]) -> Vec<Range<usize>> {
    let mut runs: Vec<Range<usize>> = Vec::new();
    for (index, (new, there)) in new.chunks(GRAIN).zip(there.chunks(GRAIN)).enumerate() {
        let start = index * GRAIN;
        if new == there {
            continue;
        }
        match runs.last_mut() {
            Some(last) if last.end == start => last.end = start + new.len(),
            _ => runs.push(start..start + new.len()),
        }
    }
    runs
}

/// Reads a volume as the device has it and hashes it.
fn read_back(
    template: &Template,
    volume: &dyn Block,
    progress: &mut dyn FnMut(u64),
) -> Result<(), FillError> {
    let (mut buffer, mut hash, mut at) = (vec![0; PIECE], Sha256::new(), 0);
    while at < template.size {
        let most = usize::try_from(template.size - at)
            .unwrap_or(PIECE)
            .min(PIECE);
        let piece = &mut buffer[..most];
        volume
            .read_past_cache(piece, at)
            .at("read back", volume.path())?;
        hash.update(&*piece);
        at += most as u64;
        progress(template.size + at);
    }
    let found: [u8; 32] = hash.finalize().into();
    Ok(same(found, template.sha256)
        .map_err(|(found, expected)| TemplateFault::ReadBack { found, expected })?)
}
