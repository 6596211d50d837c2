//! SMBIOS type 11 (OEM Strings).
//!
//! Owns: taking the strings out of one structure. Never does: I/O, give the strings a meaning.
//!
//! ```text
//!   0     1       2      4      hdr           (SMBIOS 3.7, sections 6.1.3 and 7.12)
//!   | 11 | hdr | handle | n |...| string 1 00 string 2 00 ... 00 |
//! ```

/// Type of the structure.
const OEM_STRINGS: u8 = 11;
/// Formatted part up to and with the count.
const SHORTEST_HEADER: usize = 5;
/// A structure's strings are ours when they are far below this.
pub const LONGEST: u64 = 64 * 1024;

/// Why a structure was refused.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum SmbiosError {
    /// Shorter than its own header.
    #[error("SMBIOS structure of {seen} bytes is shorter than its header of {header}")]
    Short {
        /// Bytes seen.
        seen: usize,
        /// Bytes needed.
        header: usize,
    },
    /// Another type.
    #[error("SMBIOS structure has type {0}, not 11")]
    Type(u8),
    /// A header too short to have a count.
    #[error("SMBIOS type 11 header has {0} bytes, at least 5 are needed")]
    Header(u8),
    /// Fewer strings than promised.
    #[error("SMBIOS type 11 promises {promised} strings and has {found}")]
    Missing {
        /// By the count.
        promised: u8,
        /// In the data.
        found: usize,
    },
}

/// The strings of one structure, as raw bytes.
pub fn oem_strings(raw: &[u8]) -> Result<Vec<&[u8]>, SmbiosError> {
    let short = |header| SmbiosError::Short {
        seen: raw.len(),
        header,
    };
    let [kind, header, _, _, count, ..] = *raw else {
        return Err(short(SHORTEST_HEADER));
    };
    if kind != OEM_STRINGS {
        return Err(SmbiosError::Type(kind));
    }
    let length = usize::from(header);
    if length < SHORTEST_HEADER {
        return Err(SmbiosError::Header(header));
    }
    let mut rest = raw.get(length..).ok_or_else(|| short(length))?;
    let mut strings = Vec::new();
    // An empty string ends the set; a string without its NUL is not whole.
    while strings.len() < usize::from(count) {
        match rest.iter().position(|b| *b == 0) {
            Some(end) if end > 0 => {
                strings.push(&rest[..end]);
                rest = &rest[end + 1..];
            }
            _ => {
                return Err(SmbiosError::Missing {
                    promised: count,
                    found: strings.len(),
                });
            }
        }
    }
    Ok(strings)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn table() {
        type Case<'a> = (&'a [u8], Result<Vec<&'a [u8]>, SmbiosError>);
        let cases: [Case; 9] = [
            (b"\x0b\x05\0\0\x02a=1\0b\0\0", Ok(vec![b"a=1", b"b"])),
            (b"\x0b\x06\0\0\x01\xffx\0\0", Ok(vec![b"x"])),
            (b"\x0b\x05\0\0\0\0\0", Ok(vec![])),
            (b"", Err(SmbiosError::Short { seen: 0, header: 5 })),
            (
                b"\x0b\xff\0\0\x01a\0\0",
                Err(SmbiosError::Short {
                    seen: 8,
                    header: 255,
                }),
            ),
            (b"\x01\x05\0\0\x01a\0\0", Err(SmbiosError::Type(1))),
            (b"\x0b\x04\0\0\x01a\0\0", Err(SmbiosError::Header(4))),
            (
                b"\x0b\x05\0\0\x03a\0b\0\0",
                Err(SmbiosError::Missing {
                    promised: 3,
                    found: 2,
                }),
            ),
            (
                b"\x0b\x05\0\0\x01abc",
                Err(SmbiosError::Missing {
                    promised: 1,
                    found: 0,
                }),
            ),
        ];
        for (raw, want) in cases {
            assert_eq!(oem_strings(raw), want, "{raw:?}");
        }
    }

    proptest! {
        #[test]
        fn never_panics(mut raw in proptest::collection::vec(any::<u8>(), 0..64), fix in any::<bool>()) {
            if fix && raw.len() > 1 {
                (raw[0], raw[1]) = (11, raw[1] % 16);
            }
            drop(oem_strings(&raw));
        }
    }
}
