//! The write log: every write, flush and discard that reached a disk, in the order in which it completed.
//!
//! Owns the on-disk format of Linux's dm-log-writes as QEMU's block driver `blklogwrites` writes it. Never replays anything.
//! Invariant: whatever bytes are given, parsing ends with a log whose every write lies inside the log file, or with an error
//! that names the entry.
//!
//! ```text
//! sector 0      superblock: magic, version, number of entries, sector size         all fields little-endian
//! then, for each entry, without gaps:
//!   1 sector    entry: sector, number of sectors, flags, length of inline data     FLUSH 1, FUA 2, DISCARD 4, MARK 8
//!   n sectors   the data; none after a discard, none after a mark (its text is inside the entry's sector)
//! ```
//! What QEMU does with it: an entry is written after its request completed, so a flush covers every write before it. FUA never
//! appears, because the driver leaves it to QEMU's block layer, which turns it into a flush after the write. Writes of zeros
//! have their zeros in the log. The superblock is written at every flush, so a log ends at the last flush unless QEMU closed
//! the disk in good order. A disk whose cache mode is `unsafe` passes no flush on: such a log is useless, see
//! [`Log::flushes`].

mod parse;
mod write;

pub use write::LogWriter;

use std::io;

use roamcore_disk::region::ReadAt;

/// Magic number of the superblock.
const MAGIC: u64 = 0x006a_7366_7773_6872;
/// The only version there is.
const VERSION: u64 = 1;
/// Bytes of an entry's fixed part, and more than those of the superblock.
const HEADER: u64 = 32;
/// Flag bits.
const FLUSH: u64 = 1;
const FUA: u64 = 2;
const DISCARD: u64 = 4;
const MARK: u64 = 8;
/// Sector sizes a disk can have. QEMU accepts others, but no guest would see them.
const SECTOR_SIZES: [u64; 2] = [512, 4096];
/// More entries than any run of ours makes; bounds the memory a hostile log asks for to some hundred megabytes.
const MOST_ENTRIES: u64 = 1 << 23;

/// One thing that happened to the disk. Offsets and lengths in bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Entry {
    /// Bytes were written.
    Write {
        /// Where on the disk.
        offset: u64,
        /// How many; more than zero.
        len: u64,
        /// Where in the log file they are.
        data_at: u64,
        /// Whether this write alone was durable when it completed.
        fua: bool,
    },
    /// Bytes were given up; what they read as afterwards is undefined.
    Discard {
        /// Where on the disk.
        offset: u64,
        /// How many; more than zero.
        len: u64,
    },
    /// Everything before is durable.
    Flush,
    /// A note of whoever recorded the log.
    Mark(String),
}

impl Entry {
    /// First byte and the byte after the last one, for what changes bytes.
    #[must_use]
    pub const fn range(&self) -> Option<(u64, u64)> {
        match self {
            // The parser refuses what would overflow.
            Self::Write { offset, len, .. } | Self::Discard { offset, len } => {
                Some((*offset, *offset + *len))
            }
            Self::Flush | Self::Mark(_) => None,
        }
    }
}

/// A parsed log and the bytes behind it.
#[derive(Debug)]
pub struct Log<R> {
    data: R,
    sector: u64,
    entries: Vec<Entry>,
}

impl<R> Log<R> {
    /// Everything that happened.
    #[must_use]
    pub fn entries(&self) -> &[Entry] {
        &self.entries
    }

    /// Bytes of a sector.
    #[must_use]
    pub const fn sector(&self) -> u64 {
        self.sector
    }

    /// Number of flushes. None at all means that the recording machine ignored them.
    #[must_use]
    pub fn flushes(&self) -> usize {
        let flush = |entry: &&Entry| matches!(entry, Entry::Flush);
        self.entries.iter().filter(flush).count()
    }
}

impl<R: ReadAt> Log<R> {
    /// Bytes that entry `index` wrote, starting `skip` bytes into the write.
    ///
    /// # Errors
    /// Not a write, outside of it, or the file's own failure.
    pub fn read(&self, index: u32, skip: u64, buf: &mut [u8]) -> io::Result<()> {
        match self.entries.get(index as usize) {
            Some(Entry::Write { len, data_at, .. })
                if skip
                    .checked_add(buf.len() as u64)
                    .is_some_and(|end| end <= *len) =>
            {
                self.data.read_exact_at(buf, data_at + skip)
            }
            other => Err(io::Error::new(
                io::ErrorKind::UnexpectedEof,
                format!(
                    "{} bytes at {skip} of log entry {index} ({other:?}) do not exist",
                    buf.len()
                ),
            )),
        }
    }
}

/// A log that is refused.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LogError {
    /// The file failed.
    #[error("reading the write log at byte {offset} failed")]
    Io {
        /// Where.
        offset: u64,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The superblock is not one.
    #[error("write log superblock: {field} is {found:#x}, expected {expected}")]
    Superblock {
        /// Field.
        field: &'static str,
        /// Value seen.
        found: u64,
        /// What would be accepted.
        expected: &'static str,
    },
    /// The superblock promises more than the file has.
    #[error(
        "write log entry {index} of {count} ends at byte {end}, the file has {size}; it was cut, record it again and let QEMU end by itself"
    )]
    Truncated {
        /// Number from 0.
        index: u64,
        /// Entries promised.
        count: u64,
        /// Where it would end.
        end: u64,
        /// Bytes of the file.
        size: u64,
    },
    /// An entry that makes no sense.
    #[error("write log entry {index} at byte {at}: {reason}")]
    Entry {
        /// Number from 0.
        index: u64,
        /// Where.
        at: u64,
        /// What is wrong.
        reason: String,
    },
}
