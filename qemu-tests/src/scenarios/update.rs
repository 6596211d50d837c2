//! Proves the whole way of an update, from a deployment to a committed slot.
//!
//! ```text
//!  A 0.1.0 --deploy 0.1.1--> fetched, written, armed --reset--> B on trial, gate, commit --> server: finished
//!          --deploy 0.1.2--> A again, the service killed on the way, a person's word awaited (only what changed is fetched)
//! ```

mod changes;
pub mod faults;
mod road;

use std::time::Duration;

use anyhow::{Context as _, ensure};

use crate::context::Ctx;
use crate::fleet::Hurry;
use crate::guest::Guest;
use crate::registry::{Group, Need, Test};
use crate::scenarios::bench::service_up;
use road::{Kind, Offer, Road, UPDATE_SECONDS};

/// Seconds of the service's life before each kill: in its start, in the plan, in the fetch.
const KILLED_AFTER: [u64; 3] = [2, 12, 25];
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
        ),
        (
            Offer {
                hurry: Hurry::Soft,
                ..Offer::forced("0.1.2", 3, None)
            },
            "root-a",
        ),
    ];
    for (offer, slot) in wanted {
        let version = offer.version;
        let action = road.deploy(ctx, &offer)?;
        if offer.hurry == Hurry::Soft {
            killed(&mut road.guest)?;
            road.written()?;
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
        let changed = road.guest.run(
            "test -e /usr/lib/roamcore/proof-of-change && grep -q roamcore.proof=1 /proc/cmdline",
        )?;
        ensure!(
            (changed.status == 0) == offer.change.is_some(),
            "overlay and kernel argument of {version}"
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

/// Kills the update service while it plans, fetches or writes; the update waits for a person's word after that.
fn killed(guest: &mut Guest) -> anyhow::Result<()> {
    for seconds in KILLED_AFTER {
        service_up(guest)?;
        std::thread::sleep(Duration::from_secs(seconds));
        guest.ok("systemctl kill --signal=KILL roamcore.service")?;
    }
    service_up(guest)
}
