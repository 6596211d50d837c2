//! First boot, power cuts, resets and snapshots on a model of LVM.

#![allow(
    clippy::unwrap_used,
    missing_docs,
    reason = "helpers of tests, too, may panic, and nobody imports them"
)]

mod cuts;
mod faults;
mod given;
mod later;
mod model;

use roamcore_guests::{Outcome, Plan, RunError, Volume, run};

use crate::model::{EXTENT, Model, Pages, put, quiet};

/// A run on which nothing is asserted.
pub fn attempt(plan: &Plan, machine: &mut Model) -> Result<Outcome, RunError> {
    run(plan, machine, &mut quiet().1)
}

/// Until the end; nothing may be refused.
pub fn finish(plan: &Plan, machine: &mut Model) -> usize {
    let outcome = attempt(plan, machine).unwrap();
    assert_eq!(outcome.refusals, []);
    outcome.steps
}

/// What a volume shall hold: an image, its first page turned around for a guest that is personal.
pub fn pages(image: &[u8], personal: Option<u32>) -> Pages {
    let mut bytes = image.to_vec();
    bytes.resize(bytes.len().max(4096), 0);
    if let Some(vmid) = personal {
        bytes[..4096]
            .iter_mut()
            .for_each(|byte| *byte ^= vmid as u8);
    }
    let mut pages = Pages::new();
    put(&mut pages, &bytes, 0);
    pages.retain(|_, page| page.iter().any(|byte| *byte != 0));
    pages
}

/// What a volume holds.
pub fn held(machine: &Model, name: &str) -> Pages {
    let world = machine.0.lock().unwrap();
    let lv = world
        .lvm
        .lvs
        .get(name)
        .unwrap_or_else(|| panic!("no {name}"));
    let mut pages = lv.durable.clone();
    pages.retain(|_, page| page.iter().any(|byte| *byte != 0));
    pages
}

pub fn names(machine: &Model) -> Vec<String> {
    machine.0.lock().unwrap().lvm.lvs.keys().cloned().collect()
}

/// The end of every first boot with the plan of `given`.
pub fn assert_finished(machine: &Model) {
    assert_eq!(
        names(machine),
        [
            "base-9000-disk-0",
            "base-9001-disk-0",
            "pool",
            "vm-100-disk-0",
            "vm-101-disk-0",
            "vm-102-disk-0",
            "vm-102-disk-1"
        ]
    );
    let (vm, ct) = (given::image(1), given::image(2));
    assert!(held(machine, "base-9000-disk-0") == pages(&vm, None));
    assert!(held(machine, "base-9001-disk-0") == pages(&ct, None));
    assert!(held(machine, "vm-100-disk-0") == pages(&vm, None));
    assert!(held(machine, "vm-101-disk-0") == pages(&vm, Some(101)));
    assert!(held(machine, "vm-102-disk-0") == pages(&ct, Some(102)));
    assert!(held(machine, "vm-102-disk-1").is_empty());
    let world = machine.0.lock().unwrap();
    for (name, lv) in &world.lvm.lvs {
        let base = matches!(Volume::parse(name), Some(Volume::Base { .. }));
        assert_eq!((lv.read_only, lv.skip), (base, base), "{name}");
        assert!(!base || !lv.active, "{name}");
    }
    assert_eq!(world.lvm.lvs["vm-101-disk-0"].size, 3 * EXTENT);
    assert_eq!(world.lvm.lvs["vm-102-disk-0"].size, 4 * EXTENT);
    assert_eq!(world.lvm.lvs["vm-101-disk-0"].origin, "base-9000-disk-0");
    assert_eq!(world.groups, 1);
}

#[test]
fn a_first_boot_makes_everything_and_a_second_run_does_nothing() {
    let (plan, mut machine) = (given::plan(), given::machine());
    assert!(finish(&plan, &mut machine) > 20);
    assert_finished(&machine);
    let before = machine.0.lock().unwrap().count;
    assert_eq!(finish(&plan, &mut machine), 0);
    assert_eq!(machine.0.lock().unwrap().count, before);
    // After a reboot as well.
    machine.0.lock().unwrap().boot();
    assert_eq!(finish(&plan, &mut machine), 0);
    assert_finished(&machine);
}

#[test]
fn holes_take_no_room_and_guests_come_in_the_order_of_their_start() {
    let (plan, mut machine) = (given::plan(), given::machine());
    let (events, mut collect) = quiet();
    run(&plan, &mut machine, &mut collect).unwrap();
    let written = machine.0.lock().unwrap().written;
    let all = 2 * given::image(1).len() as u64 / 4096;
    assert!(written < all / 2 + 100, "{written} of {all}");
    let order: Vec<String> = events
        .borrow()
        .iter()
        .filter_map(|event| match event {
            roamcore_guests::Event::Step(roamcore_guests::Step::Rename { to, .. }) => {
                Some(to.to_string())
            }
            _ => None,
        })
        .collect();
    assert_eq!(
        order,
        [
            "base-9000-disk-0",
            "vm-100-disk-0",
            "vm-101-disk-0",
            "base-9001-disk-0",
            "vm-102-disk-0",
            "vm-102-disk-1"
        ]
    );
}
