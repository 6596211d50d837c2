//! What firmware and systemd-boot do with an ESP, boot after boot, while every trial fails.

use std::collections::BTreeMap;

use sha2::Digest as _;

use super::{Bad, Boot, Judge, Sha256};
use crate::firmware::dirent::Dirent;
use crate::firmware::entry::{self, BootEntry};
use crate::firmware::fat::{Fat, FatFault, Pick};
use crate::state::{Disk, fingerprint};

/// Directory of the entries.
const ENTRIES: &str = "/loader/entries";
/// No entry is longer; systemd-boot itself has no limit.
const ENTRY_LIMIT: u32 = 1 << 20;
/// Boots that are played through.
const MOST_BOOTS: usize = 16;
/// Files and directories that are looked at for damage.
const MOST_FILES: usize = 4096;

/// What becomes of an ESP.
#[derive(Debug, Clone)]
pub(super) struct EspStory {
    /// The boots that follow; more than one story when it depends on which of two files of one name is opened.
    pub(super) worlds: Vec<Vec<Boot>>,
    /// Damage that no boot minds.
    pub(super) fragile: Vec<String>,
}

/// Plays an ESP through.
pub(super) fn tell(judge: &Judge, disk: &dyn Disk, range: (u64, u64)) -> Result<EspStory, Bad> {
    let mut worlds = Vec::new();
    let fat = Fat::open(disk, range, Pick::First)?;
    worlds.push(world(judge, disk, &fat)?);
    if fat.ambiguous() {
        worlds.push(world(judge, disk, &Fat::open(disk, range, Pick::Last)?)?);
    }
    worlds.dedup();
    let fragile = fragile(&fat)?;
    Ok(EspStory { worlds, fragile })
}

fn world(judge: &Judge, disk: &dyn Disk, fat: &Fat<'_>) -> Result<Vec<Boot>, Bad> {
    for fixed in &judge.expect.fixed {
        let found = hash(judge, disk, fat, &fixed.path)?;
        if found != fixed.sha256 {
            return Err(Bad::Fixed {
                path: fixed.path.clone(),
                found,
                wanted: fixed.sha256,
            });
        }
    }
    let directory = fat.open_path(ENTRIES)?;
    let shown = fat.list(ENTRIES, directory.cluster)?;
    let mut names: Vec<String> = shown.iter().map(|d| d.name.clone()).collect();
    let mut entries = entries(fat, &shown)?;
    let mut boots = Vec::new();
    while boots.len() < MOST_BOOTS {
        let first = entries
            .iter()
            .enumerate()
            .min_by(|(i, a), (j, b)| a.order(b).then(i.cmp(j)));
        let Some((index, entry)) = first.map(|(index, entry)| (index, entry.clone())) else {
            return Err(Bad::NoEntry(names));
        };
        if entry.used_up() {
            return Err(Bad::UsedUp(entry.file));
        }
        boots.push(Boot {
            release: release(judge, disk, fat, &entry)?,
            content: Sha256::from_bytes(sha2::Sha256::digest(&entry.content).into()),
            tries: entry.tries,
            entry: entry.file.clone(),
        });
        let Some(next) = entry.next_name() else {
            return Ok(boots);
        };
        if names.iter().any(|name| name.eq_ignore_ascii_case(&next)) {
            return Err(Bad::NotCounted {
                entry: entry.file,
                next,
            });
        }
        // The firmware removes the old name and appends the new one to the directory.
        names.retain(|name| !name.eq_ignore_ascii_case(&entry.file));
        names.push(next.clone());
        entries.remove(index);
        entries.extend(BootEntry::parse(&next, &entry.content));
    }
    let entry = boots.pop().map(|boot| boot.entry);
    Err(Bad::TooManyTries(entry.unwrap_or_default()))
}

/// The entries that systemd-boot lists, in the order of the directory.
fn entries(fat: &Fat<'_>, shown: &[Dirent]) -> Result<Vec<BootEntry>, Bad> {
    let mut list = Vec::new();
    let files = shown
        .iter()
        .filter(|d| !d.is_dir && entry::is_read(&d.name));
    for file in files {
        // It is opened by the name that the listing gave.
        let Some(opened) = fat.pick(shown, &file.name) else {
            continue;
        };
        let path = format!("{ENTRIES}/{}", file.name);
        let Ok(content) = fat.read(&path, opened, ENTRY_LIMIT) else {
            continue;
        };
        let Some(entry) = BootEntry::parse(&file.name, &content) else {
            continue;
        };
        match fat.open_path(&entry.program) {
            Ok(_) => list.push(entry),
            Err(FatFault::Missing { .. }) => {}
            Err(fault) => return Err(fault.into()),
        }
    }
    Ok(list)
}

/// The release that an entry starts.
fn release(judge: &Judge, disk: &dyn Disk, fat: &Fat<'_>, entry: &BootEntry) -> Result<usize, Bad> {
    let bad = |why: String| Bad::Program {
        entry: entry.file.clone(),
        program: entry.program.clone(),
        why,
    };
    let found = hash(judge, disk, fat, &entry.program).map_err(|fault| bad(fault.to_string()))?;
    let known = &judge.expect.releases;
    known
        .iter()
        .position(|release| release.uki_sha256 == found)
        .ok_or_else(|| bad(format!("its SHA-256 {found} is no release's")))
}

/// Hash of a file.
fn hash(judge: &Judge, disk: &dyn Disk, fat: &Fat<'_>, path: &str) -> Result<Sha256, FatFault> {
    let file = fat.open_path(path)?;
    let ranges = fat.ranges(path, &file)?;
    let mut failed = false;
    let found = judge.files.get(fingerprint(disk, &ranges), || {
        let mut hash = sha2::Sha256::new();
        let mut buffer = vec![0; 1 << 20];
        for (start, end) in &ranges {
            for at in (*start..*end).step_by(buffer.len()) {
                let len = (end - at).min(buffer.len() as u64) as usize;
                failed |= disk.read_exact_at(&mut buffer[..len], at).is_err();
                hash.update(&buffer[..len]);
            }
        }
        Sha256::from_bytes(hash.finalize().into())
    });
    match failed {
        false => Ok(found),
        true => Err(FatFault::Unreadable {
            path: path.into(),
            reason: "the disk cannot be read",
        }),
    }
}

/// Files that share clusters, or whose clusters are marked free: the next file that is removed or written destroys them.
/// Entries without content: a rename became durable before what it renamed, and the entry is gone for the boot loader.
fn fragile(fat: &Fat<'_>) -> Result<Vec<String>, Bad> {
    let mut owners: BTreeMap<u32, String> = BTreeMap::new();
    let mut found = Vec::new();
    let mut pending = vec![(String::new(), fat.root())];
    let mut seen = 0;
    while let Some((path, cluster)) = pending.pop() {
        for file in fat.list(&path, cluster)? {
            seen += 1;
            let path = format!("{path}/{}", file.name);
            if file.name == "." || file.name == ".." || seen > MOST_FILES {
                continue;
            }
            if file.is_dir {
                pending.push((path, file.cluster));
                continue;
            }
            if file.size > 0 && fat.is_free(file.cluster) {
                found.push(format!("the clusters of {path} are marked free"));
            }
            if file.size == 0 && entry::is_read(&file.name) && path.starts_with(ENTRIES) {
                found.push(format!("{path} has lost its content"));
            }
            let mut sharer = None;
            for cluster in fat.chain(&file) {
                if let Some(owner) = owners.insert(cluster, path.clone()) {
                    sharer = Some(owner);
                }
            }
            if let Some(owner) = sharer {
                found.push(format!("{owner} and {path} share clusters"));
            }
        }
    }
    Ok(found)
}
