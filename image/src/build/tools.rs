//! The tools tree: the locked programs that shape bytes.
//!
//! Owns: unpacking the lock's tools set and running its programs. Never does: configure those
//! packages (their files are enough) or fall back to a program of the host.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use crate::cache::{Cache, Cached, Key};
use crate::clock::Shift;
use crate::command::Command;
use crate::lock::{Lock, Set};
use crate::sandbox::Sandbox;

/// Packages of the tools tree; the lock pins their versions.
pub const PACKAGES: [&str; 8] = [
    "apt",
    "dpkg",
    "erofs-utils",
    "kmod",
    "libfaketime",
    "mmdebstrap",
    "mount",
    "systemd-boot-efi",
];

/// Those whose files are in the image: the boot loader and the stub of the UKI, on the ESP.
pub const SHIPPED: [&str; 1] = ["systemd-boot-efi"];

/// The boot loader's file.
pub const LOADER: &str = "systemd-bootx64.efi";
/// The stub's file.
pub const STUB: &str = "linuxx64.efi.stub";
/// Where their files are; copied beside the tree, where the cache guards them: they are signed.
const BOOT_FILES: &str = "usr/lib/systemd/boot/efi";

const CODE: [&str; 2] = [include_str!("tools.rs"), include_str!("../sandbox.rs")];

/// An unpacked tools tree.
#[derive(Debug, Clone)]
pub struct Tools {
    step: PathBuf,
    root: PathBuf,
    logs: PathBuf,
    clock: Shift,
}

impl Tools {
    /// Unpacks the tools set from `debs`, a directory of its packages.
    pub fn unpack(cache: &Cache, lock: &Lock, debs: &Path) -> Result<(Tools, Cached)> {
        let key = Key::new("tools", 1, &CODE)
            .with("set", lock.set_digest(Set::Tools).to_string().as_bytes())
            .guarded();
        let step = cache.step(&key, |dir| {
            let root = dir.join("root");
            std::fs::create_dir(&root).context("creating the tools tree")?;
            for package in lock.packages(Set::Tools) {
                let deb = debs.join(package.file_name());
                Command::new("dpkg-deb")
                    .arg("--extract")
                    .arg(&deb)
                    .arg(&root)
                    .log_to(cache.log(&key))
                    .run()
                    .with_context(|| format!("unpacking the tool package {}", package.name))?;
            }
            for name in [LOADER, STUB] {
                let from = root.join(BOOT_FILES).join(name);
                std::fs::copy(&from, dir.join(name))
                    .with_context(|| format!("copying {}", from.display()))?;
            }
            Sandbox::prepare(&root)
        })?;
        Ok((
            Tools {
                step: step.dir.clone(),
                root: step.dir.join("root"),
                logs: cache.logs().to_owned(),
                clock: Shift::default(),
            },
            step,
        ))
    }

    /// The same tools, whose programs see a clock that is ahead.
    #[must_use]
    pub fn with_clock(self, clock: Shift) -> Tools {
        Tools { clock, ..self }
    }

    /// How far ahead the programs' clock is.
    pub fn clock(&self) -> Shift {
        self.clock
    }

    /// Root of the tree.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// The unsigned boot loader ([`LOADER`]) or the stub of UKIs ([`STUB`]), as it was unpacked.
    pub fn boot_file(&self, name: &str) -> Result<Vec<u8>> {
        let path = self.step.join(name);
        std::fs::read(&path).with_context(|| format!("reading {}", path.display()))
    }

    /// A file of the tree.
    pub fn file(&self, path: &str) -> PathBuf {
        self.root.join(path)
    }

    /// A program of the tree, run by the tree's own loader and libraries, so that no namespace is
    /// needed and nothing of the host is linked in. When it fails, what it said stays in a log.
    pub fn program(&self, path: &str) -> Command {
        let program = self.root.join(path);
        // Two builds at once must not write one log.
        let log = format!(
            "{}-{}.log",
            path.rsplit('/').next().unwrap_or(path),
            std::process::id()
        );
        self.clock
            .load(&self.root, &program)
            .clear_env()
            .log_to(self.logs.join(log))
    }
}
