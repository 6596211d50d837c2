//! Proves that Debian's own tools find nothing wrong with a built image: partition table, ESP,
//! root, hash tree, Secure Boot signatures and block map.

#![allow(clippy::unwrap_used, reason = "test helpers, too, may panic")]

mod support;

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::Read;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use roamcore_disk::fat::FatReader;
use roamcore_disk::region::Region;
use roamcore_ota::{PartitionRecord, Release};
use roamcore_pe::uki;
use support::{Built, built, run, tool};

fn release(built: &Built) -> Release {
    Release::parse(&fs::read(built.release().join("release.json")).unwrap()).unwrap()
}

fn region(built: &Built, name: &str) -> PartitionRecord {
    let release = release(built);
    let found = release.partitions.iter().find(|p| p.name.as_str() == name);
    found.unwrap().clone()
}

/// A region of the disk as a file of its own.
fn cut(built: &Built, name: &str, dir: &Path) -> PathBuf {
    let part = region(built, name);
    let path = dir.join(name);
    let (raw, out) = (
        File::open(built.raw()).unwrap(),
        File::create(&path).unwrap(),
    );
    let (mut at, mut chunk) = (0, vec![0u8; 1 << 20]);
    while at < part.size {
        let n = usize::try_from((part.size - at).min(1 << 20)).unwrap();
        raw.read_exact_at(&mut chunk[..n], part.offset + at)
            .unwrap();
        if chunk[..n].iter().any(|b| *b != 0) {
            out.write_all_at(&chunk[..n], at).unwrap();
        }
        at += n as u64;
    }
    out.set_len(part.size).unwrap();
    path
}

#[test]
fn partition_table() {
    let Some(built) = built() else { return };
    if let Some(mut sgdisk) = tool("sgdisk") {
        let ran = run(sgdisk.arg("-v").arg(built.raw())).ok();
        assert!(ran.out.contains("No problems found"), "{}", ran.out);
        assert!(!ran.out.to_lowercase().contains("warning"), "{}", ran.out);
    }
    if let Some(mut sfdisk) = tool("sfdisk") {
        let ran = run(sfdisk.arg("--verify").arg(built.raw())).ok();
        assert!((ran.out + &ran.err).contains("No errors detected"));
    }
}

#[test]
fn esp_and_signatures() {
    let Some(built) = built() else { return };
    let dir = tempfile::tempdir().unwrap();
    let esp = cut(built, "esp", dir.path());
    if let Some(mut fsck) = tool("fsck.vfat") {
        let ran = run(fsck.arg("-n").arg("-v").arg(&esp)).ok();
        for complaint in ["differ", "Dirty", "nvalid", "rphan"] {
            assert!(!ran.out.contains(complaint), "{}", ran.out);
        }
    }
    let part = region(built, "esp");
    let mut file = File::open(&esp).unwrap();
    let mut reader = FatReader::open(Region::new(&mut file, 0, part.size).unwrap()).unwrap();
    let cert = built.keys().join("development/public/db.crt");
    for name in ["EFI/BOOT/BOOTX64.EFI", "EFI/roamcore/a/roamcore.efi"] {
        let Some(mut sbverify) = tool("sbverify") else {
            return;
        };
        let image = dir.path().join("image.efi");
        let mut bytes = reader.read_file(name, 1 << 30).unwrap();
        fs::write(&image, &bytes).unwrap();
        let ran = run(sbverify.arg("--cert").arg(&cert).arg(&image)).ok();
        assert!(
            ran.out.contains("Signature verification OK"),
            "{name}: {}",
            ran.out
        );
        assert!(!ran.err.contains("warning"), "{name}: {}", ran.err);
        // The tool that says OK must be one that can say no.
        let middle = bytes.len() / 2;
        bytes[middle] ^= 1;
        fs::write(&image, &bytes).unwrap();
        assert_ne!(
            run(sbverify.arg("--cert").arg(&cert).arg(&image)).code,
            0,
            "{name}"
        );
    }
}

#[test]
fn root_and_hash_tree() {
    let Some(built) = built() else { return };
    let dir = tempfile::tempdir().unwrap();
    let (root, tree) = (
        cut(built, "root-a", dir.path()),
        cut(built, "verity-a", dir.path()),
    );
    if let Some(mut fsck) = tool("fsck.erofs") {
        // `--extract` without a target reads every file, not only the inodes.
        let ran = run(fsck.arg("--extract").arg(&root)).ok();
        assert!(!(ran.out + &ran.err).contains("<E>"));
    }
    if let Some(mut veritysetup) = tool("veritysetup") {
        let hash = release(built).root_hash.to_string();
        run(veritysetup.arg("verify").args([&root, &tree]).arg(&hash)).ok();
        // The first digit changed to another one, whichever it is.
        let other = format!(
            "{}{}",
            if hash.starts_with('0') { '1' } else { '0' },
            &hash[1..]
        );
        if let Some(mut veritysetup) = tool("veritysetup") {
            assert_ne!(
                run(veritysetup.arg("verify").args([&root, &tree]).arg(other)).code,
                0
            );
        }
    }
}

#[test]
fn the_bill_names_what_boots_and_our_own_programs() {
    let Some(built) = built() else { return };
    let text = fs::read_to_string(built.release().join("sbom.cdx.json")).unwrap();
    let bom: serde_json::Value = serde_json::from_str(&text).unwrap();
    let component = |name: &str| {
        let all = bom["components"].as_array().unwrap().iter();
        let found: Vec<_> = all.filter(|c| c["name"] == name).collect();
        assert_eq!(found.len(), 1, "{name}: {found:#?}");
        found[0].clone()
    };
    let boot = component("systemd-boot-efi");
    assert_eq!(boot["properties"][1]["value"], "esp");
    assert!(boot["licenses"].is_array(), "{boot:#}");
    for (name, path) in [
        ("roamcore-agent", built.agent.clone()),
        ("roamcore", built.agent.with_file_name("roamcore")),
    ] {
        let digest = roamcore_image::build::hash_file(&path)
            .unwrap()
            .1
            .to_string();
        assert_eq!(component(name)["hashes"][0]["content"], digest, "{name}");
    }
    // Both programs read JSON, one talks HTTP; what only builds them is not there.
    let places = |name: &str| component(name)["properties"].as_array().unwrap().len();
    assert_eq!((places("serde_json"), places("reqwest")), (2, 1));
    assert!(!text.contains("pkg:cargo/serde_derive@"));
    assert!(!text.contains("pkg:cargo/roamcore"));
}

#[test]
fn block_map_is_enough_to_flash() {
    let Some(built) = built() else { return };
    let Some(mut bmaptool) = tool("bmaptool") else {
        return;
    };
    let dir = tempfile::tempdir().unwrap();
    let copy = dir.path().join("copy.img");
    let release = built.release();
    bmaptool
        .arg("copy")
        .arg("--bmap")
        .arg(release.join("disk.img.bmap"));
    run(bmaptool.arg(built.raw()).arg(&copy)).ok();
    let (mut a, mut b) = (File::open(built.raw()).unwrap(), File::open(&copy).unwrap());
    assert_eq!(a.metadata().unwrap().len(), b.metadata().unwrap().len());
    let (mut x, mut y) = (vec![0u8; 1 << 20], vec![0u8; 1 << 20]);
    loop {
        let n = a.read(&mut x).unwrap();
        if n == 0 {
            break;
        }
        b.read_exact(&mut y[..n]).unwrap();
        assert!(x[..n] == y[..n], "the copy differs");
    }
}

/// Every path of a module in the binary index, whose values are such paths among other bytes.
fn indexed(dep: &[u8]) -> BTreeSet<String> {
    let plain = |b: &u8| b.is_ascii_alphanumeric() || b"/._+:-".contains(b);
    let texts = dep.split(|b| !plain(b)).map(String::from_utf8_lossy);
    let words = texts.filter_map(|t| t.find("kernel/").map(|at| t[at..].to_owned()));
    // A value is `file: needed needed`.
    words
        .map(|word| word.trim_end_matches(':').to_owned())
        .filter(|word| word.contains(".ko"))
        .collect()
}

/// The archives of an initrd: one after the other, each at a block, as the kernel takes them.
fn archives(mut initrd: &[u8]) -> Vec<Vec<u8>> {
    let mut all = Vec::new();
    while let Some(start) = initrd.iter().position(|byte| *byte != 0) {
        initrd = &initrd[start..];
        let length = zstd::zstd_safe::find_frame_compressed_size(initrd).unwrap();
        all.push(zstd::decode_all(&initrd[..length]).unwrap());
        initrd = &initrd[length..];
    }
    all
}

#[test]
fn the_initrd_indexes_exactly_its_own_modules() {
    let Some(built) = built() else { return };
    let dir = tempfile::tempdir().unwrap();
    let esp = cut(built, "esp", dir.path());
    let mut file = File::open(&esp).unwrap();
    let size = region(built, "esp").size;
    let mut reader = FatReader::open(Region::new(&mut file, 0, size).unwrap()).unwrap();
    let image = reader
        .read_file("EFI/roamcore/a/roamcore.efi", 1 << 30)
        .unwrap();
    if tool("cpio").is_none() {
        return;
    }
    let archives = archives(uki::read(&image).unwrap().initrd);
    assert!(archives.len() > 10, "{}", archives.len());
    for (number, bytes) in archives.iter().enumerate() {
        let archive = dir.path().join(format!("{number}.cpio"));
        fs::write(&archive, bytes).unwrap();
        run(tool("cpio")
            .unwrap()
            .args(["--extract", "--make-directories", "--quiet", "--file"])
            .arg(&archive)
            .arg("usr/lib/modules/*")
            .current_dir(dir.path()))
        .ok();
    }
    let modules = dir.path().join("usr/lib/modules");
    let kernel = fs::read_dir(modules)
        .unwrap()
        .next()
        .unwrap()
        .unwrap()
        .path();
    let mut inside = BTreeSet::new();
    let mut todo = vec![kernel.clone()];
    while let Some(dir) = todo.pop() {
        for entry in fs::read_dir(dir).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                todo.push(path);
            } else if path.to_string_lossy().contains(".ko") {
                let relative = path.strip_prefix(&kernel).unwrap();
                inside.insert(relative.to_str().unwrap().to_owned());
            }
        }
    }
    assert!(inside.len() > 10, "{inside:?}");
    let index = fs::read(kernel.join("modules.dep.bin")).unwrap();
    assert_eq!(indexed(&index), inside);
    assert!(!kernel.join("modules.dep").exists());
}
