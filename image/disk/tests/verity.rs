//! Trees against veritysetup, and damaged.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod common;

use std::fs::{self, File};
use std::io::Cursor;
use std::os::unix::fs::FileExt;
use std::path::Path;

use common::{noise, ok, run, sparse, tool};
use roamcore_disk::gpt::Guid;
use roamcore_disk::region::{ReadRegion, Region};
use roamcore_disk::verity::{RootHash, Superblock, VerityError, build, tree_size, verify};

const UUID: &str = "12345678-9abc-def0-1122-334455667788";
const SALT: [u8; 32] = [0xA5; 32];

fn data(dir: &Path, blocks: u64) -> File {
    let file = sparse(&dir.join("data"), blocks * 4096);
    // Few distinct bytes keep the large case quick; every block still differs.
    for block in 0..blocks {
        file.write_all_at(&(block + 1).to_le_bytes(), block * 4096 + 8 * (block % 512))
            .unwrap();
    }
    file
}

fn tree(file: &File, blocks: u64, salt: &[u8], threads: usize) -> (RootHash, Vec<u8>) {
    let mut out = Cursor::new(Vec::new());
    let root = build(
        file,
        blocks * 4096,
        salt,
        UUID.parse().unwrap(),
        &mut out,
        threads,
    )
    .unwrap();
    assert_eq!(
        out.get_ref().len() as u64,
        tree_size(blocks * 4096).unwrap()
    );
    (root, out.into_inner())
}

#[test]
fn same_bytes_as_veritysetup() {
    let Some(veritysetup) = tool("veritysetup") else {
        return;
    };
    let long = noise(256, 1);
    for (blocks, salt) in [
        (1, &SALT[..]),
        (2, &SALT),
        (127, &SALT),
        (128, &SALT),
        (129, &SALT),
        (777, &long),
        (1000, &[1]),
        (1001, &[]),
        (16384, &SALT),
        (16385, &SALT),
    ] {
        let dir = tempfile::tempdir().unwrap();
        let file = data(dir.path(), blocks);
        let (root, ours) = tree(&file, blocks, salt, 3);
        assert_eq!(
            tree(&file, blocks, salt, 1),
            (root, ours.clone()),
            "threads do not matter"
        );
        let hex: String = salt.iter().map(|b| format!("{b:02x}")).collect();
        let salt_arg = format!("--salt={}", if hex.is_empty() { "-" } else { &hex });
        let (data_path, theirs) = (dir.path().join("data"), dir.path().join("theirs"));
        let uuid_arg = format!("--uuid={UUID}");
        let args = [
            "format",
            &salt_arg,
            &uuid_arg,
            data_path.to_str().unwrap(),
            theirs.to_str().unwrap(),
        ];
        let text = String::from_utf8(ok(&veritysetup, args)).unwrap();
        assert!(
            text.contains(&root.to_string()),
            "{blocks} blocks: {text} against {root}"
        );
        assert!(
            fs::read(&theirs).unwrap() == ours,
            "{blocks} blocks: trees differ"
        );

        let path = dir.path().join("ours");
        fs::write(&path, &ours).unwrap();
        let args = [
            "verify",
            data_path.to_str().unwrap(),
            path.to_str().unwrap(),
            &root.to_string(),
        ];
        ok(&veritysetup, args);
        verify(&file, ours.as_slice(), &root).unwrap();
        file.write_all_at(&[0xFF], blocks * 4096 - 1).unwrap();
        assert!(
            !run(&veritysetup, args).status.success(),
            "veritysetup itself must notice"
        );
    }
}

#[test]
fn a_flipped_bit_is_found_and_named() {
    let dir = tempfile::tempdir().unwrap();
    let blocks = 16385;
    let file = data(dir.path(), blocks);
    let (root, tree) = tree(&file, blocks, &SALT, 2);
    verify(&file, tree.as_slice(), &root).unwrap();

    for wrong in [16384_u64, 9000, 300, 0] {
        let mut byte = [0];
        file.read_exact_at(&mut byte, wrong * 4096 + 5).unwrap();
        file.write_all_at(&[byte[0] ^ 0x10], wrong * 4096 + 5)
            .unwrap();
        // Earlier damage of this loop stays: the first block is the one named.
        match verify(&file, tree.as_slice(), &root).unwrap_err() {
            VerityError::DataBlock { block, offset } => {
                assert_eq!((block, offset), (wrong, wrong * 4096))
            }
            other => panic!("{other}"),
        }
    }
    // Tree: superblock, level 2 (1 block), level 1 (2), level 0 (129).
    let cases: [(usize, &str); 4] = [
        (4096, "the tree's top hashes to"),
        (
            3 * 4096,
            "hash block 1 of level 1 (tree byte 12288) does not match the level above",
        ),
        (
            4 * 4096 + 128 * 4096 + 4095,
            "hash block 128 of level 0 (tree byte 540672) does not match the level above",
        ),
        (88, "the tree's top hashes to"),
    ];
    for (at, text) in cases {
        let mut bad = tree.clone();
        bad[at] ^= 1;
        let error = verify(&file, bad.as_slice(), &root)
            .unwrap_err()
            .to_string();
        assert!(error.starts_with(text), "{error}");
    }
    assert!(matches!(
        verify(&file, &tree[..tree.len() - 1], &root),
        Err(VerityError::Io { .. })
    ));
    assert!(matches!(
        verify(&file, tree.as_slice(), &RootHash::from_bytes([0; 32])),
        Err(VerityError::Root { .. })
    ));
}

#[test]
fn inside_a_disk_image() {
    let dir = tempfile::tempdir().unwrap();
    let disk = sparse(&dir.path().join("disk"), 4 << 20);
    let content = noise(300 * 4096, 3);
    disk.write_all_at(&content, 1 << 20).unwrap();
    let reader = disk.try_clone().unwrap();
    let window = ReadRegion::new(&reader, 1 << 20, 300 * 4096);
    let size = tree_size(300 * 4096).unwrap();
    let mut writer = &disk;
    let mut out = Region::new(&mut writer, 3 << 20, size).unwrap();
    let root = build(&window, 300 * 4096, &SALT, Guid::NIL, &mut out, 2).unwrap();
    verify(&window, &ReadRegion::new(&disk, 3 << 20, size), &root).unwrap();

    let mut raw = [0; 512];
    disk.read_exact_at(&mut raw, 3 << 20).unwrap();
    let superblock = Superblock::parse(&raw).unwrap();
    assert_eq!(
        (superblock.data_blocks, superblock.salt.as_slice()),
        (300, &SALT[..])
    );
}

#[test]
fn what_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let file = data(dir.path(), 300);
    let mut out = Cursor::new(Vec::new());
    let mut go = |len, salt: &[u8]| {
        build(&file, len, salt, Guid::NIL, &mut out, 2)
            .unwrap_err()
            .to_string()
    };
    assert!(go(4097, &[]).starts_with("4097 bytes cannot be protected"));
    assert_eq!(
        go(4096, &[0; 257]),
        "a salt of 257 bytes is too long; 256 is the most"
    );
    assert!(
        go(301 * 4096, &[]).starts_with("reading data at byte"),
        "shorter than announced"
    );
    let mut small = Cursor::new(vec![0; 8192]);
    let mut region = Region::new(&mut small, 0, 4096).unwrap();
    let error = build(&file, 300 * 4096, &[], Guid::NIL, &mut region, 4).unwrap_err();
    assert!(
        matches!(
            error,
            VerityError::Io {
                action: "writing",
                ..
            }
        ),
        "{error}"
    );
}
