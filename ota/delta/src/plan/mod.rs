//! What has to be done so that the idle slot holds the image of an index.
//!
//! Owns the decision for every chunk: it is there, it is copied, it is fetched. Never writes, and keeps nothing: after a
//! kill or a power cut the next plan reads the slots again and goes on with what it finds.
//!
//! ```text
//!  1  idle slot, place by place      kept
//!     and cut anew where not right   moved: read before anything is written over it
//!  2  running slot, cut anew         copied rather than moved: it is never written, so any order will do
//!  3  the rest                       fetched
//! ```

mod moves;
mod ranges;
mod scan;
mod table;

use std::ops::ControlFlow;

use roamcore_ota::Digest;

use crate::bits::Bits;
use crate::index::{Index, What};
use crate::{Observer, ReadAt};
use moves::Move;
pub(crate) use ranges::{Fetches, Pick, choose, small_frames};
use scan::Cancelled;
use table::Table;

/// How a plan is made.
#[derive(Debug, Clone)]
pub struct PlanOptions {
    /// Threads that read and hash.
    pub threads: usize,
    /// What one request is worth in bytes: so much is fetched without need to save one.
    pub gap_bytes: u64,
    /// Requests of the root to stay below when that is cheap. An update may make 200: some are for its documents, the
    /// index and the UKI.
    pub requests: u64,
    /// How cheap: thousandths of the download that may be wasted for it.
    pub waste_permille: u64,
    /// Trust nothing that is on the device: fetch everything. For the attempt after one whose result was wrong although
    /// every chunk was right.
    pub ignore_local: bool,
}

impl Default for PlanOptions {
    fn default() -> Self {
        PlanOptions {
            // More than processors, so that the disk has something to do while some of them hash; each costs 2 MiB.
            threads: 4,
            // A request's headers, both ways, and a little for the time of a round trip.
            gap_bytes: 4 * 1024,
            requests: 190,
            waste_permille: 50,
            ignore_local: false,
        }
    }
}

/// No plan could be made.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PlanError {
    /// The observer stopped it.
    #[error("stopped while the slots were scanned")]
    Cancelled,
    /// The idle slot cannot hold the image.
    #[error(
        "the image has {image} bytes, the idle slot {slot}: this release does not fit this device"
    )]
    IdleTooSmall {
        /// Size of the image.
        image: u64,
        /// Size of the slot.
        slot: u64,
    },
}

impl From<Cancelled> for PlanError {
    fn from(_: Cancelled) -> Self {
        PlanError::Cancelled
    }
}

/// What a plan costs, in bytes and requests.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Summary {
    /// Bytes of the image that are already in place.
    pub kept: u64,
    /// Bytes of the image that are copied from a slot or within the idle one.
    pub copied: u64,
    /// Bytes of the image that are zero and written as such.
    pub zeroed: u64,
    /// Bytes of the image that come out of frames.
    pub fetched: u64,
    /// Bytes to download, gaps included; the index itself is not.
    pub download: u64,
    /// Range requests.
    pub requests: u64,
    /// Bytes of slots that could not be read.
    pub unreadable: u64,
}

/// Where a chunk comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Source {
    /// In the idle slot, at a place that is right already.
    Kept(u32),
    /// In the running slot.
    Running(u32),
    /// Elsewhere in the idle slot.
    Moved(u32),
    /// In a frame.
    Frame,
}

/// What has to be done so that the idle slot holds the image of an index.
#[derive(Debug)]
pub struct Plan {
    pub(crate) image_sha256: Digest,
    pub(crate) sources: Sources,
    /// Chunks whose first place is right.
    pub(crate) kept: Bits,
    /// Extras that are right.
    pub(crate) kept_extras: Bits,
    /// Chunks that move within the idle slot, in order.
    pub(crate) moves: Vec<u32>,
    pub(crate) fetches: Fetches,
    pub(crate) options: PlanOptions,
    summary: Summary,
}

/// [`Source`] of every chunk in five bytes each.
#[derive(Debug)]
pub(crate) struct Sources {
    kinds: Vec<u8>,
    blocks: Vec<u32>,
}

impl Sources {
    fn new(chunks: usize) -> Sources {
        Sources {
            kinds: vec![0; chunks],
            blocks: vec![0; chunks],
        }
    }

    pub fn get(&self, chunk: usize) -> Source {
        let block = self.blocks[chunk];
        match self.kinds[chunk] {
            1 => Source::Kept(block),
            2 => Source::Running(block),
            3 => Source::Moved(block),
            _ => Source::Frame,
        }
    }

    fn set(&mut self, chunk: usize, source: Source) {
        (self.kinds[chunk], self.blocks[chunk]) = match source {
            Source::Frame => (0, 0),
            Source::Kept(block) => (1, block),
            Source::Running(block) => (2, block),
            Source::Moved(block) => (3, block),
        };
    }

    /// Of several places the lowest, so that a plan does not depend on which thread was first; and the running slot
    /// rather than the idle one.
    fn offer(&mut self, chunk: usize, new: Source) {
        let better = match (self.get(chunk), new) {
            (Source::Frame, _) | (Source::Moved(_), Source::Running(_)) => true,
            (Source::Running(old), Source::Running(new)) => new < old,
            (Source::Moved(old), Source::Moved(new)) => new < old,
            _ => false,
        };
        if better {
            self.set(chunk, new);
        }
    }

    fn not_kept(&self) -> impl Iterator<Item = usize> + Clone + '_ {
        (0..self.kinds.len()).filter(|c| !matches!(self.get(*c), Source::Kept(_)))
    }

    fn missing(&self) -> impl Iterator<Item = usize> + Clone + '_ {
        (0..self.kinds.len()).filter(|c| self.kinds[*c] == 0)
    }
}

impl Plan {
    /// Reads both slots and decides. Nothing is written. `running` is `None` where there is none (factory, tests).
    /// Whatever the idle slot holds is fine, unreadable blocks included.
    pub fn make(
        index: &Index,
        running: Option<&dyn ReadAt>,
        idle: &dyn ReadAt,
        options: &PlanOptions,
        observer: &mut dyn Observer,
    ) -> Result<Plan, PlanError> {
        let (image, slot) = (index.image_size, idle.size());
        if slot < image {
            return Err(PlanError::IdleTooSmall { image, slot });
        }
        let mut plan = Plan::empty(index, options);
        if !options.ignore_local {
            plan.look(index, running, idle, observer)?;
        }
        plan.order(index);
        let needed = plan.needed(index);
        plan.fetches = choose(index, &needed, options);
        plan.sum(index);
        Ok(plan)
    }

    fn empty(index: &Index, options: &PlanOptions) -> Plan {
        Plan {
            image_sha256: index.image_sha256,
            sources: Sources::new(index.ids.len()),
            kept: Bits::new(index.ids.len()),
            kept_extras: Bits::new(index.extras.len()),
            moves: Vec::new(),
            fetches: Fetches::default(),
            options: options.clone(),
            summary: Summary::default(),
        }
    }

    fn look(
        &mut self,
        index: &Index,
        running: Option<&dyn ReadAt>,
        idle: &dyn ReadAt,
        observer: &mut dyn Observer,
    ) -> Result<(), PlanError> {
        let threads = self.options.threads;
        let sources = &mut self.sources;
        let table = Table::new(index, 0..index.ids.len());
        let marks = (&self.kept, &self.kept_extras);
        let mut take = |chunk: u32, block| sources.offer(chunk as usize, Source::Moved(block));
        self.summary.unreadable +=
            scan::idle(index, idle, &table, threads, marks, &mut take, observer)?;
        drop(table);
        self.keep(index);
        let Some(running) = running.filter(|_| self.sources.not_kept().next().is_some()) else {
            return Ok(());
        };
        let table = Table::new(index, self.sources.not_kept());
        let sources = &mut self.sources;
        let mut take = |chunk: u32, block| sources.offer(chunk as usize, Source::Running(block));
        self.summary.unreadable += scan::running(running, &table, threads, &mut take, observer)?;
        Ok(())
    }

    /// Chunks with a right place are sources for their other places.
    fn keep(&mut self, index: &Index) {
        for (at, extra) in index.extras.iter().enumerate() {
            if let (What::Repeat(chunk), true) = (extra.what, self.kept_extras.get(at)) {
                self.sources.set(chunk as usize, Source::Kept(extra.place));
            }
        }
        for chunk in 0..index.ids.len() {
            if self.kept.get(chunk) {
                self.sources.set(chunk, Source::Kept(index.places[chunk]));
            }
        }
    }

    fn order(&mut self, index: &Index) {
        let moves = (0..index.ids.len())
            .filter_map(|chunk| match self.sources.get(chunk) {
                Source::Moved(from) => Some(Move {
                    chunk: chunk as u32,
                    from,
                    to: index.places[chunk],
                    blocks: u32::from(index.blocks[chunk]),
                    cost: u32::from(index.frames[chunk]),
                }),
                _ => None,
            })
            .collect();
        let order = moves::order(moves);
        for chunk in order.fetch {
            self.sources.set(chunk as usize, Source::Frame);
        }
        self.moves = order.moves;
    }

    /// Chunks that come out of frames.
    pub(crate) fn needed(&self, index: &Index) -> Bits {
        let needed = Bits::new(index.ids.len());
        self.sources.missing().for_each(|c| needed.set(c));
        needed
    }

    fn sum(&mut self, index: &Index) {
        let mut sum = self.summary;
        for chunk in 0..index.ids.len() {
            let bytes = index.chunk_len(chunk) as u64;
            match self.sources.get(chunk) {
                _ if self.kept.get(chunk) => sum.kept += bytes,
                Source::Frame => sum.fetched += bytes,
                _ => sum.copied += bytes,
            }
        }
        for (at, extra) in index.extras.iter().enumerate() {
            let bytes = index.extra_len(extra);
            match extra.what {
                _ if self.kept_extras.get(at) => sum.kept += bytes,
                What::Zero(_) => sum.zeroed += bytes,
                What::Repeat(chunk) => match self.sources.get(chunk as usize) {
                    Source::Frame => sum.fetched += bytes,
                    _ => sum.copied += bytes,
                },
            }
        }
        sum.download = self.fetches.bytes();
        sum.requests = self.fetches.requests.len() as u64;
        self.summary = sum;
    }

    /// All costs.
    pub fn summary(&self) -> &Summary {
        &self.summary
    }

    /// Bytes that [`apply`](crate::apply) will fetch if no source turns bad meanwhile.
    pub fn download_bytes(&self) -> u64 {
        self.summary.download
    }

    /// Range requests that it will make.
    pub fn requests(&self) -> u64 {
        self.summary.requests
    }

    /// Bytes that it will write to the idle slot.
    pub fn write_bytes(&self) -> u64 {
        let s = &self.summary;
        s.copied + s.zeroed + s.fetched
    }

    /// True when the idle slot already holds the image.
    pub fn is_complete(&self) -> bool {
        self.write_bytes() == 0
    }
}

/// What a device would fetch that runs the image of `old` and has nothing in its idle slot. A prediction from two
/// indexes, without any image.
pub fn predict(old: &Index, new: &Index, options: &PlanOptions) -> Summary {
    let mut plan = Plan::empty(new, options);
    if !options.ignore_local {
        let table = Table::new(new, 0..new.ids.len());
        for (id, place) in old.ids.iter().zip(&old.places) {
            if let Some(chunk) = table.find(id) {
                plan.sources.offer(chunk as usize, Source::Running(*place));
            }
        }
    }
    plan.fetches = choose(new, &plan.needed(new), options);
    plan.sum(new);
    *plan.summary()
}

/// Turns an observer's answer into a result.
pub(crate) fn go_on(flow: ControlFlow<()>) -> Result<(), Cancelled> {
    match flow {
        ControlFlow::Continue(()) => Ok(()),
        ControlFlow::Break(()) => Err(Cancelled),
    }
}
