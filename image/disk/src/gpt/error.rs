//! What can be wrong with a partition table.

use super::Guid;

/// Which of the two copies of the table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Source {
    /// LBA 1 and the entries behind it.
    Primary,
    /// The copy at the end of the disk.
    Backup,
}

impl std::fmt::Display for Source {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Primary => "primary",
            Self::Backup => "backup",
        })
    }
}

/// A partition table that is refused, or could not be read or written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum GptError {
    /// The device or file failed; nothing is known about the table.
    #[error("{action} the {copy} partition table at byte {offset} failed")]
    Io {
        /// Reading or writing.
        action: &'static str,
        /// The copy concerned.
        copy: Source,
        /// Where.
        offset: u64,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// Smaller than the two tables.
    #[error(
        "a disk of {sectors} sectors cannot hold a GPT; at least {minimum} sectors of 512 bytes are needed"
    )]
    DiskTooSmall {
        /// Sectors given.
        sectors: u64,
        /// Sectors needed.
        minimum: u64,
    },
    /// A header field is not what the specification, or this reader's narrower limit, allows.
    #[error("{copy} GPT header: {field} is {found:#x}, expected {expected}")]
    Header {
        /// The copy concerned.
        copy: Source,
        /// Field name as in UEFI table 5.5.
        field: &'static str,
        /// Value seen.
        found: u64,
        /// What would be accepted.
        expected: String,
    },
    /// A checksum does not match.
    #[error(
        "{copy} GPT {part}: CRC-32 is {computed:#010x}, the header says {stored:#010x}; torn write or corruption"
    )]
    Crc {
        /// The copy concerned.
        copy: Source,
        /// `header` or `entries`.
        part: &'static str,
        /// Over the bytes read.
        computed: u32,
        /// As stored.
        stored: u32,
    },
    /// Neither copy can be used.
    #[error("neither partition table is usable: primary: {primary}; backup: {backup}")]
    BothBad {
        /// What is wrong with the primary.
        primary: Box<GptError>,
        /// What is wrong with the backup.
        backup: Box<GptError>,
    },
    /// Both copies are valid but describe different tables.
    #[error(
        "the backup partition table is valid but differs from the primary; rewrite the table to bring them together"
    )]
    BackupDiffers,
    /// More partitions than entries.
    #[error("{count} partitions given; the table has room for 128")]
    TooMany {
        /// Partitions given.
        count: usize,
    },
    /// A GUID that must be set is zero.
    #[error("partition {name:?}: {what} GUID is all zero")]
    NilGuid {
        /// Partition name.
        name: String,
        /// `type` or `partition`.
        what: &'static str,
    },
    /// The disk's own GUID is zero.
    #[error("the disk GUID is all zero")]
    NilDiskGuid,
    /// Name too long or with a NUL.
    #[error(
        "partition name {name:?} is refused: {units} UTF-16 units (36 at most), NUL characters are not allowed"
    )]
    Name {
        /// The name.
        name: String,
        /// Its length on disk.
        units: usize,
    },
    /// Name on disk is not UTF-16.
    #[error("partition entry {entry}: the name is not valid UTF-16")]
    NameEncoding {
        /// Entry number from 1.
        entry: usize,
    },
    /// Outside the usable area, or ends before it starts.
    #[error(
        "partition {name:?}: sectors {first}..={last} are not inside the usable range {usable_first}..={usable_last}"
    )]
    OutOfRange {
        /// Partition name.
        name: String,
        /// First sector.
        first: u64,
        /// Last sector.
        last: u64,
        /// First usable sector.
        usable_first: u64,
        /// Last usable sector.
        usable_last: u64,
    },
    /// Two partitions share sectors.
    #[error(
        "partitions {a:?} and {b:?} overlap: {b:?} starts at sector {start}, {a:?} ends at {end}"
    )]
    Overlap {
        /// The earlier one.
        a: String,
        /// The later one.
        b: String,
        /// Start of the later.
        start: u64,
        /// End of the earlier.
        end: u64,
    },
    /// Two partitions share a GUID.
    #[error("partition GUID {guid} is used by {a:?} and by {b:?}")]
    DuplicateGuid {
        /// The GUID.
        guid: Guid,
        /// First user.
        a: String,
        /// Second user.
        b: String,
    },
    /// Two partitions share a name.
    #[error("partition name {name:?} is used twice")]
    DuplicateName {
        /// The name.
        name: String,
    },
    /// A planned size that is zero, not whole sectors, or overflows.
    #[error(
        "partition {name:?}: a size of {bytes} bytes is refused; give a positive multiple of 512 that fits the disk"
    )]
    Size {
        /// Partition name.
        name: String,
        /// Size given.
        bytes: u64,
    },
}
