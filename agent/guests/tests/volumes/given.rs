//! Two templates, three guests.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use roamcore_guests::plan::{
    Compression, Disk, Format, Guest, Keep, Kind, Plan, Pool, SCHEMA, Snapshots, Template,
};
use roamcore_ota::Digest;

use crate::model::{Model, World};

const MIB: u64 = 1 << 20;

/// A disk image: some content, a long hole, content at the end.
pub fn image(seed: u8) -> Vec<u8> {
    static MADE: Mutex<BTreeMap<u8, Vec<u8>>> = Mutex::new(BTreeMap::new());
    let mut made = MADE.lock().unwrap();
    made.entry(seed).or_insert_with(|| make(seed)).clone()
}

fn make(seed: u8) -> Vec<u8> {
    let mut bytes = vec![0; MIB as usize + 8192];
    for (index, byte) in bytes.iter_mut().enumerate() {
        if !(70_000..1_050_000).contains(&index) {
            *byte = (index as u32).wrapping_mul(2_654_435_761).to_be_bytes()[0] ^ seed;
        }
    }
    bytes
}

pub fn template(id: &str, number: u32, kind: Kind, bytes: &[u8]) -> Template {
    Template {
        id: id.into(),
        version: "1.0".into(),
        number,
        kind,
        file: format!("{id}.img"),
        size: bytes.len() as u64,
        volume: None,
        sha256: Digest::of(bytes),
        compression: Compression::None,
        format: Format::Raw,
    }
}

pub fn disk(number: u32, size: u64, template: Option<&str>, personal: bool) -> Disk {
    Disk {
        number,
        size: size * MIB,
        template: template.map(Into::into),
        personal,
    }
}

pub fn guest(vmid: u32, name: &str, kind: Kind, order: u32, disks: Vec<Disk>) -> Guest {
    Guest {
        vmid,
        kind,
        name: name.into(),
        order,
        disks,
        snapshots: Some(Snapshots {
            days: vec![],
            minute: 210,
            keep: Keep {
                last: 2,
                ..Keep::default()
            },
        }),
    }
}

pub fn plan() -> Plan {
    let (vm, ct) = (image(1), image(2));
    let mut templates = vec![
        template("router", 9000, Kind::Vm, &vm),
        template("app", 9001, Kind::Ct, &ct),
    ];
    templates[0].compression = Compression::Zstd;
    templates[1].format = Format::Tar;
    templates[1].volume = Some(6 * MIB);
    Plan {
        schema: SCHEMA,
        pool: Pool {
            partition: "guests".into(),
            group: "guests".into(),
            name: "pool".into(),
        },
        templates,
        guests: vec![
            guest(
                102,
                "app",
                Kind::Ct,
                3,
                vec![disk(0, 16, Some("app"), true), disk(1, 8, None, false)],
            ),
            guest(
                100,
                "router",
                Kind::Vm,
                1,
                vec![disk(0, 4, Some("router"), false)],
            ),
            guest(
                101,
                "lab",
                Kind::Vm,
                2,
                vec![disk(0, 9, Some("router"), true)],
            ),
        ],
    }
}

/// A blank machine with that plan's seed.
pub fn machine() -> Model {
    let packed = zstd::encode_all(image(1).as_slice(), 3).unwrap();
    let world = World {
        seed: BTreeMap::from([
            ("router.img".to_owned(), packed),
            ("app.img".to_owned(), image(2)),
        ]),
        ..World::default()
    };
    Model(Arc::new(Mutex::new(world)))
}
