//! The single-file form of a release: everything that is published, in one file, small things first.
//!
//! Owns the layout of `.roam` files. Never does: look into members, believe them, or make a path of a name. Whoever opens
//! one verifies its members as if they had come from a server.
//!
//! ```text
//!  magic | format | members | table length | table: size, name length, name | zeros to 4096 | member | zeros | member ...
//!  '------------------------- header ------'                                '- each at the next multiple of 4096 -------'
//! ```
//!
//! Invariant: an opened archive's members lie within the file, do not overlap and have different names. Same members, same
//! bytes.

use std::collections::HashSet;
use std::io::{self, Read, Write};

use crate::{ALIGN, ReadAt, Section};

/// First bytes of a file.
const MAGIC: [u8; 8] = *b"roamrel\0";
/// The format described in docs/release-format-index.md.
const FORMAT: u32 = 1;
/// Magic, format, number of members, length of the table.
const HEADER: usize = 20;
/// Most members: a release has half a dozen files and its parts.
pub const MAX_MEMBERS: usize = 5000;
/// Longest name, as in a release's manifest.
pub const MAX_NAME: usize = 127;
/// Size and length of the name.
const ENTRY: usize = 9;
const MAX_TABLE: usize = MAX_MEMBERS * (ENTRY + MAX_NAME);

/// A `.roam` file could not be written or read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RoamError {
    /// Reading or writing failed.
    #[error("the release file could not be read or written")]
    Io(#[source] io::Error),
    /// Not such a file.
    #[error("this is not a release file: its first eight bytes are wrong")]
    Magic,
    /// A newer format.
    #[error("the release file has format {found}, this program knows 1: update the program first")]
    Format {
        /// The number found.
        found: u32,
    },
    /// Too many members, or a table that cannot hold them.
    #[error("{members} members in a table of {table} bytes are refused: at most {MAX_MEMBERS}")]
    Table {
        /// Members.
        members: u32,
        /// Bytes of the table.
        table: u32,
    },
    /// A name that is none.
    #[error(
        "member {member} has a name that is refused: 1 to 127 of A-Z a-z 0-9 . _ + -, a letter or digit first, no dot last"
    )]
    Name {
        /// Its number.
        member: usize,
    },
    /// Two members of one name.
    #[error("two members are named {name}, if case is ignored")]
    Twice {
        /// The name.
        name: String,
    },
    /// The file is shorter or longer than its table says.
    #[error(
        "the release file has {found} bytes, its table needs {expected}: it was cut short or something was appended"
    )]
    FileSize {
        /// Bytes of the file.
        found: u64,
        /// By its table.
        expected: u64,
    },
    /// A member's content ended early, or went on.
    #[error("member {name} was announced with {expected} bytes and has {found}")]
    MemberSize {
        /// Its name.
        name: String,
        /// Bytes that came; one more than announced stands for any number.
        found: u64,
        /// Bytes announced.
        expected: u64,
    },
    /// A member too large to be taken into memory.
    #[error("member {name} has {found} bytes, {limit} are accepted")]
    TooLarge {
        /// Its name.
        name: String,
        /// Its size.
        found: u64,
        /// Limit.
        limit: u64,
    },
}

/// One member to be written.
pub struct NewMember<'a> {
    /// Its name: that of the artefact, never a path.
    pub name: &'a str,
    /// Its exact size.
    pub size: u64,
    /// Its bytes.
    pub content: &'a mut dyn Read,
}

/// One member of an opened file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Member {
    /// Its name: letters, digits, `.`, `_`, `+`, `-`; never a path.
    pub name: String,
    /// First byte in the file.
    pub offset: u64,
    /// Bytes.
    pub size: u64,
}

/// Writes a release file, members in the order given (put small ones first), and returns its size. The same input gives
/// the same bytes.
pub fn write(out: &mut dyn Write, members: Vec<NewMember<'_>>) -> Result<u64, RoamError> {
    let mut table = Vec::new();
    for member in &members {
        table.extend_from_slice(&member.size.to_le_bytes());
        // Longer names are refused by `lay_out`, which reads what is written here.
        table.push(u8::try_from(member.name.len()).unwrap_or(u8::MAX));
        table.extend_from_slice(member.name.as_bytes());
    }
    let count = u32::try_from(members.len()).unwrap_or(u32::MAX);
    let length = u32::try_from(table.len()).unwrap_or(u32::MAX);
    let (placed, end) = lay_out(count, length, &table)?;
    let mut header = Vec::with_capacity(HEADER + table.len());
    header.extend_from_slice(&MAGIC);
    header.extend_from_slice(&FORMAT.to_le_bytes());
    header.extend_from_slice(&count.to_le_bytes());
    header.extend_from_slice(&length.to_le_bytes());
    header.extend_from_slice(&table);
    out.write_all(&header).map_err(RoamError::Io)?;
    let mut at = header.len() as u64;
    for (member, place) in members.into_iter().zip(placed) {
        at += pad(out, place.offset - at)?;
        // One byte more than announced is enough to know that it is longer.
        let copied =
            io::copy(&mut member.content.take(place.size + 1), out).map_err(RoamError::Io)?;
        if copied != place.size {
            return Err(RoamError::MemberSize {
                name: place.name,
                found: copied,
                expected: place.size,
            });
        }
        at += copied;
    }
    at += pad(out, end - at)?;
    out.flush().map_err(RoamError::Io)?;
    Ok(at)
}

fn pad(out: &mut dyn Write, length: u64) -> Result<u64, RoamError> {
    // Always less than a block.
    out.write_all(&[0; ALIGN as usize][..length as usize])
        .map_err(RoamError::Io)?;
    Ok(length)
}

/// Reads a table: members with their places, and the size of the whole file.
fn lay_out(count: u32, length: u32, mut table: &[u8]) -> Result<(Vec<Member>, u64), RoamError> {
    let bad_table = RoamError::Table {
        members: count,
        table: length,
    };
    if count as usize > MAX_MEMBERS || length as usize > MAX_TABLE {
        return Err(bad_table);
    }
    let mut members = Vec::new();
    let mut names = HashSet::new();
    let mut at = HEADER as u64 + u64::from(length);
    for number in 0..count as usize {
        let Some((size, rest)) = table.split_first_chunk() else {
            return Err(bad_table);
        };
        let Some((name, rest)) = rest
            .split_first()
            .and_then(|(len, rest)| rest.split_at_checked(usize::from(*len)))
        else {
            return Err(bad_table);
        };
        table = rest;
        let name = clean(name).ok_or(RoamError::Name { member: number })?;
        if !names.insert(name.to_ascii_lowercase()) {
            return Err(RoamError::Twice { name });
        }
        let size = u64::from_le_bytes(*size);
        // Saturated sums exceed every file, so that the comparison with its size refuses them.
        let offset = at.checked_next_multiple_of(ALIGN).unwrap_or(u64::MAX);
        at = offset.saturating_add(size);
        members.push(Member { name, offset, size });
    }
    if !table.is_empty() {
        return Err(bad_table);
    }
    Ok((
        members,
        at.checked_next_multiple_of(ALIGN).unwrap_or(u64::MAX),
    ))
}

fn clean(name: &[u8]) -> Option<String> {
    let good = |b: &u8| b.is_ascii_alphanumeric() || b"._+-".contains(b);
    let fits = (1..=MAX_NAME).contains(&name.len()) && name.iter().all(good);
    let ends = name.first()?.is_ascii_alphanumeric() && name.last() != Some(&b'.');
    (fits && ends).then(|| String::from_utf8_lossy(name).into_owned())
}

/// An opened release file: a table that agrees with itself and with the file's size. Nothing in it is trusted before
/// signatures were verified over the members.
pub struct Archive<'a> {
    file: &'a dyn ReadAt,
    members: Vec<Member>,
}

impl<'a> Archive<'a> {
    /// Reads header and table.
    pub fn open(file: &'a dyn ReadAt) -> Result<Archive<'a>, RoamError> {
        let found = file.size();
        let mut header = [0; HEADER];
        if found < HEADER as u64 {
            return Err(RoamError::Magic);
        }
        file.read_exact_at(&mut header, 0).map_err(RoamError::Io)?;
        let rest = header.strip_prefix(&MAGIC).ok_or(RoamError::Magic)?;
        let number = |at: usize| {
            let mut bytes = [0; 4];
            bytes.copy_from_slice(&rest[at..at + 4]);
            u32::from_le_bytes(bytes)
        };
        let (format, members, table) = (number(0), number(4), number(8));
        if format != FORMAT {
            return Err(RoamError::Format { found: format });
        }
        if members as usize > MAX_MEMBERS || table as usize > MAX_TABLE {
            return Err(RoamError::Table { members, table });
        }
        if found < HEADER as u64 + u64::from(table) {
            let expected = HEADER as u64 + u64::from(table);
            return Err(RoamError::FileSize { found, expected });
        }
        let mut bytes = vec![0; table as usize];
        file.read_exact_at(&mut bytes, HEADER as u64)
            .map_err(RoamError::Io)?;
        let (members, expected) = lay_out(members, table, &bytes)?;
        if found != expected {
            return Err(RoamError::FileSize { found, expected });
        }
        Ok(Archive { file, members })
    }

    /// All members in file order.
    pub fn members(&self) -> &[Member] {
        &self.members
    }

    /// A member as a reader of its own.
    pub fn member(&self, name: &str) -> Option<Section<'a>> {
        let member = self.members.iter().find(|m| m.name == name)?;
        Section::new(self.file, member.offset, member.size)
    }

    /// A small member as bytes; an error when it has more than `limit`, none when there is no such member.
    pub fn read(&self, name: &str, limit: u64) -> Result<Option<Vec<u8>>, RoamError> {
        let Some(section) = self.member(name) else {
            return Ok(None);
        };
        let found = section.size();
        if found > limit {
            return Err(RoamError::TooLarge {
                name: name.to_owned(),
                found,
                limit,
            });
        }
        let mut bytes = vec![0; found as usize];
        section
            .read_exact_at(&mut bytes, 0)
            .map_err(RoamError::Io)?;
        Ok(Some(bytes))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(members: &[(&str, &[u8])]) -> Result<Vec<u8>, RoamError> {
        let mut contents: Vec<&[u8]> = members.iter().map(|m| m.1).collect();
        let members = members
            .iter()
            .zip(&mut contents)
            .map(|(m, content)| NewMember {
                name: m.0,
                size: m.1.len() as u64,
                content,
            });
        let mut out = Vec::new();
        let size = write(&mut out, members.collect())?;
        assert_eq!(size, out.len() as u64);
        Ok(out)
    }

    #[test]
    fn written_and_read() {
        let big = vec![7; 10_000];
        let members: [(&str, &[u8]); 4] = [
            ("update.json", b"{}"),
            ("empty", b""),
            ("root.000", &big),
            ("z", b"last"),
        ];
        let bytes = file(&members).unwrap();
        assert_eq!(bytes, file(&members).unwrap());
        let archive = Archive::open(&bytes).unwrap();
        assert_eq!(archive.members().len(), 4);
        for (name, content) in members {
            let read = archive.read(name, 10_000).unwrap().unwrap();
            assert_eq!(read, content);
            assert_eq!(
                archive
                    .members()
                    .iter()
                    .find(|m| m.name == name)
                    .unwrap()
                    .offset
                    % ALIGN,
                0
            );
        }
        assert!(archive.read("other", 10).unwrap().is_none());
        let error = archive.read("root.000", 9_999).unwrap_err();
        assert_eq!(
            error.to_string(),
            "member root.000 has 10000 bytes, 9999 are accepted"
        );
    }

    #[test]
    fn names_are_never_paths() {
        for bad in [
            "", "..", ".x", "a/b", "/a", "a\\b", "x.", "-rf", "a b", "ä", "a\0",
        ] {
            let error = file(&[(bad, b"")]).unwrap_err();
            assert!(
                matches!(error, RoamError::Name { member: 0 }),
                "{bad:?}: {error}"
            );
        }
        let long = "n".repeat(128);
        assert!(matches!(file(&[(&long, b"")]), Err(RoamError::Name { .. })));
        let error = file(&[("a", b""), ("A", b"")]).unwrap_err();
        assert_eq!(
            error.to_string(),
            "two members are named A, if case is ignored"
        );
    }

    #[test]
    fn wrong_sizes_are_refused() {
        for (size, found) in [(3, 4), (5, 4)] {
            let mut content: &[u8] = b"four";
            let member = NewMember {
                name: "a",
                size,
                content: &mut content,
            };
            match write(&mut Vec::new(), vec![member]) {
                Err(RoamError::MemberSize { found: f, .. }) => assert_eq!(f, found),
                other => panic!("{other:?}"),
            }
        }
        let bytes = file(&[("a", b"content")]).unwrap();
        for cut in 0..bytes.len() {
            assert!(Archive::open(&bytes[..cut].to_vec()).is_err(), "{cut}");
        }
        let mut longer = bytes.clone();
        longer.extend_from_slice(&[0; 4096]);
        assert!(matches!(
            Archive::open(&longer),
            Err(RoamError::FileSize { .. })
        ));
    }

    #[test]
    fn damaged_tables_never_panic() {
        let bytes = file(&[("a", b"content"), ("bb", b"more")]).unwrap();
        for at in 0..64 {
            for value in [0, 1, 0x7f, 0x80, 0xff] {
                let mut damaged = bytes.clone();
                damaged[at] = value;
                if let Ok(archive) = Archive::open(&damaged) {
                    for member in archive.members() {
                        assert!(archive.read(&member.name, 1 << 20).unwrap().is_some());
                    }
                }
            }
        }
        let mut huge = bytes;
        huge[20..28].copy_from_slice(&u64::MAX.to_le_bytes());
        assert!(matches!(
            Archive::open(&huge),
            Err(RoamError::FileSize { .. })
        ));
    }
}
