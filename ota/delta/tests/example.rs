//! The worked example of docs/release-format-index.md, byte for byte.
#![allow(clippy::unwrap_used, reason = "helpers of tests")]

mod common;

use std::fmt::Write as _;

use common::Parts;
use roamcore_delta::{PackOptions, pack};
use sha2::{Digest as _, Sha256};

const DOCUMENT: &str = include_str!("../../../docs/release-format-index.md");

/// 4096 bytes: SHA-256 of the two bytes (n, 0), (n, 1), ... (n, 127).
fn block(n: u8) -> Vec<u8> {
    (0..128u8).flat_map(|i| Sha256::digest([n, i])).collect()
}

fn image() -> Vec<u8> {
    let zero = vec![0; 4096];
    let blocks = [
        block(0),
        block(1),
        block(2),
        block(3),
        zero.clone(),
        zero,
        block(0),
        block(1),
    ];
    blocks.concat()
}

/// The text between a heading's first two fences.
fn fenced(heading: &str) -> String {
    let from = DOCUMENT.find(heading).unwrap();
    let body = DOCUMENT[from..].split("```").nth(1).unwrap();
    let (_, body) = body.split_once('\n').unwrap();
    body.to_owned()
}

fn dump(bytes: &[u8]) -> String {
    let mut out = String::new();
    for (row, line) in bytes.chunks(16).enumerate() {
        write!(out, "{:04x} ", row * 16).unwrap();
        for byte in line {
            write!(out, " {byte:02x}").unwrap();
        }
        out.push('\n');
    }
    out
}

#[test]
fn the_documented_index() {
    let mut parts = Parts::default();
    let packed = pack(&image(), &PackOptions::default(), &mut parts).unwrap();
    let content = zstd::decode_all(&packed.index[16..]).unwrap();
    let mut header = b"roamidx\0".to_vec();
    header.extend(1u32.to_le_bytes());
    header.extend((content.len() as u32).to_le_bytes());
    assert_eq!(packed.index[..16], header);
    let found = dump(&content);
    println!("found:\n{found}");
    let mut facts = String::new();
    writeln!(facts, "image     {}", packed.image_sha256).unwrap();
    for part in &packed.parts {
        writeln!(facts, "part      {} bytes, {}", part.size, part.sha256).unwrap();
    }
    let first = &parts.0[0];
    writeln!(facts, "frame 0   {}", dump(&first[..16])[6..].trim_end()).unwrap();
    println!("found:\n{facts}");
    assert_eq!(fenced("#### Its content"), found);
    assert_eq!(fenced("#### Its parts"), facts);
}

/// The cut rule as the document words it, against the library that makes the cuts.
#[test]
fn the_documented_cuts() {
    let gear = |byte: u8| -> u64 { GEAR_SAMPLE.iter().find(|g| g.0 == byte).map_or(0, |g| g.1) };
    // The document gives three values of the table; more would need MD5 here.
    for (byte, value) in GEAR_SAMPLE {
        assert!(DOCUMENT.contains(&format!("`0x{value:016x}`")), "{byte}");
        assert_eq!(gear(byte), value);
    }
    // Data of these three bytes alone can be cut with those three values.
    let mut random = common::Random(4);
    let mut cut = 0;
    for round in 0..50 {
        let data: Vec<u8> = (0..16384).map(|_| GEAR_SAMPLE[random.below(3)].0).collect();
        let mut hash = 0u64;
        let mut expected = data.len();
        for (at, byte) in data.iter().enumerate().skip(2048) {
            hash = (hash << 1).wrapping_add(gear(*byte));
            let mask = if at < 4096 {
                0x0000_d903_0353_0000
            } else {
                0x0000_d900_0353_0000u64
            };
            if hash & mask == 0 {
                expected = at;
                break;
            }
        }
        let mut image = data.clone();
        image.extend(vec![0; 4096]);
        let mut parts = Parts::default();
        let packed = pack(&image, &PackOptions::default(), &mut parts).unwrap();
        let content = zstd::decode_all(&packed.index[16..]).unwrap();
        let number =
            |at: usize| u32::from_le_bytes(content[at..at + 4].try_into().unwrap()) as usize;
        let blocks = 64 + number(48) * 8 + number(52) * 8 + number(60) * 4;
        let found = usize::from(content[blocks]);
        assert_eq!(found, expected.div_ceil(4096), "round {round}");
        cut += usize::from(expected < data.len());
    }
    assert!(cut > 10, "{cut}");
    for mask in ["0x0000d90303530000", "0x0000d90003530000"] {
        assert!(DOCUMENT.contains(mask));
    }
}

/// Three entries of the gear table.
const GEAR_SAMPLE: [(u8, u64); 3] = [
    (0, 0x3b5d_3c7d_207e_37dc),
    (1, 0x784d_68ba_9112_3086),
    (255, 0xaabd_2b2a_4515_04e1),
];
