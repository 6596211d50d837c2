//! Proves (d), the fast part: an entry on trial in slot B whose kernel panics brings the machine back on A with A's entry
//! untouched; one that works, of an *older* version than A's, is booted, read in full, committed and stays.
//!
//! ```text
//! A (off) --install B, entry +1 panics--> B panics --> A --entry +1 good--> B on trial, commits --reset--> B for good
//! ```
//! An older version sorts behind a newer one, so it would never be tried if entries were sorted by it: an entry's version
//! is its deployment sequence, which only grows.

use anyhow::{Context as _, ensure};

use crate::bootfile;
use crate::context::Ctx;
use crate::machine::spec::MachineSpec;
use crate::registry::{Group, Need, Test};
use crate::scenarios::bench::{Bench, back_on_a, committed, prepare, rearm, service_up, view};

/// The row.
pub const TEST: Test = Test {
    name: "trial",
    proves: "a panicking trial returns to slot A untouched; a good one of an older version boots, is read in full and committed",
    group: Group::Ci,
    needs: &[Need::Image, Need::Builder],
    run,
};

/// Kernel that panics: there is no program to start and no root to mount.
fn panics(line: &str) -> String {
    format!("{line} rdinit=/nonexistent")
}

fn run(ctx: &Ctx) -> anyhow::Result<Vec<String>> {
    let mut bench = prepare(ctx, ("0.0.9", 2), |release| {
        Ok(vec![
            ("roamcore.efi", release.uki.clone()),
            ("panic.efi", bootfile::rebuilt(&release.uki, panics, &[])?),
        ])
    })?;
    bench.arm("roamcore-b+1.conf", "panic.efi")?;
    let Bench {
        state,
        release,
        entry_a,
    } = bench;
    let mut guest = ctx.start(&MachineSpec::default(), state, "trial")?;
    let deadline = guest.within(30);
    guest
        .machine()?
        .console()?
        .wait_for("Kernel panic", deadline)
        .context("panicking trial")?;
    let seen = back_on_a(&mut guest, &entry_a, 0, deadline)?;
    let mut proofs = vec![format!(
        "a trial that panics: back on {} {} by itself, its entry without a counter and byte-identical",
        seen.slot, seen.version
    )];

    let newer = seen.version;
    service_up(&mut guest)?;
    rearm(
        &mut guest,
        &release,
        "roamcore-b+0-1.conf",
        "roamcore-b+1.conf",
        "roamcore.efi",
    )?;
    let resets = guest.machine()?.resets();
    guest.machine()?.reset()?;
    guest.wait_reset(resets, deadline)?;
    guest.wait_up().context("good trial")?;
    proofs.push(committed(&mut guest, &release, &entry_a, &newer)?);

    let resets = guest.machine()?.resets();
    guest.machine()?.reset()?;
    guest.wait_reset(resets, deadline)?;
    guest.wait_up().context("after the commit")?;
    let seen = view(&mut guest)?;
    ensure!(
        seen.slot == "root-b" && !seen.on_trial,
        "after the commit it runs {seen:?}"
    );
    ensure!(
        guest.machine()?.resets() == resets + 1,
        "the committed slot needed more than one boot"
    );
    proofs.push("the next boot stays on B and is no trial".into());
    guest.discard();
    Ok(proofs)
}
