//! The root filesystem of a slot and its hash tree.
//!
//! Owns: merging packages, overlays and generated files into one EROFS image, and the dm-verity
//! tree over it. Never does: keep the merged tree on disk: it goes to mkfs.erofs as a stream of
//! files inside an archive.
//! Invariant: root hash, image and tree belong together; they are made in one step.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use roamcore_disk::verity::{self, RootHash};
use roamcore_spec::{Appliance, Overlay};
use serde::{Deserialize, Serialize};

use super::generate::{self, Identity};
use super::outputs::hash_file;
use super::packages;
use super::project::Sources;
use super::tools::Tools;
use super::{depmod, guids, initrd_step};
use crate::cache::{Cache, Cached, Key};
use crate::tree::{self, Kind, Node, Tree};

const IMAGE: &str = "root.erofs";
const TREE: &str = "root.verity";
const INITRD: &str = "initrd.zst";
const KERNEL: &str = "vmlinuz";
const FACTS: &str = "root.json";
/// What the image holds, file by file; kept to say where two builds differ.
pub const FILES: &str = "root.files";
/// Where the agent lies in the image, and in the initrd.
pub const AGENT: &str = "usr/lib/roamcore/roamcore-agent";
/// Where the update service, which is also the owner's command, lies in the image.
pub const DAEMON: &str = "usr/lib/roamcore/roamcore";

/// What is known of a composed root.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Facts {
    /// dm-verity root hash.
    pub root_hash: RootHash,
    /// Kernel release, as in `uname -r`.
    pub kernel: String,
    /// Bytes of the uncompressed initrd.
    pub initrd_unpacked: u64,
    /// The largest packages by installed size (KiB), for the report.
    pub largest_packages: Vec<(String, u64)>,
}

/// A composed root: files of one cached step.
#[derive(Debug)]
pub struct Root {
    dir: PathBuf,
    /// What is known of it.
    pub facts: Facts,
}

impl Root {
    /// The EROFS image.
    pub fn image(&self) -> PathBuf {
        self.dir.join(IMAGE)
    }

    /// The hash tree, superblock included.
    pub fn tree(&self) -> PathBuf {
        self.dir.join(TREE)
    }

    /// The compressed initrd.
    pub fn initrd(&self) -> PathBuf {
        self.dir.join(INITRD)
    }

    /// The kernel image.
    pub fn kernel(&self) -> PathBuf {
        self.dir.join(KERNEL)
    }
}

/// Everything the root is made of besides the packages' archive.
pub struct Inputs<'a> {
    /// Specifications and overlay files.
    pub sources: &'a Sources,
    /// Version and channel.
    pub identity: &'a Identity,
    /// The agent's program.
    pub agent: &'a [u8],
    /// The update service's program.
    pub daemon: &'a [u8],
    /// The role documents by which the device will judge updates.
    pub roles: &'a [u8],
    /// Time given to every file, seconds since the epoch.
    pub epoch: u64,
    /// Threads for hashing.
    pub threads: usize,
}

/// Composes the root from the packages' archive.
pub fn compose(
    cache: &Cache,
    tools: &Tools,
    packages: &Cached,
    inputs: &Inputs<'_>,
) -> Result<(Root, Cached)> {
    let appliance = inputs.sources.appliance();
    let own = std::env::current_exe().context("finding the builder's own program")?;
    let (_, builder) = hash_file(&own)?;
    // Much of the builder decides what is in the root; made again with every other builder, it costs seconds.
    let mut key = Key::new("root", 4, &[])
        .with("builder", builder.to_string().as_bytes())
        .with("zstd", &zstd::zstd_safe::version_number().to_le_bytes())
        .with("clock", &tools.clock().to_le_bytes())
        .with("packages", step_name(packages)?)
        .with(
            "os-release",
            generate::os_release(appliance, inputs.identity).as_bytes(),
        )
        .with("agent", inputs.agent)
        .with("daemon", inputs.daemon)
        .with("roles", inputs.roles)
        .with("epoch", &inputs.epoch.to_le_bytes());
    for (name, digest) in inputs.sources.digests() {
        key = key.with(name, digest);
    }
    // Nothing else would notice a rotten kernel or initrd before it is signed.
    key = key.guarded();
    let step = cache.step(&key, |dir| make(cache, tools, packages, inputs, dir))?;
    let facts = fs::read(step.dir.join(FACTS)).context("reading a cached root's facts")?;
    let facts = serde_json::from_slice(&facts)
        .context("a cached root's facts are damaged; remove the cache")?;
    Ok((
        Root {
            dir: step.dir.clone(),
            facts,
        },
        step,
    ))
}

fn make(
    cache: &Cache,
    tools: &Tools,
    packages: &Cached,
    inputs: &Inputs<'_>,
    dir: &Path,
) -> Result<()> {
    let base = tree::read_tar(&packages.dir.join(packages::ARCHIVE))?;
    packages::check_users(&base, inputs.sources.overlays())?;
    let largest_packages = largest(&base)?;
    let kernel = crate::initrd::kernel_version(&base)?;
    let vmlinuz = base.file(&format!("boot/vmlinuz-{kernel}"))?.bytes()?;
    fs::write(dir.join(KERNEL), vmlinuz).context("writing the kernel")?;

    let mut image = merge(base, inputs)?;
    depmod::renew(&mut image, &kernel, tools, cache, step_name(packages)?)
        .context("indexing the kernel's modules")?;
    fs::write(dir.join(FILES), tree::listing(&image)?).context("writing the list of files")?;
    let initrd_unpacked = initrd_step::make(&image, inputs, tools, cache, &dir.join(INITRD))?;

    let archive = cache.scratch("archive")?;
    let archive = archive.path().join("root.tar");
    let mut out = BufWriter::with_capacity(
        1 << 20,
        File::create(&archive).context("creating the root archive")?,
    );
    tree::write_tar(&image, &mut out, inputs.epoch)?;
    out.flush().context("writing the root archive")?;
    drop(out);
    make_erofs(tools, &archive, &dir.join(IMAGE), inputs)?;
    let root_hash = make_verity(dir, inputs)?;
    fits(
        appliance_slot(inputs),
        &dir.join(IMAGE),
        inputs.sources.appliance(),
    )?;
    inputs.sources.check_unchanged()?;
    let facts = Facts {
        root_hash,
        kernel,
        initrd_unpacked,
        largest_packages,
    };
    fs::write(dir.join(FACTS), serde_json::to_vec_pretty(&facts)?)
        .context("writing the root's facts")
}

/// What a step's result is called by: its inputs.
fn step_name(step: &Cached) -> Result<&[u8]> {
    let name = step.dir.file_name().context("a step without a name")?;
    Ok(name.as_encoded_bytes())
}

/// The image's tree: removals, overlays in their order, generated files, units, and /var taken out.
fn merge(mut image: Tree, inputs: &Inputs<'_>) -> Result<Tree> {
    for overlay in inputs.sources.overlays() {
        tree::remove_paths(&mut image, overlay)?;
    }
    // Debian ships these empty or with what only makes sense while packages are installed.
    for dir in ["dev", "proc", "sys", "run", "tmp", "boot"] {
        image.remove(dir);
        let mode = if dir == "tmp" { 0o1777 } else { 0o755 };
        image.insert(dir, Node::root(Kind::Dir, mode))?;
    }
    let agent: Vec<u8> = inputs.agent.to_vec();
    image.insert_bytes(AGENT, 0o755, agent)?;
    image.insert_bytes(DAEMON, 0o755, inputs.daemon.to_vec())?;
    for (overlay, files) in inputs.sources.overlays_with_files() {
        tree::merge_overlay(&mut image, overlay, &files)
            .with_context(|| format!("merging overlay `{}`", overlay.name))?;
    }
    let sources = inputs.sources;
    generate::add(
        &mut image,
        sources.appliance(),
        sources.board(),
        sources.board_text(),
        inputs.identity,
        inputs.roles,
    )?;
    tree::apply_units(&mut image, sources.overlays())?;
    tree::split_var(&mut image)?;
    Ok(image)
}

fn make_erofs(tools: &Tools, archive: &Path, out: &Path, inputs: &Inputs<'_>) -> Result<()> {
    let uuid = guids::derive("root filesystem", inputs.identity.version.as_bytes());
    // Uncompressed: a point update then changes few blocks, which is what devices download.
    tools
        .program("usr/bin/mkfs.erofs")
        .args(["--quiet", "--tar=f", "-x1"])
        .arg(format!("-T{}", inputs.epoch))
        .arg(format!("-U{uuid}"))
        .arg(out)
        .arg(archive)
        .run()
        .context("making the root filesystem")?;
    Ok(())
}

fn make_verity(dir: &Path, inputs: &Inputs<'_>) -> Result<RootHash> {
    let image = File::options()
        .read(true)
        .write(true)
        .open(dir.join(IMAGE))
        .context("opening the root filesystem")?;
    let len = image
        .metadata()
        .context("looking at the root filesystem")?
        .len();
    let padded = len.next_multiple_of(verity::BLOCK as u64);
    if padded != len {
        image
            .set_len(padded)
            .context("padding the root filesystem")?;
    }
    let uuid = guids::derive("verity", inputs.identity.version.as_bytes());
    // A salt of the release keeps one release's tree useless for another; it is not a secret.
    let salt = guids::derive("verity salt", inputs.identity.version.as_bytes());
    let mut tree = File::create(dir.join(TREE)).context("creating the hash tree")?;
    let hash = verity::build(
        &image,
        padded,
        salt.as_bytes(),
        uuid,
        &mut tree,
        inputs.threads,
    )
    .context("hashing the root filesystem")?;
    Ok(hash)
}

fn appliance_slot(inputs: &Inputs<'_>) -> u64 {
    inputs.sources.appliance().slots.root.bytes()
}

fn fits(slot: u64, image: &Path, appliance: &Appliance) -> Result<()> {
    let len = fs::metadata(image)
        .context("looking at the root filesystem")?
        .len();
    if len > slot {
        bail!(
            "the root filesystem has {len} bytes, but a slot of `{}` has {slot}; raise `root` under [slots] in \
             appliances/{}.toml or remove packages or files",
            appliance.name,
            appliance.name
        );
    }
    Ok(())
}

/// The twelve packages that take most room, from dpkg's own figures.
fn largest(base: &Tree) -> Result<Vec<(String, u64)>> {
    let status = base.text("var/lib/dpkg/status")?;
    let mut sizes: Vec<(String, u64)> = status
        .split("\n\n")
        .filter_map(|paragraph| {
            let field = |name: &str| {
                paragraph
                    .lines()
                    .find_map(|l| l.strip_prefix(name)?.strip_prefix(": "))
            };
            Some((
                field("Package")?.to_owned(),
                field("Installed-Size")?.parse().ok()?,
            ))
        })
        .collect();
    sizes.sort_by(|a, b| b.1.cmp(&a.1).then_with(|| a.0.cmp(&b.0)));
    sizes.truncate(12);
    Ok(sizes)
}

/// Copyright texts by package, for the SBOM.
pub fn copyrights(packages: &Cached) -> Result<BTreeMap<String, String>> {
    let base = tree::read_tar(&packages.dir.join(packages::ARCHIVE))?;
    let mut found = BTreeMap::new();
    for (path, _) in base.children("usr/share/doc") {
        let Some(name) = path
            .strip_prefix("usr/share/doc/")
            .and_then(|p| p.strip_suffix("/copyright"))
        else {
            continue;
        };
        // Some packages link to another's documentation; a link that leads nowhere has no text.
        if let Ok(content) = base.file(path) {
            found.insert(
                name.to_owned(),
                String::from_utf8_lossy(&content.bytes()?).into_owned(),
            );
        }
    }
    Ok(found)
}

/// Kernel arguments of the image, before the root hash.
pub fn kernel_arguments<'a>(
    sources: &'a Sources,
    overlays: impl Iterator<Item = &'a Overlay>,
) -> Vec<String> {
    let declared = overlays.flat_map(|o| o.kernel.arguments.iter().map(ToString::to_string));
    declared.chain(sources.board().kernel_arguments()).collect()
}
