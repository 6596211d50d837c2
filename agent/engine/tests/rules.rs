//! hawkBit's rules, one by one, in the model world without faults.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a program of tests"
)]

mod world;

use roamcore_engine::policy::Questions;
use roamcore_engine::{Artifact, Event, Module, Reply};
use world::World;
use world::releases::{FRAME, Fate, delta};
use world::server::{FakeServer, Kind, Status};
use world::short::{
    assign, command, cut_process, last_details, status, stop_at, until_phase, world,
};

#[test]
fn forced_goes_through_and_is_told_after_the_commit() {
    let mut world = world();
    world.settle();
    assert_eq!(
        world.core.borrow().server.installed(),
        Some(1),
        "what left the factory is told"
    );
    let action = assign(&world, 2, Kind::Forced);
    until_phase(&mut world, "trial");
    assert_eq!(status(&world, &action), Status::Running);
    world.settle();
    assert_eq!(status(&world, &action), Status::Finished);
    assert_eq!(world.running(), 2);
    let fetched = world.core.borrow().fetched;
    world.rounds(50);
    assert_eq!(
        world.core.borrow().server.heard(&action),
        2,
        "one report of progress, one end, nothing twice"
    );
    // Frames, manifest and UKI.
    assert_eq!(fetched, delta(1, 2) + 2 * FRAME);
    world.check();
    // And back into the first slot.
    let action = assign(&world, 3, Kind::Forced);
    world.settle();
    assert_eq!(status(&world, &action), Status::Finished);
    assert_eq!((world.running(), world.core.borrow().disk.running), (3, 0));
    world.check();
}

#[test]
fn the_running_release_is_success_without_work() {
    let mut world = world();
    let action = assign(&world, 1, Kind::Forced);
    world.settle();
    assert_eq!(status(&world, &action), Status::Finished);
    assert_eq!(world.core.borrow().armed, 0);
    world.check();
}

#[test]
fn soft_waits_for_consent_and_forcing_it_does_not() {
    for force in [false, true] {
        let mut world = world();
        let action = assign(&world, 2, Kind::Soft);
        until_phase(&mut world, "verified");
        world.rounds(50);
        assert_eq!(world.phase(), "verified");
        let waiting = world
            .process
            .as_ref()
            .unwrap()
            .status()
            .waiting_for
            .unwrap();
        assert!(waiting.contains("roamcore confirm"), "{waiting}");
        if force {
            world.core.borrow_mut().server.force(&action);
        } else {
            assert_eq!(command(&mut world, Event::Confirm), Reply::Accepted);
        }
        world.settle();
        assert_eq!(status(&world, &action), Status::Finished);
        world.check();
    }
}

#[test]
fn time_forced_becomes_forced() {
    let mut world = world();
    let action = assign(&world, 2, Kind::TimeForced(20 * 60 * 1000));
    until_phase(&mut world, "verified");
    world.rounds(10);
    assert_eq!(world.phase(), "verified");
    world.settle();
    assert_eq!(status(&world, &action), Status::Finished);
    assert!(world.core.borrow().server.describe().contains("Finished"));
    world.check();
}

#[test]
fn download_only_is_verified_reported_and_kept_for_the_next_action() {
    let mut world = world();
    let first = assign(&world, 2, Kind::DownloadOnly);
    world.until("downloaded", 500, |world| {
        status(world, &first) == Status::Downloaded
    });
    world.rounds(100);
    assert_eq!(world.phase(), "verified");
    assert_eq!(world.core.borrow().armed, 0);
    let before = world.core.borrow().fetched;
    let second = assign(&world, 2, Kind::Forced);
    world.settle();
    assert_eq!(status(&world, &second), Status::Finished);
    let again = world.core.borrow().fetched - before;
    assert_eq!(again, 2 * FRAME, "manifest and UKI, no frame");
    world.check();
}

#[test]
fn download_only_can_be_installed_at_the_device() {
    let mut world = world();
    let action = assign(&world, 2, Kind::DownloadOnly);
    world.until("downloaded", 500, |world| {
        status(world, &action) == Status::Downloaded
    });
    assert_eq!(command(&mut world, Event::Confirm), Reply::Accepted);
    world.settle();
    assert_eq!(
        status(&world, &action),
        Status::Finished,
        "one later end is taken"
    );
    world.check();
}

#[test]
fn a_window_is_downloaded_ahead_and_armed_when_open() {
    let mut world = world();
    let action = assign(&world, 2, Kind::Window(60 * 60 * 1000));
    until_phase(&mut world, "verified");
    world.rounds(200);
    assert_eq!((world.phase(), world.core.borrow().armed), ("verified", 0));
    world.settle();
    assert_eq!(status(&world, &action), Status::Finished);
    world.check();
}

#[test]
fn an_old_look_at_an_open_window_is_no_permission() {
    let mut world = world();
    world.conditions.may_reboot = false;
    assign(&world, 2, Kind::Window(0));
    until_phase(&mut world, "verified");
    world.core.borrow_mut().network = false;
    world.rounds(400);
    let conditions = roamcore_engine::Conditions {
        may_reboot: true,
        online: true,
    };
    let process = world.process.as_mut().unwrap();
    process.handle(Event::Conditions(conditions));
    world.rounds(50);
    assert_eq!((world.phase(), world.core.borrow().armed), ("verified", 0));
    world.core.borrow_mut().network = true;
    world.settle();
    assert_eq!(world.running(), 2);
}

#[test]
fn a_lapsed_window_is_a_cancel() {
    let mut world = world();
    let action = assign(&world, 2, Kind::Window(60 * 60 * 1000));
    until_phase(&mut world, "verified");
    world.core.borrow_mut().server.cancel(&action);
    world.settle();
    assert_eq!(status(&world, &action), Status::Canceled);
    assert!(
        !world.core.borrow().disk.idle().published,
        "the idle slot is left invalid"
    );
    world.check();
}

#[test]
fn a_confirmation_is_asked_answered_and_taken_back() {
    let mut world = world();
    let action = world.core.borrow_mut().server.assign(2, Kind::Forced, true);
    until_phase(&mut world, "awaiting-confirmation");
    world.rounds(30);
    assert_eq!(world.core.borrow().fetched, 0);
    assert_eq!(command(&mut world, Event::Deny), Reply::Accepted);
    world.rounds(60);
    assert_eq!(status(&world, &action), Status::WaitingForConfirmation);
    let told = world
        .core
        .borrow()
        .log
        .iter()
        .filter(|line| line.contains("told: Confirmation"))
        .count();
    assert_eq!(told, 1, "a denial is not repeated with every poll");
    assert_eq!(command(&mut world, Event::Confirm), Reply::Accepted);
    world.settle();
    assert_eq!(status(&world, &action), Status::Finished);
    world.check();
}

#[test]
fn a_policy_can_answer_for_the_person() {
    let mut world = world();
    world.policy.questions = Questions::Accept;
    let action = world.core.borrow_mut().server.assign(2, Kind::Soft, true);
    world.settle();
    assert_eq!(status(&world, &action), Status::Finished);
    world.check();
}

#[test]
fn an_unanswered_confirmation_can_be_cancelled_and_replaced() {
    let mut world = world();
    let first = world.core.borrow_mut().server.assign(2, Kind::Forced, true);
    until_phase(&mut world, "awaiting-confirmation");
    let second = assign(&world, 3, Kind::Forced);
    world.settle();
    assert_eq!(status(&world, &first), Status::Canceled);
    assert_eq!(status(&world, &second), Status::Finished);
    world.check();
}

#[test]
fn a_cancel_is_accepted_until_armed_and_rejected_after() {
    for phase in ["offered", "writing", "verified", "armed", "trial"] {
        let mut world = world();
        // Verified and armed are kept from passing too fast.
        world.conditions.may_reboot = phase != "verified";
        let action = assign(&world, 2, Kind::Forced);
        match phase {
            "offered" => stop_at(&world, "judge"),
            "writing" => stop_at(&world, "sync"),
            "armed" => stop_at(&world, "reboot"),
            _ => {}
        }
        until_phase(&mut world, phase);
        world.core.borrow_mut().server.cancel(&action);
        world.settle();
        let want = match phase {
            "armed" | "trial" => (Status::Finished, 2),
            _ => (Status::Canceled, 1),
        };
        assert_eq!(
            (status(&world, &action), world.running()),
            want,
            "{phase}\n{}",
            world.history()
        );
        let rejected = world
            .core
            .borrow()
            .log
            .iter()
            .any(|line| line.contains("too late to cancel"));
        assert_eq!(rejected, want.1 == 2, "{phase}");
        world.check();
    }
}

#[test]
fn a_cancel_of_something_never_seen_is_accepted() {
    let mut world = world();
    let action = assign(&world, 2, Kind::Forced);
    world.core.borrow_mut().server.cancel(&action);
    world.settle();
    assert_eq!(status(&world, &action), Status::Canceled);
    assert_eq!(world.core.borrow().fetched, 0);
    world.check();
}

#[test]
fn a_new_action_replaces_the_old_one() {
    for autoclose in [false, true] {
        let mut server = FakeServer::new();
        server.autoclose = autoclose;
        let mut world = World::new(2, Box::new(server));
        world.conditions.may_reboot = false;
        let first = assign(&world, 2, Kind::Forced);
        until_phase(&mut world, "verified");
        let second = assign(&world, 3, Kind::Forced);
        world.until("the second one is verified", 500, |world| {
            world.phase() == "verified" && world.core.borrow().disk.idle().number == 3
        });
        let conditions = roamcore_engine::Conditions {
            may_reboot: true,
            online: true,
        };
        world.conditions = conditions;
        world
            .process
            .as_mut()
            .unwrap()
            .handle(Event::Conditions(conditions));
        world.settle();
        assert_eq!(status(&world, &first), Status::Canceled);
        assert_eq!(status(&world, &second), Status::Finished);
        world.check();
    }
}

#[test]
fn an_action_that_disappears_is_dropped() {
    let mut world = world();
    world.conditions.may_reboot = false;
    let action = assign(&world, 2, Kind::Forced);
    until_phase(&mut world, "verified");
    world.core.borrow_mut().server.force_quit(&action);
    world.until("idle", 100, |world| world.phase() == "idle");
    world.settle();
    assert!(world.core.borrow().finals.is_empty());
    world.check();
}

#[test]
fn an_action_that_disappears_too_late_is_corrected() {
    let mut world = world();
    let action = assign(&world, 2, Kind::Forced);
    until_phase(&mut world, "trial");
    world.core.borrow_mut().server.force_quit(&action);
    world.settle();
    assert_eq!(status(&world, &action), Status::Canceled);
    assert_eq!(world.running(), 2);
    // Nobody takes the success; installedBase tells.
    world.check();
}

#[test]
fn modules_of_others_are_refused_with_their_names() {
    let mut server = FakeServer::new();
    server.extra.push(Module {
        part: "bApp".into(),
        name: "router".into(),
        version: "9".into(),
        encrypted: false,
        artifacts: vec![Artifact {
            name: "router.qcow2".into(),
            size: 1,
            sha256: None,
        }],
    });
    let mut world = World::new(3, Box::new(server));
    let action = assign(&world, 2, Kind::Forced);
    world.settle();
    assert_eq!(status(&world, &action), Status::Error);
    let details = last_details(&world);
    assert!(
        details[0].contains("bApp router 9 [router.qcow2]"),
        "{details:?}"
    );
    assert_eq!(world.core.borrow().fetched, 0);
    world.check();
}

#[test]
fn a_refused_release_is_told_at_once_with_its_reason() {
    let mut world = world();
    world.core.borrow_mut().fates.insert(2, Fate::WrongBoard);
    let action = assign(&world, 2, Kind::Forced);
    world.settle();
    assert_eq!(status(&world, &action), Status::Error);
    assert_eq!(
        last_details(&world),
        ["refused: it is for board \"other\", this is \"vp2430\""]
    );
    let core = world.core.borrow();
    assert_eq!(core.fetched, FRAME, "the manifest only");
    assert!(
        !core
            .log
            .iter()
            .any(|line| line.contains("disk: invalidate"))
    );
    drop(core);
    world.check();
}

#[test]
fn a_lost_final_answer_does_not_install_again() {
    let mut world = world();
    let action = assign(&world, 2, Kind::Forced);
    until_phase(&mut world, "trial");
    // Nothing gets through until long after the commit.
    world.core.borrow_mut().loss = 100;
    world.rounds(300);
    assert_eq!(
        (world.running(), status(&world, &action)),
        (2, Status::Running)
    );
    cut_process(&mut world);
    world.rounds(100);
    world.core.borrow_mut().loss = 0;
    world.settle();
    assert_eq!(status(&world, &action), Status::Finished);
    assert_eq!(world.core.borrow().armed, 1);
    world.check();
}

#[test]
fn a_server_that_forgot_an_answer_gets_it_again_and_nothing_is_done_twice() {
    for (fate, end) in [
        (Fate::Good, Status::Finished),
        (Fate::GateFails, Status::Error),
    ] {
        let mut world = world();
        world.core.borrow_mut().fates.insert(2, fate);
        let action = assign(&world, 2, Kind::Forced);
        world.settle();
        let before = (world.core.borrow().armed, world.core.borrow().fetched);
        // A backup was restored.
        world.core.borrow_mut().server.reopen(&action);
        world.settle();
        assert_eq!(status(&world, &action), end);
        assert_eq!(
            (world.core.borrow().armed, world.core.borrow().fetched),
            before,
            "{fate:?}"
        );
        assert_eq!(world.core.borrow().finals.len(), 2);
        world.check();
    }
}

#[test]
fn a_server_that_counts_from_one_again_is_obeyed() {
    let mut world = world();
    let action = assign(&world, 2, Kind::Forced);
    world.settle();
    world.core.borrow_mut().server = Box::new(FakeServer::new());
    let again = assign(&world, 3, Kind::Forced);
    assert_eq!(action, again);
    world.settle();
    assert_eq!(
        (status(&world, &again), world.running()),
        (Status::Finished, 3)
    );
    world.check();
}
