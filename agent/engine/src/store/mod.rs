//! Where the record lives.
//!
//! Owns: the trait and its errors. Never does: interpret the record. Invariant: a record that was lost or damaged is an error
//! that says so, never "no record".

mod file;
mod format;

use std::path::PathBuf;

use roamcore_agent::files::IoAt;

use crate::record::Record;

pub use file::FileStore;
pub use format::{Damage, MAX_RECORD_BYTES, decode, encode};

/// What was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Loaded {
    /// No copy exists: this device never ran the engine.
    Fresh,
    /// The newest whole record.
    Record(Box<Record>),
}

/// Why there is no record.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// Reading or writing.
    #[error(transparent)]
    Io(#[from] IoAt),
    /// Both copies are damaged.
    #[error(
        "both copies of the update record are damaged ({first}; {second}); rebuild from disk: what runs and what is armed \
         is read from the slots, and only the answer to an open action is lost"
    )]
    Corrupt {
        /// The first copy.
        first: Damage,
        /// The second copy.
        second: Damage,
    },
    /// Only a newer program can read it.
    #[error(
        "the update record was written by a newer program ({why}); boot the slot that wrote it, or rebuild from disk"
    )]
    Newer {
        /// What is not known.
        why: String,
    },
    /// More than the fixed size on disk.
    #[error(
        "the update record has {size} bytes, more than {MAX_RECORD_BYTES}; this is a bug of the engine"
    )]
    TooLarge {
        /// Its size.
        size: usize,
    },
    /// Not a directory this process may use.
    #[error("{0} is not a usable directory for the update record")]
    Place(PathBuf),
}

/// Durable storage of one record.
pub trait Store {
    /// Reads the newest whole record.
    fn load(&mut self) -> Result<Loaded, StoreError>;

    /// Replaces it; durable when this returns.
    fn save(&mut self, record: &Record) -> Result<(), StoreError>;

    /// Puts a copy of the last saved record aside before a trial: if the trial's newer program writes a record that this one
    /// cannot read, this program starts from the copy.
    fn keep(&mut self) -> Result<(), StoreError>;
}
