//! Writing the idle slot's root and UKI from an update.
//!
//! Owns: indexes, plans and their carrying out by [`roamcore_delta`]. Never does: publish anything. Invariant: no byte
//! is fetched before its costs were accepted: those of the indexes, whose sizes the signed manifest says, before the
//! indexes are; those of both plans before the first frame is.
//!
//! ```text
//!   indexes --> plan of the root --> fill      running root, idle root --> idle root          straight into the slot
//!          \--> plan of the UKI  --> fill_uki  both UKIs, the spare file --> the spare file   straight onto the ESP
//! ```

use roamcore_delta::{
    Expected, Index, Joined, Limits, Padded, Plan, PlanOptions, ReadAt, Summary, apply,
};
use roamcore_ota::{Digest, Update, UpdateFile};
use roamcore_slots::{SlotError, UkiSpec, UkiTarget};

use super::chain;
use super::pass::{passing, slot_error};
use super::slots::{SlotDevice, root_hash};
use super::stream::{File, Parts, Readable, Watched, Writable, apply_error};
use super::{DeviceError, Payload, PlanFacts, Stage, Trouble, Watch};
use crate::facts::Target;

/// An image of an update.
struct Image<'a> {
    index: &'a UpdateFile,
    parts: &'a [UpdateFile],
    size: u64,
    /// None for the UKI, whose own digest is of fewer bytes than its image.
    sha256: Option<Digest>,
}

fn root(update: &Update) -> Image<'_> {
    Image {
        index: &update.index,
        parts: &update.parts,
        size: update.root.size,
        sha256: Some(update.root.sha256),
    }
}

fn uki(update: &Update) -> Image<'_> {
    Image {
        index: &update.uki.index,
        parts: &update.uki.parts,
        size: update.uki.padded_size(),
        sha256: None,
    }
}

/// A plan that was accepted, with the index that it is of.
pub(super) struct Planned {
    manifest: Digest,
    index: Index,
    plan: Plan,
}

impl<'a> Image<'a> {
    fn fetched_by<'b>(&self, payload: &'b mut dyn Payload) -> Parts<'b> {
        let names = self.parts.iter().map(|part| part.name.to_string());
        Parts {
            payload,
            names: names.collect(),
        }
    }
}

impl SlotDevice {
    /// Reads an index that was compared with the manifest, and compares what it says of itself.
    fn index(
        &self,
        target: &Target,
        image: &Image<'_>,
        payload: &mut dyn Payload,
    ) -> Result<Index, DeviceError> {
        let bad = |error: &dyn std::error::Error| DeviceError {
            trouble: Trouble::Final,
            code: i32::from(roamcore_ota::FailureClass::MalformedIndex.exit_code()),
            reason: format!("refused: {}: {}", image.index.name, chain(error)),
        };
        let path = self
            .documents
            .file(&target.manifest, image.index, payload)?;
        let bytes = roamcore_agent::files::read(&path, image.index.size)
            .map_err(|error| passing(&error))?;
        let index = Index::parse(&bytes, &Limits::default()).map_err(|error| bad(&error))?;
        let part_sizes: Vec<u64> = image.parts.iter().map(|part| part.size).collect();
        index
            .expect(&Expected {
                image_size: image.size,
                image_sha256: image.sha256,
                part_sizes: &part_sizes,
            })
            .map_err(|error| bad(&error))?;
        Ok(index)
    }

    /// What the indexes cost, which is judged before they are fetched.
    fn ahead(&self, target: &Target, update: &Update) -> PlanFacts {
        let missing = [&update.index, &update.uki.index]
            .map(|file| self.documents.missing(&target.manifest, file));
        PlanFacts {
            download_bytes: missing.iter().sum(),
            // More than any device fetches, so that nothing is refused here that the plan would not be.
            full_bytes: update.total_bytes(),
            write_bytes: 0,
            requests: missing.iter().map(|bytes| u64::from(*bytes > 0)).sum(),
        }
    }

    pub(super) fn plan_root(
        &mut self,
        target: &Target,
        payload: &mut dyn Payload,
        watch: &mut dyn Watch,
    ) -> Result<(), DeviceError> {
        self.planned = None;
        let update = self.documents.update(&target.manifest)?;
        let ahead = self.ahead(target, &update);
        watch.ahead(ahead)?;
        let index = self.index(target, &root(&update), payload)?;
        let uki_index = self.index(target, &uki(&update), payload)?;
        let here = self
            .idle()?
            .present(update.root.size)
            .map_err(|error| slot_error(&error))?;
        let running = self
            .slots
            .running_root()
            .map_err(|error| slot_error(&error))?;
        let mut watched = Watched::new(watch, Stage::Planning);
        let plan = Plan::make(
            &index,
            Some(&Readable(&running)),
            &Readable(&here),
            &options(self.distrust),
            &mut watched,
        )
        .map_err(|error| watched.stopped.take().unwrap_or_else(|| passing(&error)))?;
        let uki = self.predict_uki(&update, &uki_index, &mut watched)?;
        watched.watch.planned(PlanFacts {
            download_bytes: ahead.download_bytes + plan.download_bytes() + uki.download,
            full_bytes: update.index.size
                + update.uki.index.size
                + index.full_download_bytes()
                + uki_index.full_download_bytes(),
            write_bytes: plan.write_bytes() + uki.copied + uki.zeroed + uki.fetched,
            requests: ahead.requests + plan.requests() + uki.requests,
        })?;
        self.planned = Some(Planned {
            manifest: target.manifest,
            index,
            plan,
        });
        Ok(())
    }

    pub(super) fn fill(
        &mut self,
        target: &Target,
        payload: &mut dyn Payload,
        watch: &mut dyn Watch,
    ) -> Result<(), DeviceError> {
        let planned = self
            .planned
            .take()
            .filter(|planned| planned.manifest == target.manifest);
        let Some(Planned { index, plan, .. }) = planned else {
            let reason = "there is no plan for this update";
            return Err(DeviceError::new(Trouble::Passing, reason));
        };
        let update = self.documents.update(&target.manifest)?;
        let image = root(&update);
        let idle = self.idle()?;
        let out = idle
            .target(update.root.size)
            .map_err(|error| slot_error(&error))?;
        let running = self
            .slots
            .running_root()
            .map_err(|error| slot_error(&error))?;
        let (here, there) = (Writable(&out), Readable(&running));
        let mut watched = Watched::new(watch, Stage::Writing);
        watched.total = Some(plan.write_bytes());
        let mut parts = image.fetched_by(payload);
        apply(&index, &plan, Some(&there), &here, &mut parts, &mut watched)
            .map_err(|error| apply_error(error, watched.stopped.take()))?;
        out.finish().map_err(|error| slot_error(&error))
    }

    /// What the UKI will cost, from what the ESP holds now.
    fn predict_uki(
        &self,
        update: &Update,
        index: &Index,
        watched: &mut Watched<'_>,
    ) -> Result<Summary, DeviceError> {
        let idle = self.idle()?;
        let present = self
            .slots
            .uki_digest(idle.slot())
            .map_err(|error| slot_error(&error))?;
        if present == Some(update.uki.sha256) {
            return Ok(Summary::default());
        }
        let ukis = idle.ukis().map_err(|error| slot_error(&error))?;
        let sources = padded(&ukis.sources);
        let nothing: &dyn ReadAt = &Vec::new();
        let begun = ukis.begun.as_ref().map(Readable);
        let begun = begun.as_ref().map_or(nothing, |begun| begun);
        let plan = Plan::make(
            index,
            Some(&joined(&sources)),
            &Padded::up_to(begun, index.image_size()),
            &options(self.distrust_uki),
            watched,
        )
        .map_err(|error| watched.stopped.take().unwrap_or_else(|| passing(&error)))?;
        Ok(*plan.summary())
    }

    pub(super) fn fill_uki(
        &mut self,
        target: &Target,
        payload: &mut dyn Payload,
        watch: &mut dyn Watch,
    ) -> Result<(), DeviceError> {
        let update = self.documents.update(&target.manifest)?;
        let size = update.uki.size;
        watch.progress(Stage::Publishing, 0, size)?;
        let image = uki(&update);
        let index = self.index(target, &image, payload)?;
        let spec = UkiSpec {
            size,
            sha256: update.uki.sha256,
            root_hash: root_hash(&update.root.root_hash),
        };
        let ended = {
            let idle = self.idle()?;
            let spare = idle.uki_target(&spec).map_err(|error| slot_error(&error))?;
            match spare {
                None => Ok(()),
                Some(spare) => {
                    let parts = image.fetched_by(payload);
                    write(&index, &spare, &options(self.distrust_uki), parts, watch)?;
                    spare.finish()
                }
            }
        };
        // Every chunk was right and the whole is not.
        self.distrust_uki = matches!(ended, Err(SlotError::Uki { .. }));
        ended.map_err(|error| slot_error(&error))?;
        watch.progress(Stage::Publishing, size, size)
    }
}

/// Plans anew, because the ESP may have changed since the costs were judged, and carries the plan out.
fn write(
    index: &Index,
    spare: &UkiTarget<'_>,
    options: &PlanOptions,
    mut parts: Parts<'_>,
    watch: &mut dyn Watch,
) -> Result<(), DeviceError> {
    let sources = padded(spare.sources());
    let sources = joined(&sources);
    let here = Padded::new(File(spare.file()));
    let mut watched = Watched::new(watch, Stage::Publishing);
    let plan = Plan::make(index, Some(&sources), &here, options, &mut watched)
        .map_err(|error| watched.stopped.take().unwrap_or_else(|| passing(&error)))?;
    watched.total = Some(plan.write_bytes());
    apply(
        index,
        &plan,
        Some(&sources),
        &here,
        &mut parts,
        &mut watched,
    )
    .map_err(|error| apply_error(error, watched.stopped.take()))?;
    Ok(())
}

fn options(distrust: bool) -> PlanOptions {
    PlanOptions {
        ignore_local: distrust,
        ..PlanOptions::default()
    }
}

/// UKIs as whole blocks, as their images are.
fn padded(readers: &[roamcore_slots::Reader]) -> Vec<Padded<Readable<'_>>> {
    readers.iter().map(|r| Padded::new(Readable(r))).collect()
}

fn joined<'a>(readers: &'a [Padded<Readable<'_>>]) -> Joined<'a> {
    Joined::new(readers.iter().map(|reader| reader as &dyn ReadAt).collect())
}
