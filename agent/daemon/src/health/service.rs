//! The watchdog and the update service.
//!
//! Owns: what is asked of both. Never does: touch the watchdog: PID 1 owns it.

use std::time::Duration;

use roamcore_agent::files;

use super::Finding;
use super::rules::Rules;
use crate::call::call_within;
use crate::chain::chain;
use crate::places::Places;
use crate::protocol::{Answer, Request};

const PATIENCE: Duration = Duration::from_secs(5);
/// It has to save the verdict.
const SAVING: Duration = Duration::from_secs(30);

/// Turns of the service's loop, as seen before.
#[derive(Debug, Default)]
pub(super) struct Pulse {
    turns: Option<(u64, u32)>,
}

/// The loop turns every five seconds at least; a round is two.
const STILL: u32 = 15;

pub(super) fn watchdog(places: &Places, rules: &Rules) -> Vec<Finding> {
    let one = |name: &String| {
        let check = format!("watchdog {name}");
        let path = places
            .roots
            .sys
            .join("class/watchdog")
            .join(name)
            .join("state");
        match files::read_text(&path, 64) {
            Err(error) => Finding::bad(check, chain(&error)),
            Ok(state) if state.trim() == "active" => Finding::good(check, "armed"),
            Ok(state) => Finding::bad(check, format!("it is {:?}, not armed", state.trim())),
        }
    };
    rules.watchdogs.iter().map(one).collect()
}

pub(super) fn socket(places: &Places, pulse: &mut Pulse) -> Vec<Finding> {
    const CHECK: &str = "update service";
    let ask = |request| call_within(&places.socket(), &request, PATIENCE);
    let alive = match ask(Request::Ping) {
        Err(error) => Finding::bad(CHECK, chain(&error)),
        Ok(Answer::Pong {
            problem: Some(problem),
            ..
        }) => Finding::bad(CHECK, format!("its settings: {problem}")),
        Ok(Answer::Pong { turns, .. }) => pulse.feel(turns),
        Ok(other) => Finding::bad(CHECK, format!("it answered {other:?}")),
    };
    let mut findings = vec![alive];
    if let Ok(Answer::Status(overview)) = ask(Request::Status)
        && let Some(server) = overview.server
    {
        findings.push(match server.problem {
            Some(problem) => Finding::warning("network", problem),
            None => Finding::good("network", "the server answers, or was not asked yet"),
        });
    }
    findings
}

impl Pulse {
    fn feel(&mut self, turns: u64) -> Finding {
        const CHECK: &str = "update service";
        let rounds = match self.turns {
            Some((last, rounds)) if last == turns => rounds + 1,
            _ => 0,
        };
        self.turns = Some((turns, rounds));
        match rounds {
            rounds if rounds > STILL => {
                Finding::bad(CHECK, format!("its loop stands still at turn {turns}"))
            }
            _ => Finding::good(CHECK, format!("alive, {turns} turns")),
        }
    }
}

/// Tells the service the verdict; when this returns, it is on disk.
pub(super) fn tell(places: &Places, request: &Request) -> Result<(), String> {
    match call_within(&places.socket(), request, SAVING) {
        Ok(Answer::Accepted) => Ok(()),
        Ok(other) => Err(format!("it answered {other:?}")),
        Err(error) => Err(chain(&error)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::health::Outcome;

    #[test]
    fn a_loop_that_stands_still_is_noticed() {
        let mut pulse = Pulse::default();
        for _ in 0..=STILL {
            assert_eq!(pulse.feel(7).outcome, Outcome::Good);
        }
        assert_eq!(pulse.feel(7).outcome, Outcome::Bad);
        assert_eq!(pulse.feel(8).outcome, Outcome::Good);
    }
}
