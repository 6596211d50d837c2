//! Reading slots: what is in its place, and where is the rest?
//!
//! Owns the threads that hash. Never does: write, or give up over a block that cannot be read: such a block is simply no
//! source. Reads a slot once: the idle one's pieces are judged in their places, and what is not right is cut at once,
//! while it is in memory.
//!
//! ```text
//!  thread 0  |---- region ----|           each thread reads a region of its own, one piece at a time,
//!  thread 1            ..|---- region ----|       and tells what it found; the calling thread listens,
//!                      ^^ lead-in: cuts agree with    reports progress and stops them all when told to
//!                         the neighbour's again
//! ```

use std::ops::{ControlFlow, Range};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc;

use super::table::Table;
use crate::bits::Bits;
use crate::chunk::{BLOCK, ChunkId, Cut, Cutter, MAX, is_zero};
use crate::index::{Index, What};
use crate::{Observer, Progress, ReadAt, Stage};

/// Bytes read at a time by each thread.
const SEGMENT: usize = 1 << 20;
/// Bytes of a long piece that are judged at a time.
const STEP: usize = 256 << 10;
/// Bytes that stay in memory behind the place that is looked at: the cuts of the idle slot run ahead of the pieces by
/// less than a chunk.
const KEEP: usize = MAX;
/// Bytes before a region from which its thread starts cutting: a few dozen chunks, enough for cuts to agree.
const LEAD_IN: u64 = 256 << 10;
/// A device that fails this often is not worth more attempts, each of which may take seconds.
const MAX_BAD_BLOCKS: u64 = 4096;

/// The observer stopped a scan.
#[derive(Debug)]
pub struct Cancelled;

/// What a thread tells.
#[derive(Default)]
struct News {
    bytes: u64,
    unreadable: u64,
    /// Chunk and the block where it is.
    found: Vec<(u32, u32)>,
}

/// Marks what already lies in its place in `idle`: chunks, and the extras of the index. Cuts the rest and tells where
/// the chunks of `table` are. Returns unreadable bytes.
pub fn idle(
    index: &Index,
    idle: &dyn ReadAt,
    table: &Table<'_>,
    threads: usize,
    (chunks, extras): (&Bits, &Bits),
    take: &mut dyn FnMut(u32, u32),
    observer: &mut dyn Observer,
) -> Result<u64, Cancelled> {
    let total = whole_blocks(idle);
    // A piece belongs to one thread as a whole, or a long run of zeros would be read by several.
    let border = |at: u64| match Pieces::from(index, at).next() {
        Some(piece) => piece.offset,
        None => at.max(index.image_size),
    };
    let job = |region: Range<u64>, tell: &Teller<'_>| {
        let region = border(region.start)..border(region.end);
        let mut reader = Reader::new(idle, total);
        let mut cuts = Cuts::new(table, &region);
        for piece in Pieces::from(index, region.start) {
            if piece.offset >= region.end {
                break;
            }
            cuts.until(piece.offset, &mut reader, tell)?;
            let right = reader.judge(piece.offset, piece.length, |bytes| match piece.is {
                Is::Chunk(chunk) => ChunkId::of(bytes) == index.ids[chunk],
                Is::Extra(at) => match index.extras[at].what {
                    What::Zero(_) => is_zero(bytes),
                    What::Repeat(chunk) => ChunkId::of(bytes) == index.ids[chunk as usize],
                },
            });
            match piece.is {
                Is::Chunk(chunk) if right => chunks.set(chunk),
                Is::Extra(at) if right => extras.set(at),
                _ => {}
            }
            if right {
                cuts.go_to(piece.offset + piece.length, &mut reader, None, tell)?;
            }
        }
        cuts.until(region.end, &mut reader, tell)
    };
    listen(total, threads, &job, take, (Stage::ScanIdle, observer))
}

/// Cuts the running slot into chunks and tells where those of `table` are. Returns unreadable bytes.
pub fn running(
    slot: &dyn ReadAt,
    table: &Table<'_>,
    threads: usize,
    take: &mut dyn FnMut(u32, u32),
    observer: &mut dyn Observer,
) -> Result<u64, Cancelled> {
    let total = whole_blocks(slot);
    let job = |region: Range<u64>, tell: &Teller<'_>| {
        let mut reader = Reader::new(slot, total);
        Cuts::new(table, &region).until(region.end, &mut reader, tell)
    };
    listen(total, threads, &job, take, (Stage::ScanRunning, observer))
}

/// Bytes of a slot that are looked at, whatever the partition's size.
fn whole_blocks(slot: &dyn ReadAt) -> u64 {
    slot.size() / BLOCK as u64 * BLOCK as u64
}

/// Where a thread is with cutting.
struct Cuts<'a> {
    cutter: Cutter,
    table: &'a Table<'a>,
    /// First byte of the region; what is before it is the neighbour's.
    start: u64,
    at: u64,
}

impl<'a> Cuts<'a> {
    fn new(table: &'a Table<'a>, region: &Range<u64>) -> Self {
        Cuts {
            cutter: Cutter::new(),
            table,
            start: region.start,
            at: region.start.saturating_sub(LEAD_IN),
        }
    }

    /// Cuts up to `end` and at most a chunk beyond. None when the scan shall stop.
    fn until(&mut self, end: u64, reader: &mut Reader<'_>, tell: &Teller<'_>) -> Option<()> {
        while self.at < end {
            let mut found = None;
            let step = match reader.window(self.at, MAX) {
                None => BLOCK,
                Some(window) => {
                    let cut = self.cutter.next(window);
                    if let Cut::Data(_) = cut {
                        let id = ChunkId::of(&window[..cut.len()]);
                        let block = (self.at / BLOCK as u64) as u32;
                        found = self.table.find(&id).map(|chunk| (chunk, block));
                    }
                    cut.len()
                }
            };
            self.go_to(self.at + step as u64, reader, found, tell)?;
        }
        Some(())
    }

    /// Goes on at `at`, unless that is behind, and tells so.
    fn go_to(
        &mut self,
        at: u64,
        reader: &mut Reader<'_>,
        found: Option<(u32, u32)>,
        tell: &Teller<'_>,
    ) -> Option<()> {
        let bytes = at.saturating_sub(self.at.max(self.start));
        self.at = self.at.max(at);
        tell.news(bytes, reader.take_unreadable(), found)
    }
}

/// Collects a thread's news and passes them on now and then.
struct Teller<'a> {
    send: mpsc::SyncSender<News>,
    stop: &'a AtomicBool,
    kept: std::cell::RefCell<News>,
}

impl Teller<'_> {
    /// None when the scan shall stop.
    fn news(&self, bytes: u64, unreadable: u64, found: Option<(u32, u32)>) -> Option<()> {
        let mut kept = self.kept.borrow_mut();
        kept.bytes += bytes;
        kept.unreadable += unreadable;
        kept.found.extend(found);
        if kept.bytes < SEGMENT as u64 && kept.found.len() < 512 {
            return Some(());
        }
        let news = std::mem::take(&mut *kept);
        self.send.send(news).ok()?;
        (!self.stop.load(Ordering::Relaxed)).then_some(())
    }
}

impl Drop for Teller<'_> {
    fn drop(&mut self) {
        let _closed = self.send.send(std::mem::take(&mut *self.kept.borrow_mut()));
    }
}

/// Splits `total` bytes between threads and listens to them. Returns unreadable bytes.
fn listen(
    total: u64,
    threads: usize,
    job: &(dyn Fn(Range<u64>, &Teller<'_>) -> Option<()> + Sync),
    take: &mut dyn FnMut(u32, u32),
    (stage, observer): (Stage, &mut dyn Observer),
) -> Result<u64, Cancelled> {
    let blocks = total / BLOCK as u64;
    let threads = (threads.clamp(1, 64) as u64).min(blocks.max(1));
    let region = |n: u64| blocks * n / threads * BLOCK as u64;
    let stop = AtomicBool::new(false);
    let mut outcome = Ok(());
    let mut unreadable = 0;
    std::thread::scope(|scope| {
        let (send, news) = mpsc::sync_channel(threads as usize * 2);
        for n in 0..threads {
            let teller = Teller {
                send: send.clone(),
                stop: &stop,
                kept: std::cell::RefCell::default(),
            };
            scope.spawn(move || job(region(n)..region(n + 1), &teller));
        }
        drop(send);
        let mut done = 0;
        for news in news {
            unreadable += news.unreadable;
            for (chunk, block) in news.found {
                take(chunk, block);
            }
            done = (done + news.bytes).min(total);
            let progress = Progress {
                stage,
                done,
                total,
                downloaded: 0,
                written: 0,
            };
            if outcome.is_ok() && observer.progress(&progress) == ControlFlow::Break(()) {
                stop.store(true, Ordering::Relaxed);
                outcome = Err(Cancelled);
            }
        }
    });
    outcome.map(|()| unreadable)
}

/// A window that slides over a slot. Reads ahead, and block by block where reading fails.
struct Reader<'a> {
    slot: &'a dyn ReadAt,
    /// Bytes of the slot.
    total: u64,
    buffer: Vec<u8>,
    /// What of the slot the buffer holds.
    start: u64,
    held: usize,
    /// A read failed before here: no reading ahead, each further failure would cost as much again.
    careful: u64,
    unreadable: u64,
    bad: u64,
}

impl<'a> Reader<'a> {
    fn new(slot: &'a dyn ReadAt, total: u64) -> Self {
        Reader {
            slot,
            total,
            buffer: vec![0; KEEP + STEP + SEGMENT],
            start: 0,
            held: 0,
            careful: 0,
            unreadable: 0,
            bad: 0,
        }
    }

    fn take_unreadable(&mut self) -> u64 {
        std::mem::take(&mut self.unreadable)
    }

    /// `length` bytes at `at`, at most [`STEP`], or none where the first block of them cannot be read. Shorter where a
    /// block further on cannot, or the slot ends.
    fn window(&mut self, at: u64, length: usize) -> Option<&[u8]> {
        let length = (self.total.saturating_sub(at)).min(length as u64) as usize;
        let have = self.start + self.held as u64;
        if at < self.start || at > have {
            (self.start, self.held) = (at, 0);
            self.load(length);
        } else if at + length as u64 > have {
            let behind = (at - self.start).saturating_sub(KEEP as u64) as usize;
            self.buffer.copy_within(behind..self.held, 0);
            self.start += behind as u64;
            self.held -= behind;
            self.load((at + length as u64 - have) as usize);
        }
        let from = (at - self.start) as usize;
        let to = (from + length).min(self.held);
        if to <= from {
            self.unreadable += BLOCK as u64;
            return None;
        }
        Some(&self.buffer[from..to])
    }

    /// Loads `least` bytes or more behind those that are held, up to the first block that cannot be read.
    fn load(&mut self, least: usize) {
        let at = self.start + self.held as u64;
        let ahead = if at < self.careful { least } else { SEGMENT };
        let length = self.total.saturating_sub(at).min(ahead as u64) as usize;
        if self.bad >= MAX_BAD_BLOCKS {
            return;
        }
        let buffer = &mut self.buffer[self.held..self.held + length];
        if self.slot.read_exact_at(buffer, at).is_ok() {
            self.held += length;
            return;
        }
        self.careful = self.careful.max(at + length as u64);
        for (number, block) in buffer.chunks_mut(BLOCK).enumerate() {
            let place = at + (number * BLOCK) as u64;
            if self.slot.read_exact_at(block, place).is_err() {
                self.bad += 1;
                break;
            }
            self.held += block.len();
        }
    }

    /// True when all of a piece is right. Long pieces are judged bit by bit.
    fn judge(&mut self, offset: u64, length: u64, right: impl Fn(&[u8]) -> bool) -> bool {
        let mut at = offset;
        while at < offset + length {
            let step = (offset + length - at).min(STEP as u64) as usize;
            match self.window(at, step) {
                Some(bytes) if bytes.len() == step && right(bytes) => at += step as u64,
                _ => return false,
            }
        }
        true
    }
}

/// A stretch of the image that is judged as one.
struct Piece {
    offset: u64,
    length: u64,
    is: Is,
}

enum Is {
    Chunk(usize),
    Extra(usize),
}

/// All pieces of the image in order.
struct Pieces<'a> {
    index: &'a Index,
    chunk: usize,
    extra: usize,
}

impl<'a> Pieces<'a> {
    /// Those that begin at `offset` or later.
    fn from(index: &'a Index, offset: u64) -> Self {
        let block = (offset / BLOCK as u64) as u32;
        Pieces {
            index,
            chunk: index.places.partition_point(|place| *place < block),
            extra: index.extras.partition_point(|e| e.place < block),
        }
    }
}

impl Iterator for Pieces<'_> {
    type Item = Piece;

    fn next(&mut self) -> Option<Piece> {
        let chunk = self.index.places.get(self.chunk);
        let extra = self.index.extras.get(self.extra);
        let chunk_first = match (chunk, extra) {
            (Some(chunk), Some(extra)) => *chunk < extra.place,
            (Some(_), None) => true,
            (None, Some(_)) => false,
            (None, None) => return None,
        };
        if chunk_first {
            let chunk = self.chunk;
            self.chunk += 1;
            return Some(Piece {
                offset: self.index.chunk_offset(chunk),
                length: self.index.chunk_len(chunk) as u64,
                is: Is::Chunk(chunk),
            });
        }
        let extra = self.extra;
        self.extra += 1;
        let found = &self.index.extras[extra];
        Some(Piece {
            offset: crate::index::offset(found.place),
            length: self.index.extra_len(found),
            is: Is::Extra(extra),
        })
    }
}
