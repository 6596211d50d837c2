//! A set of pooled packages as a flat repository that apt and mmdebstrap can read.
//!
//! Owns: the directory of links, its `Packages` index and the stamp that tells whether both are
//! still right. Never does: verify the pool's own files (`Pool::ensure` has) or touch the network.
//! Invariant: the index depends on the packages alone, the directory appears whole or not at all,
//! and nothing in it leads out of it, because it is used where the pool is not visible. Use it as
//! `deb [trusted=yes] copy:/dir ./`.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use super::{Lock, Package, Sha256, date, index};
use crate::command::Command;
use crate::pool::PoolError;

/// Marks a directory as ours, and says what it was made from.
const STAMP: &str = ".roamcore-set";

/// Makes `dir` a flat repository of `packages`; `deb` gives the file of each.
pub fn link(
    lock: &Lock,
    packages: &[Package],
    deb: impl Fn(&Package) -> PathBuf,
    dir: &Path,
) -> Result<(), PoolError> {
    let mut identity = format!("{} {}\n", lock.codename(), lock.epoch);
    for p in packages {
        identity += &format!("{} {} {}\n", p.file_name(), p.size, p.sha256);
    }
    let identity = Sha256::of(identity.as_bytes());
    if let Ok(stamp) = fs::read_to_string(dir.join(STAMP)) {
        if is_current(packages, &deb, dir, &stamp, identity) {
            return Ok(());
        }
    } else if fs::read_dir(dir).is_ok_and(|mut entries| entries.next().is_some()) {
        return Err(PoolError::Foreign {
            path: dir.to_owned(),
        });
    }
    let parent = dir
        .parent()
        .filter(|p| !p.as_os_str().is_empty())
        .unwrap_or(Path::new("."));
    fs::create_dir_all(parent).map_err(PoolError::file(parent))?;
    let fresh = tempfile::Builder::new()
        .prefix(".roamcore-set-")
        .tempdir_in(parent)
        .map_err(PoolError::file(parent))?;
    for package in packages {
        let (from, to) = (deb(package), fresh.path().join(package.file_name()));
        // Another file system, or a file that is not ours. A link by name would dangle where only
        // this directory is mounted.
        if fs::hard_link(&from, &to).is_err() {
            fs::copy(&from, &to).map_err(PoolError::file(&to))?;
        }
    }
    let text = stanzas(packages, &deb, fresh.path())?;
    let write = |name: &str, bytes: &[u8]| {
        let path = fresh.path().join(name);
        fs::write(&path, bytes).map_err(PoolError::file(path))
    };
    write("Packages", text.as_bytes())?;
    write("Release", release(lock, &text).as_bytes())?;
    write(
        STAMP,
        format!("{identity} {}\n", Sha256::of(text.as_bytes())).as_bytes(),
    )?;
    // Readable for the user that apt's download methods may run as.
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    fs::set_permissions(fresh.path(), mode).map_err(PoolError::file(fresh.path()))?;
    if dir.exists() {
        fs::remove_dir_all(dir).map_err(PoolError::file(dir))?;
    }
    fs::rename(fresh.keep(), dir).map_err(PoolError::file(dir))
}

/// mmdebstrap asks apt for the essential packages *of a codename*: without a Release file that
/// says it, it finds none and makes an empty tree without complaint.
fn release(lock: &Lock, packages: &str) -> String {
    format!(
        "Origin: roamcore\nSuite: {0}\nCodename: {0}\nDate: {1}\nArchitectures: amd64\nSHA256:\n {2} {3} Packages\n",
        lock.codename(),
        date::rfc1123(lock.epoch),
        Sha256::of(packages.as_bytes()),
        packages.len()
    )
}

fn is_current(
    packages: &[Package],
    deb: &impl Fn(&Package) -> PathBuf,
    dir: &Path,
    stamp: &str,
    identity: Sha256,
) -> bool {
    if !dir.join("Release").is_file() {
        return false;
    }
    let Ok(text) = fs::read(dir.join("Packages")) else {
        return false;
    };
    if stamp != format!("{identity} {}\n", Sha256::of(&text)) {
        return false;
    }
    packages
        .iter()
        .all(|p| is_same(p, &deb(p), &dir.join(p.file_name())))
}

/// True for another name of the pool's file, and for a copy that is still what it was.
fn is_same(package: &Package, pooled: &Path, name: &Path) -> bool {
    let (Ok(a), Ok(b)) = (fs::metadata(pooled), fs::symlink_metadata(name)) else {
        return false;
    };
    if (a.dev(), a.ino()) == (b.dev(), b.ino()) {
        return true;
    }
    let copy = fs::File::open(name).and_then(Sha256::of_reader);
    b.is_file() && copy.is_ok_and(|found| found == (package.sha256, package.size))
}

/// The `Packages` text: each package's own control fields, then where and what its file is.
fn stanzas(
    packages: &[Package],
    deb: &(impl Fn(&Package) -> PathBuf + ?Sized),
    work: &Path,
) -> Result<String, PoolError> {
    let files: Vec<(&Package, PathBuf)> = packages.iter().map(|p| (p, deb(p))).collect();
    let slots: Mutex<Vec<Option<Result<String, PoolError>>>> =
        Mutex::new(files.iter().map(|_| None).collect());
    let next = std::sync::atomic::AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for _ in 0..std::thread::available_parallelism().map_or(2, |n| n.get().min(4)) {
            scope.spawn(|| {
                loop {
                    let i = next.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
                    let Some((package, path)) = files.get(i) else {
                        return;
                    };
                    let result = stanza(package, path, work);
                    slots.lock().unwrap_or_else(PoisonError::into_inner)[i] = Some(result);
                }
            });
        }
    });
    let mut text = String::new();
    for result in slots
        .into_inner()
        .unwrap_or_else(PoisonError::into_inner)
        .into_iter()
        .flatten()
    {
        text += &result?;
    }
    Ok(text)
}

/// `work` is where dpkg-deb may unpack: with its caller killed, it leaves that behind.
fn stanza(package: &Package, path: &Path, work: &Path) -> Result<String, PoolError> {
    let show = Command::new("dpkg-deb").arg("--field").arg(path);
    let out = show.env("TMPDIR", work).run()?;
    let control = String::from_utf8_lossy(&out.stdout).into_owned();
    for (field, locked) in [
        ("Package", &package.name),
        ("Version", &package.version),
        ("Architecture", &package.arch),
    ] {
        let found = index::field(&control, field).unwrap_or("");
        if found != locked {
            return Err(PoolError::Control {
                package: package.name.clone(),
                field,
                locked: locked.clone(),
                found: found.to_owned(),
            });
        }
    }
    Ok(format!(
        "{}\nFilename: ./{}\nSize: {}\nSHA256: {}\n\n",
        control.trim_end(),
        package.file_name(),
        package.size,
        package.sha256
    ))
}
