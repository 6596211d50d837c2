//! A clock that is ahead, for `build --twice`.
//!
//! Owns: how a program is made to see another wall-clock time: libfaketime of the tools tree, loaded
//! into it before everything else. No namespace shifts that clock, and setting the machine's takes
//! root and disturbs everything else on it. Never does: shift what the kernel stamps on files, or
//! waiting times; both would break programs, and files get the epoch of the lock anyway.
//! Invariant: no shift means no preloaded library and not one variable.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use crate::command::Command;

/// The variant for programs with threads.
const LIBRARY: &str = "usr/lib/x86_64-linux-gnu/faketime/libfaketimeMT.so.1";
const LOADER: &str = "usr/lib64/ld-linux-x86-64.so.2";
const LIBRARIES: &str = "usr/lib/x86_64-linux-gnu";

/// Seconds by which the clock is ahead; zero in every ordinary build.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Shift(u64);

impl Shift {
    /// A clock that is ahead by so many seconds.
    pub fn seconds(seconds: u64) -> Shift {
        Shift(seconds)
    }

    /// True unless it is zero.
    pub fn is_some(self) -> bool {
        self.0 != 0
    }

    /// For the key of a step: what a shifted clock made must not be taken for the usual.
    pub fn to_le_bytes(self) -> [u8; 8] {
        self.0.to_le_bytes()
    }

    /// The library to load into programs, if any.
    pub fn library(self, tools: &Path) -> Option<PathBuf> {
        self.is_some().then(|| tools.join(LIBRARY))
    }

    /// Variables as `NAME=value` for programs that find the library at `preload`.
    pub fn variables(self, preload: &str) -> Vec<String> {
        let library = self.is_some().then(|| format!("LD_PRELOAD={preload}"));
        let settings = self
            .settings()
            .into_iter()
            .map(|(name, value)| format!("{name}={value}"));
        library.into_iter().chain(settings).collect()
    }

    /// Variables for programs that have the library.
    pub fn settings(self) -> Vec<(&'static str, String)> {
        if !self.is_some() {
            return Vec::new();
        }
        vec![
            ("FAKETIME", format!("+{}s", self.0)),
            // Time-outs are not the wall clock.
            ("FAKETIME_DONT_FAKE_MONOTONIC", "1".to_owned()),
            // What the kernel stamped stays as it is.
            ("NO_FAKE_STAT", "1".to_owned()),
            // Nothing to share between processes, and nothing to be left in /dev/shm.
            ("FAKETIME_DISABLE_SHM", "1".to_owned()),
        ]
    }

    /// The words that run `program` by the loader and libraries of the tools tree; it needs
    /// [`Shift::settings`] too. Programs that it starts see the usual clock.
    pub fn words(self, tools: &Path, program: &Path) -> Vec<OsString> {
        let mut words = vec![
            tools.join(LOADER).into_os_string(),
            "--library-path".into(),
            tools.join(LIBRARIES).into_os_string(),
        ];
        if let Some(library) = self.library(tools) {
            words.extend(["--preload".into(), library.into_os_string()]);
        }
        words.push(program.as_os_str().to_owned());
        words
    }

    /// The same as a command.
    pub fn load(self, tools: &Path, program: &Path) -> Command {
        let words = self.words(tools, program);
        let command = Command::new(&words[0]).args(&words[1..]);
        self.settings()
            .into_iter()
            .fold(command, |command, (name, value)| command.env(name, value))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_shift_leaves_no_trace() {
        let tools = Path::new("/tools");
        let words = Shift::default().words(tools, Path::new("/bin/date"));
        assert_eq!(words.len(), 4, "{words:?}");
        assert!(Shift::default().variables("/x").is_empty());
        assert!(Shift::default().library(tools).is_none());
        let shift = Shift::seconds(5);
        assert_eq!(shift.words(tools, Path::new("/bin/date")).len(), 6);
        let variables = shift.variables("/x");
        assert!(variables.contains(&"LD_PRELOAD=/x".to_owned()));
        assert!(variables.contains(&"FAKETIME=+5s".to_owned()));
    }
}
