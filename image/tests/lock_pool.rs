//! The pool: fetching, verifying, offline use, and what may go wrong.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "test helpers, too, may panic"
)]

#[path = "data/lock/archive.rs"]
mod archive;
#[path = "support/skip.rs"]
mod skip;

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use archive::{Archive, EPOCH, Spec, debian, events, request};
use roamcore_image::command::Command;
use roamcore_image::lock::{Lock, Mirrors, Set};
use roamcore_image::pool::{Ensured, Pool, PoolError};
use skip::skip;

/// Set in the child that is killed: directory with the lock and the pool.
const CHILD: &str = "LOCK_POOL_CHILD";

fn setup() -> Option<(Archive, Lock, Mirrors, Pool)> {
    let archive = debian()?;
    let lock = archive
        .resolve(&request(&["app", "extra", "tool+x"], &[]))
        .unwrap();
    let mirrors = archive.mirrors();
    let pool = Pool::open(archive.base("pool-cache")).unwrap();
    Some((archive, lock, mirrors, pool))
}

fn ensure(
    pool: &Pool,
    lock: &Lock,
    mirrors: Option<&Mirrors>,
    other: Option<&Path>,
) -> Result<Ensured, PoolError> {
    pool.ensure(lock, Set::Image, mirrors, other, &events())
}

fn source_file(archive: &Archive, lock: &Lock, name: &str) -> PathBuf {
    let package = lock.image.iter().find(|p| p.name == name).unwrap();
    archive.base(&package.origin).join(&package.path)
}

#[test]
fn fetches_then_works_offline() {
    let Some((archive, lock, mirrors, pool)) = setup() else {
        return;
    };
    let all = lock.image.len();
    assert_eq!(
        ensure(&pool, &lock, Some(&mirrors), None).unwrap(),
        Ensured {
            present: 0,
            copied: 0,
            fetched: all
        }
    );
    for name in ["debian", "debian-security"] {
        fs::remove_dir_all(archive.base(name)).unwrap();
    }
    let present = Ensured {
        present: all,
        copied: 0,
        fetched: 0,
    };
    assert_eq!(ensure(&pool, &lock, None, None).unwrap(), present);
    assert_eq!(
        ensure(&pool, &lock, Some(&mirrors), None).unwrap(),
        present,
        "a dead mirror is not asked"
    );

    // A kept pool fills an empty one, by content or by apt's file names.
    let by_name = archive.base("by-name");
    pool.link_set(&lock, Set::Image, &by_name).unwrap();
    for (i, kept) in [archive.base("pool-cache"), by_name].iter().enumerate() {
        let fresh = Pool::open(archive.base(&format!("fresh-{i}"))).unwrap();
        let error = ensure(&fresh, &lock, None, None).unwrap_err().to_string();
        assert!(
            error.starts_with("5 locked package(s) are in no pool")
                && error.contains("  app 2.0-1\n"),
            "{error}"
        );
        assert_eq!(ensure(&fresh, &lock, None, Some(kept)).unwrap().copied, all);
        assert_eq!(ensure(&fresh, &lock, None, None).unwrap().present, all);
    }
}

#[test]
fn wrong_bytes_stop_the_build() {
    let Some((archive, lock, mirrors, pool)) = setup() else {
        return;
    };
    ensure(&pool, &lock, Some(&mirrors), None).unwrap();
    let app = lock.image.iter().find(|p| p.name == "app").unwrap();
    let good = fs::read(pool.path(app)).unwrap();
    let mut bad = good.clone();
    bad[100] ^= 1;

    fs::write(pool.path(app), &bad).unwrap();
    let error = ensure(&pool, &lock, Some(&mirrors), None)
        .unwrap_err()
        .to_string();
    let found = roamcore_image::lock::Sha256::of(&bad);
    for part in [
        "package app 2.0-1",
        &app.sha256.to_string(),
        &found.to_string(),
        "remove the file and run again",
    ] {
        assert!(error.contains(part), "{part}: {error}");
    }
    fs::remove_file(pool.path(app)).unwrap();

    // From the operator's pool.
    let kept = archive.base("kept");
    fs::create_dir(&kept).unwrap();
    fs::write(kept.join(app.file_name()), &bad).unwrap();
    let error = ensure(&pool, &lock, Some(&mirrors), Some(&kept)).unwrap_err();
    assert!(
        matches!(&error, PoolError::WrongFile { path, .. } if path.starts_with(&kept)),
        "{error}"
    );

    // From the mirror.
    fs::write(source_file(&archive, &lock, "app"), &bad).unwrap();
    let error = ensure(&pool, &lock, Some(&mirrors), None).unwrap_err();
    assert!(
        matches!(&error, PoolError::WrongDownload { found: f, .. } if *f == found),
        "{error:?}"
    );
    assert!(!pool.path(app).exists());
    fs::write(source_file(&archive, &lock, "app"), &good).unwrap();
    assert_eq!(
        ensure(&pool, &lock, Some(&mirrors), None).unwrap().fetched,
        1
    );
}

#[test]
fn all_gone_versions_are_listed() {
    let Some((archive, lock, mirrors, pool)) = setup() else {
        return;
    };
    for name in ["app", "extra"] {
        fs::remove_file(source_file(&archive, &lock, name)).unwrap();
    }
    let error = ensure(&pool, &lock, Some(&mirrors), None).unwrap_err();
    assert!(
        matches!(&error, PoolError::Gone { packages } if packages.len() == 2),
        "{error:?}"
    );
    let text = error.to_string();
    for part in [
        "  app 2.0-1 (file:",
        "  extra 2-1 (file:",
        "build --pool DIR",
        "lock --download",
        "lock --update",
    ] {
        assert!(text.contains(part), "{part}: {text}");
    }
    // What was there has been kept.
    assert_eq!(
        ensure(&pool, &lock, None, None)
            .unwrap_err()
            .to_string()
            .matches("\n  ")
            .count(),
        2
    );
}

#[test]
fn unreachable_mirror_is_not_taken_for_gone() {
    let Some((_archive, lock, _, pool)) = setup() else {
        return;
    };
    let mut mirrors = Mirrors::default();
    // Nothing listens on the discard port.
    mirrors.set("debian", "http://127.0.0.1:9/debian").unwrap();
    mirrors
        .set("debian-security", "http://127.0.0.1:9/debian-security")
        .unwrap();
    let error = ensure(&pool, &lock, Some(&mirrors), None).unwrap_err();
    assert!(
        matches!(&error, PoolError::Fetch { packages } if packages.len() == lock.image.len()),
        "{error:?}"
    );
}

struct Mount(PathBuf);

impl Drop for Mount {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg(&self.0).run();
    }
}

fn tmpfs(dir: &Path, options: &str) -> Option<Mount> {
    fs::create_dir_all(dir).unwrap();
    if !rustix::process::geteuid().is_root() {
        skip("mounting a small tmpfs needs root");
        return None;
    }
    match Command::new("mount")
        .args(["-t", "tmpfs", "-o", options, "none"])
        .arg(dir)
        .run()
    {
        Ok(_) => Some(Mount(dir.to_owned())),
        Err(error) => {
            skip(&format!("no tmpfs can be mounted: {error}"));
            None
        }
    }
}

#[test]
fn full_disk_is_said_and_leaves_nothing_half() {
    let Some((archive, lock, mirrors, big)) = setup() else {
        return;
    };
    ensure(&big, &lock, Some(&mirrors), None).unwrap();
    let kept = archive.base("pool-cache");
    // Too few bytes is seen beforehand; too few inodes only while writing, each time elsewhere.
    let sizes = (6..48)
        .step_by(3)
        .map(|inodes| format!("size=10M,nr_inodes={inodes}"));
    let mut failed = 0;
    for (i, options) in std::iter::once("size=12k".to_owned())
        .chain(sizes)
        .enumerate()
    {
        let dir = archive.base(&format!("small-{i}"));
        let Some(mount) = tmpfs(&dir, &options) else {
            return;
        };
        for (from, other) in [(Some(&mirrors), None), (None, Some(kept.as_path()))] {
            let pool = Pool::open(&dir).unwrap();
            match ensure(&pool, &lock, from, other) {
                Ok(_) => {}
                Err(PoolError::DiskFull { .. }) => failed += 1,
                Err(error) => panic!("{options}: {error:?}"),
            }
            for package in lock.image.iter().filter(|p| pool.path(p).exists()) {
                let length = fs::metadata(pool.path(package)).unwrap().len();
                assert_eq!(length, package.size, "{} is half there", package.name);
            }
        }
        drop(mount);
    }
    println!("{failed} of 30 runs met a full disk and said so");
    assert!(failed >= 4);
}

const MANY: [&str; 40] = [
    "p00", "p01", "p02", "p03", "p04", "p05", "p06", "p07", "p08", "p09", "p10", "p11", "p12",
    "p13", "p14", "p15", "p16", "p17", "p18", "p19", "p20", "p21", "p22", "p23", "p24", "p25",
    "p26", "p27", "p28", "p29", "p30", "p31", "p32", "p33", "p34", "p35", "p36", "p37", "p38",
    "p39",
];

#[test]
fn killed_in_the_middle() {
    if let Ok(dir) = std::env::var(CHILD) {
        let dir = PathBuf::from(dir);
        let lock = Lock::read(&dir.join("x.lock")).unwrap();
        let mut mirrors = Mirrors::default();
        mirrors
            .set("debian", &format!("file:{}", dir.join("debian").display()))
            .unwrap();
        let pool = Pool::open(dir.join("pool")).unwrap();
        ensure(&pool, &lock, Some(&mirrors), None).unwrap();
        return;
    }
    let Some(archive) = Archive::empty() else {
        return;
    };
    let specs: Vec<Spec> = MANY
        .iter()
        .map(|&name| Spec {
            name,
            version: "1",
            fields: "Essential: yes\n",
            payload: 400_000,
        })
        .collect();
    archive.suite("debian", "trixie", &specs, EPOCH);
    let mut wanted = request(&MANY, &[]);
    wanted.suites.truncate(1);
    let lock = archive.resolve(&wanted).unwrap();
    lock.write(&archive.base("x.lock")).unwrap();
    let (mirrors, dir) = (archive.mirrors(), archive.base("pool"));
    let mut partial = 0;
    for files in [0, 1, 4, 9, 15, 22, 30, 39] {
        let mut child = std::process::Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "killed_in_the_middle"])
            .env(CHILD, archive.dir.path())
            .stdout(std::process::Stdio::null())
            .stderr(std::process::Stdio::null())
            .spawn()
            .unwrap();
        // Killed as soon as so many packages have arrived.
        let pool = Pool::open(&dir).unwrap();
        let arrived = || lock.image.iter().filter(|p| pool.path(p).exists()).count();
        let start = Instant::now();
        while arrived() < files && start.elapsed() < Duration::from_secs(30) {
            std::thread::sleep(Duration::from_millis(1));
        }
        child.kill().unwrap();
        child.wait().unwrap();
        let there = arrived();
        partial += usize::from(there > 0 && there < MANY.len());
        for p in lock.image.iter().filter(|p| pool.path(p).exists()) {
            assert_eq!(
                roamcore_image::lock::Sha256::of(&fs::read(pool.path(p)).unwrap()),
                p.sha256
            );
        }
        let done = ensure(&pool, &lock, Some(&mirrors), None).unwrap();
        assert_eq!((done.present, done.fetched), (there, MANY.len() - there));
        assert!(
            !fs::read_dir(&dir).unwrap().any(|e| e
                .unwrap()
                .file_name()
                .to_string_lossy()
                .starts_with(".tmp"))
        );
        fs::remove_dir_all(&dir).unwrap();
    }
    println!("killed 8 times, {partial} times with a partly filled pool");
}
