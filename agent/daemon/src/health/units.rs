//! Services: none of importance failed, all that have to be are up and stay up.
//!
//! Owns: what systemctl is asked, and the reading of its answers. Never does: start or stop anything.

use std::collections::BTreeMap;
use std::time::Duration;

use super::rules::Rules;
use super::{Finding, System};
use crate::chain::chain;

const PATIENCE: Duration = Duration::from_secs(15);
/// A service that was restarted so often is crash-looping, however it looks now.
const MOST_RESTARTS: u64 = 2;
/// Names in one message.
const MOST_NAMES: usize = 6;

pub(super) fn check(rules: &Rules, system: &dyn System) -> Vec<Finding> {
    vec![state(system), failed(rules, system), active(rules, system)]
}

/// During a boot it is "starting"; "degraded" is what the list of failed units is about.
fn state(system: &dyn System) -> Finding {
    const CHECK: &str = "system state";
    match system.run("systemctl", &["is-system-running"], PATIENCE) {
        Err(error) => Finding::bad(CHECK, chain(&error)),
        Ok(output) => match output.stdout.trim() {
            state @ ("initializing" | "starting" | "running" | "degraded") => {
                Finding::good(CHECK, state)
            }
            state => Finding::bad(CHECK, format!("{state:?}")),
        },
    }
}

fn failed(rules: &Rules, system: &dyn System) -> Finding {
    const CHECK: &str = "failed units";
    let arguments = [
        "list-units",
        "--state=failed",
        "--plain",
        "--no-legend",
        "--no-pager",
        "--full",
    ];
    let output = match system.run("systemctl", &arguments, PATIENCE) {
        Ok(output) if output.success => output,
        Ok(output) => return Finding::bad(CHECK, format!("systemctl: {}", output.ending)),
        Err(error) => return Finding::bad(CHECK, chain(&error)),
    };
    let (ignored, bad): (Vec<&str>, Vec<&str>) = output
        .stdout
        .lines()
        .filter_map(|line| line.split_whitespace().next())
        .partition(|unit| rules.ignores(unit));
    match (bad.as_slice(), ignored.as_slice()) {
        ([], []) => Finding::good(CHECK, "none"),
        ([], ignored) => Finding::warning(CHECK, names(ignored)),
        (bad, _) => Finding::bad(CHECK, names(bad)),
    }
}

fn names(units: &[&str]) -> String {
    let shown: Vec<&str> = units.iter().take(MOST_NAMES).copied().collect();
    let more = units.len() - shown.len();
    match more {
        0 => shown.join(", "),
        _ => format!("{} and {more} more", shown.join(", ")),
    }
}

fn active(rules: &Rules, system: &dyn System) -> Finding {
    const CHECK: &str = "required units";
    if rules.active.is_empty() {
        return Finding::good(CHECK, "none are named");
    }
    let mut arguments = vec![
        "show",
        "--property=Id,ActiveState,SubState,NRestarts,ActiveEnterTimestampMonotonic",
        "--",
    ];
    arguments.extend(rules.active.iter().map(String::as_str));
    let output = match system.run("systemctl", &arguments, PATIENCE) {
        Ok(output) if output.success => output,
        Ok(output) => return Finding::bad(CHECK, format!("systemctl: {}", output.ending)),
        Err(error) => return Finding::bad(CHECK, chain(&error)),
    };
    let seen = blocks(&output.stdout);
    let complaints: Vec<String> = rules
        .active
        .iter()
        .filter_map(|unit| match seen.get(unit.as_str()) {
            None => Some(format!("{unit} is not known")),
            Some(properties) => complaint(unit, properties, rules, system.uptime()),
        })
        .collect();
    match complaints.as_slice() {
        [] => Finding::good(CHECK, format!("{} are active", rules.active.len())),
        complaints => {
            let complaints: Vec<&str> = complaints.iter().map(String::as_str).collect();
            Finding::bad(CHECK, names(&complaints))
        }
    }
}

type Properties<'a> = BTreeMap<&'a str, &'a str>;

/// `KEY=VALUE` lines, one block per unit, by its Id.
fn blocks(text: &str) -> BTreeMap<&str, Properties<'_>> {
    text.split("\n\n")
        .filter_map(|block| {
            let properties: Properties<'_> = block
                .lines()
                .filter_map(|line| line.split_once('='))
                .collect();
            properties.get("Id").copied().map(|id| (id, properties))
        })
        .collect()
}

fn complaint(
    unit: &str,
    properties: &Properties<'_>,
    rules: &Rules,
    uptime: Duration,
) -> Option<String> {
    let get = |key: &str| properties.get(key).copied().unwrap_or_default();
    let number = |key: &str| get(key).parse::<u64>().unwrap_or(0);
    if get("ActiveState") != "active" {
        return Some(format!(
            "{unit} is {} ({})",
            get("ActiveState"),
            get("SubState")
        ));
    }
    let restarts = number("NRestarts");
    if restarts > MOST_RESTARTS {
        return Some(format!("{unit} was restarted {restarts} times"));
    }
    let since = Duration::from_micros(number("ActiveEnterTimestampMonotonic"));
    let (age, settle) = (uptime.saturating_sub(since), rules.settle.as_secs());
    // The age itself is not said: it would make a new message every round.
    (age < rules.settle).then(|| format!("{unit} is active for less than {settle} s"))
}
