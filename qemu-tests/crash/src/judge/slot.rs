//! Whether the slot that a UKI asks for is there, once, and whole.

use roamcore_disk::region::ReadRegion;
use roamcore_disk::verity::{self, BLOCK, RootHash, Superblock};

use super::{Bad, Boot, Judge};
use crate::firmware::gpt::{Partition, Table};
use crate::state::{Disk, fingerprint};

impl Judge {
    /// The byte at which the root of a boot's release begins.
    pub(super) fn slot(&self, disk: &dyn Disk, table: &Table, boot: &Boot) -> Result<u64, Bad> {
        let Some(release) = self.expect.releases.get(boot.release) else {
            return Err(Bad::NoEntry(Vec::new()));
        };
        let (root, tree) = release.root_hash.partuuids();
        // Two partitions with one PARTUUID: which one the kernel shows by that name is chance.
        let one = |uuid| {
            let mut found = table.with_uuid(uuid);
            match (found.next(), found.next()) {
                (Some(partition), None) => Ok(partition),
                _ => Err(Bad::Partition {
                    entry: boot.entry.clone(),
                    release: release.name.clone(),
                    count: table.with_uuid(uuid).count(),
                    uuid: uuid.to_string(),
                }),
            }
        };
        let (root, tree) = (one(root)?, one(tree)?);
        let bad = |why| Bad::Slot {
            entry: boot.entry.clone(),
            release: release.name.clone(),
            why,
        };
        self.whole(disk, root, tree, &release.root_hash)
            .map_err(bad)?;
        Ok(root.start)
    }

    /// A PARTUUID is the statement that the release with this root hash is there, whole: the kernel and whoever rebuilds lost
    /// records believe it. So it must be true in every state, booted or not.
    pub(super) fn promises(&self, disk: &dyn Disk, table: &Table) -> Result<(), Bad> {
        for release in &self.expect.releases {
            let (root, tree) = release.root_hash.partuuids();
            let roots: Vec<_> = table.with_uuid(root).collect();
            let trees: Vec<_> = table.with_uuid(tree).collect();
            let kept = match (roots.as_slice(), trees.as_slice()) {
                ([], []) => Ok(()),
                ([root], [tree]) => self.whole(disk, root, tree, &release.root_hash),
                _ => Err(format!(
                    "{} partitions have the PARTUUID of its root, {} that of its tree",
                    roots.len(),
                    trees.len()
                )),
            };
            kept.map_err(|why| Bad::Promise {
                release: release.name.clone(),
                why,
            })?;
        }
        Ok(())
    }

    fn whole(
        &self,
        disk: &dyn Disk,
        root: &Partition,
        tree: &Partition,
        hash: &RootHash,
    ) -> Result<(), String> {
        let mut block = vec![0; BLOCK];
        disk.read_exact_at(&mut block, tree.start)
            .map_err(|e| e.to_string())?;
        let superblock = Superblock::parse(&block).map_err(|e| e.to_string())?;
        let size = superblock.data_blocks.saturating_mul(BLOCK as u64);
        let tree_size = verity::tree_size(size).map_err(|e| e.to_string())?;
        if size > root.end - root.start || tree_size > tree.end - tree.start {
            return Err(format!("{size} bytes of data do not fit its partitions"));
        }
        let ranges = [
            (root.start, root.start + size),
            (tree.start, tree.start + tree_size),
        ];
        let mut key = fingerprint(disk, &ranges);
        for (mixed, byte) in key.iter_mut().zip(hash.as_bytes()) {
            *mixed ^= byte;
        }
        self.slots.get(key, || {
            let data = ReadRegion::new(disk, root.start, size);
            let tree = ReadRegion::new(disk, tree.start, tree_size);
            verity::verify(&data, &tree, hash).map_err(|e| e.to_string())
        })
    }
}
