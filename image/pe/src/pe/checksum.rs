//! The optional header's CheckSum field.
//!
//! Firmware does not look at it and Authenticode does not cover it; it is kept correct so that tools that do look
//! agree with us, and so that attach and strip are exact inverses.

use super::{OPT_CHECKSUM, Pe, PeError, put_u32};

/// ImageHlp's checksum: 16-bit one's complement style sum with the field itself taken as zero, plus the file length.
pub fn checksum(pe: &Pe<'_>) -> u32 {
    let skip = pe.optional() + OPT_CHECKSUM;
    let (before, rest) = pe.bytes().split_at(skip.min(pe.bytes().len()));
    // The field sits at an even offset only if e_lfanew is even; odd layouts shift every word, so sum a copy-free
    // pair of halves only in the aligned case and byte by byte otherwise.
    let sum = if skip.is_multiple_of(2) {
        words(before) + words(rest.get(4..).unwrap_or_default())
    } else {
        let field = skip..skip + 4;
        let byte = |(i, b): (usize, &u8)| {
            if field.contains(&i) {
                0
            } else {
                u64::from(*b) << (8 * (i % 2))
            }
        };
        pe.bytes().iter().enumerate().map(byte).sum()
    };
    let mut folded = sum;
    while folded > 0xffff {
        folded = (folded & 0xffff) + (folded >> 16);
    }
    // A file over 4 GiB cannot be a PE image we made (section offsets are u32); the truncation is the format's own.
    (folded as u32).wrapping_add(pe.bytes().len() as u32)
}

fn words(bytes: &[u8]) -> u64 {
    let mut chunks = bytes.chunks_exact(2);
    let sum: u64 = chunks
        .by_ref()
        .map(|w| w.iter().rev().fold(0u64, |acc, b| acc << 8 | u64::from(*b)))
        .sum();
    sum + chunks.remainder().first().map_or(0, |b| u64::from(*b))
}

/// Writes the correct checksum into a finished image.
pub(crate) fn fix_checksum(image: &mut [u8]) -> Result<(), PeError> {
    let pe = Pe::parse(image)?;
    let (field, value) = (pe.checksum_field(), checksum(&pe));
    put_u32(image, field, value, "CheckSum")
}
