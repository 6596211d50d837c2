//! What came of a run, for people: a line for each case, counts for each family, totals.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::runner::{Case, Verdict};

/// What came of one server.
pub enum Came {
    /// In the order of the cases.
    Judged(Vec<Verdict>),
    /// It cannot be had here, for this reason.
    Skipped(String),
    /// It should have run, and did not.
    Broken(String),
}

/// One server's run.
pub struct Run {
    /// Its name.
    pub server: &'static str,
    /// The result.
    pub came: Came,
    /// Without the start of the server.
    pub time: Duration,
}

impl Run {
    /// Nothing failed; what is skipped is not failed.
    pub fn is_good(&self) -> bool {
        match &self.came {
            Came::Judged(verdicts) => verdicts.iter().all(|verdict| verdict.failure.is_none()),
            Came::Skipped(_) => true,
            Came::Broken(_) => false,
        }
    }

    fn verdict(&self, case: usize) -> Option<&Verdict> {
        match &self.came {
            Came::Judged(verdicts) => verdicts.get(case),
            _ => None,
        }
    }

    fn cell(&self, case: usize) -> String {
        match (self.verdict(case), &self.came) {
            (Some(verdict), _) if verdict.failure.is_some() => format!("{:>12}", "FAILED"),
            (Some(verdict), _) => format!("{:>9} ms", verdict.time.as_millis()),
            (None, Came::Skipped(_)) => format!("{:>12}", "skipped"),
            (None, _) => format!("{:>12}", "not run"),
        }
    }

    fn passed(&self, cases: &[usize]) -> usize {
        let good = |case: &&usize| {
            self.verdict(**case)
                .is_some_and(|verdict| verdict.failure.is_none())
        };
        cases.iter().filter(good).count()
    }
}

/// The first word of a name.
fn family(case: &Case) -> &str {
    case.name.split(' ').next().unwrap_or_default()
}

/// Prints everything.
pub fn print(cases: &[Case], runs: &[Run]) {
    let width = cases.iter().map(|case| case.name.len()).max().unwrap_or(0);
    let heads: String = runs
        .iter()
        .map(|run| format!("{:>12}", run.server))
        .collect();
    println!("{:<width$}{heads}", "case");
    for (n, case) in cases.iter().enumerate() {
        let cells: String = runs.iter().map(|run| run.cell(n)).collect();
        println!("{:<width$}{cells}", case.name);
    }
    let mut families: BTreeMap<&str, Vec<usize>> = BTreeMap::new();
    for (n, case) in cases.iter().enumerate() {
        families.entry(family(case)).or_default().push(n);
    }
    println!("\n{:<16}{:>6}{heads}", "family", "cases");
    for (name, members) in &families {
        let cells: String = runs
            .iter()
            .map(|run| format!("{:>12}", run.passed(members)))
            .collect();
        println!("{name:<16}{:>6}{cells}", members.len());
    }
    runs.iter().for_each(|run| total(cases, run));
}

fn total(cases: &[Case], run: &Run) {
    match &run.came {
        Came::Skipped(why) => println!("{}: {} cases skipped: {why}", run.server, cases.len()),
        Came::Broken(why) => println!("{}: FAILED, no case was run: {why}", run.server),
        Came::Judged(verdicts) => {
            let all: Vec<usize> = (0..cases.len()).collect();
            println!(
                "{}: {} of {} cases in {:.1} s",
                run.server,
                run.passed(&all),
                cases.len(),
                run.time.as_secs_f64()
            );
            for (case, verdict) in cases.iter().zip(verdicts) {
                if let Some(why) = &verdict.failure {
                    println!("  FAILED {}: {why}", case.name);
                }
            }
        }
    }
}
