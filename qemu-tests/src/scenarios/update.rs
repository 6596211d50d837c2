//! Proves the whole way of an update, from a deployment to a committed slot.
//!
//! ```text
//!  A 0.1.0 --deploy 0.1.1--> fetched, written, armed --reset--> B on trial, gate, commit --> server: finished
//!          --deploy 0.1.2--> A again, the service killed on the way, a person's word awaited (only what changed is fetched)
//! ```

mod changes;
pub mod faults;
mod road;

use std::time::Instant;

use anyhow::{Context as _, ensure};

use crate::context::Ctx;
use crate::fleet::Hurry;
use crate::guest::Guest;
use crate::registry::{Group, Need, Test};
use crate::scenarios::bench::service_up;
use road::{Kind, Offer, Road, UPDATE_SECONDS};

/// Bytes a second that the device may fetch while it is killed: half of what it can under emulation.
const RATE: u64 = 400_000;
/// Bytes that it has fetched since its start when it is killed; the update has more than twice as many.
const FETCHED: u64 = 7_000_000;
/// Times that it is killed so.
const KILLS: u64 = 2;
/// Bytes of an update that a kill may cost: 4 MiB, as the root has less than 400 MiB.
const LOST: u64 = 4 << 20;
const NEEDS: &[Need] = &[Need::Image, Need::Builder, Need::Lan, Need::Fleet];

/// The row.
pub const TEST: Test = Test {
    name: "update",
    proves: "two deployments are fetched, written, tried and committed, into slot B and back into A; finished is said only then",
    group: Group::Ci,
    needs: NEEDS,
    run: |ctx| run(ctx, Kind::Embedded),
};

/// The row of the other server.
pub const HAWKBIT: Test = Test {
    name: "update-hawkbit",
    proves: "the same two deployments by real hawkBit",
    group: Group::All,
    needs: &[
        Need::Image,
        Need::Builder,
        Need::Lan,
        Need::Tool("curl"),
        Need::HawkBit,
    ],
    run: |ctx| run(ctx, Kind::HawkBit),
};

fn run(ctx: &Ctx, kind: Kind) -> anyhow::Result<Vec<String>> {
    let mut road = Road::begin(ctx, kind)?;
    let mut proofs = Vec::new();
    let wanted = [
        (
            Offer::forced("0.1.1", 2, Some(changes::overlay_and_arguments)),
            "root-b",
            "test -e /usr/lib/roamcore/proof-of-change && grep -q roamcore.proof=1 /proc/cmdline",
        ),
        (
            Offer {
                hurry: Hurry::Soft,
                ..Offer::forced("0.1.2", 3, Some(changes::bulk))
            },
            "root-a",
            "test -e /usr/lib/roamcore/proof-of-bulk && ! grep -q roamcore.proof /proc/cmdline",
        ),
    ];
    for (offer, slot, shows) in wanted {
        let version = offer.version;
        if offer.hurry == Hurry::Soft {
            road.limit(RATE)?;
        }
        let action = road.deploy(ctx, &offer)?;
        if offer.hurry == Hurry::Soft {
            proofs.push(killed(&mut road)?);
            road.guest.ok("roamcore confirm")?;
        }
        road.trial(action)?;
        road.guest
            .wait_up()
            .with_context(|| format!("trial of {version}"))?;
        let told = road.over_after_trial(action, UPDATE_SECONDS)?;
        ensure!(
            told["status"] == "finished",
            "{version}: the server was told {told}"
        );
        let seen = road.settled()?;
        ensure!(
            seen.slot == slot && seen.version == version && !seen.on_trial,
            "after the deployment of {version} it runs {seen:?}"
        );
        ensure!(
            road.guest.run(shows)?.status == 0,
            "overlay and kernel argument of {version}: not so: {shows}"
        );
        let log = road.guest.ok("roamcore status --json")?;
        proofs.push(format!(
            "{version} fetched, tried and committed in {slot}; finished only then; status {log}"
        ));
    }
    if kind == Kind::Embedded {
        proofs.push(hung(&mut road.guest).context("an update service that hangs")?);
    }
    road.guest.discard();
    Ok(proofs)
}

/// The update service stands still: its watchdog ends it, and it is started anew. With shorter times than on the
/// product, where it takes a minute and a half.
fn hung(guest: &mut Guest) -> anyhow::Result<String> {
    let shipped = guest.ok("systemctl show -P WatchdogUSec -P Restart roamcore.service")?;
    let mut words: Vec<&str> = shipped.lines().collect();
    words.sort_unstable();
    ensure!(words == ["1min", "always"], "the unit says {shipped}");
    guest.ok(
        "d=/run/systemd/system/roamcore.service.d; mkdir -p $d; \
         printf '[Service]\\nWatchdogSec=15\\nTimeoutAbortSec=5\\nRestartSec=1\\n' > $d/zz-test.conf; \
         systemctl daemon-reload && systemctl restart roamcore.service",
    )?;
    service_up(guest)?;
    let deadline = guest.within(120);
    let seconds = guest.run_until(
        "pid() { systemctl show -P MainPID roamcore.service; }; old=$(pid); kill -STOP $old; n=0; \
         until [ \"$(pid)\" != $old ] && systemctl -q is-active roamcore.service; do \
         n=$((n + 1)); [ $n -lt 100 ] || exit 1; sleep 1; done; roamcore status >/dev/null && echo $n",
        deadline,
    )?;
    ensure!(seconds.status == 0, "not started anew: {}", seconds.text());
    let said = guest.ok(
        "journalctl -b --no-pager -o cat -u roamcore.service | grep 'Watchdog timeout' | tail -n 1",
    )?;
    ensure!(!said.is_empty(), "it was not the watchdog");
    Ok(format!(
        "the update service stands still: `{said}`, started anew after {} s, and it answers",
        seconds.text()
    ))
}

/// Kills the update service as soon as it has started, in the plan and twice in the fetch; the update waits for a person's
/// word after that. What a kill cost is what the network card received.
fn killed(road: &mut Road) -> anyhow::Result<String> {
    // systemd waits longer before each start anew; here nothing is learnt from that.
    road.guest.ok(
        "d=/run/systemd/system/roamcore.service.d; mkdir -p $d; \
         printf '[Service]\\nRestartSec=1\\nRestartSteps=0\\n' > $d/zz-test.conf; systemctl daemon-reload",
    )?;
    let before = received(&mut road.guest)?;
    kill(&mut road.guest)?;
    kill(&mut road.guest)?;
    road.reached("planning", 0)?;
    kill(&mut road.guest)?;
    let (mut planned, mut fastest) = (0, 0.0_f64);
    for _ in 0..KILLS {
        // Measured behind the first bytes: what was saved up may come at once.
        let first = road.reached("writing", FETCHED / 4)?;
        planned = first.planned;
        ensure!(
            planned > 2 * FETCHED + 4 * RATE,
            "an update of {planned} bytes is over before the last kill"
        );
        let begun = Instant::now();
        let last = road.reached("writing", FETCHED)?;
        let fetched = last.fetched.checked_sub(first.fetched);
        let fetched = fetched.with_context(|| format!("{first:?}, then {last:?}"))?;
        fastest = fastest.max(fetched as f64 / begun.elapsed().as_secs_f64());
        kill(&mut road.guest)?;
    }
    road.written()?;
    let after = received(&mut road.guest)?;
    let cost = after
        .checked_sub(before)
        .context("the device has booted meanwhile")?;
    // Headers, polls, feedback, indexes that are fetched once, and frames on their way; all of it again would be more.
    let most = planned + planned / 10 + (2 << 20) + KILLS * LOST;
    ensure!(
        cost <= most,
        "the plan was {planned} bytes, after {KILLS} kills in the fetch {cost} were received, at most {most} are allowed"
    );
    // Slower by itself, it would show nothing of the limit.
    let share = fastest / RATE as f64;
    ensure!(
        (0.6..1.3).contains(&share),
        "fetched {fastest:.0} bytes/s, {RATE} are allowed"
    );
    Ok(format!(
        "killed after its start, in the plan and {KILLS} times in the fetch: {cost} bytes were received for a plan of {planned}, at \
         {fastest:.0} bytes/s at most of {RATE} allowed"
    ))
}

/// Kills the update service and waits until another one says that it is ready.
fn kill(guest: &mut Guest) -> anyhow::Result<()> {
    let deadline = guest.within(120);
    let again = guest.run_until(
        "pid() { systemctl show -P MainPID roamcore.service; }; old=$(pid); systemctl kill --signal=KILL roamcore.service; n=0; \
         until [ \"$(pid)\" != $old ] && systemctl -q is-active roamcore.service; do \
         n=$((n + 1)); [ $n -lt 100 ] || exit 1; sleep 1; done",
        deadline,
    )?;
    ensure!(again.status == 0, "not started anew: {}", again.text());
    Ok(())
}

/// Bytes that all network cards have received since the boot.
fn received(guest: &mut Guest) -> anyhow::Result<u64> {
    let sum = guest.ok("cat /sys/class/net/*/device/net/*/statistics/rx_bytes | paste -sd+ | xargs -I{} sh -c 'echo $(({}))'")?;
    sum.trim().parse().with_context(|| sum.clone())
}
