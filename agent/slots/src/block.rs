//! A stretch of a block device or of a plain file.
//!
//! Owns: how bytes get to the device and back. Never does: create, truncate or extend a file, or touch a byte outside
//! of its stretch. Invariant: what [`Block::read_past_cache`] gives was delivered by the device.
//!
//! Past the page cache means O_DIRECT: the kernel first writes back what it has of the range, then the device fills our
//! buffer. POSIX_FADV_DONTNEED is only advice: it keeps pages that are dirty, locked, mapped or just being looked at, and
//! says nothing about it; BLKFLSBUF drops a whole device's pages and those of everybody else. So DONTNEED (after a sync)
//! is what we do where O_DIRECT is refused, on some file systems in tests, and nowhere else. The memory inside the drive
//! is beyond any of them; the flush of `sync` and the read of the whole slot in the trial boot are what there is.
//!
//! Large writes go around the page cache too: an update must not push the guests' pages out of memory. Chunks begin and
//! end anywhere, so what is not a whole block goes through the page cache, which the kernel keeps coherent.

use std::fs::File;
use std::io;
use std::num::NonZeroU64;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use roamcore_agent::files::IoAt;
use rustix::fs::{Advice, Mode, OFlags, SeekFrom, fadvise, open, seek};
use rustix::io::Errno;

use crate::media::Block;

/// An alignment that O_DIRECT accepts on every disk.
const GRAIN: u64 = 4096;
/// One request: full speed on NVMe, little memory.
const CHUNK: usize = 1024 * 1024;
/// Below this the page cache is faster than a request that waits for the device.
const WORTH_DIRECT: u64 = 128 * 1024;
/// Buffers that are kept: one for each hashing thread and the writer.
const MOST_BUFFERS: usize = 4;

/// Memory whose used part begins at a multiple of [`GRAIN`].
struct Aligned {
    memory: Vec<u8>,
    start: usize,
}

impl Aligned {
    fn new() -> Self {
        let memory = vec![0; CHUNK + GRAIN as usize];
        let start = memory.as_ptr().align_offset(GRAIN as usize);
        Self { memory, start }
    }

    fn bytes(&mut self) -> &mut [u8] {
        &mut self.memory[self.start..self.start + CHUNK]
    }
}

/// See the module.
pub struct FileBlock {
    path: PathBuf,
    cached: File,
    direct: Option<File>,
    start: u64,
    len: u64,
    buffers: Mutex<Vec<Aligned>>,
}

impl std::fmt::Debug for FileBlock {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("FileBlock")
            .field("path", &self.path)
            .field("start", &self.start)
            .field("len", &self.len)
            .field("direct", &self.direct.is_some())
            .finish_non_exhaustive()
    }
}

impl FileBlock {
    /// The whole of a file or device; `flags` say how it is opened (never created).
    ///
    /// # Errors
    /// It cannot be opened or measured.
    pub fn open(path: &Path, flags: OFlags) -> Result<Self, IoAt> {
        let at = |doing| {
            move |source: Errno| IoAt {
                doing,
                path: path.to_owned(),
                source: source.into(),
            }
        };
        let flags = (flags | OFlags::CLOEXEC) - OFlags::CREATE - OFlags::TRUNC;
        let cached = open(path, flags, Mode::empty()).map_err(at("open"))?;
        // The claim of O_EXCL is the first descriptor's; a second one would be refused.
        let again = (flags | OFlags::DIRECT) - OFlags::EXCL;
        let direct = match open(path, again, Mode::empty()) {
            Ok(fd) => Some(File::from(fd)),
            Err(Errno::INVAL) => None,
            Err(error) => return Err(at("open")(error)),
        };
        let len = seek(&cached, SeekFrom::End(0)).map_err(at("find the end of"))?;
        Ok(Self::of_files(path, File::from(cached), direct, 0, len))
    }

    /// From open files; `direct` was opened with O_DIRECT.
    pub(crate) fn of_files(
        path: &Path,
        cached: File,
        direct: Option<File>,
        start: u64,
        len: u64,
    ) -> Self {
        Self {
            path: path.to_owned(),
            cached,
            direct: direct.filter(|_| start.is_multiple_of(GRAIN)),
            start,
            len,
            buffers: Mutex::new(Vec::new()),
        }
    }

    /// The stretch `[start, start + len)` of it.
    ///
    /// # Errors
    /// It does not fit.
    pub fn part(self, start: u64, len: u64) -> Result<Self, IoAt> {
        let fits = start.checked_add(len).is_some_and(|end| end <= self.len);
        if !fits {
            return Err(IoAt {
                doing: "use a part of",
                source: io::Error::new(
                    io::ErrorKind::InvalidInput,
                    format!("{len} bytes at {start} do not fit its {} bytes", self.len),
                ),
                path: self.path,
            });
        }
        let start = self.start + start;
        Ok(Self::of_files(
            &self.path,
            self.cached,
            self.direct,
            start,
            len,
        ))
    }

    /// For looks at the node itself.
    pub(crate) fn file(&self) -> &File {
        &self.cached
    }

    fn inside(&self, offset: u64, len: usize) -> io::Result<u64> {
        match offset.checked_add(len as u64) {
            Some(end) if end <= self.len => Ok(end),
            _ => Err(io::Error::new(
                io::ErrorKind::InvalidInput,
                format!(
                    "{len} bytes at {offset} leave the {} bytes of {}",
                    self.len,
                    self.path.display()
                ),
            )),
        }
    }

    fn with_buffer<T>(&self, work: impl FnOnce(&mut [u8]) -> T) -> T {
        let kept =
            |list: &Mutex<Vec<Aligned>>| list.lock().unwrap_or_else(PoisonError::into_inner).pop();
        let mut buffer = kept(&self.buffers).unwrap_or_else(Aligned::new);
        let result = work(buffer.bytes());
        let mut list = self.buffers.lock().unwrap_or_else(PoisonError::into_inner);
        if list.len() < MOST_BUFFERS {
            list.push(buffer);
        }
        result
    }

    /// Reads through `direct`, whole grains at a time; the last one may be cut off by the end.
    fn read_direct(&self, direct: &File, buf: &mut [u8], offset: u64) -> io::Result<()> {
        self.with_buffer(|buffer| {
            let mut done = 0;
            while done < buf.len() {
                let from = offset + done as u64;
                let first = from - from % GRAIN;
                let skip = (from - first) as usize;
                let want = (skip + buf.len() - done)
                    .next_multiple_of(GRAIN as usize)
                    .min(CHUNK);
                let take = (want - skip).min(buf.len() - done);
                // Past the end of a file that is no multiple of the grain, less comes than was asked for.
                at_least(direct, &mut buffer[..want], self.start + first, skip + take)?;
                buf[done..done + take].copy_from_slice(&buffer[skip..skip + take]);
                done += take;
            }
            Ok(())
        })
    }

    fn write_direct(&self, direct: &File, buf: &[u8], offset: u64) -> io::Result<()> {
        // Memory that is aligned already needs no copy.
        if buf.as_ptr().align_offset(GRAIN as usize) == 0 {
            return direct.write_all_at(buf, self.start + offset);
        }
        self.with_buffer(|buffer| {
            for (number, part) in buf.chunks(CHUNK).enumerate() {
                buffer[..part.len()].copy_from_slice(part);
                let at = self.start + offset + (number * CHUNK) as u64;
                direct.write_all_at(&buffer[..part.len()], at)?;
            }
            Ok(())
        })
    }
}

/// Reads until `enough` bytes are there. A request that was cut short goes on at a whole grain.
fn at_least(file: &File, buf: &mut [u8], offset: u64, enough: usize) -> io::Result<()> {
    let mut got = 0;
    loop {
        match file.read_at(&mut buf[got..], offset + got as u64) {
            Ok(count) if got + count >= enough => return Ok(()),
            Ok(count) if count < GRAIN as usize => return Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(count) => got += count - count % GRAIN as usize,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}

impl Block for FileBlock {
    fn path(&self) -> &Path {
        &self.path
    }

    fn size(&self) -> u64 {
        self.len
    }

    fn read_exact_at(&self, buf: &mut [u8], offset: u64) -> io::Result<()> {
        self.inside(offset, buf.len())?;
        match &self.direct {
            Some(direct) if buf.len() as u64 >= WORTH_DIRECT => {
                self.read_direct(direct, buf, offset)
            }
            _ => self.cached.read_exact_at(buf, self.start + offset),
        }
    }

    fn read_past_cache(&self, buf: &mut [u8], offset: u64) -> io::Result<()> {
        self.inside(offset, buf.len())?;
        if let Some(direct) = &self.direct {
            match self.read_direct(direct, buf, offset) {
                // Some file systems accept the flag and refuse the read.
                Err(error) if Errno::from_io_error(&error) == Some(Errno::INVAL) => {}
                other => return other,
            }
        }
        self.cached.sync_data()?;
        let len = NonZeroU64::new(buf.len() as u64);
        fadvise(&self.cached, self.start + offset, len, Advice::DontNeed)?;
        self.cached.read_exact_at(buf, self.start + offset)
    }

    fn write_all_at(&self, buf: &[u8], offset: u64) -> io::Result<()> {
        let end = self.inside(offset, buf.len())?;
        let (first, last) = (offset.next_multiple_of(GRAIN), end - end % GRAIN);
        let Some(direct) = self
            .direct
            .as_ref()
            .filter(|_| last >= first && last - first >= WORTH_DIRECT)
        else {
            return self.cached.write_all_at(buf, self.start + offset);
        };
        let (head, rest) = buf.split_at((first - offset) as usize);
        let (middle, tail) = rest.split_at((last - first) as usize);
        match self.write_direct(direct, middle, first) {
            Err(error) if Errno::from_io_error(&error) == Some(Errno::INVAL) => {
                self.cached.write_all_at(middle, self.start + first)?;
            }
            other => other?,
        }
        self.cached.write_all_at(head, self.start + offset)?;
        self.cached.write_all_at(tail, self.start + last)
    }

    fn sync(&self) -> io::Result<()> {
        // Writes back what went through the page cache and flushes the device, which the direct writes need as well.
        self.cached.sync_all()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const START: u64 = 8192;
    const LEN: usize = 3 * CHUNK + 512;

    fn block() -> (tempfile::TempDir, FileBlock) {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("disk");
        std::fs::write(&path, vec![0xee; START as usize + LEN + 4096]).unwrap();
        let block = FileBlock::open(&path, OFlags::RDWR)
            .unwrap()
            .part(START, LEN as u64)
            .unwrap();
        (dir, block)
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(40))]

        /// Against plain memory: any mix of sizes and offsets, read back both ways.
        #[test]
        fn as_memory(writes in proptest::collection::vec((0..LEN, 1..2 * CHUNK, any::<u8>()), 1..6)) {
            let (_dir, block) = block();
            let mut model = vec![0xee; LEN];
            for (offset, len, byte) in writes {
                let len = len.min(LEN - offset);
                let bytes: Vec<u8> = (0..len).map(|i| byte.wrapping_add((i / 7) as u8)).collect();
                block.write_all_at(&bytes, offset as u64).unwrap();
                model[offset..offset + len].copy_from_slice(&bytes);
                let mut seen = vec![0; len];
                block.read_exact_at(&mut seen, offset as u64).unwrap();
                prop_assert!(seen == bytes);
            }
            block.sync().unwrap();
            let mut seen = vec![0; LEN];
            block.read_past_cache(&mut seen, 0).unwrap();
            prop_assert!(seen == model);
            let all = std::fs::read(block.path()).unwrap();
            prop_assert!(all[..START as usize].iter().all(|b| *b == 0xee));
            prop_assert!(all[START as usize + LEN..].iter().all(|b| *b == 0xee));
            prop_assert_eq!(all.len(), START as usize + LEN + 4096);
        }
    }

    #[test]
    fn nothing_outside() {
        let (_dir, block) = block();
        for (offset, len) in [
            (LEN as u64, 1),
            (0, LEN + 1),
            (u64::MAX, 1),
            (LEN as u64 - 1, 2),
        ] {
            let mut buf = vec![0; len];
            assert!(block.read_exact_at(&mut buf, offset).is_err());
            assert!(block.read_past_cache(&mut buf, offset).is_err());
            let error = block.write_all_at(&buf, offset).unwrap_err().to_string();
            assert!(error.contains("leave the"), "{error}");
        }
        let len = block.size();
        assert!(block.part(1, len).is_err());
    }

    #[test]
    fn a_file_is_never_made() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("none");
        let flags = OFlags::RDWR | OFlags::CREATE | OFlags::TRUNC;
        let error = FileBlock::open(&path, flags).unwrap_err();
        assert!(error.is_not_found());
        assert!(!path.exists());
        std::fs::write(&path, "keep").unwrap();
        drop(FileBlock::open(&path, flags).unwrap());
        assert_eq!(std::fs::read(&path).unwrap(), b"keep");
    }
}
