//! A large disk of which little is used, in memory.

use std::collections::BTreeMap;
use std::io::{self, Read, Seek, SeekFrom, Write};

use roamcore_disk::region::ReadAt;

/// Unit of storage.
const BLOCK: u64 = 4096;

/// A disk; what was never written reads as zeros.
#[derive(Debug, Clone)]
pub struct Sparse {
    size: u64,
    blocks: BTreeMap<u64, Box<[u8; BLOCK as usize]>>,
}

impl Sparse {
    /// An empty disk.
    #[must_use]
    pub const fn new(size: u64) -> Self {
        Self {
            size,
            blocks: BTreeMap::new(),
        }
    }

    /// Bytes it has.
    #[must_use]
    pub const fn size(&self) -> u64 {
        self.size
    }

    /// Writes bytes anywhere.
    ///
    /// # Errors
    /// Past the end.
    pub fn write_at(&mut self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        if offset.saturating_add(bytes.len() as u64) > self.size {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        for (block, within, part) in parts(offset, bytes.len()) {
            let into = self
                .blocks
                .entry(block)
                .or_insert_with(|| Box::new([0; BLOCK as usize]));
            into[within..within + part.len()].copy_from_slice(&bytes[part]);
        }
        Ok(())
    }

    /// A cursor over the disk.
    pub const fn cursor(&mut self) -> Cursor<'_> {
        Cursor { disk: self, at: 0 }
    }
}

/// Block number, offset within it, range within the caller's bytes.
fn parts(offset: u64, len: usize) -> impl Iterator<Item = (u64, usize, std::ops::Range<usize>)> {
    let mut done = 0;
    std::iter::from_fn(move || {
        let at = offset + done as u64;
        let within = (at % BLOCK) as usize;
        let take = (BLOCK as usize - within).min(len - done);
        let range = done..done + take;
        done += take;
        (take > 0).then_some((at / BLOCK, within, range))
    })
}

impl ReadAt for Sparse {
    fn read_exact_at(&self, buf: &mut [u8], offset: u64) -> io::Result<()> {
        if offset.saturating_add(buf.len() as u64) > self.size {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        for (block, within, part) in parts(offset, buf.len()) {
            match self.blocks.get(&block) {
                Some(bytes) => {
                    buf[part.clone()].copy_from_slice(&bytes[within..within + part.len()])
                }
                None => buf[part].fill(0),
            }
        }
        Ok(())
    }
}

/// Reads, writes and seeks.
#[derive(Debug)]
pub struct Cursor<'a> {
    disk: &'a mut Sparse,
    at: u64,
}

impl Read for Cursor<'_> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let len = (buf.len() as u64).min(self.disk.size.saturating_sub(self.at)) as usize;
        self.disk.read_exact_at(&mut buf[..len], self.at)?;
        self.at += len as u64;
        Ok(len)
    }
}

impl Write for Cursor<'_> {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        self.disk.write_at(self.at, buf)?;
        self.at += buf.len() as u64;
        Ok(buf.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Seek for Cursor<'_> {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        let target = match to {
            SeekFrom::Start(at) => Some(at),
            SeekFrom::Current(by) => self.at.checked_add_signed(by),
            SeekFrom::End(by) => self.disk.size.checked_add_signed(by),
        };
        self.at = target.ok_or(io::ErrorKind::InvalidInput)?;
        Ok(self.at)
    }
}
