//! From a build directory to an update directory.
//!
//! Owns: the order of the steps, the update manifest, and the moment when the update appears.
//! Never does: replace an update of a release image by other bytes.

use std::fs::{self, File};
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use roamcore_delta::{PackOptions, Padded, ReadAt, pack};
use roamcore_ota::{
    Channel, Clock, Digest, Document, Extra, FORMAT, FailureClass, Refusal, Release, RootImage,
    Timestamp, TrustedRoles, UkiImage, Update, UpdateFile, VerifiedRelease, Version,
    signature_name, verify_release,
};
use roamcore_scratch::{self as scratch, Scratch};

use super::check::{Checked, check, rebuild};
use super::extract::extract;
use super::parts::{self, Parts};
use super::single::{single_name, write_single};
use super::source::Source;
use super::{INDEX, ROOT, UKI, UNSIGNED, facts};
use crate::build::{place, settle};
use crate::events::{Event, Events};
use crate::keys::KeySet;
use crate::roles;
use crate::signer;

/// The oldest agent that can install what this program makes: raised when the format changes.
pub const MINIMUM_AGENT: &str = "0.1.0";
/// Prefix of work areas beside the updates.
const WORK: &str = ".update-";
const DAY: u64 = 86_400;

/// What to make and from what.
#[derive(Debug)]
pub struct Options<'a> {
    /// The build directory.
    pub build: &'a Path,
    /// The directory to make.
    pub out: &'a Path,
    /// Role documents: whose signatures count, for the build and for the update.
    pub roles: &'a TrustedRoles,
    /// Keys that sign. Without any, or with too few, the update waits for signatures.
    pub keys: &'a [KeySet],
    /// Days after the release's creation until the update expires.
    pub expires_days: Option<u64>,
    /// The oldest agent that can install it.
    pub minimum_agent: Version,
    /// How the root is packed.
    pub pack: PackOptions,
    /// Write the single-file form too.
    pub single: bool,
    /// The time of this machine.
    pub now: Timestamp,
}

/// What came of it.
#[derive(Debug)]
pub enum Made {
    /// A complete update.
    Complete {
        /// Its directory.
        dir: PathBuf,
        /// The single file, if one was asked for.
        single: Option<PathBuf>,
        /// What it is.
        checked: Box<Checked>,
    },
    /// All but signatures; `attach` goes on.
    Wanted {
        /// Its directory.
        dir: PathBuf,
        /// What is missing.
        why: Refusal,
    },
}

/// Makes an update.
pub fn make(options: &Options<'_>, events: &Events) -> Result<Made> {
    let parent = parent(options.out)?;
    fs::create_dir_all(&parent).with_context(|| format!("creating {}", parent.display()))?;
    scratch::tidy(&parent, WORK)?;
    let work = Scratch::create(&parent, WORK)?;
    let made = stage(options, &work, events)
        .or_else(|error| crate::cache::explain_full(error, &parent))?;
    work.close()?;
    Ok(made)
}

fn stage(options: &Options<'_>, work: &Scratch, events: &Events) -> Result<Made> {
    let step = |name, detail: &str| events.emit(&Event::Step { name, detail });
    step("verify", "signatures and files of the build");
    let (release, digest) = verify(options)?;
    let manifest = release.release();
    let (stage, room) = (work.path().join("update"), work.path().join("room"));
    for dir in [&stage, &room] {
        fs::create_dir(dir).with_context(|| format!("creating {}", dir.display()))?;
    }

    step("extract", "root, hash tree and ESP out of the disk image");
    let image = options.build.join(manifest.disk.artefact.as_str());
    let names = ["root-a", "verity-a", "esp"];
    let [root, tree, esp] = extract(&release, &image, names, &room, events)?;
    let uki = facts::uki(&esp, manifest.root_hash)?;

    step("pack", &format!("{} bytes of kernel image", uki.len()));
    let padded = Padded::new(&uki);
    let (_, uki_index, uki_parts) = packed(&padded, UKI, &stage, &options.pack)?;
    let uki = UkiImage {
        size: uki.len() as u64,
        sha256: Digest::of(&uki),
        index: uki_index,
        parts: uki_parts,
        extra: Extra::new(),
    };
    step("pack", &format!("{} bytes of root", root.size()));
    let (root_sha256, index, parts) = packed(&root, ROOT, &stage, &options.pack)?;
    let threads = options.pack.threads;
    let root = facts::root(&root, root_sha256, &tree, manifest.root_hash, threads)?;

    let update = update(
        options,
        manifest,
        digest,
        Images {
            root,
            index,
            parts,
            uki,
        },
    )?;
    let bytes = update.encode().context("encoding the update manifest")?;
    fs::write(stage.join(Document::Update.file_name()), &bytes)
        .context("writing the update manifest")?;
    fs::write(stage.join(roles::FILE), options.roles.encode()?)
        .context("writing the role documents")?;
    for keys in options.keys {
        signer::sign_update_file(&stage, keys)?;
    }
    step(
        "rebuild",
        "root and kernel image from their frames, to compare",
    );
    rebuild(&Source::open(&stage)?, &update, &room, threads, events)?;
    let target = Target {
        out: options.out,
        roles: options.roles,
        single: options.single,
        now: options.now,
    };
    target.finish(&stage)
}

/// Goes on with an update that waited for signatures, in the directory `dir`.
pub fn attach(dir: &Path, single: bool, now: Timestamp) -> Result<Made> {
    let dir: &Path = dir.components().as_path();
    let name = dir.to_string_lossy();
    let Some(out) = name.strip_suffix(UNSIGNED) else {
        bail!(
            "{} does not end in {UNSIGNED}: is it complete already?",
            dir.display()
        );
    };
    let roles = fs::read(dir.join(roles::FILE)).context("reading the update's role documents")?;
    let roles = TrustedRoles::anchor(&roles).context("the update's role documents")?;
    let target = Target {
        out: Path::new(out),
        roles: &roles,
        single,
        now,
    };
    let made = target.finish(dir)?;
    if matches!(made, Made::Complete { .. }) && dir.exists() {
        // The update that was replaced.
        fs::remove_dir_all(dir).with_context(|| format!("removing {}", dir.display()))?;
    }
    Ok(made)
}

/// Where a staged update goes once it is complete.
struct Target<'a> {
    out: &'a Path,
    roles: &'a TrustedRoles,
    single: bool,
    now: Timestamp,
}

impl Target<'_> {
    fn finish(&self, stage: &Path) -> Result<Made> {
        let source = Source::open(stage)?;
        let clock = Clock::new(Some(self.now));
        let checked = match check(&source, self.roles, &clock) {
            Ok(checked) => checked,
            Err(error) => return self.wait(stage, error),
        };
        settle(stage)?;
        self.guard(stage, checked.update.update().channel)?;
        place(stage, self.out)?;
        let single = match self.single {
            true => {
                let update = checked.update.update();
                let path = parent(self.out)?.join(single_name(update));
                write_single(self.out, update, &path)?;
                Some(path)
            }
            false => None,
        };
        Ok(Made::Complete {
            dir: self.out.to_owned(),
            single,
            checked: Box::new(checked),
        })
    }

    /// Puts an update that lacks signatures where `attach` finds it. Any other fault stays one.
    fn wait(&self, stage: &Path, error: anyhow::Error) -> Result<Made> {
        let why = error.downcast::<Refusal>()?;
        if !matches!(
            why.class(),
            FailureClass::MissingSignature | FailureClass::BelowThreshold
        ) {
            return Err(why.into());
        }
        let mut dir = self.out.as_os_str().to_owned();
        dir.push(UNSIGNED);
        let dir = PathBuf::from(dir);
        settle(stage)?;
        if stage != dir {
            place(stage, &dir)?;
        }
        Ok(Made::Wanted { dir, why })
    }

    /// Refuses to put other bytes in the place of an update that may have been published.
    fn guard(&self, stage: &Path, channel: Channel) -> Result<()> {
        let read = |dir: &Path| fs::read(dir.join(Document::Update.file_name()));
        if channel == Channel::Release
            && let Ok(old) = read(self.out)
            && old != read(stage).context("reading the new update manifest")?
        {
            bail!(
                "{} holds an update of a release image with other bytes; what was published is never replaced: choose \
                 another --out, or move the directory away",
                self.out.display()
            );
        }
        Ok(())
    }
}

/// Verifies the build directory but for the disk image's content, which is read later, once.
fn verify(options: &Options<'_>) -> Result<(VerifiedRelease, Digest)> {
    let path = options.build.join(Document::Release.file_name());
    let manifest = fs::read(&path).with_context(|| format!("reading {}", path.display()))?;
    let path = options.build.join(signature_name(Document::Release));
    let signatures = match fs::read(&path) {
        Ok(bytes) => bytes,
        // The library has a failure of its own for this.
        Err(e) if e.kind() == ErrorKind::NotFound => Vec::new(),
        Err(e) => return Err(e).with_context(|| format!("reading {}", path.display())),
    };
    let refused = || format!("{} is refused", options.build.display());
    let now = Some(options.now);
    let release =
        verify_release(&manifest, &signatures, options.roles.trust(), now).with_context(refused)?;
    release
        .check_all_artefacts(|name| File::open(options.build.join(name.as_str())))
        .with_context(refused)?;
    Ok((release, Digest::of(&manifest)))
}

/// Packs an image into index and parts of `dir`. Also returns the image's digest.
fn packed(
    image: &dyn ReadAt,
    name: &'static str,
    dir: &Path,
    options: &PackOptions,
) -> Result<(Digest, UpdateFile, Vec<UpdateFile>)> {
    let file = |name: &str, size: u64, sha256: Digest| -> Result<UpdateFile> {
        Ok(UpdateFile {
            name: name.parse()?,
            size,
            sha256,
            extra: Extra::new(),
        })
    };
    let mut sink = Parts::new(dir.to_owned(), name);
    let packed = pack(image, options, &mut sink).with_context(|| format!("packing the {name}"))?;
    sink.finish().context("writing the last part")?;
    let index = format!("{name}.{INDEX}");
    fs::write(dir.join(&index), &packed.index).with_context(|| format!("writing {index}"))?;
    let index = file(&index, packed.index.len() as u64, Digest::of(&packed.index))?;
    let parts = packed
        .parts
        .iter()
        .enumerate()
        .map(|(number, part)| file(&parts::name(name, number), part.size, part.sha256))
        .collect::<Result<_>>()?;
    Ok((packed.image_sha256, index, parts))
}

/// What was packed.
struct Images {
    root: RootImage,
    index: UpdateFile,
    parts: Vec<UpdateFile>,
    uki: UkiImage,
}

fn update(
    options: &Options<'_>,
    release: &Release,
    release_sha256: Digest,
    images: Images,
) -> Result<Update> {
    let expires = match options.expires_days {
        Some(days) => {
            let seconds = days.checked_mul(DAY).context("--expires is too long")?;
            let created = release.created.as_unix().unsigned_abs();
            let expires = created.checked_add(seconds);
            Some(Timestamp::from_unix(
                expires.context("--expires is too long")?,
            )?)
        }
        None => None,
    };
    Ok(Update {
        format: FORMAT,
        requires: Vec::new(),
        product: release.product.clone(),
        board: release.board.clone(),
        version: release.version.clone(),
        sequence: release.sequence,
        security_epoch: release.security_epoch,
        minimum_agent: options.minimum_agent.clone(),
        channel: release.channel,
        created: release.created,
        expires,
        release_sha256,
        root: images.root,
        uki: images.uki,
        index: images.index,
        parts: images.parts,
        reboot: true,
        extra: Extra::new(),
    })
}

fn parent(path: &Path) -> Result<PathBuf> {
    let whole =
        std::path::absolute(path).with_context(|| format!("resolving {}", path.display()))?;
    let parent = whole
        .parent()
        .context("an update needs a parent directory")?;
    Ok(parent.to_owned())
}
