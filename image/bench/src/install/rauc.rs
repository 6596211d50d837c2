//! Debian's RAUC: a signed plain bundle, its service on a bus of its own, two slots on loop devices.
//!
//! The service runs with defaults; only what it needs to find its files is set. Needs root, for loop devices and mounts.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};
use roamcore_image::command::Command;

use super::{Run, worn};
use crate::peer::size;

/// A bundle and the configuration of a machine that takes it.
#[derive(Debug)]
pub struct Bundle {
    directory: PathBuf,
    /// Bytes of the bundle.
    pub bytes: u64,
}

/// Starts the service, waits until it answers, installs, and prints milliseconds and peak memory of the service.
const SCRIPT: &str = r#"set -e
export DBUS_STARTER_BUS_TYPE=session
rauc --conf=system.conf --override-boot-slot=A --mount="$PWD/mnt" service >service.log 2>&1 &
service=$!
trap 'kill $service' EXIT
tries=0
until rauc --conf=system.conf status >/dev/null 2>&1; do
  tries=$((tries+1)); [ $tries -lt 100 ] || { cat service.log >&2; exit 1; }
  sleep 0.1
done
before=$(date +%s%3N)
rauc install "$PWD/bundle.raucb" >install.log 2>&1 || { cat install.log service.log >&2; exit 1; }
after=$(date +%s%3N)
echo "$((after-before)) $(sed -n 's/^VmHWM:[^0-9]*\([0-9]*\).*/\1/p' /proc/$service/status)"
"#;

impl Bundle {
    /// Signs a bundle of `root`.
    pub fn make(directory: &Path, root: &Path) -> Result<Bundle> {
        for program in [
            "rauc",
            "dbus-run-session",
            "openssl",
            "mksquashfs",
            "losetup",
        ] {
            let path = std::env::var_os("PATH").unwrap_or_default();
            if !std::env::split_paths(&path).any(|d| d.join(program).is_file()) {
                bail!("{program} is not installed");
            }
        }
        ensure!(
            rustix::process::geteuid().is_root(),
            "it needs root, for loop devices"
        );
        let content = directory.join("content");
        for directory in [&content, &directory.join("mnt")] {
            fs::create_dir_all(directory).context("creating a directory")?;
        }
        Command::new("openssl")
            .args([
                "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "1",
            ])
            .args([
                "-subj",
                "/CN=bench",
                "-keyout",
                "key.pem",
                "-out",
                "cert.pem",
            ])
            .current_dir(directory)
            .run()
            .context("making a certificate")?;
        fs::copy(root, content.join("root.img")).context("copying the root")?;
        let manifest =
            "[update]\ncompatible=bench\nversion=1\n\n[image.rootfs]\nfilename=root.img\n";
        fs::write(content.join("manifest.raucm"), manifest).context("writing the manifest")?;
        Command::new("rauc")
            .args([
                "--cert=cert.pem",
                "--key=key.pem",
                "bundle",
                "content",
                "bundle.raucb",
            ])
            .current_dir(directory)
            .run()
            .context("making the bundle")?;
        fs::remove_dir_all(&content).context("removing the bundle's content")?;
        Ok(Bundle {
            bytes: size(&directory.join("bundle.raucb"))?,
            directory: directory.to_owned(),
        })
    }

    /// One install.
    pub fn install(&self, root: &Path) -> Result<Run> {
        let slots = [self.slot("a", 1 << 20)?, self.slot("b", size(root)?)?];
        let done = self.install_into(&slots, root);
        for slot in &slots {
            Command::new("losetup").args(["--detach", slot]).run()?;
        }
        done
    }

    fn install_into(&self, slots: &[String; 2], root: &Path) -> Result<Run> {
        let [a, b] = slots;
        let path = |name: &str| self.directory.join(name).display().to_string();
        let text = format!(
            "[system]\ncompatible=bench\nbootloader=noop\nstatusfile={}\n\n[keyring]\npath={}\n\n\
             [slot.rootfs.0]\ndevice={a}\ntype=raw\nbootname=A\n\n\
             [slot.rootfs.1]\ndevice={b}\ntype=raw\nbootname=B\n",
            path("status"),
            path("cert.pem")
        );
        fs::write(self.directory.join("system.conf"), text).context("writing system.conf")?;
        let output = Command::new("dbus-run-session")
            .args(["--", "sh", "-c", SCRIPT])
            .current_dir(&self.directory)
            .run()
            .context("running RAUC")?;
        Command::new("cmp")
            .arg(root)
            .arg(b)
            .run()
            .context("comparing what RAUC wrote")?;
        let answer = String::from_utf8_lossy(&output.stdout).into_owned();
        match answer
            .split_whitespace()
            .map(str::parse)
            .collect::<Result<Vec<u64>, _>>()
        {
            Ok(found) if found.len() == 2 => Ok(Run {
                milliseconds: found[0],
                peak_kib: found[1],
                stages: Vec::new(),
            }),
            _ => bail!("RAUC's script answered {answer:?}"),
        }
    }

    /// A loop device with old content.
    fn slot(&self, name: &str, bytes: u64) -> Result<String> {
        let file = self.directory.join(format!("slot-{name}.img"));
        worn(&file, bytes)?;
        let output = Command::new("losetup")
            .args(["--find", "--show"])
            .arg(&file)
            .run()?;
        Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
    }
}
