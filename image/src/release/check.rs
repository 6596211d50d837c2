//! Everything an update claims, checked; root and kernel image put together from their frames, to compare.
//!
//! Owns: what `release verify` does, and what a new update goes through before it is shown.

use std::path::Path;

use anyhow::{Context, Result};
use roamcore_delta::{
    Expected, Index, Limits, LocalParts, Plan, PlanOptions, Progress, ReadAt as _, apply,
};
use roamcore_disk::gpt::Guid;
use roamcore_ota::{
    AuthenticUpdate, Clock, Digest, RootImage, TrustedRoles, Update, UpdateFile, authenticate,
};
use sha2::{Digest as _, Sha256};

use super::facts;
use super::file_at::FileAt;
use super::source::Source;
use crate::events::Events;

/// An update that was checked.
#[derive(Debug)]
pub struct Checked {
    /// The update.
    pub update: AuthenticUpdate,
    /// Bytes that a device fetches of frames that has nothing of the root nor of the UKI.
    pub full_bytes: u64,
}

/// The image that came out is not the one that was signed.
#[derive(Debug, thiserror::Error)]
#[error("the frames give a {image} with {what} {found}, the update manifest says {signed}")]
pub struct Mismatch {
    image: &'static str,
    what: &'static str,
    found: Digest,
    signed: Digest,
}

/// Checks signatures, validity, every file, and that the indexes are of this update.
pub fn check(source: &Source, trusted: &TrustedRoles, clock: &Clock) -> Result<Checked> {
    let documents = source.documents()?;
    let documents = documents.as_ota();
    let refused = || format!("{} is refused", source.path().display());
    let roles = trusted.advance(documents.roles).with_context(refused)?;
    let authentic = authenticate(&documents, &roles, clock).with_context(refused)?;
    authentic.check_validity(clock).with_context(refused)?;
    authentic
        .check_all_files(|name| source.reader(name.as_str()))
        .with_context(refused)?;
    let update = authentic.update();
    let mut full_bytes = 0;
    for image in [root(update), uki(update)] {
        let index = read_index(source, &image).with_context(refused)?;
        full_bytes += index.full_download_bytes();
    }
    Ok(Checked {
        full_bytes,
        update: authentic,
    })
}

/// An image of an update, as its manifest names it.
pub struct Image<'a> {
    /// For people, and for the name of a file.
    what: &'static str,
    index: &'a UpdateFile,
    parts: &'a [UpdateFile],
    size: u64,
    /// None for the UKI, whose own digest is of fewer bytes.
    sha256: Option<Digest>,
}

/// The root of an update.
pub fn root(update: &Update) -> Image<'_> {
    Image {
        what: "root",
        index: &update.index,
        parts: &update.parts,
        size: update.root.size,
        sha256: Some(update.root.sha256),
    }
}

/// The UKI of an update.
pub fn uki(update: &Update) -> Image<'_> {
    Image {
        what: "kernel image",
        index: &update.uki.index,
        parts: &update.uki.parts,
        size: update.uki.padded_size(),
        sha256: None,
    }
}

/// An index of an update, which must be of the image and the parts that the manifest names.
pub fn read_index(source: &Source, image: &Image<'_>) -> Result<Index> {
    let name = image.index.name.as_str();
    let file = source.at(name)?;
    let mut bytes = vec![0; usize::try_from(image.index.size)?];
    file.read_exact_at(&mut bytes, 0)
        .with_context(|| format!("reading {name}"))?;
    let index = Index::parse(&bytes, &Limits::default()).with_context(|| name.to_owned())?;
    let part_sizes: Vec<u64> = image.parts.iter().map(|part| part.size).collect();
    index
        .expect(&Expected {
            image_size: image.size,
            image_sha256: image.sha256,
            part_sizes: &part_sizes,
        })
        .with_context(|| name.to_owned())?;
    Ok(index)
}

/// Puts root and UKI together in `scratch`, from frames alone, as a device without anything would, and
/// compares them with what the manifest says.
pub fn rebuild(
    source: &Source,
    update: &Update,
    scratch: &Path,
    threads: usize,
    events: &Events,
) -> Result<()> {
    let file = put_together(source, &root(update), scratch, threads, events)?;
    compare_root(&file, &update.root, threads)?;
    let image = uki(update);
    let file = put_together(source, &image, scratch, threads, events)?;
    let found = sha256(&file, update.uki.size)?;
    same(image.what, "SHA-256", found, update.uki.sha256)
}

fn put_together(
    source: &Source,
    image: &Image<'_>,
    scratch: &Path,
    threads: usize,
    events: &Events,
) -> Result<FileAt> {
    let doing = || format!("putting the {} together", image.what);
    let index = read_index(source, image)?;
    let file = FileAt::create(&scratch.join(format!("{} again", image.what)), image.size)?;
    let options = PlanOptions {
        threads,
        ignore_local: true,
        ..PlanOptions::default()
    };
    let mut observer = |progress: &Progress| {
        events.progress("rebuild", progress.done, progress.total);
        std::ops::ControlFlow::Continue(())
    };
    let plan = Plan::make(&index, None, &file, &options, &mut observer).with_context(doing)?;
    let parts: Vec<_> = image
        .parts
        .iter()
        .map(|part| source.at(part.name.as_str()))
        .collect::<Result<_>>()?;
    let mut parts = LocalParts::new(parts);
    apply(&index, &plan, None, &file, &mut parts, &mut observer).with_context(doing)?;
    Ok(file)
}

fn compare_root(root: &FileAt, signed: &RootImage, threads: usize) -> Result<()> {
    same("root", "SHA-256", sha256(root, root.size())?, signed.sha256)?;
    let verity = &signed.verity;
    let uuid = Guid::from_bytes(*verity.uuid.as_bytes());
    let hash = facts::root_hash(root, verity.salt.as_bytes(), uuid, threads)?;
    same("root", "root hash", hash, signed.root_hash)
}

fn same(image: &'static str, what: &'static str, found: Digest, signed: Digest) -> Result<()> {
    match found == signed {
        true => Ok(()),
        false => Err(Mismatch {
            image,
            what,
            found,
            signed,
        }
        .into()),
    }
}

/// Of the first `size` bytes.
fn sha256(file: &FileAt, size: u64) -> Result<Digest> {
    let (mut hasher, mut buffer, mut at) = (Sha256::new(), vec![0; 1 << 20], 0);
    while at < size {
        let count = usize::try_from(size - at)
            .unwrap_or(usize::MAX)
            .min(buffer.len());
        file.read_exact_at(&mut buffer[..count], at)
            .context("reading back what was put together")?;
        hasher.update(&buffer[..count]);
        at += count as u64;
    }
    let digest: [u8; 32] = hasher.finalize().into();
    Ok(Digest::from(digest))
}
