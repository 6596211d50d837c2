//! A machine in memory that notes every change.

use std::collections::BTreeMap;
use std::io::{self, Read};
use std::path::Path;
use std::sync::{Arc, Mutex};

use roamcore_agent::mounts::Access;
use roamcore_disk::gpt::Gpt;
use roamcore_ota::Digest;
use roamcore_slots::{Block, EspTree, Item, Media, Part, Slot, SlotError, Slots};

use super::judge::State;

/// A change.
#[derive(Clone, PartialEq, Eq)]
pub enum Op {
    /// Sectors of a device node.
    Write {
        node: String,
        offset: u64,
        bytes: Vec<u8>,
    },
    /// The node's writes are on the disk.
    Flush {
        node: String,
    },
    /// A new file, not synced.
    Create {
        path: String,
        bytes: Vec<u8>,
    },
    /// Bytes in the middle of a file, not synced.
    WriteFile {
        path: String,
        offset: usize,
        bytes: Vec<u8>,
    },
    /// Its content is on the disk.
    SyncFile {
        path: String,
    },
    Rename {
        from: String,
        to: String,
    },
    Remove {
        path: String,
    },
    /// Everything on the ESP is on the disk.
    SyncEsp,
}

impl std::fmt::Debug for Op {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Write {
                node,
                offset,
                bytes,
            } => {
                write!(f, "write {} bytes at {offset} of {node}", bytes.len())
            }
            Self::Flush { node } => write!(f, "flush {node}"),
            Self::Create { path, .. } => write!(f, "create {path}"),
            Self::WriteFile {
                path,
                offset,
                bytes,
            } => write!(f, "write {} bytes at {offset} of {path}", bytes.len()),
            Self::SyncFile { path } => write!(f, "sync {path}"),
            Self::Rename { from, to } => write!(f, "rename {from} to {to}"),
            Self::Remove { path } => write!(f, "remove {path}"),
            Self::SyncEsp => f.write_str("sync the ESP"),
        }
    }
}

#[derive(Debug)]
pub struct World {
    pub disk: Vec<u8>,
    pub esp: BTreeMap<String, Vec<u8>>,
    pub log: Vec<Op>,
    pub free: u64,
    /// After this many changes everything fails, as for a process that is killed.
    pub fuse: Option<usize>,
}

impl World {
    fn push(&mut self, op: Op) -> io::Result<()> {
        if self.fuse.is_some_and(|fuse| self.log.len() >= fuse) {
            return Err(io::Error::other("the fuse has blown"));
        }
        self.log.push(op);
        Ok(())
    }
}

#[derive(Clone)]
pub struct Sim {
    pub world: Arc<Mutex<World>>,
    pub running: Slot,
}

impl Sim {
    pub fn new((disk, esp): State, running: Slot) -> Self {
        let world = World {
            disk,
            esp,
            log: Vec::new(),
            free: 1 << 30,
            fuse: None,
        };
        Self {
            world: Arc::new(Mutex::new(world)),
            running,
        }
    }

    pub fn slots(&self) -> Slots {
        Slots::on(Box::new(self.clone()))
    }

    pub fn state(&self) -> State {
        let world = self.world.lock().unwrap();
        (world.disk.clone(), world.esp.clone())
    }

    pub fn log(&self) -> Vec<Op> {
        self.world.lock().unwrap().log.clone()
    }

    fn block(&self, node: &str, range: Option<&str>, writable: bool) -> Box<dyn Block> {
        let world = self.world.lock().unwrap();
        let (mut start, mut len) = (0, world.disk.len() as u64);
        if let Some(label) = range {
            let mut cursor = io::Cursor::new(&world.disk);
            let gpt = Gpt::read_from(&mut cursor, len).unwrap().gpt;
            let part = gpt.partition(label).unwrap();
            (start, len) = (part.offset(), part.size());
        }
        let world = self.world.clone();
        Box::new(MemoryBlock {
            world,
            node: node.into(),
            start,
            len,
            writable,
        })
    }
}

struct MemoryBlock {
    world: Arc<Mutex<World>>,
    node: String,
    start: u64,
    len: u64,
    writable: bool,
}

impl Block for MemoryBlock {
    fn path(&self) -> &Path {
        Path::new(&self.node)
    }

    fn size(&self) -> u64 {
        self.len
    }

    fn read_exact_at(&self, buf: &mut [u8], offset: u64) -> io::Result<()> {
        let world = self.world.lock().unwrap();
        if offset + buf.len() as u64 > self.len {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let at = (self.start + offset) as usize;
        buf.copy_from_slice(&world.disk[at..at + buf.len()]);
        Ok(())
    }

    fn read_past_cache(&self, buf: &mut [u8], offset: u64) -> io::Result<()> {
        self.read_exact_at(buf, offset)
    }

    fn write_all_at(&self, buf: &[u8], offset: u64) -> io::Result<()> {
        assert!(self.writable, "{} was opened for reading", self.node);
        assert!(
            offset + buf.len() as u64 <= self.len,
            "{} is left",
            self.node
        );
        let mut world = self.world.lock().unwrap();
        let at = self.start + offset;
        world.push(Op::Write {
            node: self.node.clone(),
            offset: at,
            bytes: buf.to_vec(),
        })?;
        world.disk[at as usize..at as usize + buf.len()].copy_from_slice(buf);
        Ok(())
    }

    fn sync(&self) -> io::Result<()> {
        self.world.lock().unwrap().push(Op::Flush {
            node: self.node.clone(),
        })
    }
}

struct MemoryEsp(Arc<Mutex<World>>, Access);

impl MemoryEsp {
    fn change(&self, op: Op) -> Result<(), SlotError> {
        assert_eq!(
            self.1,
            Access::Write,
            "{op:?} on an ESP that was mounted for reading"
        );
        let mut world = self.0.lock().unwrap();
        world.push(op.clone()).map_err(|source| {
            SlotError::Io(roamcore_agent::files::IoAt {
                doing: "change",
                path: "esp".into(),
                source,
            })
        })?;
        apply(&mut world.esp, &op);
        Ok(())
    }
}

pub fn apply(esp: &mut BTreeMap<String, Vec<u8>>, op: &Op) {
    match op {
        Op::Create { path, bytes } => drop(esp.insert(path.clone(), bytes.clone())),
        Op::WriteFile {
            path,
            offset,
            bytes,
        } => {
            // A file that was never made durable may be gone or short.
            if let Some(file) = esp.get_mut(path)
                && file.len() >= offset + bytes.len()
            {
                file[*offset..offset + bytes.len()].copy_from_slice(bytes);
            }
        }
        Op::Rename { from, to } => {
            if let Some(bytes) = esp.remove(from) {
                esp.insert(to.clone(), bytes);
            }
        }
        Op::Remove { path } => drop(esp.remove(path)),
        _ => {}
    }
}

struct MemoryFile {
    esp: MemoryEsp,
    path: String,
    size: u64,
}

fn other(error: SlotError) -> io::Error {
    io::Error::other(error)
}

impl Block for MemoryFile {
    fn path(&self) -> &Path {
        Path::new(&self.path)
    }

    fn size(&self) -> u64 {
        self.size
    }

    fn read_exact_at(&self, buf: &mut [u8], offset: u64) -> io::Result<()> {
        let world = self.esp.0.lock().unwrap();
        let at = offset as usize;
        buf.copy_from_slice(&world.esp[&self.path][at..at + buf.len()]);
        Ok(())
    }

    fn read_past_cache(&self, buf: &mut [u8], offset: u64) -> io::Result<()> {
        self.read_exact_at(buf, offset)
    }

    fn write_all_at(&self, buf: &[u8], offset: u64) -> io::Result<()> {
        assert!(
            offset + buf.len() as u64 <= self.size,
            "{} is left",
            self.path
        );
        let op = Op::WriteFile {
            path: self.path.clone(),
            offset: offset as usize,
            bytes: buf.to_vec(),
        };
        self.esp.change(op).map_err(other)
    }

    fn sync(&self) -> io::Result<()> {
        let path = self.path.clone();
        self.esp.change(Op::SyncFile { path }).map_err(other)
    }
}

impl MemoryEsp {
    fn block(&self, path: &str, size: u64) -> Box<dyn Block> {
        Box::new(MemoryFile {
            esp: MemoryEsp(self.0.clone(), self.1),
            path: path.into(),
            size,
        })
    }
}

impl EspTree for MemoryEsp {
    fn list(&self, directory: &str) -> Result<Vec<Item>, SlotError> {
        let world = self.0.lock().unwrap();
        let names = world.esp.keys().filter_map(|path| {
            let name = path.strip_prefix(directory)?.strip_prefix('/')?;
            (!name.contains('/')).then(|| Item {
                name: name.into(),
                is_file: true,
            })
        });
        Ok(names.collect())
    }

    fn read(&self, path: &str, _limit: u64) -> Result<Option<Vec<u8>>, SlotError> {
        Ok(self.0.lock().unwrap().esp.get(path).cloned())
    }

    fn size(&self, path: &str) -> Result<Option<u64>, SlotError> {
        Ok(self
            .0
            .lock()
            .unwrap()
            .esp
            .get(path)
            .map(|bytes| bytes.len() as u64))
    }

    fn digest(&self, path: &str) -> Result<Option<Digest>, SlotError> {
        Ok(self
            .0
            .lock()
            .unwrap()
            .esp
            .get(path)
            .map(|bytes| Digest::of(bytes)))
    }

    fn free(&self) -> Result<u64, SlotError> {
        let world = self.0.lock().unwrap();
        let used: u64 = world.esp.values().map(|bytes| bytes.len() as u64).sum();
        Ok(world.free.saturating_sub(used))
    }

    fn open(&self, path: &str) -> Result<Option<Box<dyn Block>>, SlotError> {
        Ok(self.size(path)?.map(|size| self.block(path, size)))
    }

    fn edit(&self, path: &str, size: u64) -> Result<Box<dyn Block>, SlotError> {
        let mut bytes = self.read(path, u64::MAX)?.unwrap_or_default();
        if self.size(path)? != Some(size) {
            bytes.resize(size as usize, 0);
            self.change(Op::Create {
                path: path.into(),
                bytes,
            })?;
            self.change(Op::SyncFile { path: path.into() })?;
        }
        Ok(self.block(path, size))
    }

    fn create(&self, path: &str, content: &mut dyn Read) -> Result<(), SlotError> {
        assert!(self.size(path)?.is_none(), "{path} exists");
        let mut bytes = Vec::new();
        content.read_to_end(&mut bytes).unwrap();
        self.change(Op::Create {
            path: path.into(),
            bytes,
        })?;
        self.change(Op::SyncFile { path: path.into() })
    }

    fn rename(&self, directory: &str, from: &str, to: &str) -> Result<(), SlotError> {
        let (from, to) = (format!("{directory}/{from}"), format!("{directory}/{to}"));
        assert!(self.size(&from)?.is_some(), "{from} is not there");
        self.change(Op::Rename { from, to })
    }

    fn remove(&self, path: &str) -> Result<(), SlotError> {
        match self.size(path)? {
            Some(_) => self.change(Op::Remove { path: path.into() }),
            None => Ok(()),
        }
    }

    fn ensure_directory(&self, _path: &str) -> Result<(), SlotError> {
        Ok(())
    }

    fn sync(&self, _directory: &str) -> Result<(), SlotError> {
        self.change(Op::SyncEsp)
    }

    fn close(self: Box<Self>) -> Result<(), SlotError> {
        Ok(())
    }
}

impl Media for Sim {
    fn running(&self) -> Slot {
        self.running
    }

    fn table(&self, access: Access) -> Result<Box<dyn Block>, SlotError> {
        Ok(self.block("disk", None, access == Access::Write))
    }

    fn read(&self, slot: Slot, part: Part) -> Result<Box<dyn Block>, SlotError> {
        let label = part.label(slot);
        Ok(self.block(label, Some(label), false))
    }

    fn write_idle(&self, part: Part) -> Result<Box<dyn Block>, SlotError> {
        let label = part.label(self.running.other());
        Ok(self.block(label, Some(label), true))
    }

    fn esp(&self, access: Access) -> Result<Box<dyn EspTree>, SlotError> {
        Ok(Box::new(MemoryEsp(self.world.clone(), access)))
    }
}
