//! The content of a chunk index, compressed after the mutation. Whatever is accepted can be planned with, and written.

use std::ops::Range;

use roamcore_delta::{
    Fetch, FetchError, Index, Limits, Plan, PlanOptions, Quiet, ReadAt, Stopped, apply,
};

use super::frames::sample;
use crate::Target;

/// Small enough to plan with each time.
pub(super) const LIMITS: Limits = Limits {
    image_bytes: 1 << 20,
    wire_bytes: 64 << 10,
    raw_bytes: 64 << 10,
};

pub(super) const TARGET: Target = Target {
    name: "index",
    from: "root.index or uki.index, from a server or a stick, inside its compression",
    longest: 2048,
    run: |content| {
        let mut wire = b"roamidx\0\x01\0\0\0".to_vec();
        wire.extend(u32::try_from(content.len()).unwrap().to_le_bytes());
        wire.extend(zstd::bulk::compress(content, 1).unwrap());
        read(&wire)
    },
    seeds: || {
        let content = &sample().packed.index[16..];
        vec![zstd::stream::decode_all(content).unwrap()]
    },
};

/// Parses, and does with it what a device would.
pub(super) fn read(wire: &[u8]) -> bool {
    let Ok(index) = Index::parse(wire, &LIMITS) else {
        return false;
    };
    let again = Index::parse(&index.to_bytes().unwrap(), &LIMITS).unwrap();
    assert_eq!(again.to_bytes().unwrap(), index.to_bytes().unwrap());
    assert!(index.image_size() <= LIMITS.image_bytes);
    let idle = super::frames::Slot::empty(index.image_size());
    let running: &dyn ReadAt = &sample().image;
    let options = PlanOptions {
        threads: 1,
        ..PlanOptions::default()
    };
    let plan = Plan::make(&index, Some(running), &idle, &options, &mut Quiet).unwrap();
    assert!(plan.summary().copied <= index.image_size());
    // Its frames are not at hand; all that can be copied is.
    drop(apply(
        &index,
        &plan,
        Some(running),
        &idle,
        &mut Silent(&index),
        &mut Quiet,
    ));
    true
}

/// A server that sends zeros, and checks that it is asked for what there is.
struct Silent<'a>(&'a Index);

impl Fetch for Silent<'_> {
    fn fetch(
        &mut self,
        part: usize,
        range: Range<u64>,
        sink: &mut dyn FnMut(&[u8]) -> Result<(), Stopped>,
    ) -> Result<(), FetchError> {
        assert!(range.start < range.end && range.end <= self.0.part_sizes()[part]);
        Ok(sink(&[0; 64])?)
    }
}
