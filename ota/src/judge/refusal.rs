//! Why an update was refused.
//!
//! Owns the messages of the rules that are about the device. One variant, one failure class.

use crate::digest::Digest;
use crate::failure::FailureClass;
use crate::names::Ident;
use crate::roles::{RolesError, Window};
use crate::timestamp::Timestamp;
use crate::verify::VerifyError;
use crate::version::Version;

/// An update was refused.
#[derive(Debug, thiserror::Error)]
pub enum Refusal {
    /// The role chain was refused.
    #[error(transparent)]
    Roles(#[from] RolesError),
    /// Signature, content, expiry or a file was refused.
    #[error(transparent)]
    Verify(#[from] VerifyError),
    /// For something else.
    #[error(
        "the update is for product {found}, this device is a {device}: deploy the one for {device}"
    )]
    WrongProduct {
        /// The update's.
        found: Ident,
        /// This device's.
        device: Ident,
    },
    /// For other hardware.
    #[error(
        "the update is for board {found}, this device is a {device}: deploy the one for {device}"
    )]
    WrongBoard {
        /// The update's.
        found: Ident,
        /// This device's.
        device: Ident,
    },
    /// Two boot entries of one version would be left to chance.
    #[error(
        "the update has sequence {sequence}, as what runs here, and another root: build it again with a higher sequence"
    )]
    SameSequence {
        /// Of both.
        sequence: u64,
    },
    /// Two partitions with one PARTUUID must never exist.
    #[error(
        "the update has root hash {root_hash}, as what runs here, and another UKI: build it again with another version"
    )]
    SameRoot {
        /// Of both.
        root_hash: Digest,
    },
    /// Further ahead or back than root keys allow.
    #[error(
        "the update's sequence is {found}, the role document allows {window}: publish one inside, or a role document \
         with another window"
    )]
    SequenceOutsideWindow {
        /// The update's.
        found: u64,
        /// The role document's.
        window: Window<u64>,
    },
    /// Further ahead or back than root keys allow.
    #[error(
        "the update's security epoch is {found}, the role document allows {window}: publish one inside, or a role \
         document with another window"
    )]
    EpochOutsideWindow {
        /// The update's.
        found: u32,
        /// The role document's.
        window: Window<u32>,
    },
    /// From a time for which the role document does not speak.
    #[error(
        "the update was created at {created}, not before the role document expires at {expires}: publish it with a newer \
         role document, or with the right time"
    )]
    TimeOutsideWindow {
        /// The update's.
        created: Timestamp,
        /// The role document's.
        expires: Timestamp,
    },
    /// Older than what was committed.
    #[error(
        "the update's security epoch is {found}, this device has committed {floor}: releases below it are known to be bad"
    )]
    EpochRolledBack {
        /// The update's.
        found: u32,
        /// The device's.
        floor: u32,
    },
    /// Older than what was committed.
    #[error(
        "the update's sequence is {found}, this device has committed {floor}: to go back to old content publish it under \
         a higher sequence"
    )]
    SequenceRolledBack {
        /// The update's.
        found: u64,
        /// The device's.
        floor: u64,
    },
    /// This agent cannot install it.
    #[error(
        "the update needs agent {minimum}, this one is {agent}: install a release in between first"
    )]
    AgentTooOld {
        /// The update's.
        minimum: Version,
        /// This one.
        agent: Version,
    },
    /// Larger than the slot.
    #[error(
        "the root has {root} bytes, a slot of this device {slot}: it can never be installed here"
    )]
    DoesNotFit {
        /// The update's.
        root: u64,
        /// The device's.
        slot: u64,
    },
}

impl Refusal {
    /// The class, which decides the exit code.
    pub fn class(&self) -> FailureClass {
        match self {
            Refusal::Roles(error) => error.class(),
            Refusal::Verify(error) => error.class(),
            Refusal::WrongProduct { .. } => FailureClass::WrongProduct,
            Refusal::WrongBoard { .. } => FailureClass::WrongBoard,
            Refusal::SameSequence { .. } | Refusal::SameRoot { .. } => {
                FailureClass::ConflictsWithRunning
            }
            Refusal::SequenceOutsideWindow { .. } => FailureClass::SequenceOutsideWindow,
            Refusal::EpochOutsideWindow { .. } => FailureClass::EpochOutsideWindow,
            Refusal::TimeOutsideWindow { .. } => FailureClass::TimeOutsideWindow,
            Refusal::EpochRolledBack { .. } => FailureClass::EpochRolledBack,
            Refusal::SequenceRolledBack { .. } => FailureClass::SequenceRolledBack,
            Refusal::AgentTooOld { .. } => FailureClass::AgentTooOld,
            Refusal::DoesNotFit { .. } => FailureClass::DoesNotFit,
        }
    }

    /// Process exit code.
    pub fn exit_code(&self) -> u8 {
        self.class().exit_code()
    }
}
