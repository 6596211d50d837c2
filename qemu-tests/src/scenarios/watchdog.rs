//! Proves (e), first half: when PID 1 stands still, the iTCO watchdog resets the machine, and it comes back healthy.
//!
//! PID 1 is frozen through its cgroup. Signals and real-time loops do not stop it. The shell on ttyS1 lives in another scope
//! and goes on, which shows that nothing but PID 1 feeds the watchdog.

use std::time::Instant;

use anyhow::{Context as _, ensure};

use crate::context::Ctx;
use crate::deadline::Deadline;
use crate::registry::{Group, Need, Test};
use crate::scenarios::common::{ensure_healthy, facts, second_boot};

/// The row.
pub const TEST: Test = Test {
    name: "watchdog",
    proves: "a frozen PID 1 makes the iTCO reset the machine, which boots healthy again",
    group: Group::Ci,
    needs: &[Need::Image],
    run,
};

/// A 30 s time-out reset after 66 s when measured (the iTCO expires twice); a minute more for a longer setting.
const RESET_SECONDS: u64 = 180;

fn run(ctx: &Ctx) -> anyhow::Result<Vec<String>> {
    let mut guest = ctx.take_shared(second_boot)?;
    let before = facts(&mut guest)?;
    let identity = guest.ok("cat /sys/class/watchdog/watchdog0/identity")?;
    ensure!(identity.contains("iTCO"), "watchdog0 is `{identity}`");
    let timeout = guest.ok("cat /sys/class/watchdog/watchdog0/timeout")?;
    let active = guest.ok("cat /sys/class/watchdog/watchdog0/state")?;
    ensure!(active == "active", "watchdog0 is {active}");

    let (resets, fired) = (guest.machine()?.resets(), guest.machine()?.watchdogs());
    guest.ok("sync")?;
    guest.fire("echo 1 > /sys/fs/cgroup/init.scope/cgroup.freeze")?;
    let frozen = Instant::now();
    let deadline = Deadline::secs(RESET_SECONDS);
    guest
        .machine()?
        .wait_event("WATCHDOG", fired, deadline)
        .context("PID 1 is frozen")?;
    guest.wait_reset(resets, deadline)?;
    let took = frozen.elapsed().as_secs();

    guest.wait_up().context("after the reset")?;
    let after = facts(&mut guest)?;
    ensure_healthy(&after)?;
    ensure!(
        before["boot id"] != after["boot id"],
        "the boot id has not changed"
    );
    ensure!(
        before["entry"] == after["entry"],
        "it came back on `{}`, not `{}`",
        after["entry"],
        before["entry"]
    );
    let total = guest.machine()?.resets() - resets;
    ensure!(total == 1, "it took {total} resets to come back");
    guest.power_off()?;
    Ok(vec![
        format!("{identity} with {timeout} s is active; PID 1 frozen, reset after {took} s"),
        "one reset, the same boot entry, healthy again".into(),
    ])
}
