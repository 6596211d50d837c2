//! Reading slots: what is in its place, and where is the rest?
//!
//! Owns the threads that hash. Never does: write, or give up over a block that cannot be read: such a block is simply no
//! source.
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

/// Marks what already lies in its place in `idle`: chunks, and the extras of the index. Returns unreadable bytes.
pub fn in_place(
    index: &Index,
    idle: &dyn ReadAt,
    threads: usize,
    (chunks, extras): (&Bits, &Bits),
    observer: &mut dyn Observer,
) -> Result<u64, Cancelled> {
    let total = index.image_size;
    let job = |region: Range<u64>, tell: &Teller<'_>| {
        let mut reader = Reader::new(idle);
        for piece in Pieces::from(index, region.start) {
            if piece.offset >= region.end {
                break;
            }
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
            tell.news(News {
                bytes: piece.length,
                unreadable: reader.take_unreadable(),
                found: Vec::new(),
            })?;
        }
        Some(())
    };
    let mut unreadable = 0;
    let mut hear = |news: &News| unreadable += news.unreadable;
    let watch = (Stage::ScanIdle, total, observer);
    run(total, threads, &job, &mut hear, watch)?;
    Ok(unreadable)
}

/// Cuts a slot into chunks and tells where those of `table` are, the lowest place of each last. Blocks that `skip`
/// names are not read. Returns unreadable bytes.
pub fn elsewhere(
    slot: &dyn ReadAt,
    table: &Table<'_>,
    threads: usize,
    skip: Option<&Skip<'_>>,
    take: &mut dyn FnMut(u32, u32),
    stage: Stage,
    observer: &mut dyn Observer,
) -> Result<u64, Cancelled> {
    let total = slot.size() / BLOCK as u64 * BLOCK as u64;
    let job = |region: Range<u64>, tell: &Teller<'_>| {
        let cutter = Cutter::new();
        let mut reader = Reader::new(slot);
        let mut at = region.start.saturating_sub(LEAD_IN);
        while at < region.end {
            if skip.is_some_and(|skip| skip.has(at)) {
                at += BLOCK as u64;
                tell.news(News {
                    bytes: BLOCK as u64,
                    ..News::default()
                })?;
                continue;
            }
            let length = (total - at).min(MAX as u64);
            let mut found = Vec::new();
            let step = match reader.window(at, length, total) {
                None => BLOCK,
                Some(window) => {
                    let cut = cutter.next(window);
                    if let Cut::Data(_) = cut {
                        let id = ChunkId::of(&window[..cut.len()]);
                        let block = (at / BLOCK as u64) as u32;
                        found.extend(table.find(&id).map(|chunk| (chunk, block)));
                    }
                    cut.len()
                }
            };
            at += step as u64;
            tell.news(News {
                bytes: if at > region.start { step as u64 } else { 0 },
                unreadable: reader.take_unreadable(),
                found,
            })?;
        }
        Some(())
    };
    let mut unreadable = 0;
    let mut hear = |news: &News| {
        unreadable += news.unreadable;
        for (chunk, block) in &news.found {
            take(*chunk, *block);
        }
    };
    run(total, threads, &job, &mut hear, (stage, total, observer))?;
    Ok(unreadable)
}

/// Blocks of the idle slot that hold what they shall.
pub struct Skip<'a> {
    pub blocks: &'a Bits,
    pub image_size: u64,
}

impl Skip<'_> {
    fn has(&self, at: u64) -> bool {
        at < self.image_size && self.blocks.get((at / BLOCK as u64) as usize)
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
    fn news(&self, news: News) -> Option<()> {
        let mut kept = self.kept.borrow_mut();
        kept.bytes += news.bytes;
        kept.unreadable += news.unreadable;
        kept.found.extend(news.found);
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

/// Splits `total` bytes between threads and listens to them.
fn run(
    total: u64,
    threads: usize,
    job: &(dyn Fn(Range<u64>, &Teller<'_>) -> Option<()> + Sync),
    hear: &mut dyn FnMut(&News),
    (stage, size, observer): (Stage, u64, &mut dyn Observer),
) -> Result<(), Cancelled> {
    let blocks = total / BLOCK as u64;
    let threads = (threads.clamp(1, 64) as u64).min(blocks.max(1));
    let region = |n: u64| blocks * n / threads * BLOCK as u64;
    let stop = AtomicBool::new(false);
    let mut outcome = Ok(());
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
            done = (done + news.bytes).min(size);
            hear(&news);
            let progress = Progress {
                stage,
                done,
                total: size,
                downloaded: 0,
                written: 0,
            };
            if outcome.is_ok() && observer.progress(&progress) == ControlFlow::Break(()) {
                stop.store(true, Ordering::Relaxed);
                outcome = Err(Cancelled);
            }
        }
    });
    outcome
}

/// Reads ahead, and block by block where reading fails.
struct Reader<'a> {
    slot: &'a dyn ReadAt,
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
    fn new(slot: &'a dyn ReadAt) -> Self {
        Reader {
            slot,
            buffer: vec![0; SEGMENT],
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

    /// `length` bytes at `at`, or none where the first block of them cannot be read. Shorter where a block further on
    /// cannot. Reads ahead, but not beyond `end`.
    fn window(&mut self, at: u64, length: u64, end: u64) -> Option<&[u8]> {
        let have = self.start + self.held as u64;
        if at < self.start || at + length > have {
            let ahead = if at < self.careful {
                length
            } else {
                SEGMENT as u64
            };
            self.load(at, (end - at).min(ahead) as usize);
        }
        let from = (at - self.start) as usize;
        let to = (from + length as usize).min(self.held);
        (to > from).then(|| &self.buffer[from..to])
    }

    /// Loads at most `length` bytes from `at`, up to the first block that cannot be read.
    fn load(&mut self, at: u64, length: usize) {
        (self.start, self.held) = (at, 0);
        if self.bad < MAX_BAD_BLOCKS {
            let buffer = &mut self.buffer[..length];
            if self.slot.read_exact_at(buffer, at).is_ok() {
                self.held = length;
                return;
            }
            self.careful = self.careful.max(at + length as u64);
            for block in buffer.chunks_mut(BLOCK) {
                let place = at + self.held as u64;
                if self.slot.read_exact_at(block, place).is_err() {
                    self.bad += 1;
                    break;
                }
                self.held += block.len();
            }
        }
        if self.held == 0 {
            self.unreadable += BLOCK as u64;
        }
    }

    /// True when all of a piece is right. Pieces longer than the buffer are judged bit by bit.
    fn judge(&mut self, offset: u64, length: u64, right: impl Fn(&[u8]) -> bool) -> bool {
        // Read ahead in whole blocks, whatever the partition's size.
        let size = self.slot.size() / BLOCK as u64 * BLOCK as u64;
        let mut at = offset;
        while at < offset + length {
            let step = (offset + length - at).min(SEGMENT as u64);
            match self.window(at, step, size) {
                Some(bytes) if bytes.len() as u64 == step && right(bytes) => at += step,
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
