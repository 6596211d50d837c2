//! Proves the whole way of an update, from a deployment to a committed slot.
//!
//! ```text
//!  A 0.1.0 --deploy 0.1.1--> fetched, written, armed --reset--> B on trial, gate, commit --> server: finished
//!          --deploy 0.1.2--> A again                                       (only what changed is fetched)
//! ```

mod changes;
pub mod faults;
mod road;

use anyhow::{Context as _, ensure};

use crate::context::Ctx;
use crate::registry::{Group, Need, Test};
use road::{Kind, Offer, Road, UPDATE_SECONDS};

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
        (Offer::forced("0.1.2", 3, None), "root-a"),
    ];
    for (offer, slot) in wanted {
        let version = offer.version;
        let action = road.deploy(ctx, &offer)?;
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
    road.guest.discard();
    Ok(proofs)
}
