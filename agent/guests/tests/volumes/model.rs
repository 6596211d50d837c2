//! LVM in memory, with a power switch.
//!
//! Understands exactly the command lines that the crate uses, refuses what lvm2 refuses (a volume that is read-only
//! already, names in use, devices that are not active), prints what lvm2 prints. Every operation has a number, and power
//! can be lost before it, in the middle of it, or right after it, when the caller does not hear of it any more.
//!
//! What is lost with the power: writes that were not flushed, each page of them by the toss of a coin; devices are inactive.

mod block;
mod lvm;

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, Read};
use std::rc::Rc;
use std::sync::{Arc, Mutex};

use roamcore_agent::files::IoAt;
use roamcore_guests::machine::{Machine, MachineError};
use roamcore_guests::plan::{Disk, Guest};
use roamcore_slots::Block;

use block::Volume;
pub use block::put;
pub use lvm::Lvm;
use lvm::refused;

pub const DEVICE: &str = "/dev/nvme0n1p8";
pub const EXTENT: u64 = 4 << 20;
const PAGE: usize = 4096;

/// Pages with content; the rest is zeros.
pub type Pages = BTreeMap<u64, Vec<u8>>;

/// When power goes away.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cut {
    Before,
    Middle,
    After,
}

#[derive(Debug, Default)]
pub struct World {
    pub lvm: Lvm,
    pub record: Option<Vec<u8>>,
    pub seed: BTreeMap<String, Vec<u8>>,
    /// Operations so far.
    pub count: u64,
    pub cut: Option<(u64, Cut)>,
    pub off: bool,
    /// Groups made so far.
    pub groups: u64,
    /// A volume of this name keeps other bytes than were written.
    pub lying: Option<String>,
    /// Pages that were written.
    pub written: u64,
    /// Nobody has what only the unit knows, for guests of these numbers.
    pub impersonal: BTreeSet<u32>,
    pub toss: u64,
}

/// What becomes of an operation.
enum Fate {
    Whole,
    Half,
    None,
    WholeThenOff,
}

impl World {
    fn fate(&mut self) -> Fate {
        if self.off {
            return Fate::None;
        }
        self.count += 1;
        match self.cut {
            Some((at, cut)) if at == self.count => {
                self.off = true;
                match cut {
                    Cut::Before => Fate::None,
                    Cut::Middle => Fate::Half,
                    Cut::After => Fate::WholeThenOff,
                }
            }
            _ => Fate::Whole,
        }
    }

    fn coin(&mut self) -> bool {
        self.toss = self
            .toss
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(self.count | 1);
        self.toss >> 40 & 1 == 1
    }

    /// Power is back.
    pub fn boot(&mut self) {
        let names: Vec<String> = self.lvm.lvs.keys().cloned().collect();
        for name in names {
            let seen = std::mem::take(&mut self.lvm.lvs.get_mut(&name).unwrap().seen);
            let mut durable = std::mem::take(&mut self.lvm.lvs.get_mut(&name).unwrap().durable);
            for (at, page) in seen {
                if durable.get(&at) != Some(&page) && self.coin() {
                    durable.insert(at, page);
                }
            }
            let lv = self.lvm.lvs.get_mut(&name).unwrap();
            lv.seen.clone_from(&durable);
            lv.durable = durable;
            lv.active = false;
            lv.open = false;
        }
        self.off = false;
        self.cut = None;
    }
}

#[derive(Clone)]
pub struct Model(pub Arc<Mutex<World>>);

pub fn power() -> io::Error {
    io::Error::other("power lost")
}

fn at(path: &str, source: io::Error) -> MachineError {
    IoAt {
        doing: "use",
        path: path.into(),
        source,
    }
    .into()
}

impl Machine for Model {
    fn device(&self) -> String {
        DEVICE.into()
    }

    fn lvm(&mut self, arguments: &[String]) -> Result<Vec<u8>, MachineError> {
        let mut world = self.0.lock().unwrap();
        if matches!(arguments[0].as_str(), "pvs" | "vgs" | "lvs") {
            if world.off {
                return Err(at("lvm", power()));
            }
            return Ok(world.lvm.report(&arguments[0]).into_bytes());
        }
        let fate = world.fate();
        match fate {
            Fate::None => return Err(at("lvm", power())),
            Fate::Half => {
                // What LVM does in one commit is not there after half of it.
                drop(world.lvm.change(arguments, true));
                return Err(at("lvm", power()));
            }
            _ => {}
        }
        world.lvm.change(arguments, false)?;
        if arguments[0] == "vgcreate" {
            world.groups += 1;
            world.lvm.group = Some(("guests".into(), world.groups));
        }
        match fate {
            Fate::WholeThenOff => Err(at("lvm", power())),
            _ => Ok(vec![]),
        }
    }

    fn volume(&mut self, group: &str, name: &str) -> Result<Box<dyn Block>, MachineError> {
        assert_eq!(group, "guests");
        let world = self.0.lock().unwrap();
        if world.off {
            return Err(at(name, power()));
        }
        let lv = world
            .lvm
            .lvs
            .get(name)
            .filter(|lv| lv.active && !lv.read_only);
        let Some(lv) = lv else {
            return Err(at(name, io::ErrorKind::NotFound.into()));
        };
        Ok(Box::new(Volume {
            world: self.0.clone(),
            path: name.into(),
            size: lv.size,
        }))
    }

    fn seed(&mut self, file: &str) -> Result<Box<dyn Read>, MachineError> {
        let world = self.0.lock().unwrap();
        match world.seed.get(file) {
            Some(bytes) => Ok(Box::new(io::Cursor::new(bytes.clone()))),
            None => Err(at(file, io::ErrorKind::NotFound.into())),
        }
    }

    /// The archive itself stands for the file system that is made from it.
    fn unpack(
        &mut self,
        group: &str,
        name: &str,
        archive: &mut dyn Read,
    ) -> Result<(), MachineError> {
        let mut bytes = vec![];
        archive.read_to_end(&mut bytes).unwrap();
        let block = self.volume(group, name)?;
        block.write_all_at(&bytes, 0).map_err(|e| at(name, e))?;
        block.sync().map_err(|e| at(name, e))
    }

    fn compare(
        &mut self,
        group: &str,
        name: &str,
        archive: &mut dyn Read,
    ) -> Result<(), MachineError> {
        let mut bytes = vec![];
        archive.read_to_end(&mut bytes).unwrap();
        let mut there = vec![0; bytes.len()];
        let block = self.volume(group, name)?;
        block
            .read_past_cache(&mut there, 0)
            .map_err(|e| at(name, e))?;
        if there == bytes {
            return Ok(());
        }
        Err(refused(&["tar".into()], "Contents differ"))
    }

    /// Turns what it finds around, so that doing it twice to one volume would be seen.
    fn personalize(
        &mut self,
        guest: &Guest,
        disk: &Disk,
        volume: &dyn Block,
    ) -> Result<(), MachineError> {
        if self.0.lock().unwrap().impersonal.contains(&guest.vmid) {
            return Err(MachineError::NothingPersonal {
                guest: guest.name.clone(),
                disk: disk.number,
            });
        }
        let mut page = vec![0; PAGE];
        let failed = |e| at("personal", e);
        volume.read_exact_at(&mut page, 0).map_err(failed)?;
        page.iter_mut().for_each(|byte| *byte ^= guest.vmid as u8);
        volume.write_all_at(&page, 0).map_err(failed)
    }

    fn load(&mut self) -> Result<Option<Vec<u8>>, MachineError> {
        let world = self.0.lock().unwrap();
        if world.off {
            return Err(at("record", power()));
        }
        Ok(world.record.clone())
    }

    fn save(&mut self, record: &[u8]) -> Result<(), MachineError> {
        let mut world = self.0.lock().unwrap();
        match world.fate() {
            Fate::None | Fate::Half => Err(at("record", power())),
            fate => {
                world.record = Some(record.to_vec());
                match fate {
                    Fate::WholeThenOff => Err(at("record", power())),
                    _ => Ok(()),
                }
            }
        }
    }
}

/// Collects events.
pub fn quiet() -> (
    Rc<RefCell<Vec<roamcore_guests::Event>>>,
    impl FnMut(roamcore_guests::Event),
) {
    let list = Rc::new(RefCell::new(vec![]));
    let inner = list.clone();
    (list, move |event| inner.borrow_mut().push(event))
}
