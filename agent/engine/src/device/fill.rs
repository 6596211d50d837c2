//! Writing the idle slot's root from an update.
//!
//! Owns: index, plan and their carrying out by [`roamcore_delta`]. Never does: publish anything. Invariant: nothing is fetched
//! before the plan's costs were accepted.

use roamcore_delta::{Expected, Index, Limits, Plan, PlanOptions, apply};
use roamcore_ota::Update;

use super::chain;
use super::pass::{passing, slot_error};
use super::slots::SlotDevice;
use super::stream::{Parts, Readable, Watched, Writable, apply_error};
use super::{DeviceError, Payload, PlanFacts, Trouble, Watch};
use crate::facts::Target;

impl SlotDevice {
    /// Reads an index that was compared with the manifest, and compares what it says of itself.
    fn index(
        &self,
        target: &Target,
        update: &Update,
        payload: &mut dyn Payload,
    ) -> Result<Index, DeviceError> {
        let bad = |error: &dyn std::error::Error| DeviceError {
            trouble: Trouble::Final,
            code: i32::from(roamcore_ota::FailureClass::MalformedIndex.exit_code()),
            reason: format!("refused: {}", chain(error)),
        };
        let path = self
            .documents
            .file(&target.manifest, &update.index, payload)?;
        let bytes = roamcore_agent::files::read(&path, update.index.size)
            .map_err(|error| passing(&error))?;
        let index = Index::parse(&bytes, &Limits::default()).map_err(|error| bad(&error))?;
        let part_sizes: Vec<u64> = update.parts.iter().map(|part| part.size).collect();
        index
            .expect(&Expected {
                image_size: update.root.size,
                image_sha256: update.root.sha256,
                part_sizes: &part_sizes,
            })
            .map_err(|error| bad(&error))?;
        Ok(index)
    }

    pub(super) fn fill(
        &mut self,
        target: &Target,
        payload: &mut dyn Payload,
        watch: &mut dyn Watch,
    ) -> Result<(), DeviceError> {
        let update = self.documents.update(&target.manifest)?;
        let index = self.index(target, &update, payload)?;
        let idle = self.idle()?;
        let out = idle
            .target(update.root.size)
            .map_err(|error| slot_error(&error))?;
        let running = self
            .slots
            .running_root()
            .map_err(|error| slot_error(&error))?;
        let (here, there) = (Writable(&out), Readable(&running));
        let options = PlanOptions {
            ignore_local: self.distrust,
            ..PlanOptions::default()
        };
        let mut watched = Watched {
            watch,
            total: None,
            stopped: None,
        };
        let plan = Plan::make(&index, Some(&there), &here, &options, &mut watched)
            .map_err(|error| watched.stopped.take().unwrap_or_else(|| passing(&error)))?;
        // The UKI is always fetched whole: part of what the update costs, wherever it comes from.
        let uki = self.documents.missing(&target.manifest, &update.uki);
        watched.watch.planned(PlanFacts {
            download_bytes: plan.download_bytes() + uki,
            full_bytes: index.full_download_bytes() + update.uki.size,
            write_bytes: plan.write_bytes(),
            requests: plan.requests() + 1,
        })?;
        watched.total = Some(plan.write_bytes());
        let mut parts = Parts {
            payload,
            names: update
                .parts
                .iter()
                .map(|part| part.name.to_string())
                .collect(),
        };
        apply(&index, &plan, Some(&there), &here, &mut parts, &mut watched)
            .map_err(|error| apply_error(error, watched.stopped.take()))?;
        out.finish().map_err(|error| slot_error(&error))
    }
}
