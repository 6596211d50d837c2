//! An index that wants memory.

use roamcore_delta::{Index, IndexError, Limits};
use zstd::zstd_safe::{CCtx, CParameter, InBuffer, OutBuffer};

use crate::{Content, field, victim};

fn published(raw_size: u32, content: &[u8]) -> Vec<u8> {
    let mut out = b"roamidx\0\x01\0\0\0".to_vec();
    out.extend_from_slice(&raw_size.to_le_bytes());
    out.extend_from_slice(content);
    out
}

#[test]
fn larger_than_accepted() {
    let bytes = victim().packed.index;
    let limits = Limits {
        wire_bytes: 100,
        ..Limits::default()
    };
    let error = Index::parse(&bytes, &limits).unwrap_err();
    assert!(
        matches!(error, IndexError::WireTooLarge { limit: 100, .. }),
        "{error}"
    );
    let limits = Limits {
        image_bytes: 4096,
        ..Limits::default()
    };
    let error = Index::parse(&bytes, &limits).unwrap_err();
    assert!(
        matches!(error, IndexError::ImageSize { limit: 4096, .. }),
        "{error}"
    );
    let huge = published(u32::MAX, &bytes[16..]);
    let error = Index::parse(&huge, &Limits::default()).unwrap_err();
    assert!(matches!(error, IndexError::RawTooLarge { .. }), "{error}");
}

/// 64 MiB of zeros in a few KiB, behind a modest announcement.
#[test]
fn a_zip_bomb() {
    let mut content = Content::of(&victim().packed.index);
    let said = content.raw.len() as u32;
    content.raw.resize(64 << 20, 0);
    let bomb = streamed(&content.raw, 20);
    assert!(bomb.len() < 100_000);
    let error = Index::parse(&published(said, &bomb), &Limits::default()).unwrap_err();
    assert_eq!(
        error,
        IndexError::Trailing {
            expected: u64::from(said)
        }
    );
}

/// Counts that would need far more than is there are refused before anything is allocated for them.
#[test]
fn counts_beyond_the_content() {
    for at in [field::PARTS, field::GROUPS, field::CHUNKS, field::LAYOUT] {
        let mut content = Content::of(&victim().packed.index);
        content.set_u32(at, u32::MAX);
        let error = content.parse().unwrap_err();
        assert!(
            matches!(
                error,
                IndexError::Counts { .. } | IndexError::PartCount { .. }
            ),
            "{error}"
        );
    }
}

#[test]
fn a_window_too_large() {
    let content = Content::of(&victim().packed.index);
    let said = content.raw.len() as u32;
    let error = |window| {
        let bytes = published(said, &streamed(&content.raw, window));
        Index::parse(&bytes, &Limits::default()).err()
    };
    assert_eq!(error(20), None);
    assert_eq!(
        error(21),
        Some(IndexError::Damaged {
            at: 0,
            expected: u64::from(said)
        })
    );
}

/// Compressed as a stream of unknown size, so that the window is not cut down to the content.
fn streamed(content: &[u8], window: u32) -> Vec<u8> {
    let mut zstd = CCtx::create();
    for parameter in [
        CParameter::WindowLog(window),
        CParameter::ContentSizeFlag(false),
    ] {
        zstd.set_parameter(parameter).unwrap();
    }
    let mut out = Vec::with_capacity(1 << 20);
    let mut output = OutBuffer::around(&mut out);
    let mut input = InBuffer::around(content);
    while input.pos() < content.len() {
        zstd.compress_stream(&mut output, &mut input).unwrap();
    }
    while zstd.end_stream(&mut output).unwrap() != 0 {}
    out
}
