//! Whole updates against a device: nobody without a key gets anything else installed or trusted.
//!
//! ```text
//!  length of update.json (2) | length of update.json.sig (2) | update.json | update.json.sig | roles.json
//! ```

use std::sync::OnceLock;

use roamcore_ota::{
    Clock, Device, Running, TrustedRoles, UpdateDocuments, Verdict, judge as decide,
};
use serde_json::Value;

use super::take;
use crate::Target;

const MANIFEST: &[u8] = include_bytes!("../../../tests/attacks/good/update.json");
const SIGNATURES: &[u8] = include_bytes!("../../../tests/attacks/good/update.json.sig");
const ROLES: &[u8] = include_bytes!("../../../tests/attacks/good/roles.json");
const TRUSTED: &[u8] = include_bytes!("../../../tests/attacks/good/trusted.json");
const CASE: &[u8] = include_bytes!("../../../tests/attacks/good/case.json");

pub(super) const TARGET: Target = Target {
    name: "judge",
    from: "update.json, its signatures and roles.json together",
    longest: 8192,
    run,
    seeds: || {
        // The refused one has a chain of two documents, which is longer.
        let rotated: &[u8] =
            include_bytes!("../../../tests/attacks/mix-and-match-rotated/roles.json");
        vec![
            together([MANIFEST, SIGNATURES, ROLES]),
            together([MANIFEST, SIGNATURES, rotated]),
        ]
    },
};

fn together([manifest, signatures, roles]: [&[u8]; 3]) -> Vec<u8> {
    let length = |bytes: &[u8]| u16::try_from(bytes.len()).unwrap().to_le_bytes();
    let head = [length(manifest), length(signatures)].concat();
    [&head, manifest, signatures, roles].concat()
}

fn run(bytes: &[u8]) -> bool {
    static DEVICE: OnceLock<(Device, TrustedRoles)> = OnceLock::new();
    let (device, trusted) =
        DEVICE.get_or_init(|| (device(), TrustedRoles::anchor(TRUSTED).unwrap()));
    let Some((lengths, mut rest)) = bytes.split_first_chunk::<4>() else {
        return false;
    };
    let [a, b, c, d] = *lengths;
    let documents = UpdateDocuments {
        manifest: take(&mut rest, u16::from_le_bytes([a, b]).into()),
        signatures: take(&mut rest, u16::from_le_bytes([c, d]).into()),
        roles: rest,
    };
    let judgement = decide(&documents, trusted, device);
    // The chain of the second seed is signed by keys that the device trusts; no other newer one is.
    if let Some(roles) = judgement.roles
        && roles.version() == trusted.version()
    {
        assert_eq!(roles.document(), trusted.document());
    }
    match judgement.verdict {
        Ok(Verdict::Install(update)) => {
            assert_eq!(documents.manifest, MANIFEST);
            assert_eq!(update.update().encode().unwrap(), MANIFEST);
            true
        }
        Ok(Verdict::AlreadyRunning(_)) => panic!("nothing signed says that"),
        Err(_) => false,
    }
}

fn device() -> Device {
    let case: Value = serde_json::from_slice(CASE).unwrap();
    let told = &case["device"];
    let text = |member: &str| told[member].as_str().unwrap();
    let number = |member: &str| told[member].as_u64().unwrap();
    Device {
        product: text("product").parse().unwrap(),
        board: text("board").parse().unwrap(),
        agent: text("agent").parse().unwrap(),
        running: Running {
            sequence: number("running_sequence"),
            root_hash: text("running_root_hash").parse().unwrap(),
            uki_sha256: Some(text("running_uki_sha256").parse().unwrap()),
        },
        floors: serde_json::from_value(told["floors"].clone()).unwrap(),
        slot_bytes: number("slot_bytes"),
        clock: Clock {
            now: Some(text("now").parse().unwrap()),
            passed: Some(text("passed").parse().unwrap()),
        },
    }
}
