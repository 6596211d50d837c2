//! 8 GiB in 64 MiB. A process of its own, because the high-water mark of memory is the process's.
#![allow(clippy::unwrap_used, reason = "helpers of tests")]

use std::io;
use std::ops::{ControlFlow, Range};
use std::time::Duration;

use roamcore_delta::{
    ApplyError, Fetch, FetchError, Index, Limits, Plan, PlanOptions, Progress, Quiet, ReadAt,
    Stopped, WriteAt, apply,
};
use sha2::{Digest as _, Sha256};

const IMAGE: u64 = 8 << 30;
const CHUNK: usize = 8192;
/// As many as an image without zeros and repeats has at the average size.
const CHUNKS: usize = (IMAGE / CHUNK as u64) as usize;
const GROUP: usize = 2 << 20;
const PER_GROUP: usize = GROUP / CHUNK;
/// What small frames are said to have: so much that large ones are always cheaper.
const SMALL: u16 = 8000;
/// Memory is as high as it gets long before this.
const ENOUGH: u64 = 160 << 20;

/// Bytes of this process in memory, now and at most.
fn resident(field: &str) -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|l| l.starts_with(field)).unwrap();
    let kib = line.split_whitespace().nth(1).unwrap();
    kib.parse::<u64>().unwrap() * 1024
}

/// A slot of 8 GiB without any memory; it says that it cannot be read, so that nobody waits for hashes of zeros.
struct Void;

impl ReadAt for Void {
    fn read_exact_at(&self, buf: &mut [u8], offset: u64) -> io::Result<()> {
        // Zeros in the last GiB, an error before it: both ways are walked.
        if offset < 7 << 30 {
            return Err(io::Error::other("nothing here"));
        }
        buf.fill(0);
        Ok(())
    }

    fn size(&self) -> u64 {
        IMAGE
    }
}

impl WriteAt for Void {
    fn write_all_at(&self, _: &[u8], _: u64) -> io::Result<()> {
        Ok(())
    }

    fn sync(&self) -> io::Result<()> {
        Ok(())
    }
}

/// Sends one frame for ever.
struct Same(Vec<u8>);

impl Fetch for Same {
    fn fetch(
        &mut self,
        _: usize,
        range: Range<u64>,
        sink: &mut dyn FnMut(&[u8]) -> Result<(), Stopped>,
    ) -> Result<(), FetchError> {
        // Behind the small frames there are large ones only.
        assert!(range.start >= CHUNKS as u64 * u64::from(SMALL));
        let frames = (range.end - range.start) / self.0.len() as u64;
        (0..frames).try_for_each(|_| sink(&self.0))?;
        Ok(())
    }
}

/// A frame of one segment, as the format wants it.
fn frame(content: &[u8]) -> Vec<u8> {
    let mut zstd = zstd::bulk::Compressor::new(1).unwrap();
    let window = zstd::zstd_safe::CParameter::WindowLog(21);
    zstd.set_parameter(window).unwrap();
    zstd.compress(content).unwrap()
}

fn index(content: &[u8], large: u32) -> Vec<u8> {
    let small = SMALL;
    let groups = CHUNKS / PER_GROUP;
    let part = CHUNKS as u64 * u64::from(small) + groups as u64 * u64::from(large);
    let mut raw = Vec::new();
    raw.extend(IMAGE.to_le_bytes());
    raw.extend([0; 32]);
    for number in [GROUP as u32, 8 << 20, 1, groups as u32, CHUNKS as u32, 1] {
        raw.extend(number.to_le_bytes());
    }
    raw.extend(part.to_le_bytes());
    for _ in 0..groups {
        raw.extend((PER_GROUP as u32).to_le_bytes());
        raw.extend(large.to_le_bytes());
    }
    raw.extend(((CHUNKS as u32) << 2).to_le_bytes());
    raw.extend(vec![2; CHUNKS]);
    raw.extend(vec![small.to_le_bytes()[0]; CHUNKS]);
    raw.extend(vec![small.to_le_bytes()[1]; CHUNKS]);
    let id = &Sha256::digest(content)[..12];
    for chunk in 0..CHUNKS as u64 {
        // Only those that are fetched before the end need to be right.
        if chunk * (CHUNK as u64) < ENOUGH * 2 {
            raw.extend(id);
        } else {
            raw.extend(&Sha256::digest(chunk.to_le_bytes())[..12]);
        }
    }
    let mut out = b"roamidx\0\x01\0\0\0".to_vec();
    out.extend((raw.len() as u32).to_le_bytes());
    let mut zstd = zstd::stream::write::Encoder::new(out, 1).unwrap();
    zstd.window_log(20).unwrap();
    io::Write::write_all(&mut zstd, &raw).unwrap();
    zstd.finish().unwrap()
}

/// Making an index takes memory that is not ours to count: another process does it.
fn published(large: u32) -> Vec<u8> {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("root.index");
    let exe = std::env::current_exe().unwrap();
    let status = std::process::Command::new(exe)
        .args(["--exact", "an_8_gib_image_in_64_mib", "--nocapture"])
        .env("ROAMCORE_TEST_WRITE_INDEX", &path)
        .env("ROAMCORE_TEST_LARGE_FRAME", large.to_string())
        .stdout(std::process::Stdio::null())
        .status()
        .unwrap();
    assert!(status.success());
    std::fs::read(path).unwrap()
}

#[test]
fn an_8_gib_image_in_64_mib() {
    let content: Vec<u8> = (0..CHUNK).map(|n| (n * 7 + n / 256) as u8).collect();
    if let Some(path) = std::env::var_os("ROAMCORE_TEST_WRITE_INDEX") {
        let large = std::env::var("ROAMCORE_TEST_LARGE_FRAME").unwrap();
        std::fs::write(path, index(&content, large.parse().unwrap())).unwrap();
        return;
    }
    let frame = frame(&content.repeat(PER_GROUP));
    let wire = published(frame.len() as u32);
    let before = resident("VmRSS");

    let index = Index::parse(&wire, &Limits::default()).unwrap();
    // As a caller should: the published bytes are not needed any more.
    let size = wire.len();
    drop(wire);
    assert!(size > 10 << 20, "{size}");
    let options = PlanOptions::default();
    let plan = Plan::make(&index, Some(&Void), &Void, &options, &mut Quiet).unwrap();
    assert_eq!(plan.download_bytes(), index.full_download_bytes());
    let mut fetch = Same(frame);
    let mut stop = |progress: &Progress| {
        if progress.written >= ENOUGH {
            return ControlFlow::Break(());
        }
        ControlFlow::Continue(())
    };
    let stopped = apply(&index, &plan, None, &Void, &mut fetch, &mut stop);
    assert!(matches!(stopped, Err(ApplyError::Cancelled)), "{stopped:?}");

    std::thread::sleep(Duration::from_millis(10));
    let most = resident("VmHWM");
    println!("before {before}, at most {most}, index {size}");
    assert!(
        most <= 64 << 20,
        "{most} bytes, {before} before the index was parsed"
    );
}
