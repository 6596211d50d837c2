//! Every mount and unmount of the agent.
//!
//! Owns: mount flags and options. Never does: run mount(8), decide what to mount.
//! Invariant: nothing from a writable partition is mounted with set-uid programs or device nodes.

use std::ffi::{CStr, CString};
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;
use rustix::mount::{MountFlags, UnmountFlags, mount, mount_bind, unmount};

use crate::files::{self, At, IoAt};
use crate::log;
use crate::roots::Roots;

/// A mount table of a thousand lines and more.
const MOUNT_TABLE: u64 = 1024 * 1024;

/// The longest use is the copy of a UKI to a slow disk; a commit waits for it within its 15 minutes.
const LOCK_WITHIN: Duration = Duration::from_secs(120);
const LOCK_POLL: Duration = Duration::from_millis(50);

/// Why a mount was not made.
#[derive(Debug, thiserror::Error)]
pub enum MountError {
    /// The call itself.
    #[error(transparent)]
    Io(#[from] IoAt),
    /// A path overlayfs would read as several.
    #[error("overlay directory {0:?} has other characters than A-Z, a-z, 0-9 and '/._-'")]
    Path(PathBuf),
    /// Another process has the ESP.
    #[error(
        "{} is held by another process for more than {} s; is another agent writing to the ESP?",
        .0.display(), LOCK_WITHIN.as_secs()
    )]
    Busy(PathBuf),
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

/// What a mount is for. A writable one changes the ESP by being made: vfat marks the volume as in use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// Nothing is written.
    Read,
    /// Files are changed.
    Write,
}

/// A mount of ours; it is unmounted whatever happens.
#[derive(Debug)]
pub struct Mounted {
    target: PathBuf,
    mounted: bool,
}

impl Mounted {
    /// Mounts a system image read-only, to look into it; nothing in it can be run or be a device.
    pub fn image(roots: &Roots, device: &Path, target: &Path) -> Result<Self, MountError> {
        let flags =
            MountFlags::RDONLY | MountFlags::NOSUID | MountFlags::NODEV | MountFlags::NOEXEC;
        make(
            roots,
            device,
            target,
            ("erofs", "mount the image on"),
            flags,
            None,
        )
    }

    /// Mounts the state partition for a moment, before e2fsck has looked at it: the kernel replays the journal, and
    /// what it finds damaged makes it read-only.
    pub fn state(roots: &Roots, device: &Path, target: &Path) -> Result<Self, MountError> {
        let flags =
            MountFlags::NOATIME | MountFlags::NOSUID | MountFlags::NODEV | MountFlags::NOEXEC;
        make(
            roots,
            device,
            target,
            ("ext4", "mount the state partition on"),
            flags,
            Some(c"errors=remount-ro"),
        )
    }

    /// Mounts a volume that is being made for a guest, to fill it or to look into it; nothing in it can be run or be a
    /// device of this system.
    pub fn volume(
        roots: &Roots,
        device: &Path,
        target: &Path,
        access: Access,
    ) -> Result<Self, MountError> {
        let mut flags =
            MountFlags::NOATIME | MountFlags::NOSUID | MountFlags::NODEV | MountFlags::NOEXEC;
        if access == Access::Read {
            flags |= MountFlags::RDONLY;
        }
        make(
            roots,
            device,
            target,
            ("ext4", "mount the guest's volume on"),
            flags,
            None,
        )
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

fn make(
    roots: &Roots,
    device: &Path,
    target: &Path,
    (kind, doing): (&str, &'static str),
    flags: MountFlags,
    options: Option<&CStr>,
) -> Result<Mounted, MountError> {
    fs::create_dir_all(target).at("create", target)?;
    // Of a process that was killed: nobody else uses our mount points, and each is used by one at a time.
    let table = files::read(&roots.proc.join("self/mountinfo"), MOUNT_TABLE)?;
    if is_mounted(&String::from_utf8_lossy(&table), target) {
        log::warning(format!("unmounting what was left on {}", target.display()));
        unmount(target, UnmountFlags::empty()).at("unmount", target)?;
    }
    mount(device, target, kind, flags, options).at(doing, target)?;
    Ok(Mounted {
        target: target.to_owned(),
        mounted: true,
    })
}

impl Drop for Mounted {
    fn drop(&mut self) {
        if self.mounted
            && let Err(error) = unmount(&self.target, UnmountFlags::empty())
        {
            log::error(format!("cannot unmount {}: {error}", self.target.display()));
        }
    }
}

/// The mounted ESP, of one process at a time: the kernel refuses a second mount that differs in read-only, and two
/// writers would each believe what they listed.
#[derive(Debug)]
pub struct Esp {
    mounted: Mounted,
    // Released after the unmount: fields are dropped in this order.
    _lock: fs::File,
}

impl Esp {
    /// Mounts the ESP, for root's eyes only.
    pub fn mount(roots: &Roots, device: &Path, access: Access) -> Result<Self, MountError> {
        files::ensure_directory(&roots.facts(), 0o755)?;
        let lock = lock(&roots.facts().join("esp.lock"), LOCK_WITHIN)?;
        let mut flags = MountFlags::NOSUID | MountFlags::NODEV | MountFlags::NOEXEC;
        if access == Access::Read {
            flags |= MountFlags::RDONLY;
        }
        // After a power cut two names may share clusters; removing the second of them is an error that vfat would
        // answer by going read-only in the middle of our work. What we write we read back.
        let options = Some(c"umask=0077,errors=continue");
        let target = roots.facts().join("esp");
        Ok(Self {
            mounted: make(
                roots,
                device,
                &target,
                ("vfat", "mount the ESP on"),
                flags,
                options,
            )?,
            _lock: lock,
        })
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        self.mounted.path()
    }

    /// Unmounts, and says whether that worked.
    pub fn unmount(self) -> Result<(), MountError> {
        let Self { mounted, _lock } = self;
        mounted.unmount()
    }
}

/// Takes a lock that goes away with its holder.
fn lock(path: &Path, within: Duration) -> Result<fs::File, MountError> {
    let file = fs::OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(false)
        .open(path)
        .at("open", path)?;
    let start = Instant::now();
    loop {
        match flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => return Ok(file),
            Err(Errno::WOULDBLOCK) if start.elapsed() < within => std::thread::sleep(LOCK_POLL),
            Err(Errno::WOULDBLOCK) => return Err(MountError::Busy(path.to_owned())),
            Err(error) => Err(error).at("lock", path)?,
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

    #[test]
    fn one_holder_at_a_time() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("lock");
        let held = lock(&path, Duration::ZERO).unwrap();
        let error = lock(&path, Duration::from_millis(60)).unwrap_err();
        assert!(
            error.to_string().contains("is held by another process"),
            "{error}"
        );
        drop(held);
        lock(&path, Duration::ZERO).unwrap();
    }

    proptest! {
        #[test]
        fn never_panics(text in "(?s).*") {
            is_mounted(&text, Path::new("/sys"));
        }
    }
}
