//! Proves that two builds are the same byte for byte, and that a difference is reported by region,
//! then by file.

#![allow(clippy::unwrap_used, reason = "test helpers, too, may panic")]

mod support;

use std::fs;
use std::time::Instant;

use roamcore_image::compare;
use support::{RELEASE, built, copy_checkout, edit, run, say};

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
