//! `update.json`. What is accepted is written back as it was, and its sums do not overflow.

use roamcore_ota::Update;

use super::block;
use crate::Target;

pub(super) const TARGET: Target = Target {
    name: "update-manifest",
    from: "update.json, from a server or a stick",
    longest: 4096,
    run: |bytes| {
        let Ok(update) = Update::parse(bytes) else {
            return false;
        };
        assert_eq!(update.encode().unwrap(), bytes);
        assert!(update.total_bytes() >= update.index.size + update.uki.index.size);
        assert!(update.uki.padded_size() >= update.uki.size);
        true
    },
    seeds: || {
        vec![
            include_bytes!("../../../tests/attacks/good/update.json").to_vec(),
            block(
                include_str!("../../../../docs/release-format.md"),
                "update.json",
            ),
        ]
    },
};
