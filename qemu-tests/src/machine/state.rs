//! What of a machine survives power-off: disk, firmware variables, TPM.
//!
//! Owns one directory with `disk.qcow2`, `vars.fd`, `tpm/`. A state is used by one machine at a time (it is moved in and out);
//! [`MachineState::fork`] makes an independent one from it, cheaply: the disk becomes an overlay on the old disk.
//! Invariant: a state that was forked is never started again, else its overlays would rot. [`Frozen`] enforces that.

use std::path::{Path, PathBuf};

use crate::disk::Overlay;
use crate::error::{Result, file};
use crate::firmware::{self, Firmware};

/// Disk, variables and TPM of one machine.
#[derive(Debug)]
pub struct MachineState {
    /// Its disk, if it has one.
    pub disk: Option<Overlay>,
    /// OVMF's variables.
    pub vars: PathBuf,
    /// swtpm's directory.
    pub tpm: PathBuf,
    directory: PathBuf,
}

impl MachineState {
    /// A machine out of the box, in a new directory under `parent`.
    pub fn fresh(parent: &Path, name: &str) -> Result<Self> {
        let state = Self::in_directory(&parent.join(name));
        std::fs::create_dir_all(&state.directory).map_err(file("create", &state.directory))?;
        Firmware::fresh_vars(&state.vars)?;
        Ok(state)
    }

    /// A machine with a disk that an earlier run left in `directory`.
    pub fn existing(directory: &Path) -> Result<Self> {
        let mut state = Self::in_directory(directory);
        state.disk = Some(Overlay::open(&directory.join("disk.qcow2"))?);
        Ok(state)
    }

    fn in_directory(directory: &Path) -> Self {
        Self {
            disk: None,
            vars: directory.join("vars.fd"),
            tpm: directory.join("tpm"),
            directory: directory.into(),
        }
    }

    /// Gives it a disk of `size` bytes that starts as the raw image `base`.
    pub fn with_disk(mut self, base: &Path, size: u64) -> Result<Self> {
        self.disk = Some(Overlay::on_raw(
            base,
            &self.directory.join("disk.qcow2"),
            size,
        )?);
        Ok(self)
    }

    /// Replaces the variables, for example by enrolled ones.
    pub fn with_vars(self, vars: &Path) -> Result<Self> {
        firmware::copy(vars, &self.vars)?;
        Ok(self)
    }

    /// Freezes it: from now on it can only be forked.
    pub fn freeze(self) -> Frozen {
        Frozen(self)
    }

    /// Where its files are.
    pub fn directory(&self) -> &Path {
        &self.directory
    }
}

/// A state that other states stand on.
#[derive(Debug)]
pub struct Frozen(MachineState);

impl Frozen {
    /// A new state that starts as this one.
    pub fn fork(&self, parent: &Path, name: &str) -> Result<MachineState> {
        let mut new = MachineState::fresh(parent, name)?.with_vars(&self.0.vars)?;
        if let Some(disk) = &self.0.disk {
            new.disk = Some(Overlay::on_overlay(
                disk,
                &new.directory.join("disk.qcow2"),
            )?);
        }
        if self.0.tpm.is_dir() {
            std::fs::create_dir_all(&new.tpm).map_err(file("create", &new.tpm))?;
            for entry in std::fs::read_dir(&self.0.tpm).map_err(file("list", &self.0.tpm))? {
                let from = entry.map_err(file("list", &self.0.tpm))?.path();
                let to = new.tpm.join(from.file_name().unwrap_or_default());
                std::fs::copy(&from, &to).map_err(file("copy", &from))?;
            }
        }
        Ok(new)
    }

    /// The disk, to read from.
    pub fn disk(&self) -> Option<&Overlay> {
        self.0.disk.as_ref()
    }
}
