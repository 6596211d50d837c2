//! What a power cut, the firmware or the boot loader may leave, put right.
//!
//! Owns: the idle slot's part of it, and a copy of the partition table that is not in use. Never does: touch what belongs
//! to the running slot or to nobody: a torn name that looks like rubbish may share its clusters with a good one. Invariant:
//! changes nothing when nothing is wrong, and nothing but what it names.
//!
//! ```text
//!   spare name of a UKI                left: the beginning of the next one, or a second name of the one in place
//!   spare name of an entry             removed; with a name of the same entry beside it as several names
//!   fillers without a counted entry    removed
//!   entry of a slot that cannot boot   removed: the boot loader must not lose a boot on it
//!   several names of one entry         all removed, then written anew: two names may be of one file
//! ```

use roamcore_agent::commit::spare_name;
use roamcore_agent::entry::{DIRECTORY, EntryName};
use roamcore_agent::log;
use roamcore_agent::mounts::Access;
use serde::Serialize;

use crate::arm::fillers;
use crate::boot_entry::BootEntry;
use crate::content::Content;
use crate::error::SlotError;
use crate::esp::EspTree;
use crate::facts::{ENTRY_LIMIT, Entries};
use crate::idle::IdleSlot;
use crate::loader::Candidate;
use crate::table;

/// Something [`IdleSlot::repair`] put right.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "was", rename_all = "kebab-case")]
pub enum Repair {
    /// A copy of the partition table was made equal to the one in use.
    Table {
        /// What was wrong with it.
        fault: String,
    },
    /// A file that a cut left behind was removed.
    StaleFile {
        /// Its path.
        path: String,
    },
    /// Files that kept a trial's names together were removed after the trial.
    Fillers {
        /// How many.
        files: usize,
    },
    /// An entry had several names; it has one now.
    Duplicates {
        /// The name.
        kept: String,
    },
    /// An entry that could not have booted was removed.
    DeadEntry {
        /// Why not.
        why: String,
    },
}

impl IdleSlot<'_> {
    /// Puts the idle slot's part of the ESP and the partition table into a state that a step could have left, whatever
    /// a cut, the firmware or the boot loader made of them. Changes nothing when nothing is wrong.
    ///
    /// # Errors
    /// Something cannot be read or written.
    pub fn repair(&self) -> Result<Vec<Repair>, SlotError> {
        let mut done = Vec::new();
        self.repair_table(&mut done)?;
        let content = self.content()?;
        let esp = self.media.esp(Access::Read)?;
        let plan = self.plan(esp.as_ref(), content)?;
        esp.close()?;
        if plan.is_empty() {
            return Ok(done);
        }
        let esp = self.esp()?;
        for step in plan {
            match &step {
                Repair::StaleFile { path } => {
                    esp.remove(path)?;
                    let directory = path.rsplit_once('/').map_or("", |(directory, _)| directory);
                    esp.sync(directory)?;
                }
                Repair::DeadEntry { .. } => self.remove_entries(esp.as_ref())?,
                Repair::Duplicates { kept } => {
                    let text = esp.read(&format!("{DIRECTORY}/{kept}"), ENTRY_LIMIT)?;
                    self.install(esp.as_ref(), &text.unwrap_or_default(), kept)?;
                }
                Repair::Fillers { .. } => {
                    for name in fillers(esp.as_ref())? {
                        esp.remove(&format!("{DIRECTORY}/{name}"))?;
                    }
                    esp.sync(DIRECTORY)?;
                }
                Repair::Table { .. } => {}
            }
            log::warning(format!("repaired {}: {step:?}", self.slot));
            done.push(step);
        }
        esp.close()?;
        Ok(done)
    }

    fn repair_table(&self, done: &mut Vec<Repair>) -> Result<(), SlotError> {
        let disk = self.media.table(Access::Read)?;
        let found = table::read(disk.as_ref())?;
        let Some(fault) = table::fault(&found).map(ToString::to_string) else {
            return Ok(());
        };
        let same = table::partuuids(&found.gpt, disk.as_ref(), self.slot)?;
        drop(disk);
        let disk = self.media.table(Access::Write)?;
        table::set(disk.as_ref(), self.slot, same)?;
        done.push(Repair::Table { fault });
        Ok(())
    }

    /// What is wrong on the ESP.
    fn plan(&self, esp: &dyn EspTree, content: Content) -> Result<Vec<Repair>, SlotError> {
        let mut plan = Vec::new();
        let path = format!("{DIRECTORY}/{}", spare_name(self.slot.entry_file()));
        let spare = esp.size(&path)?.is_some();
        let entries = Entries::read(esp)?;
        let own: Vec<_> = entries
            .bootable
            .iter()
            .chain(&entries.dead)
            .filter(|candidate| candidate.name.slot() == Some(self.slot))
            .collect();
        let counted = |entry: &&Candidate| matches!(entry.name, EntryName::Counted { .. });
        let files = fillers(esp)?.len();
        if files > 0 && !own.iter().copied().any(|entry| counted(&entry)) {
            plan.push(Repair::Fillers { files });
        }
        let Some(first) = own.first() else {
            if spare {
                plan.push(Repair::StaleFile { path });
            }
            return Ok(plan);
        };
        if let Some(why) = self.why_dead(esp, content, &first.entry)? {
            plan.push(Repair::DeadEntry { why });
        } else if own.len() > 1 || spare {
            // Removing the spare name alone could free the clusters of the other one.
            plan.push(Repair::Duplicates {
                kept: first.file().to_owned(),
            });
        }
        Ok(plan)
    }

    /// Why an entry of the slot cannot boot it.
    fn why_dead(
        &self,
        esp: &dyn EspTree,
        content: Content,
        entry: &BootEntry,
    ) -> Result<Option<String>, SlotError> {
        let Some(root_hash) = content.root_hash() else {
            return Ok(Some(format!("the slot holds {content}")));
        };
        let uki = esp.digest(self.slot.uki_path())?;
        if entry.efi.as_deref() != Some(self.slot.uki_path()) || uki.is_none() {
            return Ok(Some("it starts no UKI of the slot".into()));
        }
        // The factory's entry says no more.
        Ok(entry.note.as_ref().and_then(|note| {
            if note.root != root_hash {
                Some(format!("it is of root hash {}", note.root))
            } else if uki != Some(note.uki) {
                Some("the UKI is another one".into())
            } else {
                None
            }
        }))
    }
}
