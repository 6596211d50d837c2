//! The program as units call it: exit codes, stdout and stderr.

#![allow(clippy::unwrap_used, reason = "helpers of tests")]

mod common;

use std::fs;
use std::process::{Command, Output};

use common::{GB, Machine};

fn agent(machine: &Machine, arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_roamcore-agent"))
        .arg("--root")
        .arg(machine.dir.path())
        .args(arguments)
        .output()
        .unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[track_caller]
fn fails(machine: &Machine, arguments: &[&str], code: i32, want: &str) {
    let output = agent(machine, arguments);
    let stderr = text(&output.stderr);
    assert_eq!(output.status.code(), Some(code), "{stderr}");
    assert!(stderr.contains(want), "{stderr:?} lacks {want:?}");
    assert!(stderr.lines().all(|line| line.starts_with('<')), "{stderr}");
}

#[test]
fn every_failure_has_its_exit_code() {
    let machine = Machine::new();
    fails(&machine, &[], 2, "no command given");
    fails(&machine, &["erase"], 2, "unknown command");
    fails(&machine, &["verify-slot"], 1, "cannot open");
    fails(&machine, &["settings"], 1, "os-release");
    machine.channel("release");
    fails(
        &machine,
        &["settings"],
        4,
        "[\"release\"], settings from SMBIOS are for development images only",
    );
    machine.layout(64 * GB + 1);
    fs::write(machine.roots.dev.join("console"), "").unwrap();
    let small = "disk nvme0n1 is too small for bare: it has 64000000000 bytes (64 GB), 64000000001 bytes (65 GB)";
    fails(
        &machine,
        &["prepare-root", "--sysroot", "/nonexistent", "--no-power"],
        3,
        small,
    );
    assert!(
        fs::read_to_string(machine.roots.dev.join("console"))
            .unwrap()
            .contains(small)
    );
    fs::remove_file(machine.roots.usr.join("lib/roamcore/layout.json")).unwrap();
    fails(
        &machine,
        &["prepare-root", "--sysroot", "/nonexistent", "--no-power"],
        1,
        "layout.json: No such file",
    );
    fs::create_dir_all(machine.roots.facts()).unwrap();
    fs::write(machine.roots.facts().join("trial.json"), "{}").unwrap();
    fails(&machine, &["commit"], 1, "is not a trial record");
    let trial = r#"{"entry_path":"\\loader\\entries\\a+1.conf","tries_left":1,"tries_done":0,"slot":"root-a"}"#;
    fs::write(machine.roots.facts().join("trial.json"), trial).unwrap();
    fails(
        &machine,
        &["commit"],
        1,
        "trial.json is about root-a, but root-b is running",
    );
    fs::write(
        machine.roots.facts().join("trial.json"),
        trial.replace("root-a", "root-b"),
    )
    .unwrap();
    fails(&machine, &["commit"], 1, "cannot mount the ESP on");
}

#[test]
fn no_trial_is_no_failure() {
    let output = agent(&Machine::new(), &["commit"]);
    assert_eq!(
        (output.status.code(), text(&output.stdout).as_str()),
        (Some(0), "not in a trial\n")
    );
}

#[test]
fn a_failed_trial_is_noted_once_and_only_when_it_failed() {
    let machine = Machine::new();
    let call = |result: Option<&str>, status: &str| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_roamcore-agent"));
        command.arg("--root").arg(machine.dir.path());
        command.args(["trial-failed", "roamcore-gate.service"]);
        command.env_remove("SERVICE_RESULT");
        command.env("EXIT_STATUS", status);
        if let Some(result) = result {
            command.env("SERVICE_RESULT", result);
        }
        let output = command.output().unwrap();
        assert!(output.status.success(), "{}", text(&output.stderr));
        text(&output.stdout)
    };
    assert_eq!(call(None, ""), "not in a trial\n");
    fs::create_dir_all(machine.roots.facts().join("state/roamcore")).unwrap();
    let trial = r#"{"entry_path":"\\loader\\entries\\roamcore-b+1.conf","tries_left":1,"tries_done":0,"slot":"root-b"}"#;
    fs::write(machine.roots.facts().join("trial.json"), trial).unwrap();
    assert_eq!(call(Some("success"), "0"), "no failure\n");
    assert_eq!(call(Some("signal"), "TERM"), "stopped, not failed\n");
    assert_eq!(call(Some("timeout"), "TERM"), "noted\n");
    let record = fs::read_to_string(machine.roots.facts().join("state/roamcore/attempts.json"));
    assert!(
        record
            .unwrap()
            .contains("\"why\":\"roamcore-gate.service: timeout\"")
    );
    fails(&machine, &["fall-over"], 1, "no EFI firmware interface");
    fails(&machine, &["begin-boot"], 1, "no EFI firmware interface");
    assert_eq!(
        text(&agent(&machine, &["healthy"]).stdout),
        "no failed boots counted\n"
    );
}

#[test]
fn verify_reads_all() {
    let machine = Machine::new();
    fs::write(machine.roots.dev.join("mapper/root"), vec![1; 3_000_000]).unwrap();
    let output = agent(&machine, &["verify-slot", "--json"]);
    let stderr = text(&output.stderr);
    assert!(output.status.success(), "{stderr}");
    let json: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(json["bytes"], 3_000_000);
    assert!(stderr.contains("100 %"), "{stderr}");
}

#[test]
fn settings_take_the_whitelist_only() {
    let machine = Machine::new();
    machine.channel("development");
    assert!(agent(&machine, &["settings"]).status.success());
    assert!(!machine.roots.facts().join("settings").exists());
    machine.oem_strings(
        0,
        &["vendor", "roamcore:shell=/bin/sh", "roamcore:../../etc/x=1"],
    );
    machine.oem_strings(1, &["roamcore:console=ttyS1", "roamcore:console=ttyS1"]);
    let broken = machine.roots.sys.join("firmware/dmi/entries/11-2");
    fs::create_dir_all(&broken).unwrap();
    fs::write(broken.join("raw"), [11, 200]).unwrap();
    let output = agent(&machine, &["settings"]);
    let stderr = text(&output.stderr);
    assert!(output.status.success(), "{stderr}");
    assert!(stderr.contains("key \"shell\" is not one of"), "{stderr}");
    assert!(stderr.contains("SMBIOS structure of 2 bytes"), "{stderr}");
    let settings = machine.roots.facts().join("settings");
    assert_eq!(
        fs::read_to_string(settings.join("console")).unwrap(),
        "ttyS1\n"
    );
    assert_eq!(fs::read_dir(settings).unwrap().count(), 1);
}
