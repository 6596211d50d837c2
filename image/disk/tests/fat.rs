//! Volumes against fsck.vfat and mtools, against our own reader, and damaged.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod common;

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{Cursor, Read, Seek, SeekFrom, Write};
use std::path::Path;

use common::{noise, ok, sparse, tool};
use proptest::prelude::*;
use roamcore_disk::fat::{FatError, FatImage, FatParams, FatReader, FatStats, FileSource};
use roamcore_disk::region::Region;

const MIB: u64 = 1 << 20;

fn params(size: u64) -> FatParams {
    FatParams {
        size,
        volume_id: 0x1234_ABCD,
        label: "ESP".into(),
        time: 1_793_491_200,
    }
}

type Tree = BTreeMap<String, Option<Vec<u8>>>;

fn esp() -> Tree {
    let mut tree: Tree = [
        ("/EFI/BOOT/BOOTX64.EFI", noise(150_001, 1)),
        ("/loader/loader.conf", b"timeout 0\n".to_vec()),
        ("/loader/entries/roamcore-a+3.conf", b"title a\n".to_vec()),
        ("/loader/entries/roamcore-b.conf", b"title b\n".to_vec()),
        ("/EFI/roamcore/a/roamcore.efi", noise(3_000_000, 2)),
        ("/EFI/roamcore/b/roamcore.efi", noise(4096, 3)),
        ("/empty file with a long name.txt", vec![]),
    ]
    .into_iter()
    .map(|(path, bytes)| (path.to_owned(), Some(bytes)))
    .collect();
    tree.insert("/EFI/Linux".into(), None);
    tree
}

fn write(path: &Path, size: u64, tree: &Tree) -> Result<FatStats, FatError> {
    let mut image = FatImage::new(&params(size))?;
    for (path, content) in tree {
        match content {
            Some(bytes) => image.add_file(path, FileSource::bytes(bytes))?,
            None => image.add_dir(path)?,
        }
    }
    image.write_to(&mut sparse(path, size))
}

/// Reader's view: files and their content, and directories that hold nothing.
fn read_back(path: &Path) -> Tree {
    let mut reader = FatReader::open(File::open(path).unwrap()).unwrap();
    assert_eq!(
        (reader.volume_id(), reader.label()),
        (0x1234_ABCD, Some("ESP"))
    );
    let entries = reader.entries().to_vec();
    let mut tree = Tree::new();
    for entry in &entries {
        let inside = format!("{}/", entry.path);
        if !entry.is_dir {
            tree.insert(
                entry.path.clone(),
                Some(reader.read_file(&entry.path, u64::MAX).unwrap()),
            );
        } else if !entries.iter().any(|other| other.path.starts_with(&inside)) {
            tree.insert(entry.path.clone(), None);
        }
    }
    tree
}

fn fsck(path: &Path) {
    let Some(fsck) = tool("fsck.vfat") else {
        return;
    };
    let text = String::from_utf8_lossy(&ok(&fsck, ["-n".as_ref(), path.as_os_str()])).into_owned();
    // A clean volume gets the version line and the summary, and not a word more.
    assert_eq!(text.lines().count(), 2, "{text}");
}

#[test]
fn fsck_and_mtools_agree_at_every_cluster_size() {
    for mib in [33, 64, 200, 260, 1024, 4096] {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("fat.img");
        let stats = write(&path, mib * MIB, &esp()).unwrap();
        fsck(&path);
        assert!(read_back(&path) == esp(), "{mib} MiB");
        assert!(
            stats.used_bytes < 20 * MIB && stats.free_clusters > 0,
            "{stats:?}"
        );
        let on_disk = std::os::unix::fs::MetadataExt::blocks(&fs::metadata(&path).unwrap()) * 512;
        assert!(
            on_disk < 8 * MIB,
            "only touched sectors are written, found {on_disk} bytes"
        );

        if let Some(mtype) = tool("mtype") {
            for (name, content) in esp() {
                let Some(content) = content else { continue };
                let args = ["-i", path.to_str().unwrap(), &format!("::{name}")];
                assert!(ok(&mtype, args) == content, "{name}");
            }
        }
        if let Some(mdir) = tool("mdir") {
            let text = ok(&mdir, ["-/", "-b", "-i", path.to_str().unwrap(), "::/"]);
            let text = String::from_utf8(text).unwrap();
            for name in esp().keys() {
                assert!(
                    text.contains(&format!("::{name}")),
                    "{name} is missing from {text}"
                );
            }
            let text = String::from_utf8(ok(&mdir, ["-i", path.to_str().unwrap(), "::/"])).unwrap();
            assert!(
                text.contains("Volume in drive : is ESP") && text.contains("1234-ABCD"),
                "{text}"
            );
            assert!(text.contains("2026-11-01"), "{text}");
        }
    }
}

#[test]
fn the_same_twice_and_the_order_of_adding_does_not_matter() {
    let dir = tempfile::tempdir().unwrap();
    let (a, b) = (dir.path().join("a"), dir.path().join("b"));
    write(&a, 64 * MIB, &esp()).unwrap();
    let tree = esp();
    let mut image = FatImage::new(&params(64 * MIB)).unwrap();
    for (path, content) in tree.iter().rev() {
        match content {
            Some(bytes) => image
                .add_file(path, FileSource::new(bytes.len() as u64, bytes.as_slice()))
                .unwrap(),
            None => image.add_dir(path).unwrap(),
        }
    }
    // Inside a larger file, between bytes that must stay.
    let mut disk = sparse(&b, 66 * MIB);
    disk.write_all(&[0xEE; 512]).unwrap();
    image
        .write_to(&mut Region::new(&mut disk, MIB, 64 * MIB).unwrap())
        .unwrap();
    let whole = fs::read(&b).unwrap();
    assert!(whole[MIB as usize..65 * MIB as usize] == fs::read(&a).unwrap()[..]);
    assert!(whole[..512] == [0xEE; 512] && whole[65 * MIB as usize..].iter().all(|b| *b == 0));
}

#[test]
fn files_mtools_wrote_are_read() {
    let Some(mcopy) = tool("mcopy") else { return };
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("fat.img");
    write(&path, 64 * MIB, &esp()).unwrap();
    for name in ["lower.txt", "A Long Name.conf", "UPPER"] {
        let file = dir.path().join(name);
        fs::write(&file, name).unwrap();
        ok(
            &mcopy,
            [
                "-i",
                path.to_str().unwrap(),
                file.to_str().unwrap(),
                "::/loader/",
            ],
        );
    }
    let back = read_back(&path);
    for name in ["lower.txt", "A Long Name.conf", "UPPER"] {
        assert_eq!(
            back[&format!("/loader/{name}")].as_deref(),
            Some(name.as_bytes())
        );
    }
}

#[test]
fn what_is_refused() {
    let text = |size, label: &str, time| {
        let params = FatParams {
            size,
            label: label.into(),
            time,
            volume_id: 0,
        };
        FatImage::new(&params).unwrap_err().to_string()
    };
    assert!(
        text(20 * MIB, "ESP", 1 << 30).starts_with("a FAT32 volume of 20971520 bytes is refused")
    );
    assert!(text(64 * MIB + 1, "ESP", 1 << 30).starts_with("a FAT32 volume"));
    assert!(text(64 * MIB, "esp", 1 << 30).starts_with("volume label \"esp\" is refused"));
    assert!(text(64 * MIB, "ESP", 0).starts_with("time 0 (seconds since 1970)"));

    let mut image = FatImage::new(&params(64 * MIB)).unwrap();
    let mut add = |path: &str, len| {
        image
            .add_file(path, FileSource::new(len, std::io::empty()))
            .map_err(|e| e.to_string())
    };
    add("/EFI/a", 0).unwrap();
    assert_eq!(
        add("/EFI/A", 0).unwrap_err(),
        "path \"/EFI/A\" is taken: the volume already has \"a\" (FAT ignores case)"
    );
    for path in [
        "",
        "/",
        "/a/",
        "//a",
        "/../a",
        "/efi/b",
        "/EFI/a/b",
        "/x./y",
        "/a\\b",
        &"/d".repeat(33),
    ] {
        assert!(add(path, 0).is_err(), "{path:?}");
    }
    assert_eq!(
        add("/big", 1 << 32).unwrap_err(),
        "file \"/big\" has 4294967296 bytes; FAT32 ends at 4294967295"
    );
}

#[test]
fn sources_must_keep_their_word_and_the_tree_must_fit() {
    let build = |len, bytes: &'static [u8]| {
        let mut image = FatImage::new(&params(64 * MIB)).unwrap();
        image.add_file("/f", FileSource::new(len, bytes)).unwrap();
        image
            .write_to(&mut Cursor::new(Vec::new()))
            .map_err(|e| e.to_string())
    };
    assert!(build(4, b"four").is_ok());
    assert!(
        build(5, b"four")
            .unwrap_err()
            .contains("announced with 5 bytes but ended early")
    );
    assert!(
        build(3, b"four")
            .unwrap_err()
            .contains("announced with 3 bytes but gave more")
    );
    assert!(build(0, b"four").unwrap_err().contains("gave more"));
    assert!(
        build(64 * MIB, b"")
            .unwrap_err()
            .starts_with("the tree needs 131073 clusters of 512 bytes, the volume has")
    );
}

#[test]
fn a_full_volume_is_clean() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("fat.img");
    let free = write(&path, 40 * MIB, &Tree::new()).unwrap();
    fs::remove_file(&path).unwrap();
    let fill = vec![1; (u64::from(free.free_clusters) * free.cluster_bytes) as usize];
    let tree = Tree::from([("/FILL".to_owned(), Some(fill))]);
    assert_eq!(write(&path, 40 * MIB, &tree).unwrap().free_clusters, 0);
    fsck(&path);
    assert!(read_back(&path) == tree);
}

#[test]
fn damage_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("fat.img");
    write(&path, 64 * MIB, &esp()).unwrap();
    let mut raw = Vec::new();
    File::open(&path)
        .unwrap()
        .take(8 * MIB)
        .read_to_end(&mut raw)
        .unwrap();
    raw.resize(64 << 20, 0);
    let fat = 32 * 512;
    let fat_sectors = u32::from_le_bytes(raw[36..40].try_into().unwrap()) as usize;
    let root = fat + 2 * fat_sectors * 512;
    // Root: label, then EFI, "empty file..." and loader in folded order.
    type Spoil = Box<dyn Fn(&mut [u8])>;
    let put = |at: usize, value: u32| -> Spoil {
        Box::new(move |raw| raw[at..at + 4].copy_from_slice(&value.to_le_bytes()))
    };
    let cases = [
        (put(510, 0), "boot sector: signature is 0, expected 43605"),
        (put(44, 0), "boot sector: root cluster is 0"),
        (put(32, u32::MAX), "boot sector: sectors is 4294967295"),
        (put(36, 1), "boot sector: clusters is"),
        (
            put(fat + 8, 2),
            "\"/\": cluster chain is damaged at cluster 2: the cluster is already in use: a loop",
        ),
        (
            put(fat + 8, 0),
            "\"/\": cluster chain is damaged at cluster 2: it leads to a free cluster",
        ),
        (
            put(fat + 8, 0x0FFF_FFF0),
            "\"/\": cluster chain is damaged at cluster 268435440: the cluster is outside",
        ),
        (
            put(root + 32 + 26, 2),
            "cluster chain is damaged at cluster 2: the cluster is already in use",
        ),
        (
            put(root + 64, 0x4141_4141),
            "directory \"/\": entry 3 is damaged: a long-name piece",
        ),
    ];
    for (spoil, text) in cases {
        let mut raw = raw.clone();
        spoil(&mut raw);
        let error = FatReader::open(Cursor::new(raw)).unwrap_err().to_string();
        assert!(error.contains(text), "{error}");
    }
    // The entry of EFI once more, in the first free slot of the root.
    let mut twice = raw.clone();
    twice.copy_within(root + 32..root + 64, root + 8 * 32);
    let error = FatReader::open(Cursor::new(twice)).unwrap_err().to_string();
    assert_eq!(
        error,
        "directory \"/\": entry 8 is damaged: the name is there twice (FAT ignores case)"
    );

    let mut reader = FatReader::open(File::open(&path).unwrap()).unwrap();
    assert_eq!(
        reader.read_file("/nope", 9).unwrap_err().to_string(),
        "the volume has no file \"/nope\""
    );
    assert_eq!(
        reader
            .read_file("efi/boot/bootx64.efi", 9)
            .unwrap_err()
            .to_string(),
        "file \"/EFI/BOOT/BOOTX64.EFI\" has 150001 bytes, more than the 9 allowed here"
    );
}

fn trees() -> impl Strategy<Value = Tree> {
    let name = prop_oneof![
        "[A-Z0-9]{1,8}(\\.[A-Z]{1,3})?",
        "[a-c+~. é😀-]{0,30}[a-z0-9_]",
        "[a-b]{1,2}"
    ];
    let path = prop::collection::vec(name, 1..4).prop_map(|parts| format!("/{}", parts.join("/")));
    let content = prop::option::weighted(0.9, prop::collection::vec(any::<u8>(), 0..3000));
    prop::collection::vec((path, content), 0..40).prop_map(|all| {
        // What the builder refuses (taken names, leading spaces) is left out; the rest is the tree.
        let mut image = FatImage::new(&params(33 * MIB)).unwrap();
        let mut tree = Tree::new();
        for (path, content) in all {
            let added = match &content {
                Some(bytes) => image.add_file(&path, FileSource::bytes(bytes.clone())),
                None => image.add_dir(&path),
            };
            if added.is_ok() {
                tree.entry(path).or_insert(content);
            }
        }
        let holds = |dir: &str| {
            tree.keys()
                .any(|other| other.starts_with(&format!("{dir}/")))
        };
        let inner: Vec<String> = tree
            .iter()
            .filter(|(p, c)| c.is_none() && holds(p))
            .map(|(p, _)| p.clone())
            .collect();
        inner.iter().for_each(|dir| drop(tree.remove(dir)));
        tree
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn random_trees_come_back_and_are_clean(tree in trees()) {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("fat.img");
        write(&path, 33 * MIB, &tree).unwrap();
        prop_assert_eq!(read_back(&path), tree);
        fsck(&path);
    }

    /// Whatever the bytes, the reader answers; it never panics and never runs away.
    #[test]
    fn damaged_volumes_never_panic(hits in prop::collection::vec((0_u64..40, 0_u64..4096, any::<u8>()), 1..40)) {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("fat.img");
        write(&path, 33 * MIB, &esp()).unwrap();
        let mut file = File::options().read(true).write(true).open(&path).unwrap();
        let mut boot = [0; 64];
        file.read_exact(&mut boot).unwrap();
        let root = u64::from(32 + 2 * u32::from_le_bytes(boot[36..40].try_into().unwrap())) * 512;
        for (area, at, value) in hits {
            let base = match area { 0 => 11, 1..10 => 32 * 512, _ => root };
            file.seek(SeekFrom::Start(base + if area == 0 { at % 60 } else { at })).unwrap();
            file.write_all(&[value]).unwrap();
        }
        if let Ok(mut reader) = FatReader::open(file) {
            for entry in reader.entries().to_vec() {
                if !entry.is_dir {
                    let _either_is_fine = reader.read_file(&entry.path, 4 * MIB);
                }
            }
        }
    }
}
