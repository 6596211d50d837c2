//! The bytes of one copy of the record.
//!
//! Owns: header, checksum, versions. Never does: I/O. Invariant: any change of any byte that counts is noticed.
//!
//! ```text
//!   0  8  magic "RMCRUPDT"
//!   8  4  layout of this header: 1
//!  12  4  length of the body
//!  16  8  sequence: the higher one of two is newer
//!  24  8  zero
//!  32 32  SHA-256 of bytes 0..32 and the body
//!  64  n  body: JSON {"format": 1, "refuse": [], "record": {...}}
//! ```
//!
//! Integers are little-endian. Readers pass over members of the record that they do not know; a writer whose record must
//! not be read that way names the reason in `refuse`, and a reader that does not know the name refuses.

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use crate::record::Record;

const MAGIC: &[u8; 8] = b"RMCRUPDT";
const LAYOUT: u32 = 1;
const HEADER: usize = 64;
/// Of the body: what the outbox may hold, doubled by JSON's escapes, and generous room for the rest.
pub const MAX_RECORD_BYTES: usize = 512 * 1024 - HEADER;
/// Of the body.
const FORMAT: u32 = 1;

/// Why a copy cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Damage {
    /// The file is not there.
    #[error("it is missing")]
    Missing,
    /// It ends early, or claims to be longer than a record can be.
    #[error("it has {found} bytes, {wanted} are needed")]
    Short {
        /// Bytes there.
        found: usize,
        /// Bytes needed.
        wanted: usize,
    },
    /// Something else, or never written.
    #[error("it does not start with {:?}", String::from_utf8_lossy(MAGIC))]
    Magic,
    /// The checksum does not fit.
    #[error("its checksum does not fit")]
    Checksum,
    /// The checksum fits, the content does not: only a program can do that.
    #[error("its content is not a record: {0}")]
    Content(String),
    /// A newer program's.
    #[error("it is from a newer program: {0}")]
    Newer(String),
}

#[derive(Serialize)]
struct BodyOut<'a> {
    format: u32,
    refuse: [&'static str; 0],
    record: &'a Record,
}

#[derive(Deserialize)]
struct Head {
    format: u32,
    refuse: Vec<String>,
}

#[derive(Deserialize)]
struct BodyIn {
    record: Record,
}

/// A copy as bytes; none when it would be too large.
pub fn encode(record: &Record, sequence: u64) -> Result<Vec<u8>, usize> {
    let body = serde_json::to_vec(&BodyOut {
        format: FORMAT,
        refuse: [],
        record,
    })
    // No map with other keys than strings, no failing Serialize: only memory could fail.
    .map_err(|_| usize::MAX)?;
    let length = u32::try_from(body.len()).map_err(|_| body.len())?;
    if body.len() > MAX_RECORD_BYTES {
        return Err(body.len());
    }
    let mut bytes = Vec::with_capacity(HEADER + body.len());
    bytes.extend_from_slice(MAGIC);
    bytes.extend_from_slice(&LAYOUT.to_le_bytes());
    bytes.extend_from_slice(&length.to_le_bytes());
    bytes.extend_from_slice(&sequence.to_le_bytes());
    bytes.extend_from_slice(&[0; 8]);
    let checksum = Sha256::new()
        .chain_update(&bytes)
        .chain_update(&body)
        .finalize();
    bytes.extend_from_slice(&checksum);
    bytes.extend_from_slice(&body);
    Ok(bytes)
}

/// Reads a copy; bytes after the body do not count.
pub fn decode(bytes: &[u8]) -> Result<(u64, Record), Damage> {
    let short = |wanted| Damage::Short {
        found: bytes.len(),
        wanted,
    };
    let (header, rest) = bytes.split_at_checked(HEADER).ok_or(short(HEADER))?;
    if !header.starts_with(MAGIC) {
        return Err(Damage::Magic);
    }
    let number = |at: usize| {
        header
            .get(at..at + 4)
            .and_then(|field| field.try_into().ok())
            .map_or(0, u32::from_le_bytes)
    };
    let length = usize::try_from(number(12)).unwrap_or(usize::MAX);
    let body = rest
        .get(..length)
        .ok_or_else(|| short(length.saturating_add(HEADER)))?;
    let (counted, checksum) = header.split_at(32);
    let found = Sha256::new()
        .chain_update(counted)
        .chain_update(body)
        .finalize();
    if checksum != found.as_slice() {
        return Err(Damage::Checksum);
    }
    let layout = number(8);
    if layout != LAYOUT {
        return Err(Damage::Newer(format!("layout {layout}, known is {LAYOUT}")));
    }
    let sequence = u64::from(number(16)) | u64::from(number(20)) << 32;
    let content = |error: serde_json::Error| Damage::Content(error.to_string());
    let head: Head = serde_json::from_slice(body).map_err(content)?;
    if head.format != FORMAT {
        return Err(Damage::Newer(format!(
            "format {}, known is {FORMAT}",
            head.format
        )));
    }
    if let Some(name) = head.refuse.first() {
        return Err(Damage::Newer(format!("it needs {name:?}")));
    }
    let body: BodyIn = serde_json::from_slice(body).map_err(content)?;
    Ok((sequence, body.record))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::offer::ActionId;
    use crate::outbox::Message;
    use proptest::prelude::*;

    fn record() -> Record {
        let mut record = Record::new();
        record.outbox.push(Message::Final {
            action: ActionId("7".into()),
            success: false,
            runs: None,
            code: 16,
            details: vec!["why \"so\" \u{e4}".into()],
        });
        record
    }

    #[test]
    fn what_was_written_is_read() {
        let bytes = encode(&record(), 1 << 40).unwrap();
        assert_eq!(decode(&bytes), Ok((1 << 40, record())));
        let mut longer = bytes.clone();
        longer.extend_from_slice(b"what an older, longer record left");
        assert_eq!(decode(&longer), Ok((1 << 40, record())));
    }

    #[test]
    fn every_truncation_and_every_bit_flip_is_noticed() {
        let bytes = encode(&record(), 7).unwrap();
        for length in 0..bytes.len() {
            assert!(decode(&bytes[..length]).is_err(), "{length}");
        }
        for at in 0..bytes.len() {
            for bit in 0..8 {
                let mut bad = bytes.clone();
                bad[at] ^= 1 << bit;
                assert!(decode(&bad).is_err(), "byte {at} bit {bit}");
            }
        }
    }

    #[test]
    fn every_torn_mix_of_two_records_is_noticed() {
        let old = encode(&record(), 7).unwrap();
        let mut newer = record();
        newer.next_job = 2;
        let new = encode(&newer, 9).unwrap();
        assert_eq!(old.len(), new.len());
        for cut in 1..new.len() {
            let mixed = [&new[..cut], &old[cut..]].concat();
            let whole = mixed == new || mixed == old;
            assert_eq!(decode(&mixed).is_ok(), whole, "{cut}");
        }
    }

    fn sealed(body: &str) -> Vec<u8> {
        let mut bytes = encode(&record(), 7).unwrap();
        bytes.truncate(HEADER);
        bytes[12..16].copy_from_slice(&u32::try_from(body.len()).unwrap().to_le_bytes());
        let sum = Sha256::new()
            .chain_update(&bytes[..32])
            .chain_update(body)
            .finalize();
        bytes[32..].copy_from_slice(&sum);
        bytes.extend_from_slice(body.as_bytes());
        bytes
    }

    #[test]
    fn newer_programs_are_told_from_damage() {
        let record = serde_json::to_string(&record()).unwrap();
        let ignored = record.replacen('{', "{\"later\": 1, ", 1);
        let table = [
            (
                format!("{{\"format\":1,\"refuse\":[],\"record\":{ignored}}}"),
                None,
            ),
            (
                format!("{{\"format\":1,\"refuse\":[\"three-slots\"],\"record\":{record}}}"),
                Some(Damage::Newer("it needs \"three-slots\"".into())),
            ),
            (
                "{\"format\":2,\"refuse\":[],\"other\":1}".to_owned(),
                Some(Damage::Newer("format 2, known is 1".into())),
            ),
        ];
        for (body, want) in table {
            assert_eq!(decode(&sealed(&body)).err(), want, "{body}");
        }
        assert!(matches!(
            decode(&sealed("{\"format\":1,\"refuse\":[]}")),
            Err(Damage::Content(_))
        ));
        assert!(matches!(decode(&sealed("")), Err(Damage::Content(_))));
    }

    proptest! {
        #[test]
        fn never_panics(bytes in proptest::collection::vec(any::<u8>(), 0..200), body in ".{0,80}") {
            drop(decode(&bytes));
            drop(decode(&[MAGIC.as_slice(), &bytes].concat()));
            drop(decode(&sealed(&body)));
        }
    }
}
