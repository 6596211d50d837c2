//! Where things are kept, and when they are saved: `storage.cfg`, `jobs.cfg`, `datacenter.cfg`, `mapping/directory.cfg`.

use roamcore_spec::appliance::{Backup, DataPartition, Kind};

use super::{CompileError, Input};
use crate::db::Files;
use crate::text::schema::{Invalid, JOBS, PRUNE, Prop, Rule, STORAGE, SectionType, Value};
use crate::text::{Header, Props, Section, SectionFile};

/// The storage of guests' volumes.
pub const GUEST_STORAGE: &str = "local-lvm";
/// Its volume group: the guests partition is its only member.
pub const VOLUME_GROUP: &str = "guests";
/// Its thin pool.
pub const THIN_POOL: &str = "pool";
/// The storage of backups.
pub const BACKUP_STORAGE: &str = "backup";

pub(super) fn files(input: &Input<'_>, pve: &mut Files) -> Result<(), CompileError> {
    pve.insert("datacenter.cfg".to_owned(), DATACENTER.as_bytes().to_vec());
    pve.insert("storage.cfg".to_owned(), storage(input)?);
    if !input.appliance.backup.is_empty() {
        pve.insert("jobs.cfg".to_owned(), jobs(input)?);
    }
    if let Some(text) = directories(input)? {
        pve.insert("mapping/directory.cfg".to_owned(), text);
    }
    Ok(())
}

/// Cards that the owner adds have the same prefix as ours.
const DATACENTER: &str = "keyboard: en-us\nmac_prefix: BC:24:11\n";

fn refused(file: &str) -> impl Fn(Invalid) -> CompileError + '_ {
    move |source| CompileError::Schema {
        file: file.to_owned(),
        source,
    }
}

fn storage(input: &Input<'_>) -> Result<Vec<u8>, CompileError> {
    let refused = refused("storage.cfg");
    let mut file = SectionFile::new(Header::TypeAndId, STORAGE);
    // The built-in one: any other path would be put back to this one.
    let local = Section::new("dir", "local")
        .with("path", "/var/lib/vz")
        .with("content", "iso,snippets,vztmpl");
    file.add(local).map_err(&refused)?;
    if input.appliance.partitions.guests.is_some() {
        let pool = Section::new("lvmthin", GUEST_STORAGE)
            .with("thinpool", THIN_POOL)
            .with("vgname", VOLUME_GROUP)
            .with("content", "images,rootdir");
        file.add(pool).map_err(&refused)?;
    }
    if let Some(partition) = input.appliance.data_partition(DataPartition::Backup) {
        // Never fills the root when the partition is not mounted.
        let backup = Section::new("dir", BACKUP_STORAGE)
            .with("path", &partition.mount)
            .with("content", "backup")
            .with("is_mountpoint", &partition.mount);
        file.add(backup).map_err(&refused)?;
    }
    Ok(file.to_text().into_bytes())
}

fn jobs(input: &Input<'_>) -> Result<Vec<u8>, CompileError> {
    let refused = refused("jobs.cfg");
    let mut file = SectionFile::new(Header::TypeAndId, JOBS);
    for job in &input.appliance.backup {
        let keep = job.keep.set().into_iter();
        let prune = keep.fold(Props::new(), |parts, (name, number)| {
            parts.with(&format!("keep-{name}"), number)
        });
        let section = Section::new("vzdump", job.name.as_str())
            .with("schedule", &job.schedule)
            .with("compress", "zstd")
            .with("enabled", 1)
            .with("mode", job.mode.name())
            .with("notes-template", "{{guestname}}")
            .with("prune-backups", prune.text(&PRUNE).map_err(&refused)?)
            // A van is off at night as often as not.
            .with("repeat-missed", 1)
            .with("storage", BACKUP_STORAGE)
            .with("vmid", ids(input, job)?);
        file.add(section).map_err(&refused)?;
    }
    Ok(file.to_text().into_bytes())
}

fn ids(input: &Input<'_>, job: &Backup) -> Result<String, CompileError> {
    let mut ids = Vec::new();
    for name in &job.guests {
        let guest = input
            .appliance
            .guest
            .iter()
            .find(|guest| guest.name == *name);
        let guest = guest.ok_or_else(|| CompileError::Missing {
            of: job.name.to_string(),
            what: "guest",
            name: name.to_string(),
        })?;
        ids.push(guest.id);
    }
    ids.sort_unstable();
    Ok(ids
        .iter()
        .map(ToString::to_string)
        .collect::<Vec<_>>()
        .join(","))
}

const WORD: Rule = Rule {
    expected: "a directory of this node",
    test: |text| text.starts_with("node="),
};

/// The type of the file's sections: their header is an id alone.
static DIRECTORIES: &[SectionType] = &[SectionType {
    name: "",
    id: |id| !id.is_empty() && id.chars().all(|c| c.is_ascii_lowercase()),
    props: &[Prop {
        name: "map",
        value: Value::Text(&WORD),
        required: true,
    }],
    repeated: &["map"],
}];

/// Directories that virtual machines see by virtiofs.
fn directories(input: &Input<'_>) -> Result<Option<Vec<u8>>, CompileError> {
    let refused = refused("mapping/directory.cfg");
    let machine = |guest: &&roamcore_spec::appliance::Guest| {
        input
            .appliance
            .template_of(guest)
            .is_some_and(|template| template.kind == Kind::Vm)
    };
    let mounts = input
        .appliance
        .guest
        .iter()
        .filter(machine)
        .flat_map(|guest| &guest.mount);
    let mut partitions: Vec<DataPartition> = mounts.map(|mount| mount.partition).collect();
    partitions.sort_unstable();
    partitions.dedup();
    let mut file = SectionFile::new(Header::IdOnly, DIRECTORIES);
    for partition in &partitions {
        let Some(mounted) = input.appliance.data_partition(*partition) else {
            continue;
        };
        let map = format!("node={},path={}", input.node, mounted.mount);
        let section = Section::new("", partition.name()).with("map", map);
        file.add(section).map_err(&refused)?;
    }
    Ok((!partitions.is_empty()).then(|| file.to_text().into_bytes()))
}
