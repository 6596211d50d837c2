//! The engine ends, as if killed or by a power cut, at every boundary of every scenario, and at random moments again and again.
//!
//! It is dropped in this process, on a model of the device. A test of the device's own code
//! kills a real process.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a program of tests"
)]

mod world;

use world::device::SYNC_EVERY;
use world::releases::{FRAME, delta};
use world::rng::Rng;
use world::scenario::{ALL, Scenario, run, world};
use world::{Cut, World};

/// Runs of the random part. `KILL_SEED` repeats one.
const RANDOM: u64 = 500;

/// What must hold however often it died.
fn check(world: &World, scenario: &Scenario, cuts: u64) {
    world.check();
    let core = world.core.borrow();
    // Payload is fetched once; a cut costs at most what was not synced, or the one frame on its way.
    let needed: u64 = (2..=scenario.last)
        .map(|number| delta(number - 1, number) / FRAME)
        .sum();
    let most = needed + cuts * SYNC_EVERY as u64;
    assert!(
        core.frames <= most,
        "{}: {} frames fetched, {needed} needed, {cuts} cuts",
        scenario.name,
        core.frames
    );
    assert!(
        core.commits.values().all(|commits| *commits == 1),
        "{:?}",
        core.commits
    );
    assert!(
        core.rearmed <= roamcore_slots::MOST_REARMS.into(),
        "{}",
        core.rearmed
    );
}

#[test]
fn at_every_boundary() {
    let mut moments = 0;
    for scenario in ALL {
        let mut calm = world(scenario, 7);
        run(&mut calm, scenario, |_| {});
        check(&calm, scenario, 0);
        let boundaries = calm.core.borrow().boundaries;
        for at in 1..=boundaries {
            for cut in [Cut::Kill, Cut::Power] {
                let mut disturbed = world(scenario, at);
                disturbed.core.borrow_mut().fuse = Some((at, cut));
                run(&mut disturbed, scenario, |_| {});
                check(&disturbed, scenario, 1);
                moments += 1;
            }
        }
    }
    println!("{moments} moments");
    assert!(moments > 5000, "{moments}");
}

#[test]
fn at_random_moments_again_and_again() {
    let seeds = match std::env::var("KILL_SEED") {
        Ok(seed) => vec![seed.parse().expect("KILL_SEED is a number")],
        Err(_) => (0..RANDOM).collect(),
    };
    for seed in seeds {
        let mut rng = Rng::new(seed);
        let scenario = &ALL[usize::try_from(rng.below(ALL.len() as u64)).unwrap()];
        println!("KILL_SEED={seed} {}", scenario.name);
        let mut disturbed = world(scenario, seed);
        let mut left = 1 + rng.below(6);
        let mut cuts = 0;
        run(&mut disturbed, scenario, |world| {
            let core = &mut *world.core.borrow_mut();
            if core.fuse.is_none() && left > 0 {
                // Also during a trial, where it uses up a try: six are fewer than the nine of all armings.
                let power = core.rng.percent(50);
                let cut = if power { Cut::Power } else { Cut::Kill };
                let at = core.boundaries + 1 + core.rng.below(150);
                core.fuse = Some((at, cut));
                left -= 1;
                cuts += 1;
            }
        });
        check(&disturbed, scenario, cuts);
    }
}
