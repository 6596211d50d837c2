//! The real bind mount and overlay, in a mount namespace of their own on a tmpfs.

#![allow(clippy::unwrap_used, reason = "helpers of tests")]

#[path = "../../image/tests/support/skip.rs"]
mod skip;

use std::fs;
use std::path::Path;
use std::process::Command;

use roamcore_agent::prepare;
use roamcore_agent::slot::Slot;

const INNER: &str = "ROAMCORE_TEST_ATTACH";

/// Runs itself again under unshare(1); says why when that cannot be done here.
#[test]
fn state_is_attached_to_the_root() {
    if let Some(directory) = std::env::var_os(INNER) {
        return inner(Path::new(&directory));
    }
    let dir = tempfile::tempdir().unwrap();
    let script = "mount -t tmpfs tmpfs \"$0\" && mkdir -p \"$0\"/l \"$0\"/u \"$0\"/w \"$0\"/m && \
                  mount -t overlay -o redirect_dir=off,lowerdir=\"$0\"/l,upperdir=\"$0\"/u,workdir=\"$0\"/w overlay \"$0\"/m";
    let unshare = || {
        let mut command = Command::new("unshare");
        // A user namespace would not do: redirect_dir= needs the real CAP_SYS_ADMIN.
        command.arg("--mount");
        command
    };
    match unshare()
        .args(["sh", "-c", script])
        .arg(dir.path())
        .output()
    {
        Ok(output) if output.status.success() => {}
        Ok(output) => {
            let why = String::from_utf8_lossy(&output.stderr);
            return skip::skip(&format!("no mounts in a namespace here: {why}"));
        }
        Err(error) => {
            return skip::skip(&format!("cannot run unshare: {error}"));
        }
    }
    let status = unshare()
        .args(["sh", "-c", "mount -t tmpfs tmpfs \"$0\" && exec \"$@\""])
        .arg(dir.path())
        .arg(std::env::current_exe().unwrap())
        .args(["--exact", "state_is_attached_to_the_root", "--nocapture"])
        .env(INNER, dir.path())
        .status()
        .unwrap();
    assert!(status.success());
}

fn inner(directory: &Path) {
    let (state, sysroot) = (directory.join("state"), directory.join("sysroot"));
    for path in [&state, &sysroot.join("etc"), &sysroot.join("var")] {
        fs::create_dir_all(path).unwrap();
    }
    let etc = sysroot.join("etc");
    fs::write(etc.join("machine-id"), "uninitialized\n").unwrap();
    fs::write(etc.join("hostname"), "roamcore\n").unwrap();
    prepare::attach(&state, &sysroot, Slot::B).unwrap();
    let id = fs::read_to_string(state.join("roamcore/machine-id")).unwrap();
    assert_eq!(fs::read_to_string(etc.join("machine-id")).unwrap(), id);
    assert_eq!(
        fs::read_to_string(etc.join("hostname")).unwrap(),
        "roamcore\n"
    );
    fs::write(etc.join("hostname"), "changed\n").unwrap();
    assert_eq!(
        fs::read_to_string(state.join("etc/root-b/upper/hostname")).unwrap(),
        "changed\n"
    );
    fs::write(sysroot.join("var/kept"), "x").unwrap();
    assert!(state.join("var/kept").exists());
    let table = fs::read_to_string("/proc/self/mountinfo").unwrap();
    assert!(
        table
            .lines()
            .any(|line| line.contains("/sysroot/etc ") && line.contains("nosuid,nodev")),
        "{table}"
    );
}
