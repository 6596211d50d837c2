//! What a device would fetch to go from one update to another.
//!
//! Owns: the sum over documents, index, frames and kernel. A prediction from two indexes: nothing
//! is verified but that each index is the one its manifest names.

use anyhow::{Context, Result};
use roamcore_delta::{Index, PlanOptions};
use roamcore_ota::Update;
use serde::Serialize;

use super::check::read_index;
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
    /// The chunk index.
    pub index: Cost,
    /// Frames that a device lacks that runs the old one and has nothing in its idle slot.
    pub frames: Cost,
    /// The kernel image.
    pub uki: Cost,
    /// All of these.
    pub total: Cost,
    /// The same for a device that has nothing.
    pub full: Cost,
    /// Bytes of the root that the device copies from its running slot.
    pub copied: u64,
    /// Bytes of the root.
    pub root: u64,
}

/// Predicts the download of `new` for a device that runs `old`.
pub fn predict(old: &Source, new: &Source) -> Result<Prediction> {
    let (_, old_index, _) = read(old)?;
    let (update, index, documents) = read(new)?;
    let options = PlanOptions::default();
    let frames = roamcore_delta::predict(&old_index, &index, &options);
    let once = |bytes| Cost { bytes, requests: 1 };
    let fixed = documents + once(update.index.size) + once(update.uki.size);
    let cost = Cost {
        bytes: frames.download,
        requests: frames.requests,
    };
    let full = Cost {
        bytes: index.full_download_bytes(),
        requests: update.parts.len() as u64,
    };
    Ok(Prediction {
        documents,
        index: once(update.index.size),
        frames: cost,
        uki: once(update.uki.size),
        total: fixed + cost,
        full: fixed + full,
        copied: frames.copied + frames.kept,
        root: update.root.size,
    })
}

fn read(source: &Source) -> Result<(Update, Index, Cost)> {
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
    let index = read_index(source, &update).with_context(what)?;
    Ok((update, index, cost))
}
