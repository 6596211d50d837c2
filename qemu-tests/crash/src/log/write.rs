//! Writing a log: what software models of a disk record, in the same format as QEMU.

use super::{DISCARD, FLUSH, HEADER, MAGIC, MARK, VERSION};

/// A log in memory.
#[derive(Debug)]
pub struct LogWriter {
    sector: usize,
    entries: u64,
    bytes: Vec<u8>,
}

impl LogWriter {
    /// An empty log for a disk with sectors of `sector` bytes, 512 or 4096.
    #[must_use]
    pub fn new(sector: usize) -> Self {
        Self {
            sector,
            entries: 0,
            bytes: vec![0; sector],
        }
    }

    /// A write; offset and length in whole sectors.
    pub fn write(&mut self, offset: u64, data: &[u8]) {
        self.entry(offset, data.len() as u64, 0, &[]);
        self.bytes.extend_from_slice(data);
    }

    /// A flush.
    pub fn flush(&mut self) {
        self.entry(0, 0, FLUSH, &[]);
    }

    /// A discard; offset and length in whole sectors.
    pub fn discard(&mut self, offset: u64, len: u64) {
        self.entry(offset, len, DISCARD, &[]);
    }

    /// A note; what does not fit the sector is cut off.
    pub fn mark(&mut self, text: &str) {
        let room = self.sector - HEADER as usize;
        let text = text.as_bytes();
        self.entry(0, 0, MARK, text.get(..room).unwrap_or(text));
    }

    fn entry(&mut self, offset: u64, len: u64, flags: u64, inline: &[u8]) {
        let sector = self.sector as u64;
        debug_assert!(offset.is_multiple_of(sector) && len.is_multiple_of(sector));
        let end = self.bytes.len() + self.sector;
        for word in [offset / sector, len / sector, flags, inline.len() as u64] {
            self.bytes.extend(word.to_le_bytes());
        }
        self.bytes.extend_from_slice(inline);
        self.bytes.resize(end, 0);
        self.entries += 1;
    }

    /// The log file's bytes.
    #[must_use]
    pub fn finish(mut self) -> Vec<u8> {
        let words = [MAGIC, VERSION, self.entries, self.sector as u64];
        for (word, at) in words.into_iter().zip(self.bytes.chunks_exact_mut(8)) {
            at.copy_from_slice(&word.to_le_bytes());
        }
        self.bytes
    }
}
