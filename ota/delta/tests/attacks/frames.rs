//! Parts that are not what the index promises.

use roamcore_delta::{ApplyError, ErrorClass, FrameError};

use crate::common::*;
use crate::{Content, install, victim};

/// Where the small frame of each chunk lies in the first part.
fn small_frames(release: &Release) -> Vec<std::ops::Range<usize>> {
    let content = Content::of(&release.packed.index);
    let (low, high) = (content.frames_low(), content.frames_high());
    let mut at = 0;
    (0..release.index.chunk_count())
        .map(|c| {
            let start = at;
            at += usize::from(u16::from_le_bytes([
                content.raw[low + c],
                content.raw[high + c],
            ]));
            start..at
        })
        .collect()
}

/// A running slot with everything but three noisy blocks, so that their small frames are fetched.
fn nearly(release: &Release) -> Slot {
    let mut bytes = release.image.clone();
    for block in [90, 110, 130] {
        bytes[block * 4096] ^= 1;
    }
    Slot::new(bytes)
}

/// The small frames a device fetches that has the slot of [`nearly`]: found by watching a good server.
fn fetched(release: &Release) -> Vec<std::ops::Range<usize>> {
    let frames = small_frames(release);
    let running = nearly(release);
    let changed = |frame: &std::ops::Range<usize>| {
        let mut server = Server::new(&release.parts);
        server.parts[0][frame.start + 4] ^= 0x04;
        install(&release.index, &release.image, Some(&running), &mut server).is_err()
    };
    let needed: Vec<_> = frames.into_iter().filter(changed).collect();
    assert!((3..=4).contains(&needed.len()), "{needed:?}");
    needed
}

fn refused(release: &Release, tamper: impl FnOnce(&mut Server)) -> ApplyError {
    let mut server = Server::new(&release.parts);
    install(
        &release.index,
        &release.image,
        Some(&nearly(release)),
        &mut server,
    )
    .unwrap();
    tamper(&mut server);
    install(
        &release.index,
        &release.image,
        Some(&nearly(release)),
        &mut server,
    )
    .unwrap_err()
}

/// Puts bytes over a frame, the rest of it zero.
fn replace(server: &mut Server, frame: &std::ops::Range<usize>, bytes: &[u8]) {
    let place = &mut server.parts[0][frame.clone()];
    place.fill(0);
    place[..bytes.len()].copy_from_slice(bytes);
}

fn source(error: ApplyError) -> FrameError {
    assert_eq!(error.class(), ErrorClass::Integrity, "{error}");
    match error {
        ApplyError::Frame { source, .. } => source,
        other => panic!("{other}"),
    }
}

#[test]
fn zip_bomb() {
    let release = victim();
    let frame = &fetched(&release)[0];
    let bomb = zstd::bulk::compress(&vec![0; 32 << 20], 19).unwrap();
    assert!(bomb.len() < frame.len());
    // Single segment or not, by zstd's choice: refused for its header or its size, before decoding.
    let error = source(refused(&release, |s| replace(s, frame, &bomb)));
    assert!(
        matches!(
            error,
            FrameError::ContentSize { .. } | FrameError::Header { .. }
        ),
        "{error}"
    );
}

/// The header says what the index says, the blocks hold more.
#[test]
fn zip_bomb_behind_an_honest_header() {
    let release = victim();
    let frame = &fetched(&release)[0];
    let honest = &release.parts.0[0][frame.start..frame.start + 7];
    assert_eq!(
        honest[4] & 0xe0,
        0x60,
        "a two byte content size, single segment"
    );
    let mut bomb = honest.to_vec();
    for last in [0, 0, 0, 1] {
        // An RLE block of 128 KiB (RFC 8878 section 3.1.1.2).
        let header: u32 = last | 1 << 1 | (128 << 10) << 3;
        bomb.extend_from_slice(&header.to_le_bytes()[..3]);
        bomb.push(b'x');
    }
    let error = source(refused(&release, |s| replace(s, frame, &bomb)));
    assert!(
        matches!(error, FrameError::Damaged(_) | FrameError::Length { .. }),
        "{error}"
    );
}

#[test]
fn window_too_large() {
    let release = victim();
    let frame = &fetched(&release)[0];
    let mut bytes = release.parts.0[0][frame.clone()].to_vec();
    // Not single segment: a window descriptor of 2 GiB in place of the content size.
    (bytes[4], bytes[5]) = (0x00, 0xa8);
    let error = source(refused(&release, |s| replace(s, frame, &bytes)));
    assert_eq!(error, FrameError::Header { found: 0 });
}

#[test]
fn truncated_frame() {
    let release = victim();
    for frame in fetched(&release) {
        let half = release.parts.0[0][frame.start..frame.start + frame.len() / 2].to_vec();
        // A frame of stored blocks decodes, to something else.
        let error = refused(&release, |s| replace(s, &frame, &half));
        assert_eq!(error.class(), ErrorClass::Integrity, "{error}");
    }
}

#[test]
fn swapped_frames() {
    let release = victim();
    let frames = fetched(&release);
    let pairs = (0..frames.len()).flat_map(|a| (0..a).map(move |b| (a, b)));
    let mut tried = 0;
    for (a, b) in pairs {
        let (a, b) = (&frames[a], &frames[b]);
        let bytes = |f: &std::ops::Range<usize>| release.parts.0[0][f.clone()].to_vec();
        let swap = |server: &mut Server| {
            let (first, second) = (bytes(a), bytes(b));
            if a.len() == b.len() {
                replace(server, a, &second);
                replace(server, b, &first);
            } else {
                let (short, long) = if a.len() < b.len() { (a, b) } else { (b, a) };
                replace(server, long, &bytes(short));
            }
        };
        let error = refused(&release, swap);
        assert_eq!(error.class(), ErrorClass::Integrity, "{error}");
        if a.len() == b.len() {
            assert!(matches!(error, ApplyError::Content { .. }), "{error}");
        }
        tried += 1;
    }
    assert!(tried >= 3);
}

/// Large frames of two groups exchanged: each decodes or fails, none is believed.
#[test]
fn swapped_groups() {
    let release = victim();
    let mut server = Server::new(&release.parts);
    let small = small_frames(&release).last().unwrap().end;
    let part = &mut server.parts[0];
    let middle = (part.len() + small) / 2;
    let tail = part.split_off(middle);
    part.splice(small..small, tail);
    let error = install(&release.index, &release.image, None, &mut server).unwrap_err();
    assert_eq!(error.class(), ErrorClass::Integrity, "{error}");
}

#[test]
fn part_shorter() {
    let release = victim();
    let mut server = Server::new(&release.parts);
    let short = server.parts[0].len() - 100;
    server.parts[0].truncate(short);
    let error = install(&release.index, &release.image, None, &mut server).unwrap_err();
    assert!(
        matches!(error, ApplyError::Short { part: 0, .. }),
        "{error}"
    );
    assert_eq!(error.class(), ErrorClass::Network);
}

#[test]
fn endless_data() {
    struct Endless(Server);
    impl roamcore_delta::Fetch for Endless {
        fn fetch(
            &mut self,
            part: usize,
            range: std::ops::Range<u64>,
            sink: &mut dyn FnMut(&[u8]) -> Result<(), roamcore_delta::Stopped>,
        ) -> Result<(), roamcore_delta::FetchError> {
            self.0.fetch(part, range, sink)?;
            loop {
                sink(&[0; 1000])?;
            }
        }
    }
    let release = victim();
    let slot = Slot::new(vec![1; release.image.len()]);
    let options = roamcore_delta::PlanOptions::default();
    let quiet = &mut roamcore_delta::Quiet;
    let plan = roamcore_delta::Plan::make(&release.index, None, &slot, &options, quiet).unwrap();
    let mut endless = Endless(Server::new(&release.parts));
    let quiet = &mut roamcore_delta::Quiet;
    let error = roamcore_delta::apply(&release.index, &plan, None, &slot, &mut endless, quiet);
    let error = error.unwrap_err();
    assert!(matches!(error, ApplyError::Long { part: 0, .. }), "{error}");
}
