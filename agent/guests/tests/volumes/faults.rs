//! What is refused, and that the rest goes on.

use roamcore_guests::next::Refusal;
use roamcore_guests::record::From;
use roamcore_guests::reset::{RequestError, ResetError, reset};
use roamcore_guests::run::Event;
use roamcore_guests::{Plan, RunError, run};
use roamcore_ota::Digest;

use crate::model::{Model, quiet};
use crate::{assert_finished, attempt, finish, given, names};

/// Runs with bad templates of both kinds: what they say, and what is there afterwards.
fn bad(spoil: impl Fn(&mut Plan, &Model)) -> (Vec<String>, Vec<String>) {
    let (mut plan, mut machine) = (given::plan(), given::machine());
    spoil(&mut plan, &machine);
    let (events, mut collect) = quiet();
    let outcome = run(&plan, &mut machine, &mut collect).unwrap();
    let events = events.borrow();
    let said = events.iter().filter_map(|event| match event {
        Event::BadTemplate { id, why } => Some(format!("{id}: {why}")),
        _ => None,
    });
    let said: Vec<String> = said.collect();
    assert!(
        said.len() < outcome.refusals.len(),
        "{:?}",
        outcome.refusals
    );
    let there = names(&machine);
    assert!(
        !there.iter().any(|name| name.starts_with("rc-")),
        "{there:?}"
    );
    // The next boot tries again, and is refused again.
    assert_eq!(
        attempt(&plan, &mut machine).unwrap().refusals,
        outcome.refusals
    );
    assert_eq!(names(&machine), there);
    (said, there)
}

#[test]
fn a_bad_template_never_gets_its_name_and_other_guests_come_up() {
    let seed = |machine: &Model, file: &str, change: &dyn Fn(&mut Vec<u8>)| {
        change(machine.0.lock().unwrap().seed.get_mut(file).unwrap());
    };
    type Case<'a> = (&'a str, &'a str, Box<dyn Fn(&mut Plan, &Model) + 'a>);
    let cases: [Case<'_>; 9] = [
        (
            "router",
            "SHA-256",
            Box::new(|plan, _| plan.templates[0].sha256 = Digest::of(b"")),
        ),
        (
            "router",
            "it has 1056768 bytes unpacked",
            Box::new(|plan, _| plan.templates[0].size += 512),
        ),
        (
            "router",
            "more than the expected",
            Box::new(|plan, _| plan.templates[0].size -= 512),
        ),
        (
            "router",
            "cannot be read or unpacked",
            Box::new(|_, m| seed(m, "router.img", &|b| b.truncate(b.len() / 2))),
        ),
        (
            "router",
            "cannot be read or unpacked",
            Box::new(|_, m| seed(m, "router.img", &|b| b[0] ^= 1)),
        ),
        (
            "router",
            "cannot use router.img",
            Box::new(|_, m| {
                m.0.lock().unwrap().seed.remove("router.img");
            }),
        ),
        (
            "app",
            "SHA-256",
            Box::new(|_, m| seed(m, "app.img", &|b| b[7] ^= 1)),
        ),
        (
            "app",
            "unpacked, expected",
            Box::new(|_, m| seed(m, "app.img", &|b| b.truncate(4096))),
        ),
        (
            "app",
            "more than the expected",
            Box::new(|_, m| seed(m, "app.img", &|b| b.push(0))),
        ),
    ];
    for (id, why, spoil) in cases {
        let (said, there) = bad(spoil);
        assert!(
            said.len() == 1 && said[0].starts_with(id) && said[0].contains(why),
            "{why}: {said:?}"
        );
        let (base, guest, other) = match id {
            "router" => ("base-9000-disk-0", "vm-101-disk-0", "vm-102-disk-0"),
            _ => ("base-9001-disk-0", "vm-102-disk-0", "vm-101-disk-0"),
        };
        let has = |name: &str| there.iter().any(|one| one == name);
        assert!(!has(base) && !has(guest) && has(other), "{there:?}");
    }
}

#[test]
fn a_disk_that_gives_back_other_bytes_is_noticed() {
    for (name, why) in [
        ("rc-base-9000", "gives back SHA-256"),
        ("rc-base-9001", "differs from the archive"),
    ] {
        let (said, _) = bad(|_, machine| machine.0.lock().unwrap().lying = Some(name.into()));
        assert!(said[0].contains(why), "{said:?}");
    }
}

#[test]
fn a_guest_without_what_only_the_unit_knows_waits_alone() {
    let (plan, mut machine) = (given::plan(), given::machine());
    machine.0.lock().unwrap().impersonal.insert(101);
    let outcome = attempt(&plan, &mut machine).unwrap();
    assert!(
        matches!(outcome.refusals[..], [Refusal::NotPersonal { .. }]),
        "{outcome:?}"
    );
    assert!(
        !names(&machine)
            .iter()
            .any(|name| name.contains("101") || name.starts_with("rc-"))
    );
    machine.0.lock().unwrap().impersonal.clear();
    finish(&plan, &mut machine);
    assert_finished(&machine);
}

#[test]
fn what_once_was_is_not_made_anew() {
    let (plan, mut machine) = (given::plan(), given::machine());
    finish(&plan, &mut machine);
    // A disk that somebody removed.
    let removed = machine.0.lock().unwrap().lvm.lvs.remove("vm-100-disk-0");
    let outcome = attempt(&plan, &mut machine).unwrap();
    assert!(outcome.steps == 0 && matches!(outcome.refusals[..], [Refusal::DiskGone { .. }]));
    reset(&plan, &mut machine, 100, From::Template, &mut quiet().1).unwrap();
    assert_finished(&machine);
    drop(removed);
    // The record is lost: all that is there counts as made.
    machine.0.lock().unwrap().record = None;
    finish(&plan, &mut machine);
    assert_finished(&machine);
    // The pool, then the group.
    let whole = machine.0.lock().unwrap().lvm.clone();
    machine.0.lock().unwrap().lvm.lvs.clear();
    let error = attempt(&plan, &mut machine).unwrap_err();
    assert!(
        matches!(error, RunError::Refused(Refusal::PoolLost { .. })),
        "{error}"
    );
    machine.0.lock().unwrap().lvm.group = None;
    let error = attempt(&plan, &mut machine).unwrap_err();
    assert!(
        matches!(error, RunError::Refused(Refusal::PoolLost { .. })),
        "{error}"
    );
    machine.0.lock().unwrap().lvm = whole.clone();
    machine.0.lock().unwrap().lvm.group = Some(("guests".into(), 9));
    let error = attempt(&plan, &mut machine).unwrap_err();
    assert!(
        matches!(error, RunError::Refused(Refusal::OtherPool { .. })),
        "{error}"
    );
    machine.0.lock().unwrap().lvm = whole;
    machine.0.lock().unwrap().lvm.group = Some(("theirs".into(), 1));
    let error = attempt(&plan, &mut machine).unwrap_err();
    assert!(
        matches!(error, RunError::Refused(Refusal::ForeignGroup { .. })),
        "{error}"
    );
    // A damaged record is no empty one.
    machine.0.lock().unwrap().record = Some(b"{\"format\":1".to_vec());
    assert!(matches!(
        attempt(&plan, &mut machine).unwrap_err(),
        RunError::Record(_)
    ));
}

#[test]
fn a_base_volume_of_another_origin_is_not_used() {
    let (plan, mut machine) = (given::plan(), given::machine());
    finish(&plan, &mut machine);
    let mut other = plan.clone();
    other.templates[0].sha256 = Digest::of(b"the same number, other content");
    let outcome = attempt(&other, &mut machine).unwrap();
    assert!(
        outcome.steps == 0
            && matches!(
                outcome.refusals[..],
                [Refusal::ForeignBase { number: 9000, .. }]
            )
    );
    machine
        .0
        .lock()
        .unwrap()
        .lvm
        .lvs
        .get_mut("base-9001-disk-0")
        .unwrap()
        .tags
        .clear();
    let outcome = attempt(&plan, &mut machine).unwrap();
    assert!(
        outcome.steps == 0
            && matches!(
                outcome.refusals[..],
                [Refusal::ForeignBase { number: 9001, .. }]
            )
    );
}

#[test]
fn a_partition_that_is_too_small_is_told() {
    let (mut plan, mut machine) = (given::plan(), given::machine());
    plan.templates[0].size = 4 << 30;
    plan.templates[0].volume = None;
    let error = attempt(&plan, &mut machine).unwrap_err();
    assert!(
        matches!(error, RunError::Refused(Refusal::Small { .. })),
        "{error}"
    );
}

#[test]
fn a_running_guest_is_not_reset() {
    let (plan, mut machine) = (given::plan(), given::machine());
    finish(&plan, &mut machine);
    let open = |machine: &Model, open| {
        machine
            .0
            .lock()
            .unwrap()
            .lvm
            .lvs
            .get_mut("vm-101-disk-0")
            .unwrap()
            .open = open
    };
    open(&machine, true);
    let mut ask = |from| reset(&plan, &mut machine, 101, from, &mut quiet().1).unwrap_err();
    assert!(matches!(
        ask(From::Template),
        ResetError::Request(RequestError::InUse { .. })
    ));
    assert!(matches!(
        ask(From::Snapshot(7)),
        ResetError::Request(RequestError::InUse { .. })
    ));
    open(&machine, false);
    let mut ask = |vmid, from| reset(&plan, &mut machine, vmid, from, &mut quiet().1).unwrap_err();
    assert!(matches!(
        ask(101, From::Snapshot(7)),
        ResetError::Request(RequestError::NoSnapshot { .. })
    ));
    assert!(matches!(
        ask(999, From::Template),
        ResetError::Request(RequestError::NoGuest { .. })
    ));
    assert_finished(&machine);
}
