//! The disk with a page cache before it and a log behind it.

use std::collections::BTreeMap;
use std::io;

use roamcore_disk::region::ReadAt;

use super::{ModelError, Sparse};
use crate::layer::{Piece, Source};
use crate::log::{Log, LogWriter};
use crate::state::{Bytes, Disk, Recording};

const SECTOR: u64 = 512;
/// Most sectors in one request of the kernel's writeback: neighbours are joined up to here.
const MOST_JOINED: usize = 256;

/// A running machine.
#[derive(Debug)]
pub struct Machine {
    base: Sparse,
    disk: Sparse,
    dirty: BTreeMap<u64, [u8; SECTOR as usize]>,
    log: LogWriter,
}

impl Machine {
    /// On a disk as it is; the log begins here.
    #[must_use]
    pub fn new(disk: Sparse) -> Self {
        Self {
            base: disk.clone(),
            disk,
            dirty: BTreeMap::new(),
            log: LogWriter::new(SECTOR as usize),
        }
    }

    /// Writes through the page cache: whole sectors become dirty.
    pub fn buffer(&mut self, offset: u64, bytes: &[u8]) -> Result<(), ModelError> {
        let mut done = 0;
        while done < bytes.len() {
            let at = offset + done as u64;
            let (sector, within) = (at / SECTOR, (at % SECTOR) as usize);
            let take = (SECTOR as usize - within).min(bytes.len() - done);
            let mut content = [0; SECTOR as usize];
            self.read_exact_at(&mut content, sector * SECTOR)
                .map_err(ModelError::of)?;
            content[within..within + take].copy_from_slice(&bytes[done..done + take]);
            self.dirty.insert(sector, content);
            done += take;
        }
        Ok(())
    }

    /// Writes past the page cache.
    pub fn direct(&mut self, offset: u64, bytes: &[u8]) -> Result<(), ModelError> {
        self.log.write(offset, bytes);
        self.disk.write_at(offset, bytes).map_err(ModelError::of)
    }

    /// Sends what is dirty to the disk, in the order of its place, neighbours in one request.
    pub fn writeback(&mut self) -> Result<(), ModelError> {
        let mut run: Option<(u64, Vec<u8>)> = None;
        for (sector, content) in std::mem::take(&mut self.dirty) {
            match &mut run {
                Some((start, bytes))
                    if *start + bytes.len() as u64 == sector * SECTOR
                        && bytes.len() < MOST_JOINED * SECTOR as usize =>
                {
                    bytes.extend(content);
                }
                _ => {
                    if let Some((start, bytes)) = run.replace((sector * SECTOR, content.to_vec())) {
                        self.direct(start, &bytes)?;
                    }
                }
            }
        }
        run.map_or(Ok(()), |(start, bytes)| self.direct(start, &bytes))
    }

    /// Makes everything durable.
    pub fn flush(&mut self) -> Result<(), ModelError> {
        self.writeback()?;
        self.log.flush();
        Ok(())
    }

    /// Gives bytes up.
    pub fn discard(&mut self, offset: u64, len: u64) {
        self.log.discard(offset, len);
    }

    /// Leaves a note in the log.
    pub fn mark(&mut self, text: &str) {
        self.log.mark(text);
    }

    /// What the disk holds once everything is written.
    #[must_use]
    pub const fn disk(&self) -> &Sparse {
        &self.disk
    }

    /// Ends it, and gives what was recorded.
    pub fn finish(self) -> Result<Recording<Sparse, Bytes<Vec<u8>>>, ModelError> {
        let bytes = self.log.finish();
        let length = bytes.len() as u64;
        Ok(Recording {
            size: self.base.size(),
            base: self.base,
            log: Log::parse(Bytes(bytes), length).map_err(ModelError::of)?,
        })
    }
}

/// Reads what a program would see.
pub(super) fn read(machine: &Machine, offset: u64, buf: &mut [u8]) -> Result<(), ModelError> {
    machine.read_exact_at(buf, offset).map_err(ModelError::of)
}

impl ReadAt for Machine {
    fn read_exact_at(&self, buf: &mut [u8], offset: u64) -> io::Result<()> {
        self.disk.read_exact_at(buf, offset)?;
        let end = offset + buf.len() as u64;
        let sectors = offset / SECTOR..end.div_ceil(SECTOR);
        for (sector, content) in self.dirty.range(sectors) {
            let at = sector * SECTOR;
            let (from, to) = (at.max(offset), (at + SECTOR).min(end));
            let part = (from - at) as usize..(to - at) as usize;
            buf[(from - offset) as usize..(to - offset) as usize].copy_from_slice(&content[part]);
        }
        Ok(())
    }
}

impl Disk for Machine {
    fn size(&self) -> u64 {
        self.disk.size()
    }

    fn pieces(&self, start: u64, end: u64) -> Vec<Piece> {
        vec![Piece {
            start,
            end: end.min(self.disk.size()),
            source: Source::Base,
        }]
    }
}
