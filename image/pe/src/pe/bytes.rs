//! Little-endian access to untrusted bytes. Owns the bounds check; never panics, never indexes.

use super::PeError;

fn array<const N: usize>(
    bytes: &[u8],
    offset: usize,
    what: &'static str,
) -> Result<[u8; N], PeError> {
    offset
        .checked_add(N)
        .and_then(|end| bytes.get(offset..end))
        .and_then(|s| s.try_into().ok())
        .ok_or(PeError::Truncated {
            what,
            offset,
            need: N,
            file: bytes.len(),
        })
}

pub(crate) fn u16_at(bytes: &[u8], offset: usize, what: &'static str) -> Result<u16, PeError> {
    array(bytes, offset, what).map(u16::from_le_bytes)
}

pub(crate) fn u32_at(bytes: &[u8], offset: usize, what: &'static str) -> Result<u32, PeError> {
    array(bytes, offset, what).map(u32::from_le_bytes)
}

fn put(bytes: &mut [u8], offset: usize, value: &[u8], what: &'static str) -> Result<(), PeError> {
    let file = bytes.len();
    let cut = PeError::Truncated {
        what,
        offset,
        need: value.len(),
        file,
    };
    let slot = offset
        .checked_add(value.len())
        .and_then(|end| bytes.get_mut(offset..end));
    slot.ok_or(cut)?.copy_from_slice(value);
    Ok(())
}

pub(crate) fn put_u16(
    bytes: &mut [u8],
    offset: usize,
    value: u16,
    what: &'static str,
) -> Result<(), PeError> {
    put(bytes, offset, &value.to_le_bytes(), what)
}

pub(crate) fn put_u32(
    bytes: &mut [u8],
    offset: usize,
    value: u32,
    what: &'static str,
) -> Result<(), PeError> {
    put(bytes, offset, &value.to_le_bytes(), what)
}

/// Rounds up to a power of two; in u64 so that two u32 operands can never wrap.
pub(crate) fn round_up(value: u64, alignment: u32) -> u64 {
    value.next_multiple_of(u64::from(alignment.max(1)))
}
