//! The release directory.
//!
//! Owns: the names of its files, the manifest's content, and the moment when it appears. Never
//! does: replace a release with different bytes under the same version silently.

use std::fs::{self, File};
use std::path::Path;

use anyhow::{Context, Result, bail};
use roamcore_disk::bmap::BlockMap;
use roamcore_ota::{
    Artefact, ArtefactKind, Digest, DiskRecord, Extra, FORMAT, PartitionRecord, Release, Timestamp,
};
use sha2::{Digest as _, Sha256};

use super::Plan;
use super::disk::Composed;
use super::project::Sources;
use super::root::Root;
use crate::cache::{sync_dir, write_atomically};
use crate::keys::PublicSet;

/// The compressed disk image.
pub const DISK: &str = "disk.img.zst";
/// Its block map.
pub const BLOCK_MAP: &str = "disk.img.bmap";
/// The software bill of materials.
pub const SBOM: &str = "sbom.cdx.json";

/// Writes the block map. Zero blocks of filesystems and hash trees are mapped too: flashing skips
/// holes, and old bytes of a used disk must not shine through.
pub fn block_map(raw: &Path, composed: &Composed, dir: &Path) -> Result<()> {
    let file = File::open(raw).context("opening the raw image")?;
    let map = BlockMap::scan_keeping(&file, &composed.keep).context("mapping the raw image")?;
    fs::write(dir.join(BLOCK_MAP), map.to_xml()).context("writing the block map")
}

/// The manifest's bytes.
pub fn manifest(
    plan: &Plan<'_>,
    sources: &Sources,
    root: &Root,
    composed: &Composed,
    digests: &[[u8; 32]],
    dir: &Path,
) -> Result<Vec<u8>> {
    let appliance = sources.appliance();
    let kinds = [
        (DISK, ArtefactKind::Disk),
        (BLOCK_MAP, ArtefactKind::BlockMap),
        (SBOM, ArtefactKind::Sbom),
    ];
    let artefacts = kinds
        .into_iter()
        .map(|(name, kind)| {
            let path = dir.join(name);
            let (size, sha256) = hash_file(&path)?;
            Ok(Artefact {
                name: name.parse()?,
                size,
                sha256,
                kind,
                extra: Extra::new(),
            })
        })
        .collect::<Result<Vec<_>>>()?;
    let partitions = composed
        .areas
        .iter()
        .zip(digests)
        .map(|(area, digest)| {
            Ok(PartitionRecord {
                name: area.name.parse()?,
                number: area.number,
                offset: area.range.start,
                size: area.range.end - area.range.start,
                sha256: Digest::from(*digest),
                extra: Extra::new(),
            })
        })
        .collect::<Result<Vec<_>>>()?;
    let release = Release {
        format: FORMAT,
        requires: Vec::new(),
        product: appliance.product.as_str().parse()?,
        board: appliance.board.as_str().parse()?,
        version: plan.identity.version.parse()?,
        sequence: plan.identity.sequence,
        security_epoch: appliance.update.security_epoch,
        channel: plan.identity.channel,
        created: Timestamp::from_unix(plan.lock.epoch)?,
        expires: None,
        lock_sha256: plan.lock.digest().to_string().parse()?,
        root_hash: Digest::from(*root.facts.root_hash.as_bytes()),
        artefacts,
        partitions,
        disk: DiskRecord {
            raw_size: composed.size,
            artefact: DISK.parse()?,
            extra: Extra::new(),
        },
        extra: Extra::new(),
    };
    release.encode().context("encoding the manifest")
}

/// Size and SHA-256 of a file.
pub fn hash_file(path: &Path) -> Result<(u64, Digest)> {
    let mut file = File::open(path).with_context(|| format!("opening {}", path.display()))?;
    let mut hasher = Sha256::new();
    let size = std::io::copy(&mut file, &mut HashWriter(&mut hasher))
        .with_context(|| format!("reading {}", path.display()))?;
    let digest: [u8; 32] = hasher.finalize().into();
    Ok((size, Digest::from(digest)))
}

struct HashWriter<'a>(&'a mut Sha256);

impl std::io::Write for HashWriter<'_> {
    fn write(&mut self, buf: &[u8]) -> std::io::Result<usize> {
        self.0.update(buf);
        Ok(buf.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// Verifies the staged manifest against the public keys and moves the stage into place; what was
/// there before is left where the stage was.
pub fn finish(
    stage: &Path,
    dir: &Path,
    manifest: &[u8],
    signature: &[u8],
    public: &PublicSet,
) -> Result<()> {
    let trust = roamcore_ota::TrustStore::new([public.release.clone()], 1)?;
    roamcore_ota::verify_release(manifest, signature, &trust, None).context(
        "checking the new manifest's signature against the public keys given to this build",
    )?;
    write_atomically(&stage.join("release.json"), manifest)?;
    write_atomically(&stage.join("release.json.sig"), signature)?;
    settle(stage)?;
    if let Ok(old) = fs::read(dir.join("release.json")) {
        let shipped =
            Release::parse(&old).is_ok_and(|r| r.channel == roamcore_ota::Channel::Release);
        if shipped && old != manifest {
            bail!(
                "{} holds a release image with other bytes; a released version is never replaced: raise --version, \
                 or move the directory away",
                dir.display()
            );
        }
        if shipped {
            // The same bytes again. What is there may carry further signatures.
            return Ok(());
        }
    }
    place(stage, dir)
}

/// Copies a finished release to `stage`, on the file system of `dir`, and moves it into place.
pub fn adopt(made: &Path, stage: &Path, dir: &Path, public: &PublicSet) -> Result<()> {
    let read = |name: &str| {
        let path = made.join(name);
        fs::read(&path).with_context(|| format!("reading {}", path.display()))
    };
    let (manifest, signature) = (read("release.json")?, read("release.json.sig")?);
    fs::create_dir(stage).with_context(|| format!("creating {}", stage.display()))?;
    for entry in fs::read_dir(made).with_context(|| format!("listing {}", made.display()))? {
        let entry = entry.with_context(|| format!("listing {}", made.display()))?;
        let to = stage.join(entry.file_name());
        fs::copy(entry.path(), &to).with_context(|| format!("writing {}", to.display()))?;
    }
    finish(stage, dir, &manifest, &signature, public)
}

/// Gives a staged directory its modes and waits until it is on disk.
pub fn settle(stage: &Path) -> Result<()> {
    set_modes(stage)?;
    let handle = File::open(stage).context("opening the output directory")?;
    rustix::fs::syncfs(&handle).context("syncing the outputs")
}

/// Moves a settled stage to its name; what was there before is left where the stage was.
pub fn place(stage: &Path, dir: &Path) -> Result<()> {
    if dir.exists() {
        // The same version again, as every development build is: swap, so that a reader sees the
        // old directory or the new one and never half of each.
        let (here, flags) = (rustix::fs::CWD, rustix::fs::RenameFlags::EXCHANGE);
        rustix::fs::renameat_with(here, stage, here, dir, flags)
            .with_context(|| format!("replacing {}", dir.display()))?;
    } else {
        fs::rename(stage, dir)
            .with_context(|| format!("renaming the outputs to {}", dir.display()))?;
    }
    sync_dir(dir.parent().context("an output directory needs a parent")?)
}

/// Modes that do not depend on the umask.
fn set_modes(dir: &Path) -> Result<()> {
    use std::os::unix::fs::PermissionsExt;
    let set = |path: &Path, mode| {
        fs::set_permissions(path, fs::Permissions::from_mode(mode))
            .with_context(|| format!("setting the mode of {}", path.display()))
    };
    for entry in fs::read_dir(dir).with_context(|| format!("listing {}", dir.display()))? {
        set(
            &entry
                .with_context(|| format!("listing {}", dir.display()))?
                .path(),
            0o644,
        )?;
    }
    set(dir, 0o755)
}

/// Points `latest` beside the release at it; `work` is on the same filesystem.
pub fn point_latest(dir: &Path, work: &Path) -> Result<()> {
    let (Some(parent), Some(name)) = (dir.parent(), dir.file_name()) else {
        bail!("{} has no parent directory", dir.display());
    };
    let link = work.join("latest");
    std::os::unix::fs::symlink(name, &link).context("linking `latest`")?;
    fs::rename(&link, parent.join("latest")).context("renaming `latest` into place")?;
    sync_dir(parent)
}
