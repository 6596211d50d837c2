//! The idle slot's UKI while it is written, and the UKIs of the ESP as sources for it.
//!
//! Owns: the spare file, from its first byte to its final name. Never does: fetch, or decide what is written where;
//! write another slot's file: those are only read. Invariant: the name that a boot entry starts is given to a file only
//! after every byte of it was read back from the device and is the signed one's.
//!
//! ```text
//!   EFI/roamcore/b/roamcore.new   all clusters taken | --rename--> roamcore.tmp
//!                  roamcore.tmp | written anywhere | read back past the cache, compared --rename--> roamcore.efi
//!                  roamcore.efi | read back
//! ```
//! with a sync at each `|`. A file named `roamcore.tmp` has all of its clusters durably, so that a cut leaves no chain
//! that leads nowhere, or through clusters that count as free. Its content is what it is: whoever goes on looks which
//! of its blocks are right, as with a root. Nothing leads to it, so it stays until a UKI takes its place.
//! `roamcore.new` is thrown away.

use roamcore_agent::mounts::Access;
use roamcore_disk::verity::RootHash;
use roamcore_ota::Digest;
use sha2::Digest as _;

use crate::arm::names_of;
use crate::error::{SlotError, at};
use crate::esp::EspTree;
use crate::idle::IdleSlot;
use crate::media::Block;
use crate::slots::Reader;

/// The UKI while it is written.
const SPARE: &str = "roamcore.tmp";
/// The same while its clusters are taken.
const GROWING: &str = "roamcore.new";
const UKI: &str = "roamcore.efi";
/// For directories and the rounding to clusters.
const ESP_MARGIN: u64 = 256 * 1024;
/// One read of the file that was written.
const STEP: usize = 128 * 1024;

/// What the signed update says of the UKI.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UkiSpec {
    /// Bytes.
    pub size: u64,
    /// SHA-256 over them.
    pub sha256: Digest,
    /// The root it must carry.
    pub root_hash: RootHash,
}

/// The UKIs of the ESP, to be read.
pub struct Ukis {
    /// Of the running slot, then of the idle one, as far as they exist.
    pub sources: Vec<Reader>,
    /// What an earlier attempt left of a new one.
    pub begun: Option<Reader>,
    // Last: unmounted after its files are closed.
    _esp: Box<dyn EspTree>,
}

/// The idle slot's UKI while it is written.
pub struct UkiTarget<'a> {
    idle: &'a IdleSlot<'a>,
    spec: UkiSpec,
    spare: Box<dyn Block>,
    sources: Vec<Reader>,
    // Last: unmounted after its files are closed.
    esp: Box<dyn EspTree>,
}

impl IdleSlot<'_> {
    fn file(&self, name: &str) -> String {
        format!("{}/{name}", self.slot.esp_directory())
    }

    fn sources(&self, esp: &dyn EspTree) -> Result<Vec<Reader>, SlotError> {
        let mut sources = Vec::new();
        for slot in [self.slot.other(), self.slot] {
            sources.extend(esp.open(slot.uki_path())?.map(Reader::of));
        }
        Ok(sources)
    }

    /// What there is of UKIs, without writing anything.
    ///
    /// # Errors
    /// The ESP cannot be read.
    pub fn ukis(&self) -> Result<Ukis, SlotError> {
        let esp = self.media.esp(Access::Read)?;
        Ok(Ukis {
            sources: self.sources(esp.as_ref())?,
            begun: esp.open(&self.file(SPARE))?.map(Reader::of),
            _esp: esp,
        })
    }

    /// The UKI, to be written; none when it is in place already.
    ///
    /// # Errors
    /// The slot still has an entry, there is no room, or the ESP fails.
    pub fn uki_target(&self, spec: &UkiSpec) -> Result<Option<UkiTarget<'_>>, SlotError> {
        let (directory, path) = (self.slot.esp_directory(), self.slot.uki_path());
        let esp = self.esp()?;
        let there = esp.size(path)? == Some(spec.size);
        if there && esp.digest(path)? == Some(spec.sha256) {
            esp.close()?;
            return Ok(None);
        }
        if let Some(name) = names_of(esp.as_ref(), self.slot)?.first() {
            return Err(SlotError::StillValid {
                slot: self.slot,
                what: format!("the boot entry {name}"),
            });
        }
        esp.ensure_directory(directory)?;
        self.remove_twins(esp.as_ref())?;
        let begun = esp.size(&self.file(SPARE))?.unwrap_or(0);
        let needed = spec.size.saturating_sub(begun).saturating_add(ESP_MARGIN);
        if esp.free()? < needed {
            // No entry leads to the old one any more. It is lost as a source.
            esp.remove(path)?;
            esp.sync(directory)?;
        }
        let free = esp.free()?;
        if free < needed {
            return Err(SlotError::EspFull { needed, free });
        }
        self.take_clusters(esp.as_ref(), spec.size)?;
        Ok(Some(UkiTarget {
            idle: self,
            spec: spec.clone(),
            spare: esp.edit(&self.file(SPARE), spec.size)?,
            sources: self.sources(esp.as_ref())?,
            esp,
        }))
    }

    /// Gives the spare file its size, durably.
    fn take_clusters(&self, esp: &dyn EspTree, size: u64) -> Result<(), SlotError> {
        let directory = self.slot.esp_directory();
        let present = esp.size(&self.file(SPARE))?;
        if present == Some(size) {
            return Ok(());
        }
        if present.is_some() {
            // Of another release; its blocks are sources.
            esp.rename(directory, SPARE, GROWING)?;
            esp.sync(directory)?;
        }
        drop(esp.edit(&self.file(GROWING), size)?);
        esp.sync(directory)?;
        esp.rename(directory, GROWING, SPARE)?;
        esp.sync(directory)
    }

    /// Removes a file whose clusters were being taken, and names that may be of one file: a cut in the middle of a
    /// rename leaves two on a disk that writes less than a sector. Writing or removing through one of them would damage
    /// the other, so both go. No entry leads to any of them.
    fn remove_twins(&self, esp: &dyn EspTree) -> Result<(), SlotError> {
        let (spare, growing, uki) = (
            self.file(SPARE),
            self.file(GROWING),
            self.slot.uki_path().to_owned(),
        );
        let size = |path: &str| esp.size(path);
        let mut wrong = Vec::new();
        if size(&growing)?.is_some() {
            wrong.push(&growing);
            // There is only ever one of the two.
            wrong.extend(size(&spare)?.map(|_| &spare));
        } else if size(&uki)?.is_some()
            && size(&uki)? == size(&spare)?
            && esp.digest(&uki)? == esp.digest(&spare)?
        {
            wrong.extend([&spare, &uki]);
        }
        for path in wrong {
            esp.remove(path)?;
            esp.sync(self.slot.esp_directory())?;
        }
        Ok(())
    }

    pub(crate) fn require_uki(&self, esp: &dyn EspTree, expected: Digest) -> Result<(), SlotError> {
        let path = self.slot.uki_path();
        match esp.digest(path)? {
            Some(found) if found == expected => Ok(()),
            other => Err(SlotError::Uki {
                path: path.to_owned(),
                expected: expected.to_string(),
                found: other.map_or("no file".into(), |digest| digest.to_string()),
            }),
        }
    }
}

impl UkiTarget<'_> {
    /// UKIs to take content from: the running slot's, then the one that is replaced.
    #[must_use]
    pub fn sources(&self) -> &[Reader] {
        &self.sources
    }

    /// The file: of the UKI's size, with what was written before, or whatever lies there.
    #[must_use]
    pub fn file(&self) -> &dyn Block {
        self.spare.as_ref()
    }

    /// Reads back what was written and gives it its name.
    ///
    /// # Errors
    /// It is not the release's, or the ESP fails.
    pub fn finish(self) -> Result<(), SlotError> {
        let Self {
            idle,
            spec,
            spare,
            sources,
            esp,
        } = self;
        let directory = idle.slot.esp_directory();
        spare.sync().map_err(at("sync", spare.path()))?;
        check(spare.as_ref(), &spec)?;
        drop((spare, sources));
        esp.sync(directory)?;
        esp.rename(directory, SPARE, UKI)?;
        esp.sync(directory)?;
        idle.require_uki(esp.as_ref(), spec.sha256)?;
        esp.close()
    }
}

/// Compares what the device holds with what was signed, and that it is for this root.
fn check(block: &dyn Block, spec: &UkiSpec) -> Result<(), SlotError> {
    let needle = format!("roothash={}", spec.root_hash).into_bytes();
    let (mut hasher, mut tail, mut found) = (sha2::Sha256::new(), Vec::new(), false);
    let (mut buffer, mut offset) = (vec![0; STEP], 0);
    while offset < block.size() {
        let left = usize::try_from(block.size() - offset).unwrap_or(STEP);
        let bytes = &mut buffer[..STEP.min(left)];
        block
            .read_past_cache(bytes, offset)
            .map_err(at("read", block.path()))?;
        offset += bytes.len() as u64;
        hasher.update(&*bytes);
        if !found {
            tail.extend_from_slice(bytes);
            found = tail.windows(needle.len()).any(|window| window == needle);
            let keep = tail.len().saturating_sub(needle.len() - 1);
            tail.drain(..keep);
        }
    }
    let digest: [u8; 32] = hasher.finalize().into();
    let digest = Digest::from(digest);
    if offset != spec.size || digest != spec.sha256 {
        return Err(SlotError::Uki {
            path: block.path().display().to_string(),
            expected: format!("{} bytes, SHA-256 {}", spec.size, spec.sha256),
            found: format!("{offset} bytes, SHA-256 {digest}"),
        });
    }
    match found {
        true => Ok(()),
        false => Err(SlotError::UkiOfOtherRoot {
            expected: spec.root_hash,
        }),
    }
}
