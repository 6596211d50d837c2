//! Proves that a change in an overlay is built anew without installing packages again, and that no
//! change builds nothing of the root.

#![allow(clippy::unwrap_used, reason = "test helpers, too, may panic")]

mod support;

use std::collections::BTreeMap;
use std::fs;
use std::time::Instant;

use support::{APPLIANCE, RELEASE, built, copy_checkout, edit, run, say, step};

#[test]
fn an_overlay_change_does_not_install_packages() {
    let Some(built) = built() else { return };
    let dir = tempfile::tempdir_in(built.checkout().parent().unwrap()).unwrap();
    let (checkout, out) = (dir.path().join("checkout"), dir.path().join("out"));
    copy_checkout(&built.checkout(), &checkout);
    let cache = built.cache(dir.path(), &["tools", "flat", "packages"]);
    let build = |what: &str| {
        let started = Instant::now();
        let builder = built.builder().checkout(&checkout).cache(&cache).out(&out);
        run(builder.args(["build", APPLIANCE, "--offline"])).ok();
        say(&format!(
            "build, {what}: {:.1} s",
            started.elapsed().as_secs_f32()
        ));
        let report = fs::read(out.join(RELEASE).join("build-report.json")).unwrap();
        let report: serde_json::Value = serde_json::from_slice(&report).unwrap();
        let steps = report["steps"].as_array().unwrap().iter();
        let flags = steps.map(|s| {
            (
                s["name"].as_str().unwrap().to_owned(),
                s["cached"].as_bool().unwrap(),
            )
        });
        flags.collect::<BTreeMap<_, _>>()
    };
    let root = |flags: &BTreeMap<String, bool>, expected: bool| {
        assert_eq!(flags["root"], expected);
        assert!(
            flags["install"] && flags["tools"] && flags["packages"],
            "{flags:?}"
        );
    };
    root(&build("packages in the cache"), false);
    root(&build("nothing changed"), true);

    // What rotted in the cache is not signed.
    let initrd = step(&cache, "root").join("initrd.zst");
    let good = fs::read(&initrd).unwrap();
    let mut rotten = good.clone();
    rotten[good.len() / 2] ^= 1;
    fs::write(&initrd, rotten).unwrap();
    let builder = built.builder().checkout(&checkout).cache(&cache).out(&out);
    run(builder.args(["build", APPLIANCE, "--offline"])).fails(
        1,
        &[
            "initrd.zst in the cache is not what was put there",
            "remove the directory",
        ],
    );
    fs::write(&initrd, good).unwrap();

    let file = checkout.join("overlays/base/files/etc/systemd/journald.conf.d/10-roamcore.conf");
    edit(&file, "[Journal]", "# Changed.\n[Journal]");
    root(&build("one overlay file changed"), false);
}
