//! A window of a larger file, and positioned reads.
//!
//! Owns the arithmetic that keeps a format writer inside its partition of `disk.img`. Never grows the file behind it.
//! Invariant: no byte outside `[start, start + len)` is ever read or written; a write that would cross the end writes
//! nothing at all.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::FileExt;

/// A window over anything that reads, writes and seeks.
#[derive(Debug)]
pub struct Region<'a, F> {
    inner: &'a mut F,
    start: u64,
    len: u64,
    pos: u64,
}

impl<'a, F: Seek> Region<'a, F> {
    /// The window `[start, start + len)` of `inner`.
    ///
    /// # Errors
    /// `InvalidInput` when the end overflows or is past the end of `inner`.
    pub fn new(inner: &'a mut F, start: u64, len: u64) -> io::Result<Self> {
        let size = inner.seek(SeekFrom::End(0))?;
        match start.checked_add(len) {
            Some(end) if end <= size => Ok(Self {
                inner,
                start,
                len,
                pos: 0,
            }),
            _ => Err(refuse(format!(
                "region of {len} bytes at {start} does not fit a file of {size} bytes"
            ))),
        }
    }

    /// Bytes in the window.
    #[must_use]
    pub const fn size(&self) -> u64 {
        self.len
    }

    fn aim(&mut self) -> io::Result<()> {
        self.inner
            .seek(SeekFrom::Start(self.start + self.pos))
            .map(drop)
    }
}

fn refuse(text: String) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, text)
}

impl<F: Read + Seek> Read for Region<'_, F> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let left = usize::try_from(self.len - self.pos).unwrap_or(usize::MAX);
        let want = buf.len().min(left);
        if want == 0 {
            return Ok(0);
        }
        self.aim()?;
        let got = self.inner.read(&mut buf[..want])?;
        self.pos += got as u64;
        Ok(got)
    }
}

impl<F: Write + Seek> Write for Region<'_, F> {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        if buf.len() as u64 > self.len - self.pos {
            return Err(refuse(format!(
                "write of {} bytes at {} would leave the region of {} bytes",
                buf.len(),
                self.pos,
                self.len
            )));
        }
        self.aim()?;
        let put = self.inner.write(buf)?;
        self.pos += put as u64;
        Ok(put)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}

impl<F: Seek> Seek for Region<'_, F> {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        let target = match to {
            SeekFrom::Start(at) => Some(at),
            SeekFrom::Current(by) => self.pos.checked_add_signed(by),
            SeekFrom::End(by) => self.len.checked_add_signed(by),
        };
        match target {
            Some(at) if at <= self.len => {
                self.pos = at;
                Ok(at)
            }
            _ => Err(refuse(format!(
                "seek to {to:?} leaves the region of {} bytes",
                self.len
            ))),
        }
    }
}

/// Reads at an offset without a cursor, so several threads may share one file.
pub trait ReadAt {
    /// Fills `buf` from `offset`, or fails.
    ///
    /// # Errors
    /// `UnexpectedEof` past the end, or the file's own failure.
    fn read_exact_at(&self, buf: &mut [u8], offset: u64) -> io::Result<()>;
}

impl ReadAt for File {
    fn read_exact_at(&self, buf: &mut [u8], offset: u64) -> io::Result<()> {
        FileExt::read_exact_at(self, buf, offset)
    }
}

impl ReadAt for [u8] {
    fn read_exact_at(&self, buf: &mut [u8], offset: u64) -> io::Result<()> {
        let start = usize::try_from(offset).ok();
        let found = start.and_then(|s| s.checked_add(buf.len()).and_then(|end| self.get(s..end)));
        buf.copy_from_slice(found.ok_or(io::ErrorKind::UnexpectedEof)?);
        Ok(())
    }
}

/// A read-only window for [`ReadAt`], for example one partition of an image.
#[derive(Debug, Clone, Copy)]
pub struct ReadRegion<'a, R: ?Sized> {
    inner: &'a R,
    start: u64,
    len: u64,
}

impl<'a, R: ReadAt + ?Sized> ReadRegion<'a, R> {
    /// The window `[start, start + len)`; a file that ends earlier shows as `UnexpectedEof` on reading.
    #[must_use]
    pub const fn new(inner: &'a R, start: u64, len: u64) -> Self {
        Self { inner, start, len }
    }
}

impl<R: ReadAt + ?Sized> ReadAt for ReadRegion<'_, R> {
    fn read_exact_at(&self, buf: &mut [u8], offset: u64) -> io::Result<()> {
        let end = offset.checked_add(buf.len() as u64);
        match (end, self.start.checked_add(offset)) {
            (Some(end), Some(at)) if end <= self.len => self.inner.read_exact_at(buf, at),
            _ => Err(io::Error::new(
                io::ErrorKind::UnexpectedEof,
                format!(
                    "read of {} bytes at {offset} leaves the region of {} bytes",
                    buf.len(),
                    self.len
                ),
            )),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use super::*;

    #[test]
    fn writes_stay_inside_and_crossing_writes_change_nothing() {
        let mut disk = Cursor::new(vec![0; 10]);
        let mut region = Region::new(&mut disk, 2, 4).unwrap();
        region.write_all(b"ab").unwrap();
        assert_eq!(
            region.write_all(b"cde").unwrap_err().to_string(),
            "write of 3 bytes at 2 would leave the region of 4 bytes"
        );
        region.write_all(b"cd").unwrap();
        assert!(region.write_all(b"e").is_err());
        region.seek(SeekFrom::End(-3)).unwrap();
        let mut rest = String::new();
        region.read_to_string(&mut rest).unwrap();
        assert_eq!(rest, "bcd");
        assert_eq!(disk.into_inner(), b"\0\0abcd\0\0\0\0");
    }

    #[test]
    fn windows_and_seeks_outside_are_refused() {
        let mut disk = Cursor::new(vec![0; 10]);
        assert_eq!(
            Region::new(&mut disk, 8, 3).unwrap_err().to_string(),
            "region of 3 bytes at 8 does not fit a file of 10 bytes"
        );
        assert!(Region::new(&mut disk, u64::MAX, 2).is_err());
        let mut region = Region::new(&mut disk, 8, 2).unwrap();
        for to in [
            SeekFrom::Start(3),
            SeekFrom::Current(-1),
            SeekFrom::End(1),
            SeekFrom::End(i64::MIN),
        ] {
            assert!(region.seek(to).is_err(), "{to:?}");
        }
        assert_eq!(region.seek(SeekFrom::Current(2)).unwrap(), 2);
    }

    #[test]
    fn read_region_is_bounded() {
        let bytes: &[u8] = b"0123456789";
        let region = ReadRegion::new(bytes, 2, 4);
        let mut buf = [0; 2];
        region.read_exact_at(&mut buf, 2).unwrap();
        assert_eq!(&buf, b"45");
        assert!(region.read_exact_at(&mut buf, 3).is_err());
        assert!(region.read_exact_at(&mut buf, u64::MAX).is_err());
    }
}
