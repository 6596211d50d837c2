//! Why a step was refused, or failed.

use std::io;
use std::path::PathBuf;

use roamcore_agent::attempts::AttemptsError;
use roamcore_agent::commit::CommitError;
use roamcore_agent::disk::DiskError;
use roamcore_agent::fall_over::FallOverError;
use roamcore_agent::files::IoAt;
use roamcore_agent::mounts::MountError;
use roamcore_agent::slot::Slot;
use roamcore_agent::trial::TrialError;
use roamcore_disk::gpt::{GptError, Guid};
use roamcore_disk::verity::{RootHash, VerityError};
use roamcore_ota::Digest;

use crate::etc::EtcError;

/// Everything that can go wrong with a slot.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
#[allow(missing_docs, reason = "the messages name the fields")]
pub enum SlotError {
    #[error(transparent)]
    Io(#[from] IoAt),
    #[error(transparent)]
    Disk(#[from] DiskError),
    #[error(transparent)]
    Mount(#[from] MountError),
    #[error(transparent)]
    Trial(#[from] TrialError),
    #[error(transparent)]
    Attempts(#[from] AttemptsError),
    #[error(transparent)]
    Commit(#[from] CommitError),
    #[error(transparent)]
    Failures(#[from] FallOverError),
    #[error(transparent)]
    Table(#[from] GptError),
    #[error(transparent)]
    Verity(#[from] VerityError),
    #[error(transparent)]
    Etc(#[from] EtcError),

    #[error(
        "{running} is on trial: the other slot is what the machine falls back to, it is not touched before the commit"
    )]
    OnTrial { running: Slot },
    #[error(
        "{running} has no committed boot entry (found {found}): without one the other slot must stay as it is"
    )]
    NotCommitted { running: Slot, found: String },
    #[error("disk {disk}: {what} is missing; was the disk partitioned by the first boot?")]
    Missing { disk: PathBuf, what: String },
    #[error(
        "{path} is {what}: {found}, expected {expected}; the disk has changed under the kernel"
    )]
    Changed {
        path: PathBuf,
        what: &'static str,
        found: String,
        expected: String,
    },

    #[error(
        "the backup partition table is at sector {found}, not in the disk's last sector {last}: the kernel would not \
         find it if the primary one is torn; move it to the end first (sgdisk -e)"
    )]
    BackupNotAtEnd { found: u64, last: u64 },
    #[error(
        "the {copy} partition table was written, but the disk gives back something else; replace the disk"
    )]
    TableLost { copy: &'static str },
    #[error(
        "PARTUUID {guid} is the one of partition {holder:?}: a second partition with it would leave to chance which one \
         boots; is this the release that runs already?"
    )]
    GuidTaken { guid: Guid, holder: String },
    #[error(
        "root hash {0} gives PARTUUIDs that are marks of an empty slot; build the release again"
    )]
    GuidReserved(RootHash),

    #[error("{slot} still has {what}: it is written to only after invalidate()")]
    StillValid { slot: Slot, what: String },
    #[error("{what} needs {needed} bytes, {path} has {size}")]
    TooLarge {
        what: &'static str,
        needed: u64,
        path: PathBuf,
        size: u64,
    },
    #[error("{slot} holds a root with hash {found}, the release says {expected}; write it again")]
    RootHash {
        slot: Slot,
        expected: RootHash,
        found: RootHash,
    },
    #[error(
        "{slot} holds {bytes} bytes with SHA-256 {found}, the release says {expected}; write it again"
    )]
    RootDigest {
        slot: Slot,
        bytes: u64,
        expected: Digest,
        found: Digest,
    },
    #[error(
        "the verity superblock of {slot} has another {what} than the release says; write the tree again"
    )]
    Superblock { slot: Slot, what: &'static str },
    #[error("stopped by the caller")]
    Stopped,

    #[error(
        "{slot} holds {found}, not root hash {expected}: it is armed only after publish_partuuids()"
    )]
    NotSealed {
        slot: Slot,
        expected: RootHash,
        found: String,
    },
    #[error("{path}: {found}, the release says {expected}")]
    Uki {
        path: String,
        expected: String,
        found: String,
    },
    #[error("the UKI does not carry roothash={expected}: it belongs to another root")]
    UkiOfOtherRoot { expected: RootHash },
    #[error(
        "the ESP has {free} bytes left, the UKI needs {needed}; remove what is not RoamCore's from it"
    )]
    EspFull { needed: u64, free: u64 },
    #[error(
        "version {0:?} of the running slot's boot entry is no number below 2^63, so none can be put before it"
    )]
    Version(String),
    #[error("{slot} has no counted boot entry; arm it first")]
    NotArmed { slot: Slot },
    #[error(
        "{slot} was re-armed {times} times already and no trial came to an end; that is no accident any more"
    )]
    RearmedTooOften { slot: Slot, times: u32 },
    #[error("the boot entries after the change are not as expected: {0:?}")]
    Entries(Vec<String>),
    #[error("refused to write {path} on the ESP: it is not of {idle}")]
    Fence { path: String, idle: Slot },
    #[error("{0} has more than 4096 files")]
    TooManyFiles(String),
}

/// A system error of a path on the ESP or a block.
pub(crate) fn at(
    doing: &'static str,
    path: impl Into<PathBuf>,
) -> impl FnOnce(io::Error) -> SlotError {
    let path = path.into();
    move |source| {
        SlotError::Io(IoAt {
            doing,
            path,
            source,
        })
    }
}
