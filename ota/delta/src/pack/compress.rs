//! Second pass: the frames of every group, on several threads, handed over in order.
//!
//! Invariant: a group's bytes depend on the image, the index so far and the level. Threads take groups as they get free;
//! what is done early waits, bounded, for its turn.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc;

use super::PackError;
use crate::ReadAt;
use crate::chunk::ChunkId;
use crate::context::{Context, ContextError};
use crate::frame::{Decoder, Encoder, FrameError};
use crate::index::Index;

/// Which of the two packings.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A frame for every chunk.
    Small,
    /// A frame for every group.
    Large,
}

/// The frames of one group.
#[derive(Debug)]
pub struct Made {
    /// All frames.
    pub bytes: Vec<u8>,
    /// Length of each small frame; empty for a large one.
    pub lengths: Vec<u16>,
}

/// What is to be compressed, and how.
pub struct Work<'a> {
    pub image: &'a dyn ReadAt,
    pub index: &'a Index,
    pub level: i32,
    pub kind: Kind,
}

impl Work<'_> {
    /// Compresses all groups and gives them to `take` in order.
    pub fn run(
        &self,
        threads: usize,
        take: &mut dyn FnMut(Made) -> Result<(), PackError>,
    ) -> Result<(), PackError> {
        let total = self.index.groups.len();
        let threads = threads.clamp(1, 64).min(total.max(1));
        let next = AtomicUsize::new(0);
        let stop = AtomicBool::new(false);
        // A worker that is ahead blocks here, so that few groups wait in memory.
        let (give, made) = mpsc::sync_channel::<(usize, Result<Made, PackError>)>(threads);
        let worker = |give: mpsc::SyncSender<_>| {
            let mut context = Context::new(true);
            while !stop.load(Ordering::Relaxed) {
                let group = next.fetch_add(1, Ordering::Relaxed);
                if group >= total || give.send((group, self.group(group, &mut context))).is_err() {
                    break;
                }
            }
        };
        let outcome = Mutex::new(Ok(()));
        std::thread::scope(|scope| {
            for _ in 0..threads {
                let give = give.clone();
                scope.spawn(|| worker(give));
            }
            drop(give);
            let result = in_order(made, take);
            if result.is_err() {
                stop.store(true, Ordering::Relaxed);
            }
            if let Ok(mut slot) = outcome.lock() {
                *slot = result;
            }
        });
        outcome.into_inner().unwrap_or_else(|e| e.into_inner())
    }

    fn group(&self, number: usize, context: &mut Context) -> Result<Made, PackError> {
        let group = self.index.groups[number];
        let failed = |source| PackError::Frame {
            group: number,
            source,
        };
        let raw = self.raw(number)?;
        context
            .prepare(self.index, group.first as usize, self.image)
            .map_err(unreadable)?;
        let context = context.bytes(self.index);
        let mut bytes = Vec::with_capacity(raw.len());
        let mut lengths = Vec::new();
        let mut decoder = Decoder::new().map_err(failed)?;
        let mut back = vec![0; raw.len()];
        match self.kind {
            Kind::Large => {
                let mut encoder = Encoder::for_large(self.level, context).map_err(failed)?;
                encoder.frame(&raw, &mut bytes).map_err(failed)?;
                decoder.frame(&bytes, context, &mut back).map_err(failed)?;
            }
            Kind::Small => {
                let mut encoder = Encoder::for_small(self.level, context).map_err(failed)?;
                let mut at = 0;
                for chunk in group.chunks() {
                    let end = at + self.index.chunk_len(chunk);
                    let from = bytes.len();
                    let length = encoder.frame(&raw[at..end], &mut bytes).map_err(failed)?;
                    decoder
                        .frame(&bytes[from..], context, &mut back[at..end])
                        .map_err(failed)?;
                    // Bounded by the largest chunk and its header, which the reader checks again.
                    lengths.push(u16::try_from(length).unwrap_or(u16::MAX));
                    at = end;
                }
            }
        }
        if back != raw {
            return Err(failed(FrameError::Damaged(
                "decoding gave other bytes than went in",
            )));
        }
        Ok(Made { bytes, lengths })
    }

    /// The raw bytes of a group, hashed again: the image must not have changed since the first pass.
    fn raw(&self, group: usize) -> Result<Vec<u8>, PackError> {
        let index = self.index;
        let chunks = index.groups[group].chunks();
        let mut raw = Vec::with_capacity(index.raw_len(chunks.clone()));
        for chunk in chunks {
            let (offset, old) = (index.chunk_offset(chunk), raw.len());
            raw.resize(old + index.chunk_len(chunk), 0);
            self.image
                .read_exact_at(&mut raw[old..], offset)
                .map_err(|source| PackError::Read { offset, source })?;
            if ChunkId::of(&raw[old..]) != index.ids[chunk] {
                return Err(PackError::Changed { offset });
            }
        }
        Ok(raw)
    }
}

fn in_order(
    made: mpsc::Receiver<(usize, Result<Made, PackError>)>,
    take: &mut dyn FnMut(Made) -> Result<(), PackError>,
) -> Result<(), PackError> {
    let mut waiting = BTreeMap::new();
    let mut turn = 0;
    for (group, result) in made {
        waiting.insert(group, result?);
        while let Some(made) = waiting.remove(&turn) {
            take(made)?;
            turn += 1;
        }
    }
    Ok(())
}

fn unreadable(error: ContextError) -> PackError {
    match error {
        ContextError::Read { offset, source, .. } => PackError::Read { offset, source },
        ContextError::Changed { offset, .. } => PackError::Changed { offset },
    }
}
