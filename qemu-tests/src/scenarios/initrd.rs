//! Proves (e), second half: an initrd that cannot find its root restarts the machine; it never waits in a shell, where the
//! watchdog would be fed for ever.

use anyhow::{Context as _, ensure};

use crate::context::Ctx;
use crate::disk::gpt;
use crate::guest::emergency_shell;
use crate::machine::spec::MachineSpec;
use crate::registry::{Group, Need, Test};
use crate::scenarios::common::fork;

/// The row.
pub const TEST: Test = Test {
    name: "initrd",
    proves: "an initrd without its root restarts the machine and never ends in a shell",
    group: Group::All,
    needs: &[Need::Image],
    run,
};

/// The verity superblock; without it the root device never appears.
const VERITY_SUPERBLOCK: usize = 512;

fn run(ctx: &Ctx) -> anyhow::Result<Vec<String>> {
    let mut state = fork(ctx)?;
    let disk = state.disk.as_mut().context("no disk")?;
    let verity = gpt::named(disk, "verity-a")?;
    disk.edit_bytes(verity.offset, &[0; VERITY_SUPERBLOCK])?;
    let mut guest = ctx.start(&MachineSpec::default(), state, "no-root")?;
    // Twice, so that a single stray reset is not taken for a rule.
    for _ in 0..2 {
        // Job and device time-outs of the initrd, then a whole boot: twice an ordinary boot's time, and a minute and a half.
        let deadline = crate::deadline::Deadline::secs(ctx.accel.patience(30) + 150);
        // Events are counted from the start of each kernel: the kernel's way to reset may show as two events.
        let machine = guest.machine()?;
        machine
            .console()?
            .wait_for("EFI stub: Loaded initrd", deadline)
            .context("no boot")?;
        let resets = machine.resets();
        let event = guest
            .machine()?
            .wait_event("RESET", resets, deadline)
            .context("no restart")?;
        ensure!(
            event.data["guest"] == true,
            "the reset was not the guest's: {}",
            event.data
        );
    }
    let console = guest.machine()?.console()?;
    ensure!(
        !console.heard(emergency_shell()?),
        "the console offers a shell"
    );
    ensure!(
        !console.heard("login:"),
        "a login prompt came up without a verified root"
    );
    guest.discard();
    Ok(vec![
        "without verity-a the machine restarts by itself, twice observed, no shell".into(),
    ])
}
