//! The owner's rules: costs, patience, consent, local files.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a program of tests"
)]

mod world;

use roamcore_engine::facts::Entry;
use roamcore_engine::policy::{Ask, Limits, Soft};
use roamcore_engine::{Event, LocalOffer, Reply, Trouble};
use world::releases::{FRAME, FRAMES, delta};
use world::server::{Kind, Status};
use world::short::world as short_world;
use world::short::{
    assign, command, cut_process, last_details, status, stop_at, until_phase, world,
};

#[test]
fn soft_follows_the_owners_policy() {
    let mut free = world();
    free.policy.soft = Soft {
        ask: Ask::Never,
        hours: None,
    };
    let action = assign(&free, 2, Kind::Soft);
    free.settle();
    assert_eq!(status(&free, &action), Status::Finished);

    let mut asked = world();
    asked.policy.soft.ask = Ask::BeforeWriting;
    let action = assign(&asked, 2, Kind::Soft);
    until_phase(&mut asked, "awaiting-confirmation");
    asked.rounds(30);
    assert_eq!(asked.core.borrow().fetched, FRAME, "only the manifest");
    assert_eq!(command(&mut asked, Event::Deny), Reply::Accepted);
    asked.settle();
    assert_eq!(status(&asked, &action), Status::Error);
    assert_eq!(last_details(&asked), ["denied at the device"]);
    asked.check();
}

#[test]
fn a_local_file_works_without_a_server_and_is_told_later() {
    let mut world = world();
    world.round();
    world.core.borrow_mut().network = false;
    let offer = LocalOffer {
        place: "2".into(),
        title: "bare 1.2".into(),
    };
    assert_eq!(
        command(&mut world, Event::Install(offer.clone())),
        Reply::Accepted
    );
    assert!(matches!(
        command(&mut world, Event::Install(offer)),
        Reply::Refused(_)
    ));
    world.until("committed", 1000, |world| {
        world.running() == 2 && world.phase() == "idle"
    });
    assert_eq!(world.core.borrow().fetched, 0);
    world.core.borrow_mut().network = true;
    world.settle();
    world.check();
}

#[test]
fn a_local_file_goes_before_a_servers_unarmed_action() {
    let mut world = world();
    let action = assign(&world, 2, Kind::Soft);
    until_phase(&mut world, "verified");
    let offer = LocalOffer {
        place: "3".into(),
        title: "bare 1.3".into(),
    };
    assert_eq!(command(&mut world, Event::Install(offer)), Reply::Accepted);
    world.until("the local one runs", 1000, |world| {
        world.running() == 3 && !world.core.borrow().disk.on_trial()
    });
    // The server's is still wanted, and taken up again.
    until_phase(&mut world, "verified");
    assert_eq!(command(&mut world, Event::Confirm), Reply::Accepted);
    world.settle();
    assert_eq!(
        (status(&world, &action), world.running()),
        (Status::Finished, 2)
    );
    world.check();
}

#[test]
fn fail_instead_of_full() {
    let mut world = world();
    assign(&world, 2, Kind::Forced);
    world.settle();
    assert_eq!(world.running(), 2);
    let before = world.core.borrow().fetched;
    world.policy.limits = Limits {
        download_bytes: None,
        percent_of_full: Some(10),
    };
    // The policy is read when the service starts.
    cut_process(&mut world);
    world.settle();
    let action = assign(&world, 3, Kind::Forced);
    world.settle();
    assert_eq!(status(&world, &action), Status::Error);
    let details = last_details(&world);
    let full = FRAMES * FRAME;
    let wanted = format!("needs {} of {full} bytes of a full download", delta(2, 3));
    assert!(details[0].contains(&wanted), "{details:?}");
    let core = world.core.borrow();
    assert_eq!(core.fetched - before, FRAME, "the manifest only");
    let idle = core.disk.idle();
    assert_eq!(
        (idle.number, idle.entry),
        (1, Entry::Committed),
        "the way back is left as it was"
    );
    drop(core);
    world.check();
}

#[test]
fn a_budget_is_waited_for_or_refused() {
    use roamcore_engine::budget::{Budget, WhenShort};
    let mut world = world();
    world.policy.budget = Budget {
        per_day: Some(0),
        per_month: None,
        when_short: WhenShort::Wait,
    };
    assign(&world, 2, Kind::Forced);
    until_phase(&mut world, "offered");
    world.rounds(100);
    let status_now = world.process.as_ref().unwrap().status();
    assert!(status_now.waiting_for.unwrap().contains("data budget"));
    assert_eq!(world.core.borrow().fetched, 0);

    let mut refusing = short_world();
    refusing.policy.budget = Budget {
        per_day: Some(delta(1, 2) / 2),
        per_month: None,
        when_short: WhenShort::Refuse,
    };
    let action = assign(&refusing, 2, Kind::Forced);
    refusing.settle();
    assert_eq!(status(&refusing, &action), Status::Error);
    assert!(last_details(&refusing)[0].contains("the data budget has"));
}

#[test]
fn passing_trouble_is_tried_again_boundedly() {
    let mut world = world();
    world.core.borrow_mut().trouble = vec![("read back", Trouble::Passing); 3];
    let action = assign(&world, 2, Kind::Forced);
    world.settle();
    assert_eq!(status(&world, &action), Status::Finished);

    world.core.borrow_mut().trouble = vec![("read back", Trouble::Passing); 100];
    let action = assign(&world, 3, Kind::Forced);
    world.settle();
    assert_eq!(status(&world, &action), Status::Error);
    assert!(
        last_details(&world)[0].contains("given up after 8 attempts"),
        "{:?}",
        last_details(&world)
    );
    assert_eq!(world.core.borrow().trouble.len(), 92);
    world.check();
}

#[test]
fn no_network_is_waited_for_without_end() {
    let mut world = world();
    assign(&world, 2, Kind::Forced);
    stop_at(&world, "sync");
    until_phase(&mut world, "writing");
    world.core.borrow_mut().network = false;
    world.rounds(5000);
    assert_eq!(world.phase(), "writing");
    world.core.borrow_mut().network = true;
    world.settle();
    assert_eq!(world.running(), 2);
    world.check();
}

#[test]
fn progress_stays_far_below_the_quota() {
    let mut world = world();
    let action = assign(&world, 2, Kind::Forced);
    for _ in 0..100 {
        for _ in 0..2 {
            stop_at(&world, "sync");
        }
        world.rounds(2);
        cut_process(&mut world);
    }
    assert_eq!(world.running(), 1);
    world.core.borrow_mut().trouble.clear();
    world.settle();
    let reports = world
        .core
        .borrow()
        .log
        .iter()
        .filter(|line| line.contains("told: Progress"))
        .count();
    assert!((1..=21).contains(&reports), "{reports}");
    assert_eq!(status(&world, &action), Status::Finished);
}
