//! Proves that a build killed at any moment leaves nothing under a final name that is not whole,
//! no process, and no rubbish after the next build, which gives the reference's bytes.

#![allow(clippy::unwrap_used, reason = "test helpers, too, may panic")]

mod support;

use std::fs;
use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, Instant};

use roamcore_image::cache::Cache;
use roamcore_image::compare;
use support::{APPLIANCE, RELEASE, Random, built, run, say, share};

/// Kills in each stage of what the cache holds: nothing, the packages, everything.
const KILLS: [(u64, &[&str]); 3] = [
    (6, &["tools"]),
    (7, &["tools", "flat", "packages"]),
    (7, &["tools", "flat", "packages", "root"]),
];

/// Processes, this one aside, whose command line holds `text`.
fn processes(text: &str) -> Vec<String> {
    let mut found = Vec::new();
    for entry in fs::read_dir("/proc").unwrap() {
        let path = entry.unwrap().path();
        let line = fs::read(path.join("cmdline")).unwrap_or_default();
        let line = String::from_utf8_lossy(&line).replace('\0', " ");
        if line.contains(text) {
            found.push(line);
        }
    }
    found
}

/// Waits until the killed build's helpers have ended too.
fn quiet(cache: &Path) {
    let cache = cache.to_str().unwrap();
    let deadline = Instant::now() + Duration::from_secs(15);
    while !processes(cache).is_empty() {
        assert!(
            Instant::now() < deadline,
            "still running: {:#?}",
            processes(cache)
        );
        std::thread::sleep(Duration::from_millis(100));
    }
}

#[test]
fn killed_builds_leave_nothing_half_made() {
    let Some(built) = built() else { return };
    let mut random = Random::new("moments of the kills");
    let dir = tempfile::tempdir_in(built.checkout().parent().unwrap()).unwrap();
    let (cache, out) = (built.cache(dir.path(), &[]), dir.path().join("out"));
    let release = out.join(RELEASE);
    let whole = |when: &str| {
        if release.exists() {
            let found = compare::releases(&release, &built.release()).unwrap();
            assert_eq!(found, Vec::<String>::new(), "{when}");
        }
    };
    let build = || {
        built
            .builder()
            .cache(&cache)
            .out(&out)
            .args(["build", APPLIANCE, "--offline"])
    };
    let (mut killed, ordinary) = (0, Cache::default_root().unwrap());
    for (count, shared) in KILLS {
        share(&ordinary, &cache, shared);
        for _ in 0..count {
            let wait = Duration::from_millis(50 + random.below(5950));
            let mut child = build()
                .stdin(Stdio::null())
                .stdout(Stdio::null())
                .stderr(Stdio::null())
                .spawn()
                .unwrap();
            std::thread::sleep(wait);
            let _ = child.kill();
            killed += u32::from(!child.wait().unwrap().success());
            quiet(&cache);
            whole(&format!("killed after {wait:?}"));
        }
    }
    say(&format!("{killed} builds were killed"));
    assert!(killed >= 10);
    // What the shared steps hid is made by this cache itself now, from whatever the kills left.
    for entry in fs::read_dir(cache.join("steps")).unwrap() {
        let path = entry.unwrap().path();
        if path.to_string_lossy().ends_with("-root") && path.is_symlink() {
            fs::remove_file(path).unwrap();
        }
    }
    run(build()).ok();
    assert!(release.exists());
    whole("after the kills");
    assert_eq!(
        fs::read_dir(cache.join("scratch")).unwrap().count(),
        0,
        "rubbish in the cache"
    );
    let mut left: Vec<_> = fs::read_dir(release.parent().unwrap())
        .unwrap()
        .map(|e| e.unwrap().file_name())
        .collect();
    left.sort();
    assert_eq!(left, ["0.1.0", "latest"]);
}
