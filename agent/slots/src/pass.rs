//! One pass over a root, for two digests.
//!
//! Owns: putting blocks that are read by several threads back into order for the one SHA-256 over all of them. So the
//! hash tree and the digest of the whole come from one reading of the disk. Never does: write. Invariant: memory is
//! bounded; a thread that is ahead waits.

use std::collections::BTreeMap;
use std::io;
use std::ops::ControlFlow;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

use roamcore_disk::region::ReadAt;
use roamcore_ota::Digest;
use sha2::{Digest as _, Sha256};

use crate::media::Block;

/// Pieces (of 1 MiB) that may wait for the one before them.
const MOST_WAITING: usize = 8;

/// Told how many bytes are done; `Break` stops the work.
pub(crate) type Observer<'a> = &'a (dyn Fn(u64) -> ControlFlow<()> + Sync);

/// Reads a block past the page cache and hashes all of it on the way.
pub(crate) struct Pass<'a> {
    block: &'a dyn Block,
    observer: Observer<'a>,
    state: Mutex<State>,
    moved: Condvar,
}

#[derive(Default)]
struct State {
    hasher: Sha256,
    next: u64,
    waiting: BTreeMap<u64, Vec<u8>>,
    failed: bool,
    stopped: bool,
}

impl<'a> Pass<'a> {
    pub(crate) fn new(block: &'a dyn Block, observer: Observer<'a>) -> Self {
        Self {
            block,
            observer,
            state: Mutex::default(),
            moved: Condvar::new(),
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The observer has stopped it.
    pub(crate) fn stopped(&self) -> bool {
        self.lock().stopped
    }

    /// Bytes seen without a gap from the start, and their digest.
    pub(crate) fn finish(self) -> (u64, Digest) {
        let state = self
            .state
            .into_inner()
            .unwrap_or_else(PoisonError::into_inner);
        let digest: [u8; 32] = state.hasher.finalize().into();
        (state.next, digest.into())
    }

    fn fail(&self, stopped: bool) {
        let mut state = self.lock();
        state.failed = true;
        state.stopped |= stopped;
        self.moved.notify_all();
    }

    fn take(&self, offset: u64, bytes: &[u8]) -> io::Result<u64> {
        let mut state = self.lock();
        loop {
            if state.failed {
                return Err(io::Error::other("another part of the same pass failed"));
            }
            // A block that is read a second time is not hashed a second time.
            if offset < state.next {
                return Ok(state.next);
            }
            if offset == state.next {
                state.feed(bytes);
                self.moved.notify_all();
                return Ok(state.next);
            }
            // The reader of the next piece never waits here, so somebody will make room.
            if state.waiting.len() < MOST_WAITING {
                state.waiting.insert(offset, bytes.to_vec());
                return Ok(state.next);
            }
            state = self
                .moved
                .wait(state)
                .unwrap_or_else(PoisonError::into_inner);
        }
    }
}

impl State {
    fn feed(&mut self, bytes: &[u8]) {
        self.hasher.update(bytes);
        self.next += bytes.len() as u64;
        while let Some(bytes) = self.waiting.remove(&self.next) {
            self.hasher.update(&bytes);
            self.next += bytes.len() as u64;
        }
    }
}

impl ReadAt for Pass<'_> {
    fn read_exact_at(&self, buf: &mut [u8], offset: u64) -> io::Result<()> {
        let result = self.block.read_past_cache(buf, offset);
        let done = result.and_then(|()| self.take(offset, buf));
        match done {
            Err(error) => {
                self.fail(false);
                Err(error)
            }
            Ok(done) => match (self.observer)(done) {
                ControlFlow::Continue(()) => Ok(()),
                ControlFlow::Break(()) => {
                    self.fail(true);
                    Err(io::Error::other("stopped"))
                }
            },
        }
    }
}

/// Reads a tree past the page cache, in windows: it is asked for in blocks of a few kilobytes, from two levels in turn and
/// by several threads, and a request to the device for each of them takes longer than all the hashing.
pub(crate) struct PastCache<'a> {
    block: &'a dyn Block,
    windows: Mutex<Vec<(u64, Vec<u8>)>>,
}

/// Bytes read at once, of a tree that covers 128 times as much.
const WINDOW: u64 = 256 * 1024;
/// Two levels and some threads that are ahead.
const MOST_WINDOWS: usize = 4;

impl<'a> PastCache<'a> {
    pub(crate) fn new(block: &'a dyn Block) -> Self {
        Self {
            block,
            windows: Mutex::default(),
        }
    }
}

impl ReadAt for PastCache<'_> {
    fn read_exact_at(&self, buf: &mut [u8], offset: u64) -> io::Result<()> {
        let start = offset - offset % WINDOW;
        let end = start.saturating_add(WINDOW).min(self.block.size());
        let inside = (offset - start) as usize..(offset - start) as usize + buf.len();
        if start + inside.end as u64 > end {
            return self.block.read_past_cache(buf, offset);
        }
        let mut windows = self.windows.lock().unwrap_or_else(PoisonError::into_inner);
        let known = windows.iter().position(|(at, _)| *at == start);
        let window = match known {
            // The one used last is the last to go.
            Some(known) => windows.remove(known),
            None => {
                let mut bytes = vec![0; (end - start) as usize];
                self.block.read_past_cache(&mut bytes, start)?;
                (start, bytes)
            }
        };
        buf.copy_from_slice(&window.1[inside]);
        windows.push(window);
        if windows.len() > MOST_WINDOWS {
            windows.remove(0);
        }
        Ok(())
    }
}

/// Writes a block from its start, through the page cache: a tree comes in small pieces, in no order.
pub(crate) struct Writing<'a> {
    pub(crate) block: &'a dyn Block,
    pub(crate) at: u64,
}

impl io::Write for Writing<'_> {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        self.block.write_all_at(buf, self.at)?;
        self.at += buf.len() as u64;
        Ok(buf.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl io::Seek for Writing<'_> {
    fn seek(&mut self, to: io::SeekFrom) -> io::Result<u64> {
        let target = match to {
            io::SeekFrom::Start(at) => Some(at),
            io::SeekFrom::Current(by) => self.at.checked_add_signed(by),
            io::SeekFrom::End(by) => self.block.size().checked_add_signed(by),
        };
        self.at = target.ok_or(io::ErrorKind::InvalidInput)?;
        Ok(self.at)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::FileBlock;
    use proptest::prelude::*;
    use rustix::fs::OFlags;

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(30))]

        #[test]
        fn windows_are_the_file(reads in proptest::collection::vec((0_usize..1_400_000, 1_usize..300_000), 1..20)) {
            let dir = tempfile::tempdir().unwrap();
            let path = dir.path().join("tree");
            let bytes: Vec<u8> = (0..1_400_320_u32).map(|i| (i / 3) as u8).collect();
            std::fs::write(&path, &bytes).unwrap();
            let block = FileBlock::open(&path, OFlags::RDONLY).unwrap();
            let cache = PastCache::new(&block);
            for (offset, len) in reads {
                let mut seen = vec![0; len];
                let got = cache.read_exact_at(&mut seen, offset as u64);
                match bytes.get(offset..offset + len) {
                    Some(want) => prop_assert!(got.is_ok() && seen == want),
                    None => prop_assert!(got.is_err()),
                }
            }
        }
    }

    /// Threads that finish in any order still make one digest, and nobody waits for ever.
    #[test]
    fn pieces_in_any_order() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("root");
        let piece = 64 * 1024;
        let bytes: Vec<u8> = (0..40 * piece as u32).map(|i| (i / 11) as u8).collect();
        std::fs::write(&path, &bytes).unwrap();
        let block = FileBlock::open(&path, OFlags::RDONLY).unwrap();
        let observer = |_| ControlFlow::Continue(());
        let pass = Pass::new(&block, &observer);
        let next = std::sync::atomic::AtomicUsize::new(0);
        std::thread::scope(|scope| {
            for worker in 0..4 {
                let (pass, next) = (&pass, &next);
                scope.spawn(move || {
                    let mut buf = vec![0; piece];
                    loop {
                        let number = next.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
                        if number >= 40 {
                            return;
                        }
                        if worker == 0 {
                            std::thread::sleep(std::time::Duration::from_millis(5));
                        }
                        pass.read_exact_at(&mut buf, (number * piece) as u64)
                            .unwrap();
                    }
                });
            }
        });
        assert_eq!(pass.finish(), (bytes.len() as u64, Digest::of(&bytes)));
    }

    #[test]
    fn one_failure_ends_all() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("root");
        std::fs::write(&path, vec![0; 8192]).unwrap();
        let block = FileBlock::open(&path, OFlags::RDONLY).unwrap();
        let observer = |_| ControlFlow::Continue(());
        let pass = Pass::new(&block, &observer);
        let mut buf = vec![0; 4096];
        assert!(pass.read_exact_at(&mut buf, 8192).is_err());
        let error = pass.read_exact_at(&mut buf, 0).unwrap_err().to_string();
        assert!(error.contains("another part"), "{error}");
        assert!(!pass.stopped());
    }
}
