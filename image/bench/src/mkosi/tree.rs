//! The tree in which mkosi lives, and its calls.
//!
//! Owns: making the tree once per cache, and the mount namespace of each call. Never does: leave a
//! mount behind (the namespace takes them along) or run anything of the host inside.
//!
//! ```text
//! CACHE/steps/HASH-bench-mkosi/root    trixie with mkosi, made by mmdebstrap, kept
//! CACHE/bench-mkosi/                   /bench inside: config, output, cache, packages, workspace
//! ```

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};
use roamcore_image::cache::{Cache, Key};
use roamcore_image::command::{Command, Output};
use roamcore_image::lock::{DEBIAN, DEBIAN_SECURITY, Mirrors};
use serde::{Deserialize, Serialize};

use super::config;
use crate::proxy;
use crate::stats::{Sample, time};

/// mkosi and what it calls for such an image.
const PACKAGES: [&str; 16] = [
    "ca-certificates",
    "cpio",
    "cryptsetup-bin",
    "debian-archive-keyring",
    "dosfstools",
    "e2fsprogs",
    "erofs-utils",
    "kmod",
    "mkosi",
    "mtools",
    "python3",
    "systemd-boot",
    "systemd-boot-efi",
    "systemd-repart",
    "systemd-ukify",
    "zstd",
];

/// Directories below /bench.
const DIRS: [&str; 6] = [
    "config",
    "output",
    "cache",
    "packages",
    "workspace",
    "var-tmp",
];

/// `$1` is the tree, `$2` becomes /bench, the rest is the program. /var/tmp is on the disk because
/// systemd-repart keeps whole partitions there.
const SCRIPT: &str = r#"
set -eu
umask 022
tree=$1 work=$2
shift 2
mount --bind "$tree" "$tree"
mount -t proc proc "$tree/proc"
mount --rbind /sys "$tree/sys"
mount --rbind /dev "$tree/dev"
mount -t tmpfs -o mode=1777 tmpfs "$tree/tmp"
mount --bind "$work" "$tree/bench"
mount --bind "$work/var-tmp" "$tree/var/tmp"
mount --bind "$(readlink -f /etc/resolv.conf)" "$tree/etc/resolv.conf"
exec chroot "$tree" /usr/bin/env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin LC_ALL=C.UTF-8 TERM=dumb HOME=/root \
  timeout --kill-after=10 3600 sh -c 'cd /bench/config && exec "$@"' sh "$@"
"#;

/// Says why mkosi cannot run on this machine.
pub fn possible() -> Result<()> {
    if !rustix::process::geteuid().is_root() {
        bail!("mkosi runs in a tree of its own, which needs root here");
    }
    Command::new("mmdebstrap").arg("--version").run().context(
        "its tree is made by mmdebstrap, which is missing; install the package mmdebstrap",
    )?;
    Ok(())
}

/// mkosi, ready to be called.
#[derive(Debug)]
pub struct Mkosi {
    tree: PathBuf,
    work: PathBuf,
}

/// What mkosi made, in bytes.
#[derive(Debug, Serialize)]
pub struct Sizes {
    /// The UKI.
    pub uki: u64,
    /// The initrds.
    pub initrd: u64,
    /// The disk image.
    pub disk_raw: u64,
}

#[derive(Deserialize)]
struct Manifest {
    packages: Vec<Entry>,
}

#[derive(Deserialize)]
struct Entry {
    name: String,
}

impl Mkosi {
    /// Makes the tree, unless the cache has it, and a configuration for `packages`.
    pub fn set_up(cache: &Cache, mirrors: &Mirrors, packages: &[String]) -> Result<Mkosi> {
        let key = Key::new("bench-mkosi", 1, &[include_str!("tree.rs")])
            .with("packages", PACKAGES.join(",").as_bytes());
        let step = cache
            .step(&key, |dir| make_tree(&dir.join("root"), mirrors))
            .context("making mkosi's tree")?;
        let work = cache.root().join("bench-mkosi");
        // Only the packages are kept from one run to the next.
        for dir in DIRS {
            let path = work.join(dir);
            if dir != "packages" && path.exists() {
                fs::remove_dir_all(&path)
                    .with_context(|| format!("removing {}", path.display()))?;
            }
            fs::create_dir_all(&path).with_context(|| format!("creating {}", path.display()))?;
        }
        config::write(&work.join("config"), mirrors, packages)?;
        Ok(Mkosi {
            tree: step.dir.join("root"),
            work,
        })
    }

    fn run(&self, program: &[&str]) -> Result<Output> {
        Ok(Command::new("unshare")
            .args([
                "--mount",
                "--pid",
                "--fork",
                "--kill-child",
                "--",
                "sh",
                "-c",
                SCRIPT,
                "mkosi",
            ])
            .args([&self.tree, &self.work])
            .args(program)
            .run()?)
    }

    /// Runs `mkosi ARGS build`.
    pub fn build(&self, args: &[&str]) -> Result<Sample> {
        let program: Vec<&str> = ["mkosi"]
            .iter()
            .chain(args)
            .chain(&["build"])
            .copied()
            .collect();
        let (_, sample) = time(|| self.run(&program))?;
        Ok(sample)
    }

    /// Changes the one file.
    pub fn change(&self, text: &str) -> Result<()> {
        config::put(
            &self.work.join("config").join(config::CHANGED),
            &format!("{text}\n"),
        )
    }

    /// True when a former run has downloaded packages.
    pub fn has_packages(&self) -> Result<bool> {
        let list = Command::new("find")
            .arg(self.work.join("packages"))
            .args(["-name", "*.deb", "-print", "-quit"])
            .run()
            .context("looking for packages")?;
        Ok(!list.stdout.is_empty())
    }

    /// What the tools say they are.
    pub fn versions(&self) -> Result<Vec<String>> {
        let commands = [
            ["mkosi", "--version"],
            ["systemd-repart", "--version"],
            ["mkfs.erofs", "--version"],
        ];
        let mut versions = Vec::new();
        for command in commands {
            let out = self.run(&command).context("asking for versions")?;
            let text = String::from_utf8_lossy(&out.stdout).into_owned();
            let first = text.lines().next().unwrap_or("").trim();
            let name = command[0].trim_start_matches("systemd-");
            let known = first.contains(name) || first.starts_with("systemd");
            versions.push(if known {
                first.to_owned()
            } else {
                format!("{name} {first}")
            });
        }
        Ok(versions)
    }

    /// Names of the packages in mkosi's image, by its own manifest.
    pub fn installed(&self) -> Result<BTreeSet<String>> {
        let path = self.work.join("output/bench.manifest");
        let bytes = fs::read(&path).with_context(|| format!("reading {}", path.display()))?;
        let manifest: Manifest =
            serde_json::from_slice(&bytes).context("reading mkosi's manifest")?;
        let packages: BTreeSet<String> = manifest.packages.into_iter().map(|p| p.name).collect();
        ensure!(!packages.is_empty(), "mkosi's manifest names no package");
        Ok(packages)
    }

    /// Sizes of its results.
    pub fn sizes(&self) -> Result<Sizes> {
        let size = |name: &str| -> Result<u64> {
            let path: &Path = &self.work.join("output").join(name);
            Ok(fs::metadata(path)
                .with_context(|| format!("looking at {}", path.display()))?
                .len())
        };
        Ok(Sizes {
            uki: size("bench.efi")?,
            initrd: size("bench.initrd")?,
            disk_raw: size("bench.raw")?,
        })
    }
}

fn make_tree(root: &Path, mirrors: &Mirrors) -> Result<()> {
    let (debian, security) = (mirrors.base(DEBIAN)?, mirrors.base(DEBIAN_SECURITY)?);
    Command::new("mmdebstrap")
        .args([
            "--quiet",
            "--mode=root",
            "--variant=apt",
            "--format=directory",
        ])
        .arg(format!("--include={}", PACKAGES.join(",")))
        .args(
            proxy::settings()?
                .iter()
                .map(|line| format!("--aptopt={line}")),
        )
        .arg("trixie")
        .arg(root)
        .args([
            format!("deb {debian} trixie main"),
            format!("deb {debian} trixie-updates main"),
        ])
        .arg(format!("deb {security} trixie-security main"))
        .run()?;
    for dir in ["bench", "var/tmp"] {
        fs::create_dir_all(root.join(dir)).context("creating a mount point")?;
    }
    // A mount point for the host's; mmdebstrap may have left a copy or a link.
    let resolv = root.join("etc/resolv.conf");
    if resolv.is_symlink() {
        fs::remove_file(&resolv).context("removing a link")?;
    }
    fs::write(&resolv, "").context("creating a mount point")
}
