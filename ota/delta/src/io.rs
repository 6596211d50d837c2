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

/// Bytes of any number followed by zeros, so that they are whole blocks: how a file that is no block file system is
/// packed and put together. Zeros can be written to the end as well; they go nowhere.
#[derive(Debug, Clone, Copy)]
pub struct Padded<T> {
    inner: T,
    /// Bytes of `inner`.
    len: u64,
    size: u64,
}

impl<T: ReadAt> Padded<T> {
    /// `inner` and zeros up to the next multiple of [`ALIGN`].
    pub fn new(inner: T) -> Padded<T> {
        let len = inner.size();
        Padded {
            inner,
            len,
            size: len.next_multiple_of(ALIGN),
        }
    }

    /// `inner` and zeros up to `size`, if that is more.
    pub fn up_to(inner: T, size: u64) -> Padded<T> {
        let mut padded = Padded::new(inner);
        padded.size = padded.size.max(size);
        padded
    }

    /// Where what is inside ends in `length` bytes at `offset`.
    fn split(&self, length: usize, offset: u64) -> usize {
        let inside = self.len.saturating_sub(offset);
        usize::try_from(inside).map_or(length, |inside| inside.min(length))
    }
}

impl<T: ReadAt> ReadAt for Padded<T> {
    fn read_exact_at(&self, buf: &mut [u8], offset: u64) -> io::Result<()> {
        check_bounds(buf.len(), offset, self.size)?;
        let at = self.split(buf.len(), offset);
        let (inside, zeros) = buf.split_at_mut(at);
        zeros.fill(0);
        match inside.is_empty() {
            true => Ok(()),
            false => self.inner.read_exact_at(inside, offset),
        }
    }

    fn size(&self) -> u64 {
        self.size
    }
}

impl<T: ReadAt + WriteAt> WriteAt for Padded<T> {
    fn write_all_at(&self, buf: &[u8], offset: u64) -> io::Result<()> {
        check_bounds(buf.len(), offset, self.size)?;
        let (inside, zeros) = buf.split_at(self.split(buf.len(), offset));
        if zeros.iter().any(|byte| *byte != 0) {
            return Err(io::Error::new(
                io::ErrorKind::InvalidInput,
                format!("bytes that are not zero behind the end at {}", self.len),
            ));
        }
        match inside.is_empty() {
            true => Ok(()),
            false => self.inner.write_all_at(inside, offset),
        }
    }

    fn sync(&self) -> io::Result<()> {
        self.inner.sync()
    }
}

/// Readers one after the other, seen as one; each should be whole blocks.
pub struct Joined<'a> {
    readers: Vec<&'a dyn ReadAt>,
}

impl<'a> Joined<'a> {
    /// In this order.
    pub fn new(readers: Vec<&'a dyn ReadAt>) -> Joined<'a> {
        Joined { readers }
    }
}

impl ReadAt for Joined<'_> {
    fn read_exact_at(&self, buf: &mut [u8], offset: u64) -> io::Result<()> {
        check_bounds(buf.len(), offset, self.size())?;
        let (mut rest, mut at) = (buf, offset);
        for reader in &self.readers {
            let size = reader.size();
            if rest.is_empty() {
                break;
            }
            if at >= size {
                at -= size;
                continue;
            }
            let inside = usize::try_from(size - at).map_or(rest.len(), |n| n.min(rest.len()));
            let (head, tail) = rest.split_at_mut(inside);
            reader.read_exact_at(head, at)?;
            (rest, at) = (tail, 0);
        }
        Ok(())
    }

    fn size(&self) -> u64 {
        self.readers.iter().map(|reader| reader.size()).sum()
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

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Mutex;

    struct Memory(Mutex<Vec<u8>>);

    impl ReadAt for Memory {
        fn read_exact_at(&self, buf: &mut [u8], offset: u64) -> io::Result<()> {
            self.0.lock().unwrap().read_exact_at(buf, offset)
        }
        fn size(&self) -> u64 {
            self.0.lock().unwrap().len() as u64
        }
    }

    impl WriteAt for Memory {
        fn write_all_at(&self, buf: &[u8], offset: u64) -> io::Result<()> {
            let at = offset as usize;
            self.0.lock().unwrap()[at..at + buf.len()].copy_from_slice(buf);
            Ok(())
        }
        fn sync(&self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn zeros_up_to_whole_blocks_are_read_and_never_written() {
        let padded = Padded::new(Memory(Mutex::new(vec![7; 5000])));
        assert_eq!(padded.size(), 8192);
        let mut block = [1; 4096];
        padded.read_exact_at(&mut block, 4096).unwrap();
        assert!(block[..904].iter().all(|byte| *byte == 7));
        assert!(block[904..].iter().all(|byte| *byte == 0));
        block[0] = 8;
        padded.write_all_at(&block, 4096).unwrap();
        assert_eq!(padded.inner.size(), 5000);
        assert_eq!(padded.inner.0.lock().unwrap()[4096], 8);
        block[904] = 1;
        let error = padded.write_all_at(&block, 4096).unwrap_err().to_string();
        assert_eq!(error, "bytes that are not zero behind the end at 5000");
        assert!(padded.read_exact_at(&mut block, 8192).is_err());
        let nothing = Padded::up_to(Vec::new(), 8192);
        nothing.read_exact_at(&mut block, 4096).unwrap();
        assert_eq!((nothing.size(), block), (8192, [0; 4096]));
    }

    #[test]
    fn readers_in_a_row_are_one() {
        let (one, two, three) = (vec![1; 3], Vec::new(), vec![3; 4]);
        let joined = Joined::new(vec![&one, &two, &three]);
        assert_eq!(joined.size(), 7);
        for from in 0..7 {
            for to in from..=7 {
                let mut got = vec![0; to - from];
                joined.read_exact_at(&mut got, from as u64).unwrap();
                assert_eq!(got, [1, 1, 1, 3, 3, 3, 3][from..to]);
            }
        }
        assert!(joined.read_exact_at(&mut [0; 2], 6).is_err());
    }
}
