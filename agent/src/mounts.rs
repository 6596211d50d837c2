//! Every mount and unmount of the agent.
//!
//! Owns: mount flags and options. Never does: run mount(8), decide what to mount.
//! Invariant: nothing from a writable partition is mounted with set-uid programs or device nodes.

use std::ffi::CString;
use std::fs;
use std::path::{Path, PathBuf};

use rustix::mount::{MountFlags, UnmountFlags, mount, mount_bind, unmount};

use crate::files::{self, At, IoAt};
use crate::log;
use crate::roots::Roots;

/// A mount table of a thousand lines and more.
const MOUNT_TABLE: u64 = 1024 * 1024;

/// Why a mount was not made.
#[derive(Debug, thiserror::Error)]
pub enum MountError {
    /// The call itself.
    #[error(transparent)]
    Io(#[from] IoAt),
    /// A path overlayfs would read as several.
    #[error("overlay directory {0:?} has other characters than A-Z, a-z, 0-9 and '/._-'")]
    Path(PathBuf),
}

/// Mounts the state partition.
pub fn state(device: &Path, target: &Path) -> Result<(), MountError> {
    let flags = MountFlags::NOATIME | MountFlags::NOSUID | MountFlags::NODEV;
    Ok(mount(device, target, "ext4", flags, None).at("mount the state partition on", target)?)
}

/// Shows `source` at `target` too.
pub fn bind(source: &Path, target: &Path) -> Result<(), MountError> {
    Ok(mount_bind(source, target).at("bind the state's directory on", target)?)
}

/// Puts the writable layer over the image's /etc.
pub fn overlay(etc: &Path, upper: &Path, work: &Path) -> Result<(), MountError> {
    let options = overlay_options(etc, upper, work)?;
    let flags = MountFlags::NOSUID | MountFlags::NODEV;
    Ok(mount("overlay", etc, "overlay", flags, options.as_c_str())
        .at("mount the overlay on", etc)?)
}

/// The four features are off because each makes an upper depend on the very lower it was made on,
/// and the lower changes with every release.
fn overlay_options(lower: &Path, upper: &Path, work: &Path) -> Result<CString, MountError> {
    let mut options = String::new();
    for (key, path) in [("lowerdir", lower), ("upperdir", upper), ("workdir", work)] {
        let plain = |b: u8| b.is_ascii_alphanumeric() || b"/._-".contains(&b);
        let text = path
            .to_str()
            .filter(|text| !text.is_empty() && text.bytes().all(plain));
        let text = text.ok_or_else(|| MountError::Path(path.to_owned()))?;
        options += &format!("{key}={text},");
    }
    options += "index=off,metacopy=off,redirect_dir=off,xino=off";
    CString::new(options).map_err(|_| MountError::Path(lower.to_owned()))
}

/// Mounts efivarfs unless it is.
pub fn ensure_efivarfs(roots: &Roots) -> Result<(), MountError> {
    let target = roots.sys.join("firmware/efi/efivars");
    let table = files::read(&roots.proc.join("self/mountinfo"), MOUNT_TABLE)?;
    if is_mounted(&String::from_utf8_lossy(&table), &target) {
        return Ok(());
    }
    let flags = MountFlags::NOSUID | MountFlags::NODEV | MountFlags::NOEXEC;
    Ok(mount("efivarfs", &target, "efivarfs", flags, None).at("mount efivarfs on", &target)?)
}

/// Looks for a mount point in a mountinfo table; proc_pid_mountinfo(5): the fifth field.
fn is_mounted(table: &str, target: &Path) -> bool {
    table.lines().any(|line| {
        line.split(' ')
            .nth(4)
            .is_some_and(|point| Path::new(point) == target)
    })
}

/// The mounted ESP; it is unmounted whatever happens.
#[derive(Debug)]
pub struct Esp {
    target: PathBuf,
    mounted: bool,
}

impl Esp {
    /// Mounts the ESP, for root's eyes only.
    pub fn mount(device: &Path, target: &Path) -> Result<Self, MountError> {
        fs::create_dir_all(target).at("create", target)?;
        let flags = MountFlags::NOSUID | MountFlags::NODEV | MountFlags::NOEXEC;
        mount(device, target, "vfat", flags, c"umask=0077").at("mount the ESP on", target)?;
        Ok(Self {
            target: target.to_owned(),
            mounted: true,
        })
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.target
    }

    /// Unmounts, and says whether that worked.
    pub fn unmount(mut self) -> Result<(), MountError> {
        self.mounted = false;
        Ok(unmount(&self.target, UnmountFlags::empty()).at("unmount", &self.target)?)
    }
}

impl Drop for Esp {
    fn drop(&mut self) {
        if self.mounted
            && let Err(error) = unmount(&self.target, UnmountFlags::empty())
        {
            log::error(format!("cannot unmount {}: {error}", self.target.display()));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn overlay_options_are_exact_and_not_to_be_extended() {
        let options =
            overlay_options(Path::new("/s/etc"), Path::new("/u"), Path::new("/w")).unwrap();
        let want = "lowerdir=/s/etc,upperdir=/u,workdir=/w,index=off,metacopy=off,redirect_dir=off,xino=off";
        assert_eq!(options.to_str().unwrap(), want);
        for bad in ["", "/s,upperdir=/x", "/s:/t", "/s\\,", "/s t"] {
            let got = overlay_options(Path::new(bad), Path::new("/u"), Path::new("/w"));
            assert!(matches!(got, Err(MountError::Path(_))), "{bad:?}");
        }
    }

    #[test]
    fn mount_table() {
        let table = "25 1 0:6 / /sys rw - sysfs sysfs rw\n30 25 0:9 / /sys/firmware/efi/efivars rw - efivarfs x rw\n";
        assert!(is_mounted(table, Path::new("/sys/firmware/efi/efivars")));
        assert!(!is_mounted(table, Path::new("/sys/firmware/efi")));
        assert!(!is_mounted("", Path::new("/sys")));
    }

    proptest! {
        #[test]
        fn never_panics(text in "(?s).*") {
            is_mounted(&text, Path::new("/sys"));
        }
    }
}
