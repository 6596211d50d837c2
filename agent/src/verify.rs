//! Reading a whole slot through dm-verity: `verify-slot`.
//!
//! Owns: a sequential read of every byte, past the page cache. Never does: write, or check hashes
//! itself: dm-verity does, for every block that comes from the disk.
//! Invariant: success means that every byte up to the end was delivered by the device.

use std::fs::File;
use std::io;
use std::num::NonZeroU64;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::time::Instant;

use rustix::fs::{Advice, Mode, OFlags, SeekFrom, fadvise, open, seek};
use rustix::io::Errno;

use crate::files::{At, IoAt};
use crate::log;

/// One request: large enough for full speed, small enough for the initrd's memory.
const CHUNK: usize = 1024 * 1024;
/// dm-verity's block size in our images, and an alignment that O_DIRECT accepts on every disk.
const BLOCK: usize = 4096;

/// Why the slot is not good.
#[derive(Debug, thiserror::Error)]
pub enum VerifyError {
    /// It could not be opened or measured.
    #[error(transparent)]
    Io(#[from] IoAt),
    /// Nothing to read.
    #[error("{0} has no bytes")]
    Empty(PathBuf),
    /// A block that the device did not deliver.
    #[error(
        "cannot read byte {offset} of {size} (4 KiB block {block}): the slot is damaged, install the release again"
    )]
    Unreadable {
        /// Byte offset of the block.
        offset: u64,
        /// Its number.
        block: u64,
        /// Size of the device.
        size: u64,
        /// What the kernel said.
        #[source]
        source: io::Error,
    },
    /// The device ended before its size.
    #[error("device ended at byte {offset}, its size is {size}")]
    EndedEarly {
        /// Where.
        offset: u64,
        /// Size of the device.
        size: u64,
    },
}

/// Something that is read at offsets.
pub trait Source {
    /// As pread(2).
    fn read_at(&mut self, buffer: &mut [u8], offset: u64) -> io::Result<usize>;
}

/// What was read, and how fast.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Report {
    /// Bytes read.
    pub bytes: u64,
    /// Time it took.
    pub milliseconds: u64,
    /// Past the page cache?
    pub direct: bool,
}

impl Report {
    /// Speed in units of 0.1 MB/s.
    fn tenths(self) -> u64 {
        self.bytes.saturating_mul(10) / self.milliseconds.max(1) / 1000
    }

    /// For people.
    pub fn to_text(self) -> String {
        let tenths = self.tenths();
        format!(
            "read {} bytes in {} ms, {}.{} MB/s",
            self.bytes,
            self.milliseconds,
            tenths / 10,
            tenths % 10
        )
    }

    /// For programs.
    pub fn to_json(self) -> serde_json::Value {
        serde_json::json!({
            "format": 1, "bytes": self.bytes, "milliseconds": self.milliseconds,
            "bytes_per_second": self.bytes.saturating_mul(1000) / self.milliseconds.max(1), "direct": self.direct,
        })
    }
}

/// Reads the whole device.
pub fn run(device: &Path) -> Result<Report, VerifyError> {
    let (mut source, size) = Device::open(device)?;
    if size == 0 {
        return Err(VerifyError::Empty(device.to_owned()));
    }
    let start = Instant::now();
    let shown = device.display();
    read_through(&mut source, size, |percent| {
        log::info(format!("verify {shown}: {percent} %"))
    })?;
    let milliseconds = u64::try_from(start.elapsed().as_millis()).unwrap_or(u64::MAX);
    Ok(Report {
        bytes: size,
        milliseconds,
        direct: source.direct,
    })
}

/// Reads every byte once, reporting each tenth.
pub fn read_through(
    source: &mut impl Source,
    size: u64,
    mut progress: impl FnMut(u64),
) -> Result<(), VerifyError> {
    let mut memory = vec![0; CHUNK + BLOCK];
    let buffer = aligned(&mut memory);
    let (mut offset, mut shown) = (0, 0);
    while offset < size {
        match source.read_at(buffer, offset) {
            Ok(0) => return Err(VerifyError::EndedEarly { offset, size }),
            Ok(count) => offset = offset.saturating_add(count as u64).min(size),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(narrow(source, buffer, offset, size, error)),
        }
        let tenths = u64::try_from(u128::from(offset) * 10 / u128::from(size)).unwrap_or(10);
        if tenths > shown {
            shown = tenths;
            progress(tenths * 10);
        }
    }
    Ok(())
}

/// Finds the first bad block of a chunk. An error that does not come again is one all the same.
fn narrow(
    source: &mut impl Source,
    buffer: &mut [u8],
    chunk: u64,
    size: u64,
    first: io::Error,
) -> VerifyError {
    let block_size = BLOCK as u64;
    let end = size.min(chunk + CHUNK as u64);
    let mut offset = chunk;
    while offset < end {
        match source.read_at(&mut buffer[..BLOCK], offset) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(source) => {
                return VerifyError::Unreadable {
                    offset,
                    block: offset / block_size,
                    size,
                    source,
                };
            }
            Ok(_) => offset += block_size,
        }
    }
    VerifyError::Unreadable {
        offset: chunk,
        block: chunk / block_size,
        size,
        source: first,
    }
}

/// The part of `memory` that O_DIRECT accepts; `memory` has a block more than a chunk.
fn aligned(memory: &mut [u8]) -> &mut [u8] {
    let start = (BLOCK - memory.as_ptr() as usize % BLOCK) % BLOCK;
    &mut memory[start..start + CHUNK]
}

struct Device {
    file: File,
    direct: bool,
}

impl Device {
    fn open(path: &Path) -> Result<(Self, u64), VerifyError> {
        let plain = OFlags::RDONLY | OFlags::CLOEXEC;
        let direct = match open(path, plain | OFlags::DIRECT, Mode::empty()) {
            Ok(fd) => Some(File::from(fd)),
            Err(Errno::INVAL) => None,
            Err(error) => return Err(error).at("open", path)?,
        };
        // Some file systems accept the flag and refuse the first read.
        let direct = direct.filter(|file| {
            let mut memory = vec![0; CHUNK + BLOCK];
            let refused = file.read_at(&mut aligned(&mut memory)[..BLOCK], 0).err();
            refused.and_then(|error| Errno::from_io_error(&error)) != Some(Errno::INVAL)
        });
        let device = match direct {
            Some(file) => Self { file, direct: true },
            None => {
                log::warning(format!(
                    "{} refuses O_DIRECT: dropping cached pages instead",
                    path.display()
                ));
                let file = File::from(open(path, plain, Mode::empty()).at("open", path)?);
                fadvise(&file, 0, None, Advice::DontNeed).at("drop the cached pages of", path)?;
                Self {
                    file,
                    direct: false,
                }
            }
        };
        let size = seek(&device.file, SeekFrom::End(0)).at("find the end of", path)?;
        Ok((device, size))
    }
}

impl Source for Device {
    fn read_at(&mut self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        let count = self.file.read_at(buffer, offset)?;
        if !self.direct {
            fadvise(
                &self.file,
                offset,
                NonZeroU64::new(count as u64),
                Advice::DontNeed,
            )?;
        }
        Ok(count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// A device with one bad byte; short reads of `most` bytes.
    struct Faulty {
        size: u64,
        bad: Option<u64>,
        most: u64,
        read: u64,
    }

    impl Source for Faulty {
        fn read_at(&mut self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
            let end = self.size.min(offset + self.most.min(buffer.len() as u64));
            if self.bad.is_some_and(|bad| (offset..end).contains(&bad)) {
                return Err(io::Error::from_raw_os_error(5));
            }
            self.read += end - offset;
            Ok(usize::try_from(end - offset).unwrap())
        }
    }

    proptest! {
        #[test]
        fn every_bad_block_is_named(size in 1u64..9_000_000, bad in any::<prop::sample::Index>(), most in 1u64..600) {
            let (bad, most) = (bad.index(size as usize) as u64, most * 4096);
            let mut source = Faulty { size, bad: Some(bad), most, read: 0 };
            match read_through(&mut source, size, |_| {}).unwrap_err() {
                VerifyError::Unreadable { offset, block, .. } => {
                    prop_assert_eq!((offset, block), (bad / 4096 * 4096, bad / 4096));
                }
                other => panic!("{other}"),
            }
        }

        #[test]
        fn every_byte_is_read(size in 1u64..9_000_000, most in 1u64..600) {
            let mut source = Faulty { size, bad: None, most: most * 4096, read: 0 };
            let mut seen = Vec::new();
            read_through(&mut source, size, |percent| seen.push(percent)).unwrap();
            prop_assert_eq!(source.read, size);
            prop_assert_eq!(seen.last(), Some(&100));
        }
    }

    #[test]
    fn an_early_end_is_an_error() {
        let mut source = Faulty {
            size: 8192,
            bad: None,
            most: 4096,
            read: 0,
        };
        let error = read_through(&mut source, 9000, |_| {}).unwrap_err();
        assert_eq!(
            error.to_string(),
            "device ended at byte 8192, its size is 9000"
        );
    }

    #[test]
    fn files_are_read_to_the_end() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("root");
        std::fs::write(&path, vec![7; 3 * CHUNK + 5]).unwrap();
        let report = run(&path).unwrap();
        assert_eq!(report.bytes, 3 * CHUNK as u64 + 5);
        std::fs::write(&path, []).unwrap();
        assert!(matches!(run(&path), Err(VerifyError::Empty(_))));
        assert!(
            run(&dir.path().join("none"))
                .unwrap_err()
                .to_string()
                .starts_with("cannot open")
        );
    }

    #[test]
    fn speed() {
        let report = Report {
            bytes: 123_456_789,
            milliseconds: 1000,
            direct: true,
        };
        assert_eq!(
            report.to_text(),
            "read 123456789 bytes in 1000 ms, 123.4 MB/s"
        );
        assert_eq!(report.to_json()["bytes_per_second"], 123_456_789);
        assert_eq!(
            Report {
                milliseconds: 0,
                ..report
            }
            .to_json()["milliseconds"],
            0
        );
    }
}
