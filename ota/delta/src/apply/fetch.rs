//! Frames: fetched, decoded, checked, written.
//!
//! Owns the walk through the requests and the frames in them. Bytes are taken as they come; a frame is dealt with when it
//! is whole, a group is handed over to be written when its last frame is.
//!
//! Invariant: groups come in ascending order, so everything that a frame leans on is in the idle slot already, or in
//! memory on its way there; what is to be read from the slot was written before.

use std::ops::Range;

use super::behind::{Behind, Load, Places};
use super::{ApplyError, Work};
use crate::bits::Bits;
use crate::context::Context;
use crate::frame::{Decoder, FrameError};
use crate::index::Index;
use crate::plan::{Fetches, Pick, small_frames};
use crate::{Fetch, Stopped};

/// Bytes taken between two reports.
const REPORT: u64 = 256 << 10;

/// Fetches and writes everything.
pub fn run(
    work: &mut Work<'_>,
    fetches: &Fetches,
    needed: &Bits,
    fetch: &mut dyn Fetch,
) -> Result<(), ApplyError> {
    let (writer, places) = (
        work.writer,
        Places {
            index: work.index,
            plan: work.plan,
            needed,
            failed: work.failed,
        },
    );
    // The scope waits for the writer, also after a failure: nobody writes to the slot when this returns.
    std::thread::scope(|scope| {
        let behind = Behind::start(scope, places, writer);
        receive(work, behind, fetches, needed, fetch)
    })
}

fn receive(
    work: &mut Work<'_>,
    behind: Behind,
    fetches: &Fetches,
    needed: &Bits,
    fetch: &mut dyn Fetch,
) -> Result<(), ApplyError> {
    let refuse = |source| ApplyError::Frame {
        part: 0,
        offset: 0,
        source,
    };
    let mut receiver = Receiver {
        queue: Queue::new(work.index, needed, &fetches.picks),
        work,
        behind,
        handed_over: 0,
        decoder: Decoder::new().map_err(refuse)?,
        context: Context::new(true),
        group: None,
        raw: Vec::new(),
        frame: Vec::new(),
        at: 0,
        reported: 0,
    };
    for request in &fetches.requests {
        let (part, range) = (request.part as usize, request.start..request.end);
        receiver.at = range.start;
        let mut failure = None;
        let mut sink = |bytes: &[u8]| {
            receiver.take(part, &range, bytes).map_err(|error| {
                failure = Some(error);
                Stopped
            })
        };
        let outcome = fetch.fetch(part, range.clone(), &mut sink);
        if let Some(error) = failure {
            return Err(error);
        }
        let Range { start, end } = range;
        outcome.map_err(|source| ApplyError::Fetch {
            part,
            start,
            end,
            source,
        })?;
        if receiver.at < end {
            let got = receiver.at - start;
            return Err(ApplyError::Short {
                part,
                start,
                end,
                got,
            });
        }
    }
    receiver.behind.settle()?;
    receiver.report(true)
}

struct Receiver<'w, 'a> {
    work: &'w mut Work<'a>,
    behind: Behind,
    /// One past the last chunk that was handed over to be written.
    handed_over: usize,
    queue: Queue<'w>,
    decoder: Decoder,
    context: Context,
    /// The group whose raw bytes are being put together.
    group: Option<usize>,
    raw: Vec<u8>,
    /// What has come of the next frame.
    frame: Vec<u8>,
    /// Next byte of the part.
    at: u64,
    reported: u64,
}

impl Receiver<'_, '_> {
    fn take(
        &mut self,
        part: usize,
        range: &Range<u64>,
        mut bytes: &[u8],
    ) -> Result<(), ApplyError> {
        if bytes.len() as u64 > range.end - self.at {
            return Err(ApplyError::Long {
                part,
                start: range.start,
                end: range.end,
            });
        }
        self.work.progress.downloaded += bytes.len() as u64;
        self.work.progress.done += bytes.len() as u64;
        while !bytes.is_empty() {
            let wanted = self
                .queue
                .next
                .filter(|w| w.part as usize == part && w.start < range.end);
            // Behind the last frame of a request, and before the first one, there is nothing; gaps are between.
            let goal = match wanted {
                None => range.end,
                Some(w) if self.at < w.start => w.start,
                Some(w) => w.end,
            };
            let step = (goal - self.at).min(bytes.len() as u64) as usize;
            let (head, rest) = bytes.split_at(step);
            if let Some(wanted) = wanted.filter(|w| self.at >= w.start) {
                self.frame.extend_from_slice(head);
                self.at += step as u64;
                if self.at == wanted.end {
                    self.whole(&wanted)?;
                    self.frame.clear();
                    self.queue.advance();
                }
            } else {
                self.at += step as u64;
            }
            bytes = rest;
        }
        self.report(false)
    }

    fn report(&mut self, now: bool) -> Result<(), ApplyError> {
        self.work.progress.written += self.behind.take_written();
        let done = self.work.progress.done;
        if now || done - self.reported >= REPORT {
            self.reported = done;
            return self.work.report();
        }
        Ok(())
    }

    /// A frame is there.
    fn whole(&mut self, wanted: &Wanted) -> Result<(), ApplyError> {
        let index = self.work.index;
        let group = index.groups[wanted.group];
        if self.group != Some(wanted.group) {
            let first = group.first as usize;
            let missing = self.context.missing(index, first);
            if !missing.is_empty() && missing.start < self.handed_over {
                self.behind.settle()?;
            }
            self.context.prepare(index, first, self.work.idle)?;
            self.raw = self.behind.buffer();
            self.raw.resize(index.raw_len(group.chunks()), 0);
            self.group = Some(wanted.group);
        }
        let from = index.raw_len(group.first as usize..wanted.chunks.0);
        let to = from + index.raw_len(wanted.chunks.0..wanted.chunks.1);
        let refuse = |source: FrameError| ApplyError::Frame {
            part: wanted.part as usize,
            offset: wanted.start,
            source,
        };
        let decoded = self.decoder.frame(
            &self.frame,
            self.context.bytes(index),
            &mut self.raw[from..to],
        );
        if let Err(source) = decoded {
            // It may be no fault of this frame, but of what it leans on: then that is what is told.
            self.behind.settle()?;
            return Err(refuse(source));
        }
        if wanted.last {
            if wanted.chunks == (group.first as usize, group.end as usize) {
                self.context.push(index, group.chunks(), &self.raw);
            }
            let load = Load {
                group: wanted.group,
                large: wanted.large,
                raw: std::mem::take(&mut self.raw),
            };
            self.behind.put(load)?;
            self.handed_over = group.end as usize;
            // A group may have come in few bytes.
            self.report(true)?;
        }
        Ok(())
    }
}

/// The frame that is waited for.
#[derive(Debug, Clone, Copy)]
struct Wanted {
    group: usize,
    large: bool,
    /// First chunk in it, and one past the last.
    chunks: (usize, usize),
    part: u32,
    start: u64,
    end: u64,
    /// No other frame of this group follows.
    last: bool,
}

/// All frames that are wanted, one after the other, without a list of them: there may be a million.
struct Queue<'a> {
    index: &'a Index,
    needed: &'a Bits,
    picks: &'a [Pick],
    next: Option<Wanted>,
}

impl<'a> Queue<'a> {
    fn new(index: &'a Index, needed: &'a Bits, picks: &'a [Pick]) -> Self {
        let mut queue = Queue {
            index,
            needed,
            picks,
            next: None,
        };
        queue.next = queue.first();
        queue
    }

    /// The first frame of the first pick.
    fn first(&self) -> Option<Wanted> {
        let pick = self.picks.first()?;
        let group = &self.index.groups[pick.group as usize];
        if !pick.large {
            return self.small(pick.group as usize, 0);
        }
        Some(Wanted {
            group: pick.group as usize,
            large: true,
            chunks: (group.first as usize, group.end as usize),
            part: group.large.part,
            start: group.large.start,
            end: group.large.end(),
            last: true,
        })
    }

    /// The first needed small frame of a group whose chunk is `from` or later.
    fn small(&self, group: usize, from: usize) -> Option<Wanted> {
        let span = &self.index.groups[group];
        let mut needed = small_frames(self.index, span)
            .filter(|(chunk, ..)| *chunk >= from && self.needed.get(*chunk));
        let (chunk, start, end) = needed.next()?;
        Some(Wanted {
            group,
            large: false,
            chunks: (chunk, chunk + 1),
            part: span.small.part,
            start,
            end,
            last: needed.next().is_none(),
        })
    }

    fn advance(&mut self) {
        self.next = match self.next {
            Some(wanted) if !wanted.last => self.small(wanted.group, wanted.chunks.1),
            _ => {
                self.picks = self.picks.get(1..).unwrap_or_default();
                self.first()
            }
        };
    }
}
