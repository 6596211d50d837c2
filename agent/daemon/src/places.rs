//! Where everything is.
//!
//! Owns: the paths, so that tests give their own tree. Never does: I/O.

use std::path::{Path, PathBuf};

use roamcore_agent::roots::Roots;

/// Paths of the daemon.
#[derive(Debug, Clone)]
pub struct Places {
    /// The kernel's trees and the image.
    pub roots: Roots,
    /// Settings of this device.
    pub etc: PathBuf,
    /// Everything that lasts.
    pub var: PathBuf,
}

impl Places {
    /// The machine's own.
    pub fn machine() -> Self {
        Self::below(Path::new("/"))
    }

    /// All below one directory.
    pub fn below(root: &Path) -> Self {
        Self {
            roots: Roots::below(root),
            etc: root.join("etc"),
            var: root.join("var"),
        }
    }

    /// The daemon's settings.
    pub fn config(&self) -> PathBuf {
        self.etc.join("roamcore/agent.toml")
    }

    /// What is believed when no CA is configured.
    pub fn system_roots(&self) -> PathBuf {
        self.etc.join("ssl/certs/ca-certificates.crt")
    }

    /// The machine's id.
    pub fn machine_id(&self) -> PathBuf {
        self.etc.join("machine-id")
    }

    /// The daemon's own directory of what lasts.
    pub fn state(&self) -> PathBuf {
        self.var.join("lib/roamcore")
    }

    /// Where the command line finds the daemon. Beside the facts that the initrd wrote, so the directory
    /// is there before the daemon and outlives it.
    pub fn socket(&self) -> PathBuf {
        self.roots.facts().join("roamcore.sock")
    }

    /// Held by the one daemon that runs.
    pub fn lock(&self) -> PathBuf {
        self.roots.facts().join("roamcore.lock")
    }

    /// What the image says about itself.
    pub fn os_release(&self) -> PathBuf {
        self.roots.usr.join("lib/os-release")
    }

    /// Whom the image trusts.
    pub fn trust(&self) -> PathBuf {
        self.roots.usr.join("share/roamcore/trust/roles.json")
    }

    /// What the health gate looks at.
    pub fn health(&self) -> PathBuf {
        self.roots.usr.join("lib/roamcore/health.d")
    }

    /// Programs that the health gate runs.
    pub fn health_hooks(&self) -> PathBuf {
        self.roots.usr.join("lib/roamcore/health-hooks.d")
    }
}
