//! Changes to the sources of a release: a harmless one, and those that a trial must not survive.

use std::fs;
use std::io::{Error, Result, Write as _};
use std::path::Path;

/// Units of the agent's overlay.
const UNITS: &str = "overlays/agent/files/usr/lib/systemd/system";

/// A file and a kernel argument: what a change of an overlay is.
pub fn overlay_and_arguments(checkout: &Path) -> Result<()> {
    let file = checkout.join("overlays/base/files/usr/lib/roamcore/proof-of-change");
    fs::create_dir_all(file.parent().unwrap_or(checkout))?;
    fs::write(file, "a changed overlay\n")?;
    argument(checkout, "roamcore.proof=1")
}

/// Twenty megabytes that nothing compresses and no slot has.
pub fn bulk(checkout: &Path) -> Result<()> {
    let file = checkout.join("overlays/base/files/usr/lib/roamcore/proof-of-bulk");
    fs::create_dir_all(file.parent().unwrap_or(checkout))?;
    let mut out = std::io::BufWriter::new(fs::File::create(file)?);
    let mut rng = roamcore_crash::rng::Rng::fork(20, &[]);
    for _ in 0..20_000_000 / 8 {
        out.write_all(&rng.next().to_le_bytes())?;
    }
    out.flush()
}

/// A service that does not start, which the gate waits for in vain; not as long as on the product.
pub fn failing_gate(checkout: &Path) -> Result<()> {
    drop_in(
        checkout,
        "roamcore-firewall.service",
        "[Service]\nExecStart=\nExecStart=/usr/bin/false\n",
    )?;
    replace(
        &checkout.join("overlays/agent/files/usr/lib/roamcore/health.d/10-base.toml"),
        "deadline-seconds = 240",
        "deadline-seconds = 60",
    )
}

/// A gate that says nothing, and whose own time-out is gone; the deadline comes sooner than on the product.
pub fn hanging_gate(checkout: &Path) -> Result<()> {
    drop_in(
        checkout,
        "roamcore-health.service",
        "[Service]\nExecStart=\nExecStart=/usr/bin/sleep infinity\nTimeoutStartSec=infinity\n",
    )?;
    drop_in(
        checkout,
        "roamcore-trial-deadline.timer",
        "[Timer]\nOnActiveSec=\nOnActiveSec=4min\n",
    )
}

/// An update service that ends as soon as it is started.
pub fn agent_dies(checkout: &Path) -> Result<()> {
    drop_in(
        checkout,
        "roamcore.service",
        "[Service]\nExecStart=\nExecStart=/usr/bin/false\n",
    )
}

/// PID 1 stands still before the gate can say anything.
pub fn frozen_pid_1(checkout: &Path) -> Result<()> {
    drop_in(
        checkout,
        "roamcore-health.service",
        "[Service]\nPrivateNetwork=no\nExecStart=\n\
         ExecStart=+/bin/sh -c 'echo 1 > /sys/fs/cgroup/init.scope/cgroup.freeze; sleep infinity'\n\
         ProtectControlGroups=no\nTimeoutStartSec=infinity\n",
    )
}

/// An initrd that waits without end, while PID 1 is well and feeds the watchdog.
pub fn hanging_initrd(checkout: &Path) -> Result<()> {
    let unit =
        checkout.join("overlays/boot/files/usr/lib/systemd/system/roamcore-prepare-root.service");
    replace(
        &unit,
        "TimeoutStartSec=150\n",
        "TimeoutStartSec=infinity\nExecStartPre=/usr/bin/sleep infinity\n",
    )
}

/// There is no program to start: the kernel panics.
pub fn panicking(checkout: &Path) -> Result<()> {
    argument(checkout, "rdinit=/nonexistent")
}

/// For a board that is not this one.
pub fn other_board(checkout: &Path) -> Result<()> {
    let (from, to) = (
        checkout.join("hardware/vp2430"),
        checkout.join("hardware/vp9999"),
    );
    fs::rename(from, &to)?;
    replace(
        &to.join("board.toml"),
        "name = \"vp2430\"",
        "name = \"vp9999\"",
    )?;
    for appliance in fs::read_dir(checkout.join("appliances"))? {
        let path = appliance?.path();
        if path.extension().is_some_and(|e| e == "toml") {
            replace(&path, "board = \"vp2430\"", "board = \"vp9999\"")?;
        }
    }
    Ok(())
}

fn drop_in(checkout: &Path, unit: &str, text: &str) -> Result<()> {
    let directory = checkout.join(UNITS).join(format!("{unit}.d"));
    fs::create_dir_all(&directory)?;
    fs::write(directory.join("zz-test.conf"), text)
}

fn argument(checkout: &Path, argument: &str) -> Result<()> {
    replace(
        &checkout.join("overlays/boot/overlay.toml"),
        "\"ro\", ",
        &format!("\"ro\", \"{argument}\", "),
    )
}

fn replace(path: &Path, old: &str, new: &str) -> Result<()> {
    let text = fs::read_to_string(path)?;
    let changed = text.replacen(old, new, 1);
    if changed == text {
        let what = format!("{} has no `{old}` to replace", path.display());
        return Err(Error::other(what));
    }
    fs::write(path, changed)
}
