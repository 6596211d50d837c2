//! First pass: the chunks of an image, and its hash.
//!
//! Invariant: two chunks are one only when their whole SHA-256 is equal, whatever their ids say.

use std::collections::HashMap;
use std::collections::hash_map::Entry;

use roamcore_ota::Digest;
use sha2::{Digest as _, Sha256};

use super::PackError;
use crate::ReadAt;
use crate::chunk::{BLOCK, ChunkId, Cut, Cutter, MAX};
use crate::index::{Extra, Group, Layout, Span, What};

/// Bytes read at a time.
const SEGMENT: usize = 4 << 20;

/// Chunks, zero runs and repeats of the image, and its SHA-256.
pub fn survey(image: &dyn ReadAt) -> Result<(Layout, Digest), PackError> {
    let mut found = Found::default();
    let mut whole = Sha256::new();
    let cutter = Cutter::new();
    let size = image.size();
    // Bytes of the image from `base` on, of which `done` are dealt with.
    let mut buffer = Vec::with_capacity(SEGMENT + MAX);
    let (mut base, mut done) = (0u64, 0);
    loop {
        let end = base + buffer.len() as u64;
        if buffer.len() - done < MAX && end < size {
            buffer.drain(..done);
            base += done as u64;
            done = 0;
            let old = buffer.len();
            let more = (size - end).min(SEGMENT as u64) as usize;
            buffer.resize(old + more, 0);
            image
                .read_exact_at(&mut buffer[old..], end)
                .map_err(|source| PackError::Read {
                    offset: end,
                    source,
                })?;
            whole.update(&buffer[old..]);
        }
        if done == buffer.len() {
            let digest: [u8; 32] = whole.finalize().into();
            return Ok((found.layout, Digest::from(digest)));
        }
        let place = (base / BLOCK as u64) as u32 + (done / BLOCK) as u32;
        let cut = cutter.next(&buffer[done..]);
        match cut {
            Cut::Zero(blocks) => found.zero(place, blocks as u32),
            Cut::Data(_) => found.data(place, &buffer[done..done + cut.len()])?,
        }
        done += cut.len();
    }
}

#[derive(Default)]
struct Found {
    layout: Layout,
    by_digest: HashMap<[u8; 32], u32>,
    by_id: HashMap<[u8; ChunkId::LEN], u32>,
}

impl Found {
    fn zero(&mut self, place: u32, blocks: u32) {
        if let Some(Extra {
            place: from,
            what: What::Zero(before),
        }) = self.layout.extras.last_mut()
            && *from + *before == place
        {
            *before += blocks;
            return;
        }
        self.layout.extras.push(Extra {
            place,
            what: What::Zero(blocks),
        });
    }

    fn data(&mut self, place: u32, bytes: &[u8]) -> Result<(), PackError> {
        let digest: [u8; 32] = Sha256::digest(bytes).into();
        let chunk = self.layout.ids.len() as u32;
        match self.by_digest.entry(digest) {
            Entry::Occupied(first) => {
                let what = What::Repeat(*first.get());
                self.layout.extras.push(Extra { place, what });
            }
            Entry::Vacant(new) => {
                let id = ChunkId::from_digest(&digest);
                if let Some(first) = self.by_id.insert(id.0, chunk) {
                    return Err(PackError::Collision {
                        first: crate::index::offset(self.layout.places[first as usize]),
                        second: crate::index::offset(place),
                    });
                }
                new.insert(chunk);
                self.layout.ids.push(id);
                self.layout.blocks.push((bytes.len() / BLOCK) as u8);
                self.layout.places.push(place);
            }
        }
        Ok(())
    }
}

/// Consecutive chunks, as many as fit into `limit` bytes.
pub fn groups(layout: &Layout, limit: u32) -> Vec<Group> {
    let mut groups = Vec::new();
    let (mut first, mut bytes) = (0, 0);
    let mut close = |first: usize, end: usize| {
        if end > first {
            groups.push(Group {
                first: first as u32,
                end: end as u32,
                small: Span::default(),
                large: Span::default(),
            });
        }
    };
    for (chunk, blocks) in layout.blocks.iter().enumerate() {
        let length = u32::from(*blocks) * BLOCK as u32;
        if bytes + length > limit {
            close(first, chunk);
            (first, bytes) = (chunk, 0);
        }
        bytes += length;
    }
    close(first, layout.blocks.len());
    groups
}
