//! Proves that two builds are the same byte for byte, that a difference is reported by region, then
//! by file, and that a package which looks at the clock is found.

#![allow(clippy::unwrap_used, reason = "test helpers, too, may panic")]

mod support;

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Instant;

use roamcore_image::build::Sources;
use roamcore_image::compare;
use roamcore_image::lock::{Lock, Package, Sha256};
use roamcore_ota::Channel;
use support::{APPLIANCE, Built, RELEASE, built, copy_checkout, edit, run, say, tool};

#[test]
fn clean_caches_under_other_surroundings_give_the_same_bytes() {
    let Some(built) = built() else { return };
    let started = Instant::now();
    let dir = tempfile::tempdir_in(built.checkout().parent().unwrap()).unwrap();
    let ran = run(built
        .builder()
        .out(dir.path())
        .args(["build", "bare", "--offline", "--twice"]));
    let ran = ran.ok();
    assert!(ran.out.contains("two builds are identical"), "{}", ran.out);
    say(&format!("build --twice: {} s", started.elapsed().as_secs()));
    // And the same as the build that took its steps from the ordinary cache.
    let differences = compare::releases(&dir.path().join(RELEASE), &built.release()).unwrap();
    assert_eq!(differences, Vec::<String>::new());
}

#[test]
fn a_difference_is_reported_by_region_then_by_file() {
    let Some(built) = built() else { return };
    let dir = tempfile::tempdir_in(built.checkout().parent().unwrap()).unwrap();
    let build = |name: &str, changed: bool| {
        let base = dir.path().join(name);
        fs::create_dir(&base).unwrap();
        let (checkout, out) = (base.join("checkout"), base.join("out"));
        copy_checkout(&built.checkout(), &checkout);
        if changed {
            let file = "overlays/base/files/etc/systemd/journald.conf.d/10-roamcore.conf";
            edit(&checkout.join(file), "[Journal]", "# Changed.\n[Journal]");
        }
        let cache = built.cache(&base, &["tools", "flat", "packages"]);
        let builder = built.builder().checkout(&checkout).cache(&cache).out(&out);
        run(builder.args(["build", "bare", "--offline"])).ok();
        (out.join(RELEASE), cache)
    };
    let ((release_a, cache_a), (release_b, cache_b)) = (build("a", false), build("b", true));
    let same = compare::releases(&release_a, &built.release()).unwrap();
    assert_eq!(same, Vec::<String>::new());

    let found = compare::releases(&release_a, &release_b).unwrap();
    for text in [
        "disk.img.zst differs",
        "region esp differs",
        "ESP file /EFI/roamcore/a/roamcore.efi differs",
        "section .cmdline of /EFI/roamcore/a/roamcore.efi differs",
        "region root-a differs",
        "region verity-a differs",
    ] {
        assert!(
            found.iter().any(|f| f == text),
            "{text:?} is not in {found:#?}"
        );
    }
    for text in [
        "region root-b differs",
        "section .linux of /EFI/roamcore/a/roamcore.efi differs",
    ] {
        assert!(
            !found.iter().any(|f| f == text),
            "{text:?} is in {found:#?}"
        );
    }
    let files = compare::roots(&cache_a, &cache_b).unwrap();
    let [file] = files.as_slice() else {
        panic!("{files:#?}")
    };
    let start = "file \"etc/systemd/journald.conf.d/10-roamcore.conf\" differs: file ";
    let elsewhere = "file \"usr/share/factory/etc/systemd/journald.conf.d/10-roamcore.conf\"";
    assert!(
        file.starts_with(start) || file.starts_with(elsewhere),
        "{file}"
    );
}

const LEAKY: &str = "roamcore-leaky";

/// A checkout and a pool with one more package, whose script writes the year into the image.
fn leaky(built: &Built, checkout: &Path, pool: &Path) {
    copy_checkout(&built.checkout(), checkout);
    let overlay = checkout.join("overlays/leaky");
    fs::create_dir(&overlay).unwrap();
    let text = format!(
        "schema = 1\nname = \"leaky\"\ndescription = \"looks at the clock\"\n[packages]\ninstall = [\"{LEAKY}\"]\n"
    );
    fs::write(overlay.join("overlay.toml"), text).unwrap();
    edit(
        &checkout.join("appliances/bare.toml"),
        "\"agent\"]",
        "\"agent\", \"leaky\"]",
    );
    let path = checkout.join("appliances/bare.lock");
    let mut lock = Lock::read(&path).unwrap();

    let tree = pool.join("tree");
    fs::create_dir_all(tree.join("DEBIAN")).unwrap();
    let control = format!(
        "Package: {LEAKY}\nVersion: 1\nArchitecture: all\nMaintainer: Nobody <nobody@example.org>\nDescription: leak\n"
    );
    fs::write(tree.join("DEBIAN/control"), control).unwrap();
    let script = tree.join("DEBIAN/postinst");
    fs::write(&script, "#!/bin/sh\ndate -u +%Y > /etc/leaked-year\n").unwrap();
    run(Command::new("chmod").arg("755").arg(&script)).ok();
    let deb = pool.join(format!("{LEAKY}_1_all.deb"));
    // The same package in every run of this test, because the machine's own pool keeps it.
    let mut build = tool("dpkg-deb").unwrap();
    build.env("SOURCE_DATE_EPOCH", lock.epoch.to_string());
    run(build
        .args(["--root-owner-group", "--build"])
        .arg(&tree)
        .arg(&deb))
    .ok();

    let bytes = fs::read(&deb).unwrap();
    let package = Package {
        name: LEAKY.to_owned(),
        version: "1".to_owned(),
        arch: "all".to_owned(),
        size: bytes.len() as u64,
        sha256: Sha256::of(&bytes),
        path: format!("pool/main/r/{LEAKY}/{LEAKY}_1_all.deb"),
        ..lock.image[0].clone()
    };
    lock.image.push(package);
    lock.image.sort_by(|a, b| a.name.cmp(&b.name));
    let name = APPLIANCE.parse().unwrap();
    let sources = Sources::load(checkout, &name, Channel::Development).unwrap();
    lock.inputs = sources.request().unwrap().inputs();
    lock.write(&path).unwrap();
}

#[test]
fn a_package_that_looks_at_the_clock_is_found() {
    let Some(built) = built() else { return };
    let dir = tempfile::tempdir_in(built.checkout().parent().unwrap()).unwrap();
    let at = |name: &str| dir.path().join(name);
    leaky(built, &at("checkout"), &at("pool"));
    // A cache of its own, because both builds are kept in it.
    let cache = built.cache(dir.path(), &["tools", "flat"]);
    let builder = built.builder().checkout(&at("checkout")).cache(&cache);
    let pool = at("pool").display().to_string();
    run(builder.out(&at("out")).args([
        "build",
        APPLIANCE,
        "--offline",
        "--twice",
        "--pool",
        &pool,
    ]))
    .fails(4, &["region root-a differs", "leaked-year\" differs"]);
    assert!(!at("out").join(RELEASE).exists());
}
