//! The product's own code on a modelled disk: Linux's vfat and the firmware write where they do, and the judge looks at every
//! state that a power cut could leave.
#![allow(clippy::unwrap_used, missing_docs)]

use std::io::{self, Read};
use std::path::Path;
use std::sync::{Arc, Mutex};

use roamcore_agent::mounts::Access;
use roamcore_crash::firmware::fat::{Fat, Pick};
use roamcore_crash::judge::Judge;
use roamcore_crash::model::{Cycle, Kit, Machine, Placement, Vfat, disk, expect};
use roamcore_crash::run::{Report, Run};
use roamcore_disk::gpt::{Gpt, Guid};
use roamcore_disk::region::ReadAt as _;
use roamcore_ota::Digest;
use roamcore_slots::{
    ArmRequest, Block, EspTree, Item, Media, Part, RootSpec, Slot, SlotError, Slots, UkiSpec,
    read_directory,
};

const ENTRIES: &str = "/loader/entries";
const SEED: u64 = 42;

/// Whether names of a trial are kept in one sector.
#[derive(Clone, Copy, PartialEq)]
enum Look {
    /// The product sees the directory's bytes.
    Seen,
    /// It does not, as before it looked.
    Unseen,
}

#[derive(Clone)]
struct Device {
    machine: Arc<Mutex<Machine>>,
    esp: Vfat,
    table: Gpt,
    running: Slot,
    look: Look,
}

struct Stretch {
    machine: Arc<Mutex<Machine>>,
    start: u64,
    size: u64,
}

impl Block for Stretch {
    fn path(&self) -> &Path {
        Path::new("model")
    }
    fn size(&self) -> u64 {
        self.size
    }
    fn read_exact_at(&self, buf: &mut [u8], offset: u64) -> io::Result<()> {
        self.machine
            .lock()
            .unwrap()
            .read_exact_at(buf, self.start + offset)
    }
    fn read_past_cache(&self, buf: &mut [u8], offset: u64) -> io::Result<()> {
        self.read_exact_at(buf, offset)
    }
    fn write_all_at(&self, buf: &[u8], offset: u64) -> io::Result<()> {
        let mut machine = self.machine.lock().unwrap();
        machine
            .direct(self.start + offset, buf)
            .map_err(io::Error::other)
    }
    fn sync(&self) -> io::Result<()> {
        self.machine
            .lock()
            .unwrap()
            .flush()
            .map_err(io::Error::other)
    }
}

impl Device {
    fn stretch(&self, label: &str) -> Box<dyn Block> {
        let part = self.table.partition(label).unwrap();
        Box::new(Stretch {
            machine: self.machine.clone(),
            start: part.offset(),
            size: part.size(),
        })
    }

    fn names(&self, directory: &str) -> Vec<String> {
        let names = self.esp.names(&self.machine.lock().unwrap(), directory);
        let plain = |name: &String| !name.starts_with('.');
        names.unwrap().into_iter().filter(plain).collect()
    }

    fn content(&self, path: &str) -> Option<Vec<u8>> {
        let (directory, name) = path.rsplit_once('/').unwrap();
        let there = self
            .names(directory)
            .iter()
            .any(|n| n.eq_ignore_ascii_case(name));
        there.then(|| self.esp.read(&self.machine.lock().unwrap(), path).unwrap())
    }

    /// Places of a slot's names in the directory: first and last.
    fn place(&self, name: &str) -> (usize, usize) {
        let machine = self.machine.lock().unwrap();
        let part = self.table.partition("esp").unwrap();
        let range = (part.offset(), part.offset() + part.size());
        let fat = Fat::open(&*machine, range, Pick::First).unwrap();
        let entries = fat.open_path(ENTRIES).unwrap();
        let shown = fat.list(ENTRIES, entries.cluster).unwrap();
        let found = shown.iter().find(|d| d.name == name).unwrap();
        (found.slot + 1 - found.slots, found.slot)
    }
}

/// A file on the ESP, its content through the page cache.
struct EspFile {
    device: Device,
    path: String,
    size: u64,
}

impl Block for EspFile {
    fn path(&self) -> &Path {
        Path::new(&self.path)
    }
    fn size(&self) -> u64 {
        self.size
    }
    fn read_exact_at(&self, buf: &mut [u8], offset: u64) -> io::Result<()> {
        let bytes = self.device.content(&self.path).unwrap();
        let at = offset as usize;
        buf.copy_from_slice(&bytes[at..at + buf.len()]);
        Ok(())
    }
    fn read_past_cache(&self, buf: &mut [u8], offset: u64) -> io::Result<()> {
        self.read_exact_at(buf, offset)
    }
    fn write_all_at(&self, buf: &[u8], offset: u64) -> io::Result<()> {
        let mut machine = self.device.machine.lock().unwrap();
        let written = self.device.esp.write(&mut machine, &self.path, offset, buf);
        written.map_err(io::Error::other)
    }
    fn sync(&self) -> io::Result<()> {
        let mut machine = self.device.machine.lock().unwrap();
        machine.flush().map_err(io::Error::other)
    }
}

impl EspTree for Device {
    fn list(&self, directory: &str) -> Result<Vec<Item>, SlotError> {
        let names = self.names(&format!("/{directory}"));
        let item = |name| Item {
            name,
            is_file: true,
        };
        Ok(names.into_iter().map(item).collect())
    }
    fn read(&self, path: &str, _: u64) -> Result<Option<Vec<u8>>, SlotError> {
        Ok(self.content(&format!("/{path}")))
    }
    fn size(&self, path: &str) -> Result<Option<u64>, SlotError> {
        Ok(self
            .content(&format!("/{path}"))
            .map(|bytes| bytes.len() as u64))
    }
    fn digest(&self, path: &str) -> Result<Option<Digest>, SlotError> {
        Ok(self
            .content(&format!("/{path}"))
            .map(|bytes| Digest::of(&bytes)))
    }
    fn free(&self) -> Result<u64, SlotError> {
        Ok(100 << 20)
    }
    fn open(&self, path: &str) -> Result<Option<Box<dyn Block>>, SlotError> {
        let path = format!("/{path}");
        let size = self.content(&path).map(|bytes| bytes.len() as u64);
        Ok(size.map(|size| -> Box<dyn Block> {
            Box::new(EspFile {
                device: self.clone(),
                path,
                size,
            })
        }))
    }
    fn edit(&self, path: &str, size: u64) -> Result<Box<dyn Block>, SlotError> {
        let mut bytes = self.content(&format!("/{path}")).unwrap_or_default();
        if bytes.len() as u64 != size {
            self.remove(path)?;
            bytes.resize(size as usize, 0);
            self.create(path, &mut bytes.as_slice())?;
        }
        Ok(self.open(path)?.unwrap())
    }
    fn create(&self, path: &str, content: &mut dyn Read) -> Result<(), SlotError> {
        let mut bytes = Vec::new();
        content.read_to_end(&mut bytes).unwrap();
        let path = format!("/{path}");
        let (directory, name) = path.rsplit_once('/').unwrap();
        let mut machine = self.machine.lock().unwrap();
        self.esp
            .create(&mut machine, directory, name, &bytes)
            .unwrap();
        machine.flush().unwrap();
        Ok(())
    }
    fn rename(&self, directory: &str, from: &str, to: &str) -> Result<(), SlotError> {
        // Over a UKI that no entry leads to; the model's rename does not replace.
        self.remove(&format!("{directory}/{to}"))?;
        let directory = format!("/{directory}");
        let mut machine = self.machine.lock().unwrap();
        self.esp.rename(&mut machine, &directory, from, to).unwrap();
        Ok(())
    }
    fn remove(&self, path: &str) -> Result<(), SlotError> {
        let path = format!("/{path}");
        if self.content(&path).is_some() {
            let (directory, name) = path.rsplit_once('/').unwrap();
            let mut machine = self.machine.lock().unwrap();
            self.esp.remove(&mut machine, directory, name).unwrap();
        }
        Ok(())
    }
    fn ensure_directory(&self, _: &str) -> Result<(), SlotError> {
        Ok(())
    }
    fn sync(&self, _: &str) -> Result<(), SlotError> {
        self.machine.lock().unwrap().flush().unwrap();
        Ok(())
    }
    fn raw_directory(&self, directory: &str) -> Result<Option<Vec<u8>>, SlotError> {
        match self.look {
            Look::Seen => Ok(Some(
                read_directory(self.stretch("esp").as_ref(), directory)
                    .unwrap()
                    .unwrap(),
            )),
            Look::Unseen => Ok(None),
        }
    }
    fn close(self: Box<Self>) -> Result<(), SlotError> {
        Ok(())
    }
}

impl Media for Device {
    fn running(&self) -> Slot {
        self.running
    }
    fn table(&self, _: Access) -> Result<Box<dyn Block>, SlotError> {
        use roamcore_crash::state::Disk as _;
        let size = self.machine.lock().unwrap().size();
        let machine = self.machine.clone();
        Ok(Box::new(Stretch {
            machine,
            start: 0,
            size,
        }))
    }
    fn read(&self, slot: Slot, part: Part) -> Result<Box<dyn Block>, SlotError> {
        Ok(self.stretch(part.label(slot)))
    }
    fn write_idle(&self, part: Part) -> Result<Box<dyn Block>, SlotError> {
        Ok(self.stretch(part.label(self.running.other())))
    }
    fn esp(&self, _: Access) -> Result<Box<dyn EspTree>, SlotError> {
        Ok(Box::new(self.clone()))
    }
}

fn kits(count: u64) -> Vec<Kit> {
    let kit = |sequence| {
        let mut kit = Kit::make(sequence).unwrap();
        let arguments = format!("quiet roothash={} ", kit.root_hash);
        kit.uki.splice(..0, arguments.into_bytes());
        kit
    };
    (1..=count).map(kit).collect()
}

fn update(device: &Device, kit: &Kit) {
    let slots = Slots::on(Box::new(device.clone()));
    let idle = slots.idle().unwrap();
    assert_eq!(
        idle.repair()
            .unwrap()
            .iter()
            .filter(|r| !format!("{r:?}").starts_with("Fillers"))
            .count(),
        0
    );
    idle.invalidate().unwrap();
    let spec = RootSpec {
        size: kit.root.len() as u64,
        sha256: Digest::of(&kit.root),
        root_hash: kit.root_hash,
        salt: b"salt".to_vec(),
        uuid: Guid::from_bytes([9; 16]),
    };
    let target = idle.target(spec.size).unwrap();
    target.write_all_at(&kit.root, 0).unwrap();
    target.finish().unwrap();
    let proof = idle.write_verity(&spec).unwrap();
    idle.publish_partuuids(&proof).unwrap();
    let uki_sha256 = Digest::of(&kit.uki);
    let uki = UkiSpec {
        size: kit.uki.len() as u64,
        sha256: uki_sha256,
        root_hash: kit.root_hash,
    };
    let target = idle.uki_target(&uki).unwrap().unwrap();
    for (number, part) in (0..).zip(kit.uki.chunks(4096)) {
        let file = target.file();
        file.write_all_at(part, number * 4096).unwrap();
    }
    target.finish().unwrap();
    device.machine.lock().unwrap().mark("arm");
    let request = ArmRequest {
        release: format!("1.{}.0", kit.sequence).parse().unwrap(),
        sequence: kit.sequence,
        root_hash: kit.root_hash,
        uki_sha256,
    };
    idle.arm(&request).unwrap();
}

/// So many boots by the boot loader, the last of which is committed or the slot given up.
fn trial(device: &mut Device, boots: u32, commits: bool) {
    let slot = device.running.other();
    let stem = slot.entry_file().trim_end_matches(".conf").to_owned();
    let name = |done: u32| match done {
        0 => format!("{stem}+3.conf"),
        done => format!("{stem}+{}-{done}.conf", 3 - done),
    };
    let sector = |places: (usize, usize)| (places.0 / 16, places.1 / 16);
    let first = sector(device.place(&name(0)));
    let rename = |old: &str, new: &str, firmware: bool| {
        let mut machine = device.machine.lock().unwrap();
        machine.mark(new);
        if firmware {
            device
                .esp
                .firmware_rename(&mut machine, ENTRIES, old, new)
                .unwrap();
        } else {
            device.esp.rename(&mut machine, ENTRIES, old, new).unwrap();
            machine.flush().unwrap();
        }
    };
    for done in 0..boots {
        rename(&name(done), &name(done + 1), true);
        if device.look == Look::Seen {
            assert_eq!(first.0, first.1);
            assert_eq!(sector(device.place(&name(done + 1))), first, "boot {done}");
        }
    }
    if commits {
        rename(&name(boots), slot.entry_file(), false);
        if device.look == Look::Seen {
            assert_eq!(sector(device.place(slot.entry_file())), first, "commit");
        }
        device.running = slot;
    }
}

fn many_updates(look: Look, states: usize) -> Report {
    let kits = kits(9);
    let base = disk(&kits[0]).unwrap();
    let size = roamcore_crash::model::Sparse::size(&base);
    let table = Gpt::read_from(&mut base.clone().cursor(), size)
        .unwrap()
        .gpt;
    let esp = Cycle::new(base.clone(), Placement::Gaps)
        .unwrap()
        .machine()
        .1;
    let mut device = Device {
        machine: Arc::new(Mutex::new(Machine::new(base))),
        esp,
        table,
        running: Slot::A,
        look,
    };
    let trials = [
        (1, true),
        (3, false),
        (3, true),
        (2, true),
        (1, true),
        (3, false),
        (2, true),
        (1, true),
    ];
    for (kit, (boots, commits)) in kits[1..].iter().zip(trials) {
        update(&device, kit);
        trial(&mut device, boots, commits);
    }
    let machine = Arc::into_inner(device.machine)
        .unwrap()
        .into_inner()
        .unwrap();
    let recording = machine.finish().unwrap();
    let judge = Judge::new(expect(&kits));
    Run::new(&recording, &judge, states, SEED).unwrap().judge()
}

fn show(report: &Report) -> String {
    let findings: Vec<String> = report.findings.iter().map(ToString::to_string).collect();
    format!("{report}{}", findings.join("\n"))
}

#[test]
fn no_cut_leaves_a_trial_without_end() {
    let report = many_updates(Look::Seen, 12_000);
    println!("{}", show(&report));
    assert_eq!(report.bad_states(), 0, "{}", show(&report));
    assert!(report.states >= 8_000 && report.good_trial > 0);
}

#[test]
fn without_the_look_at_the_directory_some_cut_does() {
    let report = many_updates(Look::Unseen, 12_000);
    assert!(
        report.bad.contains_key("trial without end"),
        "{}",
        show(&report)
    );
}
