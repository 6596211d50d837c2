//! Copies within the device, in batches.
//!
//! A batch is read as a whole before any of it is written: reading a source earlier than its turn is always right, since
//! nothing of the batch has been written over it, and neighbours become long reads and writes.
//!
//! Invariant: a chunk is written only when what was read is that chunk; otherwise it is marked to be fetched.

use super::{ApplyError, Work};
use crate::ReadAt;
use crate::chunk::ChunkId;

/// Bytes of a batch: memory, and what a kill in the middle of it may cost.
const BATCH: usize = 1 << 20;

/// One chunk to copy.
#[derive(Debug, Clone, Copy)]
pub struct Job {
    pub chunk: usize,
    pub from: u64,
    pub to: u64,
    pub length: usize,
}

/// Copies that are collected, all from one slot.
pub struct Batch<'a> {
    slot: &'a dyn ReadAt,
    jobs: Vec<Job>,
    bytes: usize,
    buffer: Vec<u8>,
}

impl<'a> Batch<'a> {
    /// Nothing yet.
    pub fn new(slot: &'a dyn ReadAt) -> Self {
        Batch {
            slot,
            jobs: Vec::new(),
            bytes: 0,
            buffer: Vec::new(),
        }
    }

    /// One more; carried out at once when the batch is full.
    pub fn add(&mut self, work: &mut Work<'_>, job: Job) -> Result<(), ApplyError> {
        self.jobs.push(job);
        self.bytes += job.length;
        if self.bytes >= BATCH {
            return self.run(work);
        }
        Ok(())
    }

    /// Carries out the rest.
    pub fn finish(mut self, work: &mut Work<'_>) -> Result<(), ApplyError> {
        self.run(work)
    }

    fn run(&mut self, work: &mut Work<'_>) -> Result<(), ApplyError> {
        let mut jobs = std::mem::take(&mut self.jobs);
        let bytes = std::mem::take(&mut self.bytes) as u64;
        jobs.sort_unstable_by_key(|j| (j.from, j.to));
        let mut good = self.read(work, &jobs);
        good.sort_unstable_by_key(|(job, _)| job.to);
        let mut runs = good.into_iter().peekable();
        while let Some((job, at)) = runs.next() {
            let mut length = job.length;
            while let Some((next, _)) =
                runs.next_if(|(n, a)| n.to == job.to + length as u64 && *a == at + length)
            {
                length += next.length;
            }
            work.write(&self.buffer[at..at + length], job.to)?;
        }
        work.copied(bytes)
    }

    /// Reads all sources, neighbours at once, and returns the jobs that are right with their places in the buffer.
    fn read(&mut self, work: &mut Work<'_>, jobs: &[Job]) -> Vec<(Job, usize)> {
        self.buffer.clear();
        let mut good = Vec::with_capacity(jobs.len());
        let mut rest = jobs;
        while let [first, ..] = rest {
            let mut length = first.length;
            let mut count = 1;
            while let Some(next) = rest.get(count)
                && next.from == first.from + length as u64
            {
                length += next.length;
                count += 1;
            }
            let (run, after) = rest.split_at(count);
            rest = after;
            let start = self.buffer.len();
            self.buffer.resize(start + length, 0);
            if self
                .slot
                .read_exact_at(&mut self.buffer[start..], first.from)
                .is_err()
            {
                // One bad block must not cost the whole run.
                for job in run {
                    let at = start + (job.from - first.from) as usize;
                    let bytes = &mut self.buffer[at..at + job.length];
                    if self.slot.read_exact_at(bytes, job.from).is_err() {
                        bytes.fill(0);
                    }
                }
            }
            for job in run {
                let at = start + (job.from - first.from) as usize;
                if ChunkId::of(&self.buffer[at..at + job.length]) == work.index.ids[job.chunk] {
                    good.push((*job, at));
                } else {
                    work.fail(job.chunk);
                }
            }
        }
        good
    }
}
