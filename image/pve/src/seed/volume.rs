//! The volume on which a guest finds its seed.
//!
//! FAT32 begins at about 33 MiB; nearly all of it is a hole, and the image compresses to nothing.

use std::io::{Read, Seek, Write};

use roamcore_disk::fat::{FatError, FatImage, FatParams, FileSource};
use roamcore_disk::gpt::{self, GptError, Guid, Planned};
use roamcore_disk::region::Region;

use super::Seed;

/// The smallest volume that is FAT32, with room for megabytes of files.
const FAT_BYTES: u64 = 40 << 20;
/// "Microsoft basic data", what every system expects around a FAT.
const BASIC_DATA: Guid = Guid::from_bytes([
    0xEB, 0xD0, 0xA0, 0xA2, 0xB9, 0xE5, 0x44, 0x33, 0x87, 0xC0, 0x68, 0xB6, 0xB7, 0x26, 0x99, 0xC7,
]);
/// Of the disk and its partition. Always the same: a guest has one seed, and nothing is found by it.
const DISK: Guid = Guid::from_bytes(*b"roamcore-seed-di");
const PARTITION: Guid = Guid::from_bytes(*b"roamcore-seed-p1");

/// What a volume is called and when it was made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Volume<'a> {
    /// The label that the guest looks for.
    pub label: &'a str,
    /// Serial number of the file system.
    pub id: u32,
    /// Time of every file, in seconds since 1970.
    pub time: i64,
}

/// A volume that could not be made.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum VolumeError {
    /// The file system.
    #[error("cannot make the file system of the seed volume {label:?}")]
    Fat {
        /// Its label.
        label: String,
        /// Why.
        #[source]
        source: FatError,
    },
    /// The partition table.
    #[error("cannot make the partition table of the seed volume {label:?}")]
    Gpt {
        /// Its label.
        label: String,
        /// Why.
        #[source]
        source: GptError,
    },
    /// Where it should go.
    #[error("cannot write the seed volume {label:?}")]
    Io {
        /// Its label.
        label: String,
        /// Why.
        #[source]
        source: std::io::Error,
    },
}

/// Bytes that [`fat`] needs in `out`.
pub const fn fat_bytes() -> u64 {
    FAT_BYTES
}

/// Writes a bare file system. `out` must read as zeros, and be as long as [`fat_bytes`] when all is done: only what has
/// content is written.
///
/// # Errors
/// Files that do not fit; the writer.
pub fn fat<W: Write + Seek>(
    volume: Volume<'_>,
    seed: &Seed,
    out: &mut W,
) -> Result<u64, VolumeError> {
    let failed = |source| VolumeError::Fat {
        label: volume.label.into(),
        source,
    };
    let params = FatParams {
        size: FAT_BYTES,
        volume_id: volume.id,
        label: volume.label.into(),
        time: volume.time,
    };
    let mut image = FatImage::new(&params).map_err(failed)?;
    for (path, bytes) in seed {
        image
            .add_file(path, FileSource::bytes(bytes))
            .map_err(failed)?;
    }
    image.write_to(out).map_err(failed)?;
    Ok(FAT_BYTES)
}

/// Writes a disk with a partition table and one file system: OPNsense's importer looks into the first partition of a disk,
/// and takes a disk without partitions for a CD. `grow` makes `out` that long, of zeros, before anything is written.
///
/// # Errors
/// As [`fat`].
pub fn partitioned<W: Read + Write + Seek>(
    volume: Volume<'_>,
    seed: &Seed,
    out: &mut W,
    grow: impl FnOnce(&mut W, u64) -> std::io::Result<()>,
) -> Result<u64, VolumeError> {
    let label = || volume.label.to_owned();
    let table = |source| VolumeError::Gpt {
        label: label(),
        source,
    };
    let io = |source| VolumeError::Io {
        label: label(),
        source,
    };
    let planned = Planned {
        name: "seed".into(),
        type_guid: BASIC_DATA,
        part_guid: PARTITION,
        attributes: 0,
        size: FAT_BYTES,
    };
    let disk = gpt::layout(DISK, &[planned]).map_err(table)?;
    grow(out, disk.disk_bytes()).map_err(io)?;
    disk.write_to(out).map_err(table)?;
    let start = disk.partition("seed").map_or(0, gpt::Partition::offset);
    let mut region = Region::new(out, start, FAT_BYTES).map_err(io)?;
    fat(volume, seed, &mut region)?;
    Ok(disk.disk_bytes())
}
