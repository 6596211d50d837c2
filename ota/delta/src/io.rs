//! What callers bring: slots to read and write, and a way to fetch ranges of parts.
//!
//! Owns the traits and two readers without I/O of their own. Never opens anything.

use std::io;
use std::ops::Range;

/// Every read and write that [`apply`](crate::apply) and [`Plan::make`](crate::Plan::make) do on slots starts at a
/// multiple of this and is a multiple of it long: the block size of the images, which also suits `O_DIRECT`. Buffers in
/// memory are not aligned; who needs that copies.
pub const ALIGN: u64 = 4096;

/// A slot, a part or a file that can be read anywhere, from several threads at once.
pub trait ReadAt: Send + Sync {
    /// Fills `buf` from `offset`, or fails. Reading past [`size`](Self::size) fails.
    fn read_exact_at(&self, buf: &mut [u8], offset: u64) -> io::Result<()>;

    /// Bytes that can be read. For the running slot: the bytes that are worth reading, usually the size of its image
    /// and not of its partition.
    fn size(&self) -> u64;
}

/// A slot that can be written anywhere.
pub trait WriteAt: Send + Sync {
    /// Writes all of `buf` at `offset`, or fails. A failed or interrupted write may have written any of it.
    fn write_all_at(&self, buf: &[u8], offset: u64) -> io::Result<()>;

    /// Returns when everything written before is on stable storage.
    fn sync(&self) -> io::Result<()>;
}

/// The idle slot: what was written must be readable at once.
pub trait Target: ReadAt + WriteAt {}

impl<T: ReadAt + WriteAt + ?Sized> Target for T {}

/// The receiver of fetched bytes wants no more; hand it on with `?`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stopped;

/// A range could not be fetched.
#[derive(Debug, thiserror::Error)]
pub enum FetchError {
    /// The sink returned [`Stopped`]. The reason is known above.
    #[error("the receiver stopped the transfer")]
    Stopped,
    /// The transfer failed for good, after whatever retries the implementation does itself.
    #[error("the transfer failed")]
    Failed(#[source] Box<dyn std::error::Error + Send + Sync>),
}

impl From<Stopped> for FetchError {
    fn from(_: Stopped) -> Self {
        FetchError::Stopped
    }
}

/// Where payload parts come from.
pub trait Fetch {
    /// Hands the bytes `range` of part number `part` to `sink`, in order, each exactly once, in pieces of any size;
    /// blocks until the last one was taken. An implementation may retry inside by going on after the last byte that it
    /// handed over. Ranges are never empty and never exceed the part's signed size. What arrives is not trusted.
    fn fetch(
        &mut self,
        part: usize,
        range: Range<u64>,
        sink: &mut dyn FnMut(&[u8]) -> Result<(), Stopped>,
    ) -> Result<(), FetchError>;
}

/// Parts that are at hand: members of a single-file release, or files of a directory.
pub struct LocalParts<'a> {
    parts: Vec<Box<dyn ReadAt + 'a>>,
}

impl<'a> LocalParts<'a> {
    /// The parts in order.
    pub fn new(parts: Vec<Box<dyn ReadAt + 'a>>) -> Self {
        LocalParts { parts }
    }
}

impl Fetch for LocalParts<'_> {
    fn fetch(
        &mut self,
        part: usize,
        range: Range<u64>,
        sink: &mut dyn FnMut(&[u8]) -> Result<(), Stopped>,
    ) -> Result<(), FetchError> {
        let failed = |e: io::Error| FetchError::Failed(Box::new(e));
        let source = self.parts.get(part).ok_or_else(|| {
            failed(io::Error::new(
                io::ErrorKind::NotFound,
                format!("part {part} is not among the {} at hand", self.parts.len()),
            ))
        })?;
        let mut buffer = vec![0; PIECE];
        let mut at = range.start;
        while at < range.end {
            let piece = (range.end - at).min(PIECE as u64);
            let buffer = &mut buffer[..piece as usize];
            source.read_exact_at(buffer, at).map_err(failed)?;
            sink(buffer)?;
            at += piece;
        }
        Ok(())
    }
}

/// Bytes read at a time from a local part: large enough for sequential speed, small beside everything else.
const PIECE: usize = 256 * 1024;

/// A range of another reader, seen as a reader of its own.
#[derive(Clone, Copy)]
pub struct Section<'a> {
    inner: &'a dyn ReadAt,
    start: u64,
    size: u64,
}

impl<'a> Section<'a> {
    /// `size` bytes of `inner` from `start`; none when `inner` is shorter.
    pub fn new(inner: &'a dyn ReadAt, start: u64, size: u64) -> Option<Section<'a>> {
        (start.checked_add(size)? <= inner.size()).then_some(Section { inner, start, size })
    }
}

impl ReadAt for Section<'_> {
    fn read_exact_at(&self, buf: &mut [u8], offset: u64) -> io::Result<()> {
        check_bounds(buf.len(), offset, self.size)?;
        self.inner.read_exact_at(buf, self.start + offset)
    }

    fn size(&self) -> u64 {
        self.size
    }
}

impl ReadAt for [u8] {
    fn read_exact_at(&self, buf: &mut [u8], offset: u64) -> io::Result<()> {
        check_bounds(buf.len(), offset, self.len() as u64)?;
        let start = offset as usize;
        buf.copy_from_slice(&self[start..start + buf.len()]);
        Ok(())
    }

    fn size(&self) -> u64 {
        self.len() as u64
    }
}

impl ReadAt for Vec<u8> {
    fn read_exact_at(&self, buf: &mut [u8], offset: u64) -> io::Result<()> {
        self.as_slice().read_exact_at(buf, offset)
    }

    fn size(&self) -> u64 {
        self.len() as u64
    }
}

impl<T: ReadAt + ?Sized> ReadAt for &T {
    fn read_exact_at(&self, buf: &mut [u8], offset: u64) -> io::Result<()> {
        (**self).read_exact_at(buf, offset)
    }

    fn size(&self) -> u64 {
        (**self).size()
    }
}

fn check_bounds(len: usize, offset: u64, size: u64) -> io::Result<()> {
    match offset.checked_add(len as u64) {
        Some(end) if end <= size => Ok(()),
        _ => Err(io::Error::new(
            io::ErrorKind::UnexpectedEof,
            format!("reading {len} bytes at {offset} of {size}"),
        )),
    }
}
