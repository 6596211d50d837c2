//! A private namespace in which the locked tools run.
//!
//! Owns: the namespaces around package installation, what is mounted there and which capabilities
//! are left. Never does: mount anything the host can see, need root, or leave files behind: the
//! work area is a tmpfs that vanishes with the namespace.
//! Invariant: the program sees a fixed environment, umask, clock setting and file layout, whatever
//! the host's are, and no file, device or process of the host beyond the three directories it is
//! given; for root's builds that rests on the mounts and on the dropped capabilities alone, because
//! they have no user namespace.

use std::fs::File;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use crate::clock::Shift;
use crate::command::Command;

/// Directories of the tools tree that are mounted over.
const MOUNT_POINTS: [&str; 6] = ["proc", "dev", "tmp", "work", "pool", "hooks"];

/// The tree that the program fills. Its `/dev` is the namespace's, mounted before, because nothing
/// can be mounted later; packages' own scripts would else make a file of `/dev/null`.
pub const TARGET: &str = "/work/root";

/// What dpkg, tar and packages' scripts need (capabilities(7)): owners, modes, set-id bits and file
/// capabilities of what they unpack, another root directory, and apt's own change of user. Above all
/// neither CAP_SYS_ADMIN nor CAP_MKNOD: no mounts, no devices.
const CAPABILITIES: [&str; 9] = [
    "chown",
    "dac_override",
    "fowner",
    "fsetid",
    "kill",
    "setfcap",
    "setgid",
    "setuid",
    "sys_chroot",
];

/// Runs as the namespace's root before the program; `$1` is the tools tree, `$2` the packages, `$3`
/// the hooks, `$4` tells whether mounts must be made read-only, `$5` is a library of the tools tree
/// that is preloaded, `$6` the capabilities; the rest are variables and the program.
const SCRIPT: &str = r#"
set -eu
umask 022
# An ordinary user's path lacks pivot_root.
PATH=/usr/sbin:/usr/bin:/sbin:/bin
export PATH
tools=$1 pool=$2 hooks=$3 shut=$4 preload=$5 caps=$6
shift 6
mount --bind "$tools" "$tools"
cd "$tools"
mount -t proc proc proc
mount -t tmpfs -o mode=0755,nosuid,size=1m tmpfs dev
for node in null zero full random urandom tty; do
  : > dev/$node
  mount --bind /dev/$node dev/$node
done
mkdir dev/pts dev/shm
mount -t devpts -o newinstance,ptmxmode=0666,mode=0620,nosuid,noexec devpts dev/pts
mount -t tmpfs -o mode=1777,nosuid,nodev tmpfs dev/shm
ln -s pts/ptmx dev/ptmx
ln -s /proc/self/fd dev/fd
ln -s fd/0 dev/stdin
ln -s fd/1 dev/stdout
ln -s fd/2 dev/stderr
# Under /dev, because that is the same place inside the target.
if [ -n "$preload" ]; then
  : > dev/preload.so
  mount --bind "$preload" dev/preload.so
fi
mount --bind "$pool" pool
mount --bind "$hooks" hooks
# A user namespace may not change mounts of a file system that the host has mounted with more
# restrictions; there these files are an ordinary user's own.
for mounted in . proc pool hooks; do
  mount -o remount,bind,ro $mounted || [ "$shut" = if-possible ]
done
mount -t tmpfs -o mode=1777 tmpfs tmp
mount -t tmpfs -o mode=0755,size=90% tmpfs work
mkdir -p work/root/dev
mount --rbind dev work/root/dev
# The host's tree goes: a mere chroot can be left by whoever may call chroot.
pivot_root . .
umount --lazy --no-canonicalize .
cd /
# mmdebstrap ends its whole process group when it fails, and a group reaches out of the namespace.
exec setsid --wait setpriv --bounding-set "-all,$caps" --inh-caps=-all \
  env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin LC_ALL=C.UTF-8 TZ=UTC \
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
    /// How far ahead the clock is.
    pub clock: Shift,
}

impl Sandbox<'_> {
    /// Runs a program of the tools tree; its standard output goes to `stdout`, what else it says to
    /// the file `log`, which stays when it fails, and line by line to `heard`.
    pub fn run(
        &self,
        program: &[String],
        stdout: File,
        log: &Path,
        heard: impl FnMut(&str),
    ) -> Result<()> {
        // When the builder is killed the namespace goes with it, and all that runs in it.
        let mut unshare = Command::new("setpriv").args(["--pdeathsig", "KILL", "unshare"]);
        let mut shut = "always";
        if !rustix::process::geteuid().is_root() {
            // Packages have files of many owners, so one mapped user is not enough.
            unshare = unshare.args(["--user", "--map-root-user", "--map-auto"]);
            shut = "if-possible";
        }
        let caps: Vec<String> = CAPABILITIES.iter().map(|cap| format!("+{cap}")).collect();
        let preload = self.clock.library(self.tools);
        unshare
            .args(["--mount", "--net", "--ipc", "--pid", "--fork", "--kill-child", "--", "sh", "-c", SCRIPT, "sandbox"])
            .args([self.tools, self.pool, self.hooks])
            .arg(shut)
            .arg(preload.unwrap_or_default())
            .arg(caps.join(","))
            .args(self.clock.variables("/dev/preload.so"))
            .args(program)
            .stdout_file(stdout)
            .log_to(log)
            .run_heard(heard)
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
