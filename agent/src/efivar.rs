//! The EFI variable in which sd-boot says that the booted entry is counted.
//!
//! Owns: decoding of efivarfs contents. Never does: I/O, writing variables.
//!
//! ```text
//!   0        4
//!   | attrs  | UTF-16LE path ... 00 00 |
//! ```

/// systemd's loader interface: the counted entry's path, after this boot was counted.
pub const BOOT_COUNT_PATH: &str = "LoaderBootCountPath-4a67b082-0a4c-41cf-b6c7-440b29bb8c4f";

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

    proptest! {
        #[test]
        fn never_panics(bytes in proptest::collection::vec(any::<u8>(), 0..64)) {
            drop(boot_count_path(&bytes));
        }

        #[test]
        fn round_trip(path in "[^\0]{0,40}") {
            let units: Vec<u16> = path.encode_utf16().chain([0]).collect();
            prop_assert_eq!(boot_count_path(&variable(6, &units)), Ok(BootCountPath::FromLoader(path)));
        }
    }
}
