//! Values for unit tests.

use roamcore_agent::slot::Slot;
use roamcore_engine::{BootId, Entry, Facts, Release, SlotFacts};
use roamcore_ota::Digest;

/// A committed root-a of version 1.0.0, and an empty root-b.
pub fn facts() -> Facts {
    Facts {
        boot: BootId("boot-1".into()),
        running: SlotFacts {
            slot: Slot::A,
            root_hash: Some(Digest::of(b"a")),
            release: Some(Release {
                product: "bare".parse().unwrap(),
                version: "1.0.0".parse().unwrap(),
                sequence: 10,
                security_epoch: 1,
            }),
            entry: Entry::Committed,
            uki: true,
        },
        idle: SlotFacts {
            slot: Slot::B,
            root_hash: None,
            release: None,
            entry: Entry::Absent,
            uki: false,
        },
        on_trial: false,
        failure_sign: None,
        came_up: 0,
    }
}
