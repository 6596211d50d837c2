//! Files of an update in one file, on a stick or anywhere else at the device.
//!
//! Owns: opening it as something hostile: a regular file, without following the place into devices or
//! pipes, without waiting for anybody. Never does: trust a byte of it.

use std::fs::{File, OpenOptions};
use std::io;
use std::ops::Range;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::Path;

use roamcore_agent::files::{At, IoAt};
use roamcore_delta::ReadAt;
use roamcore_delta::roam::{Archive, RoamError};
use roamcore_engine::{DeviceError, Payload, Sink, Trouble};
use rustix::fs::OFlags;

use crate::chain::chain;

/// Bytes read at a time.
const PIECE: usize = 256 * 1024;

/// Why a file cannot be installed from.
#[derive(Debug, thiserror::Error)]
pub enum StickError {
    /// Opening.
    #[error(transparent)]
    Io(#[from] IoAt),
    /// Its form.
    #[error("{path} is not a release file (.roam) made by `roamcore-image release`")]
    Form {
        /// Which.
        path: String,
        /// Why.
        #[source]
        source: RoamError,
    },
}

/// An opened file.
#[derive(Debug)]
pub struct Stick {
    file: File,
    size: u64,
    place: String,
}

impl Stick {
    /// Opens a regular file.
    pub fn open(path: &Path) -> Result<Self, StickError> {
        let refuse = |why: &str| io::Error::other(why.to_owned());
        if !path.is_absolute() {
            return Err(refuse("the path is not absolute")).at("open", path)?;
        }
        // Without NONBLOCK a pipe at this place would hold us for ever.
        let flags = i32::try_from((OFlags::NONBLOCK | OFlags::CLOEXEC | OFlags::NOCTTY).bits())
            .unwrap_or(0);
        let file = OpenOptions::new()
            .read(true)
            .custom_flags(flags)
            .open(path)
            .at("open", path)?;
        let found = file.metadata().at("inspect", path)?;
        if !found.is_file() {
            return Err(refuse("it is not a regular file")).at("open", path)?;
        }
        Ok(Self {
            file,
            size: found.len(),
            place: path.display().to_string(),
        })
    }

    /// Looks whether it has the form of a release.
    pub fn check(&self) -> Result<(), StickError> {
        self.payload().map(drop)
    }

    /// Its files.
    pub fn payload(&self) -> Result<StickPayload<'_>, StickError> {
        let archive = Archive::open(self).map_err(|source| StickError::Form {
            path: self.place.clone(),
            source,
        })?;
        Ok(StickPayload {
            archive,
            place: &self.place,
        })
    }
}

impl ReadAt for Stick {
    fn read_exact_at(&self, buf: &mut [u8], offset: u64) -> io::Result<()> {
        self.file.read_exact_at(buf, offset)
    }

    fn size(&self) -> u64 {
        self.size
    }
}

/// The files in it.
pub struct StickPayload<'a> {
    archive: Archive<'a>,
    place: &'a str,
}

impl Payload for StickPayload<'_> {
    fn size(&mut self, name: &str) -> Result<Option<u64>, DeviceError> {
        Ok(self.archive.member(name).map(|member| member.size()))
    }

    fn fetch(
        &mut self,
        name: &str,
        range: Range<u64>,
        sink: &mut Sink<'_>,
    ) -> Result<(), DeviceError> {
        let failed = |why: String| {
            // A stick that was pulled out and comes back is a common thing.
            DeviceError::new(Trouble::Passing, format!("{name} in {}: {why}", self.place))
        };
        let member = self
            .archive
            .member(name)
            .ok_or_else(|| failed("there is no such member".to_owned()))?;
        if range.end > member.size() {
            return Err(failed(format!(
                "it has {} bytes, {} are needed",
                member.size(),
                range.end
            )));
        }
        let mut buffer = vec![0; PIECE];
        let mut at = range.start;
        while at < range.end {
            // At most the length of the buffer.
            let piece = (range.end - at).min(PIECE as u64) as usize;
            let piece = &mut buffer[..piece];
            member
                .read_exact_at(piece, at)
                .map_err(|error| failed(chain(&error)))?;
            sink(piece)?;
            at += piece.len() as u64;
        }
        Ok(())
    }
}
