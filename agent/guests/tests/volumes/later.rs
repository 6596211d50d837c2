//! What comes after the first boot: new versions, snapshots, their way back.

use roamcore_guests::plan::Kind;
use roamcore_guests::record::From;
use roamcore_guests::reset::reset;
use roamcore_guests::run::survey;
use roamcore_guests::{Volume, retention, snapshot, versions};

use crate::model::quiet;
use crate::{finish, given, held, names, pages};

#[test]
fn a_new_version_is_offered_and_only_a_reset_takes_it() {
    let (plan, mut machine) = (given::plan(), given::machine());
    finish(&plan, &mut machine);
    let mut newer = plan.clone();
    let image = given::image(9);
    newer.templates[0] = given::template("router", 9010, Kind::Vm, &image);
    newer.templates[0].version = "2.0".into();
    machine
        .0
        .lock()
        .unwrap()
        .seed
        .insert("router.img".into(), image.clone());
    let before: Vec<_> = names(&machine)
        .into_iter()
        .map(|name| (held(&machine, &name), name))
        .collect();
    finish(&newer, &mut machine);
    for (pages, name) in before {
        assert!(held(&machine, &name) == pages, "{name}");
    }
    let lvm = survey(&newer, &mut machine).unwrap();
    let offers = versions::offers(&newer, &lvm);
    let offered: Vec<_> = offers
        .iter()
        .map(|o| (o.guest.as_str(), o.version.as_str()))
        .collect();
    assert_eq!(offered, [("router", "2.0"), ("lab", "2.0")]);
    // Still in use by two guests.
    assert_eq!(versions::unused(&newer, &lvm), []);
    reset(&newer, &mut machine, 100, From::Template, &mut quiet().1).unwrap();
    assert!(held(&machine, "vm-100-disk-0") == pages(&image, None));
    assert!(held(&machine, "vm-101-disk-0") == pages(&given::image(1), Some(101)));
    reset(&newer, &mut machine, 101, From::Template, &mut quiet().1).unwrap();
    let lvm = survey(&newer, &mut machine).unwrap();
    assert_eq!(versions::offers(&newer, &lvm), []);
    assert_eq!(
        versions::unused(&newer, &lvm),
        [Volume::Base { number: 9000 }]
    );
    // The release before, after a rollback of the update: nothing is lost, the old version is offered.
    finish(&plan, &mut machine);
    let lvm = survey(&plan, &mut machine).unwrap();
    assert_eq!(versions::offers(&plan, &lvm).len(), 2);
}

#[test]
fn a_guest_that_leaves_the_plan_keeps_its_disks() {
    let (plan, mut machine) = (given::plan(), given::machine());
    finish(&plan, &mut machine);
    let mut fewer = plan.clone();
    fewer.guests.retain(|guest| guest.vmid != 102);
    fewer.templates.truncate(1);
    let before = names(&machine);
    assert_eq!(finish(&fewer, &mut machine), 0);
    assert_eq!(names(&machine), before);
}

#[test]
fn snapshots_by_schedule_are_kept_dropped_and_rolled_back_to() {
    let (plan, mut machine) = (given::plan(), given::machine());
    finish(&plan, &mut machine);
    let rule = plan.guest(101).unwrap().snapshots.clone().unwrap();
    let day = 24 * 3600;
    for now in (20_000..20_010).map(|number| number * day + 4 * 3600) {
        for _ in 0..2 {
            let lvm = survey(&plan, &mut machine).unwrap();
            let there = snapshot::of_guest(&lvm, 101);
            let clock = retention::Clock { now, trusted: true };
            let decision = retention::decide(clock, &rule, &there);
            if decision.take {
                snapshot::take(&plan, &mut machine, 101, now).unwrap();
            }
            for at in decision.drop {
                snapshot::drop(&plan, &mut machine, 101, at).unwrap();
            }
        }
        let mut world = machine.0.lock().unwrap();
        let lv = world.lvm.lvs.get_mut("vm-101-disk-0").unwrap();
        lv.durable.insert(2, vec![(now / day) as u8; 4096]);
        lv.seen = lv.durable.clone();
    }
    let lvm = survey(&plan, &mut machine).unwrap();
    let there = snapshot::of_guest(&lvm, 101);
    assert!(
        there.len() == 2 && there.iter().all(|one| one.whole),
        "{there:?}"
    );
    let at = there[0].at;
    reset(&plan, &mut machine, 101, From::Snapshot(at), &mut quiet().1).unwrap();
    let page = held(&machine, "vm-101-disk-0")[&2].clone();
    // Of the day before that snapshot.
    assert_eq!(page[0], (at / day - 1) as u8);
    let world = machine.0.lock().unwrap();
    let lv = &world.lvm.lvs["vm-101-disk-0"];
    assert!(!lv.read_only && !lv.skip && lv.tags.contains("roamcore.ready"));
    drop(world);
    // The snapshots are still there, and so is what the disk came from.
    let lvm = survey(&plan, &mut machine).unwrap();
    assert_eq!(snapshot::of_guest(&lvm, 101).len(), 2);
    assert_eq!(versions::offers(&plan, &lvm), []);
    assert_eq!(finish(&plan, &mut machine), 0);
}
