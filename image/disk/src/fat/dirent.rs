//! One directory entry as bytes, and a directory's bytes as entries.
//!
//! Long names precede their short entry, last piece first, tied to it by a checksum (specification, section 7).
//! Decoding is strict: a long name that does not belong to its entry is damage, not decoration.

use super::name::{Alias, MAX_UNITS};
use super::time::FatTime;
use super::{ATTR_LABEL, ATTR_LONG, ENTRY};

/// UTF-16 units in one long-name piece, and where they lie.
const UNITS: usize = 13;
const UNIT_AT: [usize; UNITS] = [1, 3, 5, 7, 9, 14, 16, 18, 20, 22, 24, 28, 30];

fn checksum(short: &[u8]) -> u8 {
    short
        .iter()
        .fold(0_u8, |sum, byte| sum.rotate_right(1).wrapping_add(*byte))
}

/// Bytes the entries of one name need.
pub(super) fn encoded_len(name: &str, alias: &Alias) -> u64 {
    let pieces = if alias.long {
        name.encode_utf16().count().div_ceil(UNITS)
    } else {
        0
    };
    ((pieces + 1) * ENTRY) as u64
}

/// A short entry.
pub(super) fn encode_short(
    short: &[u8; 11],
    attr: u8,
    cluster: u32,
    len: u32,
    at: FatTime,
) -> [u8; ENTRY] {
    let mut raw = [0; ENTRY];
    raw[..11].copy_from_slice(short);
    raw[11] = attr;
    let cluster = cluster.to_le_bytes();
    raw[20..22].copy_from_slice(&cluster[2..]);
    raw[26..28].copy_from_slice(&cluster[..2]);
    raw[28..].copy_from_slice(&len.to_le_bytes());
    // Written; and for entries other than the label, created and accessed.
    raw[22..24].copy_from_slice(&at.time.to_le_bytes());
    raw[24..26].copy_from_slice(&at.date.to_le_bytes());
    if attr != ATTR_LABEL {
        raw[14..16].copy_from_slice(&at.time.to_le_bytes());
        raw[16..18].copy_from_slice(&at.date.to_le_bytes());
        raw[18..20].copy_from_slice(&at.date.to_le_bytes());
    }
    raw
}

/// The long-name pieces that go before the short entry; none when the alias says so.
pub(super) fn encode_long(name: &str, alias: &Alias, out: &mut Vec<u8>) {
    if !alias.long {
        return;
    }
    let units: Vec<u16> = name.encode_utf16().collect();
    let pieces = units.len().div_ceil(UNITS);
    for piece in (0..pieces).rev() {
        let mut raw = [0; ENTRY];
        raw[0] = (piece + 1) as u8 | if piece + 1 == pieces { 0x40 } else { 0 };
        raw[11] = ATTR_LONG;
        raw[13] = checksum(&alias.short);
        for (i, at) in UNIT_AT.into_iter().enumerate() {
            let index = piece * UNITS + i;
            // One terminating zero, then all ones.
            let pad = if index == units.len() { 0 } else { u16::MAX };
            let unit = units.get(index).copied().unwrap_or(pad);
            raw[at..at + 2].copy_from_slice(&unit.to_le_bytes());
        }
        out.extend(raw);
    }
}

/// A decoded entry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Dirent {
    pub(super) index: usize,
    pub(super) name: String,
    pub(super) attr: u8,
    pub(super) cluster: u32,
    pub(super) len: u32,
}

/// The live entries of a directory, volume labels and dot entries included. `Err` names the entry and the damage.
pub(super) fn decode(bytes: &[u8]) -> Result<Vec<Dirent>, (usize, &'static str)> {
    let mut found = Vec::new();
    // Pieces seen so far, newest first; the next number expected; the checksum they carry.
    let mut long: Option<(Vec<u16>, u8, u8)> = None;
    for (index, raw) in bytes.chunks_exact(ENTRY).enumerate() {
        let bad = |reason| Err((index, reason));
        if raw[0] == 0 {
            break;
        }
        if raw[0] == 0xE5 {
            long = None;
            continue;
        }
        if raw[11] & 0x3F == ATTR_LONG {
            let number = raw[0] & 0x3F;
            let units = UNIT_AT.map(|at| u16::from_le_bytes([raw[at], raw[at + 1]]));
            let (mut name, sum) = match long.take() {
                None if raw[0] & 0x40 != 0 => (Vec::new(), raw[13]),
                Some((name, next, sum)) if raw[0] == next && sum == raw[13] => (name, sum),
                _ => return bad("a long-name piece is out of order"),
            };
            if number == 0 || usize::from(number) > MAX_UNITS.div_ceil(UNITS) {
                return bad("a long-name piece has an impossible number");
            }
            name.splice(0..0, units);
            long = Some((name, number - 1, sum));
            continue;
        }
        let short =
            short_name(raw).ok_or((index, "the short name has characters FAT does not allow"))?;
        let name = match long.take() {
            None => short,
            Some((units, 0, sum)) if sum == checksum(&raw[..11]) => {
                let end = units
                    .iter()
                    .position(|unit| *unit == 0)
                    .unwrap_or(units.len());
                String::from_utf16(&units[..end])
                    .map_err(|_| (index, "the long name is not UTF-16"))?
            }
            Some(_) => return bad("the long name belongs to another entry"),
        };
        let le = |at: usize| u32::from(u16::from_le_bytes([raw[at], raw[at + 1]]));
        let (cluster, len) = (le(20) << 16 | le(26), le(28) | le(30) << 16);
        found.push(Dirent {
            index,
            name,
            attr: raw[11],
            cluster,
            len,
        });
    }
    if long.is_some() {
        return Err((bytes.len() / ENTRY, "the directory ends within a long name"));
    }
    Ok(found)
}

/// The short name as text. Labels may hold spaces, so only the trailing ones go.
fn short_name(raw: &[u8]) -> Option<String> {
    let text = |part: &[u8], lower: bool| -> Option<String> {
        let text = std::str::from_utf8(part).ok()?.trim_end_matches(' ');
        let good = text
            .chars()
            .all(|c| !c.is_control() && !r#""*+,/:;<=>?[\]|"#.contains(c));
        good.then(|| {
            if lower {
                text.to_ascii_lowercase()
            } else {
                text.to_owned()
            }
        })
    };
    // Byte 12: Windows and mtools mark an all-lower-case base (0x08) or extension (0x10) instead of a long name.
    let base = text(&raw[..8], raw[12] & 0x08 != 0)?;
    let ext = text(&raw[8..11], raw[12] & 0x10 != 0)?;
    if raw[11] & ATTR_LABEL != 0 {
        return Some(
            std::str::from_utf8(&raw[..11])
                .ok()?
                .trim_end_matches(' ')
                .to_owned(),
        );
    }
    match (base.is_empty(), ext.is_empty()) {
        (true, _) => None,
        (false, true) => Some(base),
        (false, false) => Some(format!("{base}.{ext}")),
    }
}
