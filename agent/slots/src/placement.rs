//! Where in loader/entries the names of a trial lie: all in one sector.
//!
//! Owns: the look at the directory's bytes, and what has to be filled before a name is made. Never does: write, or look at
//! a file's content. Invariant: whatever the volume holds, at most 2 MiB are read and nothing panics.
//!
//! A disk writes a sector or does not; of two sectors it may write one. When the boot loader counts a try down, firmware
//! removes the old name and appends the new one behind everything the directory ever held (EDK II, `FatNewEntryPos`). If
//! both names stay because the power failed in between, the boot loader can never rename again: the tries of a failing
//! trial would not end. Linux takes the first gap that is large enough (`fat_add_entries`). So before a trial's first name
//! is made, all gaps up to a sector's border are filled with empty files; they stay for as long as the trial does, so that
//! a firmware that looks for gaps, and our own commit, find the ones in that sector alone.
//!
//! ```text
//!   sector n     . .. roamcore-a.conf [filler          ]
//!   sector n+1   b.tmp b+3 b+2-1 b+1-2 b+0-3 -              three places each, fifteen of sixteen; commit: into a gap here
//! ```

use std::io;

use crate::media::Block;

/// Bytes of a directory's place.
const PLACE: usize = 32;
/// What a disk writes whole, at least.
const SECTOR: usize = 512;
/// Places in a sector.
const PLACES: usize = SECTOR / PLACE;
/// FAT's own bound for a directory.
const MOST_BYTES: usize = 2 << 20;
/// A long name has 255 characters at most, thirteen in a place, and a short one beside it.
const LONGEST_NAME: usize = 255;
const PER_PLACE: usize = 13;
const MOST_PLACES: usize = LONGEST_NAME.div_ceil(PER_PLACE) + 1;
/// First byte of a place that was used.
const REMOVED: u8 = 0xE5;
const LONG: u8 = 0x0F;
const DIRECTORY: u8 = 0x10;
/// First value of a FAT's entry that ends a chain.
const END: u32 = 0x0FFF_FFF8;

/// Whether a file among the entries is there to fill a gap.
pub(crate) fn is_filler(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    let number = name
        .strip_prefix("gap")
        .map(|rest| rest.trim_start_matches('-'));
    number.is_some_and(|digits| !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit()))
}

/// The empty files to be made, in this order, so that the directory has no gap and ends at a sector's border.
pub(crate) fn fillers(directory: &[u8]) -> Vec<String> {
    let places = directory.as_chunks::<PLACE>().0;
    let used = places.iter().take_while(|place| place[0] != 0).count();
    let end = used.next_multiple_of(PLACES);
    let mut names = Vec::new();
    if (end + PLACES) * PLACE > MOST_BYTES {
        return names;
    }
    let free = |at: usize| at >= used || places[at][0] == REMOVED;
    let mut at = 0;
    while at < end {
        let gap = (at..end.min(at + MOST_PLACES))
            .take_while(|at| free(*at))
            .count();
        if gap > 0 {
            names.push(filler(names.len(), gap));
        }
        at += gap.max(1);
    }
    names
}

/// A name that takes this many places; in upper case, eight characters need no long name beside the short one.
fn filler(number: usize, places: usize) -> String {
    if places == 1 {
        return format!("GAP{number:05}");
    }
    let digits = ((places - 1) * PER_PLACE).min(LONGEST_NAME) - "gap-".len();
    format!("gap-{number:0digits$}")
}

/// The bytes of a directory of a FAT32 volume; `None` when the volume is none, or the directory cannot be found.
///
/// # Errors
/// The device's.
pub fn read(volume: &dyn Block, path: &str) -> io::Result<Option<Vec<u8>>> {
    let Some(fat) = Fat32::open(volume)? else {
        return Ok(None);
    };
    let Some(mut bytes) = fat.chain(fat.root)? else {
        return Ok(None);
    };
    for name in path.split('/') {
        let Some(cluster) = find(&bytes, name) else {
            return Ok(None);
        };
        match fat.chain(cluster)? {
            Some(inside) => bytes = inside,
            None => return Ok(None),
        }
    }
    Ok(Some(bytes))
}

/// First cluster of a directory in a directory; names of up to eight characters, as ours are.
fn find(directory: &[u8], name: &str) -> Option<u32> {
    let mut short = [b' '; 11];
    let stem = short.get_mut(..name.len().min(8))?;
    stem.copy_from_slice(name.to_ascii_uppercase().as_bytes().get(..stem.len())?);
    let places = directory.as_chunks::<PLACE>().0;
    let shown = places.iter().take_while(|place| place[0] != 0);
    let found = shown
        .filter(|place| place[0] != REMOVED && place[11] & LONG != LONG)
        .find(|place| place[11] & DIRECTORY != 0 && place[..11] == short)?;
    let half = |at: usize| u32::from(u16::from_le_bytes([found[at], found[at + 1]]));
    Some(half(20) << 16 | half(26))
}

/// As much of a volume's geometry as following a chain needs.
struct Fat32<'a> {
    volume: &'a dyn Block,
    fat: u64,
    fat_bytes: u64,
    data: u64,
    cluster: usize,
    root: u32,
}

impl<'a> Fat32<'a> {
    fn open(volume: &'a dyn Block) -> io::Result<Option<Self>> {
        let mut boot = [0; SECTOR];
        if volume.size() < SECTOR as u64 {
            return Ok(None);
        }
        volume.read_exact_at(&mut boot, 0)?;
        let two = |at: usize| u64::from(u16::from_le_bytes([boot[at], boot[at + 1]]));
        let four = |at: usize| two(at) | two(at + 2) << 16;
        let (sector, per_cluster) = (two(11), usize::from(boot[13]));
        let good = boot[510..] == [0x55, 0xAA]
            && matches!(sector, 512 | 1024 | 2048 | 4096)
            && per_cluster.is_power_of_two()
            && two(22) == 0
            && four(36) != 0;
        let (fat, fat_bytes) = (two(14) * sector, four(36) * sector);
        Ok(good.then(|| Self {
            volume,
            fat,
            fat_bytes,
            data: fat + u64::from(boot[16]) * fat_bytes,
            cluster: per_cluster * sector as usize,
            root: four(44) as u32,
        }))
    }

    /// What a chain holds; `None` when it leaves the volume or is too long.
    fn chain(&self, first: u32) -> io::Result<Option<Vec<u8>>> {
        let (mut bytes, mut cluster) = (Vec::new(), first & 0x0FFF_FFFF);
        while cluster < END {
            let at = self.data + u64::from(cluster.max(2) - 2) * self.cluster as u64;
            let entry = u64::from(cluster) * 4;
            let inside = at.saturating_add(self.cluster as u64) <= self.volume.size();
            if cluster < 2 || !inside || entry + 4 > self.fat_bytes || bytes.len() >= MOST_BYTES {
                return Ok(None);
            }
            let from = bytes.len();
            bytes.resize(from + self.cluster, 0);
            self.volume.read_exact_at(&mut bytes[from..], at)?;
            let mut next = [0; 4];
            self.volume.read_exact_at(&mut next, self.fat + entry)?;
            cluster = u32::from_le_bytes(next) & 0x0FFF_FFFF;
        }
        Ok(Some(bytes))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    struct Memory(Vec<u8>);

    impl Block for Memory {
        fn path(&self) -> &std::path::Path {
            std::path::Path::new("memory")
        }
        fn size(&self) -> u64 {
            self.0.len() as u64
        }
        fn read_exact_at(&self, buf: &mut [u8], offset: u64) -> io::Result<()> {
            let part = self
                .0
                .get(offset as usize..)
                .and_then(|rest| rest.get(..buf.len()));
            buf.copy_from_slice(part.ok_or(io::ErrorKind::UnexpectedEof)?);
            Ok(())
        }
        fn read_past_cache(&self, buf: &mut [u8], offset: u64) -> io::Result<()> {
            self.read_exact_at(buf, offset)
        }
        fn write_all_at(&self, _: &[u8], _: u64) -> io::Result<()> {
            Err(io::ErrorKind::PermissionDenied.into())
        }
        fn sync(&self) -> io::Result<()> {
            Ok(())
        }
    }

    /// A directory of one letter for each place: `x` is used, `-` was removed, `0` was never used.
    fn directory(places: &str) -> Vec<u8> {
        let first = |c| match c {
            'x' => b'N',
            '-' => REMOVED,
            _ => 0,
        };
        places
            .chars()
            .flat_map(|c| [[first(c); 1].as_slice(), &[0; 31]].concat())
            .collect()
    }

    /// Places that a name takes.
    fn size(name: &str) -> usize {
        match name.len() {
            ..=8 => 1,
            len => len.div_ceil(PER_PLACE) + 1,
        }
    }

    #[test]
    fn gaps_are_filled_up_to_a_border() {
        let sizes = |places: &str| -> Vec<usize> {
            let names = fillers(&directory(places));
            assert!(names.iter().all(|name| is_filler(name)));
            names.iter().map(|name| size(name)).collect()
        };
        assert_eq!(sizes("xxxxx00000000000"), [11]);
        assert_eq!(sizes("xxxxx---xxxx0000"), [3, 4]);
        assert_eq!(sizes("xxxxx-x--xxxxxxx"), [1, 2]);
        assert_eq!(sizes("xxxxxxxxxxxxxxxx"), [0; 0]);
        assert_eq!(sizes("xxxxxxxxxxxxxxxxx"), [15]);
        assert_eq!(sizes(&format!("xx{}", "-".repeat(31))), [21, 21, 4]);
        assert_eq!(sizes(""), [0; 0]);
        assert_eq!(sizes(&"x".repeat(65536)), [0; 0]);
    }

    #[test]
    fn names_of_fillers() {
        for (places, want) in [(1, 8), (2, 13), (3, 26), (20, 247), (21, 255)] {
            assert_eq!(filler(7, places).len(), want);
            assert_eq!(size(&filler(7, places)), places);
        }
        for name in [
            "gap",
            "gap-",
            "gap-7.conf",
            "roamcore-b.conf",
            "GAPx0001",
            "",
        ] {
            assert!(!is_filler(name), "{name}");
        }
    }

    proptest! {
        #[test]
        fn nothing_is_left_below_the_border(places in "[x-]{0,90}") {
            let bytes = directory(&places);
            let filled: usize = fillers(&bytes).iter().map(|name| size(name)).sum();
            let used = places.matches('x').count();
            prop_assert_eq!(used + filled, places.len().next_multiple_of(PLACES));
        }

        #[test]
        fn never_panics(mut bytes in proptest::collection::vec(any::<u8>(), 0..3000), at in any::<u8>()) {
            drop(fillers(&bytes));
            if bytes.len() >= SECTOR {
                bytes[510..512].copy_from_slice(&[0x55, 0xAA]);
                bytes[11..16].copy_from_slice(&[0, 2, 1, 1, 0]);
                bytes[22..24].fill(0);
                bytes[44..48].copy_from_slice(&[at % 8, 0, 0, 0]);
            }
            drop(read(&Memory(bytes), "loader/entries"));
        }
    }
}
