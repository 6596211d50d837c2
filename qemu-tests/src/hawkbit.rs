//! Real hawkBit, run beside the guest's LAN, and the verbs of its operator.
//!
//! Owns the server's process and its REST calls. Never fetches anything while a machine runs: the program is had before, or
//! the test is skipped.
//!
//! ```text
//!   fetch:  fleet/hawkbit/run fetch        (Maven, once)
//!   namespace of the LAN: fleet/hawkbit/run on 192.168.50.1:8080 <-> guest's update service
//!                         curl .../rest/v1/...
//! ```

use std::path::Path;

use serde_json::{Value, json};

use crate::args;
use crate::deadline::Deadline;
use crate::error::{Error, Result, file};
use crate::fleet::{DEVICES, Hurry, Server};
use crate::net::{HOST_ADDRESS, Lan};
use crate::tool::{self, Daemon, Tty};

const RUN: &str = "fleet/hawkbit/run";
/// A minute on an idle machine.
const START_SECONDS: u64 = 900;
/// What a device shows; hawkBit lets operators choose it.
const TOKEN: &str = "a-token-of-the-boot-tests";

/// A running server.
#[derive(Debug)]
pub struct HawkBit {
    _server: Daemon,
}

/// Why it cannot run here, if so. Fetches it when it is not there yet. Anything but the script's own word that Java, Maven
/// or the jar cannot be had is for the test to fail by.
pub fn impossible() -> Option<String> {
    let cannot = "exit status: 3";
    match tool::run(RUN, &args!["fetch"]) {
        Err(Error::Tool { status, stderr, .. }) if status == cannot => Some(stderr),
        _ => None,
    }
}

impl HawkBit {
    /// Starts one with its state in `directory`.
    pub fn start(lan: &Lan, directory: &Path, log: &Path) -> Result<Self> {
        std::fs::create_dir_all(directory).map_err(file("create", directory))?;
        // A shell, so that the server's words go to a file and never wait for a reader.
        let line = args![
            "-c",
            "log=$1; shift; exec \"$@\" >>\"$log\" 2>&1",
            "sh",
            log.display(),
            "env",
            format!("HAWKBIT_ADDRESS={HOST_ADDRESS}"),
            RUN,
            DEVICES,
            directory.display()
        ];
        let mut server = Daemon::start(&lan.enter(), "sh", &line, Tty::Detached)?;
        let deadline = Deadline::secs(START_SECONDS);
        loop {
            match call(lan, "GET", "targets?limit=1", None) {
                Ok(_) => return Ok(Self { _server: server }),
                Err(error) if !deadline.pause(1000) => return Err(error),
                Err(_) => {}
            }
            if let Some(error) = server.died() {
                return Err(error);
            }
        }
    }
}

impl Server for HawkBit {
    fn add_target(&self, lan: &Lan, id: &str) -> Result<String> {
        let body = json!([{"controllerId": id, "name": id, "securityToken": TOKEN}]);
        call(lan, "POST", "targets", Some(&body))?;
        Ok(TOKEN.into())
    }

    /// One module with the update's files, in a set of its own that bears its name.
    fn add_release(&self, lan: &Lan, update: &Path) -> Result<i64> {
        let manifest = update.join("update.json");
        let text = std::fs::read(&manifest).map_err(file("read", &manifest))?;
        let update_json: Value = serde_json::from_slice(&text).map_err(|e| Error::Format {
            what: manifest.display().to_string(),
            reason: e.to_string(),
        })?;
        let name = json!({
            "type": "os", "name": update_json["product"], "version": update_json["version"]
        });
        let module = id(&call(lan, "POST", "softwaremodules", Some(&json!([name])))?[0])?;
        for entry in std::fs::read_dir(update)
            .map_err(file("list", update))?
            .flatten()
        {
            let form = format!("file=@{}", entry.path().display());
            let path = format!("softwaremodules/{module}/artifacts");
            curl(lan, &path, &args!["--form", form])?;
        }
        let mut set = name;
        set["modules"] = json!([{ "id": module }]);
        id(&call(lan, "POST", "distributionsets", Some(&json!([set])))?[0])
    }

    fn deploy(&self, lan: &Lan, release: i64, target: &str, hurry: Hurry) -> Result<i64> {
        let body = json!([{"id": target, "type": hurry.name()}]);
        let path = format!("distributionsets/{release}/assignedTargets");
        id(&call(lan, "POST", &path, Some(&body))?["assignedActions"][0])
    }

    /// In the words of the embedded server: whether it is active, its status, and what the device said, newest first.
    fn action(&self, lan: &Lan, target: &str, action: i64) -> Result<Value> {
        let path = format!("targets/{target}/actions/{action}");
        let found = call(lan, "GET", &path, None)?;
        let history = call(lan, "GET", &format!("{path}/status?sort=id:DESC"), None)?;
        Ok(json!({
            "active": found["active"],
            "status": found["status"],
            "history": history["content"],
        }))
    }
}

fn call(lan: &Lan, method: &str, path: &str, body: Option<&Value>) -> Result<Value> {
    let mut options = Vec::from(args!["--request", method]);
    if let Some(body) = body {
        options.extend(args![
            "--header",
            "Content-Type: application/json",
            "--data",
            body
        ]);
    }
    let text = curl(lan, path, &options)?;
    serde_json::from_str(&text).map_err(|e| Error::Format {
        what: format!("hawkBit's answer to {method} {path}"),
        reason: format!("{e}: {text}"),
    })
}

fn curl(lan: &Lan, path: &str, options: &[String]) -> Result<String> {
    let url = format!("http://{HOST_ADDRESS}:{DEVICES}/rest/v1/{path}");
    let head = args![
        "--silent",
        "--show-error",
        "--fail-with-body",
        "--user",
        "admin:admin"
    ];
    lan.run("curl", &[&head[..], options, &[url]].concat())
}

fn id(made: &Value) -> Result<i64> {
    made["id"].as_i64().ok_or_else(|| Error::Format {
        what: "hawkBit's answer".into(),
        reason: format!("no `id` in {made}"),
    })
}
