//! The gate on a system made of files and of answers.

use super::*;
use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixListener;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use crate::protocol::Answer;

type Change = Box<dyn FnMut(&Fake)>;
type Break = Box<dyn FnOnce(&World, &Fake)>;

/// Answers of systemctl, and a clock that runs only when somebody waits.
struct Fake {
    failed: RefCell<String>,
    state: &'static str,
    /// Unit, ActiveState, NRestarts, seconds since it is active.
    unit: RefCell<(String, &'static str, u64, u64)>,
    start: Instant,
    waited: Cell<Duration>,
    /// What happens at which second.
    events: RefCell<BTreeMap<u64, Change>>,
    synced: Cell<bool>,
}

impl Fake {
    fn new() -> Self {
        Self {
            failed: RefCell::default(),
            state: "starting",
            unit: RefCell::new(("a.service".into(), "active", 0, 0)),
            start: Instant::now(),
            waited: Cell::default(),
            events: RefCell::default(),
            synced: Cell::default(),
        }
    }

    fn at(&self, second: u64, event: impl FnMut(&Fake) + 'static) {
        self.events.borrow_mut().insert(second, Box::new(event));
    }
}

impl System for Fake {
    fn run(
        &self,
        program: &str,
        arguments: &[&str],
        patience: Duration,
    ) -> Result<Output, ProgramError> {
        let good = |stdout: String| Output {
            success: true,
            ending: String::new(),
            stdout,
            stderr: String::new(),
        };
        match (program, arguments.first().copied()) {
            ("systemctl", Some("is-system-running")) => Ok(Output {
                success: false,
                ..good(format!("{}\n", self.state))
            }),
            ("systemctl", Some("list-units")) => Ok(good(self.failed.borrow().clone())),
            ("systemctl", Some("show")) => {
                let unit = self.unit.borrow();
                let (name, state, restarts, since) = &*unit;
                let since = since * 1_000_000;
                Ok(good(format!(
                    "Id={name}\nActiveState={state}\nSubState=x\nNRestarts={restarts}\nActiveEnterTimestampMonotonic={since}\n"
                )))
            }
            ("journalctl", _) => {
                self.synced.set(true);
                Ok(good(String::new()))
            }
            _ => run_program(program, arguments, patience),
        }
    }

    fn uptime(&self) -> Duration {
        Duration::from_secs(100) + self.waited.get()
    }

    fn now(&self) -> Instant {
        self.start + self.waited.get()
    }

    fn sleep(&self, time: Duration) {
        self.waited.set(self.waited.get() + time);
        let due = self.waited.get().as_secs();
        let ready: Vec<_> = {
            let mut events = self.events.borrow_mut();
            let later = events.split_off(&(due + 1));
            std::mem::replace(&mut *events, later)
                .into_values()
                .collect()
        };
        for mut event in ready {
            event(self);
        }
    }
}

struct World {
    dir: tempfile::TempDir,
    places: Places,
    gate: Arc<Mutex<Vec<Request>>>,
}

const RULES: &str = "schema = 1\nactive = [\"a.service\"]\nignore = [\"soft@*\"]\nwatchdogs = [\"watchdog0\"]\n\
                     deadline-seconds = 60\nsettle-seconds = 20\n[[space]]\npath = \"/var\"\nbytes = 1\n";

/// A healthy machine whose update service answers.
fn world() -> World {
    let dir = tempfile::tempdir().unwrap();
    let places = Places::below(dir.path());
    for path in [
        places.health(),
        places.var.clone(),
        places.roots.facts(),
        watchdog(&places),
    ] {
        std::fs::create_dir_all(path).unwrap();
    }
    std::fs::write(places.health().join("10.toml"), RULES).unwrap();
    std::fs::write(watchdog(&places).join("state"), "active\n").unwrap();
    let gate = Arc::new(Mutex::new(Vec::new()));
    let listener = UnixListener::bind(places.socket()).unwrap();
    let told = gate.clone();
    std::thread::spawn(move || {
        let mut turns = 0;
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let mut line = String::new();
            std::io::BufRead::read_line(&mut std::io::BufReader::new(&stream), &mut line).unwrap();
            let answer = match Request::parse(line.trim_end().as_bytes()).unwrap() {
                Request::Ping => {
                    turns += 1;
                    Answer::Pong {
                        turns,
                        problem: None,
                    }
                }
                request @ Request::Gate { .. } => {
                    told.lock().unwrap().push(request);
                    Answer::Accepted
                }
                _ => Answer::Refused {
                    reason: String::new(),
                },
            };
            std::io::Write::write_all(&mut stream, &answer.to_line().unwrap()).unwrap();
        }
    });
    World { dir, places, gate }
}

fn watchdog(places: &Places) -> PathBuf {
    places.roots.sys.join("class/watchdog/watchdog0")
}

fn hook(world: &World, name: &str, script: &str) {
    let directory = world.places.health_hooks();
    std::fs::create_dir_all(&directory).unwrap();
    let path = directory.join(name);
    std::fs::write(&path, format!("#!/bin/sh\n{script}\n")).unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
}

#[test]
fn a_healthy_system_passes_after_the_settling_time() {
    let (world, fake) = (world(), Fake::new());
    let report = gate(&world.places, &fake);
    assert!(report.healthy, "{}", report.to_text());
    assert_eq!(fake.waited.get().as_secs(), 20);
    assert_eq!(
        *world.gate.lock().unwrap(),
        [Request::Gate { failure: None }]
    );
    assert!(!fake.synced.get());
    let left: Vec<_> = std::fs::read_dir(&world.places.var).unwrap().collect();
    assert!(left.is_empty(), "the probe stays: {left:?}");
}

#[test]
fn what_comes_up_late_is_waited_for() {
    let (world, fake) = (world(), Fake::new());
    fake.unit.borrow_mut().1 = "activating";
    fake.at(30, |fake| {
        *fake.unit.borrow_mut() = ("a.service".into(), "active", 0, 100)
    });
    let report = gate(&world.places, &fake);
    assert!(report.healthy, "{}", report.to_text());
    assert!(
        (50..60).contains(&fake.waited.get().as_secs()),
        "{:?}",
        fake.waited
    );
}

/// The reason of a gate that fails in the way `break_it` arranges.
fn fails(break_it: impl FnOnce(&World, &Fake)) -> String {
    let (world, fake) = (world(), Fake::new());
    break_it(&world, &fake);
    let report = gate(&world.places, &fake);
    assert!(!report.healthy, "{}", report.to_text());
    let reason = report.reason();
    let told = world.gate.lock().unwrap().clone();
    assert!(
        told == [Request::Gate {
            failure: Some(reason.clone())
        }] || reason.contains("update service"),
        "{told:?} {reason}"
    );
    assert!(fake.synced.get(), "the journal would be lost");
    assert!(
        fake.waited.get() <= Duration::from_secs(60) + 2 * PAUSE + REBOOT,
        "{:?}",
        fake.waited
    );
    drop(world.dir);
    reason
}

#[test]
fn failures_are_named() {
    let table: Vec<(Break, &str)> = vec![
        (
            Box::new(|_, fake| {
                *fake.failed.borrow_mut() = "x.service loaded failed failed X\n".into()
            }),
            "failed units: x.service",
        ),
        (
            Box::new(|_, fake| fake.unit.borrow_mut().1 = "failed"),
            "required units: a.service is failed (x)",
        ),
        (
            Box::new(|_, fake| fake.unit.borrow_mut().0 = "b.service".into()),
            "a.service is not known",
        ),
        (
            Box::new(|_, fake| fake.unit.borrow_mut().2 = 3),
            "a.service was restarted 3 times",
        ),
        (
            Box::new(|world, _| {
                std::fs::write(watchdog(&world.places).join("state"), "inactive\n").unwrap()
            }),
            "watchdog watchdog0: it is \"inactive\", not armed",
        ),
        (
            Box::new(|world, _| std::fs::remove_dir_all(watchdog(&world.places)).unwrap()),
            "watchdog watchdog0: cannot open",
        ),
        (
            Box::new(|world, _| std::fs::remove_dir(&world.places.var).unwrap()),
            "storage /var: it cannot be looked at",
        ),
        (
            Box::new(|world, _| {
                std::fs::create_dir_all(world.places.var.join(".roamcore-health/x")).unwrap()
            }),
            "storage /var: it cannot be written",
        ),
        (
            Box::new(|world, _| {
                let rules = RULES.replace("bytes = 1", "bytes = 9000000000000000000");
                std::fs::write(world.places.health().join("10.toml"), rules).unwrap();
            }),
            "9000000000000000000 are needed",
        ),
        (
            Box::new(|world, _| std::fs::remove_file(world.places.socket()).unwrap()),
            "update service: the update service does not run",
        ),
        (
            Box::new(|world, _| {
                std::fs::write(world.places.health().join("20.toml"), "schema = 2").unwrap()
            }),
            "rules: ",
        ),
        (
            Box::new(|world, _| {
                hook(
                    world,
                    "10-guests",
                    "echo starting; echo guest 101 is down >&2; exit 1",
                )
            }),
            "hook 10-guests: exit status: 1: starting guest 101 is down",
        ),
    ];
    for (break_it, want) in table {
        let reason = fails(break_it);
        assert!(reason.contains(want), "{want}: {reason}");
    }
}

#[test]
fn a_system_that_comes_and_goes_never_settles() {
    let reason = fails(|_, fake| {
        for second in (6..60).step_by(12) {
            fake.at(second, |fake| {
                *fake.failed.borrow_mut() = "x.service loaded failed failed X\n".into()
            });
            fake.at(second + 4, |fake| fake.failed.borrow_mut().clear());
        }
    });
    assert!(
        reason.contains("not healthy for 20 s without a break") || reason.contains("x.service"),
        "{reason}"
    );
}

#[test]
fn a_service_that_crash_loops_is_never_old_enough() {
    let reason = fails(|_, fake| {
        for second in (0..90).step_by(10) {
            fake.at(second, move |fake| fake.unit.borrow_mut().3 = 100 + second);
        }
    });
    assert!(reason.contains("is active for less than 20 s"), "{reason}");
}

#[test]
fn soft_things_do_not_fail_it() {
    let (world, fake) = (world(), Fake::new());
    *fake.failed.borrow_mut() = "soft@1.service loaded failed failed X\n".into();
    let report = once(&world.places, &fake);
    assert!(report.healthy);
    let text = report.to_text();
    assert!(
        text.contains("warn  failed units") && text.ends_with("\nhealthy"),
        "{text}"
    );
}

#[test]
fn hooks_run_in_order_and_only_when_all_else_is_well() {
    let (world, fake) = (world(), Fake::new());
    let log = world.dir.path().join("log");
    for name in ["20-second", "10-first"] {
        hook(&world, name, &format!("echo {name} >> {}", log.display()));
    }
    assert!(gate(&world.places, &fake).healthy);
    assert_eq!(
        std::fs::read_to_string(&log).unwrap(),
        "10-first\n20-second\n"
    );
    std::fs::write(world.places.health_hooks().join("30-note"), "text").unwrap();
    assert!(
        once(&world.places, &fake)
            .reason()
            .contains("hook 30-note: it is not an executable file")
    );
}

#[test]
fn a_stopping_system_is_not_healthy() {
    let (world, fake) = (
        world(),
        Fake {
            state: "maintenance",
            ..Fake::new()
        },
    );
    assert_eq!(
        once(&world.places, &fake).reason(),
        "system state: \"maintenance\""
    );
}

#[test]
fn without_rules_nothing_is_healthy() {
    let (world, fake) = (world(), Fake::new());
    std::fs::remove_file(world.places.health().join("10.toml")).unwrap();
    assert!(
        once(&world.places, &fake)
            .reason()
            .contains("an image without rules cannot be judged")
    );
}
