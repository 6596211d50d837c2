//! The attacks: how each directory under `tests/attacks` is made, and which class must refuse it.

mod content;
mod trust;

use std::collections::BTreeMap;

use roamcore_ota::{Device, Document, FailureClass, Role, RoleChain, Update};
use serde_json::Value;

use crate::fixture::*;

/// One directory.
pub struct Case {
    /// What it is, in a sentence.
    pub about: &'static str,
    /// Who judges.
    pub device: Device,
    /// What that device trusts.
    pub trusted: RoleChain,
    /// What it is offered.
    pub files: BTreeMap<String, Vec<u8>>,
    /// Why it must be refused; `None`: it must not.
    pub class: Option<FailureClass>,
}

impl Case {
    fn set(&mut self, name: &str, bytes: Vec<u8>) {
        self.files.insert(name.to_owned(), bytes);
    }

    fn remove(&mut self, name: &str) {
        self.files.remove(name).unwrap();
    }

    fn cut(&mut self, name: &str) {
        let bytes = self.files.get_mut(name).unwrap();
        bytes.truncate(bytes.len() / 2);
    }

    /// Offers this update, signed by two release keys.
    fn offer(&mut self, update: &Update) {
        let manifest = update.encode().unwrap();
        self.set(
            "update.json.sig",
            sign(&manifest, &RELEASE[..2], Role::Release),
        );
        self.set("update.json", manifest);
    }

    /// Offers what could not be made with this crate, signed all the same.
    fn offer_forged(&mut self, manifest: Vec<u8>, seeds: &[u8]) {
        let signatures = forged(Document::Update, &manifest, seeds);
        self.set("update.json", manifest);
        self.set("update.json.sig", signatures);
    }

    fn offer_roles(&mut self, roles: &RoleChain) {
        self.set("roles.json", roles.encode().unwrap());
    }

    /// The offered role chain changed by hand.
    fn change_roles(&mut self, edit: impl FnOnce(&mut Value)) {
        let mut value = serde_json::from_slice(&self.files["roles.json"]).unwrap();
        edit(&mut value);
        self.set("roles.json", canonical(&value));
    }
}

fn good() -> Case {
    let mut case = Case {
        about: "no attack: the update that all the others are made of; it is accepted",
        device: device(&trusted(&chain())),
        trusted: chain(),
        files: BTreeMap::new(),
        class: None,
    };
    case.offer(&update());
    case.offer_roles(&chain());
    for (name, bytes) in FILES {
        case.set(name, bytes.to_vec());
    }
    case
}

pub fn edit(edit: impl FnOnce(&mut Update)) -> Update {
    let mut update = update();
    edit(&mut update);
    update
}

pub type Row = (&'static str, FailureClass, &'static str, fn(&mut Case));

/// Every directory by name.
pub fn cases() -> Vec<(&'static str, Case)> {
    let rows = [
        versions(),
        content::content(),
        trust::keys(),
        trust::roles(),
        devices(),
    ]
    .concat();
    let attacks = rows.into_iter().map(|(name, class, about, edit)| {
        let mut case = good();
        case.about = about;
        case.class = Some(class);
        edit(&mut case);
        (name, case)
    });
    [("good", good())].into_iter().chain(attacks).collect()
}

/// Older or too far ahead.
fn versions() -> Vec<Row> {
    use FailureClass::*;
    vec![
        (
            "rollback",
            SequenceRolledBack,
            "an older release, still validly signed",
            |c| {
                c.offer(&edit(|u| u.sequence = 119));
            },
        ),
        (
            "rollback-epoch",
            EpochRolledBack,
            "a release from before a security epoch this device committed",
            |c| {
                c.device.floors.security_epoch = 3;
            },
        ),
        (
            "rollback-below-window",
            SequenceOutsideWindow,
            "an older release for a device without a floor",
            |c| {
                c.device.floors = Default::default();
                c.offer(&edit(|u| u.sequence = 99));
            },
        ),
        (
            "freeze",
            Expired,
            "a release that has expired is offered for ever",
            |c| {
                c.offer(&edit(|u| u.expires = Some(time("2025-11-30T23:59:59Z"))));
            },
        ),
        (
            "freeze-clock-turned-back",
            Expired,
            "an expired release, and a clock that was set back to make it good",
            |c| {
                c.offer(&edit(|u| u.expires = Some(time("2025-11-30T23:59:59Z"))));
                c.device.clock.now = Some(time("2025-11-25T00:00:00Z"));
                c.device.clock.passed = Some(time("2025-12-01T00:00:00Z"));
            },
        ),
        (
            "freeze-roles",
            RolesExpired,
            "a role document that has expired is offered for ever",
            |c| {
                c.device.clock.now = Some(time("2026-06-01T00:00:00Z"));
            },
        ),
        (
            "fast-forward",
            SequenceOutsideWindow,
            "stolen release keys push the sequence so far that no honest one follows",
            |c| {
                c.offer(&edit(|u| u.sequence = (1 << 53) - 1));
            },
        ),
        (
            "fast-forward-epoch",
            EpochOutsideWindow,
            "stolen release keys push the security epoch to its end",
            |c| {
                c.offer(&edit(|u| u.security_epoch = u32::MAX));
            },
        ),
        (
            "fast-forward-time",
            TimeOutsideWindow,
            "stolen release keys push the time that has certainly passed",
            |c| {
                c.offer(&edit(|u| {
                    u.created = time("2099-01-01T00:00:00Z");
                    u.expires = None;
                }));
            },
        ),
    ]
}

/// Not for this device.
fn devices() -> Vec<Row> {
    use FailureClass::*;
    vec![
        (
            "wrong-product",
            WrongProduct,
            "the release of another appliance",
            |c| {
                c.offer(&edit(|u| u.product = "bare".parse().unwrap()));
            },
        ),
        (
            "wrong-board",
            WrongBoard,
            "the release for other hardware",
            |c| {
                c.offer(&edit(|u| u.board = "vp6670".parse().unwrap()));
            },
        ),
        (
            "agent-too-old",
            AgentTooOld,
            "a release that this agent cannot install",
            |c| {
                c.offer(&edit(|u| u.minimum_agent = "0.3.0".parse().unwrap()));
            },
        ),
        (
            "same-sequence-other-root",
            ConflictsWithRunning,
            "another release under the running one's sequence",
            |c| {
                c.offer(&edit(|u| u.sequence = 120));
            },
        ),
        (
            "same-root-other-uki",
            ConflictsWithRunning,
            "the running root with another kernel image, which would give two partitions one PARTUUID",
            |c| {
                c.device.running.root_hash = update().root.root_hash;
            },
        ),
        (
            "does-not-fit",
            DoesNotFit,
            "a root that is larger than the slot",
            |c| {
                c.offer(&edit(|u| u.root.size = 65536 + 4096));
            },
        ),
    ]
}
