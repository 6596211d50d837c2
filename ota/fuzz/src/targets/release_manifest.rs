//! `release.json`. What is accepted is written back as it was.

use roamcore_ota::Release;

use super::block;
use crate::Target;

pub(super) const TARGET: Target = Target {
    name: "release-manifest",
    from: "release.json, from a server or a stick",
    longest: 4096,
    run: |bytes| {
        let Ok(release) = Release::parse(bytes) else {
            return false;
        };
        assert_eq!(release.encode().unwrap(), bytes);
        true
    },
    seeds: || {
        vec![block(
            include_str!("../../../../docs/release.md"),
            "release.json",
        )]
    },
};
