//! Proves that a build, a making of keys or a lock killed at any moment leaves nothing under a final name that is not
//! whole, no process, and no rubbish after the next one; a build then gives the reference's bytes.

#![allow(clippy::unwrap_used, reason = "test helpers, too, may panic")]

mod support;

use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use roamcore_image::cache::Cache;
use roamcore_image::compare;
use roamcore_image::keys::KeySet;
use roamcore_image::lock::Lock;
use serde_json::Value;
use support::{APPLIANCE, RELEASE, Random, built, copy_checkout, run, say, share};

/// When to kill: what of the ordinary cache the build may use, and in which of its steps. A random moment of the time
/// that the step took when it was not killed; the last step has the renames.
const KILLS: [(&[&str], &[&str]); 4] = [
    (&[], &["tools", "tools"]),
    (&["tools"], &["install", "install"]),
    (&["tools", "flat", "packages"], &["root", "root"]),
    (
        &["tools", "flat", "packages", "root"],
        &["uki", "disk", "compress", "describe", "place", "place"],
    ),
];

/// Tries for one kill. What was measured took longer than what is killed when the machine was busier then, and a kill
/// comes too late; so each further try is earlier.
const TRIES: u64 = 8;

/// Steps that were not measured, as this would take as long as the kills, and how many times as long as compressing they
/// take at least. A kill that comes after its step hits one that follows.
const LONG: [(&str, u64); 3] = [("tools", 1), ("install", 3), ("root", 1)];

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

/// Name and kind of an event, and the milliseconds of a step that is done.
fn event(line: &str) -> Option<(String, String, u64)> {
    let event: Value = serde_json::from_str(line).ok()?;
    let text = |key: &str| Some(event[key].as_str()?.to_owned());
    let took = event["milliseconds"].as_u64().unwrap_or(0);
    Some((text("event")?, text("name")?, took))
}

/// How long each step of a whole build takes.
fn measure(mut build: Command) -> BTreeMap<String, u64> {
    let ran = run(&mut build).ok();
    let done = ran.err.lines().filter_map(event);
    let mut took = BTreeMap::new();
    for (kind, name, milliseconds) in done {
        if kind == "done" {
            *took.entry(name).or_insert(0) += milliseconds;
        }
    }
    took
}

/// Kills a command `wait` after its start; false when it ended before that.
fn kill_after(mut command: Command, wait: Duration) -> bool {
    let quiet = command.stdin(Stdio::null()).stdout(Stdio::null());
    let mut child = quiet.stderr(Stdio::null()).spawn().unwrap();
    std::thread::sleep(wait);
    let _ = child.kill();
    !child.wait().unwrap().success()
}

/// Kills the build `wait` after it says that it begins `step`; false when it ended before that.
fn kill_in(mut build: Command, step: &str, wait: Duration) -> bool {
    let mut child = build
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // Read to its end, or the build would wait for a reader.
    let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
    let begins = |line: std::io::Result<String>| {
        let (kind, name, _) = event(&line.ok()?)?;
        (kind == "step" && name == step).then_some(())
    };
    let reached = lines.by_ref().find_map(begins).is_some();
    let reader = std::thread::spawn(move || lines.count());
    std::thread::sleep(wait);
    let _ = child.kill();
    let killed = !child.wait().unwrap().success();
    reader.join().unwrap();
    reached && killed
}

#[test]
fn killed_builds_leave_nothing_half_made() {
    let Some(built) = built() else { return };
    let mut random = Random::new("moments of the kills");
    let dir = tempfile::tempdir_in(built.checkout().parent().unwrap()).unwrap();
    let ordinary = Cache::default_root().unwrap();
    let build = |cache: &Path, out: &Path| {
        let builder = built.builder().cache(cache).out(out);
        builder.args(["build", APPLIANCE, "--offline", "--json"])
    };
    let shop = |name: &str, shared: &[&str]| {
        let dir = dir.path().join(name);
        fs::create_dir(&dir).unwrap();
        (built.cache(&dir, shared), dir.join("out"))
    };
    let (cache, out) = shop("measured", KILLS[3].0);
    let mut took = measure(build(&cache, &out));
    for (step, times) in LONG {
        took.insert(step.to_owned(), times * took["compress"]);
    }
    let (cache, out) = shop("killed", &[]);
    let release = out.join(RELEASE);
    let whole = |when: &str| {
        let latest = release.with_file_name("latest");
        for path in [&release, &latest] {
            // `latest` must never point to nothing.
            if fs::symlink_metadata(path).is_ok() {
                let found = compare::releases(path, &built.release()).unwrap();
                assert_eq!(found, Vec::<String>::new(), "{when}: {}", path.display());
            }
        }
    };
    let started = Instant::now();
    let mut killed = BTreeMap::new();
    for (shared, steps) in KILLS {
        share(&ordinary, &cache, shared);
        for step in steps {
            for again in 1..=TRIES {
                let wait = Duration::from_millis(random.below((took[*step] / again).max(1)));
                let hit = kill_in(build(&cache, &out), step, wait);
                quiet(&cache);
                whole(&format!("killed {wait:?} into {step}"));
                if hit {
                    *killed.entry(*step).or_insert(0) += 1;
                    break;
                }
            }
        }
    }
    say(&format!(
        "builds killed: {killed:?}, in {} s",
        started.elapsed().as_secs()
    ));
    let mut steps = KILLS.iter().flat_map(|(_, steps)| *steps);
    assert!(
        steps.all(|step| killed.contains_key(step)),
        "{killed:?} of {took:?}"
    );
    // What the shared steps hid is made by this cache itself now, from whatever the kills left.
    for entry in fs::read_dir(cache.join("steps")).unwrap() {
        let path = entry.unwrap().path();
        let name = path.to_string_lossy();
        if (name.ends_with("-root") || name.ends_with("-tools")) && path.is_symlink() {
            fs::remove_file(path).unwrap();
        }
    }
    run(build(&cache, &out)).ok();
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

/// The time that a whole run of `command` takes.
fn time(command: Command) -> Duration {
    let started = Instant::now();
    run(command).ok();
    started.elapsed()
}

#[test]
fn killed_key_making_leaves_no_key_set_that_is_not_whole() {
    let Some(built) = built() else { return };
    let mut random = Random::new("moments of the kills of keys");
    let dir = tempfile::tempdir().unwrap();
    let create = |name: &str| {
        let set = dir.path().join(name);
        let set = set.to_str().unwrap();
        built
            .builder()
            .args(["keys", "create", "--role", "release", set])
    };
    let whole = time(create("measured"));
    let mut killed = 0;
    for number in 0..12 {
        let name = format!("set-{number}");
        // Half of them in the last third, where the set gets its name.
        let share = whole.mul_f64(f64::from(number % 2) * 0.67);
        let wait = share + Duration::from_micros(random.below(whole.as_micros() as u64 / 3));
        killed += u32::from(kill_after(create(&name), wait));
        let set = dir.path().join(&name);
        if set.exists() {
            KeySet::open(&set).unwrap().public().unwrap();
        }
    }
    say(&format!(
        "key making of {whole:?} killed {killed} times of 12"
    ));
    assert!(killed > 0);
    run(create("last")).ok();
    let left = fs::read_dir(dir.path()).unwrap();
    let names: Vec<_> = left
        .map(|e| e.unwrap().file_name().into_string().unwrap())
        .collect();
    assert!(
        names.iter().all(|name| !name.starts_with('.')),
        "private keys are left behind: {names:?}"
    );
}

#[test]
fn a_killed_lock_leaves_the_old_lock_or_a_whole_new_one() {
    let Some(built) = built() else { return };
    let mut random = Random::new("moments of the kills of lock");
    let dir = tempfile::tempdir_in(built.checkout().parent().unwrap()).unwrap();
    let checkout = dir.path().join("checkout");
    copy_checkout(&built.checkout(), &checkout);
    let cache = built.cache(dir.path(), &[]);
    let temp = dir.path().join("temporary");
    fs::create_dir(&temp).unwrap();
    let lock = || {
        let builder = built.builder().checkout(&checkout).cache(&cache);
        let mut lock = builder.args(["lock", APPLIANCE, "--update"]);
        lock.env("TMPDIR", &temp);
        lock
    };
    let whole = time(lock());
    let file = checkout.join(format!("appliances/{APPLIANCE}.lock"));
    let mut killed = 0_u32;
    for _ in 0..4 {
        for again in 1..=TRIES {
            let wait = Duration::from_millis(random.below(whole.as_millis() as u64 / again));
            let hit = kill_after(lock(), wait);
            quiet(&cache);
            Lock::read(&file).unwrap();
            if hit {
                killed += 1;
                break;
            }
        }
    }
    say(&format!("lock of {whole:?} killed {killed} times of 4"));
    assert_eq!(killed, 4);
    run(lock()).ok();
    run(built
        .builder()
        .checkout(&checkout)
        .args(["check", APPLIANCE]))
    .ok();
    let left = fs::read_dir(&temp).unwrap();
    let left = left.flat_map(|area| fs::read_dir(area.unwrap().path()).unwrap());
    let left: Vec<_> = left.map(|e| e.unwrap().path()).collect();
    assert!(left.is_empty(), "rubbish among temporary files: {left:?}");
}
