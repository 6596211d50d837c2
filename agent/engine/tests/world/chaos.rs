//! A thousand actions in bad weather. Works with any [`Server`](super::server::Server).

use roamcore_engine::{ActionId, Event};

use super::releases::Fate;
use super::rng::Rng;
use super::server::{Kind, Server, Status};
use super::{Cut, World};

/// What happened.
#[derive(Debug, Default)]
pub struct Tally {
    pub actions: u64,
    pub finished: u64,
    pub failed: u64,
    pub canceled: u64,
    pub kills: u64,
    pub power_cuts: u64,
    pub server_restarts: u64,
    pub outages: u64,
}

/// Assigns actions one after the other, sometimes over an open one, and disturbs everything.
pub fn run(seed: u64, server: Box<dyn Server>, actions: u64) -> (World, Tally) {
    let mut world = World::new(seed, server);
    world.policy.soft.ask = roamcore_engine::policy::Ask::Never;
    world.policy.questions = roamcore_engine::policy::Questions::Accept;
    let mut rng = Rng::new(seed ^ 0x5eed);
    let mut tally = Tally::default();
    let mut given: Vec<ActionId> = Vec::new();
    world.core.borrow_mut().loss = 15;
    while tally.actions < actions {
        let release = 2 + rng.below(40);
        world
            .core
            .borrow_mut()
            .fates
            .insert(release, fate(release, &mut rng));
        let kind = match rng.below(8) {
            0 => Kind::Soft,
            1 => Kind::TimeForced(rng.below(600_000)),
            2 => Kind::DownloadOnly,
            3 => Kind::Window(rng.below(600_000)),
            _ => Kind::Forced,
        };
        let confirm = rng.percent(10);
        given.push(
            world
                .core
                .borrow_mut()
                .server
                .assign(release, kind, confirm),
        );
        tally.actions += 1;
        // Usually to its end, sometimes not.
        let patience = if rng.percent(15) { rng.below(30) } else { 6000 };
        for round in 0..patience {
            if world.quiet() {
                world.check();
                break;
            }
            disturb(&mut world, &mut rng, &mut tally, given.last());
            world.round();
            assert!(round < 5999, "stuck\n{}", world.history());
        }
    }
    {
        let mut core = world.core.borrow_mut();
        core.loss = 0;
        core.fuse = None;
        core.network = true;
    }
    world.settle();
    for action in &given {
        match world.core.borrow().server.status(action) {
            Some(Status::Finished | Status::Downloaded) => tally.finished += 1,
            Some(Status::Error) => tally.failed += 1,
            Some(Status::Canceled) => tally.canceled += 1,
            other => panic!("action {action} is {other:?}\n{}", world.history()),
        }
    }
    (world, tally)
}

fn fate(release: u64, rng: &mut Rng) -> Fate {
    // What a release is for does not change; how it fares on a trial may.
    if release % 10 == 3 {
        return Fate::WrongBoard;
    }
    match rng.below(10) {
        0 => Fate::GateFails,
        1 => Fate::Panics,
        2 => Fate::GateHangs,
        _ => Fate::Good,
    }
}

fn disturb(world: &mut World, rng: &mut Rng, tally: &mut Tally, last: Option<&ActionId>) {
    let mut core = world.core.borrow_mut();
    match rng.below(400) {
        0..=11 if core.fuse.is_none() => {
            tally.kills += 1;
            core.fuse = Some((core.boundaries + 1 + rng.below(60), Cut::Kill));
        }
        12..=17 if core.fuse.is_none() => {
            tally.power_cuts += 1;
            core.fuse = Some((core.boundaries + 1 + rng.below(60), Cut::Power));
        }
        18..=20 => {
            tally.server_restarts += 1;
            core.server.restart();
        }
        21..=23 => {
            tally.outages += u64::from(core.network);
            core.network = false;
        }
        24..=60 => core.network = true,
        61..=63 => {
            if let Some(action) = last {
                core.server.cancel(action);
            }
        }
        64 => {
            if let Some(action) = last {
                core.server.force(action);
            }
        }
        65 => {
            drop(core);
            if let Some(process) = &mut world.process {
                drop(process.command(Event::Cancel));
            }
        }
        66 => {
            drop(core);
            if let Some(process) = &mut world.process {
                drop(process.command(Event::RollBack));
            }
        }
        _ => {}
    }
}
