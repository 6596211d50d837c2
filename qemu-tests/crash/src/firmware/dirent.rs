//! Directory entries as EDK II reads them (`FatPkg/EnhancedFatDxe/DirectoryManage.c`).
//!
//! - A directory ends at the first entry whose first byte is 0, or with its last cluster.
//! - An entry's long name is gathered backwards: each piece before it must be a long-name piece with the next number and the
//!   short name's checksum, up to one with the mark of the last. If any is not, the file shows under its short name.
//! - Long-name pieces without a short entry are passed over.

/// Bytes of an entry.
pub const ENTRY: usize = 32;
/// Marks a long-name piece.
pub const LONG: u8 = 0x0F;
/// Marks a volume label; long-name pieces have the bit as well.
pub const LABEL: u8 = 0x08;
/// Marks a directory.
pub const DIRECTORY: u8 = 0x10;
/// First byte of an entry that was removed.
pub const REMOVED: u8 = 0xE5;
/// UTF-16 units in a piece, and where they lie.
const UNIT_AT: [usize; 13] = [1, 3, 5, 7, 9, 14, 16, 18, 20, 22, 24, 28, 30];
/// Most pieces of a name.
const MOST_PIECES: u8 = 20;

/// A file or directory that is shown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Dirent {
    /// Position in the directory, counted in entries.
    pub slot: usize,
    /// Entries it takes, long-name pieces included.
    pub slots: usize,
    /// Name as shown.
    pub name: String,
    /// Short name as stored.
    pub short: [u8; 11],
    /// Whether it is a directory.
    pub is_dir: bool,
    /// First cluster.
    pub cluster: u32,
    /// Bytes, for a file.
    pub size: u32,
}

/// The checksum that ties long-name pieces to a short name.
#[must_use]
pub fn checksum(short: &[u8; 11]) -> u8 {
    short
        .iter()
        .fold(0, |sum: u8, byte| sum.rotate_right(1).wrapping_add(*byte))
}

/// What a directory of these bytes shows.
#[must_use]
pub fn decode(bytes: &[u8]) -> Vec<Dirent> {
    let (slots, _) = bytes.as_chunks::<ENTRY>();
    let shown = slots.iter().take_while(|raw| raw[0] != 0).enumerate();
    shown
        .filter(|(_, raw)| raw[0] != REMOVED && raw[11] & LABEL == 0)
        .map(|(slot, raw)| {
            let mut short = [0; 11];
            short.copy_from_slice(&raw[..11]);
            let long = long_name(&slots[..slot], &short);
            let le = |at: usize| u32::from(u16::from_le_bytes([raw[at], raw[at + 1]]));
            Dirent {
                slot,
                slots: long.as_ref().map_or(1, |(_, pieces)| pieces + 1),
                name: long.map_or_else(|| short_name(&short, raw[12]), |(name, _)| name),
                short,
                is_dir: raw[11] & DIRECTORY != 0,
                cluster: le(20) << 16 | le(26),
                size: le(28) | le(30) << 16,
            }
        })
        .collect()
}

/// The long name before an entry, and how many pieces it has.
fn long_name(before: &[[u8; ENTRY]], short: &[u8; 11]) -> Option<(String, usize)> {
    let sum = checksum(short);
    let mut units = Vec::new();
    for (raw, number) in before.iter().rev().zip(1..=MOST_PIECES) {
        let good = raw[11] == LONG && raw[12] == 0 && raw[13] == sum && raw[0] & !0x40 == number;
        if !good {
            return None;
        }
        units.extend(UNIT_AT.map(|at| u16::from_le_bytes([raw[at], raw[at + 1]])));
        if raw[0] & 0x40 != 0 {
            let end = units.iter().position(|unit| *unit == 0);
            let name = String::from_utf16_lossy(&units[..end.unwrap_or(units.len())]);
            return Some((name, number.into()));
        }
    }
    None
}

/// A short name as text. Bits 3 and 4 of `case` ask for small letters.
fn short_name(short: &[u8; 11], case: u8) -> String {
    let part = |bytes: &[u8], lower: bool| {
        let text: String = bytes.iter().map(|byte| char::from(*byte)).collect();
        let text = text.trim_end_matches(' ').to_owned();
        if lower {
            text.to_ascii_lowercase()
        } else {
            text
        }
    };
    let (base, ext) = (
        part(&short[..8], case & 8 != 0),
        part(&short[8..], case & 16 != 0),
    );
    if ext.is_empty() {
        base
    } else {
        format!("{base}.{ext}")
    }
}

/// The short form of a name that is one already, as a search compares it.
#[must_use]
pub fn as_short(name: &str) -> Option<[u8; 11]> {
    let (base, ext) = name.rsplit_once('.').unwrap_or((name, ""));
    let plain = |c: char| c.is_ascii_alphanumeric() || "$%'-_@~`!(){}^#&".contains(c);
    let fits = (1..=8).contains(&base.len()) && ext.len() <= 3;
    if !fits || !base.chars().chain(ext.chars()).all(plain) {
        return None;
    }
    let mut short = [b' '; 11];
    short[..base.len()].copy_from_slice(base.to_ascii_uppercase().as_bytes());
    short[8..8 + ext.len()].copy_from_slice(ext.to_ascii_uppercase().as_bytes());
    Some(short)
}

/// Entries for a long name beside a short one: pieces first, the short entry last, without cluster and size.
#[must_use]
pub fn encode(name: &str, short: [u8; 11], attributes: u8) -> Vec<[u8; ENTRY]> {
    let units: Vec<u16> = name.encode_utf16().collect();
    let pieces = units.len().div_ceil(UNIT_AT.len());
    let mut list = Vec::with_capacity(pieces + 1);
    for piece in (0..pieces).rev() {
        let mut raw = [0; ENTRY];
        // At most 20 for the names of a FAT file system.
        raw[0] = (piece + 1) as u8 | if piece + 1 == pieces { 0x40 } else { 0 };
        raw[11] = LONG;
        raw[13] = checksum(&short);
        for (i, at) in UNIT_AT.into_iter().enumerate() {
            let index = piece * UNIT_AT.len() + i;
            let pad = if index == units.len() { 0 } else { u16::MAX };
            let unit = units.get(index).copied().unwrap_or(pad);
            raw[at..at + 2].copy_from_slice(&unit.to_le_bytes());
        }
        list.push(raw);
    }
    let mut raw = [0; ENTRY];
    raw[..11].copy_from_slice(&short);
    raw[11] = attributes;
    list.push(raw);
    list
}

/// Puts first cluster and size into a short entry.
pub fn set_content(raw: &mut [u8], cluster: u32, size: u32) {
    let cluster = cluster.to_le_bytes();
    raw[20..22].copy_from_slice(&cluster[2..]);
    raw[26..28].copy_from_slice(&cluster[..2]);
    raw[28..32].copy_from_slice(&size.to_le_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn directory(slots: &[[u8; ENTRY]]) -> Vec<Dirent> {
        decode(&slots.concat())
    }

    fn slots() -> Vec<[u8; ENTRY]> {
        encode("roamcore-b+3.conf", *b"ROAMCO~1CON", 0x20)
    }

    #[test]
    fn a_whole_name_and_a_torn_one() {
        let whole = slots();
        assert_eq!(whole.len(), 3);
        let found = directory(&whole);
        assert_eq!(
            (found[0].name.as_str(), found[0].slots),
            ("roamcore-b+3.conf", 3)
        );

        for spoil in [
            |s: &mut Vec<[u8; ENTRY]>| s[0][13] ^= 1,
            |s: &mut Vec<[u8; ENTRY]>| s[1][0] = REMOVED,
            |s: &mut Vec<[u8; ENTRY]>| s[2][7] = b'X',
            |s: &mut Vec<[u8; ENTRY]>| drop(s.drain(..2)),
        ] {
            let mut torn = slots();
            spoil(&mut torn);
            let name = &directory(&torn)[0].name;
            assert!(
                name.ends_with(".CON") && name.starts_with("ROAMCO~"),
                "{name}"
            );
        }
    }

    #[test]
    fn pieces_alone_show_nothing_and_zero_ends_it() {
        assert!(directory(&slots()[..2]).is_empty());
        let mut gap = vec![[0; ENTRY]];
        gap.extend(slots());
        assert!(directory(&gap).is_empty());
        let mut removed = vec![[REMOVED; ENTRY]];
        removed.extend(slots());
        assert_eq!(directory(&removed)[0].slot, 3);
    }

    #[test]
    fn short_forms() {
        assert_eq!(as_short("BootX64.efi"), Some(*b"BOOTX64 EFI"));
        assert_eq!(as_short("loader"), Some(*b"LOADER     "));
        for name in ["a.conf", "ninechars", "a+b", ".x", ""] {
            assert_eq!(as_short(name), None, "{name}");
        }
        assert_eq!(short_name(b"BOOTX64 EFI", 0x18), "bootx64.efi");
    }

    proptest! {
        #[test]
        fn never_panics(bytes in proptest::collection::vec(any::<u8>(), 0..600)) {
            drop(decode(&bytes));
        }

        #[test]
        fn names_come_back(name in "[a-zA-Z0-9+._-]{1,60}") {
            let found = directory(&encode(&name, *b"SHORT~1 CON", 0x20));
            prop_assert_eq!(&found[0].name, &name);
        }
    }
}
