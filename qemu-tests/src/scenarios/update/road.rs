//! A device with a fleet server beside it, both running.
//!
//! Owns the way of a deployment: publish, deploy, the reset into the trial, the server's last word. Never touches the slots.
//! The guest is given the server's address and its token as an owner would give them, through /etc/roamcore.

use anyhow::{Context as _, ensure};
use serde_json::Value;

use crate::context::Ctx;
use crate::error::Error;
use crate::fleet::{self, Fleet, Hurry, Server, make_update};
use crate::guest::Guest;
use crate::hawkbit::HawkBit;
use crate::machine::spec::MachineSpec;
use crate::machine::state::MachineState;
use crate::net::Lan;
use crate::registry::Skip;
use crate::release::Change;
use crate::scenarios::bench::{View, view};
use crate::scenarios::common::{ensure_healthy, facts, fork};

const DEVICE: &str = "van-7";
/// Download, trial and commit under software emulation are several boots.
pub const UPDATE_SECONDS: u64 = 240;

/// What is deployed: a version with its sequence and what is changed in it.
#[derive(Debug, Clone, Copy)]
pub struct Offer {
    /// Version.
    pub version: &'static str,
    /// Sequence.
    pub sequence: u64,
    /// What is changed in the sources.
    pub change: Option<Change>,
    /// When the device shall install it.
    pub hurry: Hurry,
}

impl Offer {
    /// One that is installed at once.
    pub const fn forced(version: &'static str, sequence: u64, change: Option<Change>) -> Self {
        Self {
            version,
            sequence,
            change,
            hurry: Hurry::Forced,
        }
    }
}

/// How far the work on an update is.
#[derive(Debug, Clone, Copy)]
pub struct Reached {
    /// Bytes fetched since it began.
    pub fetched: u64,
    /// Bytes that the first plan was to fetch; 0 before there is one.
    pub planned: u64,
}

/// Which server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Ours.
    Embedded,
    /// Real hawkBit.
    HawkBit,
}

/// A device with a server.
pub struct Road {
    /// The device.
    pub guest: Guest,
    kind: Kind,
    fleet: Box<dyn Server>,
}

impl Road {
    /// Boots a device that has not been updated yet, and tells it its server.
    pub fn begin(ctx: &Ctx, kind: Kind) -> anyhow::Result<Self> {
        let mut guest = ctx.boot(&MachineSpec::default().with_tap(), fork(ctx)?, "update")?;
        guest.settled()?;
        let fleet = serve(ctx, &mut guest, kind)?;
        let token = fleet.add_target(lan(&mut guest)?, DEVICE)?;
        guest.ok(
            "install -d -m 0755 /etc/roamcore && install -m 0600 /dev/null /etc/roamcore/token",
        )?;
        guest.write_file("/etc/roamcore/token", token.as_bytes())?;
        let settings = format!(
            "schema = 1\n[server]\nurl = \"{}\"\ncontroller-id = \"{DEVICE}\"\nplaintext = true\npoll-seconds = 5\n\
             auth.target-token.file = \"/etc/roamcore/token\"\n",
            fleet::url()
        );
        guest.write_file("/etc/roamcore/agent.toml", settings.as_bytes())?;
        guest.ok("systemctl restart roamcore.service")?;
        Ok(Self { guest, kind, fleet })
    }

    /// Publishes a release and deploys it; gives the action's number.
    pub fn deploy(&mut self, ctx: &Ctx, offer: &Offer) -> anyhow::Result<i64> {
        let release = ctx.changed_release(offer.version, offer.sequence, offer.change)?;
        let update = make_update(
            &release,
            release.directory.parent().context("no directory")?,
        )?;
        let lan = lan(&mut self.guest)?;
        let number = self.fleet.add_release(lan, &update)?;
        Ok(self.fleet.deploy(lan, number, DEVICE, offer.hurry)?)
    }

    /// Waits for the reset that begins the trial; the server must not call the action finished by then.
    pub fn trial(&mut self, action: i64) -> anyhow::Result<()> {
        let resets = self.guest.machine()?.resets();
        let deadline = self.guest.within(UPDATE_SECONDS);
        loop {
            let came = self.guest.wait_reset(resets, deadline.at_most(20));
            let told = self.fleet.action(lan(&mut self.guest)?, DEVICE, action)?;
            ensure!(
                told["active"] == Value::Bool(true),
                "over before the trial: {told}"
            );
            match came {
                Ok(()) => return Ok(()),
                Err(Error::Timeout { .. }) if !deadline.passed() => {}
                Err(error) => {
                    return Err(error)
                        .with_context(|| format!("no trial began; the server knows: {told}"));
                }
            }
        }
    }

    /// Bounds what the device fetches in a second from now on.
    pub fn limit(&mut self, bytes_per_second: u64) -> anyhow::Result<()> {
        self.guest.ok(&format!(
            "printf '[policy]\\nbytes-per-second = {bytes_per_second}\\n' >> /etc/roamcore/agent.toml && systemctl restart roamcore.service"
        ))?;
        Ok(())
    }

    /// Waits until the update is written and only a person's word is missing.
    pub fn written(&mut self) -> anyhow::Result<()> {
        self.until("written", |engine| engine["phase"] == "verified")?;
        Ok(())
    }

    /// Waits until the device is in a stage of the work and has fetched so much since the work began.
    pub fn reached(&mut self, stage: &str, fetched: u64) -> anyhow::Result<Reached> {
        let there = |engine: &Value| {
            let progress = &engine["progress"];
            progress["stage"] == stage && progress["fetched"].as_u64() >= Some(fetched)
        };
        let seen = self.until(stage, |engine| {
            there(engine) || engine["phase"] == "verified"
        })?;
        ensure!(there(&seen), "{stage} was over before it was seen: {seen}");
        Ok(Reached {
            fetched: seen["progress"]["fetched"].as_u64().unwrap_or(0),
            planned: seen["plan"]["download_bytes"].as_u64().unwrap_or(0),
        })
    }

    /// The engine's status, as soon as it is as wanted.
    fn until(&mut self, what: &str, wanted: impl Fn(&Value) -> bool) -> anyhow::Result<Value> {
        let deadline = self.guest.within(UPDATE_SECONDS);
        loop {
            // A service that is being started anew does not answer.
            let answer = self.guest.run("roamcore status --json")?;
            let status = answer.text();
            let seen: Value = serde_json::from_str(&status).unwrap_or_default();
            let engine = &seen["answer"]["engine"];
            if answer.status == 0 && wanted(engine) {
                return Ok(engine.clone());
            }
            ensure!(
                deadline.pause(500),
                "not {what} within {} s: {status}",
                deadline.seconds()
            );
        }
    }

    /// Waits for the end of an action.
    pub fn over(&mut self, action: i64, seconds: u64) -> anyhow::Result<Value> {
        let deadline = self.guest.within(seconds);
        Ok(self
            .fleet
            .wait_over(lan(&mut self.guest)?, DEVICE, action, deadline)?)
    }

    /// The same while a trial runs and the shell answers: the end must not come before the trial's.
    pub fn over_after_trial(&mut self, action: i64, seconds: u64) -> anyhow::Result<Value> {
        let told = self.over(action, seconds)?;
        let on_trial = self.guest.run("test -e /run/roamcore/trial.json")?.status == 0;
        ensure!(!on_trial, "the trial goes on, but the server heard {told}");
        Ok(told)
    }

    /// Cuts the power, lets somebody at the disk, and switches on again. The server goes on with what it knew.
    pub fn cut(
        self,
        ctx: &Ctx,
        label: &str,
        edit: impl FnOnce(&mut MachineState) -> anyhow::Result<()>,
    ) -> anyhow::Result<Self> {
        let Self { guest, kind, fleet } = self;
        drop(fleet);
        let mut state = guest.cut_power()?;
        edit(&mut state)?;
        let mut guest = ctx.start(&MachineSpec::default().with_tap(), state, label)?;
        let fleet = serve(ctx, &mut guest, kind)?;
        Ok(Self { guest, kind, fleet })
    }

    /// Healthy, and what it runs.
    pub fn settled(&mut self) -> anyhow::Result<View> {
        let facts = facts(&mut self.guest)?;
        ensure_healthy(&facts)?;
        view(&mut self.guest)
    }
}

fn serve(ctx: &Ctx, guest: &mut Guest, kind: Kind) -> anyhow::Result<Box<dyn Server>> {
    let lan = lan(guest)?;
    let logs = ctx.logs_directory();
    let (directory, log) = (logs.join("fleet"), logs.join("fleet.log"));
    Ok(match kind {
        Kind::Embedded => Box::new(Fleet::start(lan, &directory, &log)?),
        Kind::HawkBit => Box::new(HawkBit::start(lan, &directory, &log)?),
    })
}

fn lan(guest: &mut Guest) -> anyhow::Result<&Lan> {
    guest
        .machine()?
        .lan()
        .ok_or_else(|| Skip("LAN port 1 has no cable to the harness".into()).into())
}
