//! One zstd frame that leans on a context.
//!
//! Owns compression, decompression and the check of a frame's header. A frame is one zstd frame (RFC 8878) of a known
//! content size; its matches may reach into the context, the raw bytes that come before the frame's group.
//!
//! Invariant: decoding never writes beyond the output given, and never succeeds with less than all of it.

use zstd::zstd_safe::{
    CCtx, CParameter, DCtx, Strategy, find_frame_compressed_size, get_error_name,
    get_frame_content_size,
};

/// A context that begins like this would be taken for a dictionary with tables (RFC 8878 section 5), not for raw bytes.
pub const DICTIONARY_MAGIC: [u8; 4] = [0x37, 0xa4, 0x30, 0xec];
const FRAME_MAGIC: [u8; 4] = [0x28, 0xb5, 0x2f, 0xfd];
/// zstd's window during compression, 16 MiB: the largest context and group together. Decoding needs no window, since a
/// frame's output and context are in memory anyway.
const WINDOW_LOG: u32 = 24;
/// From this level on zstd would copy the context's tables (80 MiB) for each small frame; `btopt` shares them.
const COPYING_LEVEL: i32 = 18;

/// A frame was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum FrameError {
    /// Not a zstd frame.
    #[error("these bytes are not a zstd frame")]
    Magic,
    /// A header this format does not use: a window of its own, a dictionary id, a checksum.
    #[error("the frame header {found:#04x} is not of this format")]
    Header {
        /// The descriptor byte.
        found: u8,
    },
    /// The header promises another size than the index.
    #[error("the frame says it holds {found} bytes, the index says {expected}")]
    ContentSize {
        /// By the frame.
        found: u64,
        /// By the index.
        expected: u64,
    },
    /// More or less than one frame.
    #[error("the frame takes {found} of its {expected} bytes")]
    Length {
        /// By the frame.
        found: u64,
        /// By the index.
        expected: u64,
    },
    /// The decoder gave up.
    #[error("the frame is damaged: {0}")]
    Damaged(&'static str),
}

/// Most bytes of a frame of `raw` bytes: stored blocks of at most 128 KiB, three bytes each, and a header.
pub fn max_frame(raw: usize) -> usize {
    raw + raw / 1024 + 32
}

/// Compresses many frames against one context.
pub struct Encoder<'a> {
    zstd: CCtx<'a>,
}

impl<'a> Encoder<'a> {
    /// For many small frames: the context is indexed once.
    pub fn for_small(level: i32, context: &[u8]) -> Result<Encoder<'a>, FrameError> {
        let mut encoder = Encoder::new(level)?;
        if level >= COPYING_LEVEL {
            let strategy = CParameter::Strategy(Strategy::ZSTD_btopt);
            encoder.zstd.set_parameter(strategy).map_err(damaged)?;
        }
        encoder.zstd.load_dictionary(context).map_err(damaged)?;
        Ok(encoder)
    }

    /// For one large frame.
    pub fn for_large(level: i32, context: &'a [u8]) -> Result<Encoder<'a>, FrameError> {
        let mut encoder = Encoder::new(level)?;
        encoder.zstd.ref_prefix(context).map_err(damaged)?;
        Ok(encoder)
    }

    fn new(level: i32) -> Result<Encoder<'a>, FrameError> {
        let mut zstd = CCtx::try_create().ok_or(FrameError::Damaged("out of memory"))?;
        for parameter in [
            CParameter::CompressionLevel(level),
            CParameter::WindowLog(WINDOW_LOG),
            CParameter::ContentSizeFlag(true),
            CParameter::ChecksumFlag(false),
            CParameter::DictIdFlag(false),
        ] {
            zstd.set_parameter(parameter).map_err(damaged)?;
        }
        Ok(Encoder { zstd })
    }

    /// Appends one frame to `out` and returns its length.
    pub fn frame(&mut self, raw: &[u8], out: &mut Vec<u8>) -> Result<usize, FrameError> {
        let mut frame = Vec::with_capacity(zstd::zstd_safe::compress_bound(raw.len()));
        self.zstd.compress2(&mut frame, raw).map_err(damaged)?;
        out.extend_from_slice(&frame);
        Ok(frame.len())
    }
}

/// Decompresses frames.
pub struct Decoder {
    zstd: DCtx<'static>,
}

impl Decoder {
    /// A decoder.
    pub fn new() -> Result<Decoder, FrameError> {
        let zstd = DCtx::try_create().ok_or(FrameError::Damaged("out of memory"))?;
        Ok(Decoder { zstd })
    }

    /// Fills `out` from one frame, or fails.
    pub fn frame(
        &mut self,
        frame: &[u8],
        context: &[u8],
        out: &mut [u8],
    ) -> Result<(), FrameError> {
        check_header(frame, out.len())?;
        let written = self
            .zstd
            .decompress_using_dict(out, frame, context)
            .map_err(damaged)?;
        if written != out.len() {
            return Err(FrameError::ContentSize {
                found: written as u64,
                expected: out.len() as u64,
            });
        }
        Ok(())
    }
}

/// Everything about a frame that can be judged before decoding (RFC 8878 section 3.1.1.1).
fn check_header(frame: &[u8], raw: usize) -> Result<(), FrameError> {
    let descriptor = match frame.strip_prefix(&FRAME_MAGIC) {
        Some([descriptor, ..]) => *descriptor,
        _ => return Err(FrameError::Magic),
    };
    // Bits 7-6: width of the content size, any; 5: single segment, always; the others: never.
    if descriptor & 0x3f != 0x20 {
        return Err(FrameError::Header { found: descriptor });
    }
    let expected = raw as u64;
    match get_frame_content_size(frame) {
        Ok(Some(found)) if found == expected => {}
        Ok(found) => {
            let found = found.unwrap_or(0);
            return Err(FrameError::ContentSize { found, expected });
        }
        Err(_) => return Err(FrameError::Damaged("its header is cut short")),
    }
    let found = find_frame_compressed_size(frame).map_err(damaged)?;
    if found != frame.len() {
        return Err(FrameError::Length {
            found: found as u64,
            expected: frame.len() as u64,
        });
    }
    Ok(())
}

fn damaged(code: usize) -> FrameError {
    FrameError::Damaged(get_error_name(code))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn noise(len: usize, mut seed: u64) -> Vec<u8> {
        let mut next = || {
            seed = seed
                .wrapping_mul(6364136223846793005)
                .wrapping_add(1442695040888963407);
            (seed >> 33) as u8
        };
        (0..len).map(|_| next()).collect()
    }

    fn small(level: i32, context: &[u8], raw: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        let mut encoder = Encoder::for_small(level, context).unwrap();
        encoder.frame(raw, &mut out).unwrap();
        out
    }

    fn large(level: i32, context: &[u8], raw: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        let mut encoder = Encoder::for_large(level, context).unwrap();
        encoder.frame(raw, &mut out).unwrap();
        out
    }

    /// `raw` must lie elsewhere: zstd forgets a prefix that its input lies in.
    fn decodes(frame: &[u8], context: &[u8], raw: &[u8]) {
        let mut out = vec![0; raw.len()];
        let mut decoder = Decoder::new().unwrap();
        decoder.frame(frame, context, &mut out).unwrap();
        assert_eq!(out, raw);
    }

    #[test]
    fn context_is_used_at_every_level() {
        let context = noise(600 << 10, 1);
        for level in [1, 3, 9, 12, 18, 19] {
            for (len, at) in [(4096, 100), (16384, 500 << 10)] {
                let raw = context[at..at + len].to_vec();
                for frame in [small(level, &context, &raw), large(level, &context, &raw)] {
                    // Quick levels index only some of a context.
                    let found = frame.len() < 100;
                    assert!(found || level < 9, "{level} {len} {at}: {}", frame.len());
                    decodes(&frame, &context, &raw);
                }
            }
        }
    }

    #[test]
    fn the_far_end_of_the_largest_context_is_seen_at_the_default_level() {
        let context = noise(8 << 20, 1);
        let raw = context[100..8292].to_vec();
        let frame = small(12, &context, &raw);
        assert!(frame.len() < 100, "{}", frame.len());
        decodes(&frame, &context, &raw);
    }

    #[test]
    fn noise_stays_within_the_bound() {
        for len in [1, 4096, 16384, 131072, 2 << 20] {
            let raw = noise(len, 7);
            assert!(small(12, &[], &raw).len() <= max_frame(len), "{len}");
        }
    }

    #[test]
    fn other_headers_are_refused() {
        let mut decoder = Decoder::new().unwrap();
        let mut out = [0; 8192];
        let with = |parameter| {
            let mut zstd = CCtx::create();
            zstd.set_parameter(parameter).unwrap();
            let mut frame = Vec::with_capacity(20000);
            zstd.compress2(&mut frame, &noise(8192, 3)).unwrap();
            frame
        };
        for parameter in [
            CParameter::ChecksumFlag(true),
            CParameter::ContentSizeFlag(false),
        ] {
            let error = decoder.frame(&with(parameter), &[], &mut out).unwrap_err();
            assert!(matches!(error, FrameError::Header { .. }), "{error}");
        }
        let mut frame = with(CParameter::ChecksumFlag(false));
        decoder.frame(&frame, &[], &mut out).unwrap();
        let error = decoder.frame(&frame, &[], &mut out[1..]).unwrap_err();
        let expected = "the frame says it holds 8192 bytes, the index says 8191";
        assert_eq!(error.to_string(), expected);
        let error = decoder.frame(&frame[..4], &[], &mut out).unwrap_err();
        assert_eq!(error, FrameError::Magic);
        let error = decoder.frame(&frame[..20], &[], &mut out).unwrap_err();
        assert!(matches!(error, FrameError::Damaged(_)), "{error}");
        frame.push(0);
        let error = decoder.frame(&frame, &[], &mut out).unwrap_err();
        assert!(matches!(error, FrameError::Length { .. }), "{error}");
    }
}
