//! What an update is for a device: each rule by itself, on both sides of its edge.

use roamcore_ota::{
    AuthenticUpdate, Channel, Clock, Device, Digest, ExpiryCheck, FailureClass, Floors, Refusal,
    Role, Update, UpdateDocuments, Verdict, authenticate, judge,
};

use crate::fixture::*;

fn ours() -> Device {
    device(&trusted(&chain()))
}

#[track_caller]
fn refused(update: &Update, device: &Device) -> FailureClass {
    verdict(update, device).unwrap_err().class()
}

#[test]
fn a_good_update_is_installed_and_says_what_it_is() {
    let verified = installs(verdict(&update(), &ours()));
    assert_eq!(*verified.update(), update());
    assert_eq!(verified.digest(), Digest::of(&update().encode().unwrap()));
    let mut signers = vec![id(RELEASE[0]), id(RELEASE[1])];
    signers.sort();
    assert_eq!(verified.signers(), signers);
    assert_eq!(
        verified.expiry(),
        ExpiryCheck::ValidUntil(time("2026-05-20T07:41:00Z"))
    );
    assert_eq!(verified.created(), time("2025-11-21T07:41:00Z"));
    assert_eq!(verified.update().total_bytes(), 14 + 18 + 17 + 15 + 15);
    let open = |name: &roamcore_ota::FileName| {
        let found = FILES.iter().find(|(n, _)| *n == name.as_str());
        Ok(found.unwrap().1)
    };
    verified.check_all_files(open).unwrap();
}

#[test]
fn the_release_that_runs_is_nothing_to_do() {
    let mut device = ours();
    device.running.root_hash = update().root.root_hash;
    device.running.uki_sha256 = Some(update().uki.sha256);
    // Even where nobody could install it any more: it is what runs.
    device.clock = Clock::new(Some(time("2026-05-25T00:00:00Z")));
    device.floors.security_epoch = 3;
    // Under whatever sequence it is published, and whether or not the UKI was looked at.
    for sequence in [SEQUENCE, SEQUENCE - 1, SEQUENCE + 1] {
        for uki in [Some(update().uki.sha256), None] {
            device.running.sequence = sequence;
            device.running.uki_sha256 = uki;
            assert!(matches!(
                verdict(&update(), &device),
                Ok(Verdict::AlreadyRunning(_))
            ));
        }
    }
    device.running.uki_sha256 = Some(Digest::of(b"other"));
    assert_eq!(
        refused(&update(), &device),
        FailureClass::ConflictsWithRunning
    );
    device.running.root_hash = Digest::of(b"other");
    device.running.sequence = SEQUENCE;
    assert_eq!(
        refused(&update(), &device),
        FailureClass::ConflictsWithRunning
    );
}

#[test]
fn old_content_under_a_new_sequence_is_the_emergency_way_back() {
    let mut older = update();
    older.version = "0.0.1".parse().unwrap();
    installs(verdict(&older, &ours()));
}

#[test]
fn floors_hold_at_their_edge() {
    let mut device = ours();
    device.running.sequence = 110;
    let mut same = update();
    same.sequence = 120;
    installs(verdict(&same, &device));
    same.sequence = 119;
    assert_eq!(refused(&same, &device), FailureClass::SequenceRolledBack);
    device.floors.security_epoch = 2;
    installs(verdict(&update(), &device));
    device.floors.security_epoch = 3;
    assert_eq!(refused(&update(), &device), FailureClass::EpochRolledBack);
}

#[test]
fn floors_rise_with_what_is_committed_and_never_fall() {
    let update = installs(verdict(&update(), &ours()));
    let raised = update.floors_when_committed();
    assert_eq!(raised.security_epoch, 2);
    assert_eq!(raised.sequence[&Channel::Release].sequence, SEQUENCE);
    let mut higher = raised.clone();
    higher.security_epoch = 3;
    higher.sequence.get_mut(&Channel::Release).unwrap().sequence = 900;
    assert_eq!(higher.raised(&update), higher);
    assert_eq!(Floors::default().raised(&update), *raised);
    let text = serde_json::to_string(raised).unwrap();
    assert_eq!(serde_json::from_str::<Floors>(&text).unwrap(), *raised);
}

#[test]
fn a_change_of_the_release_keys_forgets_the_floor_of_the_sequence_alone() {
    let mut device = ours();
    device.floors = installs(verdict(&update(), &device))
        .floors_when_committed()
        .clone();
    let floor = device.floors.sequence.get_mut(&Channel::Release).unwrap();
    floor.sequence = 990; // where a stolen key pushed it
    assert_eq!(
        refused(&update(), &device),
        FailureClass::SequenceRolledBack
    );

    // Root keys, a threshold or a date change nothing about the floor.
    let mut longer = terms();
    longer.expires = time("2027-06-01T00:00:00Z");
    let renewed = then(chain(), longer, &ROOT[..2]);
    let result = judged(&update(), &renewed, &trusted(&chain()), &device);
    let class = result.verdict.unwrap_err().class();
    assert_eq!(class, FailureClass::SequenceRolledBack);

    let rotated = rekeyed(terms(), Role::Release, &[21, 22, 24]);
    let rotated = then(chain(), rotated, &ROOT[..2]);
    let result = judged(&update(), &rotated, &trusted(&chain()), &device);
    let verified = installs(result.verdict);
    let floors = verified.floors_when_committed();
    assert_eq!(floors.sequence[&Channel::Release].sequence, SEQUENCE);
    device.floors.security_epoch = 3;
    let result = judged(&update(), &rotated, &trusted(&chain()), &device);
    let class = result.verdict.unwrap_err().class();
    assert_eq!(class, FailureClass::EpochRolledBack);
}

#[test]
fn one_channel_does_not_lower_the_floor_of_the_other() {
    let device = ours();
    let mut development = update();
    development.channel = Channel::Development;
    development.sequence = 105;
    let verified = installs(verdict(&development, &device));
    let floors = verified.floors_when_committed();
    assert_eq!(floors.sequence[&Channel::Release].sequence, 120);
    assert_eq!(floors.sequence[&Channel::Development].sequence, 105);
}

#[test]
fn windows_hold_at_both_ends() {
    let mut device = ours();
    device.floors = Floors::default();
    for (sequence, epoch, class) in [
        (100, 1, None),
        (999, 3, None),
        (99, 1, Some(FailureClass::SequenceOutsideWindow)),
        (1000, 1, Some(FailureClass::SequenceOutsideWindow)),
        (100, 0, Some(FailureClass::EpochOutsideWindow)),
        (100, 4, Some(FailureClass::EpochOutsideWindow)),
    ] {
        let mut update = update();
        update.sequence = sequence;
        update.security_epoch = epoch;
        let seen = verdict(&update, &device).err().map(|e| e.class());
        assert_eq!(seen, class, "{sequence} {epoch}");
    }
}

#[test]
fn agent_and_slot_at_their_edges() {
    let mut device = ours();
    let mut update = update();
    update.minimum_agent = "0.2.0".parse().unwrap();
    update.root.size = 65536;
    installs(verdict(&update, &device));
    device.slot_bytes = 61440;
    assert_eq!(refused(&update, &device), FailureClass::DoesNotFit);
    update.minimum_agent = "0.2.1".parse().unwrap();
    assert_eq!(refused(&update, &device), FailureClass::AgentTooOld);
}

#[test]
fn without_a_clock_expiry_is_left_open_and_asked_again() {
    let mut device = ours();
    device.clock = Clock {
        now: None,
        passed: Some(time("2025-10-01T00:00:00Z")),
    };
    let verified = installs(verdict(&update(), &device));
    let expires = time("2026-05-20T07:41:00Z");
    assert_eq!(verified.expiry(), ExpiryCheck::ClockNotSet(expires));

    let at = |text: &str| Clock::new(Some(time(text)));
    assert_eq!(
        verified.check_validity(&at(NOW)).unwrap(),
        ExpiryCheck::ValidUntil(expires)
    );
    let class = |text: &str| verified.check_validity(&at(text)).unwrap_err().class();
    assert_eq!(class("2026-05-20T07:41:00Z"), FailureClass::Expired);
    assert_eq!(class("2026-06-01T00:00:00Z"), FailureClass::RolesExpired);

    // An update without an expiry is bounded by its role document.
    let mut endless = update();
    endless.expires = None;
    let verified = installs(verdict(&endless, &device));
    let expires = time("2026-06-01T00:00:00Z");
    assert_eq!(verified.expiry(), ExpiryCheck::ClockNotSet(expires));
}

#[test]
fn the_order_of_the_rules_is_the_documented_one() {
    let mut device = ours();
    let manifest = update().encode().unwrap();
    let class = |roles: &[u8], signatures: &[u8], device: &Device| {
        let documents = UpdateDocuments {
            manifest: &manifest,
            signatures,
            roles,
        };
        judge(&documents, &trusted(&chain()), device)
            .verdict
            .unwrap_err()
            .class()
    };
    let roles = chain().encode().unwrap();
    let good = sign(&manifest, &RELEASE[..2], Role::Release);
    device.clock = Clock::new(Some(time("2026-06-01T00:00:00Z")));
    device.board = "other".parse().unwrap();
    device.floors.security_epoch = 3;
    // Each step mends what was refused first, and uncovers the next.
    assert_eq!(class(b"", b"", &device), FailureClass::MalformedRoles);
    assert_eq!(class(&roles, b"", &device), FailureClass::RolesExpired);
    device.clock = Clock::new(Some(time("2026-05-25T00:00:00Z")));
    assert_eq!(class(&roles, b"", &device), FailureClass::MissingSignature);
    assert_eq!(class(&roles, &good, &device), FailureClass::WrongBoard);
    device.board = update().board;
    device.running.sequence = SEQUENCE;
    let conflict = FailureClass::ConflictsWithRunning;
    assert_eq!(class(&roles, &good, &device), conflict);
    device.running.sequence = 120;
    assert_eq!(class(&roles, &good, &device), FailureClass::Expired);
    device.clock = Clock::new(Some(time(NOW)));
    assert_eq!(class(&roles, &good, &device), FailureClass::EpochRolledBack);
    device.floors.security_epoch = 2;
    device.agent = "0.0.1".parse().unwrap();
    device.slot_bytes = 0;
    assert_eq!(class(&roles, &good, &device), FailureClass::AgentTooOld);
    device.agent = "0.2.0".parse().unwrap();
    assert_eq!(class(&roles, &good, &device), FailureClass::DoesNotFit);
}

#[test]
fn roles_are_kept_even_when_the_update_is_refused() {
    let mut wrong = update();
    wrong.board = "other".parse().unwrap();
    let newer = then(chain(), terms(), &ROOT[..2]);
    let result = judged(&wrong, &newer, &trusted(&chain()), &ours());
    assert!(result.verdict.is_err());
    assert_eq!(result.roles.unwrap().version(), 2);
}

/// Signed by these keys, judged without a device.
fn authentic(
    seeds: &[u8],
    role: Role,
    roles: &roamcore_ota::RoleChain,
) -> Result<AuthenticUpdate, Refusal> {
    let manifest = update().encode().unwrap();
    let signatures = sign(&manifest, seeds, role);
    let documents = UpdateDocuments {
        manifest: &manifest,
        signatures: &signatures,
        roles: &[],
    };
    authenticate(&documents, &trusted(roles), &Clock::new(None))
}

#[test]
fn any_two_of_three_keys_do_and_strangers_do_not_count() {
    for seeds in [[21, 22], [21, 23], [23, 22]] {
        authentic(&seeds, Role::Release, &chain()).unwrap();
    }
    assert_eq!(
        authentic(&[21, 22, 23, 90], Role::Release, &chain())
            .unwrap()
            .signers()
            .len(),
        3
    );
    let error = authentic(&[21, 90], Role::Release, &chain()).unwrap_err();
    assert_eq!(error.class(), FailureClass::BelowThreshold);
}

#[test]
fn a_revoked_key_does_not_spoil_enough_good_ones() {
    let mut terms = rekeyed(terms(), Role::Release, &[22, 23]);
    terms.revoked.insert(id(21));
    let roles = then(chain(), terms, &ROOT[..2]);
    assert_eq!(
        authentic(&[21, 22, 23], Role::Release, &roles)
            .unwrap()
            .signers()
            .len(),
        2
    );
    for seeds in [&[21][..], &[21, 22], &[21, 90]] {
        let error = authentic(seeds, Role::Release, &roles).unwrap_err();
        assert_eq!(error.class(), FailureClass::RevokedKey, "{seeds:?}");
    }
}

#[test]
fn a_role_that_nobody_holds_signs_nothing() {
    let roles = rekeyed(terms(), Role::Development, &[]);
    let roles = then(chain(), roles, &ROOT[..2]);
    let mut development = update();
    development.channel = Channel::Development;
    let result = judged(
        &development,
        &roles,
        &trusted(&roles),
        &device(&trusted(&roles)),
    );
    assert_eq!(
        result.verdict.unwrap_err().class(),
        FailureClass::UnknownKey
    );
}
