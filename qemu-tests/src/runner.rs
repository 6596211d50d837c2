//! Runs a test and reports.
//!
//! Owns verdicts, the final table and the exit code. Invariant: one failure makes the run fail; the last line printed is
//! `N passed, N failed, N skipped`, with `N passed after a run thrown away` among them when there are such: a test that
//! passed only at the second try is never counted with those that passed at once.

use std::io::Write;
use std::panic::{AssertUnwindSafe, catch_unwind};
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

/// Seconds that the group `ci` may take under emulation: 25 minutes for the image's tests and 25 for those of updates.
const CI_BUDGET: u64 = (25 + 25) * 60;

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

/// Runs a test, again when the emulator failed it; prints progress to `out`.
pub fn run_one(ctx: &Ctx, test: &Test, out: &mut impl Write) -> Result<Report> {
    let say = || file("write to", "the terminal");
    writeln!(out, "\n{}: {}", test.name, test.proves).map_err(say())?;
    let begun = Instant::now();
    let mut outcome = first(ctx, test)?;
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
            "  ~ {first}\n  ~ its console bears a sign of the emulator, as the manual of these tests has it; once more ({starved} of {AGAIN})"
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
    Ok(Report {
        test: test.name,
        proves: test.proves,
        seconds,
        starved,
        outcome,
    })
}

fn first(ctx: &Ctx, test: &Test) -> Result<Outcome> {
    // Without the image it wants it keeps any, and its need says what is lacking.
    let _ = ctx.choose(test.appliance()) || ctx.choose(None);
    if let Some(reason) = test.needs.iter().find_map(|need| need.lacking(ctx)) {
        return Ok(Outcome::Skipped { reason });
    }
    ctx.begin(test.name)?;
    Ok(attempt(ctx, test))
}

fn attempt(ctx: &Ctx, test: &Test) -> Outcome {
    // A test that panics fails, and the others go on.
    let run = catch_unwind(AssertUnwindSafe(|| (test.run)(ctx)));
    let result = run.unwrap_or_else(|panic| {
        let said = panic.downcast_ref::<String>().map(String::as_str);
        let said = said.or_else(|| panic.downcast_ref::<&str>().copied());
        Err(anyhow::anyhow!(
            "panicked: {}",
            said.unwrap_or("it said nothing")
        ))
    });
    match result {
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

/// The final table of what took `seconds`; its last line is the closing line. `ci`: these were the tests of every change,
/// which have a budget.
pub fn table(reports: &[Report], seconds: u64, accel: Accel, ci: bool) -> String {
    let width = reports
        .iter()
        .map(|r| r.test.len())
        .max()
        .unwrap_or_default();
    let mut text = String::new();
    let mut counts = [0; 4];
    for report in reports {
        let (index, verdict, note) = match &report.outcome {
            Outcome::Passed { proofs } => match report.starved {
                0 => (0, "passed", format!("{} proofs", proofs.len())),
                runs => (
                    3,
                    "again",
                    format!(
                        "{} proofs, after {runs} thrown away: the emulator failed",
                        proofs.len()
                    ),
                ),
            },
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
    let [passed, failed, skipped, again] = counts;
    let again = match again {
        0 => String::new(),
        count => format!(", {count} passed after a run thrown away"),
    };
    text + &time(reports, seconds, accel, ci)
        + &format!("{passed} passed{again}, {failed} failed, {skipped} skipped\n")
}

/// The whole time, beside the budget where there is one: that is written for emulation.
fn time(reports: &[Report], seconds: u64, accel: Accel, ci: bool) -> String {
    let shown = |seconds: u64| format!("{} min {:02} s", seconds / 60, seconds % 60);
    let total: u64 = reports.iter().map(|report| report.seconds).sum();
    // Rounded down each; more than the whole only where several ran at once.
    let of = match total > seconds {
        true => format!(" for {} of tests", shown(total)),
        false => String::new(),
    };
    let budget = match ci && accel == Accel::Tcg {
        true => format!(", the budget is {}", shown(CI_BUDGET)),
        false => String::new(),
    };
    format!("{}{of} with {accel}{budget}\n", shown(seconds))
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
    use crate::context::Work;
    use crate::registry::{Group, Need};

    fn run(ctx: &Ctx, tests: &[&Test], out: &mut Vec<u8>) -> Result<Vec<Report>> {
        let run = tests.iter().map(|test| run_one(ctx, test, out));
        run.collect()
    }

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
        let ctx = Ctx::new(
            Vec::new(),
            &dir.path().join("out"),
            dir.path(),
            Work::Passing,
        )
        .unwrap();
        let mut printed = Vec::new();
        let reports = run(&ctx, &TESTS.iter().collect::<Vec<_>>(), &mut printed).unwrap();
        assert!(
            String::from_utf8(printed)
                .unwrap()
                .contains("bad: x\n  ! no\n")
        );
        let table = table(&reports, 0, Accel::Tcg, false);
        assert!(
            table.contains("lame    skipped      0 s  `no-such` is not installed\n"),
            "{table}"
        );
        assert!(
            table.contains("hollow  FAILED       0 s  ended without proving anything\n"),
            "{table}"
        );
        assert!(
            table.ends_with(
                "\n0 min 00 s with TCG (software emulation)\n1 passed, 2 failed, 1 skipped\n"
            ),
            "{table}"
        );
        assert!(failed(&reports) && !failed(&reports[..1]));
    }

    #[test]
    fn the_budget_is_shown_where_it_counts() {
        let report = |seconds| Report {
            test: "x",
            proves: "x",
            seconds,
            starved: 0,
            outcome: Outcome::Passed { proofs: Vec::new() },
        };
        let reports = [report(1500), report(65)];
        let tcg = "26 min 05 s with TCG (software emulation)";
        assert_eq!(
            time(&reports, 1565, Accel::Tcg, true),
            format!("{tcg}, the budget is 50 min 00 s\n")
        );
        assert_eq!(
            time(&reports, 1566, Accel::Tcg, false),
            "26 min 06 s with TCG (software emulation)\n"
        );
        assert_eq!(
            time(&reports, 1500, Accel::Kvm, true),
            "25 min 00 s for 26 min 05 s of tests with KVM\n"
        );
    }

    /// The first image is everybody's, the other one only of the test that asks for its appliance.
    #[test]
    fn a_test_gets_the_image_of_the_appliance_it_needs() {
        let dir = tempfile::tempdir().unwrap();
        let image = |appliance: &str| crate::image::Image {
            directory: dir.path().into(),
            disk: dir.path().join("disk.img.zst"),
            appliance: appliance.into(),
            manifest: serde_json::Value::Null,
        };
        let test = |name, needs| Test {
            name,
            proves: "x",
            group: Group::All,
            needs,
            run: |ctx| Ok(vec![ctx.image()?.appliance.clone()]),
        };
        let tests = [
            test("any", &[Need::Image]),
            test("large", &[Need::Appliance("roamcore")]),
            test("after", &[Need::Image]),
        ];
        for (images, wanted) in [
            (
                vec![image("roamcore-bare"), image("roamcore")],
                ["roamcore-bare", "roamcore", "roamcore-bare"].map(|name| Outcome::Passed {
                    proofs: vec![name.into()],
                }),
            ),
            (
                vec![image("roamcore-bare")],
                [
                    Outcome::Passed {
                        proofs: vec!["roamcore-bare".into()],
                    },
                    Outcome::Skipped {
                        reason: "for the appliance `roamcore`, the image is `roamcore-bare`".into(),
                    },
                    Outcome::Passed {
                        proofs: vec!["roamcore-bare".into()],
                    },
                ],
            ),
        ] {
            let ctx = Ctx::new(images, &dir.path().join("out"), dir.path(), Work::Passing).unwrap();
            let reports = run(&ctx, &tests.iter().collect::<Vec<_>>(), &mut Vec::new()).unwrap();
            let outcomes: Vec<_> = reports.into_iter().map(|r| r.outcome).collect();
            assert_eq!(outcomes, wanted);
        }
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
        let mut ctx = Ctx::new(
            Vec::new(),
            &dir.path().join("out"),
            dir.path(),
            Work::Passing,
        )
        .unwrap();
        let starved = Test {
            name: "hungry",
            run: starved_once,
            ..TESTS[1]
        };
        for (accel, row, end) in [
            (
                Accel::Tcg,
                "again        0 s  1 proofs, after 1 thrown away: the emulator failed",
                "\n0 passed, 1 passed after a run thrown away, 1 failed, 0 skipped\n",
            ),
            (
                Accel::Kvm,
                "FAILED       0 s  panicked",
                "\n0 passed, 2 failed, 0 skipped\n",
            ),
        ] {
            ctx.accel = accel;
            let reports = run(&ctx, &[&starved, &TESTS[1]], &mut Vec::new()).unwrap();
            let table = table(&reports, 0, accel, false);
            assert!(table.contains(&format!("hungry  {row}\n")), "{table}");
            assert!(table.ends_with(end), "{table}");
            assert_eq!(reports[1].starved, 0);
        }
    }
}
