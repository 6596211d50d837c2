//! Payload parts as a server might send them, applied with a true index: the slot holds the image, or there is an error.
//!
//! ```text
//!  1 what the device has and how the server behaves | all parts, one after the other
//! ```

use std::io;
use std::ops::Range;
use std::sync::{Mutex, OnceLock};

use roamcore_delta::{
    Fetch, FetchError, Index, Limits, PackOptions, Packed, PartSink, Plan, PlanOptions, Quiet,
    ReadAt, Stopped, WriteAt, apply, pack,
};

use crate::Target;

/// The running slot has all but some blocks, so that small frames are fetched.
const RUNNING: u8 = 1;
/// The server sends more than was asked for.
const MORE: u8 = 2;

pub(super) const TARGET: Target = Target {
    name: "frames",
    from: "root.000, uki.000 and on, from a server or a stick",
    longest: 4096,
    run,
    seeds: || {
        let parts = sample().parts.concat();
        [0, RUNNING, MORE, RUNNING | MORE]
            .iter()
            .map(|how| [&[*how][..], &parts].concat())
            .collect()
    },
};

/// A small image, its index and its parts.
pub(super) struct Sample {
    pub image: Vec<u8>,
    pub packed: Packed,
    pub parts: Vec<Vec<u8>>,
}

#[derive(Default)]
struct Parts(Vec<Vec<u8>>);

impl PartSink for Parts {
    fn begin(&mut self, _: usize) -> io::Result<()> {
        self.0.push(Vec::new());
        Ok(())
    }

    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.0.last_mut().unwrap().extend_from_slice(bytes);
        Ok(())
    }
}

/// Text, zeros, text again and something that does not compress, in a few groups and more than one part.
pub(super) fn sample() -> &'static Sample {
    static SAMPLE: OnceLock<Sample> = OnceLock::new();
    SAMPLE.get_or_init(|| {
        let block = |number: u32| -> Vec<u8> {
            let line = |n: u32| format!("{} of block {number} ", n.wrapping_mul(number + 7) % 13);
            let text: String = (0..400).map(line).collect();
            text.into_bytes()[..4096].to_vec()
        };
        let mut image: Vec<u8> = (0..6).flat_map(block).collect();
        image.extend([0; 8192]);
        image.extend((0..4).flat_map(block));
        image.extend(block(9));
        let options = PackOptions {
            level: 9,
            part_bytes: 1 << 20,
            threads: 1,
            group_bytes: 16 << 10,
            context_bytes: 16 << 10,
        };
        let mut parts = Parts::default();
        let packed = pack(&image, &options, &mut parts).unwrap();
        Sample {
            image,
            packed,
            parts: parts.0,
        }
    })
}

fn run(bytes: &[u8]) -> bool {
    let sample = sample();
    let Some((how, parts)) = bytes.split_first() else {
        return false;
    };
    let index = Index::parse(&sample.packed.index, &Limits::default()).unwrap();
    let mut running = sample.image.clone();
    for block in running.chunks_mut(4096).step_by(3) {
        block[100] ^= 1;
    }
    let running = (how & RUNNING != 0).then_some(&running as &dyn ReadAt);
    let idle = Slot::empty(sample.image.len() as u64);
    let options = PlanOptions {
        threads: 1,
        ..PlanOptions::default()
    };
    let plan = Plan::make(&index, running, &idle, &options, &mut Quiet).unwrap();
    let mut server = Server {
        parts,
        starts: sample
            .packed
            .parts
            .iter()
            .scan(0, |at, part| {
                let start = *at;
                *at += part.size;
                Some(start)
            })
            .collect(),
        more: how & MORE != 0,
    };
    let done = apply(&index, &plan, running, &idle, &mut server, &mut Quiet);
    if done.is_ok() {
        assert_eq!(*idle.0.lock().unwrap(), sample.image);
    }
    done.is_ok()
}

/// An idle slot in memory.
pub(super) struct Slot(Mutex<Vec<u8>>);

impl Slot {
    pub(super) fn empty(size: u64) -> Self {
        Self(Mutex::new(vec![0xee; usize::try_from(size).unwrap()]))
    }
}

impl ReadAt for Slot {
    fn read_exact_at(&self, buf: &mut [u8], offset: u64) -> io::Result<()> {
        self.0.lock().unwrap().read_exact_at(buf, offset)
    }

    fn size(&self) -> u64 {
        self.0.lock().unwrap().len() as u64
    }
}

impl WriteAt for Slot {
    fn write_all_at(&self, buf: &[u8], offset: u64) -> io::Result<()> {
        let at = usize::try_from(offset).unwrap();
        let mut bytes = self.0.lock().unwrap();
        // Out of the slot is a finding.
        bytes[at..at + buf.len()].copy_from_slice(buf);
        Ok(())
    }

    fn sync(&self) -> io::Result<()> {
        Ok(())
    }
}

/// Sends what the input has at the place asked for: too little where it ends early.
struct Server<'a> {
    parts: &'a [u8],
    starts: Vec<u64>,
    more: bool,
}

impl Fetch for Server<'_> {
    fn fetch(
        &mut self,
        part: usize,
        range: Range<u64>,
        sink: &mut dyn FnMut(&[u8]) -> Result<(), Stopped>,
    ) -> Result<(), FetchError> {
        assert!(range.start < range.end);
        let start = self.starts[part];
        let clip = |at: u64| usize::try_from(start + at).unwrap().min(self.parts.len());
        for piece in self.parts[clip(range.start)..clip(range.end)].chunks(700) {
            sink(piece)?;
        }
        if self.more {
            sink(b"and more")?;
        }
        Ok(())
    }
}
