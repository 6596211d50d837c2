//! Between the engine's traits and those of slots and delta.
//!
//! Owns: the translation of reads, writes, fetches and progress. Never does: anything else. Invariant: an error that began as
//! a [`DeviceError`] ends as the same one, whatever it passed through.

use std::io;
use std::ops::{ControlFlow, Range};

use roamcore_delta::{ApplyError, ErrorClass, FetchError, Stage as DeltaStage, Stopped};
use roamcore_slots::{Block, Reader, Target as SlotTarget};

use super::chain;
use super::{DeviceError, Payload, Stage, Trouble, Watch};

/// A slot's root or UKI, to be read.
pub(super) struct Readable<'a>(pub(super) &'a Reader);

impl roamcore_delta::ReadAt for Readable<'_> {
    fn read_exact_at(&self, buf: &mut [u8], offset: u64) -> io::Result<()> {
        self.0.read_exact_at(buf, offset)
    }

    fn size(&self) -> u64 {
        self.0.size()
    }
}

/// The idle slot's root.
pub(super) struct Writable<'a>(pub(super) &'a SlotTarget);

impl roamcore_delta::ReadAt for Writable<'_> {
    fn read_exact_at(&self, buf: &mut [u8], offset: u64) -> io::Result<()> {
        self.0.read_exact_at(buf, offset)
    }

    fn size(&self) -> u64 {
        self.0.size()
    }
}

impl roamcore_delta::WriteAt for Writable<'_> {
    fn write_all_at(&self, buf: &[u8], offset: u64) -> io::Result<()> {
        self.0.write_all_at(buf, offset)
    }

    fn sync(&self) -> io::Result<()> {
        self.0.sync()
    }
}

/// A file that is written.
pub(super) struct File<'a>(pub(super) &'a dyn Block);

impl roamcore_delta::ReadAt for File<'_> {
    fn read_exact_at(&self, buf: &mut [u8], offset: u64) -> io::Result<()> {
        self.0.read_exact_at(buf, offset)
    }

    fn size(&self) -> u64 {
        self.0.size()
    }
}

impl roamcore_delta::WriteAt for File<'_> {
    fn write_all_at(&self, buf: &[u8], offset: u64) -> io::Result<()> {
        self.0.write_all_at(buf, offset)
    }

    fn sync(&self) -> io::Result<()> {
        self.0.sync()
    }
}

/// Parts by their number.
pub(super) struct Parts<'a> {
    pub(super) payload: &'a mut dyn Payload,
    pub(super) names: Vec<String>,
}

impl roamcore_delta::Fetch for Parts<'_> {
    fn fetch(
        &mut self,
        part: usize,
        range: Range<u64>,
        sink: &mut dyn FnMut(&[u8]) -> Result<(), Stopped>,
    ) -> Result<(), FetchError> {
        let Some(name) = self.names.get(part) else {
            let reason = format!("part {part} is not one of the {}", self.names.len());
            let error = DeviceError::new(Trouble::Final, reason);
            return Err(FetchError::Failed(Box::new(error)));
        };
        let mut stopped = false;
        let result = self.payload.fetch(name, range, &mut |bytes| {
            sink(bytes).map_err(|Stopped| {
                stopped = true;
                DeviceError::stopped()
            })
        });
        match result {
            Ok(()) => Ok(()),
            Err(_) if stopped => Err(FetchError::Stopped),
            Err(error) => Err(FetchError::Failed(Box::new(error))),
        }
    }
}

/// Progress of delta, for the engine. Remembers why it stopped the work.
pub(super) struct Watched<'a> {
    pub(super) watch: &'a mut dyn Watch,
    /// What writing is part of.
    stage: Stage,
    /// Bytes the plan writes, when there is one.
    pub(super) total: Option<u64>,
    pub(super) stopped: Option<DeviceError>,
}

impl<'a> Watched<'a> {
    /// Nothing is planned yet.
    pub(super) fn new(watch: &'a mut dyn Watch, stage: Stage) -> Self {
        Self {
            watch,
            stage,
            total: None,
            stopped: None,
        }
    }
}

impl roamcore_delta::Observer for Watched<'_> {
    fn progress(&mut self, progress: &roamcore_delta::Progress) -> ControlFlow<()> {
        let (stage, done, total) = match (progress.stage, self.total) {
            (DeltaStage::Copy | DeltaStage::Fetch, Some(total)) => {
                (self.stage, progress.written, total)
            }
            _ if self.stage == Stage::Writing => (Stage::Planning, progress.done, progress.total),
            // A second look at what was planned before.
            _ => (self.stage, 0, progress.total),
        };
        let told = self.watch.progress(stage, done, total);
        match told {
            Ok(()) => ControlFlow::Continue(()),
            Err(error) => {
                self.stopped = Some(error);
                ControlFlow::Break(())
            }
        }
    }
}

/// What an error of delta means for the engine.
pub(super) fn apply_error(error: ApplyError, stopped: Option<DeviceError>) -> DeviceError {
    if let Some(stopped) = stopped {
        return stopped;
    }
    let text = chain(&error);
    let class = error.class();
    if let ApplyError::Fetch {
        source: FetchError::Failed(source),
        ..
    } = error
        && let Ok(own) = source.downcast::<DeviceError>()
    {
        return *own;
    }
    let trouble = match class {
        ErrorClass::Cancelled => Trouble::Stopped,
        // A class of delta's own: its fetcher is ours, so this is no network that is away.
        ErrorClass::Network | ErrorClass::Local | ErrorClass::Integrity => Trouble::Passing,
    };
    DeviceError::new(trouble, text)
}
