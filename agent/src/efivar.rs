//! EFI variables of the boot loader, and one of our own.
//!
//! Owns: encoding and decoding of efivarfs contents, and how such a file is replaced. Never does: decide what to
//! write. Invariant: a variable is written by one write(2), which is one SetVariable: the old value or the new one.
//!
//! ```text
//!   0        4                                      0        4        5   6   7
//!   | attrs  | UTF-16LE text ... 00 00 |            | attrs  | format | a | b |     RoamcoreBootFailures
//! ```

use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::path::Path;

use rustix::fs::{IFlags, ioctl_getflags, ioctl_setflags};

use crate::files::{At, IoAt};
use crate::slot::Slot;

/// systemd's loader interface: the counted entry's path, after this boot was counted.
pub const BOOT_COUNT_PATH: &str = "LoaderBootCountPath-4a67b082-0a4c-41cf-b6c7-440b29bb8c4f";

/// The entry sd-boot chose: its file name in lower case, counter included, as it was before this boot was counted.
pub const ENTRY_SELECTED: &str = "LoaderEntrySelected-4a67b082-0a4c-41cf-b6c7-440b29bb8c4f";

/// Names of all entries sd-boot found, each with its own NUL.
pub const ENTRIES: &str = "LoaderEntries-4a67b082-0a4c-41cf-b6c7-440b29bb8c4f";

/// The entry sd-boot shall take next time, once.
pub const ENTRY_ONE_SHOT: &str = "LoaderEntryOneShot-4a67b082-0a4c-41cf-b6c7-440b29bb8c4f";

/// Failed boots of committed slots.
pub const BOOT_FAILURES: &str = "RoamcoreBootFailures-6c1f3a42-6d0e-4f0b-9d5c-7e6b3c1a0f20";

/// Two hundred entries with long names.
pub const LONGEST_LIST: u64 = 64 * 1024;

/// NON_VOLATILE | BOOTSERVICE_ACCESS | RUNTIME_ACCESS, UEFI 2.10 section 8.2.
const KEPT: u32 = 7;

/// The only form of our own variable so far.
const FAILURES_FORMAT: u8 = 1;

/// Generous: a VFAT name of 255 units plus its directories.
pub const LONGEST: u64 = 4 + 2 * 1024;

/// EFI_VARIABLE_NON_VOLATILE, UEFI 2.10 section 8.2.
const NON_VOLATILE: u32 = 1;

/// What the variable says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum BootCountPath {
    /// Made in this boot by the boot loader.
    FromLoader(String),
    /// Survives reboots, so it was not made by sd-boot, which writes it volatile; once the boot
    /// services are gone nobody can make a volatile one.
    Planted {
        /// The attributes seen.
        attributes: u32,
    },
}

/// Why the contents were refused.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum EfiVariableError {
    /// Too short for attributes and a terminator, or half a unit.
    #[error(
        "LoaderBootCountPath has {0} bytes; 4 bytes of attributes and whole UTF-16 units are needed"
    )]
    Length(usize),
    /// No terminator at the end, or one before.
    #[error("LoaderBootCountPath is not terminated by exactly one NUL at its end")]
    Terminator,
    /// Unpaired surrogate.
    #[error("LoaderBootCountPath is not valid UTF-16")]
    Utf16,
}

/// Decodes an efivarfs file.
pub fn boot_count_path(bytes: &[u8]) -> Result<BootCountPath, EfiVariableError> {
    let (attributes, rest) = bytes
        .split_first_chunk::<4>()
        .ok_or(EfiVariableError::Length(bytes.len()))?;
    let attributes = u32::from_le_bytes(*attributes);
    if attributes & NON_VOLATILE != 0 {
        return Ok(BootCountPath::Planted { attributes });
    }
    let (pairs, odd) = rest.as_chunks::<2>();
    if pairs.is_empty() || !odd.is_empty() || bytes.len() as u64 > LONGEST {
        return Err(EfiVariableError::Length(bytes.len()));
    }
    let units: Vec<u16> = pairs.iter().map(|pair| u16::from_le_bytes(*pair)).collect();
    match units.split_last() {
        Some((0, path)) if !path.contains(&0) => String::from_utf16(path)
            .map(BootCountPath::FromLoader)
            .map_err(|_| EfiVariableError::Utf16),
        _ => Err(EfiVariableError::Terminator),
    }
}

/// Decodes a variable that is one text.
pub fn text(bytes: &[u8]) -> Option<String> {
    let (_, rest) = bytes.split_first_chunk::<4>()?;
    let (pairs, odd) = rest.as_chunks::<2>();
    let units: Vec<u16> = pairs.iter().map(|pair| u16::from_le_bytes(*pair)).collect();
    let text = units.strip_suffix(&[0]).unwrap_or(&units);
    if !odd.is_empty() || text.contains(&0) {
        return None;
    }
    String::from_utf16(text).ok()
}

/// Decodes a variable that is a list of texts, each with a NUL at its end; what is no text is left out.
pub fn list(bytes: &[u8]) -> Vec<String> {
    let Some((_, rest)) = bytes.split_first_chunk::<4>() else {
        return Vec::new();
    };
    let units: Vec<u16> = rest
        .as_chunks::<2>()
        .0
        .iter()
        .map(|pair| u16::from_le_bytes(*pair))
        .collect();
    units
        .split(|unit| *unit == 0)
        .filter(|text| !text.is_empty())
        .filter_map(|text| String::from_utf16(text).ok())
        .collect()
}

/// A text as a variable that survives reboots.
pub fn encode_text(text: &str) -> Vec<u8> {
    let units = text.encode_utf16().chain([0]).flat_map(u16::to_le_bytes);
    KEPT.to_le_bytes().into_iter().chain(units).collect()
}

/// Boots of a committed slot that are known to have failed, in a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct BootFailures {
    a: u8,
    b: u8,
}

impl BootFailures {
    /// Decodes the variable; `None` is another format, or not ours.
    pub fn decode(bytes: &[u8]) -> Option<Self> {
        match bytes.get(4..) {
            Some([FAILURES_FORMAT, a, b]) => Some(Self { a: *a, b: *b }),
            _ => None,
        }
    }

    /// The variable's contents.
    pub fn encode(self) -> Vec<u8> {
        let mut bytes = KEPT.to_le_bytes().to_vec();
        bytes.extend([FAILURES_FORMAT, self.a, self.b]);
        bytes
    }

    /// Failures of a slot.
    pub fn of(self, slot: Slot) -> u8 {
        match slot {
            Slot::A => self.a,
            Slot::B => self.b,
        }
    }

    /// The same with another number for one slot.
    #[must_use]
    pub fn with(self, slot: Slot, count: u8) -> Self {
        match slot {
            Slot::A => Self { a: count, ..self },
            Slot::B => Self { b: count, ..self },
        }
    }
}

/// Writes a variable, whether or not it exists.
pub fn replace(path: &Path, bytes: &[u8]) -> Result<(), IoAt> {
    if path.exists() {
        unlock(path)?;
    }
    // Neither truncated nor written in pieces: every write is a whole variable.
    let mut file = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(false)
        .open(path)
        .at("open", path)?;
    match file.write(bytes).at("write", path)? {
        count if count == bytes.len() => Ok(()),
        count => Err(std::io::Error::other(format!(
            "only {count} of {} bytes were taken",
            bytes.len()
        )))
        .at("write", path),
    }
}

/// Deletes a variable if it exists.
pub fn delete(path: &Path) -> Result<(), IoAt> {
    if !path.exists() {
        return Ok(());
    }
    unlock(path)?;
    fs::remove_file(path).at("delete", path)
}

/// efivarfs makes every variable it does not know immutable.
fn unlock(path: &Path) -> Result<(), IoAt> {
    let file = File::open(path).at("open", path)?;
    match ioctl_getflags(&file) {
        Ok(flags) if flags.contains(IFlags::IMMUTABLE) => {
            ioctl_setflags(&file, flags - IFlags::IMMUTABLE).at("make writable", path)
        }
        // A file system without such flags has nothing to take away.
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn variable(attributes: u32, units: &[u16]) -> Vec<u8> {
        attributes
            .to_le_bytes()
            .into_iter()
            .chain(units.iter().flat_map(|u| u.to_le_bytes()))
            .collect()
    }

    #[test]
    fn table() {
        let a = u16::from(b'a');
        let cases = [
            (
                variable(6, &[a, 0]),
                Ok(BootCountPath::FromLoader("a".into())),
            ),
            (
                variable(7, &[a, 0]),
                Ok(BootCountPath::Planted { attributes: 7 }),
            ),
            (vec![], Err(EfiVariableError::Length(0))),
            (variable(6, &[]), Err(EfiVariableError::Length(4))),
            (vec![6, 0, 0, 0, b'a'], Err(EfiVariableError::Length(5))),
            (variable(6, &[a; 2000]), Err(EfiVariableError::Length(4004))),
            (variable(6, &[a]), Err(EfiVariableError::Terminator)),
            (
                variable(6, &[a, 0, a, 0]),
                Err(EfiVariableError::Terminator),
            ),
            (variable(6, &[0xd800, 0]), Err(EfiVariableError::Utf16)),
        ];
        for (bytes, want) in cases {
            assert_eq!(boot_count_path(&bytes), want, "{bytes:?}");
        }
    }

    #[test]
    fn texts_and_lists() {
        let (a, b) = (u16::from(b'a'), u16::from(b'b'));
        assert_eq!(text(&variable(6, &[a, b, 0])), Some("ab".into()));
        assert_eq!(text(&variable(6, &[a, b])), Some("ab".into()));
        assert_eq!(text(&variable(6, &[a, 0, b, 0])), None);
        assert_eq!(text(&[6, 0, 0]), None);
        let entries = variable(6, &[a, 0, 0xd800, 0, b, a, 0]);
        assert_eq!(list(&entries), ["a", "ba"]);
        assert_eq!(encode_text("ab"), variable(7, &[a, b, 0]));
    }

    #[test]
    fn failures_of_both_slots() {
        let counts = BootFailures::default().with(Slot::B, 2).with(Slot::A, 1);
        assert_eq!(counts.encode(), [7, 0, 0, 0, 1, 1, 2]);
        assert_eq!(BootFailures::decode(&counts.encode()), Some(counts));
        assert_eq!((counts.of(Slot::A), counts.of(Slot::B)), (1, 2));
        for bytes in [
            &[7, 0, 0, 0][..],
            &[7, 0, 0, 0, 2, 1, 2],
            &[7, 0, 0, 0, 1, 1, 2, 0],
        ] {
            assert_eq!(BootFailures::decode(bytes), None, "{bytes:?}");
        }
    }

    #[test]
    fn variables_are_replaced_and_deleted() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("v");
        delete(&path).unwrap();
        for text in ["ab", "cd"] {
            replace(&path, &encode_text(text)).unwrap();
            assert_eq!(fs::read(&path).unwrap(), encode_text(text));
        }
        delete(&path).unwrap();
        assert!(!path.exists());
        let nowhere = dir.path().join("none/v");
        assert!(
            replace(&nowhere, b"x")
                .unwrap_err()
                .to_string()
                .starts_with("cannot open")
        );
    }

    proptest! {
        #[test]
        fn never_panics(bytes in proptest::collection::vec(any::<u8>(), 0..64)) {
            drop(boot_count_path(&bytes));
            drop(text(&bytes));
            drop(list(&bytes));
            let _ = BootFailures::decode(&bytes);
        }

        #[test]
        fn round_trip(path in "[^\0]{0,40}") {
            let units: Vec<u16> = path.encode_utf16().chain([0]).collect();
            prop_assert_eq!(boot_count_path(&variable(6, &units)), Ok(BootCountPath::FromLoader(path)));
        }
    }
}
