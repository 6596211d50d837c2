//! The superblock of a dm-verity tree, which nothing signs, and root hashes as text.

use roamcore_disk::verity::{RootHash, Superblock, tree_size};

use crate::Target;

pub(super) const TARGET: Target = Target {
    name: "verity",
    from: "the hash partition, and root hashes on the kernel's command line",
    longest: 512,
    run: |bytes| {
        let hash = std::str::from_utf8(bytes)
            .ok()
            .and_then(|text| text.parse::<RootHash>().ok());
        if let Some(hash) = hash {
            assert_eq!(hash.to_string().parse::<RootHash>().unwrap(), hash);
            return true;
        }
        let Ok(found) = Superblock::parse(bytes) else {
            return false;
        };
        assert!(found.data_blocks > 0);
        // What it says it covers is in bytes below 2^63: a size that callers may compute.
        drop(tree_size(found.data_blocks * 4096));
        true
    },
    seeds: || {
        let mut block = b"verity\0\0\x01\0\0\0\x01\0\0\0".to_vec();
        block.extend([7; 16]);
        block.extend(b"sha256");
        block.resize(64, 0);
        block.extend([0, 16, 0, 0, 0, 16, 0, 0, 129, 0, 0, 0, 0, 0, 0, 0, 3, 0]);
        block.resize(88, 0);
        block.extend([1, 2, 3]);
        block.resize(512, 0);
        vec![block, "ab".repeat(32).into_bytes()]
    },
};
