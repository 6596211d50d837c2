//! Chunk by id: the one question a scan asks a million times.
//!
//! Owns an open-addressed table of chunk numbers; the ids stay in the index. Four bytes a slot, at most half full, so
//! that 8 GiB of image cost 8 MiB here.

use crate::chunk::ChunkId;
use crate::index::Index;

const EMPTY: u32 = u32::MAX;

/// The chunks that are looked for.
pub struct Table<'a> {
    ids: &'a [ChunkId],
    slots: Vec<u32>,
}

impl<'a> Table<'a> {
    /// A table of these chunks.
    pub fn new(index: &'a Index, chunks: impl Iterator<Item = usize> + Clone) -> Table<'a> {
        let size = (chunks.clone().count() * 2).next_power_of_two().max(2);
        let mut table = Table {
            ids: &index.ids,
            slots: vec![EMPTY; size],
        };
        for chunk in chunks {
            let at = table.slot(&index.ids[chunk]);
            if table.slots[at] == EMPTY {
                table.slots[at] = chunk as u32;
            }
        }
        table
    }

    /// The chunk of this id.
    pub fn find(&self, id: &ChunkId) -> Option<u32> {
        let chunk = self.slots[self.slot(id)];
        (chunk != EMPTY).then_some(chunk)
    }

    /// Its slot, or the empty one where it would be. There are always empty ones.
    fn slot(&self, id: &ChunkId) -> usize {
        let mask = self.slots.len() - 1;
        let mut at = id.bits() as usize & mask;
        while self.slots[at] != EMPTY && self.ids[self.slots[at] as usize] != *id {
            at = (at + 1) & mask;
        }
        at
    }
}
