//! The program in another process, and a device that speaks plain HTTP to it.
#![allow(
    dead_code,
    clippy::unwrap_used,
    reason = "helpers of tests, each of which uses another part"
)]

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use serde_json::Value;

/// What came of a run.
#[derive(Debug)]
pub struct Run {
    pub code: i32,
    pub stdout: String,
    pub stderr: String,
}

/// Runs the program to its end.
pub fn program(arguments: &[&str]) -> Run {
    let mut command = Command::new(env!("CARGO_BIN_EXE_roamcore-fleet"));
    command
        .args(arguments)
        .env_remove("ROAMCORE_FLEET_URL")
        .env_remove("ROAMCORE_FLEET_TOKEN_FILE");
    let output = command.output().unwrap();
    Run {
        code: output.status.code().unwrap_or(-1),
        stdout: String::from_utf8(output.stdout).unwrap(),
        stderr: String::from_utf8(output.stderr).unwrap(),
    }
}

/// A running server.
pub struct Fleet {
    dir: tempfile::TempDir,
    process: Child,
    devices: String,
    manage: String,
}

impl Fleet {
    /// Starts one in a directory that vanishes.
    pub fn start() -> Self {
        Self::start_in(tempfile::tempdir().unwrap())
    }

    /// Starts one in this directory.
    pub fn start_in(dir: tempfile::TempDir) -> Self {
        let (process, devices, manage) = spawn(&dir.path().join("state"));
        Fleet {
            dir,
            process,
            devices,
            manage,
        }
    }

    /// Ends it as a power cut would, as far as a process can know, and starts it again.
    pub fn kill_and_restart(&mut self) {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
        (self.process, self.devices, self.manage) = spawn(&self.state());
    }

    pub fn dir(&self) -> &Path {
        self.dir.path()
    }

    pub fn state(&self) -> PathBuf {
        self.dir.path().join("state")
    }

    pub fn token_file(&self) -> PathBuf {
        self.state().join("admin.token")
    }

    pub fn manage_url(&self) -> String {
        self.manage.clone()
    }

    pub fn device_url(&self) -> String {
        self.devices.clone()
    }

    /// Runs a verb against it.
    pub fn run(&self, arguments: &[&str]) -> Run {
        let token = self.token_file();
        let common = [
            "--url",
            &self.manage,
            "--token-file",
            token.to_str().unwrap(),
        ];
        program(&[arguments, &common].concat())
    }

    /// A verb's result for people.
    pub fn text(&self, arguments: &[&str]) -> String {
        let run = self.run(arguments);
        assert_eq!(run.code, 0, "{arguments:?}: {}", run.stderr);
        run.stdout
    }

    /// A verb's result for programs.
    pub fn json(&self, arguments: &[&str]) -> Value {
        serde_json::from_str(&self.text(&[arguments, &["--json"]].concat())).unwrap()
    }

    /// A small release; its number.
    pub fn plain_release(&self, version: &str) -> String {
        let files = tempfile::tempdir().unwrap();
        std::fs::write(files.path().join("a.bin"), version).unwrap();
        let path = files.path().to_str().unwrap();
        self.json(&[
            "release",
            "add",
            path,
            "--name",
            "demo",
            "--release-version",
            version,
        ])["id"]
            .to_string()
    }

    /// A device's request: status and body.
    pub fn device(
        &self,
        id: &str,
        token: &str,
        method: &str,
        path: &str,
        body: &str,
    ) -> (u16, String) {
        request(
            &self.devices,
            id,
            &format!("TargetToken {token}"),
            method,
            path,
            body,
        )
        .unwrap()
    }

    /// A poll with the gateway token.
    pub fn gateway(&self, id: &str, token: &str) -> u16 {
        request(
            &self.devices,
            id,
            &format!("GatewayToken {token}"),
            "GET",
            "",
            "",
        )
        .unwrap()
        .0
    }
}

/// A device's request by hand: status and body.
pub fn request(
    url: &str,
    id: &str,
    authorization: &str,
    method: &str,
    path: &str,
    body: &str,
) -> std::io::Result<(u16, String)> {
    let mut stream = TcpStream::connect(url.trim_start_matches("http://"))?;
    write!(
        stream,
        "{method} /DEFAULT/controller/v1/{id}{path} HTTP/1.1\r\nHost: fleet\r\nConnection: close\r\nAuthorization: {authorization}\r\n\
         Content-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    )?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    let (head, body) = answer
        .split_once("\r\n\r\n")
        .ok_or(std::io::ErrorKind::UnexpectedEof)?;
    let status = head.split(' ').nth(1).and_then(|code| code.parse().ok());
    Ok((
        status.ok_or(std::io::ErrorKind::InvalidData)?,
        body.to_owned(),
    ))
}

fn spawn(state: &Path) -> (Child, String, String) {
    let mut process = Command::new(env!("CARGO_BIN_EXE_roamcore-fleet"))
        .args([
            "serve",
            "--json",
            "--listen",
            "127.0.0.1:0",
            "--manage",
            "127.0.0.1:0",
            "--dir",
        ])
        .arg(state)
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut line = String::new();
    BufReader::new(process.stdout.take().unwrap())
        .read_line(&mut line)
        .unwrap();
    let said: Value = serde_json::from_str(&line).unwrap();
    let text = |key: &str| said[key].as_str().unwrap().to_owned();
    (process, text("devices"), text("manage"))
}

impl Drop for Fleet {
    fn drop(&mut self) {
        drop(self.process.kill());
        drop(self.process.wait());
    }
}
