//! Runs tests one after the other and reports.
//!
//! Owns verdicts, the final table and the exit code. Invariant: one failure makes the run fail; the last line printed is
//! `N passed, N failed, N skipped`.

use std::io::Write;
use std::path::Path;
use std::time::Instant;

use serde::Serialize;

use crate::accel::Accel;
use crate::context::Ctx;
use crate::error::{Result, file};
use crate::registry::{Skip, Test};
use crate::tool;

/// Lines of the console log printed for a failed test.
const TAIL: usize = 60;

/// How often a test may run again because the emulator was starved.
const AGAIN: u32 = 2;

/// How a test ended.
#[derive(Debug, Clone, Serialize, PartialEq, Eq)]
#[serde(tag = "outcome", rename_all = "lowercase")]
pub enum Outcome {
    /// It proved these things.
    Passed {
        /// One line each.
        proofs: Vec<String>,
    },
    /// It did not.
    Failed {
        /// The whole chain of reasons.
        reason: String,
    },
    /// It could not run.
    Skipped {
        /// Why.
        reason: String,
    },
}

/// One row of the report.
#[derive(Debug, Serialize)]
pub struct Report {
    /// The test.
    pub test: &'static str,
    /// What it is to prove.
    pub proves: &'static str,
    /// Whole seconds it took.
    pub seconds: u64,
    /// Runs that were thrown away because the emulator was starved.
    pub starved: u32,
    /// How it ended.
    #[serde(flatten)]
    pub outcome: Outcome,
}

/// Runs `tests`; prints progress to `out`.
pub fn run(ctx: &Ctx, tests: &[&Test], out: &mut impl Write) -> Result<Vec<Report>> {
    let say = file("write to", "the terminal");
    writeln!(out, "{} tests with {}", tests.len(), ctx.accel).map_err(say)?;
    let mut reports = Vec::new();
    for test in tests {
        let say = || file("write to", "the terminal");
        writeln!(out, "\n{}: {}", test.name, test.proves).map_err(say())?;
        let begun = Instant::now();
        let mut outcome = run_one(ctx, test)?;
        let mut starved = 0;
        while let Outcome::Failed { reason } = &outcome
            && ctx.accel == Accel::Tcg
            && crate::starved::seen(&ctx.logs_directory())
            && starved < AGAIN
        {
            starved += 1;
            let first = reason.lines().next().unwrap_or_default();
            writeln!(
                out,
                "  ~ {first}\n  ~ the emulator failed the guest, as its console says and no hardware does; once more ({starved} of {AGAIN})"
            )
            .map_err(say())?;
            ctx.again(starved)?;
            outcome = attempt(ctx, test);
        }
        let seconds = begun.elapsed().as_secs();
        match &outcome {
            Outcome::Passed { proofs } => proofs
                .iter()
                .try_for_each(|proof| writeln!(out, "  + {proof}")),
            Outcome::Skipped { reason } => writeln!(out, "  - skipped: {reason}"),
            Outcome::Failed { reason } => {
                writeln!(out, "  ! {reason}").map_err(say())?;
                let log = ctx
                    .last_console()
                    .and_then(|path| std::fs::read_to_string(path).ok())
                    .unwrap_or_default();
                let tail = tool::tail(&log, TAIL);
                tail.lines()
                    .try_for_each(|line| writeln!(out, "  | {line}"))
                    .map_err(say())?;
                writeln!(out, "  logs: {}", ctx.logs_directory().display())
            }
        }
        .map_err(say())?;
        reports.push(Report {
            test: test.name,
            proves: test.proves,
            seconds,
            starved,
            outcome,
        });
    }
    ctx.end_shared();
    Ok(reports)
}

fn run_one(ctx: &Ctx, test: &Test) -> Result<Outcome> {
    if let Some(reason) = test.needs.iter().find_map(|need| need.lacking(ctx)) {
        return Ok(Outcome::Skipped { reason });
    }
    ctx.begin(test.name)?;
    Ok(attempt(ctx, test))
}

fn attempt(ctx: &Ctx, test: &Test) -> Outcome {
    match (test.run)(ctx) {
        Ok(proofs) if proofs.is_empty() => Outcome::Failed {
            reason: "ended without proving anything".into(),
        },
        Ok(proofs) => Outcome::Passed { proofs },
        Err(error) => match error.downcast_ref::<Skip>() {
            Some(skip) => Outcome::Skipped {
                reason: skip.to_string(),
            },
            None => Outcome::Failed {
                reason: format!("{error:#}"),
            },
        },
    }
}

/// The final table; its last line is the closing line.
pub fn table(reports: &[Report]) -> String {
    let width = reports
        .iter()
        .map(|r| r.test.len())
        .max()
        .unwrap_or_default();
    let mut text = String::new();
    let mut counts = [0; 3];
    for report in reports {
        let (index, verdict, note) = match &report.outcome {
            Outcome::Passed { proofs } => {
                let again = match report.starved {
                    0 => String::new(),
                    runs => format!(", emulator starved in {runs} earlier runs"),
                };
                (0, "passed", format!("{} proofs{again}", proofs.len()))
            }
            Outcome::Failed { reason } => (
                1,
                "FAILED",
                reason.lines().next().unwrap_or_default().to_owned(),
            ),
            Outcome::Skipped { reason } => (2, "skipped", reason.clone()),
        };
        counts[index] += 1;
        text += &format!(
            "{:width$}  {verdict:7}  {:>5} s  {note}\n",
            report.test, report.seconds
        );
    }
    text + &format!(
        "{} passed, {} failed, {} skipped\n",
        counts[0], counts[1], counts[2]
    )
}

/// Whether the run as a whole failed.
pub fn failed(reports: &[Report]) -> bool {
    reports
        .iter()
        .any(|r| matches!(r.outcome, Outcome::Failed { .. }))
}

/// Writes the reports for machines.
pub fn save_json(reports: &[Report], path: &Path) -> Result<()> {
    let text = serde_json::to_string_pretty(reports).map_err(|e| crate::error::Error::Format {
        what: "report".into(),
        reason: e.to_string(),
    })?;
    std::fs::write(path, text + "\n").map_err(file("write", path))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::registry::{Group, Need};

    const TESTS: [Test; 4] = [
        Test {
            name: "good",
            proves: "x",
            group: Group::Ci,
            needs: &[],
            run: |_| Ok(vec!["it holds".into()]),
        },
        Test {
            name: "bad",
            proves: "x",
            group: Group::Ci,
            needs: &[],
            run: |_| anyhow::bail!("no"),
        },
        Test {
            name: "hollow",
            proves: "x",
            group: Group::Ci,
            needs: &[],
            run: |_| Ok(Vec::new()),
        },
        Test {
            name: "lame",
            proves: "x",
            group: Group::Ci,
            needs: &[Need::Tool("no-such")],
            run: |_| Ok(Vec::new()),
        },
    ];

    #[test]
    fn verdicts_table_and_failure() {
        let dir = tempfile::tempdir().unwrap();
        let ctx = Ctx::new(None, &dir.path().join("out"), dir.path()).unwrap();
        let mut printed = Vec::new();
        let reports = run(&ctx, &TESTS.iter().collect::<Vec<_>>(), &mut printed).unwrap();
        assert!(
            String::from_utf8(printed)
                .unwrap()
                .contains("bad: x\n  ! no\n")
        );
        let table = table(&reports);
        assert!(
            table.contains("lame    skipped      0 s  `no-such` is not installed\n"),
            "{table}"
        );
        assert!(
            table.contains("hollow  FAILED       0 s  ended without proving anything\n"),
            "{table}"
        );
        assert!(
            table.ends_with("\n1 passed, 2 failed, 1 skipped\n"),
            "{table}"
        );
        assert!(failed(&reports) && !failed(&reports[..1]));
    }

    /// Fails with the emulator's sign on the console while the name of the run does not end in a digit.
    fn starved_once(ctx: &Ctx) -> anyhow::Result<Vec<String>> {
        let again = ctx.logs_directory().to_string_lossy().ends_with('1');
        let sign = "timer doesn't work through Interrupt-remapped IO-APIC";
        std::fs::write(
            ctx.logs("x").file("console.log"),
            if again { "" } else { sign },
        )?;
        anyhow::ensure!(again, "panicked");
        Ok(vec!["second try".into()])
    }

    #[test]
    fn a_starved_emulator_is_tried_again_and_counted_other_failures_are_not() {
        let dir = tempfile::tempdir().unwrap();
        let mut ctx = Ctx::new(None, &dir.path().join("out"), dir.path()).unwrap();
        let starved = Test {
            name: "hungry",
            run: starved_once,
            ..TESTS[1]
        };
        for (accel, row) in [
            (
                Accel::Tcg,
                "passed       0 s  1 proofs, emulator starved in 1 earlier runs",
            ),
            (Accel::Kvm, "FAILED       0 s  panicked"),
        ] {
            ctx.accel = accel;
            let reports = run(&ctx, &[&starved, &TESTS[1]], &mut Vec::new()).unwrap();
            let table = table(&reports);
            assert!(table.contains(&format!("hungry  {row}\n")), "{table}");
            assert_eq!(reports[1].starved, 0);
        }
    }
}
