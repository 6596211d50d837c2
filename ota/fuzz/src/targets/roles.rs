//! `roles.json`. What is accepted is written back as it was; a device that took it as its anchor can go on from it.

use roamcore_ota::{RoleChain, TrustedRoles};

use super::block;
use crate::Target;

pub(super) const TARGET: Target = Target {
    name: "roles",
    from: "roles.json, from a server or a stick, and the copy kept on state",
    longest: 8192,
    run: |bytes| {
        let Ok(chain) = RoleChain::parse(bytes) else {
            return false;
        };
        assert_eq!(chain.encode().unwrap(), bytes);
        if let Ok(trusted) = TrustedRoles::anchor(bytes) {
            assert_eq!(trusted.advance(bytes).unwrap().version(), trusted.version());
        }
        true
    },
    seeds: || {
        vec![
            include_bytes!("../../../tests/attacks/good/roles.json").to_vec(),
            include_bytes!("../../../tests/attacks/mix-and-match-rotated/roles.json").to_vec(),
            block(
                include_str!("../../../../docs/release-format.md"),
                "roles.json",
            ),
        ]
    },
};
