//! A private namespace in which the locked tools run.
//!
//! Owns: the user, mount and process namespaces around package installation. Never does: mount
//! anything the host can see, need root, or leave files behind: the work area is a tmpfs that
//! vanishes with the namespace.
//! Invariant: the program sees a fixed environment, umask, clock setting and file layout, whatever
//! the host's are.

use std::fs::File;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use crate::command::Command;

/// Directories of the tools tree that are mounted over.
const MOUNT_POINTS: [&str; 7] = ["proc", "sys", "dev", "tmp", "work", "pool", "hooks"];

/// Runs as the namespace's root before the program; `$1` is the tools tree, `$2` the packages,
/// `$3` the hooks, the rest is the program.
const SCRIPT: &str = r#"
set -eu
umask 022
# An ordinary user's path lacks chroot.
PATH=/usr/sbin:/usr/bin:/sbin:/bin
export PATH
tools=$1 pool=$2 hooks=$3
shift 3
mount --bind "$tools" "$tools"
mount -t proc proc "$tools/proc"
mount --rbind /dev "$tools/dev"
mount --bind "$pool" "$tools/pool"
mount --bind "$hooks" "$tools/hooks"
mount -t tmpfs -o mode=1777 tmpfs "$tools/tmp"
mount -t tmpfs -o mode=0755,size=90% tmpfs "$tools/work"
cd "$tools"
# mmdebstrap ends its whole process group when it fails, and a group reaches out of the namespace.
exec setsid --wait chroot "$tools" /usr/bin/env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin LC_ALL=C.UTF-8 TZ=UTC \
  HOME=/work TMPDIR=/work DEBIAN_FRONTEND=noninteractive INITRD=No "$@"
"#;

/// What is mounted into the namespace.
#[derive(Debug)]
pub struct Sandbox<'a> {
    /// Root of the unpacked tools.
    pub tools: &'a Path,
    /// Directory shown as `/pool`.
    pub pool: &'a Path,
    /// Directory shown as `/hooks`.
    pub hooks: &'a Path,
}

impl Sandbox<'_> {
    /// Runs a program of the tools tree; its standard output goes to `stdout`, what else it says to
    /// the file `log`, which stays when it fails.
    pub fn run(&self, program: &[String], stdout: File, log: &Path) -> Result<()> {
        // When the builder is killed the namespace goes with it, and all that runs in it.
        let mut unshare = Command::new("setpriv").args(["--pdeathsig", "KILL", "unshare"]);
        if !rustix::process::geteuid().is_root() {
            // Packages have files of many owners, so one mapped user is not enough.
            unshare = unshare.args(["--user", "--map-root-user", "--map-auto"]);
        }
        unshare
            .args(["--mount", "--net", "--pid", "--fork", "--kill-child", "--", "sh", "-c", SCRIPT, "sandbox"])
            .args([self.tools, self.pool, self.hooks])
            .args(program)
            .stdout_file(stdout)
            .log_to(log)
            .run()
            .context(
                "running in the build namespace; an ordinary user needs the package uidmap, a range in \
                 /etc/subuid and /etc/subgid, and permission to make user namespaces",
            )?;
        Ok(())
    }

    /// Makes the directories that [`Sandbox::run`] mounts over.
    pub fn prepare(tools: &Path) -> Result<()> {
        for point in MOUNT_POINTS {
            let dir: PathBuf = tools.join(point);
            std::fs::create_dir_all(&dir).with_context(|| format!("creating {}", dir.display()))?;
        }
        Ok(())
    }
}
