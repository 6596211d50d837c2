//! The machine's own disk.
//!
//! Owns: which device nodes are opened, and the proof that they are the partitions the table names. Never does: create
//! or truncate a node, open a partition of the running slot for writing, or write to the disk while udev looks at it.
//! Invariant: the idle slot's partition is claimed (O_EXCL) while it is open for writing: nothing has it mounted or
//! mapped, and nothing can mount it.

use std::fs::File;
use std::io;
use std::path::Path;
use std::time::{Duration, Instant};

use roamcore_agent::attempts;
use roamcore_agent::commit::Committed;
use roamcore_agent::disk::{self, Running};
use roamcore_agent::fall_over::{self, FallOverError};
use roamcore_agent::files::{self, At, IoAt};
use roamcore_agent::log;
use roamcore_agent::mounts::{Access, Esp, Mounted};
use roamcore_agent::roots::Roots;
use roamcore_agent::slot::Slot;
use roamcore_agent::trial::Trial;
use roamcore_disk::gpt::SECTOR;
use rustix::fs::{FileType, FlockOperation, OFlags, flock, fstat, major, minor};
use rustix::io::Errno;

use crate::block::FileBlock;
use crate::error::SlotError;
use crate::esp::EspTree;
use crate::esp_dir::EspDirectory;
use crate::fence::TableFence;
use crate::media::{Block, Circumstances, EtcTrees, Media, Part};
use crate::table;

/// sysfs attributes fit in a page.
const PAGE: u64 = 4096;
/// udev probes a disk in milliseconds; a busy one takes longer.
const UDEV_WITHIN: Duration = Duration::from_secs(30);
const UDEV_POLL: Duration = Duration::from_millis(50);

/// See the module.
#[derive(Debug)]
pub struct Device {
    roots: Roots,
    running: Running,
}

impl Device {
    /// The disk that this system runs from.
    ///
    /// # Errors
    /// It does not run from one slot of one disk.
    pub fn open(roots: &Roots) -> Result<Self, SlotError> {
        Ok(Self {
            roots: roots.clone(),
            running: disk::running(roots)?,
        })
    }

    fn state(&self) -> std::path::PathBuf {
        self.roots.facts().join("state")
    }

    fn part(&self, slot: Slot, part: Part, flags: OFlags) -> Result<Box<dyn Block>, SlotError> {
        let node = self.node(part.label(slot))?;
        let block = FileBlock::open(&node.0, flags)?;
        self.compare(&node.1, part.label(slot), &block)?;
        Ok(Box::new(block))
    }

    /// Device node and kernel name of a partition.
    fn node(&self, label: &str) -> Result<(std::path::PathBuf, String), SlotError> {
        let found = self.running.disk.labelled(&self.roots, label)?;
        let found = found.ok_or_else(|| SlotError::Missing {
            disk: disk::node(&self.roots, &self.running.disk.name),
            what: format!("partition {label:?}"),
        })?;
        Ok((disk::node(&self.roots, &found.name), found.name))
    }

    /// The opened node is the partition of the kernel, and the kernel's partition is that of the table.
    fn compare(&self, name: &str, label: &str, block: &FileBlock) -> Result<(), SlotError> {
        let attribute = |file: &str| -> Result<String, IoAt> {
            let path = self.roots.sys.join("class/block").join(name).join(file);
            Ok(files::read_text(&path, PAGE)?.trim_end().to_owned())
        };
        let changed = |what, found: String, expected: String| {
            if found == expected {
                return Ok(());
            }
            Err(SlotError::Changed {
                path: block.path().to_owned(),
                what,
                found,
                expected,
            })
        };
        changed("device", block.device()?, attribute("dev")?)?;
        let disk = FileBlock::open(
            &disk::node(&self.roots, &self.running.disk.name),
            OFlags::RDONLY,
        )?;
        let read = table::read(&disk)?;
        let partition = read
            .gpt
            .partition(label)
            .ok_or_else(|| SlotError::Missing {
                disk: disk.path().to_owned(),
                what: format!("partition {label:?} in its table"),
            })?;
        let sectors = partition.size() / SECTOR;
        changed(
            "start",
            attribute("start")?,
            partition.first_lba.to_string(),
        )?;
        changed("size", attribute("size")?, sectors.to_string())?;
        changed(
            "bytes",
            block.size().to_string(),
            partition.size().to_string(),
        )
    }
}

impl FileBlock {
    /// Numbers of an opened block device.
    fn device(&self) -> Result<String, IoAt> {
        let found = fstat(self.file()).at("inspect", self.path())?;
        if FileType::from_raw_mode(found.st_mode) != FileType::BlockDevice {
            return Err(io::Error::other("it is no block device")).at("use", self.path());
        }
        Ok(format!("{}:{}", major(found.st_rdev), minor(found.st_rdev)))
    }
}

/// A block with a lock that is released when it is closed.
struct Locked {
    block: TableFence<FileBlock>,
    _lock: File,
}

impl Block for Locked {
    fn path(&self) -> &Path {
        self.block.path()
    }

    fn size(&self) -> u64 {
        self.block.size()
    }

    fn read_exact_at(&self, buf: &mut [u8], offset: u64) -> io::Result<()> {
        self.block.read_exact_at(buf, offset)
    }

    fn read_past_cache(&self, buf: &mut [u8], offset: u64) -> io::Result<()> {
        self.block.read_past_cache(buf, offset)
    }

    fn write_all_at(&self, buf: &[u8], offset: u64) -> io::Result<()> {
        self.block.write_all_at(buf, offset)
    }

    fn sync(&self) -> io::Result<()> {
        self.block.sync()
    }
}

/// systemd's protocol (systemd.io/BLOCK_DEVICE_LOCKING): whoever writes a partition table holds an exclusive lock on the
/// whole disk, and udev neither probes it nor reads its partitions anew meanwhile.
fn lock(path: &Path) -> Result<File, SlotError> {
    let file = File::open(path).at("open", path)?;
    let start = Instant::now();
    loop {
        match flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => return Ok(file),
            Err(Errno::WOULDBLOCK) if start.elapsed() < UDEV_WITHIN => {
                std::thread::sleep(UDEV_POLL);
            }
            Err(error) => return Err(error).at("lock", path)?,
        }
    }
}

impl Media for Device {
    fn running(&self) -> Slot {
        self.running.slot
    }

    fn table(&self, access: Access) -> Result<Box<dyn Block>, SlotError> {
        let node = disk::node(&self.roots, &self.running.disk.name);
        if access == Access::Read {
            return Ok(Box::new(FileBlock::open(&node, OFlags::RDONLY)?));
        }
        let lock = lock(&node)?;
        Ok(Box::new(Locked {
            block: TableFence(FileBlock::open(&node, OFlags::RDWR)?),
            _lock: lock,
        }))
    }

    fn read(&self, slot: Slot, part: Part) -> Result<Box<dyn Block>, SlotError> {
        self.part(slot, part, OFlags::RDONLY)
    }

    fn write_idle(&self, part: Part) -> Result<Box<dyn Block>, SlotError> {
        let idle = self.running.slot.other();
        self.part(idle, part, OFlags::RDWR | OFlags::EXCL)
    }

    fn esp(&self, access: Access) -> Result<Box<dyn EspTree>, SlotError> {
        let (node, _) = self.node("esp")?;
        let esp = Esp::mount(&self.roots, &node, access)?;
        let device = FileBlock::open(&node, OFlags::RDONLY)?;
        Ok(Box::new(EspDirectory::of_mount(esp, device)?))
    }

    fn circumstances(&self) -> Result<Circumstances, SlotError> {
        let attempts = attempts::load(&self.state()).unwrap_or_else(|error| {
            // It is evidence, not a fact an update needs; arming removes it.
            log::error(format!("{error}; it is taken as missing"));
            None
        });
        Ok(Circumstances {
            trial: Trial::load(&self.roots)?,
            committed: Committed::load(&self.roots)?,
            attempts,
            failures: match fall_over::failures(&self.roots) {
                Err(FallOverError::NoEfi) => Default::default(),
                other => other?,
            },
        })
    }

    fn forget_trials(&self) -> Result<(), SlotError> {
        attempts::clear(&self.state())?;
        fall_over::healthy(&self.roots, self.running.slot.other())?;
        Ok(())
    }

    fn etc(&self) -> Result<Option<EtcTrees>, SlotError> {
        let idle = self.running.slot.other();
        let running = self.roots.dev.join("mapper/root");
        let (new, _) = self.node(Part::Data.label(idle))?;
        let facts = self.roots.facts();
        // The running image once more: what is at /etc is the overlay, and its lower layer has no other name.
        let base = Mounted::image(&self.roots, &running, &facts.join("running-root"))?;
        // Past verity: every block of it was just compared with its root hash.
        let theirs = Mounted::image(&self.roots, &new, &facts.join("new-root"))?;
        Ok(Some(EtcTrees {
            base: base.path().join("etc"),
            theirs: theirs.path().join("etc"),
            state: self.state(),
            mounts: vec![base, theirs],
        }))
    }
}
