//! Several tests at once: a guest under emulation keeps little more than one processor busy.
//!
//! Owns which lane runs what, and that the lines of a test stay together. Never shares a stage or a guest between lanes:
//! each makes its own. Invariant: every test runs once, and the report has the table's order whoever ran what.
//!
//! ```text
//!  first lane -->  boot, nics, ports, ...   the tests that share a guest are neighbours at the beginning
//!                            ...
//!  second lane --> crash, rollback, ...     from the end
//! ```

use std::collections::VecDeque;
use std::io::Write;
use std::sync::{Mutex, PoisonError};

use crate::accel::Accel;
use crate::context::Ctx;
use crate::error::{Error, Result, file};
use crate::registry::Test;
use crate::runner::{self, Report};

/// Lanes that a machine of so many processors can feed.
#[must_use]
pub fn fitting(processors: usize) -> usize {
    // More than two have no tests to make up for the stages that each lane boots for itself.
    processors.clamp(1, 2)
}

/// Runs `tests` in at most `lanes` lanes; `make` gives each its context. Prints progress to `out`.
pub fn run(
    make: &(dyn Fn() -> Result<Ctx> + Sync),
    lanes: usize,
    tests: &[&Test],
    out: &mut (impl Write + Send),
) -> Result<Vec<Report>> {
    let lanes = lanes.clamp(1, tests.len().max(1));
    let at_once = match lanes {
        1 => String::new(),
        count => format!(", {count} at once"),
    };
    let say = || file("write to", "the terminal");
    let accel = Accel::detect();
    writeln!(out, "{} tests with {accel}{at_once}", tests.len()).map_err(say())?;
    let shared = Shared {
        left: Mutex::new((0..tests.len()).collect()),
        out: Mutex::new(out),
        reports: Mutex::default(),
        error: Mutex::default(),
    };
    std::thread::scope(|scope| {
        for lane in 0..lanes {
            let shared = &shared;
            scope.spawn(move || {
                let ended = shared.lane(make, lane, lanes > 1, tests);
                if let Err(error) = ended {
                    // Nobody begins another test of a run that has failed as a whole.
                    lock(&shared.left).clear();
                    lock(&shared.error).get_or_insert(error);
                }
            });
        }
    });
    if let Some(error) = lock(&shared.error).take() {
        return Err(error);
    }
    let mut reports = std::mem::take(&mut *lock(&shared.reports));
    reports.sort_by_key(|(index, _)| *index);
    Ok(reports.into_iter().map(|(_, report)| report).collect())
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

struct Shared<'a, W> {
    /// Numbers of tests that nobody has begun.
    left: Mutex<VecDeque<usize>>,
    out: Mutex<&'a mut W>,
    reports: Mutex<Vec<(usize, Report)>>,
    /// Why the run as a whole has failed.
    error: Mutex<Option<Error>>,
}

impl<W: Write> Shared<'_, W> {
    fn lane(
        &self,
        make: &dyn Fn() -> Result<Ctx>,
        lane: usize,
        several: bool,
        tests: &[&Test],
    ) -> Result<()> {
        let ctx = make()?;
        let say = || file("write to", "the terminal");
        loop {
            let mut left = lock(&self.left);
            let next = match lane % 2 {
                0 => left.pop_front(),
                _ => left.pop_back(),
            };
            drop(left);
            let Some(index) = next else { break };
            let report = if several {
                let name = tests[index].name;
                writeln!(lock(&self.out), "  begun: {name}").map_err(say())?;
                let mut lines = Vec::new();
                let report = runner::run_one(&ctx, tests[index], &mut lines)?;
                lock(&self.out).write_all(&lines).map_err(say())?;
                report
            } else {
                runner::run_one(&ctx, tests[index], &mut **lock(&self.out))?
            };
            lock(&self.reports).push((index, report));
        }
        match ctx.end() {
            None => Ok(()),
            Some(disks) => {
                writeln!(lock(&self.out), "\ndisks are kept in {}", disks.display()).map_err(say())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::time::Duration;

    use super::*;
    use crate::context::Work;
    use crate::registry::Group;

    const fn test(name: &'static str, run: fn(&Ctx) -> anyhow::Result<Vec<String>>) -> Test {
        Test {
            name,
            proves: "x",
            group: Group::Ci,
            needs: &[],
            run,
        }
    }

    static BEGUN: AtomicUsize = AtomicUsize::new(0);

    /// Ends when another test has begun beside it.
    fn meets(_: &Ctx) -> anyhow::Result<Vec<String>> {
        BEGUN.fetch_add(1, Ordering::SeqCst);
        for _ in 0..600 {
            if BEGUN.load(Ordering::SeqCst) >= 2 {
                return Ok(vec!["it met another one".into()]);
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        anyhow::bail!("alone")
    }

    #[test]
    fn two_at_once_and_reported_in_order() {
        let dir = tempfile::tempdir().unwrap();
        let make = || {
            Ctx::new(
                Vec::new(),
                &dir.path().join("out"),
                dir.path(),
                Work::Passing,
            )
        };
        let fails = test("d", |_| anyhow::bail!("no"));
        let plain = test("b", |_| Ok(vec!["it holds".into()]));
        let panics = test("c", |_| panic!("what nobody expected"));
        let tests = [test("a", meets), plain, panics, fails, test("e", meets)];
        let tests: Vec<&Test> = tests.iter().collect();
        let mut printed = Vec::new();
        let reports = run(&make, 2, &tests, &mut printed).unwrap();
        let names: Vec<_> = reports.iter().map(|r| r.test).collect();
        assert_eq!(names, ["a", "b", "c", "d", "e"]);
        let failed = |n: usize| runner::failed(&reports[n..=n]);
        assert_eq!(
            [0, 1, 2, 3, 4].map(failed),
            [false, false, true, true, false]
        );
        let printed = String::from_utf8(printed).unwrap();
        assert!(
            printed.contains("\nb: x\n  + it holds\n")
                && printed.contains("\nc: x\n  ! panicked: what nobody expected\n")
                && printed.contains("\nd: x\n  ! no\n"),
            "{printed}"
        );
    }

    #[test]
    fn a_lane_that_cannot_begin_fails_the_run() {
        let make = || {
            Err(Error::Missing {
                what: "a directory".into(),
                remedy: "none".into(),
            })
        };
        let tests = [test("a", |_| Ok(vec!["x".into()]))];
        let tests: Vec<&Test> = tests.iter().collect();
        assert!(run(&make, 2, &tests, &mut Vec::new()).is_err());
    }
}
