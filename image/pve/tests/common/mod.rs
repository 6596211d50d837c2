//! External tools: found, or skipped with a reason; never passed over in silence.
#![allow(clippy::unwrap_used, clippy::expect_used, dead_code, missing_docs)]

#[path = "../../../tests/support/skip.rs"]
mod skip;

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

pub use skip::skip;

/// The tool's path; `None` after a SKIP line.
pub fn tool(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let found = std::env::split_paths(&path)
        .map(|dir| dir.join(name))
        .find(|file| file.is_file());
    if found.is_none() {
        skip(&format!(
            "{name} is not installed, so its verdict is unknown"
        ));
    }
    found
}

/// Standard output of a run that must succeed, fed with `input`.
pub fn ok(tool: &Path, args: &[&str], input: &[u8]) -> String {
    let mut child = Command::new(tool)
        .args(args)
        .env("LC_ALL", "C.UTF-8")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(input).unwrap();
    let out = child.wait_with_output().unwrap();
    let error = String::from_utf8_lossy(&out.stderr);
    assert!(out.status.success(), "{} failed: {error}", tool.display());
    String::from_utf8(out.stdout).unwrap()
}
