//! Everything an update claims, checked; and the root put together from its frames, to compare.
//!
//! Owns: what `release verify` does, and what a new update goes through before it is shown.

use std::path::Path;

use anyhow::{Context, Result};
use roamcore_delta::{
    Expected, Index, Limits, LocalParts, Plan, PlanOptions, Progress, ReadAt as _, apply,
};
use roamcore_disk::gpt::Guid;
use roamcore_ota::{AuthenticUpdate, Clock, Digest, RootImage, TrustedRoles, Update, authenticate};
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
    /// Bytes that a device fetches of frames that has nothing of the root.
    pub full_bytes: u64,
}

/// The root that came out is not the one that was signed.
#[derive(Debug, thiserror::Error)]
#[error("the frames give a root with {what} {found}, the update manifest says {signed}")]
pub struct RootMismatch {
    what: &'static str,
    found: Digest,
    signed: Digest,
}

/// Checks signatures, validity, every file, and that the index is of this update.
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
    let index = read_index(source, authentic.update()).with_context(refused)?;
    Ok(Checked {
        full_bytes: index.full_download_bytes(),
        update: authentic,
    })
}

/// The index of an update, which must be of the root and the parts that the manifest names.
pub fn read_index(source: &Source, update: &Update) -> Result<Index> {
    let name = update.index.name.as_str();
    let file = source.at(name)?;
    let mut bytes = vec![0; usize::try_from(update.index.size)?];
    file.read_exact_at(&mut bytes, 0)
        .with_context(|| format!("reading {name}"))?;
    let index = Index::parse(&bytes, &Limits::default())?;
    let part_sizes: Vec<u64> = update.parts.iter().map(|part| part.size).collect();
    index.expect(&Expected {
        image_size: update.root.size,
        image_sha256: update.root.sha256,
        part_sizes: &part_sizes,
    })?;
    Ok(index)
}

/// Puts the root together in `scratch`, from frames alone, as a device without anything would, and
/// compares it with what the manifest says.
pub fn rebuild(
    source: &Source,
    update: &Update,
    scratch: &Path,
    threads: usize,
    events: &Events,
) -> Result<()> {
    let index = read_index(source, update)?;
    let root = FileAt::create(&scratch.join("rebuilt"), update.root.size)?;
    let options = PlanOptions {
        threads,
        ignore_local: true,
        ..PlanOptions::default()
    };
    let mut observer = |progress: &Progress| {
        events.progress("rebuild", progress.done, progress.total);
        std::ops::ControlFlow::Continue(())
    };
    let plan = Plan::make(&index, None, &root, &options, &mut observer)
        .context("planning to put the root together")?;
    let parts: Vec<_> = update
        .parts
        .iter()
        .map(|part| source.at(part.name.as_str()))
        .collect::<Result<_>>()?;
    apply(
        &index,
        &plan,
        None,
        &root,
        &mut LocalParts::new(parts),
        &mut observer,
    )
    .context("putting the root together")?;
    compare(&root, &update.root, threads)
}

fn compare(root: &FileAt, signed: &RootImage, threads: usize) -> Result<()> {
    let same = |what, found: Digest, signed: Digest| match found == signed {
        true => Ok(()),
        false => Err(RootMismatch {
            what,
            found,
            signed,
        }),
    };
    same("SHA-256", sha256(root)?, signed.sha256)?;
    let verity = &signed.verity;
    let uuid = Guid::from_bytes(*verity.uuid.as_bytes());
    let hash = facts::root_hash(root, verity.salt.as_bytes(), uuid, threads)?;
    Ok(same("root hash", hash, signed.root_hash)?)
}

fn sha256(file: &FileAt) -> Result<Digest> {
    let (mut hasher, mut buffer, mut at) = (Sha256::new(), vec![0; 1 << 20], 0);
    while at < file.size() {
        let count = usize::try_from(file.size() - at)
            .unwrap_or(usize::MAX)
            .min(buffer.len());
        file.read_exact_at(&mut buffer[..count], at)
            .context("reading the root back")?;
        hasher.update(&buffer[..count]);
        at += count as u64;
    }
    let digest: [u8; 32] = hasher.finalize().into();
    Ok(Digest::from(digest))
}
