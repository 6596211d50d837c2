//! A disk with two slots that is a plain file, with a directory as its ESP.
//!
//! Owns: a stand-in for a machine, for tests of everything above the slots and for looking into images. The code below
//! it is the machine's own. Never does: mount.

use std::path::{Path, PathBuf};

use roamcore_agent::attempts;
use roamcore_agent::mounts::Access;
use roamcore_agent::slot::Slot;
use rustix::fs::OFlags;

use crate::block::FileBlock;
use crate::error::SlotError;
use crate::esp::EspTree;
use crate::esp_dir::EspDirectory;
use crate::fence::TableFence;
use crate::media::{Block, Circumstances, EtcTrees, Media, Part};
use crate::table;

/// See the module.
#[derive(Debug, Clone)]
pub struct ImageFiles {
    /// The disk.
    pub disk: PathBuf,
    /// The ESP's files.
    pub esp: PathBuf,
    /// The slot that is taken to run.
    pub running: Slot,
    /// What stands for the state partition, when there is one.
    pub state: Option<PathBuf>,
    /// The running image's /etc and the new one's.
    pub etc: Option<(PathBuf, PathBuf)>,
    /// What the machine would know; the attempts are read from the state.
    pub circumstances: Circumstances,
}

impl ImageFiles {
    /// A disk and an ESP without a state.
    #[must_use]
    pub fn new(disk: &Path, esp: &Path, running: Slot) -> Self {
        Self {
            disk: disk.to_owned(),
            esp: esp.to_owned(),
            running,
            state: None,
            etc: None,
            circumstances: Circumstances::default(),
        }
    }

    fn part(&self, slot: Slot, part: Part, flags: OFlags) -> Result<Box<dyn Block>, SlotError> {
        let disk = FileBlock::open(&self.disk, OFlags::RDONLY)?;
        let found = table::read(&disk)?;
        let label = part.label(slot);
        let Some(partition) = found.gpt.partition(label) else {
            return Err(SlotError::Missing {
                disk: self.disk.clone(),
                what: format!("partition {label:?}"),
            });
        };
        let block = FileBlock::open(&self.disk, flags)?;
        Ok(Box::new(block.part(partition.offset(), partition.size())?))
    }
}

impl Media for ImageFiles {
    fn running(&self) -> Slot {
        self.running
    }

    fn table(&self, access: Access) -> Result<Box<dyn Block>, SlotError> {
        let flags = match access {
            Access::Read => OFlags::RDONLY,
            Access::Write => OFlags::RDWR,
        };
        Ok(Box::new(TableFence(FileBlock::open(&self.disk, flags)?)))
    }

    fn read(&self, slot: Slot, part: Part) -> Result<Box<dyn Block>, SlotError> {
        self.part(slot, part, OFlags::RDONLY)
    }

    fn write_idle(&self, part: Part) -> Result<Box<dyn Block>, SlotError> {
        self.part(self.running.other(), part, OFlags::RDWR)
    }

    fn esp(&self, _access: Access) -> Result<Box<dyn EspTree>, SlotError> {
        Ok(Box::new(EspDirectory::open(&self.esp)?))
    }

    fn circumstances(&self) -> Result<Circumstances, SlotError> {
        let mut known = self.circumstances.clone();
        if let Some(state) = &self.state {
            known.attempts = attempts::load(state)?;
        }
        Ok(known)
    }

    fn forget_trials(&self) -> Result<(), SlotError> {
        match &self.state {
            Some(state) => Ok(attempts::clear(state)?),
            None => Ok(()),
        }
    }

    fn etc(&self) -> Result<Option<EtcTrees>, SlotError> {
        let trees = self.state.as_ref().zip(self.etc.as_ref());
        Ok(trees.map(|(state, (base, theirs))| EtcTrees {
            base: base.clone(),
            theirs: theirs.clone(),
            state: state.clone(),
            mounts: Vec::new(),
        }))
    }
}
