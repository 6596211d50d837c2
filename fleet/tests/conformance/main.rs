//! One suite of DDI behaviours, run against the embedded server and against real hawkBit.
//!
//! ```text
//!   cases --device.rs (says anything)------+--> proxy.rs (misbehaves) --+--> embedded.rs   this crate, in this process
//!         --updater.rs (the real client)---+---------------------------+--> real.rs       hawkBit, from fleet/hawkbit/run
//!         --server.rs (what an operator does) ---------------------------^
//! ```
//!
//! Owns: the order of things and the verdict. Arguments: `--server=embedded`, `--server=hawkbit`, `--server=both`
//! (which is what `cargo test` runs); `--list`; other words are parts of names, to run some cases only. hawkBit is skipped,
//! with the reason and counted, where it cannot be had (no Java, no Maven, no jar); one that does not start is a failure.
//! Where the two differ on purpose the case says so, with [`runner::Ctx::differs`].

mod cases;
mod device;
mod embedded;
#[path = "../common/hawkbit.rs"]
mod hawkbit;
mod proxy;
mod real;
mod report;
mod runner;
mod server;
#[path = "../../../image/tests/support/skip.rs"]
mod skip;
mod updater;

use std::process::ExitCode;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use report::{Came, Run};
use runner::Case;

/// As the suite of rauc-hawkbit-updater has.
const RAUC: usize = 42;

#[tokio::main]
async fn main() -> ExitCode {
    tokio::task::LocalSet::new().run_until(all_of_it()).await
}

async fn all_of_it() -> ExitCode {
    // The harness of others takes more arguments; these are the ones that mean something here.
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let filters: Vec<&str> = arguments
        .iter()
        .map(String::as_str)
        .filter(|one| !one.starts_with("--"))
        .collect();
    let which = arguments
        .iter()
        .find_map(|one| one.strip_prefix("--server="));
    let (ours, theirs) = match which {
        Some("embedded") => (true, false),
        Some("hawkbit") => (false, true),
        None | Some("both") => (true, true),
        Some(other) => {
            eprintln!("--server={other} is refused: use embedded, hawkbit or both");
            return ExitCode::FAILURE;
        }
    };
    let all = cases::all();
    let rauc = all
        .iter()
        .filter(|case| case.name.starts_with("rauc-"))
        .count();
    assert_eq!(rauc, RAUC, "cases of rauc-hawkbit-updater");
    let chosen: Vec<Case> = all
        .into_iter()
        .filter(|case| filters.is_empty() || filters.iter().any(|part| case.name.contains(part)))
        .collect();
    if chosen.is_empty() {
        eprintln!("no case has a name with {filters:?}; --list has them all");
        // The names that `cargo test NAME` gives to every program of tests are of another one then.
        return match which {
            Some(_) => ExitCode::FAILURE,
            None => ExitCode::SUCCESS,
        };
    }
    let chosen = Rc::new(chosen);
    if arguments.iter().any(|one| one == "--list") {
        chosen
            .iter()
            .for_each(|case| println!("{}: test", case.name));
        return ExitCode::SUCCESS;
    }
    drop(rustls::crypto::ring::default_provider().install_default());
    let mut runs = Vec::new();
    if ours {
        runs.push(run("embedded", &chosen, embedded().await).await);
    }
    if theirs {
        runs.push(run("hawkBit", &chosen, hawkbit().await).await);
    }
    report::print(&chosen, &runs);
    if runs.iter().all(Run::is_good) {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

/// A server, cases at the same time, time for each.
type Started = Result<(Arc<dyn server::ServerUnderTest>, u32, Duration), Came>;

async fn embedded() -> Started {
    match embedded::Embedded::start().await {
        Ok(server) => Ok((Arc::new(server), 8, Duration::from_secs(60))),
        Err(error) => Err(Came::Broken(format!("{error:#}"))),
    }
}

async fn hawkbit() -> Started {
    match real::Real::start().await {
        Ok(Ok(server)) => Ok((Arc::new(server), 6, Duration::from_secs(400))),
        Ok(Err(absent)) => {
            skip::skip(&format!("hawkBit's conformance: {}", absent.0));
            Err(Came::Skipped(absent.0))
        }
        Err(error) => Err(Came::Broken(format!("{error:#}"))),
    }
}

async fn run(name: &'static str, cases: &Rc<Vec<Case>>, started: Started) -> Run {
    let start = Instant::now();
    let came = match started {
        Ok((server, at_once, limit)) => {
            Came::Judged(runner::run(cases, server, at_once, limit).await)
        }
        Err(came) => came,
    };
    Run {
        server: name,
        came,
        time: start.elapsed(),
    }
}
