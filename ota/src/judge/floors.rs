//! The highest numbers a device has committed: it never goes below them again.
//!
//! Owns the rule of each floor, and when the floor of the sequence is forgotten. Never stores anything: the engine keeps
//! these values with its state.
//!
//! The floor of the sequence holds only under the keys by which it was reached. When root keys change the keys of the
//! role, the window of the new role document is the floor, so that a stolen key that pushed devices up to the end of the
//! window cannot keep them there. The floor of the security epoch stays: the window of epochs is small and a publisher
//! just goes on from its end.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{AuthenticUpdate, Refusal};
use crate::channel::Channel;
use crate::digest::Digest;

/// The highest sequence committed in a channel.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SequenceFloor {
    /// The sequence.
    pub sequence: u64,
    /// [`crate::TrustedRoles::key_set`] of the role by which it was reached.
    pub key_set: Digest,
}

/// The highest numbers committed. A new device has none: [`Floors::default`].
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Floors {
    /// Security epoch.
    pub security_epoch: u32,
    /// Sequence, by channel: one channel's keys cannot lower the other's floor.
    pub sequence: BTreeMap<Channel, SequenceFloor>,
}

impl Floors {
    /// The floor of the sequence that holds for this update, unless it is forgotten.
    fn sequence_for(&self, update: &AuthenticUpdate) -> Option<u64> {
        let channel = update.update().channel;
        let floor = self.sequence.get(&channel)?;
        (floor.key_set == update.roles().key_set(channel)).then_some(floor.sequence)
    }

    pub(super) fn check(&self, update: &AuthenticUpdate) -> Result<(), Refusal> {
        let (found, floor) = (update.update().security_epoch, self.security_epoch);
        if found < floor {
            return Err(Refusal::EpochRolledBack { found, floor });
        }
        let found = update.update().sequence;
        match self.sequence_for(update) {
            Some(floor) if found < floor => Err(Refusal::SequenceRolledBack { found, floor }),
            _ => Ok(()),
        }
    }

    /// The floors of a device that commits this update, or runs it already.
    #[must_use]
    pub fn raised(&self, update: &AuthenticUpdate) -> Floors {
        let channel = update.update().channel;
        let known = self.sequence_for(update).unwrap_or(0);
        let floor = SequenceFloor {
            sequence: known.max(update.update().sequence),
            key_set: update.roles().key_set(channel),
        };
        let mut floors = self.clone();
        floors.security_epoch = floors.security_epoch.max(update.update().security_epoch);
        floors.sequence.insert(channel, floor);
        floors
    }
}
