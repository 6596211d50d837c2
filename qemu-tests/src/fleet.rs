//! A fleet server beside the guest's LAN, run as an operator runs it: what tests ask of any, and the embedded one.
//!
//! Owns the server's process and the operator's verbs. Never touches its state but through `roamcore-fleet`.
//!
//! ```text
//!   namespace of the LAN: roamcore-fleet serve 192.168.50.1:8080 <-> guest's update service
//!                         roamcore-fleet target | release | deploy | actions --json  (127.0.0.1:8081)
//! ```

use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::args;
use crate::deadline::Deadline;
use crate::error::{Error, Result, file};
use crate::net::{HOST_ADDRESS, Lan};
use crate::release::{Release, program};
use crate::tool::{self, Daemon, Tty};

/// Where devices call.
pub const DEVICES: u16 = 8080;
/// Start, migration of an empty database included.
const START_SECONDS: u64 = 120;

/// When a device shall install what is deployed to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Hurry {
    /// At once.
    Forced,
    /// When it suits its owner.
    Soft,
}

impl Hurry {
    /// Its name on the wire.
    pub fn name(self) -> &'static str {
        match self {
            Self::Forced => "forced",
            Self::Soft => "soft",
        }
    }
}

/// What a device is told to call.
pub fn url() -> String {
    format!("http://{HOST_ADDRESS}:{DEVICES}")
}

/// The verbs of an operator.
pub trait Server: std::fmt::Debug {
    /// Registers a device; gives its token.
    fn add_target(&self, lan: &Lan, id: &str) -> Result<String>;
    /// Publishes an update; gives its number.
    fn add_release(&self, lan: &Lan, update: &Path) -> Result<i64>;
    /// Deploys to one device; gives the action's number.
    fn deploy(&self, lan: &Lan, release: i64, target: &str, hurry: Hurry) -> Result<i64>;
    /// An action: `active`, `status`, `history` with `messages`, newest first.
    fn action(&self, lan: &Lan, target: &str, action: i64) -> Result<Value>;

    /// Waits until an action is over; gives it.
    fn wait_over(&self, lan: &Lan, target: &str, action: i64, deadline: Deadline) -> Result<Value> {
        loop {
            let found = self.action(lan, target, action)?;
            if found["active"] == Value::Bool(false) {
                return Ok(found);
            }
            if !deadline.pause(1000) {
                return Err(Error::Timeout {
                    what: format!("the end of action {action}"),
                    seconds: deadline.seconds(),
                    tail: found.to_string(),
                });
            }
        }
    }
}

/// A running server.
#[derive(Debug)]
pub struct Fleet {
    server: Daemon,
    directory: PathBuf,
    program: PathBuf,
}

impl Fleet {
    /// Starts one with its state in `directory`, which may be that of an earlier one.
    pub fn start(lan: &Lan, directory: &Path, log: &Path) -> Result<Self> {
        std::fs::create_dir_all(directory).map_err(file("create", directory))?;
        let program = program("roamcore-fleet")?;
        // A shell, so that the server's words go to a file and never wait for a reader.
        let line = args![
            "-c",
            "log=$1; shift; exec \"$@\" >>\"$log\" 2>&1",
            "sh",
            log.display(),
            program.display(),
            "serve",
            "--dir",
            directory.display(),
            "--listen",
            format!("{HOST_ADDRESS}:{DEVICES}")
        ];
        let server = Daemon::start(&lan.enter(), "sh", &line, Tty::Detached)?;
        let mut fleet = Self {
            server,
            directory: directory.into(),
            program,
        };
        let deadline = Deadline::secs(START_SECONDS);
        loop {
            match fleet.ask(lan, &args!["actions", "list"]) {
                Ok(_) => return Ok(fleet),
                Err(error) if !deadline.pause(200) => return Err(error),
                Err(_) => {}
            }
            if let Some(error) = fleet.server.died() {
                return Err(error);
            }
        }
    }

    /// An operator's verb; its answer as JSON.
    pub fn ask(&self, lan: &Lan, verb: &[String]) -> Result<Value> {
        let token = self.directory.join("admin.token");
        let head = args!["--json", "--token-file", token.display()];
        let text = lan.run(
            &self.program.display().to_string(),
            &[head.to_vec(), verb.to_vec()].concat(),
        )?;
        serde_json::from_str(&text).map_err(|e| Error::Format {
            what: tool::shown("roamcore-fleet", verb),
            reason: format!("{e}: {text}"),
        })
    }
}

impl Server for Fleet {
    fn add_target(&self, lan: &Lan, id: &str) -> Result<String> {
        let answer = self.ask(lan, &args!["target", "add", id])?;
        text(&answer, "token")
    }

    fn add_release(&self, lan: &Lan, update: &Path) -> Result<i64> {
        number(
            &self.ask(lan, &args!["release", "add", update.display()])?,
            "id",
        )
    }

    fn deploy(&self, lan: &Lan, release: i64, target: &str, hurry: Hurry) -> Result<i64> {
        let verb = args![
            "deploy",
            release,
            "--target",
            target,
            "--type",
            hurry.name()
        ];
        let answer = self.ask(lan, &verb)?;
        number(&answer["assigned"], target)
    }

    fn action(&self, lan: &Lan, _target: &str, action: i64) -> Result<Value> {
        self.ask(lan, &args!["actions", "show", action])
    }
}

/// Makes the update of a release: signed manifest, index, parts.
pub fn make_update(release: &Release, out: &Path) -> Result<PathBuf> {
    let update = out.join(format!("update-{}", release.version));
    let line = args![
        "release",
        release.directory.display(),
        "--out",
        update.display(),
        "--level",
        3
    ];
    tool::run(&program("roamcore-image")?.display().to_string(), &line)?;
    Ok(update)
}

/// The same in one file, alone in `out`.
pub fn make_file(release: &Release, out: &Path) -> Result<PathBuf> {
    let update = out.join("update");
    let line = args![
        "release",
        release.directory.display(),
        "--out",
        update.display(),
        "--level",
        3,
        "--single-file"
    ];
    tool::run(&program("roamcore-image")?.display().to_string(), &line)?;
    std::fs::remove_dir_all(&update).map_err(file("remove", &update))?;
    let mut left = std::fs::read_dir(out).map_err(file("list", out))?.flatten();
    left.next().map(|e| e.path()).ok_or_else(|| Error::Missing {
        what: format!("a release file in {}", out.display()),
        remedy: "look at what the builder printed".into(),
    })
}

fn text(answer: &Value, name: &str) -> Result<String> {
    answer[name]
        .as_str()
        .map(str::to_owned)
        .ok_or_else(|| lacks(answer, name))
}

fn number(answer: &Value, name: &str) -> Result<i64> {
    answer[name].as_i64().ok_or_else(|| lacks(answer, name))
}

fn lacks(answer: &Value, name: &str) -> Error {
    Error::Format {
        what: "answer of roamcore-fleet".into(),
        reason: format!("no `{name}` in {answer}"),
    }
}
