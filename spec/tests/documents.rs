//! The documents of this repository parse, and say what they are meant to say.

#![allow(clippy::expect_used, reason = "helpers of tests")]

use std::path::Path;

use roamcore_spec::load;
use roamcore_spec::{Appliance, Board, Origin, Overlay, Role, Size, Slot, verity_size};

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .expect("the crate lies in the repository")
}

fn appliance(name: &str) -> Appliance {
    let path = load::appliance_path(root(), &name.parse().expect("a name"));
    load::document::<Appliance>(&path)
        .unwrap_or_else(|error| panic!("{error}"))
        .into_value()
}

fn size(text: &str) -> Size {
    text.parse().expect("a size")
}

/// Sizes in MiB by label.
fn sizes(appliance: &Appliance, disk: &str) -> Vec<(&'static str, u64)> {
    let disk = appliance.on_disk(size(disk)).expect("fits");
    disk.partitions
        .iter()
        .map(|placed| (placed.planned.label, placed.size.whole_mib()))
        .collect()
}

#[test]
fn bare_gives_the_rest_of_a_32_gb_disk_to_state() {
    let fixed = [
        ("esp", 1024),
        ("root-a", 2048),
        ("verity-a", 17),
        ("root-b", 2048),
        ("verity-b", 17),
        ("identity", 64),
    ];
    let mut wanted = fixed.to_vec();
    wanted.push(("state", 32_000_000_000 / 1_048_576 - 2 - 5218));
    assert_eq!(sizes(&appliance("bare"), "32GB"), wanted);
}

#[test]
fn roamcore_shares_a_128_gb_and_a_1_tb_disk() {
    let appliance = appliance("roamcore");
    let growing = |disk: &str| sizes(&appliance, disk).split_off(7);
    assert_eq!(
        growing("128GB"),
        [
            ("state", 16384),
            ("guests", 59392),
            ("video", 20530),
            ("backup", 8192)
        ]
    );
    assert_eq!(
        growing("1TB"),
        [
            ("state", 32768),
            ("guests", 401_481),
            ("video", 401_481),
            ("backup", 100_370)
        ]
    );
}

#[test]
fn partitions_lie_in_order_without_holes_and_leave_room_for_the_backup_table() {
    for (name, disk) in [
        ("bare", "32GB"),
        ("bare", "1TB"),
        ("roamcore", "128GB"),
        ("roamcore", "1TB"),
    ] {
        let disk = appliance(name).on_disk(size(disk)).expect("fits");
        let mut start = Size::MIB;
        for (placed, number) in disk.partitions.iter().zip(1..) {
            assert_eq!((placed.start, placed.planned.number), (start, number));
            assert!(
                placed.size >= placed.planned.min
                    && placed.planned.max.is_none_or(|max| placed.size <= max)
            );
            start = start + placed.size;
        }
        assert!(start + Size::MIB <= disk.size);
        let in_image: Vec<Origin> = disk
            .partitions
            .iter()
            .map(|placed| placed.planned.origin)
            .collect();
        assert!(
            in_image.is_sorted_by_key(|origin| *origin == Origin::FirstBoot),
            "the image comes first"
        );
        assert_eq!(disk.partitions[3].planned.role, Role::Root(Slot::A.other()));
    }
}

#[test]
fn a_disk_below_the_minimum_is_refused_with_the_needed_size() {
    let appliance = appliance("roamcore");
    let needed = appliance.minimum_disk();
    assert!(appliance.on_disk(needed).is_ok());
    let refused = appliance.on_disk(size("64GB")).expect_err("too small");
    assert_eq!(
        refused.to_string(),
        "the disk has 64GB, but roamcore needs at least 124 GB (117924MiB)"
    );
}

/// Superblock, then one hash block per 128 blocks of the level below, until one is left.
#[test]
fn verity_trees_have_room() {
    for (root, blocks) in [
        ("1MiB", 1 + 2 + 1),
        ("2GiB", 1 + 4096 + 32 + 1),
        ("6GiB", 1 + 12288 + 96 + 1),
    ] {
        let wanted = Size::from_bytes(blocks * 4096).round_up_to_mib();
        assert_eq!(verity_size(size(root)), wanted, "{root}");
    }
}

#[test]
fn the_vp2430_says_where_every_fact_comes_from() {
    let path = load::board_path(root(), &"vp2430".parse().expect("a name"));
    let board = load::document::<Board>(&path)
        .unwrap_or_else(|error| panic!("{error}"))
        .into_value();
    assert_eq!(board.facts().len(), 14);
    assert!(
        board.facts().iter().all(|fact| !fact.verified),
        "nobody has had a unit yet"
    );
    assert!(board.dmi.matches("Protectli", "VP2430e") && !board.dmi.matches("Protectli", "VP2440"));
    let arguments = board.kernel_arguments();
    assert_eq!(
        arguments.last().map(String::as_str),
        Some("console=ttyS0,115200n8")
    );
    let ports: Vec<String> = board
        .nic
        .iter()
        .map(|nic| nic.root_port.to_string())
        .collect();
    assert_eq!(
        ports,
        [
            "0000:00:1c.1",
            "0000:00:1c.2",
            "0000:00:1c.3",
            "0000:00:1c.6"
        ]
    );
}

#[test]
fn good_fixtures_parse() {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/good");
    let overlay = load::document::<Overlay>(&directory.join("overlay-full.toml"))
        .unwrap_or_else(|error| panic!("{error}"))
        .into_value();
    assert_eq!(overlay.user[0].primary_gid(), 400);
    assert_eq!(overlay.file_mode[0].mode.bits(), 0o600);
    let overlay = load::document::<Overlay>(&directory.join("overlay-minimal.toml"))
        .unwrap_or_else(|error| panic!("{error}"))
        .into_value();
    assert!(!overlay.development_only && overlay.packages.install.is_empty());
}

#[test]
fn guests_start_in_order_and_keep_their_addresses() {
    let appliance = appliance("roamcore");
    let order: Vec<(u32, &str)> = appliance
        .start_order()
        .into_iter()
        .map(|(step, guest)| (step, guest.name.as_str()))
        .collect();
    assert_eq!(order, [(1, "router"), (2, "homeassistant"), (2, "app")]);
    let router = &appliance.guest[0];
    let addresses: Vec<String> = appliance
        .addresses_of(router)
        .iter()
        .map(ToString::to_string)
        .collect();
    assert_eq!(addresses, ["10.10.0.1", "10.10.20.1", "10.10.30.1"]);
    assert_eq!(appliance.mac_of(router, 0).to_string(), "BC:24:11:C0:7A:4E");
    assert!(self::appliance("bare").guest.is_empty());
    assert_eq!(self::appliance("portal").guest.len(), 3);
}
