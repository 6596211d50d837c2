//! What a device would fetch to go from one update to another.
//!
//! Owns: the sum over documents, indexes and frames, of the root and of the kernel image. A prediction from indexes:
//! nothing is verified but that each index is the one its manifest names.

use anyhow::{Context, Result};
use roamcore_delta::{PlanOptions, Summary};
use roamcore_ota::Update;
use serde::Serialize;

use super::check::{Image, read_index, root, uki};
use super::source::Source;

/// Bytes and requests.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Cost {
    /// Bytes fetched.
    pub bytes: u64,
    /// HTTP requests.
    pub requests: u64,
}

impl std::ops::Add for Cost {
    type Output = Cost;

    fn add(self, other: Cost) -> Cost {
        Cost {
            bytes: self.bytes + other.bytes,
            requests: self.requests + other.requests,
        }
    }
}

/// The download of an update, class by class.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Prediction {
    /// Manifest, signatures, role documents.
    pub documents: Cost,
    /// The chunk indexes.
    pub index: Cost,
    /// Frames of the root that a device lacks that runs the old one and has nothing in its idle slot.
    pub frames: Cost,
    /// The same of the kernel image.
    pub uki: Cost,
    /// All of these.
    pub total: Cost,
    /// The same for a device that has nothing.
    pub full: Cost,
    /// Bytes of the root that the device copies from its running slot.
    pub copied: u64,
    /// Bytes of the root.
    pub root: u64,
    /// Bytes of the kernel image that the device copies from the running slot's.
    pub uki_copied: u64,
    /// Bytes of the kernel image.
    pub uki_size: u64,
}

/// Predicts the download of `new` for a device that runs `old`.
pub fn predict(old: &Source, new: &Source) -> Result<Prediction> {
    let (old_update, _) = read(old)?;
    let (update, documents) = read(new)?;
    let of_root = image((old, &root(&old_update)), (new, &root(&update)))?;
    let of_uki = image((old, &uki(&old_update)), (new, &uki(&update)))?;
    let index = Cost {
        bytes: update.index.size + update.uki.index.size,
        requests: 2,
    };
    Ok(Prediction {
        documents,
        index,
        frames: of_root.cost,
        uki: of_uki.cost,
        total: documents + index + of_root.cost + of_uki.cost,
        full: documents + index + of_root.full + of_uki.full,
        copied: of_root.copied,
        root: update.root.size,
        uki_copied: of_uki.copied,
        uki_size: update.uki.size,
    })
}

/// The frames of one image.
struct Frames {
    cost: Cost,
    full: Cost,
    copied: u64,
}

fn image(old: (&Source, &Image<'_>), new: (&Source, &Image<'_>)) -> Result<Frames> {
    let read = |(source, image): (&Source, &Image<'_>)| {
        read_index(source, image).with_context(|| format!("{}", source.path().display()))
    };
    let (old, index) = (read(old)?, read(new)?);
    let found: Summary = roamcore_delta::predict(&old, &index, &PlanOptions::default());
    Ok(Frames {
        cost: Cost {
            bytes: found.download,
            requests: found.requests,
        },
        full: Cost {
            bytes: index.full_download_bytes(),
            requests: index.part_sizes().len() as u64,
        },
        copied: found.copied + found.kept,
    })
}

fn read(source: &Source) -> Result<(Update, Cost)> {
    let documents = source.documents()?;
    let documents = documents.as_ota();
    let sizes = [
        documents.manifest.len(),
        documents.signatures.len(),
        documents.roles.len(),
    ];
    let cost = Cost {
        bytes: sizes.iter().map(|size| *size as u64).sum(),
        requests: sizes.len() as u64,
    };
    let what = || format!("{}", source.path().display());
    let update = Update::parse(documents.manifest).with_context(what)?;
    Ok((update, cost))
}
