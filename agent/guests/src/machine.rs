//! What the steps need of a machine, so that they run in tests as well.
//!
//! Owns: the trait and its error. Never does: I/O.

use std::io::Read;

use roamcore_agent::disk::DiskError;
use roamcore_agent::files::IoAt;
use roamcore_agent::mounts::MountError;
use roamcore_slots::Block;

use crate::plan::{Disk, Guest};

/// Why a machine could not do it.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum MachineError {
    /// Reading or writing.
    #[error(transparent)]
    Io(#[from] IoAt),
    /// The disk of the running system.
    #[error(transparent)]
    Disk(#[from] DiskError),
    /// A file system.
    #[error(transparent)]
    Mount(#[from] MountError),
    /// A partition that is not there.
    #[error("disk {disk} has no partition {label:?}")]
    NoPartition {
        /// The disk.
        disk: String,
        /// The label.
        label: String,
    },
    /// A program that failed.
    #[error("{line:?} failed ({status}): {said}")]
    Program {
        /// The command line.
        line: String,
        /// How it ended.
        status: String,
        /// The last it said on stderr.
        said: String,
    },
    /// A disk wants what only the unit knows, and nobody has it.
    #[error(
        "disk {disk} of guest {guest:?} wants what only this unit knows, and nothing was given for it"
    )]
    NothingPersonal {
        /// The guest.
        guest: String,
        /// Its disk.
        disk: u32,
    },
}

/// A machine with a partition for guests.
pub trait Machine {
    /// Device node of the partition.
    fn device(&self) -> String;

    /// Runs `lvm` with these arguments; gives what it prints.
    ///
    /// # Errors
    /// It cannot be run, or fails.
    fn lvm(&mut self, arguments: &[String]) -> Result<Vec<u8>, MachineError>;

    /// Opens an active volume for writing; nobody else has it open. It is neither made nor cut.
    ///
    /// # Errors
    /// It cannot be opened, or is in use.
    fn volume(&mut self, group: &str, name: &str) -> Result<Box<dyn Block>, MachineError>;

    /// Opens a file of the seed.
    ///
    /// # Errors
    /// It cannot be opened.
    fn seed(&mut self, file: &str) -> Result<Box<dyn Read>, MachineError>;

    /// Makes a file system on an active volume and unpacks an archive into it; durable when this returns. All of `archive`
    /// is read, also if it fails: whether it was the right archive is known at its end.
    ///
    /// # Errors
    /// It cannot be made or unpacked.
    fn unpack(
        &mut self,
        group: &str,
        name: &str,
        archive: &mut dyn Read,
    ) -> Result<(), MachineError>;

    /// Compares what the device holds with the archive: names, owners, modes, contents. All of `archive` is
    /// read, also if it fails. A difference is [`MachineError::Program`].
    ///
    /// # Errors
    /// It differs, or cannot be read.
    fn compare(
        &mut self,
        group: &str,
        name: &str,
        archive: &mut dyn Read,
    ) -> Result<(), MachineError>;

    /// Writes what only this unit knows on a guest's new disk, before the guest has it: keys, names, the machine-id of a
    /// container. It gets a fresh clone each time.
    ///
    /// # Errors
    /// It cannot be made or written.
    fn personalize(
        &mut self,
        guest: &Guest,
        disk: &Disk,
        volume: &dyn Block,
    ) -> Result<(), MachineError>;

    /// The record's file; none if there is none.
    ///
    /// # Errors
    /// It is there and cannot be read.
    fn load(&mut self) -> Result<Option<Vec<u8>>, MachineError>;

    /// Replaces the record's file; durable when this returns.
    ///
    /// # Errors
    /// It cannot be written.
    fn save(&mut self, record: &[u8]) -> Result<(), MachineError>;
}
