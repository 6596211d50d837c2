//! One machine-id for both slots.
//!
//! Owns: state/roamcore/machine-id and its copy in a slot's upper layer of /etc.
//! Never does: replace a stored id, not even a malformed one: a new id would be another machine.
//! Invariant: the id is made once, from the kernel's random source.

use std::path::{Path, PathBuf};

use rustix::rand::{GetRandomFlags, getrandom};

use crate::files::{self, At, IoAt};
use crate::log;

/// 32 digits, newline, and room to see that it is too long.
const LIMIT: u64 = 64;

/// 128 bits, as machine-id(5) wants them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MachineId(String);

/// Why no id could be given.
#[derive(Debug, thiserror::Error)]
pub enum MachineIdError {
    /// Reading or writing.
    #[error(transparent)]
    Io(#[from] IoAt),
    /// The stored id is malformed.
    #[error(
        "{path} holds {seen:?}, not 32 lower-case hex digits and a newline; restore it or write the factory image anew, \
         a new id is not made by itself"
    )]
    Malformed {
        /// Where.
        path: PathBuf,
        /// What.
        seen: String,
    },
}

impl MachineId {
    /// Parses a stored id; all zeros are no id, by machine-id(5).
    pub fn parse(bytes: &[u8]) -> Option<Self> {
        let digits = bytes.strip_suffix(b"\n")?;
        let hex = |b: &u8| matches!(b, b'0'..=b'9' | b'a'..=b'f');
        if digits.len() != 32 || !digits.iter().all(hex) || digits.iter().all(|b| *b == b'0') {
            return None;
        }
        std::str::from_utf8(digits)
            .ok()
            .map(|text| Self(text.to_owned()))
    }

    /// The file's contents.
    pub fn to_line(&self) -> String {
        format!("{}\n", self.0)
    }

    /// A version 4 UUID, as machine-id(5) asks for.
    fn of_random(bytes: [u8; 16]) -> Self {
        let mut number = u128::from_be_bytes(bytes);
        number = number & !(0xf << 76) | 4 << 76;
        number = number & !(0x3 << 62) | 2 << 62;
        Self(format!("{number:032x}"))
    }
}

/// The device's id, made when there is none.
pub fn stored_or_new(path: &Path) -> Result<MachineId, MachineIdError> {
    if let Some(bytes) = files::read_if_any(path, LIMIT)? {
        let seen = || String::from_utf8_lossy(&bytes).into_owned();
        return MachineId::parse(&bytes).ok_or_else(|| MachineIdError::Malformed {
            path: path.to_owned(),
            seen: seen(),
        });
    }
    let mut bytes = [0; 16];
    let random = Path::new("the kernel's random source");
    let count = getrandom(&mut bytes, GetRandomFlags::empty()).at("read", random)?;
    if count != bytes.len() {
        return Err(std::io::Error::other(format!(
            "it gave {count} of 16 bytes"
        )))
        .at("read", random)?;
    }
    let id = MachineId::of_random(bytes);
    files::write_atomic(path, id.to_line().as_bytes(), 0o444)?;
    log::notice("made this device's machine-id");
    Ok(id)
}

/// Gives a slot the id unless it has one of its own.
pub fn put_into_upper(upper: &Path, id: &MachineId) -> Result<(), MachineIdError> {
    let path = upper.join("machine-id");
    // A whiteout or a link there is no id either; writing replaces the name, not what it points to.
    let regular = std::fs::symlink_metadata(&path).is_ok_and(|metadata| metadata.is_file());
    let present = if regular {
        files::read_if_any(&path, LIMIT)?
    } else {
        None
    };
    if present.is_none_or(|bytes| unset(&bytes)) {
        files::write_atomic(&path, id.to_line().as_bytes(), 0o444)?;
    }
    Ok(())
}

/// True for the two forms machine-id(5) knows of a system without an id.
fn unset(bytes: &[u8]) -> bool {
    matches!(bytes.trim_ascii(), b"" | b"uninitialized")
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::fs;

    #[test]
    fn made_once_and_shared() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("machine-id");
        let id = stored_or_new(&path).unwrap();
        assert_eq!(stored_or_new(&path).unwrap(), id);
        for before in [
            None,
            Some(""),
            Some("uninitialized\n"),
            Some("uninitialized"),
        ] {
            let upper = tempfile::tempdir().unwrap();
            let file = upper.path().join("machine-id");
            if let Some(text) = before {
                fs::write(&file, text).unwrap();
            }
            put_into_upper(upper.path(), &id).unwrap();
            assert_eq!(fs::read_to_string(&file).unwrap(), id.to_line());
        }
    }

    #[test]
    fn an_own_id_stays_and_a_link_is_not_followed() {
        let upper = tempfile::tempdir().unwrap();
        let file = upper.path().join("machine-id");
        let id = MachineId::of_random([7; 16]);
        fs::write(&file, "0123\n").unwrap();
        put_into_upper(upper.path(), &id).unwrap();
        assert_eq!(fs::read_to_string(&file).unwrap(), "0123\n");
        fs::remove_file(&file).unwrap();
        std::os::unix::fs::symlink("elsewhere", &file).unwrap();
        put_into_upper(upper.path(), &id).unwrap();
        assert!(!upper.path().join("elsewhere").exists());
        assert_eq!(fs::read_to_string(&file).unwrap(), id.to_line());
    }

    #[test]
    fn a_malformed_id_is_an_error_and_stays() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("machine-id");
        let zeros = format!("{}\n", "0".repeat(32));
        let no_newline = "a".repeat(32);
        for text in [
            "",
            "uninitialized\n",
            "XYZ\n",
            &zeros,
            &no_newline,
            &"a\n".repeat(30),
        ] {
            fs::write(&path, text).unwrap();
            let error = stored_or_new(&path).unwrap_err().to_string();
            assert!(error.contains("a new id is not made"), "{error}");
            assert_eq!(fs::read_to_string(&path).unwrap(), text);
        }
    }

    proptest! {
        #[test]
        fn never_panics(bytes in proptest::collection::vec(any::<u8>(), 0..64)) {
            drop(MachineId::parse(&bytes));
            unset(&bytes);
        }

        #[test]
        fn every_random_id_is_a_valid_one(bytes in any::<[u8; 16]>()) {
            let id = MachineId::of_random(bytes);
            prop_assert_eq!(MachineId::parse(id.to_line().as_bytes()), Some(id.clone()));
            prop_assert_eq!(&id.to_line()[12..13], "4");
        }
    }
}
