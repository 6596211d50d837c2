//! External tools: found, or skipped with a reason; never passed over in silence.
#![allow(clippy::unwrap_used, clippy::expect_used, dead_code, missing_docs)]

#[path = "../../../tests/support/skip.rs"]
mod skip;

use std::ffi::OsStr;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// The tool's path; `None` after a SKIP line.
pub fn tool(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    // Disk tools live in sbin, which an ordinary user's PATH lacks.
    let found = std::env::split_paths(&path)
        .chain(["/usr/sbin".into(), "/sbin".into()])
        .map(|dir| dir.join(name))
        .find(|file| file.is_file());
    if found.is_none() {
        skip::skip(&format!(
            "{name} is not installed, so its verdict is unknown"
        ));
    }
    found
}

pub fn run(tool: &Path, args: impl IntoIterator<Item = impl AsRef<OsStr>>) -> Output {
    Command::new(tool)
        .args(args)
        .env("LC_ALL", "C.UTF-8")
        .output()
        .unwrap()
}

/// Standard output of a run that must succeed.
pub fn ok(tool: &Path, args: impl IntoIterator<Item = impl AsRef<OsStr>>) -> Vec<u8> {
    let out = run(tool, args);
    let text = [
        String::from_utf8_lossy(&out.stdout),
        String::from_utf8_lossy(&out.stderr),
    ]
    .concat();
    assert!(out.status.success(), "{} failed: {text}", tool.display());
    out.stdout
}

pub fn sparse(path: &Path, len: u64) -> File {
    let file = File::options()
        .read(true)
        .write(true)
        .create_new(true)
        .open(path)
        .unwrap();
    file.set_len(len).unwrap();
    file
}

/// Bytes that look random and are the same in every run.
pub fn noise(len: usize, seed: u64) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
    let next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 32) as u8
    };
    std::iter::repeat_with(next).take(len).collect()
}
