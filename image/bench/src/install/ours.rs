//! Our install: the delta crate's plan and apply into the slots crate's idle slot, on a disk that is a file.
//!
//! Owns: that disk, and a process of its own for every run. Never does: skip a step between plan and proof that a device
//! does; the running slot is read too, and has nothing of use. What a device does besides: it judges documents, and writes
//! kernel image and boot entry, which RAUC and dd do not write either.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::{Context, Result};
use roamcore_delta::{
    Index, Limits, LocalParts, PackOptions, Plan, PlanOptions, Quiet, ReadAt, WriteAt, apply, pack,
};
use roamcore_disk::gpt::{Gpt, Guid, Planned, layout};
use roamcore_disk::verity::{RootHash, build, tree_size};
use roamcore_image::command::Command;
use roamcore_image::release::{FileAt, Parts};
use roamcore_slots::{ImageFiles, Reader, RootSpec, Slot, Slots, Target};
use serde::{Deserialize, Serialize};

use super::{Run, wear};

const MIB: u64 = 1 << 20;
const SALT: [u8; 32] = [7; 32];
const UUID: [u8; 16] = [8; 16];

/// A packed root.
#[derive(Debug)]
pub struct Release {
    directory: PathBuf,
    /// Bytes of index and large frames: what is read.
    pub bytes: u64,
    facts: Facts,
}

/// What the manifest would say; the child reads it.
#[derive(Debug, Serialize, Deserialize)]
struct Facts {
    size: u64,
    sha256: String,
    root_hash: String,
    parts: usize,
}

impl Release {
    /// Packs `root` into `directory`.
    pub fn pack(directory: &Path, root: &Path) -> Result<Release> {
        fs::create_dir_all(directory).context("creating a directory")?;
        let image = FileAt::open(root)?;
        let mut sink = Parts::new(directory.to_owned(), "root");
        let packed = pack(&image, &PackOptions::default(), &mut sink)?;
        sink.finish().context("writing the last part")?;
        fs::write(directory.join("root.index"), &packed.index).context("writing the index")?;
        let mut tree = io::Cursor::new(Vec::new());
        let bytes = File::open(root).context("opening the root")?;
        let uuid = Guid::from_bytes(UUID);
        let root_hash = build(&bytes, packed.image_size, &SALT, uuid, &mut tree, 2)?;
        let facts = Facts {
            size: packed.image_size,
            sha256: packed.image_sha256.to_string(),
            root_hash: root_hash.to_string(),
            parts: packed.parts.len(),
        };
        let text = serde_json::to_vec(&facts).context("writing facts")?;
        fs::write(directory.join("facts.json"), text).context("writing facts")?;
        let index = Index::parse(&packed.index, &Limits::default())?;
        Ok(Release {
            directory: directory.to_owned(),
            bytes: packed.index.len() as u64 + index.full_download_bytes(),
            facts,
        })
    }

    /// One install into a disk made for it.
    pub fn install(&self) -> Result<Run> {
        self.make_disk()?;
        let this = std::env::current_exe().context("finding this program")?;
        let output = Command::new(this)
            .arg("install-root")
            .arg(&self.directory)
            .run()?;
        fs::remove_file(self.directory.join("disk.img")).context("removing the disk")?;
        fs::remove_dir_all(self.directory.join("esp")).context("removing the ESP")?;
        serde_json::from_slice(&output.stdout).context("reading the answer of an install")
    }

    fn make_disk(&self) -> Result<()> {
        let planned = |name: &str, id: u8, size| Planned {
            name: name.into(),
            type_guid: Guid::from_bytes([1; 16]),
            part_guid: Guid::from_bytes([id; 16]),
            attributes: 0,
            size,
        };
        let size = self.facts.size.next_multiple_of(MIB);
        let parts = [
            planned("root-a", 2, size),
            planned("verity-a", 3, tree_size(size)?.next_multiple_of(MIB)),
            planned("root-b", 4, size),
            planned("verity-b", 5, tree_size(size)?.next_multiple_of(MIB)),
        ];
        let gpt: Gpt = layout(Guid::from_bytes([9; 16]), &parts)?;
        let mut file = File::create(self.directory.join("disk.img")).context("making a disk")?;
        wear(&file, gpt.disk_bytes())?;
        gpt.write_to(&mut file)?;
        file.sync_all().context("making a disk")?;
        let esp = self.directory.join("esp");
        for directory in ["loader/entries", "EFI/roamcore/a"] {
            fs::create_dir_all(esp.join(directory)).context("making an ESP")?;
        }
        let entry = "sort-key roamcore\nversion 1\nefi /EFI/roamcore/a/roamcore.efi\n";
        fs::write(esp.join("loader/entries/roamcore-a.conf"), entry).context("making an ESP")?;
        fs::write(esp.join("EFI/roamcore/a/roamcore.efi"), "x").context("making an ESP")
    }
}

/// The child: installs, and prints time and peak memory.
pub fn install(directory: &Path) -> Result<()> {
    let text = fs::read(directory.join("facts.json")).context("reading facts")?;
    let facts: Facts = serde_json::from_slice(&text).context("reading facts")?;
    let spec = RootSpec {
        size: facts.size,
        sha256: facts.sha256.parse()?,
        root_hash: facts.root_hash.parse::<RootHash>()?,
        salt: SALT.to_vec(),
        uuid: Guid::from_bytes(UUID),
    };
    let media = ImageFiles::new(&directory.join("disk.img"), &directory.join("esp"), Slot::A);
    let started = Instant::now();
    let mut stages: Vec<(String, u64)> = Vec::new();
    let mut stage = |name: &str| {
        let so_far: u64 = stages.iter().map(|(_, ms)| ms).sum();
        stages.push((name.to_owned(), millis(started).saturating_sub(so_far)));
    };
    let slots = Slots::on(Box::new(media));
    let idle = slots.idle()?;
    idle.invalidate()?;
    let target = Idle(idle.target(facts.size)?);
    let bytes = fs::read(directory.join("root.index")).context("reading the index")?;
    let index = Index::parse(&bytes, &Limits::default())?;
    drop(bytes);
    let parts: Vec<Box<dyn ReadAt>> = (0..facts.parts)
        .map(|part| -> Result<Box<dyn ReadAt>> {
            Ok(Box::new(FileAt::open(
                &directory.join(format!("root.{part:03}")),
            )?))
        })
        .collect::<Result<_>>()?;
    let running = Running(slots.running_root()?);
    let plan = Plan::make(
        &index,
        Some(&running),
        &target,
        &PlanOptions::default(),
        &mut Quiet,
    )?;
    stage("plan");
    apply(
        &index,
        &plan,
        Some(&running),
        &target,
        &mut LocalParts::new(parts),
        &mut Quiet,
    )?;
    target.0.finish()?;
    drop((target, plan, index));
    stage("fetch and write");
    let verified = idle.write_verity(&spec)?;
    idle.publish_partuuids(&verified)?;
    stage("tree and proof");
    let run = Run {
        milliseconds: millis(started),
        stages,
        peak_kib: super::peak_kib("self")?,
    };
    println!(
        "{}",
        serde_json::to_string(&run).context("writing the answer")?
    );
    Ok(())
}

fn millis(started: Instant) -> u64 {
    u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX)
}

/// The running slot as the delta crate sees it.
struct Running(Reader);

impl ReadAt for Running {
    fn read_exact_at(&self, buf: &mut [u8], offset: u64) -> io::Result<()> {
        self.0.read_exact_at(buf, offset)
    }

    fn size(&self) -> u64 {
        self.0.size()
    }
}

/// The idle slot as the delta crate sees it.
struct Idle(Target);

impl ReadAt for Idle {
    fn read_exact_at(&self, buf: &mut [u8], offset: u64) -> io::Result<()> {
        self.0.read_exact_at(buf, offset)
    }

    fn size(&self) -> u64 {
        self.0.size()
    }
}

impl WriteAt for Idle {
    fn write_all_at(&self, buf: &[u8], offset: u64) -> io::Result<()> {
        self.0.write_all_at(buf, offset)
    }

    fn sync(&self) -> io::Result<()> {
        self.0.sync()
    }
}
