//! Writing behind: a group goes to the disk while the next ones are fetched and decoded.
//!
//! Owns the thread that hashes, writes and syncs, and the buffers that travel between it and the caller. Never does:
//! write a group before all of its chunks were hashed. Never reorders: groups are written in the order in which they
//! come.
//!
//! ```text
//!  caller   fetch, decode ---group---> |queue| ---> writer   hash, write, sync every few MiB
//!                ^------------ buffer of a written group -----------'
//! ```
//!
//! Invariant: at most [`MOST`] groups are on their way, so that memory, and what a kill may cost, stay bounded.

use std::io;
use std::ops::Range;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::Scope;

use super::{ApplyError, Writer};
use crate::Plan;
use crate::bits::Bits;
use crate::chunk::ChunkId;
use crate::index::{Index, offset};
use crate::plan::small_frames;

/// Groups on their way: one that is written, and one that is ready when a sync has taken its time.
const MOST: usize = 2;

/// A group's chunks, decoded; not hashed yet.
#[derive(Debug)]
pub struct Load {
    pub group: usize,
    /// From the large frame: all chunks are there. Else only the needed ones.
    pub large: bool,
    pub raw: Vec<u8>,
}

/// Which chunks of a group are written, and where.
#[derive(Clone, Copy)]
pub struct Places<'a> {
    pub index: &'a Index,
    pub plan: &'a Plan,
    pub needed: &'a Bits,
    /// Chunks whose source had changed.
    pub failed: &'a Bits,
}

impl Places<'_> {
    /// Hashes every chunk that came out of the load's frames.
    fn judge(&self, load: &Load) -> Result<(), ApplyError> {
        let group = &self.index.groups[load.group];
        for ((chunk, raw), (_, start, _)) in self.chunks(load).zip(small_frames(self.index, group))
        {
            let there = load.large || self.needed.get(chunk);
            if there && ChunkId::of(&load.raw[raw]) != self.index.ids[chunk] {
                let (part, offset) = match load.large {
                    true => (group.large.part, group.large.start),
                    false => (group.small.part, start),
                };
                return Err(ApplyError::Content {
                    part: part as usize,
                    offset,
                    chunk,
                });
            }
        }
        Ok(())
    }

    /// Writes the needed chunks to all places that are not right already, neighbours at once. Returns bytes.
    fn write(&self, load: &Load, writer: &mut Writer<'_>) -> Result<u64, ApplyError> {
        let mut written = 0;
        let mut write = |bytes: Range<usize>, place: u64| {
            written += bytes.len() as u64;
            writer.write(&load.raw[bytes], place)
        };
        // Place in the image, bytes of `raw`.
        let mut run: Option<(u64, Range<usize>)> = None;
        for (chunk, raw) in self.needed(load) {
            if self.plan.kept.get(chunk) && !self.failed.get(chunk) {
                continue;
            }
            let place = self.index.chunk_offset(chunk);
            match &mut run {
                Some((start, bytes))
                    if bytes.end == raw.start && *start + bytes.len() as u64 == place =>
                {
                    bytes.end = raw.end;
                }
                _ => {
                    if let Some((start, bytes)) = run.replace((place, raw)) {
                        write(bytes, start)?;
                    }
                }
            }
        }
        if let Some((start, bytes)) = run {
            write(bytes, start)?;
        }
        for (chunk, raw) in self.needed(load) {
            for repeat in self.index.repeats_of(chunk) {
                if !self.plan.kept_extras.get(repeat) || self.failed.get(chunk) {
                    write(raw.clone(), offset(self.index.extras[repeat].place))?;
                }
            }
        }
        Ok(written)
    }

    /// Needed chunks, and their bytes of `raw`.
    fn needed(&self, load: &Load) -> impl Iterator<Item = (usize, Range<usize>)> {
        self.chunks(load)
            .filter(|(chunk, _)| self.needed.get(*chunk))
    }

    /// All chunks of the group, and their bytes of `raw`.
    fn chunks(&self, load: &Load) -> impl Iterator<Item = (usize, Range<usize>)> {
        let mut at = 0;
        self.index.groups[load.group].chunks().map(move |chunk| {
            let raw = at..at + self.index.chunk_len(chunk);
            at = raw.end;
            (chunk, raw)
        })
    }
}

/// The caller's end.
pub struct Behind {
    queue: SyncSender<Load>,
    /// A group that was written, and how many bytes of it were.
    back: Receiver<Result<(Load, u64), ApplyError>>,
    under_way: usize,
    spare: Vec<Vec<u8>>,
    written: u64,
}

impl Behind {
    /// Starts the writer. It ends when this is dropped, and writes before that what was handed over: the next plan
    /// finds it.
    pub fn start<'scope, 'env: 'scope>(
        scope: &'scope Scope<'scope, 'env>,
        places: Places<'env>,
        mut writer: Writer<'env>,
    ) -> Behind {
        let (queue, loads) = sync_channel::<Load>(MOST);
        // Room for all that can be on their way: the writer never waits for the caller.
        let (done, back) = sync_channel(MOST + 1);
        scope.spawn(move || {
            for load in loads {
                let result = places
                    .judge(&load)
                    .and_then(|()| places.write(&load, &mut writer));
                let failed = result.is_err();
                drop(done.send(result.map(|bytes| (load, bytes))));
                if failed {
                    return;
                }
            }
        });
        Behind {
            queue,
            back,
            under_way: 0,
            spare: Vec::new(),
            written: 0,
        }
    }

    /// Hands a group over; waits while too many are on their way.
    pub fn put(&mut self, load: Load) -> Result<(), ApplyError> {
        while self.under_way >= MOST {
            self.wait()?;
        }
        self.under_way += 1;
        if self.queue.send(load).is_err() {
            // The writer has ended, which it does after a failure alone.
            return self.settle();
        }
        Ok(())
    }

    /// A buffer for the next group, empty.
    pub fn buffer(&mut self) -> Vec<u8> {
        let mut buffer = self.spare.pop().unwrap_or_default();
        buffer.clear();
        buffer
    }

    /// Nothing is on its way any more: what was handed over can be read from the slot.
    pub fn settle(&mut self) -> Result<(), ApplyError> {
        while self.under_way > 0 {
            self.wait()?;
        }
        Ok(())
    }

    /// Bytes written since this was asked last.
    pub fn take_written(&mut self) -> u64 {
        std::mem::take(&mut self.written)
    }

    fn wait(&mut self) -> Result<(), ApplyError> {
        // Nothing comes only after a failure, which was told when it happened.
        let ended = || ApplyError::Sync(io::Error::other("the thread that writes has ended"));
        let (load, bytes) = self.back.recv().map_err(|_| ended())??;
        self.under_way -= 1;
        self.written += bytes;
        self.spare.push(load.raw);
        Ok(())
    }
}
