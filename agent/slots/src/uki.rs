//! A UKI on its way to the ESP.
//!
//! Owns: the checks that are made while it is copied: its size (never more than one byte is read beyond), its SHA-256,
//! and that it carries the root hash of the slot it is for. Never does: I/O of its own, or keep more than a few bytes.

use std::io::{self, Read};

use roamcore_ota::Digest;
use sha2::Digest as _;

use crate::arm::UkiSpec;
use crate::error::SlotError;

/// One read of the source.
const STEP: usize = 128 * 1024;

/// See the module.
pub(crate) struct Checked<'a> {
    source: &'a mut dyn Read,
    left: u64,
    hasher: sha2::Sha256,
    seen: u64,
    needle: Vec<u8>,
    tail: Vec<u8>,
    found: bool,
}

impl<'a> Checked<'a> {
    pub(crate) fn new(source: &'a mut dyn Read, spec: &UkiSpec) -> Self {
        Self {
            source,
            left: spec.size.saturating_add(1),
            hasher: sha2::Sha256::new(),
            seen: 0,
            needle: format!("roothash={}", spec.root_hash).into_bytes(),
            tail: Vec::new(),
            found: false,
        }
    }

    pub(crate) fn result(self, path: &str, spec: &UkiSpec) -> Result<(), SlotError> {
        let digest: [u8; 32] = self.hasher.finalize().into();
        let digest = Digest::from(digest);
        if self.seen != spec.size || digest != spec.sha256 {
            return Err(SlotError::Uki {
                path: path.to_owned(),
                expected: format!("{} bytes, SHA-256 {}", spec.size, spec.sha256),
                found: format!("{} bytes, SHA-256 {digest}", self.seen),
            });
        }
        if !self.found {
            let expected = spec.root_hash;
            return Err(SlotError::UkiOfOtherRoot { expected });
        }
        Ok(())
    }
}

impl Read for Checked<'_> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let want = buf
            .len()
            .min(STEP)
            .min(usize::try_from(self.left).unwrap_or(usize::MAX));
        let count = self.source.read(&mut buf[..want])?;
        let bytes = &buf[..count];
        self.left -= count as u64;
        self.seen += count as u64;
        self.hasher.update(bytes);
        if !self.found {
            self.tail.extend_from_slice(bytes);
            self.found = self
                .tail
                .windows(self.needle.len())
                .any(|window| window == self.needle);
            let keep = self.tail.len().saturating_sub(self.needle.len() - 1);
            self.tail.drain(..keep);
        }
        Ok(count)
    }
}
