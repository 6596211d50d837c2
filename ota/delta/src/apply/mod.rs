//! Carrying out a plan.
//!
//! Owns the order of writes to the idle slot and the bound on what an interruption can cost.
//!
//! ```text
//!  moves within the idle slot -> copies from the running slot -> repeats, zero runs -> frames, ascending -> sync
//!  '---- each read before it is written over ----'                                   '- contexts are in place -'
//! ```
//!
//! Frames are written by a thread of its own, behind the one that fetches and decodes; everything else by the caller's.
//!
//! Invariant: no byte is written whose chunk was not hashed on the way. A copy whose source has changed is fetched
//! instead; a frame that does not give its chunks stops everything.

mod behind;
mod copy;
mod error;
mod fetch;

use crate::bits::Bits;
use crate::chunk::BLOCK;
use crate::context::ContextError;
use crate::index::{Index, What};
use crate::plan::{Source, choose, go_on};
use crate::{Fetch, Observer, Plan, Progress, ReadAt, Stage, Target};
use copy::Job;
pub use error::{ApplyError, ErrorClass};

/// What was done.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Applied {
    /// Bytes fetched.
    pub downloaded: u64,
    /// Bytes written.
    pub written: u64,
    /// Bytes that had to be fetched instead of copied, because their source had changed since the plan was made.
    pub fallback: u64,
}

/// Bytes after which the idle slot is synced, at least and at most, and the part of the image between. What was written
/// since the last sync is what a power cut may cost: at most a hundredth of the image, or 4 MiB; small enough to be
/// forgiven on mobile data. More than 16 MiB would only let the kernel hoard dirty pages; less than 4 MiB would wait for the disk
/// more often than it writes.
const SYNC_LEAST: u64 = 4 << 20;
const SYNC_MOST: u64 = 16 << 20;
const SYNC_PART: u64 = 100;

/// Zeros that are written at once.
const ZEROS: usize = 256 << 10;

/// Writes the image into the idle slot and syncs it. `plan` must have been made from the same index and slots; slots
/// that changed since then cost bytes or an error, never wrong data. Memory is bounded whatever the image's size.
pub fn apply(
    index: &Index,
    plan: &Plan,
    running: Option<&dyn ReadAt>,
    idle: &dyn Target,
    fetch: &mut dyn Fetch,
    observer: &mut dyn Observer,
) -> Result<Applied, ApplyError> {
    if plan.image_sha256 != index.image_sha256 || idle.size() < index.image_size {
        return Err(ApplyError::OtherPlan);
    }
    let failed = Bits::new(index.ids.len());
    let mut work = Work {
        index,
        plan,
        running,
        idle,
        observer,
        progress: Progress {
            stage: Stage::Copy,
            done: 0,
            total: plan.summary().copied + plan.summary().zeroed,
            downloaded: 0,
            written: 0,
        },
        writer: Writer {
            idle,
            unsynced: 0,
            sync_after: (index.image_size / SYNC_PART).clamp(SYNC_LEAST, SYNC_MOST),
        },
        failed: &failed,
        fallback: 0,
    };
    work.moves()?;
    work.copies()?;
    work.zeros()?;
    work.frames(fetch)?;
    work.writer.sync()?;
    Ok(Applied {
        downloaded: work.progress.downloaded,
        written: work.progress.written,
        fallback: work.fallback,
    })
}

/// Writes to the idle slot, and syncs it now and then.
#[derive(Clone, Copy)]
struct Writer<'a> {
    idle: &'a dyn Target,
    unsynced: u64,
    sync_after: u64,
}

impl Writer<'_> {
    /// Syncs before it would be too much, not after: then no more than that is ever unsynced.
    fn write(&mut self, bytes: &[u8], offset: u64) -> Result<(), ApplyError> {
        let length = bytes.len() as u64;
        if self.unsynced > 0 && self.unsynced + length > self.sync_after {
            self.sync()?;
        }
        self.idle
            .write_all_at(bytes, offset)
            .map_err(|source| ApplyError::Write {
                offset,
                length,
                source,
            })?;
        self.unsynced += length;
        Ok(())
    }

    fn sync(&mut self) -> Result<(), ApplyError> {
        self.unsynced = 0;
        self.idle.sync().map_err(ApplyError::Sync)
    }
}

struct Work<'a> {
    index: &'a Index,
    plan: &'a Plan,
    running: Option<&'a dyn ReadAt>,
    idle: &'a dyn Target,
    observer: &'a mut dyn Observer,
    progress: Progress,
    writer: Writer<'a>,
    /// Chunks whose source had changed: they are fetched, and written to all their places.
    failed: &'a Bits,
    fallback: u64,
}

impl Work<'_> {
    fn moves(&mut self) -> Result<(), ApplyError> {
        let mut batch = copy::Batch::new(self.idle);
        for chunk in &self.plan.moves {
            let chunk = *chunk as usize;
            if let Source::Moved(from) = self.plan.sources.get(chunk) {
                batch.add(self, self.job(chunk, from, self.index.places[chunk]))?;
            }
        }
        batch.finish(self)
    }

    /// First places from the running slot or from a right place, then the other places of all chunks that are there.
    fn copies(&mut self) -> Result<(), ApplyError> {
        let none: &dyn ReadAt = &Vec::new();
        let mut from_running = copy::Batch::new(self.running.unwrap_or(none));
        let mut from_idle = copy::Batch::new(self.idle);
        for chunk in 0..self.index.ids.len() {
            if self.plan.kept.get(chunk) {
                continue;
            }
            let to = self.index.places[chunk];
            match self.plan.sources.get(chunk) {
                Source::Running(from) => from_running.add(self, self.job(chunk, from, to))?,
                Source::Kept(from) => from_idle.add(self, self.job(chunk, from, to))?,
                Source::Moved(_) | Source::Frame => {}
            }
        }
        from_running.finish(self)?;
        from_idle.finish(self)?;
        let mut repeats = copy::Batch::new(self.idle);
        for at in 0..self.index.extras.len() {
            let extra = self.index.extras[at];
            let What::Repeat(chunk) = extra.what else {
                continue;
            };
            let chunk = chunk as usize;
            let there = self.plan.sources.get(chunk) != Source::Frame && !self.failed.get(chunk);
            if there && !self.plan.kept_extras.get(at) {
                let from = self.index.places[chunk];
                repeats.add(self, self.job(chunk, from, extra.place))?;
            }
        }
        repeats.finish(self)
    }

    fn job(&self, chunk: usize, from: u32, to: u32) -> Job {
        Job {
            chunk,
            from: crate::index::offset(from),
            to: crate::index::offset(to),
            length: self.index.chunk_len(chunk),
        }
    }

    fn zeros(&mut self) -> Result<(), ApplyError> {
        let zeros = vec![0; ZEROS];
        for (at, extra) in self.index.extras.iter().enumerate() {
            if !matches!(extra.what, What::Zero(_)) || self.plan.kept_extras.get(at) {
                continue;
            }
            let mut at = crate::index::offset(extra.place);
            let end = at + self.index.extra_len(extra);
            while at < end {
                let length = (end - at).min(ZEROS as u64);
                self.write(&zeros[..length as usize], at)?;
                self.copied(length)?;
                at += length;
            }
        }
        Ok(())
    }

    fn frames(&mut self, fetch: &mut dyn Fetch) -> Result<(), ApplyError> {
        let needed = self.plan.needed(self.index);
        let mut fetches = &self.plan.fetches;
        let again;
        if self.fallback > 0 {
            (0..self.index.ids.len())
                .filter(|c| self.failed.get(*c))
                .for_each(|c| needed.set(c));
            again = choose(self.index, &needed, &self.plan.options);
            fetches = &again;
        }
        self.progress.stage = Stage::Fetch;
        (self.progress.done, self.progress.total) = (0, fetches.bytes());
        fetch::run(self, fetches, &needed, fetch)
    }

    fn write(&mut self, bytes: &[u8], offset: u64) -> Result<(), ApplyError> {
        self.writer.write(bytes, offset)?;
        self.progress.written += bytes.len() as u64;
        Ok(())
    }

    fn copied(&mut self, bytes: u64) -> Result<(), ApplyError> {
        self.progress.done += bytes;
        self.report()
    }

    fn report(&mut self) -> Result<(), ApplyError> {
        go_on(self.observer.progress(&self.progress)).map_err(|_| ApplyError::Cancelled)
    }

    /// The chunk's source is not what it was.
    fn fail(&mut self, chunk: usize) {
        if !self.failed.get(chunk) {
            self.failed.set(chunk);
            self.fallback += self.index.chunk_len(chunk) as u64;
        }
    }
}

impl From<ContextError> for ApplyError {
    fn from(error: ContextError) -> Self {
        match error {
            ContextError::Read {
                offset,
                length,
                source,
            } => ApplyError::Read {
                offset,
                length,
                source,
            },
            ContextError::Changed { offset, length } => ApplyError::Changed { offset, length },
        }
    }
}

/// All slots are read and written in whole blocks.
const _: () = assert!(ZEROS.is_multiple_of(BLOCK));
