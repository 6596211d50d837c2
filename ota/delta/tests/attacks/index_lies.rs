//! An index that lies.

use roamcore_delta::{ApplyError, ErrorClass, Expected, Index, IndexError, Limits};

use crate::common::*;
use crate::{Content, field, install, victim};

fn bent(bend: impl FnOnce(&mut Content)) -> (Release, Content) {
    let release = victim();
    let mut content = Content::of(&release.packed.index);
    assert_eq!(
        content.ids() + 12 * release.index.chunk_count(),
        content.raw.len()
    );
    bend(&mut content);
    (release, content)
}

#[test]
fn about_the_length_of_a_chunk() {
    let (_, content) = bent(|c| {
        let at = c.blocks();
        c.raw[at] = if c.raw[at] == 1 { 2 } else { 1 };
    });
    let error = content.parse().unwrap_err();
    assert!(
        matches!(
            error,
            IndexError::Layout { .. } | IndexError::LayoutSum { .. }
        ),
        "{error}"
    );
    for blocks in [0, 5, 255] {
        let (_, content) = bent(|c| {
            let at = c.blocks();
            c.raw[at] = blocks;
        });
        let expected = format!("chunk 0 has {blocks} blocks: 1 to 4 are possible");
        assert_eq!(content.parse().unwrap_err().to_string(), expected);
    }
}

/// Lengths of two chunks exchanged: every sum is right, the frames are not.
#[test]
fn about_the_lengths_of_two_chunks() {
    let (release, content) = bent(|c| {
        let (from, to) = (c.blocks(), c.frames_low());
        let first = c.raw[from];
        let other = (from..to).find(|at| c.raw[*at] != first).unwrap();
        c.raw.swap(from, other);
    });
    // Refused at once when a frame is too long for its chunk, else when the frame comes.
    match content.parse() {
        Err(error) => assert!(matches!(error, IndexError::FrameLength { .. }), "{error}"),
        Ok(index) => {
            let mut server = Server::new(&release.parts);
            let error = install(&index, &release.image, None, &mut server).unwrap_err();
            assert_eq!(error.class(), ErrorClass::Integrity, "{error}");
        }
    }
}

#[test]
fn about_the_hash_of_a_chunk() {
    let (release, content) = bent(|c| {
        let at = c.ids() + 5 * 12;
        c.raw[at] ^= 1;
    });
    let index = content.parse().unwrap();
    let mut server = Server::new(&release.parts);
    let error = install(&index, &release.image, None, &mut server).unwrap_err();
    assert!(
        matches!(error, ApplyError::Content { chunk: 5, .. }),
        "{error}"
    );
    assert_eq!(error.class(), ErrorClass::Integrity);
}

#[test]
fn about_the_image() {
    let release = victim();
    let sizes: Vec<u64> = release.packed.parts.iter().map(|p| p.size).collect();
    let expected = Expected {
        image_size: release.packed.image_size,
        image_sha256: Some(release.packed.image_sha256),
        part_sizes: &sizes,
    };
    release.index.expect(&expected).unwrap();

    let (_, content) = bent(|c| c.raw[field::IMAGE_SHA256] ^= 1);
    let error = content.parse().unwrap().expect(&expected).unwrap_err();
    assert!(matches!(error, IndexError::OtherImage { .. }), "{error}");
    let unknown = Expected {
        image_sha256: None,
        ..expected
    };
    content.parse().unwrap().expect(&unknown).unwrap();

    let (_, content) = bent(|c| c.raw[field::IMAGE_SIZE + 1] ^= 0x10);
    let error = content.parse().unwrap_err();
    assert!(
        matches!(
            error,
            IndexError::Layout { .. } | IndexError::LayoutSum { .. }
        ),
        "{error}"
    );
    let larger = Expected {
        image_size: expected.image_size + 4096,
        ..expected
    };
    let error = release.index.expect(&larger).unwrap_err();
    assert!(matches!(error, IndexError::OtherSize { .. }), "{error}");
    for (at, size) in [(0, 1u8), (7, 1)] {
        let (_, content) = bent(|c| c.raw[field::IMAGE_SIZE + at] = size);
        let error = content.parse().unwrap_err();
        assert!(matches!(error, IndexError::ImageSize { .. }), "{error}");
    }
}

#[test]
fn about_the_parts() {
    let (release, content) = bent(|c| {
        let at = c.parts();
        c.raw[at] ^= 1;
    });
    let error = content.parse().unwrap_err();
    assert!(
        matches!(
            error,
            IndexError::FrameOutsidePart { .. } | IndexError::PartNotFilled { .. }
        ),
        "{error}"
    );
    let mut sizes: Vec<u64> = release.packed.parts.iter().map(|p| p.size).collect();
    sizes[0] -= 1;
    let mut expected = Expected {
        image_size: release.packed.image_size,
        image_sha256: Some(release.packed.image_sha256),
        part_sizes: &sizes,
    };
    let error = release.index.expect(&expected).unwrap_err();
    assert!(
        matches!(error, IndexError::OtherPartSize { part: 0, .. }),
        "{error}"
    );
    expected.part_sizes = &[];
    let error = release.index.expect(&expected).unwrap_err();
    assert!(
        matches!(error, IndexError::OtherPartCount { .. }),
        "{error}"
    );
}

#[test]
fn about_a_part_that_no_frame_fills() {
    let (_, content) = bent(|c| {
        let (count, at) = (c.u32(field::PARTS), c.groups());
        c.set_u32(field::PARTS, count + 1);
        c.raw.splice(at..at, 100u64.to_le_bytes());
    });
    let error = content.parse().unwrap_err();
    assert!(
        matches!(error, IndexError::PartNotFilled { unused: 100, .. }),
        "{error}"
    );
    let (_, content) = bent(|c| {
        let at = c.parts();
        c.raw[at..at + 8].fill(0);
    });
    assert_eq!(
        content.parse().unwrap_err(),
        IndexError::EmptyPart { part: 0 }
    );
}

#[test]
fn about_frames() {
    for low in [0, 255] {
        let (_, content) = bent(|c| {
            let (at, high) = (c.frames_low(), c.frames_high());
            (c.raw[at], c.raw[high]) = (low, low);
        });
        let error = content.parse().unwrap_err();
        assert!(
            matches!(
                error,
                IndexError::FrameLength {
                    what: "chunk",
                    number: 0,
                    ..
                }
            ),
            "{error}"
        );
    }
    let (_, content) = bent(|c| {
        let at = c.groups() + 4;
        c.set_u32(at, 0);
    });
    let error = content.parse().unwrap_err();
    assert!(
        matches!(
            error,
            IndexError::FrameLength {
                what: "group",
                number: 0,
                ..
            }
        ),
        "{error}"
    );
}

#[test]
fn about_groups() {
    for (chunks, name) in [(0, "length"), (u32::MAX, "sum")] {
        let (_, content) = bent(|c| {
            let at = c.groups();
            c.set_u32(at, chunks);
        });
        let error = content.parse().unwrap_err();
        let right = match name {
            "length" => matches!(error, IndexError::GroupLength { group: 0, .. }),
            _ => matches!(error, IndexError::GroupSum { .. }),
        };
        assert!(right, "{error}");
    }
    for at in [field::GROUP_BYTES, field::CONTEXT_BYTES] {
        for value in [4097, 16 << 20] {
            let (_, content) = bent(|c| c.set_u32(at, value));
            let error = content.parse().unwrap_err();
            assert!(matches!(error, IndexError::Window { .. }), "{error}");
        }
    }
}

#[test]
fn about_the_layout() {
    let cases: [(u32, &str); 5] = [
        (0, "a run of nothing"),
        (1, "a run of nothing"),
        (u32::MAX & !3, "it names more chunks than there are"),
        (2, "it repeats a chunk that has not come yet"),
        (7, "its kind is unknown"),
    ];
    for (word, why) in cases {
        let (_, content) = bent(|c| {
            let at = c.layout();
            c.set_u32(at, word);
        });
        let error = content.parse().unwrap_err();
        assert_eq!(error, IndexError::Layout { entry: 0, why }, "{word}");
    }
    let (_, content) = bent(|c| {
        let at = c.layout();
        c.set_u32(at, u32::MAX & !3 | 1);
    });
    let why = "it reaches beyond the image";
    assert_eq!(
        content.parse().unwrap_err(),
        IndexError::Layout { entry: 0, why }
    );
}

/// Any single byte of the content changed: refused, or harmless.
#[test]
fn about_anything() {
    let release = victim();
    let content = Content::of(&release.packed.index);
    let mut random = Random(5);
    let mut accepted = 0;
    for round in 0..600 {
        let mut bent = Content {
            raw: content.raw.clone(),
        };
        let at = if round < 300 {
            round
        } else {
            random.below(bent.raw.len())
        };
        let old = bent.raw[at];
        bent.raw[at] = [0, 1, 0x7f, 0x80, 0xff, random.next() as u8][round % 6];
        let Ok(index) = bent.parse() else { continue };
        if index.image_size() != release.image.len() as u64 {
            continue;
        }
        accepted += 1;
        let mut server = Server::new(&release.parts);
        if accepted < 40 {
            let outcome = install(&index, &release.image, None, &mut server);
            let harmless = at < field::HEADER || bent.raw[at] == old;
            assert!(outcome.is_err() || harmless, "byte {at}");
        }
    }
    assert!(accepted > 10);
}

#[test]
fn cut_short_or_not_an_index() {
    let release = victim();
    let bytes = &release.packed.index;
    for cut in 0..bytes.len() {
        let error = Index::parse(&bytes[..cut], &Limits::default()).unwrap_err();
        assert!(
            matches!(error, IndexError::Magic | IndexError::Damaged { .. }),
            "{cut}: {error}"
        );
    }
    let mut newer = bytes.clone();
    newer[8] = 2;
    let error = Index::parse(&newer, &Limits::default()).unwrap_err();
    assert_eq!(error, IndexError::Format { found: 2 });
    let mut longer = bytes.clone();
    longer.push(0);
    let error = Index::parse(&longer, &Limits::default()).unwrap_err();
    assert!(matches!(error, IndexError::Trailing { .. }), "{error}");
}
