//! The idle slot's boot entry.
//!
//! Owns: the order on the ESP. Never does: change a name of the running slot's. Invariant: an entry of the slot exists
//! under a name the boot loader looks at only while the slot is sealed and its UKI was read back.
//!
//! ```text
//!   loader/entries   names of the entry removed | gaps filled | roamcore-b.tmp written --rename--> roamcore-b+3.conf
//! ```
//! with a sync at each `|` and at the end. Renames stay within one directory, and those of the entry within one sector
//! ([`crate::placement`]), so that each is one write. Where a cut leaves both names all the same, on a disk that writes
//! less than a sector, [`IdleSlot::repair`] knows.

use roamcore_agent::commit::spare_name;
use roamcore_agent::entry::{DIRECTORY, EntryName};
use roamcore_agent::log;
use roamcore_agent::mounts::Access;
use roamcore_agent::slot::Slot;
use roamcore_disk::verity::RootHash;
use roamcore_ota::{Digest, Version};

use crate::boot_entry::{BootEntry, Note};
use crate::error::SlotError;
use crate::esp::EspTree;
use crate::facts::{ENTRY_LIMIT, Entries};
use crate::idle::IdleSlot;
use crate::placement;

/// Tries of a trial.
pub const TRIES: u32 = 3;
/// How often a trial may be armed again without having come to an end: with [`TRIES`] that is nine boots, more than
/// cranking an engine cuts short. The engine counts the same in its record; here it is kept in the entry itself, so
/// that it holds without the record.
pub const MOST_REARMS: u32 = 2;

/// What is armed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ArmRequest {
    /// The release.
    pub release: Version,
    /// Its sequence; the entry's version is this, or one more than the running slot's, whichever is higher.
    pub sequence: u64,
    /// Root hash of the slot.
    pub root_hash: RootHash,
    /// SHA-256 of its UKI.
    pub uki_sha256: Digest,
}

/// Names and contents; a directory has none.
type OtherEntries = Vec<(String, Option<Vec<u8>>)>;

/// Names of a slot's entry, without the spare one.
pub(crate) fn names_of(esp: &dyn EspTree, slot: Slot) -> Result<Vec<String>, SlotError> {
    let of_slot = |name: &String| EntryName::parse(name).is_ok_and(|e| e.slot() == Some(slot));
    let items = esp.list(DIRECTORY)?;
    Ok(items
        .into_iter()
        .map(|item| item.name)
        .filter(of_slot)
        .collect())
}

/// Leaves no room among the entries but in a new sector.
fn fill_gaps(esp: &dyn EspTree) -> Result<(), SlotError> {
    let missing = || -> Result<Option<Vec<String>>, SlotError> {
        let bytes = esp.raw_directory(DIRECTORY)?;
        Ok(bytes.map(|bytes| placement::fillers(&bytes)))
    };
    let Some(names) = missing()? else {
        return Ok(());
    };
    for name in names {
        esp.create(&format!("{DIRECTORY}/{name}"), &mut std::io::empty())?;
    }
    // Durable before the names behind them: a directory ends at the first place that was never written.
    esp.sync(DIRECTORY)?;
    if let Some(left) = missing()?.filter(|left| !left.is_empty()) {
        log::warning(format!(
            "{DIRECTORY} still has {} gaps: a power cut while a try is counted may leave two names",
            left.len()
        ));
    }
    Ok(())
}

/// Names of the files that only fill gaps.
pub(crate) fn fillers(esp: &dyn EspTree) -> Result<Vec<String>, SlotError> {
    let names = esp.list(DIRECTORY)?.into_iter().map(|item| item.name);
    Ok(names.filter(|name| placement::is_filler(name)).collect())
}

impl IdleSlot<'_> {
    /// Puts the slot on trial: the next boot takes it, three times at most.
    ///
    /// # Errors
    /// Slot and UKI are not what is armed, or the ESP fails.
    pub fn arm(&self, request: &ArmRequest) -> Result<(), SlotError> {
        self.require_sealed(request.root_hash)?;
        let esp = self.esp()?;
        self.require_uki(esp.as_ref(), request.uki_sha256)?;
        let note = |rearmed| Note {
            release: request.release.to_string(),
            sequence: request.sequence,
            root: request.root_hash,
            uki: request.uki_sha256,
            rearmed,
        };
        let file = EntryName::counted(self.slot, TRIES);
        if names_of(esp.as_ref(), self.slot)? == [file.clone()] {
            let text = esp.read(&format!("{DIRECTORY}/{file}"), ENTRY_LIMIT)?;
            let present = BootEntry::parse(&text.unwrap_or_default());
            let rearmed = present.note.as_ref().map_or(0, |note| note.rearmed);
            if present.note == Some(note(rearmed)) {
                return esp.close();
            }
        }
        // Before the trial can begin: what is noted from then on is about it.
        self.media.forget_trials()?;
        let version = self.version_before_running(esp.as_ref(), request.sequence)?;
        let entry = BootEntry::new(self.slot, version, note(0));
        self.install(esp.as_ref(), entry.to_text().as_bytes(), &file)?;
        esp.close()
    }

    /// Gives a trial its tries back, when it was interrupted rather than failed; whether it was, is for the caller to
    /// say.
    ///
    /// # Errors
    /// There is no trial, or it was armed again often enough.
    pub fn rearm(&self) -> Result<(), SlotError> {
        let slot = self.slot;
        let esp = self.esp()?;
        let entries = Entries::read(esp.as_ref())?;
        let counted = entries.bootable.into_iter().find(|candidate| {
            candidate.name.slot() == Some(slot)
                && matches!(candidate.name, EntryName::Counted { .. })
        });
        let Some((mut entry, mut note)) = counted.and_then(|found| {
            let note = found.entry.note.clone()?;
            Some((found.entry, note))
        }) else {
            return Err(SlotError::NotArmed { slot });
        };
        self.require_sealed(note.root)?;
        self.require_uki(esp.as_ref(), note.uki)?;
        if note.rearmed >= MOST_REARMS {
            let times = note.rearmed;
            return Err(SlotError::RearmedTooOften { slot, times });
        }
        self.media.forget_trials()?;
        note.rearmed += 1;
        entry.note = Some(note);
        let file = EntryName::counted(slot, TRIES);
        self.install(esp.as_ref(), entry.to_text().as_bytes(), &file)?;
        esp.close()
    }

    /// Takes the trial back; the slot stays written and can be armed again.
    ///
    /// # Errors
    /// The ESP fails.
    pub fn disarm(&self) -> Result<(), SlotError> {
        let esp = self.media.esp(Access::Read)?;
        let names = names_of(esp.as_ref(), self.slot)?;
        esp.close()?;
        let counted =
            |name: &String| matches!(EntryName::parse(name), Ok(EntryName::Counted { .. }));
        if !names.iter().any(counted) {
            return Ok(());
        }
        let esp = self.esp()?;
        self.remove_entries(esp.as_ref())?;
        esp.close()
    }

    /// A version that sorts before the running slot's. Sequences only grow, but one that starts again after a change of
    /// keys, or the older release that a user goes back to, must come first as well.
    fn version_before_running(&self, esp: &dyn EspTree, sequence: u64) -> Result<u64, SlotError> {
        let running = self.slot.other();
        let entries = Entries::read(esp)?;
        let mut found = entries.bootable.iter().chain(&entries.dead);
        let entry = found.find(|candidate| candidate.name.slot() == Some(running));
        let version = entry
            .and_then(|candidate| candidate.entry.version.clone())
            .unwrap_or_default();
        let number: Option<u64> = version.parse().ok().filter(|n| *n < u64::MAX / 2);
        match number {
            Some(number) => Ok(sequence.max(number + 1)),
            None => Err(SlotError::Version(version)),
        }
    }

    /// Everything among the entries that is not this slot's.
    fn other_entries(&self, esp: &dyn EspTree) -> Result<OtherEntries, SlotError> {
        let own = names_of(esp, self.slot)?;
        let spare = spare_name(self.slot.entry_file());
        let mut found = OtherEntries::new();
        for item in esp.list(DIRECTORY)? {
            if own.contains(&item.name) || item.name == spare || placement::is_filler(&item.name) {
                continue;
            }
            let bytes = match item.is_file {
                true => esp.read(&format!("{DIRECTORY}/{}", item.name), ENTRY_LIMIT)?,
                false => None,
            };
            found.push((item.name, bytes));
        }
        Ok(found)
    }

    /// Writes the slot's entry under one name and removes all others.
    pub(crate) fn install(
        &self,
        esp: &dyn EspTree,
        text: &[u8],
        file: &str,
    ) -> Result<(), SlotError> {
        let before = self.other_entries(esp)?;
        let spare = spare_name(self.slot.entry_file());
        // Also removes a spare one. While there is no name, the running slot boots.
        self.remove_entries(esp)?;
        fill_gaps(esp)?;
        esp.create(&format!("{DIRECTORY}/{spare}"), &mut &*text)?;
        esp.sync(DIRECTORY)?;
        esp.rename(DIRECTORY, &spare, file)?;
        esp.sync(DIRECTORY)?;
        let names = names_of(esp, self.slot)?;
        let digest = esp.digest(&format!("{DIRECTORY}/{file}"))?;
        if names != [file.to_owned()]
            || digest != Some(Digest::of(text))
            || self.other_entries(esp)? != before
        {
            return Err(SlotError::Entries(names));
        }
        Ok(())
    }
}
