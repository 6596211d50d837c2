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

/// A copy of the documents to spoil.
fn checkout() -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    support::copy_checkout(&source(), dir.path());
    dir
}

#[test]
fn check_looks_at_boards_of_no_appliance_and_at_the_development_overlay() {
    let dir = checkout();
    let check = |args: &[&str]| {
        let mut command = Command::new(BUILDER);
        run(command
            .arg("--checkout")
            .arg(dir.path())
            .arg("check")
            .args(args))
    };
    let all = check(&[]).ok();
    assert!(all.out.contains("ok: board vp2430\n"), "{}", all.out);

    let board = dir.path().join("hardware/spare");
    support::copy_tree(&dir.path().join("hardware/vp2430"), &board);
    check(&[]).fails(1, &["board is named `vp2430`, but lies in `spare`"]);
    fs::write(board.join("board.toml"), "schema = 1\n").unwrap();
    check(&[]).fails(1, &["hardware/spare/board.toml", "missing"]);
    check(&["bare"]).ok();
    fs::remove_file(board.join("board.toml")).unwrap();
    check(&[]).fails(
        1,
        &["cannot read", "hardware/spare/board.toml", "No such file"],
    );
    let ran = check(&["--json"]);
    let lines: Vec<Value> = ran.out.lines().map(json).collect();
    let unreadable = lines.iter().find(|l| l["unreadable"].is_string()).unwrap();
    assert!(
        unreadable["unreadable"]
            .as_str()
            .unwrap()
            .ends_with("hardware/spare/board.toml")
    );
    assert!(
        unreadable["cause"]
            .as_str()
            .unwrap()
            .contains("No such file")
    );
    assert_eq!(json(&ran.err)["event"], "failed");
    fs::remove_dir(&board).unwrap();
    check(&[]).ok();

    // The appliance does not name this overlay; every development image has it.
    let overlay = dir.path().join("overlays/development/overlay.toml");
    let mut text = fs::read_to_string(&overlay).unwrap();
    text +=
        "\n[[user]]\nname = \"intruder\"\nuid = 799\n\n[[group]]\nname = \"other\"\ngid = 799\n";
    let base = dir.path().join("overlays/base/overlay.toml");
    let added = "\n[[user]]\nname = \"resident\"\nuid = 799\n";
    fs::write(&base, fs::read_to_string(&base).unwrap() + added).unwrap();
    check(&["bare"]).ok();
    text = text.replace("\n[[group]]\nname = \"other\"\ngid = 799\n", "");
    fs::write(&overlay, text).unwrap();
    check(&["bare"]).fails(
        1,
        &[
            "overlays/development/overlay.toml",
            "user `intruder` is uid 799",
            "`resident`",
        ],
    );
}

#[test]
fn signing_and_locking_speak_json() {
    let dir = checkout();
    let lock = |args: &[&str]| {
        // Given mirrors, no configuration is read, and a lock that fits needs no network.
        let nowhere = [
            "--mirror",
            "http://127.0.0.1:9",
            "--security-mirror",
            "http://127.0.0.1:9",
        ];
        let mut command = Command::new(BUILDER);
        command
            .arg("--checkout")
            .arg(dir.path())
            .args(["--json", "lock", "bare"]);
        run(command.args(nowhere).args(args))
    };
    let ran = lock(&[]).ok();
    let line = json(&ran.out);
    assert_eq!(line["outcome"], "unchanged");
    assert!(
        line["lock"]
            .as_str()
            .unwrap()
            .ends_with("appliances/bare.lock")
    );
    assert!(line["image"].as_u64().unwrap() > 100 && line["new"].as_array().unwrap().is_empty());
    let note = json(&ran.err);
    assert_eq!((&note["v"], &note["event"]), (&1.into(), &"note".into()));
    assert!(
        note["text"]
            .as_str()
            .unwrap()
            .contains("the lock fits the overlays")
    );

    // A lock that cannot be read is refused, but not by the remedy that the refusal names.
    let path = dir.path().join("appliances/bare.lock");
    support::edit(&path, "format = 2", "format = 99");
    lock(&[]).fails(1, &["lock format 99 is unknown"]);
    let ran = lock(&["--update"]).fails(1, &["making the lock anew", "cannot fetch"]);
    assert!(ran.out.is_empty(), "{}", ran.out);

    let keys = dir.path().join("keys");
    let keys = keys.to_str().unwrap();
    image(&["keys", "create", "--role", "development", keys]).ok();
    let Some(built) = built() else { return };
    let release = dir.path().join("release");
    support::copy_tree(&built.release(), &release);
    let ran = image(&["--json", "sign", release.to_str().unwrap(), "--keys", keys]).ok();
    let line = json(&ran.out);
    assert_eq!(
        (&line["v"], &line["outcome"]),
        (&1.into(), &"signature-added".into())
    );
    assert!(line["file"].as_str().unwrap().ends_with("release.json.sig"));
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
    assert!(named("progress", "pool"), "{}", ran.err);
    assert_eq!(json(&ran.out)["outcome"], "signatures-wanted");

    // The request answered where the keys are.
    let request = dir.path().join("bare-vp2430/0.1.0.unsigned");
    let keys = built.keys().join("development");
    let ran = image(&[
        "--json",
        "sign",
        request.to_str().unwrap(),
        "--keys",
        keys.to_str().unwrap(),
    ])
    .ok();
    let line = json(&ran.out);
    assert_eq!(line["outcome"], "answered");
    assert!(
        line["signed"].as_array().unwrap().contains(&"uki".into()),
        "{line}"
    );
}

#[test]
fn a_failed_build_names_its_log() {
    let dir = checkout();
    let cache = dir.path().join("cache");
    let build = |args: &[&str]| {
        let mut command = Command::new(BUILDER);
        command.arg("--checkout").arg(dir.path()).args(args);
        command
            .env("ROAMCORE_CACHE", &cache)
            .env("ROAMCORE_KEYS", dir.path().join("keys"));
        run(command.args(["build", "bare", "--offline"]))
    };
    // An empty cache, and no network.
    let ran = build(&[]).fails(
        1,
        &[
            "are in no pool and fetching is off",
            "the log of this build is ",
        ],
    );
    let (_, log) = ran.err.split_once("the log of this build is ").unwrap();
    let text = fs::read_to_string(log.trim_end()).unwrap();
    assert!(
        text.starts_with("note: made development keys") || text.contains("\npackages "),
        "{text}"
    );
    assert!(
        text.contains("error: ") && text.contains("are in no pool"),
        "{text}"
    );
    let ran = build(&["--json"]);
    let last = json(ran.err.lines().last().unwrap());
    assert_eq!(last["event"], "failed");
    assert!(
        fs::read_to_string(last["log"].as_str().unwrap())
            .unwrap()
            .contains("are in no pool")
    );
}

#[test]
fn pve_shows_files_and_who_reaches_whom() {
    let dir = tempfile::tempdir().unwrap();
    let (tree, db) = (dir.path().join("tree"), dir.path().join("config.db"));
    let (tree_arg, db_arg) = (tree.to_str().unwrap(), db.to_str().unwrap());
    let ran = image(&["pve", "portal", "--tree", tree_arg, "--db", db_arg]).ok();
    assert_eq!(ran.out, "");
    let users = fs::read_to_string(tree.join("etc/pve/user.cfg")).unwrap();
    assert!(users.contains("role:RoamCoreAgent:"), "{users}");
    assert!(fs::read(&db).unwrap().starts_with(b"SQLite format 3"));
    image(&["pve", "portal", "--tree", tree_arg]).fails(1, &["is not empty"]);
    image(&["pve", "portal", "--db", db_arg]).fails(1, &["never replaced"]);
    let printed = image(&["pve", "portal"]).ok().out;
    assert!(
        printed.contains("==> etc/pve/nodes/portal/qemu-server/110.conf <=="),
        "{printed}"
    );
    let reach = image(&["pve", "portal", "--reach"]).ok().out;
    assert!(reach.contains("internet -> edge"), "{reach}");
    let whole = json(&image(&["--json", "pve", "portal", "--reach"]).ok().out);
    assert_eq!(whole["node"], "portal");
    assert!(whole["files"]["etc/hosts"].is_string() && whole["reach"].is_array());
    image(&["pve", "bare"]).fails(1, &["no section [host]"]);
}
