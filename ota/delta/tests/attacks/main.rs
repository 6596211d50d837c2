//! What a hostile or broken server can send, one function per attack, named after it.
//!
//! Every attack ends in a named error, and never in a wrong block: whatever is in the slot afterwards was there before or
//! belongs to the image.
#![allow(
    clippy::unwrap_used,
    clippy::identity_op,
    missing_docs,
    reason = "a program of tests; sums are written as the layout is"
)]

#[path = "../common/mod.rs"]
mod common;

mod frames;
mod index_lies;
mod limits;

use common::*;
use roamcore_delta::{ApplyError, Index, IndexError, Limits, Plan, PlanOptions, Quiet, apply};

/// Offsets of the fixed fields in an index's content.
pub mod field {
    pub const IMAGE_SIZE: usize = 0;
    pub const IMAGE_SHA256: usize = 8;
    pub const GROUP_BYTES: usize = 40;
    pub const CONTEXT_BYTES: usize = 44;
    pub const PARTS: usize = 48;
    pub const GROUPS: usize = 52;
    pub const CHUNKS: usize = 56;
    pub const LAYOUT: usize = 60;
    pub const HEADER: usize = 64;
}

/// An index's content, decompressed, with the places of its columns.
pub struct Content {
    pub raw: Vec<u8>,
}

impl Content {
    pub fn of(index: &[u8]) -> Content {
        Content {
            raw: zstd::decode_all(&index[16..]).unwrap(),
        }
    }

    pub fn u32(&self, at: usize) -> u32 {
        u32::from_le_bytes(self.raw[at..at + 4].try_into().unwrap())
    }

    pub fn set_u32(&mut self, at: usize, value: u32) {
        self.raw[at..at + 4].copy_from_slice(&value.to_le_bytes());
    }

    pub fn parts(&self) -> usize {
        field::HEADER
    }

    pub fn groups(&self) -> usize {
        self.parts() + self.u32(field::PARTS) as usize * 8
    }

    pub fn layout(&self) -> usize {
        self.groups() + self.u32(field::GROUPS) as usize * 8
    }

    pub fn blocks(&self) -> usize {
        self.layout() + self.u32(field::LAYOUT) as usize * 4
    }

    pub fn frames_low(&self) -> usize {
        self.blocks() + self.u32(field::CHUNKS) as usize
    }

    pub fn frames_high(&self) -> usize {
        self.frames_low() + self.u32(field::CHUNKS) as usize
    }

    pub fn ids(&self) -> usize {
        self.frames_high() + self.u32(field::CHUNKS) as usize
    }

    /// As it would be published.
    pub fn publish(&self) -> Vec<u8> {
        let mut out = b"roamidx\0\x01\0\0\0".to_vec();
        out.extend_from_slice(&(self.raw.len() as u32).to_le_bytes());
        out.extend(zstd::bulk::compress(&self.raw, 3).unwrap());
        out
    }

    pub fn parse(&self) -> Result<Index, IndexError> {
        Index::parse(&self.publish(), &Limits::default())
    }
}

/// Installs from what the server sends now, and looks that no block is wrong.
pub fn install(
    index: &Index,
    image: &[u8],
    running: Option<&Slot>,
    server: &mut Server,
) -> Result<(), ApplyError> {
    let before = vec![0x5a; image.len()];
    let slot = Slot::new(before.clone());
    let running = running.map(|r| r as &dyn roamcore_delta::ReadAt);
    let options = PlanOptions::default();
    let plan = Plan::make(index, running, &slot, &options, &mut Quiet).unwrap();
    let outcome = apply(index, &plan, running, &slot, server, &mut Quiet);
    let after = slot.content();
    for (at, block) in after.chunks(4096).enumerate() {
        let range = at * 4096..at * 4096 + 4096;
        assert!(
            *block == before[range.clone()] || *block == image[range],
            "block {at} is neither old nor new"
        );
    }
    outcome.map(|_| ())
}

/// A release of noise and prose whose index the tests bend.
pub fn victim() -> Release {
    let mut random = Random(77);
    let mut bytes = random.prose(300_000);
    bytes.extend(random.bytes(700_000));
    bytes.extend(vec![0; 50_000]);
    bytes.extend(random.prose(300_000));
    release(padded(bytes), &options())
}
