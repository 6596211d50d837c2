//! Proves that two builds are the same byte for byte, that a difference is reported by region, then
//! by file, and that a package which looks at the clock is found.

#![allow(clippy::unwrap_used, reason = "test helpers, too, may panic")]

mod support;

use std::fs;
use std::process::Command;
use std::time::Instant;

use roamcore_image::compare;
use support::{APPLIANCE, Extra, RELEASE, built, copy_checkout, edit, run, say};

#[test]
fn clean_caches_under_other_surroundings_give_the_same_bytes() {
    let Some(built) = built() else { return };
    let started = Instant::now();
    let dir = tempfile::tempdir_in(built.checkout().parent().unwrap()).unwrap();
    // A kept pool, as the README fills it, and nothing else that was built or fetched before.
    let pool = dir.path().join("pool").display().to_string();
    let ran = run(built
        .builder()
        .args(["--json", "lock", "bare", "--download", &pool]))
    .ok();
    assert!(ran.out.contains("\"outcome\":\"unchanged\""), "{}", ran.out);
    let builder = built
        .builder()
        .out(dir.path())
        .cache(&dir.path().join("cache"));
    let args = ["build", "bare", "--offline", "--pool", &pool, "--twice"];
    let ran = run(builder.args(args)).ok();
    assert!(ran.out.contains("two builds are identical"), "{}", ran.out);
    // What was compared is what lies there: nothing was built after the comparison.
    assert!(!ran.err.contains("compress"), "{}", ran.err);
    let report = fs::read(dir.path().join(RELEASE).join("build-report.json")).unwrap();
    let report: serde_json::Value = serde_json::from_slice(&report).unwrap();
    let mut steps = report["steps"].as_array().unwrap().iter();
    assert!(steps.any(|s| s["name"] == "install" && s["cached"] == false));
    let latest = dir.path().join(RELEASE).with_file_name("latest");
    assert_eq!(fs::read_link(latest).unwrap().to_str(), Some("0.1.0"));
    // Each build had a path of its own, below which lay all that it read; both are said, and what could not vary.
    for name in ["twice-", "/first under", "/second/with a longer path under"] {
        assert!(ran.err.contains(name), "{name:?} is not in {}", ran.err);
    }
    let turkish = run(Command::new("locale").arg("-a"))
        .out
        .contains("tr_TR.utf8");
    assert_eq!(
        ran.err.contains("the locale tr_TR.UTF-8 is not generated"),
        !turkish
    );
    let few = std::thread::available_parallelism().unwrap().get() < 2;
    assert_eq!(ran.err.contains("2 were wanted"), few, "{}", ran.err);
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

#[test]
fn a_package_that_looks_at_the_clock_is_found() {
    let Some(built) = built() else { return };
    let dir = tempfile::tempdir_in(built.checkout().parent().unwrap()).unwrap();
    let at = |name: &str| dir.path().join(name);
    copy_checkout(&built.checkout(), &at("checkout"));
    let leaky = Extra {
        name: "roamcore-leaky",
        control: "",
        files: &[],
        postinst: "date -u +%Y > /etc/leaked-year",
    };
    leaky.add(&at("checkout"), &at("pool"));
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
