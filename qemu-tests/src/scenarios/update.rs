//! Proves the whole way of an update, from a deployment to a committed slot, and back from a release that must not stay.
//!
//! ```text
//!  A 0.1.0 --deploy 0.1.1--> fetched, written, armed --reset--> B on trial, gate, commit --> server: finished
//!          --deploy 0.1.2--> A again                                       (only what changed is fetched)
//!          --deploy 0.1.3, whose gate fails--> back on the old slot        --> server: error, with the reason
//! ```
//! The guest is given the server's address and its token as an owner would give them, through /etc/roamcore.

use std::fs;
use std::path::Path;

use anyhow::{Context as _, ensure};
use serde_json::Value;

use crate::context::Ctx;
use crate::fleet::{Fleet, make_update};
use crate::guest::Guest;
use crate::machine::spec::MachineSpec;
use crate::net::Lan;
use crate::registry::{Group, Need, Skip, Test};
use crate::release::Change;
use crate::scenarios::bench::{View, view};
use crate::scenarios::common::{ensure_healthy, facts, fork};

const NEEDS: &[Need] = &[Need::Image, Need::Builder, Need::Lan, Need::Fleet];

/// The row of the good way.
pub const TEST: Test = Test {
    name: "update",
    proves: "two deployments are fetched, written, tried and committed, into slot B and back into A; finished is said only then",
    group: Group::Ci,
    needs: NEEDS,
    run: good,
};

/// The row of the way back.
pub const ROLLBACK: Test = Test {
    name: "rollback",
    proves: "a release whose health gate fails, and one whose kernel panics, end on the old slot and the server is told why",
    group: Group::All,
    needs: NEEDS,
    run: back,
};

const DEVICE: &str = "van-7";
/// Download, trial and commit under software emulation are several boots.
const UPDATE_SECONDS: u64 = 240;

/// A file and a kernel argument: what a change of an overlay is.
fn overlay_and_arguments(checkout: &Path) -> std::io::Result<()> {
    let file = checkout.join("overlays/base/files/usr/lib/roamcore/proof-of-change");
    fs::create_dir_all(file.parent().unwrap_or(checkout))?;
    fs::write(file, "a changed overlay\n")?;
    argument(checkout, "roamcore.proof=1")
}

fn argument(checkout: &Path, argument: &str) -> std::io::Result<()> {
    let path = checkout.join("overlays/boot/overlay.toml");
    let text = fs::read_to_string(&path)?;
    let changed = text.replacen("\"ro\", ", &format!("\"ro\", \"{argument}\", "), 1);
    if changed == text {
        return Err(std::io::Error::other(
            "no place for a kernel argument in overlays/boot",
        ));
    }
    fs::write(path, changed)
}

/// A gate that says no.
fn failing_gate(checkout: &Path) -> std::io::Result<()> {
    let unit = checkout
        .join("overlays/agent/files/usr/lib/systemd/system/roamcore-health.service.d/fails.conf");
    fs::create_dir_all(unit.parent().unwrap_or(checkout))?;
    fs::write(unit, "[Service]\nExecStart=\nExecStart=/usr/bin/false\n")
}

/// There is no program to start.
fn panicking(checkout: &Path) -> std::io::Result<()> {
    argument(checkout, "rdinit=/nonexistent")
}

/// A device with a server, both running.
struct Road {
    guest: Guest,
    fleet: Fleet,
}

impl Road {
    fn begin(ctx: &Ctx) -> anyhow::Result<Self> {
        let mut guest = ctx.boot(&MachineSpec::default().with_tap(), fork(ctx)?, "update")?;
        guest.settled()?;
        let directory = ctx.logs_directory();
        let fleet = Fleet::start(
            lan(&mut guest)?,
            &directory.join("fleet"),
            &directory.join("fleet.log"),
        )?;
        let token = fleet.add_target(lan(&mut guest)?, DEVICE)?;
        guest.ok(
            "install -d -m 0755 /etc/roamcore && install -m 0600 /dev/null /etc/roamcore/token",
        )?;
        guest.write_file("/etc/roamcore/token", token.as_bytes())?;
        let settings = format!(
            "schema = 1\n[server]\nurl = \"{}\"\ncontroller-id = \"{DEVICE}\"\nplaintext = true\npoll-seconds = 5\n\
             auth.target-token.file = \"/etc/roamcore/token\"\n",
            Fleet::url()
        );
        guest.write_file("/etc/roamcore/agent.toml", settings.as_bytes())?;
        guest.ok("systemctl restart roamcore.service")?;
        Ok(Self { guest, fleet })
    }

    /// Publishes a release and deploys it; gives the action's number.
    fn deploy(
        &mut self,
        ctx: &Ctx,
        version: &str,
        sequence: u64,
        change: Option<Change>,
    ) -> anyhow::Result<i64> {
        let release = ctx.changed_release(version, sequence, change)?;
        let update = make_update(
            &release,
            release.directory.parent().context("no directory")?,
        )?;
        let lan = lan(&mut self.guest)?;
        let number = self.fleet.add_release(lan, &update)?;
        Ok(self.fleet.deploy(lan, number, DEVICE)?)
    }

    /// Waits for the reset that begins the trial; the server must not call the action finished by then.
    fn trial(&mut self, action: i64) -> anyhow::Result<()> {
        let resets = self.guest.machine()?.resets();
        let deadline = self.guest.within(UPDATE_SECONDS);
        self.guest.wait_reset(resets, deadline).with_context(|| {
            let told = lan(&mut self.guest)
                .ok()
                .and_then(|lan| self.fleet.action(lan, action).ok());
            format!(
                "no trial began; the server knows: {}",
                told.unwrap_or_default()
            )
        })?;
        let told = self.fleet.action(lan(&mut self.guest)?, action)?;
        ensure!(
            told["active"] == Value::Bool(true),
            "over before the trial: {told}"
        );
        Ok(())
    }

    fn over(&mut self, action: i64) -> anyhow::Result<Value> {
        let deadline = self.guest.within(UPDATE_SECONDS);
        Ok(self
            .fleet
            .wait_over(lan(&mut self.guest)?, action, deadline)?)
    }
}

fn lan(guest: &mut Guest) -> anyhow::Result<&Lan> {
    guest
        .machine()?
        .lan()
        .ok_or_else(|| Skip("LAN port 1 has no cable to the harness".into()).into())
}

fn good(ctx: &Ctx) -> anyhow::Result<Vec<String>> {
    let mut road = Road::begin(ctx)?;
    let mut proofs = Vec::new();
    let wanted: [(&str, u64, Option<Change>, &str); 2] = [
        ("0.1.1", 2, Some(overlay_and_arguments), "root-b"),
        ("0.1.2", 3, None, "root-a"),
    ];
    for (version, sequence, change, slot) in wanted {
        let action = road.deploy(ctx, version, sequence, change)?;
        road.trial(action)?;
        road.guest
            .wait_up()
            .with_context(|| format!("trial of {version}"))?;
        let told = road.over(action)?;
        ensure!(
            told["status"] == "finished",
            "{version}: the server was told {told}"
        );
        let seen = settled(&mut road.guest)?;
        ensure!(
            seen.slot == slot && seen.version == version && !seen.on_trial,
            "after the deployment of {version} it runs {seen:?}"
        );
        let changed = road.guest.run(
            "test -e /usr/lib/roamcore/proof-of-change && grep -q roamcore.proof=1 /proc/cmdline",
        )?;
        ensure!(
            (changed.status == 0) == change.is_some(),
            "overlay and kernel argument of {version}"
        );
        let log = road.guest.ok("roamcore status --json")?;
        proofs.push(format!(
            "{version} fetched, tried and committed in {slot}; finished only then; status {log}"
        ));
    }
    road.guest.discard();
    Ok(proofs)
}

/// Healthy, and what it runs.
fn settled(guest: &mut Guest) -> anyhow::Result<View> {
    let facts = facts(guest)?;
    ensure_healthy(&facts)?;
    view(guest)
}

fn back(ctx: &Ctx) -> anyhow::Result<Vec<String>> {
    let mut road = Road::begin(ctx)?;
    let mut proofs = Vec::new();
    let bad: [(&str, u64, Change); 2] = [("0.2.1", 11, failing_gate), ("0.2.2", 12, panicking)];
    for (version, sequence, change) in bad {
        let action = road.deploy(ctx, version, sequence, Some(change))?;
        road.trial(action)?;
        // Each try ends by itself; the last one leads back.
        let deadline = road.guest.within(4 * UPDATE_SECONDS);
        let told = road
            .fleet
            .wait_over(lan(&mut road.guest)?, action, deadline)?;
        ensure!(
            told["status"] == "error",
            "{version}: the server was told {told}"
        );
        road.guest
            .wait_up()
            .with_context(|| format!("after {version}"))?;
        let seen = settled(&mut road.guest)?;
        ensure!(
            seen.slot == "root-a" && seen.version != version && !seen.on_trial,
            "after {version} it runs {seen:?}"
        );
        let why = told["history"][0]["messages"].to_string();
        ensure!(
            why.len() > 20,
            "{version}: the server was not told why: {told}"
        );
        proofs.push(format!(
            "{version} is given up, back on {} {}; the server was told {why}",
            seen.slot, seen.version
        ));
    }
    road.guest.discard();
    Ok(proofs)
}
