//! Where the kernel's file trees are.
//!
//! Owns: the four trees plus /usr, so that tests give their own. Never does: I/O.

use std::path::{Path, PathBuf};

/// Roots of the file trees the agent reads and writes.
#[derive(Debug, Clone)]
pub struct Roots {
    /// sysfs
    pub sys: PathBuf,
    /// procfs
    pub proc: PathBuf,
    /// device nodes
    pub dev: PathBuf,
    /// run-time state
    pub run: PathBuf,
    /// the image's own files
    pub usr: PathBuf,
}

impl Roots {
    /// The machine's own trees.
    pub fn machine() -> Self {
        Self::below(Path::new("/"))
    }

    /// All trees below one directory.
    pub fn below(root: &Path) -> Self {
        Self {
            sys: root.join("sys"),
            proc: root.join("proc"),
            dev: root.join("dev"),
            run: root.join("run"),
            usr: root.join("usr"),
        }
    }

    /// Our own directory of run-time facts.
    pub fn facts(&self) -> PathBuf {
        self.run.join("roamcore")
    }
}
