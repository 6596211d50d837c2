//! Histories with a known end, to be disturbed at every moment.

use roamcore_engine::{ActionId, Conditions, Event, LocalOffer};

use super::World;
use super::releases::Fate;
use super::server::{FakeServer, Kind, Status};

/// What happens, and how it must end whenever the process dies.
pub struct Scenario {
    pub name: &'static str,
    /// Once, before the first round.
    pub begin: fn(&mut World),
    /// Before every round: operators and people. Must be harmless when repeated.
    pub act: fn(&mut World),
    /// Allowed ends: status of action 1, if there is one, and the release that runs.
    pub ends: &'static [(Option<Status>, u64)],
    /// Releases that may be written.
    pub last: u64,
}

fn nothing(_: &mut World) {}

fn forced(world: &mut World) {
    assign(world, 2, Kind::Forced);
}

fn assign(world: &mut World, release: u64, kind: Kind) {
    world.core.borrow_mut().server.assign(release, kind, false);
}

fn first() -> ActionId {
    ActionId("1".into())
}

fn confirm(world: &mut World) {
    if matches!(world.phase(), "verified" | "awaiting-confirmation")
        && let Some(process) = &mut world.process
    {
        drop(process.command(Event::Confirm));
    }
}

fn cancel_in(world: &mut World, phase: &str) {
    let action = first();
    let running = world.core.borrow().server.status(&action) == Some(Status::Running);
    let asked = world.rounds > 400
        || world
            .core
            .borrow()
            .log
            .iter()
            .any(|line| line == "operator cancels");
    if world.phase() == phase && running && !asked {
        let mut core = world.core.borrow_mut();
        core.log.push("operator cancels".into());
        core.server.cancel(&action);
    }
}

fn fated(world: &mut World, fate: Fate) {
    world.core.borrow_mut().fates.insert(2, fate);
    forced(world);
}

const DONE: (Option<Status>, u64) = (Some(Status::Finished), 2);
const FAILED: (Option<Status>, u64) = (Some(Status::Error), 1);
const CANCELLED: (Option<Status>, u64) = (Some(Status::Canceled), 1);

pub const ALL: &[Scenario] = &[
    Scenario {
        name: "forced",
        begin: forced,
        act: nothing,
        ends: &[DONE],
        last: 2,
    },
    Scenario {
        name: "soft, confirmed at the device",
        begin: |world| assign(world, 2, Kind::Soft),
        act: confirm,
        ends: &[DONE],
        last: 2,
    },
    Scenario {
        name: "confirmation asked by the server",
        begin: |world| {
            world.core.borrow_mut().server.assign(2, Kind::Forced, true);
        },
        act: confirm,
        ends: &[DONE],
        last: 2,
    },
    Scenario {
        name: "download only, then forced",
        begin: |world| assign(world, 2, Kind::DownloadOnly),
        act: |world| {
            let status = world.core.borrow().server.status(&first());
            let second = world.core.borrow().server.status(&ActionId("2".into()));
            if status == Some(Status::Downloaded) && second.is_none() {
                assign(world, 2, Kind::Forced);
            }
        },
        ends: &[(Some(Status::Downloaded), 2)],
        last: 2,
    },
    Scenario {
        name: "maintenance window",
        begin: |world| assign(world, 2, Kind::Window(120_000)),
        act: nothing,
        ends: &[DONE],
        last: 2,
    },
    Scenario {
        name: "gate fails",
        begin: |world| fated(world, Fate::GateFails),
        act: nothing,
        ends: &[FAILED],
        last: 2,
    },
    Scenario {
        name: "kernel panics",
        begin: |world| fated(world, Fate::Panics),
        act: nothing,
        ends: &[FAILED],
        last: 2,
    },
    Scenario {
        name: "gate hangs",
        begin: |world| fated(world, Fate::GateHangs),
        act: nothing,
        ends: &[FAILED],
        last: 2,
    },
    Scenario {
        name: "refused",
        begin: |world| fated(world, Fate::WrongBoard),
        act: nothing,
        ends: &[FAILED],
        last: 2,
    },
    Scenario {
        name: "cancel while verified",
        begin: |world| {
            world.conditions.may_reboot = false;
            forced(world);
        },
        act: |world| cancel_in(world, "verified"),
        ends: &[CANCELLED],
        last: 2,
    },
    Scenario {
        name: "cancel in the trial",
        begin: forced,
        act: |world| cancel_in(world, "trial"),
        // After a cut the first look may come when the trial is already over.
        ends: &[DONE],
        last: 2,
    },
    Scenario {
        name: "replaced by another release",
        begin: |world| {
            world.conditions.may_reboot = false;
            forced(world);
        },
        act: |world| {
            let second = world.core.borrow().server.status(&ActionId("2".into()));
            if world.phase() == "verified" && second.is_none() {
                assign(world, 3, Kind::Forced);
            }
            if world.core.borrow().server.status(&first()) == Some(Status::Canceled) {
                world.conditions = Conditions {
                    may_reboot: true,
                    online: true,
                };
                if let Some(process) = &world.process {
                    process.handle(Event::Conditions(world.conditions));
                }
            }
        },
        ends: &[(Some(Status::Canceled), 3)],
        last: 3,
    },
    Scenario {
        name: "a local file",
        begin: nothing,
        act: |world| {
            let running = world.core.borrow().disk.running().number;
            if world.phase() == "idle"
                && running == 1
                && let Some(process) = &mut world.process
            {
                drop(process.command(Event::Install(LocalOffer {
                    place: "2".into(),
                    title: "bare 1.2".into(),
                })));
            }
        },
        ends: &[(None, 2)],
        last: 2,
    },
    Scenario {
        name: "entry lost",
        begin: |world| {
            world.core.borrow_mut().lose_entry = true;
            forced(world);
        },
        act: nothing,
        // A power cut before arming uses the loss up on nothing.
        ends: &[FAILED, DONE],
        last: 2,
    },
    Scenario {
        name: "server restarts in the middle",
        begin: forced,
        act: |world| {
            if world.rounds == 2 || world.rounds == 40 {
                world.core.borrow_mut().server.restart();
            }
        },
        ends: &[DONE],
        last: 2,
    },
    Scenario {
        name: "two updates and the way back",
        begin: forced,
        act: |world| {
            let second = world.core.borrow().server.status(&ActionId("2".into()));
            let done = world.core.borrow().server.status(&first()) == Some(Status::Finished);
            if done && second.is_none() {
                assign(world, 3, Kind::Forced);
            }
        },
        ends: &[(Some(Status::Finished), 3)],
        last: 3,
    },
];

/// A world at the beginning of a scenario.
pub fn world(scenario: &Scenario, seed: u64) -> World {
    let mut world = World::new(seed, Box::new(FakeServer::new()));
    (scenario.begin)(&mut world);
    world
}

/// Runs to the end; the number of rounds it took.
pub fn run(world: &mut World, scenario: &Scenario, mut disturb: impl FnMut(&mut World)) {
    let mut calm = 0;
    for _ in 0..6000 {
        disturb(world);
        (scenario.act)(world);
        world.round();
        let ended = world.quiet() && ended(world, scenario);
        calm = if ended { calm + 1 } else { 0 };
        if calm > 5 {
            return;
        }
    }
    panic!("{}: never ended\n{}", scenario.name, world.history());
}

fn ended(world: &World, scenario: &Scenario) -> bool {
    let core = world.core.borrow();
    let status = core.server.status(&first());
    let end = (status, core.disk.running().number);
    scenario.ends.contains(&end)
}
