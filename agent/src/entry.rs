//! Names of boot entries and their counters.
//!
//! Owns: the Automatic Boot Assessment suffix of the Boot Loader Specification (`+LEFT` or
//! `+LEFT-DONE` before `.conf`) and the path sd-boot reports. Never does: I/O.
//! Invariant: an `EntryName` is one plain file name, safe to use below loader/entries.

use crate::slot::Slot;

/// Directory of type #1 entries on the ESP.
pub const DIRECTORY: &str = "loader/entries";

/// Longest long file name of VFAT.
const LONGEST_NAME: usize = 255;

/// More digits are not counters but an attack; sd-boot writes one or two.
const MOST_DIGITS: usize = 9;

/// Tries left and used up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Counter {
    /// Tries the boot loader still has.
    pub left: u32,
    /// Tries it used; a name without the second number has used none.
    pub done: u32,
}

/// A file name in loader/entries.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum EntryName {
    /// A committed entry.
    Committed {
        /// Whole file name.
        file: String,
    },
    /// An entry on trial.
    Counted {
        /// Whole file name.
        file: String,
        /// File name without the counter.
        committed: String,
        /// The numbers.
        counter: Counter,
    },
}

/// Why a name or path was refused.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum EntryError {
    /// Not a plain entry name.
    #[error("boot entry name {0:?} is not 1 to 255 of A-Z, a-z, 0-9 and '._+-' ending in .conf")]
    Name(String),
    /// A number too long to be a counter.
    #[error("boot entry name {0:?} has a counter of more than {MOST_DIGITS} digits")]
    Digits(String),
    /// Somewhere else on the ESP.
    #[error("boot entry path {0:?} is not directly in \\loader\\entries")]
    Place(String),
    /// No counter where there must be one.
    #[error("boot entry {0:?} has no counter, but the boot loader reported it as counted")]
    NotCounted(String),
}

impl EntryName {
    /// Parses one file name.
    pub fn parse(file: &str) -> Result<Self, EntryError> {
        let bad = || EntryError::Name(file.to_owned());
        let plain = |b: u8| b.is_ascii_alphanumeric() || b"._+-".contains(&b);
        let stem = file.strip_suffix(".conf").ok_or_else(bad)?;
        if stem.is_empty()
            || stem.starts_with(['.', '+'])
            || file.len() > LONGEST_NAME
            || !file.bytes().all(plain)
        {
            return Err(bad());
        }
        let committed = Self::Committed {
            file: file.to_owned(),
        };
        let Some((base, suffix)) = stem.rsplit_once('+') else {
            return Ok(committed);
        };
        let (left, done) = suffix.split_once('-').unwrap_or((suffix, "0"));
        let digits = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
        if !digits(left) || !digits(done) {
            return Ok(committed);
        }
        let number = |text: &str| match text.len() {
            ..=MOST_DIGITS => text
                .parse()
                .map_err(|_| EntryError::Digits(file.to_owned())),
            _ => Err(EntryError::Digits(file.to_owned())),
        };
        let counter = Counter {
            left: number(left)?,
            done: number(done)?,
        };
        Ok(Self::Counted {
            file: file.to_owned(),
            committed: format!("{base}.conf"),
            counter,
        })
    }

    /// Name of a slot's entry with `left` tries and none used.
    pub fn counted(slot: Slot, left: u32) -> String {
        let base = slot.entry_file().trim_end_matches(".conf");
        format!("{base}+{left}.conf")
    }

    /// The slot this entry is of; FAT and sd-boot compare names without case.
    pub fn slot(&self) -> Option<Slot> {
        let (Self::Committed { file: name }
        | Self::Counted {
            committed: name, ..
        }) = self;
        [Slot::A, Slot::B]
            .into_iter()
            .find(|slot| name.eq_ignore_ascii_case(slot.entry_file()))
    }

    /// Parses sd-boot's path, which uses backslashes, into the counted entry it must name.
    pub fn of_boot_count_path(path: &str) -> Result<CountedEntry, EntryError> {
        let plain = path.replace('\\', "/");
        let file = plain
            .strip_prefix('/')
            .and_then(|rest| rest.strip_prefix(DIRECTORY))
            .and_then(|rest| rest.strip_prefix('/'))
            .filter(|file| !file.contains('/'))
            .ok_or_else(|| EntryError::Place(path.to_owned()))?;
        match Self::parse(file)? {
            Self::Counted {
                file,
                committed,
                counter,
            } => Ok(CountedEntry {
                file,
                committed,
                counter,
            }),
            Self::Committed { file } => Err(EntryError::NotCounted(file)),
        }
    }
}

/// An entry that is known to be on trial.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CountedEntry {
    /// Whole file name.
    pub file: String,
    /// File name after the commit.
    pub committed: String,
    /// The numbers.
    pub counter: Counter,
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn table() {
        let good = [
            ("roamcore-a.conf", None),
            ("roamcore-a+3.conf", Some(("roamcore-a.conf", 3, 0))),
            ("roamcore-a+2-1.conf", Some(("roamcore-a.conf", 2, 1))),
            ("roamcore-a+02-01.conf", Some(("roamcore-a.conf", 2, 1))),
            ("a+1+2.conf", Some(("a+1.conf", 2, 0))),
            ("a+.conf", None),
            ("a+1-.conf", None),
            ("a+1-2-3.conf", None),
            ("a+x.conf", None),
        ];
        for (file, want) in good {
            let want = match want {
                None => EntryName::Committed { file: file.into() },
                Some((committed, left, done)) => EntryName::Counted {
                    file: file.into(),
                    committed: committed.into(),
                    counter: Counter { left, done },
                },
            };
            assert_eq!(EntryName::parse(file), Ok(want), "{file}");
        }
        for file in [
            "", ".conf", "a", "+3.conf", "..conf", "a/b.conf", "a b.conf", "a\0.conf", "ä.conf",
        ] {
            assert_eq!(
                EntryName::parse(file),
                Err(EntryError::Name(file.into())),
                "{file}"
            );
        }
        let long = "a+1234567890.conf";
        assert_eq!(EntryName::parse(long), Err(EntryError::Digits(long.into())));
    }

    #[test]
    fn entries_of_slots() {
        let cases = [
            ("roamcore-a.conf", Some(Slot::A)),
            ("ROAMCORE-B.conf", Some(Slot::B)),
            ("roamcore-b+2-1.conf", Some(Slot::B)),
            ("roamcore-c.conf", None),
            ("roamcore-a.x.conf", None),
        ];
        for (file, want) in cases {
            assert_eq!(EntryName::parse(file).unwrap().slot(), want, "{file}");
        }
        let armed = EntryName::counted(Slot::B, 3);
        assert_eq!(armed, "roamcore-b+3.conf");
        assert_eq!(EntryName::parse(&armed).unwrap().slot(), Some(Slot::B));
    }

    #[test]
    fn paths() {
        let entry = EntryName::of_boot_count_path("\\loader\\entries\\r-7+2-1.conf").unwrap();
        assert_eq!(
            (entry.file.as_str(), entry.committed.as_str()),
            ("r-7+2-1.conf", "r-7.conf")
        );
        for path in [
            "r+1.conf",
            "\\loader\\r+1.conf",
            "\\loader\\entries\\..\\r+1.conf",
            "\\EFI\\Linux\\r+1.efi",
        ] {
            assert_eq!(
                EntryName::of_boot_count_path(path),
                Err(EntryError::Place(path.into()))
            );
        }
        let uncounted = EntryName::of_boot_count_path("\\loader\\entries\\r.conf");
        assert_eq!(uncounted, Err(EntryError::NotCounted("r.conf".into())));
    }

    proptest! {
        #[test]
        fn never_panics(text in ".*", tail in "[-+.0-9a]{0,12}\\.conf") {
            drop(EntryName::parse(&text));
            drop(EntryName::of_boot_count_path(&text));
            drop(EntryName::parse(&tail));
        }

        #[test]
        fn counted_names_come_apart(base in "[a-z0-9.]{1,9}", left in 0u32..99, done in 0u32..99) {
            prop_assume!(!base.starts_with('.'));
            let file = format!("{base}+{left}-{done}.conf");
            let want = EntryName::Counted {
                file: file.clone(), committed: format!("{base}.conf"), counter: Counter { left, done },
            };
            prop_assert_eq!(EntryName::parse(&file), Ok(want));
        }
    }
}
