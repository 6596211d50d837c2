//! The engine's record on state: a disk that lies, and another program's record under a good checksum.
//!
//! The first byte chooses: `r` a copy as it is on disk, anything else a body that gets its header here.

use roamcore_engine::store::{decode, encode};
use roamcore_engine::{Message, Record};
use sha2::{Digest, Sha256};

use crate::Target;

const HEADER: usize = 64;

pub(super) const TARGET: Target = Target {
    name: "record",
    from: "the engine's record on the state partition",
    longest: 8192,
    run: |bytes| match bytes.split_first() {
        Some((b'r', copy)) => read(copy),
        Some((_, body)) => read(&sealed(body)),
        None => false,
    },
    seeds: || {
        let mut record = Record::new();
        record.outbox.push(Message::Final {
            action: serde_json::from_str("\"7\"").unwrap(),
            success: false,
            runs: None,
            code: 16,
            details: vec!["why \"so\" \u{e4}".into()],
        });
        let copy = encode(&record, 7).unwrap();
        let mut seeds = vec![[b"r", &copy[..]].concat(), [b"b", &copy[HEADER..]].concat()];
        record.phase = serde_json::from_str(TRIAL_LOST).unwrap();
        let copy = encode(&record, 8).unwrap();
        seeds.push([b"b", &copy[HEADER..]].concat());
        seeds
    },
};

/// A phase that is more than a name.
const TRIAL_LOST: &str = r#"{"name":"rolled-back",
 "job":{"id":1,"source":{"server":{"action":"7","fingerprint":"5454545454545454545454545454545454545454545454545454545454545454"}},
  "title":"t","mode":{"download":"forced","update":"forced","window":"none"},"consent":"open","failures":0,"told_downloaded":true,"told_percent":90},
 "target":{"manifest":"5454545454545454545454545454545454545454545454545454545454545454",
  "release":{"product":"p","version":"1.2.3","sequence":3,"security_epoch":1},
  "root_hash":"5454545454545454545454545454545454545454545454545454545454545454",
  "expires":null,"root_bytes":4096,"floors":{"security_epoch":1,"sequence":{}},"created":"2025-10-01T00:00:00Z"},
 "why":{"tries-used-up":{"done":3}}}"#;

fn read(copy: &[u8]) -> bool {
    let Ok((sequence, record)) = decode(copy) else {
        return false;
    };
    // Unless it has grown past what a record may be: numbers and escapes may be written longer than they came.
    if let Ok(again) = encode(&record, sequence) {
        assert_eq!(decode(&again), Ok((sequence, record)));
    }
    true
}

fn sealed(body: &[u8]) -> Vec<u8> {
    let mut copy = b"RMCRUPDT\x01\0\0\0".to_vec();
    copy.extend(u32::try_from(body.len()).unwrap().to_le_bytes());
    copy.extend([7, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
    let sum = Sha256::new().chain_update(&copy).chain_update(body);
    copy.extend(sum.finalize());
    copy.extend_from_slice(body);
    copy
}
