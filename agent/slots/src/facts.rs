//! What is on the disk, and what it means.
//!
//! Owns: the facts of both slots and the one reading of them, [`Facts::situation`], from which the engine finds its way
//! when its own record is lost. Never does: write, or remember. Invariant: a fact that cannot be read is an error;
//! what is merely damaged is a fact.

use roamcore_agent::attempts::Failure;
use roamcore_agent::entry::{Counter, DIRECTORY, EntryName};
use roamcore_agent::mounts::Access;
use roamcore_agent::slot::Slot;
use serde::Serialize;

use crate::boot_entry::BootEntry;
use crate::content::Content;
use crate::error::SlotError;
use crate::esp::{EspTree, Item};
use crate::loader::{self, Candidate};
use crate::media::{Circumstances, Media, Part};
use crate::placement;
use crate::table;

/// An entry has a few hundred bytes.
pub(crate) const ENTRY_LIMIT: u64 = 256 * 1024;

/// A slot's boot entry.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "is", rename_all = "kebab-case")]
pub enum EntryState {
    /// There is none: the boot loader does not know the slot.
    None,
    /// On trial.
    Counted {
        /// File name.
        file: String,
        /// Tries left.
        left: u32,
        /// Tries used.
        done: u32,
        /// Its text.
        entry: BootEntry,
    },
    /// For good.
    Committed {
        /// File name.
        file: String,
        /// Its text.
        entry: BootEntry,
    },
}

impl EntryState {
    /// Its text.
    #[must_use]
    pub fn entry(&self) -> Option<&BootEntry> {
        match self {
            Self::None => None,
            Self::Counted { entry, .. } | Self::Committed { entry, .. } => Some(entry),
        }
    }
}

/// One slot.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct SlotFacts {
    /// Which.
    pub slot: Slot,
    /// Its partitions.
    pub content: Content,
    /// Its entry; of several the one that the boot loader takes first.
    pub entry: EntryState,
    /// More names of the same entry, as a rename that was cut in two leaves them.
    pub duplicates: Vec<String>,
    /// Size of its UKI, when there is one.
    pub uki_bytes: Option<u64>,
}

/// The partition table.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "is", rename_all = "kebab-case")]
pub enum TableState {
    /// Both copies are whole and equal.
    Whole,
    /// One copy is damaged, or says something else.
    Repairable {
        /// What is wrong with it.
        fault: String,
    },
}

/// Both slots, and what the machine knows.
#[derive(Debug, Clone)]
pub struct Facts {
    /// The slot that runs.
    pub running: SlotFacts,
    /// The other one.
    pub idle: SlotFacts,
    /// The slot of the entry that the boot loader takes next; none when that is not one of ours, or there is none.
    pub next: Option<Slot>,
    /// The partition table.
    pub table: TableState,
    /// Names among the boot entries that belong to neither slot; they are left alone.
    pub strays: Vec<String>,
    /// What only the running machine knows.
    pub circumstances: Circumstances,
}

/// How a trial that did not end in a commit went.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "is", rename_all = "kebab-case")]
pub enum TrialVerdict {
    /// Something found a failure and said so.
    Failed(Failure),
    /// At least one boot came as far as the state, and no boot said why it ended: the power, or a hang or panic later
    /// on, which only a watchdog's or pstore's record could tell apart.
    Interrupted,
    /// No boot came as far as the state: kernel, initrd or verity, or very short power.
    NeverCameUp,
}

/// What the disk tells about the update that was under way.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "is", rename_all = "kebab-case")]
pub enum Situation {
    /// The running slot is on trial.
    OnTrial {
        /// Tries left.
        left: u32,
        /// Tries used.
        done: u32,
    },
    /// The idle slot is tried at the next boot for the first time.
    Armed,
    /// It was tried.
    Tried {
        /// Tries left: with some, the next boot tries it again.
        left: u32,
        /// Tries used.
        done: u32,
        /// How it went.
        verdict: TrialVerdict,
    },
    /// The idle slot is committed and comes first: the boot loader was told to take this one once, because the other
    /// one no longer comes up.
    FellOver,
    /// The idle slot is what the running one falls back to.
    Quiet,
    /// The idle slot holds a whole root that nothing boots: not armed yet, disarmed, or its entry was lost.
    Sealed,
    /// The idle slot is marked as empty: it is being written.
    Unfinished,
    /// The idle slot holds nothing that could boot.
    Empty,
}

impl Facts {
    /// Reads everything.
    pub(crate) fn read(media: &dyn Media, esp: &dyn EspTree) -> Result<Self, SlotError> {
        let disk = media.table(Access::Read)?;
        let found = table::read(disk.as_ref())?;
        let content = |slot: Slot| {
            let partuuids = table::partuuids(&found.gpt, disk.as_ref(), slot)?;
            let (data, tree) = (media.read(slot, Part::Data)?, media.read(slot, Part::Tree)?);
            Content::of(slot, partuuids, data.as_ref(), tree.as_ref())
        };
        let entries = Entries::read(esp)?;
        let facts = |slot: Slot| {
            let (entry, duplicates) = entries.of(slot);
            Ok::<_, SlotError>(SlotFacts {
                slot,
                content: content(slot)?,
                entry,
                duplicates,
                uki_bytes: esp.size(slot.uki_path())?,
            })
        };
        let running = media.running();
        Ok(Self {
            running: facts(running)?,
            idle: facts(running.other())?,
            next: entries.bootable.first().and_then(|first| first.name.slot()),
            table: match table::fault(&found) {
                None => TableState::Whole,
                Some(fault) => TableState::Repairable {
                    fault: fault.to_string(),
                },
            },
            strays: entries.strays,
            circumstances: media.circumstances()?,
        })
    }

    /// What it all means.
    #[must_use]
    pub fn situation(&self) -> Situation {
        if let Some(trial) = &self.circumstances.trial {
            return Situation::OnTrial {
                left: trial.tries_left,
                done: trial.tries_done,
            };
        }
        match (&self.idle.entry, self.idle.content) {
            (EntryState::Counted { done: 0, .. }, _) => Situation::Armed,
            (EntryState::Counted { left, done, .. }, _) => Situation::Tried {
                left: *left,
                done: *done,
                verdict: self.verdict(),
            },
            (EntryState::Committed { .. }, _) if self.next == Some(self.idle.slot) => {
                Situation::FellOver
            }
            (EntryState::Committed { .. }, _) => Situation::Quiet,
            (EntryState::None, Content::Sealed { .. }) => Situation::Sealed,
            (EntryState::None, Content::Invalid) => Situation::Unfinished,
            (EntryState::None, Content::Foreign) => Situation::Empty,
        }
    }

    fn verdict(&self) -> TrialVerdict {
        let attempts = self.circumstances.attempts.as_ref();
        let attempts = attempts.filter(|record| record.slot == self.idle.slot);
        match attempts {
            None => TrialVerdict::NeverCameUp,
            Some(record) => match &record.failure {
                Some(failure) => TrialVerdict::Failed(failure.clone()),
                None if record.boots.is_empty() => TrialVerdict::NeverCameUp,
                None => TrialVerdict::Interrupted,
            },
        }
    }
}

/// Everything in loader/entries.
pub(crate) struct Entries {
    /// Those whose program is there, in the boot loader's order.
    pub(crate) bootable: Vec<Candidate>,
    /// Those the boot loader passes over because their program is not there.
    pub(crate) dead: Vec<Candidate>,
    /// The rest, without what fills gaps.
    pub(crate) strays: Vec<String>,
}

impl Entries {
    pub(crate) fn read(esp: &dyn EspTree) -> Result<Self, SlotError> {
        let (mut bootable, mut dead, mut strays) = (Vec::new(), Vec::new(), Vec::new());
        for Item { name, is_file } in esp.list(DIRECTORY)? {
            if placement::is_filler(&name) {
                continue;
            }
            let parsed = EntryName::parse(&name).ok().filter(|_| is_file);
            let Some(parsed) = parsed else {
                strays.push(name);
                continue;
            };
            let text = esp.read(&format!("{DIRECTORY}/{name}"), ENTRY_LIMIT)?;
            let entry = BootEntry::parse(&text.unwrap_or_default());
            let program = match &entry.efi {
                Some(path) => esp.size(path)?,
                None => None,
            };
            if parsed.slot().is_none() {
                strays.push(name);
            }
            let candidate = Candidate {
                name: parsed,
                entry,
            };
            if program.is_some() {
                bootable.push(candidate);
            } else {
                dead.push(candidate);
            }
        }
        loader::order(&mut bootable);
        loader::order(&mut dead);
        Ok(Self {
            bootable,
            dead,
            strays,
        })
    }

    /// A slot's entry and its other names.
    fn of(&self, slot: Slot) -> (EntryState, Vec<String>) {
        let mut found = self
            .bootable
            .iter()
            .chain(&self.dead)
            .filter(|candidate| candidate.name.slot() == Some(slot));
        let Some(first) = found.next() else {
            return (EntryState::None, Vec::new());
        };
        let entry = first.entry.clone();
        let state = match &first.name {
            EntryName::Committed { file } => EntryState::Committed {
                file: file.clone(),
                entry,
            },
            EntryName::Counted {
                file,
                counter: Counter { left, done },
                ..
            } => EntryState::Counted {
                file: file.clone(),
                left: *left,
                done: *done,
                entry,
            },
        };
        (state, found.map(|other| other.file().to_owned()).collect())
    }
}
