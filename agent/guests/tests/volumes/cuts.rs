//! Power cuts: at every operation, before it, in its middle and right after it.

use roamcore_guests::record::From;
use roamcore_guests::reset::reset;
use roamcore_guests::{Volume, snapshot};

use crate::model::{Cut, Model, World, quiet};
use crate::{assert_finished, attempt, finish, given, held, names, pages};

const CUTS: [Cut; 3] = [Cut::Before, Cut::Middle, Cut::After];

fn cut_at(machine: &Model, at: u64, cut: Cut) {
    let mut world = machine.0.lock().unwrap();
    world.cut = Some((world.count + at, cut));
}

fn power_back(machine: &Model) -> bool {
    let mut world: std::sync::MutexGuard<'_, World> = machine.0.lock().unwrap();
    let was_off = world.off;
    world.boot();
    was_off
}

/// Whatever has a final name is right, at every moment.
fn assert_no_wrong_bytes(machine: &Model) {
    let (vm, ct) = (given::image(1), given::image(2));
    for name in names(machine) {
        let right = match Volume::parse(&name) {
            Some(Volume::Base { number: 9000 }) => pages(&vm, None),
            Some(Volume::Base { .. }) => pages(&ct, None),
            Some(Volume::Disk(id)) if id.disk == 1 => pages(&[], None),
            Some(Volume::Disk(id)) => match id.vmid {
                100 => pages(&vm, None),
                101 => pages(&vm, Some(101)),
                _ => pages(&ct, Some(102)),
            },
            _ => continue,
        };
        assert!(held(machine, &name) == right, "{name}");
    }
}

#[test]
fn one_cut_at_every_operation_of_a_first_boot() {
    let plan = given::plan();
    let mut at = 1;
    let mut cuts = 0;
    loop {
        let mut went_through = true;
        for cut in CUTS {
            let mut machine = given::machine();
            cut_at(&machine, at, cut);
            let first = attempt(&plan, &mut machine);
            if !power_back(&machine) {
                first.unwrap();
                continue;
            }
            went_through = false;
            cuts += 1;
            first.unwrap_err();
            assert_no_wrong_bytes(&machine);
            finish(&plan, &mut machine);
            assert_finished(&machine);
            assert_eq!(finish(&plan, &mut machine), 0, "{at} {cut:?}");
        }
        if went_through {
            break;
        }
        at += 1;
    }
    assert!(cuts > 100, "{cuts}");
}

#[test]
fn a_second_cut_while_repairing_the_first() {
    let plan = given::plan();
    for at in (1..50).step_by(7) {
        for second in (1..40).step_by(8) {
            let mut machine = given::machine();
            for (at, cut) in [(at, Cut::Middle), (second, Cut::After)] {
                cut_at(&machine, at, cut);
                drop(attempt(&plan, &mut machine));
                power_back(&machine);
                assert_no_wrong_bytes(&machine);
            }
            finish(&plan, &mut machine);
            assert_finished(&machine);
        }
    }
}

#[test]
fn cut_for_ever_it_still_gets_on() {
    let (plan, mut machine) = (given::plan(), given::machine());
    // Eight operations a boot: an import goes on with what the boot before has written.
    for boot in 0.. {
        assert!(boot < 60, "no end in sight");
        cut_at(&machine, 8, Cut::After);
        let done = attempt(&plan, &mut machine).is_ok();
        power_back(&machine);
        if done {
            break;
        }
    }
    assert_finished(&machine);
}

/// A guest's own data.
fn soil(machine: &Model, name: &str, byte: u8) {
    let mut world = machine.0.lock().unwrap();
    let lv = world.lvm.lvs.get_mut(name).unwrap();
    lv.durable.insert(1, vec![byte; 4096]);
    lv.seen = lv.durable.clone();
}

fn used(plan: &roamcore_guests::Plan) -> Model {
    let mut machine = given::machine();
    finish(plan, &mut machine);
    for (name, byte) in [
        ("vm-100-disk-0", 100),
        ("vm-101-disk-0", 101),
        ("vm-102-disk-0", 102),
        ("vm-102-disk-1", 103),
    ] {
        soil(&machine, name, byte);
    }
    machine
}

#[test]
fn a_cut_at_every_operation_of_a_reset() {
    let plan = given::plan();
    let pristine = held(
        &{
            let mut machine = given::machine();
            finish(&plan, &mut machine);
            machine
        },
        "vm-102-disk-0",
    );
    for at in 1.. {
        let mut went_through = true;
        for cut in CUTS {
            let mut machine = used(&plan);
            let (first, second) = (
                held(&machine, "vm-100-disk-0"),
                held(&machine, "vm-101-disk-0"),
            );
            let old = held(&machine, "vm-102-disk-0");
            let before = names(&machine);
            cut_at(&machine, at, cut);
            let done = reset(&plan, &mut machine, 102, From::Template, &mut quiet().1);
            let was_cut = power_back(&machine);
            went_through &= !was_cut;
            assert_eq!(done.is_err(), was_cut);
            finish(&plan, &mut machine);
            let (app, data) = (
                held(&machine, "vm-102-disk-0"),
                held(&machine, "vm-102-disk-1"),
            );
            if app == old {
                // Cut before the wish was durable: nothing happened at all.
                assert!(at == 1 && cut != Cut::After, "{at} {cut:?}");
                assert!(!data.is_empty());
            } else {
                assert!(app == pristine && data.is_empty(), "{at} {cut:?}");
            }
            assert_eq!(names(&machine), before);
            assert!(held(&machine, "vm-100-disk-0") == first);
            assert!(held(&machine, "vm-101-disk-0") == second);
            assert_eq!(finish(&plan, &mut machine), 0);
        }
        if went_through {
            assert!(at > 15, "{at}");
            return;
        }
    }
}

#[test]
fn a_cut_at_every_operation_of_a_rollback() {
    let plan = given::plan();
    for at in 1.. {
        let mut went_through = true;
        for cut in CUTS {
            let mut machine = used(&plan);
            snapshot::take(&plan, &mut machine, 102, 1000).unwrap();
            let (app, data) = (
                held(&machine, "vm-102-disk-0"),
                held(&machine, "vm-102-disk-1"),
            );
            soil(&machine, "vm-102-disk-0", 1);
            soil(&machine, "vm-102-disk-1", 2);
            let later = held(&machine, "vm-102-disk-0");
            let before = names(&machine);
            cut_at(&machine, at, cut);
            let done = reset(
                &plan,
                &mut machine,
                102,
                From::Snapshot(1000),
                &mut quiet().1,
            );
            let was_cut = power_back(&machine);
            went_through &= !was_cut;
            assert_eq!(done.is_err(), was_cut);
            finish(&plan, &mut machine);
            if held(&machine, "vm-102-disk-0") == later {
                assert!(at == 1 && cut != Cut::After, "{at} {cut:?}");
            } else {
                assert!(held(&machine, "vm-102-disk-0") == app);
                assert!(held(&machine, "vm-102-disk-1") == data);
            }
            assert_eq!(names(&machine), before);
            assert_eq!(finish(&plan, &mut machine), 0);
        }
        if went_through {
            return;
        }
    }
}

#[test]
fn a_cut_while_a_snapshot_is_taken_leaves_none() {
    let plan = given::plan();
    for at in 1..=2 {
        for cut in CUTS {
            let mut machine = used(&plan);
            cut_at(&machine, at, cut);
            let done = snapshot::take(&plan, &mut machine, 102, 1000);
            assert!(done.is_err());
            power_back(&machine);
            let lvm = roamcore_guests::run::survey(&plan, &mut machine).unwrap();
            let there = snapshot::of_guest(&lvm, 102);
            let whole = at == 2 && cut == Cut::After;
            assert_eq!(there.iter().any(|one| one.whole), whole, "{at} {cut:?}");
            for one in there {
                snapshot::drop(&plan, &mut machine, 102, one.at).unwrap();
            }
            assert_finished_names(&machine);
        }
    }
}

fn assert_finished_names(machine: &Model) {
    assert!(!names(machine).iter().any(|name| name.starts_with("rc-")));
}
