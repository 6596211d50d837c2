//! The raw disk image.
//!
//! Owns: where everything lies on the disk: partition table, ESP, slot A, the empty rest. Never
//! does: mount, or touch anything but one sparse file.
//! Invariant: after composing, what the UKI on the ESP says is compared with what the partitions
//! hold; an image that contradicts itself is never handed on.

use std::fs::File;
use std::io::{Seek, SeekFrom};
use std::ops::Range;
use std::path::Path;

use anyhow::{Context, Result, bail, ensure};
use roamcore_disk::fat::{FatImage, FatParams, FatReader, FileSource};
use roamcore_disk::gpt::{self, Gpt, Planned};
use roamcore_disk::region::{ReadRegion, Region};
use roamcore_disk::verity;
use roamcore_pe::uki;
use roamcore_spec::{Appliance, Origin, Role, Slot};

use super::guids;
use super::root::Root;

/// The boot loader's settings (loader.conf(5)). No menu and no editor: the entries decide.
/// `if-safe` enrols Secure Boot keys by itself in virtual machines only.
const LOADER_CONF: &str = "timeout 0\neditor no\nauto-entries no\nauto-firmware no\nauto-reboot no\n\
                           auto-poweroff no\nsecure-boot-enroll if-safe\n";
/// Path of slot A's UKI on the ESP.
pub const UKI_A: &str = "EFI/roamcore/a/roamcore.efi";

/// What goes onto the ESP.
#[derive(Debug)]
pub struct BootFiles<'a> {
    /// Signed systemd-boot.
    pub loader: &'a [u8],
    /// Signed UKI.
    pub uki: &'a [u8],
    /// Files for enrolling Secure Boot keys: name and bytes.
    pub enrol: &'a [(String, Vec<u8>)],
    /// Deployment sequence, the entry's version.
    pub sequence: u64,
}

/// A named stretch of the raw image.
#[derive(Debug, Clone)]
pub struct Area {
    /// Name in the release manifest.
    pub name: String,
    /// Partition number, when it is (the content of) a partition.
    pub number: Option<u32>,
    /// Bytes.
    pub range: Range<u64>,
    /// True when the stretch is zeros by construction.
    pub zero: bool,
}

/// A composed raw image.
#[derive(Debug)]
pub struct Composed {
    /// Size of the raw image in bytes.
    pub size: u64,
    /// All of it, in order, without gaps.
    pub areas: Vec<Area>,
    /// Stretches that must be written when flashing even where they are zero.
    pub keep: Vec<Range<u64>>,
}

/// Writes the disk into a new sparse file at `path`.
pub fn compose(
    path: &Path,
    appliance: &Appliance,
    root: &Root,
    boot: &BootFiles<'_>,
    epoch: u64,
) -> Result<Composed> {
    let seed = root.facts.root_hash.as_bytes();
    let (root_uuid, verity_uuid) = root.facts.root_hash.partuuids();
    let parts: Vec<_> = appliance
        .layout()
        .into_iter()
        .filter(|p| p.origin == Origin::Image)
        .collect();
    let planned: Vec<Planned> = parts
        .iter()
        .map(|part| {
            let part_guid = match part.role {
                Role::Root(Slot::A) => root_uuid,
                Role::Verity(Slot::A) => verity_uuid,
                _ => guids::derive(part.label, seed),
            };
            Ok(Planned {
                name: part.label.to_owned(),
                type_guid: guids::partition_type(part.role).parse()?,
                part_guid,
                attributes: 0,
                size: part.min.bytes(),
            })
        })
        .collect::<Result<_>>()?;
    let table =
        gpt::layout(guids::derive("disk", seed), &planned).context("placing the partitions")?;

    let mut file = File::options()
        .read(true)
        .write(true)
        .create_new(true)
        .open(path)
        .with_context(|| format!("creating {}", path.display()))?;
    file.set_len(table.disk_bytes())
        .context("sizing the disk image")?;
    let mut areas = Areas {
        list: Vec::new(),
        at: 0,
    };
    let mut keep = Vec::new();
    for (index, part) in parts.iter().enumerate() {
        let placed = table
            .partitions
            .get(index)
            .context("the layout lost a partition")?;
        let range = placed.offset()..placed.offset() + placed.size();
        areas.up_to(
            range.start,
            if index == 0 { "gpt-primary" } else { "gap" },
            None,
            index != 0,
        );
        let used = match part.role {
            Role::Esp => {
                let used = write_esp(&mut file, range.clone(), boot, epoch)?;
                keep.push(range.start..range.start + used);
                range.end - range.start
            }
            Role::Root(Slot::A) => copy(&mut file, &range, &root.image())?,
            Role::Verity(Slot::A) => copy(&mut file, &range, &root.tree())?,
            _ => 0,
        };
        if matches!(part.role, Role::Root(_) | Role::Verity(_) | Role::Seed) {
            keep.push(range.start..range.start + used);
        }
        if used > 0 {
            areas.up_to(range.start + used, part.label, Some(part.number), false);
        }
        let (rest, number) = match used {
            0 => (part.label.to_owned(), Some(part.number)),
            _ => (format!("{}-unused", part.label), None),
        };
        areas.up_to(range.end, &rest, number, true);
    }
    areas.up_to(table.disk_bytes(), "gpt-backup", None, false);
    table
        .write_to(&mut file)
        .context("writing the partition table")?;
    keep.push(0..1 << 20);
    keep.push(table.disk_bytes() - (1 << 16)..table.disk_bytes());
    file.sync_all().context("syncing the disk image")?;
    check(&mut file, &table, root)?;
    Ok(Composed {
        size: table.disk_bytes(),
        areas: areas.list,
        keep,
    })
}

struct Areas {
    list: Vec<Area>,
    at: u64,
}

impl Areas {
    fn up_to(&mut self, end: u64, name: &str, number: Option<u32>, zero: bool) {
        if end > self.at {
            let range = self.at..end;
            self.list.push(Area {
                name: name.to_owned(),
                number,
                range,
                zero,
            });
            self.at = end;
        }
    }
}

/// Writes the ESP and returns how many bytes of it are in use.
fn write_esp(file: &mut File, range: Range<u64>, boot: &BootFiles<'_>, epoch: u64) -> Result<u64> {
    let entry = format!(
        "title RoamCore OS\nsort-key roamcore\nversion {}\nefi /{UKI_A}\n",
        boot.sequence
    );
    let params = FatParams {
        size: range.end - range.start,
        volume_id: u32::from_le_bytes(
            *guids::derive("esp", boot.uki)
                .as_bytes()
                .first_chunk()
                .context("a GUID has 16 bytes")?,
        ),
        label: "ROAMCORE".to_owned(),
        time: i64::try_from(epoch).context("the lock's epoch is out of range")?,
    };
    let mut esp = FatImage::new(&params).context("planning the ESP")?;
    esp.add_file("EFI/BOOT/BOOTX64.EFI", FileSource::bytes(boot.loader))?;
    esp.add_file(UKI_A, FileSource::bytes(boot.uki))?;
    esp.add_dir("EFI/roamcore/b")?;
    esp.add_file("loader/loader.conf", FileSource::bytes(LOADER_CONF))?;
    esp.add_file("loader/entries/roamcore-a.conf", FileSource::bytes(entry))?;
    for (name, bytes) in boot.enrol {
        esp.add_file(
            &format!("loader/keys/auto/{name}"),
            FileSource::bytes(bytes.as_slice()),
        )?;
    }
    let mut region = Region::new(file, range.start, range.end - range.start)
        .context("opening the ESP's region")?;
    let stats = esp.write_to(&mut region).context("writing the ESP")?;
    Ok(stats.used_bytes)
}

fn copy(file: &mut File, range: &Range<u64>, source: &Path) -> Result<u64> {
    let mut input = File::open(source).with_context(|| format!("opening {}", source.display()))?;
    let len = input
        .metadata()
        .with_context(|| format!("looking at {}", source.display()))?
        .len();
    ensure!(
        len <= range.end - range.start,
        "{} has {len} bytes and does not fit into its partition of {}",
        source.display(),
        range.end - range.start
    );
    file.seek(SeekFrom::Start(range.start))?;
    let copied =
        std::io::copy(&mut input, file).with_context(|| format!("copying {}", source.display()))?;
    ensure!(
        copied == len,
        "{} changed while it was copied",
        source.display()
    );
    Ok(len)
}

/// Compares the finished image with itself, reading it as the machine will.
fn check(file: &mut File, table: &Gpt, root: &Root) -> Result<()> {
    let size = table.disk_bytes();
    let read = Gpt::read_from(file, size).context("reading back the partition table")?;
    if let Some(fault) = read.primary_fault.or(read.backup_fault) {
        bail!("the partition table that was just written is damaged: {fault}");
    }
    ensure!(
        read.gpt == *table,
        "the partition table read back differs from the one written"
    );
    let place = |name: &str| {
        table
            .partition(name)
            .with_context(|| format!("no partition {name}"))
    };
    let esp = place("esp")?;
    let mut region = Region::new(file, esp.offset(), esp.size())?;
    let mut reader = FatReader::open(&mut region).context("reading back the ESP")?;
    let uki = reader
        .read_file(UKI_A, 1 << 30)
        .context("reading the UKI back from the ESP")?;
    let view = uki::read(&uki).context("the UKI on the ESP")?;
    let cmdline = String::from_utf8_lossy(view.cmdline);
    let says = cmdline
        .split_whitespace()
        .find_map(|word| word.strip_prefix("roothash="));
    let holds = root.facts.root_hash.to_string();
    ensure!(
        says == Some(&holds),
        "the UKI says roothash={says:?}, but the root partition has {holds}"
    );
    let (root_uuid, verity_uuid) = root.facts.root_hash.partuuids();
    ensure!(
        place("root-a")?.part_guid == root_uuid && place("verity-a")?.part_guid == verity_uuid,
        "slot A's PARTUUIDs do not follow from the root hash {holds}"
    );
    // The very bytes of the slot, read as the kernel will: a damaged cache must not be signed.
    let (data, tree) = (place("root-a")?, place("verity-a")?);
    let used = std::fs::metadata(root.image())
        .context("looking at the root filesystem")?
        .len();
    let data = ReadRegion::new(&*file, data.offset(), used);
    let tree = ReadRegion::new(&*file, tree.offset(), tree.size());
    verity::verify(&data, &tree, &root.facts.root_hash)
        .context("slot A does not match its root hash; remove the build cache and build again")
}
