//! A thousand actions with lost messages, kills, power cuts, cancels and server restarts: none is stuck, and in the end the
//! server knows what runs.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a program of tests"
)]

mod world;

use world::chaos;
use world::server::FakeServer;

#[test]
fn a_thousand_actions() {
    let seed = std::env::var("CHAOS_SEED").map_or(20_251_121, |seed| {
        seed.parse().expect("CHAOS_SEED is a number")
    });
    println!("CHAOS_SEED={seed}");
    let (world, tally) = chaos::run(seed, Box::new(FakeServer::new()), 1000);
    println!("{tally:?}");
    world.check();
    let core = world.core.borrow();
    assert_eq!(tally.actions, 1000);
    // Bad weather, but not only bad weather.
    assert!(tally.finished > 400, "{tally:?}");
    assert!(tally.failed > 100 && tally.canceled > 50, "{tally:?}");
    assert!(tally.kills > 200 && tally.power_cuts > 100, "{tally:?}");
    // No action was answered both ways.
    let mut verdicts = std::collections::BTreeMap::new();
    for (action, success, _) in &core.finals {
        assert_eq!(
            *verdicts.entry(action.clone()).or_insert(*success),
            *success,
            "{action}"
        );
    }
}
