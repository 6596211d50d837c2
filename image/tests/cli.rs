//! Proves what the small verbs print, in words and in JSON, and that every failure has an exit code
//! and names its causes once.

#![allow(clippy::unwrap_used, reason = "test helpers, too, may panic")]

mod support;

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::process::Command;

use serde_json::Value;
use support::{BUILDER, Ran, built, run, source};

fn image(args: &[&str]) -> Ran {
    run(Command::new(BUILDER)
        .arg("--checkout")
        .arg(source())
        .args(args))
}

fn json(line: &str) -> Value {
    serde_json::from_str(line).unwrap()
}

#[test]
fn keys_are_made_once_and_kept_private() {
    let dir = tempfile::tempdir().unwrap();
    let set = dir.path().join("set");
    let set = set.to_str().unwrap();
    let ran = image(&["keys", "create", "--role", "release", set]).ok();
    assert!(
        ran.out.contains("release key  ") && ran.out.contains("(Release)"),
        "{}",
        ran.out
    );
    image(&["keys", "create", "--role", "release", set])
        .fails(1, &["exists already; keys are never overwritten"]);
    for name in ["release.key", "root.key", "PK.key", "KEK.key", "db.key"] {
        let mode = fs::metadata(format!("{set}/{name}"))
            .unwrap()
            .permissions()
            .mode();
        assert_eq!(mode & 0o077, 0, "{name} has mode {mode:o}");
    }
    let whole = json(&image(&["--json", "keys", "show", set]).ok().out);
    assert_eq!(whole["role"], "release");
    let public = json(
        &image(&["--json", "keys", "show", &format!("{set}/public")])
            .ok()
            .out,
    );
    assert_eq!(whole, public);
}

#[test]
fn check_accepts_the_checkout() {
    let ran = image(&["check"]).ok();
    assert!(
        ran.out.contains("ok: appliance bare\n") && ran.out.contains("ok: overlay base\n"),
        "{}",
        ran.out
    );
    let lines = image(&["check", "--json"]).ok().out;
    assert!(
        lines.lines().all(|l| json(l)["checked"].is_string()),
        "{lines}"
    );
    image(&["check", "no-such"]).fails(1, &["no-such.toml"]);
}

#[test]
fn inspect_shows_a_release_and_does_not_judge() {
    let Some(built) = built() else { return };
    let release = built.release();
    let args = ["inspect", release.to_str().unwrap()];
    let ran = image(&args).ok();
    for text in [
        "roamcore-bare 0.1.0 for vp2430",
        "not checked; see `verify`",
        "disk.img.zst",
        "root-a",
    ] {
        assert!(ran.out.contains(text), "{text:?} is not in:\n{}", ran.out);
    }
    let ran = image(&[&args[..], &["--json"]].concat()).ok();
    assert_eq!(
        ran.out.trim_end(),
        fs::read_to_string(release.join("release.json"))
            .unwrap()
            .trim_end()
    );
}

#[test]
fn latest_is_a_link_to_the_newest() {
    let Some(built) = built() else { return };
    let latest = built.release().with_file_name("latest");
    assert_eq!(fs::read_link(latest).unwrap().to_str(), Some("0.1.0"));
}

#[test]
fn failures_name_each_cause_once() {
    let ran = image(&["inspect", "/nowhere"]).fails(1, &["error: reading /nowhere/release.json"]);
    assert_eq!(ran.err.matches("No such file").count(), 1, "{}", ran.err);
    let ran = image(&["--json", "inspect", "/nowhere"]);
    let line = json(&ran.err);
    assert_eq!(
        (&line["v"], &line["event"], &line["exit_code"]),
        (&1.into(), &"failed".into(), &1.into())
    );
    assert_eq!(line["causes"].as_array().unwrap().len(), 2, "{line}");
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("release.json"), "{}").unwrap();
    image(&["inspect", dir.path().to_str().unwrap()]).fails(17, &["the manifest cannot be read"]);
    image(&["build"]).fails(2, &["Usage"]);
    image(&["attach", "/nowhere"]).fails(1, &["is this an unsigned build?"]);
}

#[test]
fn events_are_one_json_object_per_line() {
    let Some(built) = built() else { return };
    let dir = tempfile::tempdir_in(built.checkout().parent().unwrap()).unwrap();
    let public = built.keys().join("development/public");
    let builder = built.builder().out(dir.path());
    let args = [
        "build",
        "bare",
        "--json",
        "--offline",
        "--unsigned",
        "--public-keys",
        public.to_str().unwrap(),
    ];
    let ran = run(builder.args(args)).fails(3, &[]);
    let events: Vec<Value> = ran.err.lines().map(json).collect();
    assert!(
        events.iter().all(|e| e["v"] == 1 && e["event"].is_string()),
        "{}",
        ran.err
    );
    let named = |kind: &str, name: &str| {
        events
            .iter()
            .any(|e| e["event"] == kind && e["name"] == name)
    };
    assert!(
        named("step", "root") && named("done", "root"),
        "{}",
        ran.err
    );
    assert_eq!(json(&ran.out)["outcome"], "signatures-wanted");
}
