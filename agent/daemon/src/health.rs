//! The health gate: is this system fit to be committed?
//!
//! Owns: the list of checks, the rounds of a gate, the verdict. Never does: commit, reboot (the engine and
//! the unit's failure action do), repair. Network is soft: a van in a tunnel is healthy.
//! Invariants: every check is bounded in time, and so is the whole; healthy means that all checks held
//! for the settling time without a break, not that they held once.
//!
//! ```text
//!   round: units | storage | watchdog | update service | network (soft)     every 2 s
//!   gate:  all hold for `settle`  --> hooks --> passed, told to the service    exit 0
//!          until `deadline`       --> failed, told to the service, time to reboot    exit 1
//! ```

mod hooks;
mod program;
mod rules;
mod service;
mod storage;
mod units;

use std::time::{Duration, Instant};

use roamcore_agent::{attempts, log};
use serde::{Deserialize, Serialize};

use crate::chain::chain;
use crate::places::Places;
use crate::protocol::Request;

pub use program::{Output, ProgramError, run as run_program};
pub use rules::{Rules, Space};

/// Between two rounds.
const PAUSE: Duration = Duration::from_secs(2);
/// The service has this long to reboot by itself after a failure, with its reason on disk.
const REBOOT: Duration = Duration::from_secs(20);
/// Version of [`Report`].
const FORMAT: u32 = 1;

/// One check's result.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Finding {
    /// Which.
    pub check: String,
    /// How it went.
    pub outcome: Outcome,
    /// What was seen.
    pub text: String,
}

/// How a check went.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Outcome {
    /// Well.
    Good,
    /// Not well, but no reason to go back.
    Warning,
    /// Not well.
    Bad,
}

impl Finding {
    fn good(check: impl Into<String>, text: impl Into<String>) -> Self {
        Self::new(check, Outcome::Good, text)
    }

    fn warning(check: impl Into<String>, text: impl Into<String>) -> Self {
        Self::new(check, Outcome::Warning, text)
    }

    fn bad(check: impl Into<String>, text: impl Into<String>) -> Self {
        Self::new(check, Outcome::Bad, text)
    }

    fn new(check: impl Into<String>, outcome: Outcome, text: impl Into<String>) -> Self {
        Self {
            check: check.into(),
            outcome,
            text: text.into(),
        }
    }
}

/// The result of a round, and of a gate.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Report {
    /// Version of this form.
    pub format: u32,
    /// The verdict.
    pub healthy: bool,
    /// Every check.
    pub findings: Vec<Finding>,
}

impl Report {
    fn of(findings: Vec<Finding>) -> Self {
        Self {
            format: FORMAT,
            healthy: findings
                .iter()
                .all(|finding| finding.outcome != Outcome::Bad),
            findings,
        }
    }

    /// What is bad, in one line.
    pub fn reason(&self) -> String {
        let bad: Vec<String> = self
            .findings
            .iter()
            .filter(|finding| finding.outcome == Outcome::Bad)
            .map(|finding| format!("{}: {}", finding.check, finding.text))
            .collect();
        bad.join("; ")
    }

    /// For people.
    pub fn to_text(&self) -> String {
        let mut text = String::new();
        for finding in &self.findings {
            let mark = match finding.outcome {
                Outcome::Good => "good",
                Outcome::Warning => "warn",
                Outcome::Bad => "BAD ",
            };
            text += &format!("{mark}  {:<22} {}\n", finding.check, finding.text);
        }
        text + if self.healthy {
            "healthy"
        } else {
            "not healthy"
        }
    }
}

/// What a round asks the system with; tests bring their own.
pub trait System {
    /// Runs a program; its output, however it ended.
    fn run(
        &self,
        program: &str,
        arguments: &[&str],
        patience: Duration,
    ) -> Result<Output, ProgramError>;
    /// Time since the start of the system, without suspended time (CLOCK_MONOTONIC).
    fn uptime(&self) -> Duration;
    /// Some clock.
    fn now(&self) -> Instant;
    /// Waits.
    fn sleep(&self, time: Duration);
}

/// The machine.
#[derive(Debug)]
pub struct Machine;

impl System for Machine {
    fn run(
        &self,
        program: &str,
        arguments: &[&str],
        patience: Duration,
    ) -> Result<Output, ProgramError> {
        program::run(program, arguments, patience)
    }

    fn uptime(&self) -> Duration {
        let time = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic);
        Duration::new(
            time.tv_sec.try_into().unwrap_or(0),
            time.tv_nsec.try_into().unwrap_or(0),
        )
    }

    fn now(&self) -> Instant {
        Instant::now()
    }

    fn sleep(&self, time: Duration) {
        std::thread::sleep(time);
    }
}

/// Looks once, hooks included.
pub fn once(places: &Places, system: &dyn System) -> Report {
    let rules = match Rules::load(&places.health()) {
        Ok(rules) => rules,
        Err(error) => return Report::of(vec![Finding::bad("rules", chain(&error))]),
    };
    let mut findings = round(places, &rules, system, &mut service::Pulse::default());
    findings.extend(hooks::check(&places.health_hooks(), system));
    Report::of(findings)
}

fn round(
    places: &Places,
    rules: &Rules,
    system: &dyn System,
    pulse: &mut service::Pulse,
) -> Vec<Finding> {
    let mut findings = units::check(rules, system);
    findings.extend(storage::check(places, rules));
    findings.extend(service::watchdog(places, rules));
    findings.extend(service::socket(places, pulse));
    findings
}

/// Decides about a trial and tells the service.
pub fn gate(places: &Places, system: &dyn System) -> Report {
    let report = decide(places, system);
    let failure = (!report.healthy).then(|| report.reason());
    let told = service::tell(
        places,
        &Request::Gate {
            failure: failure.clone(),
        },
    );
    match (failure, told) {
        (None, Ok(())) => report,
        (None, Err(error)) => {
            // A service that died in this very moment is not healthy either.
            let finding = Finding::bad(
                "update service",
                format!("it did not take the verdict: {error}"),
            );
            Report::of(report.findings.into_iter().chain([finding]).collect())
        }
        (Some(reason), told) => {
            log::error(format!("not healthy: {reason}"));
            // The service may be what is broken: the reason is kept beside it too.
            if let Err(error) = attempts::failed_boot(&places.roots, &reason) {
                log::error(format!("the reason cannot be noted: {}", chain(&error)));
            }
            // What the journal has not written yet would be lost in a forced reboot, and with it the reasons.
            drop(system.run("journalctl", &["--sync"], Duration::from_secs(10)));
            if told.is_ok() {
                // It reboots into the committed slot; what follows our exit is the unit's own reboot.
                system.sleep(REBOOT);
            }
            report
        }
    }
}

fn decide(places: &Places, system: &dyn System) -> Report {
    let rules = match Rules::load(&places.health()) {
        Ok(rules) => rules,
        Err(error) => return Report::of(vec![Finding::bad("rules", chain(&error))]),
    };
    let start = system.now();
    let mut pulse = service::Pulse::default();
    let mut good_since: Option<Instant> = None;
    let mut said = String::new();
    loop {
        let mut findings = round(places, &rules, system, &mut pulse);
        let mut report = Report::of(findings.clone());
        let now = system.now();
        if report.healthy {
            let since = *good_since.get_or_insert(now);
            if now.duration_since(since) >= rules.settle {
                findings.extend(hooks::check(&places.health_hooks(), system));
                report = Report::of(findings);
                if report.healthy {
                    return report;
                }
                good_since = None;
            }
        } else {
            good_since = None;
        }
        if !report.healthy && report.reason() != said {
            said = report.reason();
            log::notice(format!("not healthy yet: {said}"));
        }
        if now.duration_since(start) >= rules.deadline {
            let mut findings = report.findings;
            if report.healthy {
                let (settle, last) = (rules.settle.as_secs(), &said);
                let text =
                    format!("it was not healthy for {settle} s without a break; last seen: {last}");
                findings.push(Finding::bad("settling", text));
            }
            return Report::of(findings);
        }
        system.sleep(PAUSE);
    }
}

#[cfg(test)]
mod tests;
