//! FAT32 volumes: built from a tree, read back from bytes nobody vouches for.
//!
//! Owns every byte of the volume: boot sector, FSInfo, both FATs, directories with long names, files in one piece each.
//! Never mounts, never formats in place: the region under the writer must be zero already (a sparse file), and only
//! sectors with content are written. Invariant: the same tree, label, volume id and time give the same bytes, and
//! `fsck.vfat -n` finds nothing to say about them.
//!
//! ```text
//! sector 0 1 .. 6 7 .. 32         32+f       32+2f                    f = sectors of one FAT, a multiple of 8
//!        B I    B I    FAT 1      FAT 2      cluster 2: root | other directories | files, in path order | free
//! ```
//!
//! Own code, because of what was measured (2026-11). fatfs 0.3.6 gives `.` and `..` long names: `fsck.vfat -n` reports
//! every directory of a five-entry ESP as corrupt. hadris-fat 2.5.0 is clean under fsck, but its formatter stamps the
//! volume label with the wall clock whatever time provider is set (format/init.rs, `FatDateTime::now()`): two builds
//! differ. It also needs about 5 s for 300 small files in one directory.

mod dirent;
mod error;
mod geometry;
mod image;
mod name;
mod reader;
mod time;
mod walk;
mod write;

pub use error::{FatError, FatReadError};
pub use image::{FatImage, FatParams, FileSource};
pub use reader::{FatEntry, FatReader};
pub use write::FatStats;

const SECTOR: u64 = 512;
/// Bytes of a directory entry.
const ENTRY: usize = 32;
/// Deepest path accepted, in components: far above an ESP's five, low enough for any recursion.
const MAX_DEPTH: usize = 32;
/// Longest path in bytes; with the reader's limit on entries it bounds the memory a hostile volume can ask for.
const MAX_PATH: usize = 4096;
/// Entries one directory may hold (specification, section 6: a directory is at most 2 MiB).
const MAX_DIR_BYTES: u64 = 2 << 20;
/// Marks the end of a chain.
const END_OF_CHAIN: u32 = 0x0FFF_FFFF;
/// The root directory's first cluster in every volume written here.
const ROOT_CLUSTER: u32 = 2;

const ATTR_LABEL: u8 = 0x08;
const ATTR_DIR: u8 = 0x10;
const ATTR_ARCHIVE: u8 = 0x20;
const ATTR_LONG: u8 = 0x0F;

/// FAT compares names without case. Names that differ only so are refused, by the full Unicode upper case: wider than
/// any firmware's table, so what we accept no firmware can confuse.
fn fold(name: &str) -> String {
    name.chars().flat_map(char::to_uppercase).collect()
}
