//! OVMF: where its code is, and one copy of its variables per machine.
//!
//! Owns the choice between the plain build and the Secure Boot build with SMM. Never changes the files it finds.
//! Invariant: the two halves are of one flash size (4M builds only); a machine never writes to another one's variables.

use std::path::{Path, PathBuf};

use crate::error::{Error, Result, file};

/// Which build of OVMF.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Firmware {
    /// Without Secure Boot: fastest.
    Plain,
    /// With Secure Boot, variables protected by SMM. Whether it enforces depends on the variables:
    /// fresh ones are in setup mode.
    Secure,
}

/// Debian's directory, since 12; the names have been the same up to 13.
const DIRECTORY: &str = "/usr/share/OVMF";

impl Firmware {
    /// The code half.
    pub fn code(self) -> Result<PathBuf> {
        find(match self {
            Self::Plain => "OVMF_CODE_4M.fd",
            Self::Secure => "OVMF_CODE_4M.secboot.fd",
        })
    }

    /// Makes a fresh variable store at `path`: empty, thus in setup mode.
    pub fn fresh_vars(path: &Path) -> Result<()> {
        let template = find("OVMF_VARS_4M.fd")?;
        copy(&template, path)
    }

    /// Whether QEMU must emulate system management mode.
    pub fn needs_smm(self) -> bool {
        self == Self::Secure
    }
}

/// Copies a variable store.
pub fn copy(from: &Path, to: &Path) -> Result<()> {
    let bytes = std::fs::read(from).map_err(file("read", from))?;
    // Written anew instead of fs::copy: the template's read-only mode must not come along.
    std::fs::write(to, bytes).map_err(file("write", to))
}

fn find(name: &str) -> Result<PathBuf> {
    let path = Path::new(DIRECTORY).join(name);
    match path.is_file() {
        true => Ok(path),
        false => Err(Error::Missing {
            what: format!("the firmware {}", path.display()),
            remedy: "install Debian's package `ovmf`".into(),
        }),
    }
}
