//! From sources to a signed image.
//!
//! Owns: the order of the steps and the output directory. Never does: resolve packages (the lock
//! names them) or show a result under its final name before it is whole.
//!
//! ```text
//! lock -> pool -> tools -> packages -> root (+ initrd) -> UKI -> sign -> disk -> compress -> manifest -> sign
//!         '---- cached by the hash of their inputs ----'
//! ```

mod compress;
mod depmod;
mod disk;
mod generate;
mod guids;
mod initrd_step;
mod outputs;
mod packages;
mod project;
mod report;
mod root;
mod tools;
mod uki;

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use roamcore_scratch::{self as scratch, Scratch};
use roamcore_spec::names::Name;

pub use disk::UKI_A;
pub use generate::Identity;
pub use outputs::{DISK, hash_file, place, settle};
pub use project::{DEVELOPMENT, Sources};
pub use root::FILES as ROOT_FILES;
pub use tools::{PACKAGES as TOOL_PACKAGES, Tools};

use crate::cache::{Cache, Cached, explain_full};
use crate::clock::Shift;
use crate::crates::{self, Crate};
use crate::events::Events;
use crate::keys::PublicSet;
use crate::lock::{Lock, Mirrors, Set};
use crate::pool::Pool;
use crate::sbom;
use crate::signer::{self, Signed, Signer};
use report::Report;
use root::Root;

/// What to build and with what.
#[derive(Debug)]
pub struct Plan<'a> {
    /// The checkout.
    pub checkout: &'a Path,
    /// Appliance name.
    pub appliance: Name,
    /// Version, sequence and channel.
    pub identity: Identity,
    /// The lock.
    pub lock: &'a Lock,
    /// Mirrors for packages that the pool lacks; none works offline.
    pub mirrors: Option<&'a Mirrors>,
    /// A further directory with packages.
    pub pool: Option<&'a Path>,
    /// The agent's program, statically linked; the update service `roamcore` lies beside it, and so does what `./dev agent`
    /// says about the crates in both.
    pub agent: &'a Path,
    /// The public keys to enrol and to check against.
    pub public: &'a PublicSet,
    /// Directory for outputs; the release gets a directory of its own below it.
    pub out: &'a Path,
    /// Threads to use.
    pub threads: usize,
    /// How far ahead the clock of the build's programs is.
    pub clock: Shift,
}

/// What a build came to.
#[derive(Debug)]
pub enum Outcome {
    /// A signed release in this directory.
    Signed(PathBuf),
    /// Signatures are wanted; a request lies in this directory.
    Wanted(PathBuf),
}

impl Plan<'_> {
    /// The release's directory.
    pub fn release_dir(&self, sources: &Sources) -> PathBuf {
        let appliance = sources.appliance();
        self.out
            .join(format!("{}-{}", appliance.name, appliance.board))
            .join(&self.identity.version)
    }
}

/// Builds.
pub fn run(plan: &Plan<'_>, signer: &Signer, cache: &Cache, events: &Events) -> Result<Outcome> {
    let mut report = Report::new();
    let sources = Sources::load(plan.checkout, &plan.appliance, plan.identity.channel)?;
    plan.lock
        .check(plan.appliance.as_str(), &sources.request()?)?;
    if plan.public.release.role() != plan.identity.channel.role() {
        bail!(
            "a {:?} image needs keys of that role, but the given keys are for {:?}",
            plan.identity.channel,
            plan.public.release.role()
        );
    }
    let roles = plan.public.anchor(plan.identity.channel)?.encode()?;
    let pool = Pool::open(cache.root().join("pool"))?;
    for set in [Set::Tools, Set::Image] {
        report.time(
            events,
            "packages",
            &format!("{} {set:?} packages", plan.lock.packages(set).len()),
            || {
                let done = pool.ensure(plan.lock, set, plan.mirrors, plan.pool, events)?;
                Ok(((), done.fetched + done.copied == 0))
            },
        )?;
    }
    let image_debs = flat(cache, &pool, plan.lock, Set::Image)?;
    let tools = report.time(events, "tools", "unpacking the locked tools", || {
        let (tools, hit) = unpack_tools(cache, &pool, plan.lock)?;
        Ok((tools.with_clock(plan.clock), hit))
    })?;
    let packages = report.time(events, "install", "installing the locked packages", || {
        let step = packages::install(
            cache,
            &tools,
            plan.lock,
            &image_debs,
            sources.overlays(),
            events,
        )?;
        let hit = step.hit;
        Ok((step, hit))
    })?;
    let agent = Own::read(plan.agent, "roamcore-agent", root::AGENT)?;
    let daemon = Own::read(
        &plan.agent.with_file_name("roamcore"),
        "roamcore",
        root::DAEMON,
    )?;
    let inputs = root::Inputs {
        roles: &roles,
        sources: &sources,
        identity: &plan.identity,
        agent: &agent.bytes,
        daemon: &daemon.bytes,
        epoch: plan.lock.epoch,
        threads: plan.threads,
    };
    let root = report.time(events, "root", "overlays, EROFS, verity, initrd", || {
        let (root, step) = root::compose(cache, &tools, &packages, &inputs)?;
        Ok((root, step.hit))
    })?;

    let what = what(plan, &sources);
    let unsigned = report.time(events, "uki", "kernel, initrd and command line", || {
        let kernel = uki::assemble(&sources, &tools, &root, &plan.identity)?;
        Ok(((uki::boot_loader(&tools)?, kernel), false))
    })?;
    let files = [
        ("systemd-boot", unsigned.0.as_slice()),
        ("uki", unsigned.1.as_slice()),
    ];
    let signed = match signer.sign_boot(&what, &files)? {
        Signed::Done(signed) => signed,
        Signed::Wanted(dir) => return Ok(Outcome::Wanted(dir)),
    };
    for (signed, (name, _)) in signed.iter().zip(&files) {
        roamcore_pe::authenticode::verify(signed, std::slice::from_ref(&plan.public.db))
            .with_context(|| {
                format!(
                    "checking the signature of {name} against the public keys given to this build"
                )
            })?;
    }
    let boot = disk::BootFiles {
        loader: &signed[0],
        uki: &signed[1],
        enrol: &plan.public.enrol,
        sequence: plan.identity.sequence,
    };
    let final_dir = plan.release_dir(&sources);
    let parent = final_dir
        .parent()
        .context("an output directory needs a parent")?;
    std::fs::create_dir_all(parent).with_context(|| format!("creating {}", parent.display()))?;
    scratch::tidy(parent, WORK)?;
    let work = Scratch::create(parent, WORK)?;
    let made = Made {
        sources: &sources,
        packages: &packages,
        tools: &tools,
        root: &root,
        programs: [&agent, &daemon],
    };
    // Looked at before the work area goes, or there would be room again.
    let outcome = write_release(plan, signer, events, report, &made, &boot, &work)
        .or_else(|error| explain_full(error, parent))?;
    work.close()?;
    // The release is whole and stays so, whatever the cache says.
    match cache.forget(std::time::SystemTime::now()) {
        Ok(0) => {}
        Ok(forgotten) => events.note(&format!("removed {forgotten} old results of steps")),
        Err(error) => events.note(&format!(
            "old results of steps stay in the cache: {error:#}"
        )),
    }
    Ok(outcome)
}

/// Puts a release that was made elsewhere from this very plan in the plan's place, and moves `latest`.
pub fn adopt(plan: &Plan<'_>, made: &Path) -> Result<PathBuf> {
    let sources = Sources::load(plan.checkout, &plan.appliance, plan.identity.channel)?;
    let final_dir = plan.release_dir(&sources);
    let parent = final_dir
        .parent()
        .context("an output directory needs a parent")?;
    std::fs::create_dir_all(parent).with_context(|| format!("creating {}", parent.display()))?;
    scratch::tidy(parent, WORK)?;
    let work = Scratch::create(parent, WORK)?;
    outputs::adopt(made, &work.path().join("release"), &final_dir, plan.public)
        .or_else(|error| explain_full(error, parent))?;
    outputs::point_latest(&final_dir, work.path())?;
    work.close()?;
    Ok(final_dir)
}

/// Prefix of work areas beside the releases.
const WORK: &str = ".work-";

/// What the cached steps made.
struct Made<'a> {
    sources: &'a Sources,
    packages: &'a Cached,
    tools: &'a Tools,
    root: &'a Root,
    programs: [&'a Own; 2],
}

/// A program of ours.
struct Own {
    name: &'static str,
    /// Where it lies in the image.
    place: &'static str,
    bytes: Vec<u8>,
    crates: Vec<Crate>,
}

impl Own {
    fn read(path: &Path, name: &'static str, place: &'static str) -> Result<Own> {
        let bytes = std::fs::read(path)
            .with_context(|| format!("reading {}; build it with `./dev agent`", path.display()))?;
        let beside = path.parent().unwrap_or(Path::new(""));
        Ok(Own {
            name,
            place,
            bytes,
            crates: crates::of_program(beside, name)?,
        })
    }
}

impl Made<'_> {
    /// The bill of materials.
    fn bom(&self, plan: &Plan<'_>) -> Result<String> {
        let texts = root::copyrights(self.packages)?;
        // The workspace has one version; a program that was not built with this builder may have another.
        let programs = self.programs.map(|own| sbom::Program {
            name: own.name,
            version: env!("CARGO_PKG_VERSION"),
            path: own.place,
            bytes: &own.bytes,
            crates: &own.crates,
        });
        let contents = sbom::Contents {
            lock: plan.lock,
            esp: &tools::SHIPPED,
            programs: &programs,
        };
        let subject = sbom::Subject {
            product: self.sources.appliance().product.as_str(),
            version: &plan.identity.version,
        };
        let copyright = |name: &str| {
            let text = texts.get(name).cloned();
            let shipped = tools::SHIPPED.contains(&name);
            // Not installed, so its text is in the tools alone; one that is missing has no licence declared.
            text.or_else(|| {
                let path = format!("usr/share/doc/{name}/copyright");
                std::fs::read_to_string(self.tools.file(&path))
                    .ok()
                    .filter(|_| shipped)
            })
        };
        sbom::cyclonedx(contents, subject, |p| copyright(&p.name)).context("encoding the SBOM")
    }
}

/// Writes the release into `work`, and shows it under its final name once it is whole and signed.
fn write_release(
    plan: &Plan<'_>,
    signer: &Signer,
    events: &Events,
    mut report: Report,
    made: &Made<'_>,
    boot: &disk::BootFiles<'_>,
    work: &Scratch,
) -> Result<Outcome> {
    let Made { sources, root, .. } = *made;
    let stage = work.path().join("release");
    std::fs::create_dir(&stage).with_context(|| format!("creating {}", stage.display()))?;
    let raw = work.path().join("disk.img");
    let composed = report.time(events, "disk", "partition table, ESP, slot A", || {
        Ok((
            disk::compose(&raw, sources.appliance(), root, boot, plan.lock.epoch)?,
            false,
        ))
    })?;
    let digests = report.time(events, "compress", "disk.img.zst", || {
        let out = stage.join(outputs::DISK);
        Ok((
            compress::compress(&raw, &composed.areas, &out, plan.threads, events)?,
            false,
        ))
    })?;
    report.time(events, "describe", "block map, SBOM, manifest", || {
        outputs::block_map(&raw, &composed, &stage)?;
        std::fs::remove_file(&raw).context("removing the raw image")?;
        let bom = made.bom(plan)?;
        std::fs::write(stage.join(outputs::SBOM), bom).context("writing the SBOM")?;
        Ok(((), false))
    })?;
    let manifest = outputs::manifest(plan, sources, root, &composed, &digests, &stage)?;
    let what = what(plan, sources);
    let signature = match signer.sign_manifest(&what, &manifest)? {
        Signed::Done(signature) => signature,
        Signed::Wanted(dir) => return Ok(Outcome::Wanted(dir)),
    };
    report.write(&stage, root, &composed, boot.uki.len() as u64)?;
    let final_dir = plan.release_dir(sources);
    // Of no report: that is part of what is put in place here.
    Report::new().time(events, "place", "the release and `latest`", || {
        outputs::finish(&stage, &final_dir, &manifest, &signature, plan.public)?;
        outputs::point_latest(&final_dir, work.path())?;
        Ok(((), false))
    })?;
    Ok(Outcome::Signed(final_dir))
}

/// The release in words, for whoever signs it.
fn what(plan: &Plan<'_>, sources: &Sources) -> signer::What {
    signer::What {
        name: format!("{} {}", sources.appliance().product, plan.identity.version),
        channel: plan.identity.channel,
    }
}

/// The tools tree of a lock whose packages are in the pool, and whether it was there already.
pub fn unpack_tools(cache: &Cache, pool: &Pool, lock: &Lock) -> Result<(Tools, bool)> {
    let debs = flat(cache, pool, lock, Set::Tools)?;
    let (tools, step) = Tools::unpack(cache, lock, &debs)?;
    Ok((tools, step.hit))
}

/// A flat repository of one package set, made again only when the set changes.
fn flat(cache: &Cache, pool: &Pool, lock: &Lock, set: Set) -> Result<PathBuf> {
    let key = crate::cache::Key::new("flat", 1, &[include_str!("../lock/flat.rs")])
        .with("set", lock.set_digest(set).to_string().as_bytes());
    let step = cache.step(&key, |dir| Ok(pool.link_set(lock, set, dir)?))?;
    if step.hit {
        // A package that rotted in the pool and was fetched again is another file now.
        pool.link_set(lock, set, &step.dir)?;
    }
    Ok(step.dir)
}
