//! Running `stage.py` in namespaces of its own, and finding out what this machine can.

use std::io::{Read, Write};
use std::path::Path;
use std::process::{Command, Stdio};

use serde_json::{Value, json};

use super::common::{skip, tool};
use super::parties::{Kind, Party};
use super::probes::Probe;
use super::translate::Hook;

/// What of the running kernel's the stage is built on.
pub struct Kernel {
    pub hook: Hook,
    pub vlans: bool,
}

/// What came of each probe: before there were rules, and with them.
pub struct Report {
    pub before: Vec<String>,
    pub after: Vec<String>,
    pub seconds: f64,
}

/// The first process dies with the program that starts the rest, and all others with the first.
fn private(argv: &[&str]) -> Command {
    let mut command = Command::new("unshare");
    command
        .args(["--user", "--map-root-user", "--mount", "--net", "--pid"])
        .args(["--fork", "--kill-child"])
        .args(argv)
        .env("LC_ALL", "C.UTF-8");
    command
}

fn script(what: &str) -> Command {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/netns/stage.py");
    let mut command = private(&["python3", "-I", "-S"]);
    command.arg(path).arg(what);
    command
}

/// `None` after a skip.
pub fn kernel() -> Option<Kernel> {
    for name in ["unshare", "ip", "bridge", "nft", "python3"] {
        tool(name)?;
    }
    let out = private(&["true"]).output().unwrap();
    if !out.status.success() {
        let error = String::from_utf8_lossy(&out.stderr);
        skip(&format!("this machine forbids namespaces: {error}"));
        return None;
    }
    let out = script("look").output().unwrap();
    let error = String::from_utf8_lossy(&out.stderr);
    assert!(out.status.success(), "{error}");
    let can: Value = serde_json::from_slice(&out.stdout).unwrap();
    let lacks = can["links"].as_str().or(can["rules"].as_str());
    if let Some(lacks) = lacks {
        skip(&format!(
            "this kernel or its tools lack what the stage is made of: {lacks}"
        ));
        return None;
    }
    let hook = match (can["br_netfilter"] == true, can["bridge"] == true) {
        (true, _) => Hook::BrNetfilter,
        (false, true) => Hook::Bridge,
        (false, false) => {
            skip(
                "this kernel tracks no connections on bridges (neither br_netfilter nor nf_conntrack_bridge)",
            );
            return None;
        }
    };
    Some(Kernel {
        hook,
        vlans: can["vlans"] == true,
    })
}

pub fn run(plan: &Value, rules: &str, parties: &[Party], probes: &[Probe]) -> Report {
    let probes: Vec<Value> = probes
        .iter()
        .map(|probe| {
            let to = &parties[probe.to];
            json!({
                "from": parties[probe.from].name,
                "source": probe.source.to_string(),
                "dest": probe.dest.to_string(),
                "who": to.name,
                "group": to.kind == Kind::Group,
                "protocol": probe.service.protocol.name(),
                "port": probe.service.port,
            })
        })
        .collect();
    let mut plan = plan.clone();
    plan["rules"] = json!(rules);
    plan["probes"] = json!(probes);
    let mut child = script("direct")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // Its end is the sign that this test is gone, so it stays open until the report is there.
    let mut stdin = child.stdin.take().unwrap();
    let told = writeln!(stdin, "{plan}");
    let mut text = String::new();
    child
        .stdout
        .take()
        .unwrap()
        .read_to_string(&mut text)
        .unwrap();
    drop(stdin);
    let out = child.wait_with_output().unwrap();
    let error = String::from_utf8_lossy(&out.stderr);
    assert!(out.status.success() && told.is_ok(), "{error}\n{rules}");
    let report: Value = serde_json::from_str(&text).unwrap();
    let list = |key: &str| -> Vec<String> {
        let all = report[key].as_array().unwrap().iter();
        all.map(|outcome| outcome.as_str().unwrap().to_owned())
            .collect()
    };
    Report {
        before: list("before"),
        after: list("after"),
        seconds: report["seconds"].as_f64().unwrap(),
    }
}
