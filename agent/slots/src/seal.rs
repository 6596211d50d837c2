//! From bytes on the disk to a slot that is known to be good.
//!
//! Owns: the hash tree and the proof. Never does: publish anything. Invariant: a [`Verified`] exists only when the device
//! gave back, past the page cache, a root with the signed digest and root hash, and the tree that leads to it.
//!
//! `write_verity` is a complete proof: it reads the root from the device once, for the tree and for the digest, and then
//! every block of the tree, from the signed root hash downwards. The level next to the data is below that root hash, and
//! it was made from what the device had given. `read_back` is the same proof for a slot that was written earlier, as
//! after a restart; calling it right after `write_verity` only reads everything a second time.

use std::num::NonZeroUsize;
use std::ops::ControlFlow;
use std::thread;

use roamcore_agent::slot::Slot;
use roamcore_disk::gpt::Guid;
use roamcore_disk::verity::{self, RootHash, Superblock};
use roamcore_ota::Digest;

use crate::content;
use crate::error::{SlotError, at};
use crate::media::{Block, Media, Part};
use crate::pass::{Observer, Pass, PastCache, Writing};

/// Readers, which hash as well: two at least, so that the disk has something to do while one of them hashes; no more than
/// this, because the guests use the same disk.
const MOST_THREADS: usize = 4;

/// What the signed update says of the root.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RootSpec {
    /// Bytes, whole blocks of 4096.
    pub size: u64,
    /// SHA-256 over them.
    pub sha256: Digest,
    /// Root hash of the tree.
    pub root_hash: RootHash,
    /// Salt of the tree.
    pub salt: Vec<u8>,
    /// UUID in its superblock.
    pub uuid: Guid,
}

/// Proof that the idle slot holds a root, for as long as nobody writes to it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verified {
    pub(crate) slot: Slot,
    pub(crate) root_hash: RootHash,
}

impl Verified {
    /// The root hash that was proved.
    #[must_use]
    pub fn root_hash(&self) -> RootHash {
        self.root_hash
    }
}

fn threads() -> usize {
    thread::available_parallelism()
        .map_or(1, NonZeroUsize::get)
        .clamp(2, MOST_THREADS)
}

/// Both partitions are large enough.
pub(crate) fn check_room(
    spec: &RootSpec,
    data: &dyn Block,
    tree: &dyn Block,
) -> Result<(), SlotError> {
    let needed = verity::tree_size(spec.size)?;
    for (what, needed, block) in [
        ("the root", spec.size, data),
        ("its hash tree", needed, tree),
    ] {
        if needed > block.size() {
            return Err(SlotError::TooLarge {
                what,
                needed,
                path: block.path().to_owned(),
                size: block.size(),
            });
        }
    }
    Ok(())
}

/// A proof must not be about bytes that only the drive's own memory has, whoever wrote them and forgot.
fn durable(block: &dyn Block) -> Result<(), SlotError> {
    block.sync().map_err(at("sync", block.path()))
}

/// Builds and writes the tree; see the module.
pub(crate) fn write_verity(
    media: &dyn Media,
    slot: Slot,
    spec: &RootSpec,
    observer: Observer<'_>,
) -> Result<Verified, SlotError> {
    let data = media.read(slot, Part::Data)?;
    let tree = media.write_idle(Part::Tree)?;
    check_room(spec, data.as_ref(), tree.as_ref())?;
    durable(data.as_ref())?;
    let pass = Pass::new(data.as_ref(), observer);
    let mut out = Writing {
        block: tree.as_ref(),
        at: 0,
    };
    let built = verity::build(&pass, spec.size, &spec.salt, spec.uuid, &mut out, threads());
    let found = stopped_or(built, &pass)?;
    compare(slot, spec, found, pass)?;
    durable(tree.as_ref())?;
    check_tree(slot, spec, tree.as_ref())
}

/// Reads everything back; see the module.
pub(crate) fn read_back(
    media: &dyn Media,
    slot: Slot,
    spec: &RootSpec,
    observer: Observer<'_>,
) -> Result<Verified, SlotError> {
    let data = media.read(slot, Part::Data)?;
    let tree = media.read(slot, Part::Tree)?;
    check_room(spec, data.as_ref(), tree.as_ref())?;
    durable(data.as_ref())?;
    durable(tree.as_ref())?;
    let verified = check_tree(slot, spec, tree.as_ref())?;
    let pass = Pass::new(data.as_ref(), observer);
    let checked = verity::verify(&pass, &PastCache::new(tree.as_ref()), &spec.root_hash);
    stopped_or(checked, &pass)?;
    compare(slot, spec, spec.root_hash, pass)?;
    Ok(verified)
}

/// The tree from the root hash down to the level next to the data, and its superblock.
fn check_tree(slot: Slot, spec: &RootSpec, tree: &dyn Block) -> Result<Verified, SlotError> {
    let expected = Superblock {
        uuid: spec.uuid,
        data_blocks: spec.size / verity::BLOCK as u64,
        salt: spec.salt.clone(),
    };
    let found = content::superblock(tree)?;
    let what = match found {
        None => Some("signature"),
        Some(found) if found.data_blocks != expected.data_blocks => Some("size"),
        Some(found) if found.salt != expected.salt => Some("salt"),
        Some(found) if found.uuid != expected.uuid => Some("UUID"),
        Some(_) => None,
    };
    if let Some(what) = what {
        return Err(SlotError::Superblock { slot, what });
    }
    verity::verify_tree(&PastCache::new(tree), &spec.root_hash)?;
    Ok(Verified {
        slot,
        root_hash: spec.root_hash,
    })
}

fn stopped_or<T>(result: Result<T, verity::VerityError>, pass: &Pass<'_>) -> Result<T, SlotError> {
    match result {
        Err(_) if pass.stopped() => Err(SlotError::Stopped),
        other => Ok(other?),
    }
}

fn compare(
    slot: Slot,
    spec: &RootSpec,
    root_hash: RootHash,
    pass: Pass<'_>,
) -> Result<(), SlotError> {
    let (bytes, digest) = pass.finish();
    if bytes != spec.size || digest != spec.sha256 {
        return Err(SlotError::RootDigest {
            slot,
            bytes,
            expected: spec.sha256,
            found: digest,
        });
    }
    if root_hash != spec.root_hash {
        return Err(SlotError::RootHash {
            slot,
            expected: spec.root_hash,
            found: root_hash,
        });
    }
    Ok(())
}

/// For callers that do not watch.
pub(crate) fn unobserved(_: u64) -> ControlFlow<()> {
    ControlFlow::Continue(())
}
