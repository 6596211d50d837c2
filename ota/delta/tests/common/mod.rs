//! Slots, parts and servers in memory, with faults to order.
#![allow(clippy::unwrap_used, reason = "helpers of tests")]
#![allow(dead_code)]

use std::io;
use std::ops::{ControlFlow, Range};
use std::sync::Mutex;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};

use roamcore_delta::{
    Applied, ApplyError, Fetch, FetchError, Index, Limits, PackOptions, Packed, PartSink, Plan,
    PlanOptions, Progress, Quiet, ReadAt, Stopped, WriteAt, apply, pack,
};

/// A reproducible source of bytes and numbers.
pub struct Random(pub u64);

impl Random {
    pub fn next(&mut self) -> u64 {
        // xorshift64*
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    pub fn below(&mut self, limit: usize) -> usize {
        (self.next() % limit.max(1) as u64) as usize
    }

    pub fn bytes(&mut self, len: usize) -> Vec<u8> {
        (0..len).map(|_| (self.next() >> 32) as u8).collect()
    }

    /// Bytes that compress about as programs and texts do.
    pub fn prose(&mut self, len: usize) -> Vec<u8> {
        let mut out = Vec::with_capacity(len + 16);
        while out.len() < len {
            let word = self.next();
            if word.is_multiple_of(3) && out.len() > 64 {
                let back = 1 + self.below(out.len().min(30_000) - 1);
                let at = out.len() - back;
                let run = 4 + self.below(20);
                let piece: Vec<u8> = out[at..].iter().cycle().take(run).copied().collect();
                out.extend_from_slice(&piece);
            } else {
                out.extend_from_slice(&word.to_le_bytes()[..3]);
            }
        }
        out.truncate(len);
        out
    }
}

/// Parts in memory.
#[derive(Default, Clone)]
pub struct Parts(pub Vec<Vec<u8>>);

impl PartSink for Parts {
    fn begin(&mut self, part: usize) -> io::Result<()> {
        assert_eq!(part, self.0.len());
        self.0.push(Vec::new());
        Ok(())
    }

    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.0.last_mut().unwrap().extend_from_slice(bytes);
        Ok(())
    }
}

/// A server that serves them, counts, and fails to order.
pub struct Server {
    pub parts: Vec<Vec<u8>>,
    pub bytes: u64,
    pub requests: u64,
    /// Bytes after which the connection breaks.
    pub breaks_after: Option<u64>,
    /// Size of the pieces handed over.
    pub piece: usize,
}

impl Server {
    pub fn new(parts: &Parts) -> Server {
        Server {
            parts: parts.0.clone(),
            bytes: 0,
            requests: 0,
            breaks_after: None,
            piece: 3000,
        }
    }
}

impl Fetch for Server {
    fn fetch(
        &mut self,
        part: usize,
        range: Range<u64>,
        sink: &mut dyn FnMut(&[u8]) -> Result<(), Stopped>,
    ) -> Result<(), FetchError> {
        self.requests += 1;
        assert!(range.start < range.end, "an empty range was asked for");
        let whole = &self.parts[part];
        let end = (range.end as usize).min(whole.len());
        let start = (range.start as usize).min(end);
        for piece in whole[start..end].chunks(self.piece) {
            if self.breaks_after.is_some_and(|limit| self.bytes >= limit) {
                return Err(FetchError::Failed("the connection broke".into()));
            }
            self.bytes += piece.len() as u64;
            sink(piece)?;
        }
        Ok(())
    }
}

/// A slot in memory. Every access must be of whole blocks, as on a disk past the page cache.
pub struct Slot {
    pub bytes: Mutex<Vec<u8>>,
    /// Writes that still succeed; negative: no limit. The write after the last good one is torn.
    pub writes_left: AtomicI64,
    pub writes: AtomicU64,
    pub syncs: AtomicU64,
    pub largest_unsynced: AtomicU64,
    unsynced: AtomicU64,
    /// Bytes that were read.
    pub read: AtomicU64,
    /// Blocks that cannot be read.
    pub bad: Vec<Range<u64>>,
}

impl Slot {
    pub fn new(bytes: Vec<u8>) -> Slot {
        Slot {
            bytes: Mutex::new(bytes),
            writes_left: AtomicI64::new(-1),
            writes: AtomicU64::new(0),
            syncs: AtomicU64::new(0),
            largest_unsynced: AtomicU64::new(0),
            unsynced: AtomicU64::new(0),
            read: AtomicU64::new(0),
            bad: Vec::new(),
        }
    }

    pub fn content(&self) -> Vec<u8> {
        self.bytes.lock().unwrap().clone()
    }
}

fn whole_blocks(len: usize, offset: u64) {
    assert!(
        len > 0 && len.is_multiple_of(4096) && offset.is_multiple_of(4096),
        "{len} at {offset}"
    );
}

impl ReadAt for Slot {
    fn read_exact_at(&self, buf: &mut [u8], offset: u64) -> io::Result<()> {
        whole_blocks(buf.len(), offset);
        let end = offset + buf.len() as u64;
        if self.bad.iter().any(|b| b.start < end && offset < b.end) {
            buf.fill(0xee);
            return Err(io::Error::other("medium error"));
        }
        self.read.fetch_add(buf.len() as u64, Ordering::Relaxed);
        self.bytes.lock().unwrap().read_exact_at(buf, offset)
    }

    fn size(&self) -> u64 {
        self.bytes.lock().unwrap().len() as u64
    }
}

impl WriteAt for Slot {
    fn write_all_at(&self, buf: &[u8], offset: u64) -> io::Result<()> {
        whole_blocks(buf.len(), offset);
        let left = self.writes_left.load(Ordering::Relaxed);
        let mut bytes = self.bytes.lock().unwrap();
        let place = &mut bytes[offset as usize..offset as usize + buf.len()];
        if left == 0 {
            // Torn in the middle of a block.
            let torn = buf.len() / 2 + 100;
            place[..torn].copy_from_slice(&buf[..torn]);
            return Err(io::Error::other("killed"));
        }
        self.writes_left.store(left - 1, Ordering::Relaxed);
        place.copy_from_slice(buf);
        self.writes.fetch_add(1, Ordering::Relaxed);
        let unsynced =
            self.unsynced.fetch_add(buf.len() as u64, Ordering::Relaxed) + buf.len() as u64;
        self.largest_unsynced.fetch_max(unsynced, Ordering::Relaxed);
        Ok(())
    }

    fn sync(&self) -> io::Result<()> {
        self.syncs.fetch_add(1, Ordering::Relaxed);
        self.unsynced.store(0, Ordering::Relaxed);
        Ok(())
    }
}

/// A packed image.
pub struct Release {
    pub image: Vec<u8>,
    pub packed: Packed,
    pub parts: Parts,
    pub index: Index,
}

/// Small groups and contexts, so that small images have many.
pub fn options() -> PackOptions {
    PackOptions {
        level: 3,
        part_bytes: 2 << 20,
        group_bytes: 128 << 10,
        context_bytes: 512 << 10,
        ..PackOptions::default()
    }
}

pub fn release(image: Vec<u8>, options: &PackOptions) -> Release {
    let mut parts = Parts::default();
    let packed = pack(&image, options, &mut parts).unwrap();
    let index = Index::parse(&packed.index, &Limits::default()).unwrap();
    Release {
        image,
        packed,
        parts,
        index,
    }
}

/// Plans and applies once.
pub fn update(
    release: &Release,
    running: Option<&dyn ReadAt>,
    idle: &Slot,
    server: &mut Server,
) -> Result<(Plan, Applied), ApplyError> {
    let options = PlanOptions::default();
    let plan = Plan::make(&release.index, running, idle, &options, &mut Quiet).unwrap();
    let applied = apply(&release.index, &plan, running, idle, server, &mut Quiet)?;
    Ok((plan, applied))
}

/// An observer that stops after so many reports.
pub fn stop_after(mut reports: u64) -> impl FnMut(&Progress) -> ControlFlow<()> {
    move |_| {
        if reports == 0 {
            return ControlFlow::Break(());
        }
        reports -= 1;
        ControlFlow::Continue(())
    }
}

/// Whole blocks.
pub fn padded(mut bytes: Vec<u8>) -> Vec<u8> {
    bytes.resize(bytes.len().next_multiple_of(4096).max(4096), 0);
    bytes
}

/// An image of files: some blocks of prose, some of noise, gaps of zeros, repeats.
pub fn image(random: &mut Random, blocks: usize) -> Vec<u8> {
    let mut out = Vec::new();
    while out.len() < blocks * 4096 {
        let len = (1 + random.below(40)) * 4096 - random.below(2) * random.below(4000);
        let file = match random.below(8) {
            0 => vec![0; len],
            1 => random.bytes(len),
            2 if !out.is_empty() => {
                let from = random.below(out.len() / 4096) * 4096;
                out[from..(from + len).min(out.len())].to_vec()
            }
            _ => random.prose(len),
        };
        out.extend(file);
        out.resize(out.len().next_multiple_of(4096), 0);
    }
    out.truncate(blocks * 4096);
    out
}

/// A later version of an image: blocks edited, inserted, deleted and moved.
pub fn edited(random: &mut Random, old: &[u8], edits: usize) -> Vec<u8> {
    let mut new = old.to_vec();
    for _ in 0..edits {
        let blocks = new.len() / 4096;
        let at = random.below(blocks) * 4096;
        let len = ((1 + random.below(12)) * 4096).min(new.len() - at);
        match random.below(4) {
            0 => {
                let spot = at + random.below(len);
                let len = 1 + random.below(300);
                let more = random.prose(len);
                let end = (spot + more.len()).min(new.len());
                new[spot..end].copy_from_slice(&more[..end - spot]);
            }
            1 => {
                let more = random.prose(len);
                new.splice(at..at, more);
            }
            2 if blocks > 40 => {
                new.drain(at..at + len);
            }
            _ => {
                let piece: Vec<u8> = new.drain(at..at + len).collect();
                let to = random.below(new.len() / 4096 + 1) * 4096;
                new.splice(to..to, piece);
            }
        }
    }
    padded(new)
}
