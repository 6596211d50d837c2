//! A volume's bytes: those on the medium, and those that readers see.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use roamcore_slots::Block;

use super::{Fate, PAGE, Pages, World, power};

pub struct Volume {
    pub world: Arc<Mutex<World>>,
    pub path: PathBuf,
    pub size: u64,
}

fn get(pages: &Pages, buffer: &mut [u8], offset: u64) {
    assert!(offset.is_multiple_of(PAGE as u64));
    for (index, part) in buffer.chunks_mut(PAGE).enumerate() {
        match pages.get(&(offset / PAGE as u64 + index as u64)) {
            Some(page) => part.copy_from_slice(&page[..part.len()]),
            None => part.fill(0),
        }
    }
}

pub fn put(pages: &mut Pages, bytes: &[u8], offset: u64) {
    assert!(offset.is_multiple_of(PAGE as u64));
    for (index, part) in bytes.chunks(PAGE).enumerate() {
        let page = pages
            .entry(offset / PAGE as u64 + index as u64)
            .or_insert_with(|| vec![0; PAGE]);
        page[..part.len()].copy_from_slice(part);
    }
}

impl Volume {
    fn name(&self) -> String {
        self.path.display().to_string()
    }

    fn read(&self, buffer: &mut [u8], offset: u64) -> io::Result<()> {
        assert!(offset + buffer.len() as u64 <= self.size);
        let world = self.world.lock().unwrap();
        if world.off {
            return Err(power());
        }
        get(&world.lvm.lvs[&self.name()].seen, buffer, offset);
        Ok(())
    }
}

impl Block for Volume {
    fn path(&self) -> &Path {
        &self.path
    }

    fn size(&self) -> u64 {
        self.size
    }

    fn read_exact_at(&self, buf: &mut [u8], offset: u64) -> io::Result<()> {
        self.read(buf, offset)
    }

    fn read_past_cache(&self, buf: &mut [u8], offset: u64) -> io::Result<()> {
        self.read(buf, offset)
    }

    fn write_all_at(&self, buf: &[u8], offset: u64) -> io::Result<()> {
        assert!(offset + buf.len() as u64 <= self.size);
        let name = self.name();
        let mut world = self.world.lock().unwrap();
        let fate = world.fate();
        let kept = match fate {
            Fate::None => 0,
            Fate::Half => buf.len() / 2 / PAGE * PAGE,
            _ => buf.len(),
        };
        world.written += (kept / PAGE) as u64;
        let lies = world.lying.as_ref() == Some(&name);
        let lv = world.lvm.lvs.get_mut(&name).unwrap();
        assert!(lv.active && !lv.read_only, "{name}");
        let mut bytes = buf[..kept].to_vec();
        if let (true, Some(first)) = (lies, bytes.first_mut()) {
            *first ^= 1;
        }
        put(&mut lv.seen, &bytes, offset);
        match fate {
            Fate::Whole => Ok(()),
            _ => Err(power()),
        }
    }

    fn sync(&self) -> io::Result<()> {
        let name = self.name();
        let mut world = self.world.lock().unwrap();
        let fate = world.fate();
        if matches!(fate, Fate::Whole | Fate::WholeThenOff) {
            let lv = world.lvm.lvs.get_mut(&name).unwrap();
            lv.durable.clone_from(&lv.seen);
        }
        match fate {
            Fate::Whole => Ok(()),
            _ => Err(power()),
        }
    }
}
