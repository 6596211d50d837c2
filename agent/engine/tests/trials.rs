//! Trials that fail, are interrupted or are wanted back, and records that are lost.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a program of tests"
)]

mod world;

use roamcore_engine::{Event, Gate, Reply, Trouble};
use world::releases::Fate;
use world::server::{Kind, Status};
use world::short::{
    assign, command, cut_process, last_details, status, stop_at, until_phase, world,
};

#[test]
fn failed_trials_end_on_the_old_slot_with_the_reason() {
    for (fate, reason) in [
        (Fate::Panics, "used up 3 tries"),
        (
            Fate::GateFails,
            "the health gate failed: storage is missing",
        ),
        (Fate::GateHangs, "not committed within its time"),
    ] {
        let mut world = world();
        world.core.borrow_mut().fates.insert(2, fate);
        let action = assign(&world, 2, Kind::Forced);
        world.settle();
        assert_eq!(
            (status(&world, &action), world.running()),
            (Status::Error, 1),
            "{fate:?}"
        );
        let details = last_details(&world);
        assert!(details[0].contains(reason), "{fate:?}: {details:?}");
        assert!(details.contains(&"last words".to_owned()), "{details:?}");
        world.check();
        // The same release again, by another action, is another attempt.
        world.core.borrow_mut().fates.clear();
        let again = assign(&world, 2, Kind::Forced);
        world.settle();
        assert_eq!(status(&world, &again), Status::Finished, "{fate:?}");
        world.check();
    }
}

#[test]
fn a_lost_entry_is_told() {
    let mut world = world();
    world.core.borrow_mut().lose_entry = true;
    let action = assign(&world, 2, Kind::Forced);
    world.settle();
    assert_eq!(
        (status(&world, &action), world.running()),
        (Status::Error, 1)
    );
    let details = last_details(&world);
    assert!(
        details[0].contains("entry is gone from the ESP"),
        "{details:?}"
    );
    world.check();
}

#[test]
fn evidence_of_an_earlier_boot_is_a_verdict() {
    let mut world = world();
    let action = assign(&world, 2, Kind::Forced);
    until_phase(&mut world, "trial");
    // It dies, and leaves a sign.
    world.core.borrow_mut().sign = Some("pstore holds a panic".into());
    world.power_cut();
    world.settle();
    assert_eq!(
        (status(&world, &action), world.running()),
        (Status::Error, 1)
    );
    assert!(last_details(&world)[0].contains("pstore holds a panic"));
    world.check();
}

#[test]
fn an_interrupted_trial_is_no_verdict() {
    // Cut before and after the state partition was there; the third cut uses up the tries.
    for (early, late, rearmed) in [(2, 0, 0), (0, 3, 1), (2, 1, 1), (1, 7, 2)] {
        let mut world = world();
        world.core.borrow_mut().cranks = early;
        world.core.borrow_mut().late_cranks = late;
        let action = assign(&world, 2, Kind::Forced);
        world.settle();
        let core = world.core.borrow();
        assert_eq!(core.rearmed, rearmed, "{early} and {late} cuts");
        drop(core);
        assert_eq!(
            (status(&world, &action), world.running()),
            (Status::Finished, 2),
            "{early} and {late} cuts"
        );
        world.check();
    }
}

#[test]
fn tries_of_which_none_came_up_are_a_verdict() {
    let mut world = world();
    world.core.borrow_mut().cranks = 3;
    let action = assign(&world, 2, Kind::Forced);
    world.settle();
    assert_eq!(
        (status(&world, &action), world.running()),
        (Status::Error, 1)
    );
    assert_eq!(world.core.borrow().rearmed, 0);
    let said = last_details(&world);
    assert!(said[0].contains("used up 3 tries"), "{said:?}");
    world.check();
}

/// They came up, but one of them left a sign.
#[test]
fn used_up_tries_with_a_sign_are_a_verdict() {
    let mut world = world();
    let action = assign(&world, 2, Kind::Forced);
    until_phase(&mut world, "trial");
    world.core.borrow_mut().late_cranks = 2;
    world.core.borrow_mut().sign = Some("watchdog0 reset the machine".into());
    world.power_cut();
    world.settle();
    assert_eq!(
        (status(&world, &action), world.running()),
        (Status::Error, 1)
    );
    assert_eq!(world.core.borrow().rearmed, 0);
    let said = last_details(&world);
    assert!(said[0].contains("watchdog0 reset"), "{said:?}");
    world.check();
}

#[test]
fn a_restart_between_arming_and_the_reboot_is_no_interrupted_trial() {
    let mut world = world();
    stop_at(&world, "reboot");
    let action = assign(&world, 2, Kind::Forced);
    until_phase(&mut world, "armed");
    cut_process(&mut world);
    world.settle();
    assert_eq!(
        (status(&world, &action), world.running()),
        (Status::Finished, 2)
    );
    assert_eq!(world.core.borrow().rearmed, 0);
    world.check();
}

#[test]
fn rearming_after_used_up_tries_is_bounded() {
    let mut world = world();
    let action = assign(&world, 2, Kind::Forced);
    until_phase(&mut world, "trial");
    // Never comes to an end: cut for ever, or a hang that nothing notices.
    world.core.borrow_mut().late_cranks = 100;
    world.power_cut();
    world.settle();
    assert_eq!(
        (status(&world, &action), world.running()),
        (Status::Error, 1)
    );
    let most = u64::from(roamcore_slots::MOST_REARMS);
    assert_eq!(world.core.borrow().rearmed, most);
    let said = last_details(&world);
    assert!(said[0].contains("used up 9 tries"), "{said:?}");
}

#[test]
fn the_other_slot_comes_back_by_a_trial_of_its_own() {
    let mut world = world();
    world.round();
    assert!(matches!(
        command(&mut world, Event::RollBack),
        Reply::Refused(_)
    ));
    assign(&world, 2, Kind::Forced);
    world.settle();
    assert_eq!(command(&mut world, Event::RollBack), Reply::Accepted);
    world.settle();
    assert_eq!(world.running(), 1);
    world.check();
}

#[test]
fn a_rollback_during_the_trial_leads_back_at_once() {
    let mut world = world();
    let action = assign(&world, 2, Kind::Forced);
    until_phase(&mut world, "trial");
    assert_eq!(command(&mut world, Event::RollBack), Reply::Accepted);
    world.settle();
    assert_eq!(
        (status(&world, &action), world.running()),
        (Status::Error, 1)
    );
    assert!(last_details(&world)[0].contains("asked for the old slot"));
    world.check();
}

#[test]
fn trouble_in_the_last_steps_is_told_and_leaves_the_old_slot() {
    for (step, reason) in [
        ("arm", "could not be armed"),
        ("publish", "publish failed"),
        ("uki", "uki failed"),
    ] {
        let mut world = world();
        world.core.borrow_mut().trouble.push((step, Trouble::Final));
        let action = assign(&world, 2, Kind::Forced);
        world.settle();
        assert_eq!(
            (status(&world, &action), world.running()),
            (Status::Error, 1),
            "{step}"
        );
        assert!(
            last_details(&world)[0].contains(reason),
            "{:?}",
            last_details(&world)
        );
        world.check();
    }
}

#[test]
fn a_lost_record_is_rebuilt_from_disk_in_every_phase() {
    for phase in ["offered", "writing", "verified", "armed", "trial", "idle"] {
        let mut world = world();
        world.conditions.may_reboot = !matches!(phase, "verified");
        let action = assign(&world, 2, Kind::Forced);
        match phase {
            "offered" => stop_at(&world, "judge"),
            "writing" => stop_at(&world, "sync"),
            "armed" => stop_at(&world, "reboot"),
            _ => {}
        }
        until_phase(&mut world, phase);
        for copy in &mut world.core.borrow_mut().copies {
            *copy = b"damaged".to_vec();
        }
        world.conditions.may_reboot = true;
        cut_process(&mut world);
        world.settle();
        assert_eq!(
            (status(&world, &action), world.running()),
            (Status::Finished, 2),
            "{phase}\n{}",
            world.history()
        );
        world.check();
    }
}

#[test]
fn a_gate_that_speaks_late_changes_nothing() {
    let mut world = world();
    assign(&world, 2, Kind::Forced);
    world.settle();
    world
        .process
        .as_ref()
        .unwrap()
        .gate(Gate::Failed("late".into()));
    world.rounds(20);
    assert_eq!((world.phase(), world.running()), ("idle", 2));
    world.check();
}

/// Whatever asks for it: while the idle slot is the way back, it is not touched.
#[test]
fn work_that_would_destroy_the_way_back_is_refused() {
    use roamcore_engine::{
        Control, Done, Grant, JobId, RealPace, Source, Work, WorkEvent, perform,
    };
    use world::device::{FakeDevice, FakeSources};
    let mut world = world();
    assign(&world, 2, Kind::Forced);
    until_phase(&mut world, "trial");
    let (job, target) = (JobId(99), world::releases::target(3));
    let source = Source::Local { place: "3".into() };
    let works = [
        Work::Write {
            job,
            source,
            target: target.clone(),
        },
        Work::Arm {
            job,
            target: target.clone(),
            rearms: 0,
            passed: None,
        },
        Work::Clear { job },
        Work::RollBack { job, target },
        Work::Previous { job },
    ];
    let before = format!("{:?}", world.core.borrow().disk);
    for work in works {
        let mut end = None;
        perform(
            &work,
            &Grant::default(),
            &mut FakeDevice::new(&world.core),
            &mut FakeSources::new(&world.core),
            &Control::new(),
            &RealPace::default(),
            &mut |event| {
                if let WorkEvent::Ended { result, .. } = event {
                    end = Some(result);
                }
            },
        );
        let error = end.expect("an end").expect_err("refused");
        assert!(
            error
                .to_string()
                .contains("is the way back and is not touched"),
            "{work:?}: {error}"
        );
    }
    assert_eq!(format!("{:?}", world.core.borrow().disk), before);
    // The same outside of a trial, but without a committed entry: evidence is all that is collected.
    world.settle();
    {
        let mut core = world.core.borrow_mut();
        let running = core.disk.running;
        core.disk.halves[running].entry = roamcore_engine::Entry::Absent;
    }
    let mut end = None;
    perform(
        &Work::RollBack {
            job,
            target: world::releases::target(1),
        },
        &Grant::default(),
        &mut FakeDevice::new(&world.core),
        &mut FakeSources::new(&world.core),
        &Control::new(),
        &RealPace::default(),
        &mut |event| {
            if let WorkEvent::Ended { result, .. } = event {
                end = Some(result);
            }
        },
    );
    let Some(Ok(Done::RolledBack(evidence))) = end else {
        panic!("{end:?}");
    };
    assert!(
        evidence.detectors[0].contains("without a committed boot entry"),
        "{evidence:?}"
    );
    assert_eq!(
        world.core.borrow().disk.idle().entry,
        roamcore_engine::Entry::Committed
    );
}
