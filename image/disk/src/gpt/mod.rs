//! GUID partition table: the protective MBR, both headers and both entry arrays.
//!
//! Owns the table's bytes and the rules a table must keep. Never touches partition contents, never invents a GUID.
//! Invariant: what [`Gpt::encode`] yields, [`Gpt::read_from`] accepts and gives back equal; nothing that breaks a rule of
//! [`Gpt::check`] is ever written or returned.
//!
//! ```text
//! LBA 0          1         2 .. 33      34 ................... n-34   n-33 .. n-2      n-1
//!     protective primary   128 entries  first usable .. last usable   128 entries      backup
//!     MBR        header    x 128 bytes                                (same bytes)     header
//! ```
//!
//! Own code, because of what was measured (2026-11). gpt 4.1.0 writes deterministically when every GUID is handed in,
//! and `sfdisk --verify` likes it; but it accepts two overlapping partitions with one GUID and one name, a flipped bit in
//! the primary entries is an error instead of a use of the backup (it picks the copy by header alone), and an entry size
//! of 256 under a good checksum panics. gptman 3.1.1 does use the backup, without saying why; it accepts overlaps, an
//! entry size of 0 panics, and an entry count of 0xf0000000 aborts the process on a 612 GB allocation. The agent reads
//! tables of disks it does not control, so neither will do.

mod check;
mod crc;
mod encode;
mod error;
mod guid;
mod layout;
mod read;

pub use encode::EncodedGpt;
pub use error::{GptError, Source};
pub use guid::{Guid, GuidError};
pub use layout::{Planned, layout};
pub use read::GptRead;

/// The only sector size this crate writes. Our boards' eMMC, SATA and NVMe all present 512-byte sectors.
pub const SECTOR: u64 = 512;
/// Entries in the array. UEFI asks for at least 16 KiB of them; every tool writes exactly this.
const ENTRIES: usize = 128;
/// Bytes of one entry.
const ENTRY: usize = 128;
/// Sectors of one entry array.
const ARRAY_SECTORS: u64 = (ENTRIES * ENTRY) as u64 / SECTOR;
/// Sectors at the end of the disk that hold the backup (array and header).
const TABLE_SECTORS: u64 = ARRAY_SECTORS + 1;
/// Both tables, the MBR and one usable sector.
const MIN_SECTORS: u64 = 2 * TABLE_SECTORS + 2;
/// UTF-16 units a name may have (UEFI table 5.6).
const NAME_UNITS: usize = 36;

/// One partition. Sector numbers are in units of 512 bytes, `last_lba` is inclusive.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Partition {
    /// At most 36 UTF-16 units, no NUL.
    pub name: String,
    /// What it is.
    pub type_guid: Guid,
    /// Which one it is (PARTUUID).
    pub part_guid: Guid,
    /// Attribute bits.
    pub attributes: u64,
    /// First sector.
    pub first_lba: u64,
    /// Last sector, inclusive.
    pub last_lba: u64,
}

impl Partition {
    /// Byte offset of the first sector; saturates on values that [`Gpt::check`] refuses.
    #[must_use]
    pub const fn offset(&self) -> u64 {
        self.first_lba.saturating_mul(SECTOR)
    }

    /// Size in bytes; zero for values that [`Gpt::check`] refuses.
    #[must_use]
    pub const fn size(&self) -> u64 {
        self.last_lba
            .saturating_add(1)
            .saturating_sub(self.first_lba)
            .saturating_mul(SECTOR)
    }
}

/// A partition table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Gpt {
    /// The disk's own GUID.
    pub disk_guid: Guid,
    /// Sectors the table spans: the backup header sits in the last of them.
    pub disk_sectors: u64,
    /// In entry order.
    pub partitions: Vec<Partition>,
}

impl Gpt {
    /// Bytes the disk must have.
    #[must_use]
    pub const fn disk_bytes(&self) -> u64 {
        self.disk_sectors.saturating_mul(SECTOR)
    }

    /// The partition called `name`.
    #[must_use]
    pub fn partition(&self, name: &str) -> Option<&Partition> {
        self.partitions.iter().find(|p| p.name == name)
    }
}
