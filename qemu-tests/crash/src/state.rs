//! One state of a disk: the disk before the log, plus writes that are durable, plus those that happened to get through.
//!
//! Owns reading such a state. Nothing is copied: bytes come from the base disk or the log when somebody asks for them.
//!
//! ```text
//! top       the part of the open window that got through     one per state, small
//! durable   everything before the last flush                 one per window, shared
//! base      the disk before the log began                    one, a sparse file
//! ```

use std::io;

use roamcore_disk::region::ReadAt;
use sha2::{Digest, Sha256};

use crate::layer::{Layer, Piece, Source, push};
use crate::log::Log;

/// Bytes in memory, to be read at offsets.
#[derive(Debug, Clone, Copy)]
pub struct Bytes<T>(pub T);

impl<T: AsRef<[u8]>> ReadAt for Bytes<T> {
    fn read_exact_at(&self, buf: &mut [u8], offset: u64) -> io::Result<()> {
        self.0.as_ref().read_exact_at(buf, offset)
    }
}

/// A disk that can be read, and that says where its bytes come from.
pub trait Disk: ReadAt + Sync {
    /// Bytes it has.
    fn size(&self) -> u64;

    /// The sources of `start..end`, without gaps. What lies past the end of the disk is left out.
    fn pieces(&self, start: u64, end: u64) -> Vec<Piece>;
}

/// Identity of some ranges' bytes: the same for the same sources. (Different sources may still hold equal bytes.)
#[must_use]
pub fn fingerprint(disk: &dyn Disk, ranges: &[(u64, u64)]) -> [u8; 32] {
    let mut hash = Sha256::new();
    for (start, end) in ranges {
        for piece in disk.pieces(*start, *end) {
            let source = match piece.source {
                Source::Base => u64::MAX,
                Source::Zero => u64::MAX - 1,
                Source::Write(index) => index.into(),
            };
            for word in [piece.start, piece.end, source] {
                hash.update(word.to_le_bytes());
            }
        }
        hash.update([0xFF; 8]);
    }
    hash.finalize().into()
}

/// What all states of one window share.
#[derive(Debug)]
pub struct Recording<B, L> {
    /// The disk before the log began.
    pub base: B,
    /// Its bytes.
    pub size: u64,
    /// What was recorded.
    pub log: Log<L>,
}

/// A state.
#[derive(Debug)]
pub struct State<'a, B, L> {
    /// Base and log.
    pub recording: &'a Recording<B, L>,
    /// What every state of the window has.
    pub durable: &'a Layer,
    /// What this one has more.
    pub top: Layer,
}

impl<B: ReadAt + Sync, L: ReadAt + Sync> Disk for State<'_, B, L> {
    fn size(&self) -> u64 {
        self.recording.size
    }

    fn pieces(&self, start: u64, end: u64) -> Vec<Piece> {
        let end = end.min(self.recording.size);
        let mut list = Vec::new();
        let mut at = start;
        for change in self.top.changes(start, end) {
            self.below(at, change.start, &mut list);
            push(&mut list, change);
            at = change.end;
        }
        self.below(at, end, &mut list);
        list
    }
}

impl<B, L> State<'_, B, L> {
    fn below(&self, start: u64, end: u64, list: &mut Vec<Piece>) {
        let base = |start, end| Piece {
            start,
            end,
            source: Source::Base,
        };
        let mut at = start;
        for change in self.durable.changes(start, end) {
            push(list, base(at, change.start));
            push(list, change);
            at = change.end;
        }
        if at < end {
            push(list, base(at, end));
        }
    }
}

impl<B: ReadAt + Sync, L: ReadAt + Sync> ReadAt for State<'_, B, L> {
    fn read_exact_at(&self, buf: &mut [u8], offset: u64) -> io::Result<()> {
        let end = offset
            .checked_add(buf.len() as u64)
            .filter(|end| *end <= self.recording.size)
            .ok_or(io::ErrorKind::UnexpectedEof)?;
        for piece in self.pieces(offset, end) {
            let (from, to) = (piece.start - offset, piece.end - offset);
            // Both below the length of `buf`.
            let part = &mut buf[from as usize..to as usize];
            match piece.source {
                Source::Base => self.recording.base.read_exact_at(part, piece.start)?,
                Source::Zero => part.fill(0),
                Source::Write(index) => {
                    let range = self.recording.log.entries().get(index as usize);
                    let start = range.and_then(|e| e.range()).map_or(piece.start, |r| r.0);
                    self.recording.log.read(index, piece.start - start, part)?;
                }
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::log::LogWriter;

    #[test]
    fn reads_through_all_layers() {
        let mut log = LogWriter::new(512);
        log.write(512, &[1; 1024]);
        log.write(1024, &[2; 1024]);
        let bytes = log.finish();
        let recording = Recording {
            base: Bytes([9_u8; 4096]),
            size: 4096,
            log: Log::parse(Bytes(&bytes), bytes.len() as u64).unwrap(),
        };
        let mut durable = Layer::default();
        durable.put(512, 1536, Source::Write(0));
        let mut state = State {
            recording: &recording,
            durable: &durable,
            top: Layer::default(),
        };
        state.top.put(1536, 2048, Source::Write(1));
        state.top.put(2048, 2560, Source::Zero);
        let mut all = [0; 4096];
        state.read_exact_at(&mut all, 0).unwrap();
        let at = [0, 511, 512, 1535, 1536, 2047, 2048, 2559, 2560, 4095];
        assert_eq!(at.map(|i: usize| all[i]), [9, 9, 1, 1, 2, 2, 0, 0, 9, 9]);
        let starts: Vec<u64> = state.pieces(0, u64::MAX).iter().map(|p| p.start).collect();
        assert_eq!(starts, [0, 512, 1536, 2048, 2560]);
        assert!(state.read_exact_at(&mut [0; 2], 4095).is_err());
        let one = fingerprint(&state, &[(0, 1536)]);
        assert_ne!(one, fingerprint(&state, &[(0, 1537)]));
        state.top = Layer::default();
        assert_eq!(one, fingerprint(&state, &[(0, 1536)]));
    }
}
