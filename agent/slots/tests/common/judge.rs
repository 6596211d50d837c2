//! What firmware, boot loader and kernel would do with a disk and an ESP.
//!
//! Written without the code under test: the order of entries, the reading of their text and the way from a UKI to its
//! partitions are spelled out once more here; only GPT and verity are the crate's, which has its own tests.

use std::collections::BTreeMap;
use std::io::Cursor;

use roamcore_disk::gpt::{Gpt, Guid, SECTOR};
use roamcore_disk::region::ReadRegion;
use roamcore_disk::verity::{self, RootHash};
use roamcore_slots::Slot;

use super::{BOOT_LOADER, Release, SETTINGS};

/// What came up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// The slot that was committed before.
    Committed,
    /// The other one, on trial.
    Trial { left: u32 },
    /// Nothing, or something nobody may see.
    Bad(String),
}

/// The disk's bytes and the ESP's files.
pub type State = (Vec<u8>, BTreeMap<String, Vec<u8>>);

struct Entry {
    file: String,
    left: Option<u32>,
    version: u64,
    efi: String,
}

fn entries(esp: &BTreeMap<String, Vec<u8>>) -> Vec<Entry> {
    let mut found = Vec::new();
    for (path, text) in esp {
        let Some(file) = path.strip_prefix("loader/entries/") else {
            continue;
        };
        let Some(stem) = file
            .to_ascii_lowercase()
            .strip_suffix(".conf")
            .map(str::to_owned)
        else {
            continue;
        };
        let value = |key: &str| {
            let text = String::from_utf8_lossy(text).into_owned();
            let line = text
                .lines()
                .rfind(|line| line.starts_with(&format!("{key} ")))?
                .to_owned();
            Some(line[key.len() + 1..].trim().to_owned())
        };
        let left = stem
            .rsplit_once('+')
            .map(|(_, counter)| counter.split('-').next().unwrap().parse().unwrap());
        // An entry without a program, or whose program is not there, is none.
        let Some(efi) = value("efi").map(|path| path.trim_start_matches('/').to_owned()) else {
            continue;
        };
        if esp.contains_key(&efi) {
            let version = value("version").and_then(|v| v.parse().ok()).unwrap_or(0);
            found.push(Entry {
                file: file.to_owned(),
                left,
                version,
                efi,
            });
        }
    }
    // No tries left last; higher version first; of one version the counted name first.
    found.sort_by_key(|e| {
        (
            e.left == Some(0),
            std::cmp::Reverse(e.version),
            e.left.is_none(),
        )
    });
    found
}

/// Boots; `known` are the releases whose UKIs the firmware accepts.
pub fn boot((disk, esp): &State, committed: Slot, known: &[&Release]) -> Verdict {
    let bad = |why: String| Verdict::Bad(why);
    for (path, bytes) in [BOOT_LOADER, SETTINGS] {
        if esp.get(path).map(Vec::as_slice) != Some(bytes) {
            return bad(format!("{path} was changed"));
        }
    }
    let entries = entries(esp);
    let Some(entry) = entries.first() else {
        return bad("no boot entry".into());
    };
    let uki = &esp[&entry.efi];
    let Some(release) = known.iter().find(|release| release.uki == *uki) else {
        return bad(format!("{} starts a UKI that is not signed", entry.file));
    };
    let text = String::from_utf8_lossy(uki).into_owned();
    let hash = &text[text.find("roothash=").unwrap() + 9..][..64];
    let hash: RootHash = hash.parse().unwrap();
    let gpt = match Gpt::read_from(&mut Cursor::new(disk), disk.len() as u64) {
        Ok(found) => found.gpt,
        Err(error) => return bad(error.to_string()),
    };
    let find = |guid: Guid| {
        let found: Vec<_> = gpt
            .partitions
            .iter()
            .filter(|p| p.part_guid == guid)
            .collect();
        match found.as_slice() {
            [one] => Ok((*one).clone()),
            other => Err(format!("{} partitions have PARTUUID {guid}", other.len())),
        }
    };
    let (data, tree) = hash.partuuids();
    let (data, tree) = match (find(data), find(tree)) {
        (Ok(data), Ok(tree)) => (data, tree),
        (Err(why), _) | (_, Err(why)) => return bad(format!("{}: {why}", entry.file)),
    };
    let region = |p: &roamcore_disk::gpt::Partition| {
        let sectors = p.last_lba + 1 - p.first_lba;
        ReadRegion::new(disk.as_slice(), p.first_lba * SECTOR, sectors * SECTOR)
    };
    if let Err(error) = verity::verify(&region(&data), &region(&tree), &hash) {
        return bad(format!("{}: {error}", entry.file));
    }
    let slot = if data.name == committed.data_label() {
        committed
    } else {
        committed.other()
    };
    let pair = (data.name.as_str(), tree.name.as_str());
    if pair != (slot.data_label(), slot.hash_label()) || entry.efi != slot.uki_path() {
        return bad(format!("{} mixes {pair:?} and {}", entry.file, entry.efi));
    }
    match (slot == committed, entry.left) {
        (true, None) => Verdict::Committed,
        (false, Some(left)) if left > 0 => Verdict::Trial { left },
        _ => bad(format!(
            "{} {} boots as {}",
            release.version, slot, entry.file
        )),
    }
}
