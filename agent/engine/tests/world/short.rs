//! Short words for tests of single rules.

use roamcore_engine::{ActionId, Event, Reply, Trouble};

use super::server::{FakeServer, Kind, Status};
use super::{Cut, World};

pub fn world() -> World {
    World::new(1, Box::new(FakeServer::new()))
}

pub fn assign(world: &World, release: u64, kind: Kind) -> ActionId {
    world.core.borrow_mut().server.assign(release, kind, false)
}

pub fn status(world: &World, action: &ActionId) -> Status {
    world.core.borrow().server.status(action).unwrap()
}

pub fn until_phase(world: &mut World, phase: &'static str) {
    world.until(phase, 500, |world| world.phase() == phase);
}

pub fn command(world: &mut World, event: Event) -> Reply {
    let process = world.process.as_mut().expect("a process");
    process.command(event).expect("a reply")
}

/// The next time this step is reached, it waits as for a network.
pub fn stop_at(world: &World, step: &'static str) {
    world
        .core
        .borrow_mut()
        .trouble
        .push((step, Trouble::Offline));
}

pub fn last_details(world: &World) -> Vec<String> {
    world
        .core
        .borrow()
        .finals
        .last()
        .expect("a final")
        .2
        .clone()
}

pub fn cut_process(world: &mut World) {
    super::process::cut(&world.core, Cut::Kill);
    world.round();
}
