//! Proves that an update is made from a build and from nothing else, that it is the same wherever it
//! is signed, that one flipped bit of it is found, and what `release diff` predicts.

#![allow(clippy::unwrap_used, reason = "test helpers, too, may panic")]

#[path = "support/shop.rs"]
mod shop;
mod support;
#[path = "support/tiny.rs"]
mod tiny;

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use roamcore_ota::{Channel, Digest, Role, RoleChain};
use shop::{Shop, contents, json, manifest, names, text};
use support::copy_tree;
use tiny::{TinyBuild, keys, noise};

/// A root with some of the first one's blocks changed.
fn later() -> TinyBuild {
    let first = TinyBuild::default();
    let mut root = first.root.clone();
    root[1 << 20..(1 << 20) + 65536].copy_from_slice(&noise(2, 65536));
    TinyBuild {
        version: "1.1.0",
        sequence: 2,
        root,
        ..first
    }
}

#[test]
fn an_update_is_what_the_build_holds() {
    let shop = Shop::new();
    let build = TinyBuild::default();
    let dir = shop.update(&build);
    let update = manifest(&dir);
    assert_eq!(update.root.sha256, Digest::of(&build.root));
    assert_eq!(update.root.size, build.root.len() as u64);
    assert_eq!(update.root.verity.salt.as_bytes(), b"salt");
    assert_eq!(update.root.verity.uuid.as_bytes(), &[7; 16]);
    assert_eq!((update.version.as_str(), update.sequence), ("1.0.0", 1));
    let release = fs::read(shop.path().join("1.0.0/release.json")).unwrap();
    assert_eq!(update.release_sha256, Digest::of(&release));
    let listed = update.files().map(|file| file.name.to_string());
    let documents = ["roles.json", "update.json", "update.json.sig"].map(str::to_owned);
    assert_eq!(names(&dir), listed.chain(documents).collect());
    assert!(
        update.parts.len() >= 3,
        "noise does not compress: {}",
        update.parts.len()
    );
    assert!(update.parts.iter().all(|part| part.size <= 3 << 20));
    assert_eq!(update.uki.parts.len(), 1);

    let ran = shop
        .image(&["release", "verify", text(&dir), "--rebuild", "--json"])
        .ok();
    let line = json(&ran);
    assert_eq!(line["verified"], true);
    assert_eq!(line["rebuilt"], true);
    assert_eq!(line["files"], update.files().count());
}

#[test]
fn threads_and_repetition_do_not_change_a_byte() {
    let shop = Shop::new();
    let dir = shop.update(&TinyBuild::default());
    let first = contents(&dir);
    let build = shop.path().join("1.0.0");
    let other = shop.path().join("other");
    for out in [&other, &dir] {
        shop.image(&[
            "release",
            text(&build),
            "--part-limit",
            "3MiB",
            "--level",
            "3",
            "--threads",
            "1",
            "--out",
            text(out),
        ])
        .ok();
        assert_eq!(contents(out), first);
    }
    let left: Vec<String> = names(shop.path())
        .into_iter()
        .filter(|n| n.starts_with('.'))
        .collect();
    assert_eq!(left, Vec::<String>::new());
}

#[test]
fn the_single_file_is_the_same_update() {
    let shop = Shop::new();
    let build = TinyBuild::default().write(shop.path());
    let ran = shop
        .image(&[
            "--json",
            "release",
            text(&build),
            "--single-file",
            "--level",
            "3",
        ])
        .ok();
    let line = json(&ran);
    let file = PathBuf::from(line["file"].as_str().unwrap());
    assert_eq!(file.file_name().unwrap(), "tiny-1.0.0.roam");
    let told = shop.verify(&file).ok().out;
    assert!(told.contains("is what its signatures say"), "{told}");
    shop.image(&["release", "verify", text(&file), "--rebuild"])
        .ok();
    let diff = shop.image(&[
        "release",
        "diff",
        text(&file),
        line["directory"].as_str().unwrap(),
        "--json",
    ]);
    assert_eq!(json(&diff.ok())["prediction"]["frames"]["bytes"], 0);

    // Cut and lengthened, it is not one any more.
    let bytes = fs::read(&file).unwrap();
    fs::write(&file, &bytes[..bytes.len() - 1]).unwrap();
    shop.verify(&file).fails(52, &[]);
    fs::write(&file, [&bytes[..], b"x"].concat()).unwrap();
    shop.verify(&file).fails(52, &[]);
    fs::write(&file, &bytes[..10]).unwrap();
    shop.verify(&file).fails(52, &[]);
}

#[test]
fn one_flipped_bit_of_any_file_is_found() {
    let shop = Shop::new();
    let dir = shop.update(&TinyBuild::default());
    let cases = [
        ("update.json", 10, "does not match update.json"),
        // The same document under its number with other content: another publisher's.
        ("roles.json", 34, "is not the one this device trusts"),
        ("uki.index", 23, "artefact uki.index has SHA-256"),
        ("uki.000", 23, "artefact uki.000 has SHA-256"),
        ("root.index", 23, "artefact root.index has SHA-256"),
        ("root.000", 23, "artefact root.000 has SHA-256"),
        ("root.002", 23, "artefact root.002 has SHA-256"),
    ];
    for (name, code, says) in cases {
        let file = File::options()
            .read(true)
            .write(true)
            .open(dir.join(name))
            .unwrap();
        // Inside a value of the documents, in the middle of the others.
        let at = match name {
            "update.json" => find(&dir.join(name), "vp2430"),
            "roles.json" => find(&dir.join(name), "4294967295") + 9,
            _ => file.metadata().unwrap().len() / 2,
        };
        let mut byte = [0];
        file.read_exact_at(&mut byte, at).unwrap();
        file.write_all_at(&[byte[0] ^ 1], at).unwrap();
        let ran = shop.verify(&dir);
        file.write_all_at(&byte, at).unwrap();
        ran.fails(code, &[says]);
    }
    shop.verify(&dir).ok();
}

fn find(path: &Path, needle: &str) -> u64 {
    let text = fs::read_to_string(path).unwrap();
    text.find(needle).unwrap() as u64
}

#[test]
fn only_a_sound_build_becomes_an_update() {
    let shop = Shop::new();
    let lies = TinyBuild {
        says: Some("00"),
        ..TinyBuild::default()
    };
    let dir = lies.write(shop.path());
    shop.image(&["release", text(&dir)])
        .fails(1, &["the UKI says roothash=Some(\"00\")"]);

    let dir = TinyBuild::default().write(shop.path());
    let sig = dir.join("release.json.sig");
    let good = fs::read(&sig).unwrap();
    fs::remove_file(&sig).unwrap();
    shop.image(&["release", text(&dir)])
        .fails(14, &["release.json is not signed"]);
    fs::write(&sig, good).unwrap();
    let image = dir.join("disk.img.zst");
    let bytes = fs::read(&image).unwrap();
    fs::write(&image, &bytes[..bytes.len() - 1]).unwrap();
    shop.image(&["release", text(&dir)])
        .fails(21, &["artefact disk.img.zst ends after"]);
    fs::write(&image, bytes).unwrap();
    shop.image(&["release", text(shop.path())])
        .fails(1, &["is this a finished build?"]);
    assert_eq!(names(shop.path()), BTreeSet::from(["1.0.0".to_owned()]));
    // What expired before it was made is never published.
    shop.image(&["release", text(&dir), "--expires", "1"])
        .fails(16, &["expired at 2025-11-22"]);
    assert_eq!(names(shop.path()), BTreeSet::from(["1.0.0".to_owned()]));
}

#[test]
fn the_prediction_counts_every_class() {
    let shop = Shop::new();
    let (old, new) = (shop.update(&TinyBuild::default()), shop.update(&later()));
    let line = json(
        &shop
            .image(&["release", "diff", text(&old), text(&new), "--json"])
            .ok(),
    );
    let cost = |name: &str| line["prediction"][name]["bytes"].as_u64().unwrap();
    let update = manifest(&new);
    assert_eq!(cost("index"), update.index.size + update.uki.index.size);
    // Of the UKI only the root hash on its command line is new.
    let (uki, size) = (cost("uki"), update.uki.size);
    assert!(
        size > 1 << 20 && (1..64 << 10).contains(&uki),
        "{uki} of {size}"
    );
    let same = line["prediction"]["uki_copied"].as_u64().unwrap();
    assert!(same > 900_000, "{same}");
    let sum: u64 = ["documents", "index", "frames", "uki"]
        .map(cost)
        .iter()
        .sum();
    assert_eq!(cost("total"), sum);
    // 64 KiB of noise are new; chunks at both ends come with them.
    let frames = cost("frames");
    assert!((65536..1 << 20).contains(&frames), "{frames}");
    assert!(cost("full") > 8 << 20, "{}", cost("full"));
    let copied = line["prediction"]["copied"].as_u64().unwrap();
    assert!(copied > 2 << 20 && copied < update.root.size, "{copied}");
    let words = shop
        .image(&["release", "diff", text(&old), text(&new)])
        .ok()
        .out;
    for class in ["documents", "index", "frames", "uki", "total", "full"] {
        assert!(words.contains(class), "{words}");
    }
}

#[test]
fn signing_elsewhere_gives_the_same_bytes() {
    let shop = Shop::new();
    let set = keys(Role::Release);
    let build = TinyBuild {
        channel: Channel::Release,
        ..TinyBuild::default()
    };
    let dir = build.write(shop.path());
    shop.image(&["release", text(&dir)])
        .fails(1, &["needs --keys DIR"]);
    let here = shop.path().join("here");
    shop.image(&[
        "release",
        text(&dir),
        "--keys",
        text(set.dir()),
        "--out",
        text(&here),
    ])
    .ok();

    let elsewhere = shop.path().join("elsewhere");
    let public = set.dir().join("public");
    let args = [
        "release",
        text(&dir),
        "--unsigned",
        "--public-keys",
        text(&public),
        "--out",
        text(&elsewhere),
    ];
    let ran = shop.image(&args).fails(3, &[]);
    assert!(ran.out.contains("signatures wanted"), "{}", ran.out);
    let unsigned = shop.path().join("elsewhere.unsigned");
    shop.image(&["attach", text(&unsigned)]).fails(3, &[]);
    // The signing machine gets the manifest alone.
    let stick = shop.path().join("stick");
    fs::create_dir(&stick).unwrap();
    fs::copy(unsigned.join("update.json"), stick.join("update.json")).unwrap();
    let development = keys(Role::Development);
    shop.image(&["sign", text(&stick), "--keys", text(development.dir())])
        .fails(
            30,
            &["is a development key and this image's channel is release"],
        );
    shop.image(&["sign", text(&stick), "--keys", text(set.dir())])
        .ok();
    fs::copy(
        stick.join("update.json.sig"),
        unsigned.join("update.json.sig"),
    )
    .unwrap();
    shop.image(&["attach", text(&unsigned), "--single-file"])
        .ok();
    assert_eq!(contents(&elsewhere), contents(&here));
    assert!(!unsigned.exists() && shop.path().join("tiny-1.0.0.roam").exists());

    // Development role documents do not lead to it.
    shop.verify(&here)
        .fails(34, &["is not the one this device trusts"]);
    let roles = public.join("roles.json");
    shop.image(&["release", "verify", text(&here), "--trust", text(&roles)])
        .ok();
    // What was published is not replaced.
    let changed = TinyBuild {
        root: noise(3, build.root.len()),
        ..build
    };
    let dir = changed.write(shop.path());
    shop.image(&[
        "release",
        text(&dir),
        "--keys",
        text(set.dir()),
        "--out",
        text(&here),
    ])
    .fails(1, &["what was published is never replaced"]);
}

#[test]
fn a_threshold_of_two_waits_for_the_second_key() {
    let shop = Shop::new();
    let (set, second) = (keys(Role::Release), shop.path().join("second"));
    copy_tree(keys(Role::Release).dir(), &second);
    // Another release key in a copy of the set.
    let other = roamcore_ota::PrivateKey::generate(Role::Release).unwrap();
    fs::write(
        second.join("release.key"),
        other.to_pem().unwrap().as_bytes(),
    )
    .unwrap();
    fs::write(
        second.join("public/release.pub"),
        other.public().to_pem().unwrap(),
    )
    .unwrap();
    let roles = shop.path().join("roles.json");
    let public = |dir: &Path| dir.join("public/release.pub");
    shop.image(&["keys", "roles", "key", "root.key"]).ok();
    shop.image(&[
        "keys",
        "roles",
        "init",
        "roles.json",
        "--key",
        "root.pub",
        "--key",
        text(&public(set.dir())),
        "--key",
        text(&public(&second)),
        "--threshold",
        "release=2",
    ])
    .ok();
    shop.image(&["keys", "roles", "sign", "roles.json", "--key", "root.key"])
        .ok();
    assert_eq!(
        RoleChain::parse(&fs::read(&roles).unwrap())
            .unwrap()
            .documents()
            .len(),
        1
    );

    let build = TinyBuild {
        channel: Channel::Release,
        ..TinyBuild::default()
    };
    let dir = build.write(shop.path());
    let args = [
        "release",
        text(&dir),
        "--keys",
        text(set.dir()),
        "--roles",
        text(&roles),
    ];
    shop.image(&args).fails(13, &["1 of 2 needed signatures"]);
    shop.image(&["sign", text(&dir), "--keys", text(&second)])
        .ok();
    shop.image(&args).fails(3, &[]);
    let unsigned = shop.path().join("1.0.0.update.unsigned");
    shop.image(&["sign", text(&unsigned), "--keys", text(&second)])
        .ok();
    shop.image(&["attach", text(&unsigned)]).ok();
    let update = shop.path().join("1.0.0.update");
    let ran = shop
        .image(&[
            "release",
            "verify",
            text(&update),
            "--trust",
            text(&roles),
            "--json",
        ])
        .ok();
    assert_eq!(json(&ran)["signers"].as_array().unwrap().len(), 2);
    // Both at once.
    let out = shop.path().join("both");
    shop.image(&[&args[..], &["--keys", text(&second), "--out", text(&out)]].concat())
        .ok();
    assert_eq!(contents(&out), contents(&update));
}
