//! A real process on a file-backed disk, killed with SIGKILL at 500 random moments of real updates.
//!
//! After every kill the running slot, its entry and the boot loader are compared byte by byte; every update ends in a
//! committed slot; what is fetched again is bounded. `KILL9_SEED` repeats a history as far as the clock allows.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a program of tests"
)]

mod kit;
#[path = "kit/runner.rs"]
mod runner;

use std::fs;
use std::path::Path;
use std::process::{Child, Command};
use std::time::{Duration, Instant};

use kit::{Bench, Directories, MIB, Made, counted};
use roamcore_agent::slot::Slot;
use roamcore_agent::trial::Trial;
use roamcore_engine::Phase;
use runner::Runner;
use serde::{Deserialize, Serialize};

const KILLS: u64 = 500;
const ROOT: usize = 4 * MIB;
/// Of a download whatever its size: max(4 MiB, 1 %).
const MOST_AGAIN: u64 = 4 << 20;
/// Exit codes of the process.
const IDLE: i32 = 10;
const REBOOT: i32 = 11;
const TRIAL: i32 = 12;

/// What the process is told.
#[derive(Serialize, Deserialize)]
struct Orders {
    running: Slot,
    boot: u64,
    trial: Option<Trial>,
    number: u64,
    wanted: u64,
}

fn main() {
    // As the harness of `cargo test` does, for tools that list tests.
    if std::env::args().any(|argument| argument == "--list") {
        println!("kill9: test");
        return;
    }
    match std::env::var_os("KILL9_CHILD") {
        Some(dir) => child(Path::new(&dir)),
        None => parent(),
    }
}

fn made(number: u64) -> Made {
    Made::new(number, ROOT)
}

/// One process: takes up what the last one left.
fn child(dir: &Path) {
    let orders: Orders =
        serde_json::from_slice(&fs::read(dir.join("orders.json")).unwrap()).unwrap();
    let bench = Bench {
        dir: dir.join("bench"),
        running: orders.running,
        boot: orders.boot,
        trial: orders.trial,
        failures: Default::default(),
        left: Default::default(),
    };
    let sources = Directories {
        counter: Some(dir.join("counter")),
        pieces: None,
    };
    let (mut runner, effects) = Runner::start(&bench, &made(orders.number), dir, sources);
    runner.run(effects, &bench);
    if *runner.phase() == Phase::Idle && orders.number != orders.wanted {
        let effects = runner.install(&dir.join(format!("update-{}", orders.wanted)));
        runner.run(effects, &bench);
    }
    let code = match runner.phase() {
        Phase::Idle => IDLE,
        Phase::Trial { .. } => TRIAL,
        _ if bench.dir.join("reboot").exists() => REBOOT,
        phase => panic!("stuck in {phase:?}"),
    };
    std::process::exit(code);
}

struct Dice(u64);

impl Dice {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        (self.0 >> 33) % bound
    }
}

struct Host<'a> {
    dir: &'a Path,
    bench: Bench,
    number: u64,
    wanted: u64,
}

impl Host<'_> {
    fn spawn(&self) -> Child {
        let orders = Orders {
            running: self.bench.running,
            boot: self.bench.boot,
            trial: self.bench.trial.clone(),
            number: self.number,
            wanted: self.wanted,
        };
        fs::write(
            self.dir.join("orders.json"),
            serde_json::to_vec(&orders).unwrap(),
        )
        .unwrap();
        Command::new(std::env::current_exe().unwrap())
            .env("KILL9_CHILD", self.dir)
            .spawn()
            .unwrap()
    }

    /// Runs the process; kills it after `patience`, if it still runs. Its code, or none when it was killed.
    fn run(&self, patience: Option<Duration>) -> Option<i32> {
        let mut child = self.spawn();
        let start = Instant::now();
        loop {
            if let Some(status) = child.try_wait().unwrap() {
                let code = status.code();
                assert!(
                    code.is_some_and(|code| (IDLE..100).contains(&code)),
                    "the process failed: {status}"
                );
                return code;
            }
            if patience.is_some_and(|patience| start.elapsed() >= patience) {
                child.kill().unwrap();
                child.wait().unwrap();
                return None;
            }
            std::thread::sleep(Duration::from_micros(500));
        }
    }
}

fn parent() {
    let seed = std::env::var("KILL9_SEED").map_or(7, |seed| seed.parse().expect("a number"));
    println!("KILL9_SEED={seed}");
    let mut dice = Dice(seed);
    let begin = Instant::now();
    let scratch = tempfile::tempdir().unwrap();
    let made: Vec<Made> = (1..=3).map(made).collect();
    for one in &made {
        one.publish(
            &scratch.path().join(format!("update-{}", one.number)),
            scratch.path(),
            "vp2430",
        );
    }
    let known: Vec<&Made> = made.iter().collect();
    let (mut kills, mut updates, mut again, mut worst) = (0, 0, 0, 0);
    // What an undisturbed update fetches, by its number.
    let mut needed = std::collections::BTreeMap::new();
    let mut time = Duration::from_millis(300);
    while kills < KILLS {
        drop(fs::remove_dir_all(scratch.path().join("bench")));
        let bench = Bench::factory(&scratch.path().join("bench"), &made[0], ROOT + MIB);
        let mut host = Host {
            dir: scratch.path(),
            bench,
            number: 1,
            wanted: 2,
        };
        for wanted in [2, 3] {
            host.wanted = wanted;
            let calm = !needed.contains_key(&wanted);
            drop(fs::remove_file(scratch.path().join("counter")));
            let start = Instant::now();
            let mut left = if calm { 0 } else { 8 };
            let mut cuts = 0;
            loop {
                // In a trial the entry of the running slot still has its counter.
                let committed = host.bench.trial.is_none();
                let before = committed.then(|| host.bench.untouchable());
                let patience = (left > 0).then(|| {
                    left -= 1;
                    Duration::from_micros(dice.below(u64::try_from(time.as_micros()).unwrap()))
                });
                let end = host.run(patience);
                let after = committed.then(|| host.bench.untouchable());
                assert_eq!(after, before, "the running slot changed");
                match end {
                    None => cuts += 1,
                    Some(REBOOT) => {
                        drop(fs::remove_file(host.bench.dir.join("reboot")));
                        host.bench.start(&known);
                        assert_eq!(host.bench.running == Slot::B, wanted == 2);
                        host.number = wanted;
                    }
                    Some(TRIAL) => host.bench.commit(),
                    Some(_) if host.number == wanted && host.bench.trial.is_none() => break,
                    Some(code) => panic!("ended with {code} before {wanted} was installed"),
                }
            }
            let fetched = counted(&scratch.path().join("counter"));
            if calm {
                needed.insert(wanted, fetched);
                // Kills are spread over the first process of an update, where nearly everything happens.
                time = time.max(start.elapsed() / 2);
                continue;
            }
            let more = fetched.saturating_sub(needed[&wanted]);
            assert!(
                more <= cuts * MOST_AGAIN,
                "{more} bytes fetched again after {cuts} kills"
            );
            again += more;
            worst = worst.max(more / cuts.max(1));
            kills += cuts;
            updates += 1;
        }
    }
    // The root is small, so the bound above would let an update begin anew each time; that would cost half of one on average.
    let least = needed.values().min().copied().unwrap_or_default();
    assert!(
        again <= kills * least / 16,
        "{again} bytes fetched again after {kills} kills of updates of {least}"
    );
    println!(
        "{kills} kills in {updates} updates, {again} bytes fetched again (at most {worst} for each kill of one update; an \
         update needs {needed:?}), {:.1} s",
        begin.elapsed().as_secs_f64()
    );
}
