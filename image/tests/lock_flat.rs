//! The flat repository: what apt reads, and a pool that is on another file system.

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
use std::io::Write;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use archive::{Archive, debian, events, request};
use roamcore_image::lock::apt::AptTree;
use roamcore_image::lock::{Lock, Set, Sha256};
use roamcore_image::pool::{Pool, PoolError};
use skip::skip;

/// A file system that is not the one of the test's own files, on every Debian.
const ELSEWHERE: &str = "/dev/shm";

/// A lock, and a pool in `dir` that holds its packages; without `dir` beside the archive.
fn setup(dir: Option<&Path>) -> Option<(Archive, Lock, Pool)> {
    let archive = debian()?;
    let lock = archive
        .resolve(&request(&["app", "extra", "tool+x"], &[]))
        .unwrap();
    let dir = dir.map_or_else(|| archive.base("pool-cache"), Path::to_owned);
    let pool = Pool::open(dir).unwrap();
    pool.ensure(&lock, Set::Image, Some(&archive.mirrors()), None, &events())
        .unwrap();
    Some((archive, lock, pool))
}

#[test]
fn flat_repository_is_deterministic_and_apt_reads_it() {
    let Some((archive, lock, pool)) = setup(None) else {
        return;
    };
    let (a, b) = (archive.base("set-a"), archive.base("sub/set-b"));
    pool.link_set(&lock, Set::Image, &a).unwrap();
    pool.link_set(&lock, Set::Image, &b).unwrap();
    let index = fs::read_to_string(a.join("Packages")).unwrap();
    assert_eq!(index, fs::read_to_string(b.join("Packages")).unwrap());
    assert!(
        index.contains("Filename: ./lib_1%3a1.1+b1_amd64.deb\n"),
        "{index}"
    );

    // Unchanged: not made again. One link lost: made again.
    let stamp = |dir: &Path| {
        fs::metadata(dir.join("Packages"))
            .unwrap()
            .modified()
            .unwrap()
    };
    let before = stamp(&a);
    pool.link_set(&lock, Set::Image, &a).unwrap();
    assert_eq!(stamp(&a), before);
    fs::remove_file(a.join("app_2.0-1_amd64.deb")).unwrap();
    pool.link_set(&lock, Set::Image, &a).unwrap();
    assert!(a.join("app_2.0-1_amd64.deb").exists());

    let tree = AptTree::create(0).unwrap();
    let line = format!("deb [trusted=yes] copy:{} ./\n", a.display());
    tree.write("etc/apt/sources.list", line.as_bytes()).unwrap();
    tree.apt_get(&["--error-on=any", "update"])
        .unwrap()
        .unwrap();
    tree.apt_get(&[
        "install",
        "--download-only",
        "-y",
        "app",
        "tool+x",
        "?essential",
    ])
    .unwrap()
    .unwrap();
    let archives = tree.path().join("var/cache/apt/archives");
    for name in ["app", "lib", "tool+x", "base"] {
        let p = lock.image.iter().find(|p| p.name == name).unwrap();
        let got = fs::read(archives.join(p.file_name()))
            .or_else(|_| fs::read(a.join(p.file_name())))
            .unwrap();
        assert_eq!(Sha256::of(&got), p.sha256);
    }

    // As mmdebstrap asks: the essential packages of a codename.
    let essential = "?and(?codename(^trixie$),?essential)";
    let plan = tree.apt_get(&["install", "--simulate", "-y", essential]);
    assert!(plan.unwrap().unwrap().contains("Inst base (1.0-1 "));

    let foreign = archive.base("foreign");
    fs::create_dir(&foreign).unwrap();
    fs::write(foreign.join("diary"), "x").unwrap();
    assert!(matches!(
        pool.link_set(&lock, Set::Image, &foreign),
        Err(PoolError::Foreign { .. })
    ));
    assert!(foreign.join("diary").exists());

    let mut other = lock.clone();
    other.image[0].version = "2.0-9".into();
    let error = pool
        .link_set(&other, Set::Image, &a)
        .unwrap_err()
        .to_string();
    assert!(
        error.contains("its control file says Version \"2.0-1\", the lock says \"2.0-9\""),
        "{error}"
    );
    assert!(
        a.join("app_2.0-1_amd64.deb").exists(),
        "the old set stays whole"
    );
}

#[test]
fn a_pool_elsewhere_gives_a_set_that_stands_alone() {
    let Ok(elsewhere) = tempfile::tempdir_in(ELSEWHERE) else {
        skip("no file can be made in /dev/shm");
        return;
    };
    let Some((archive, lock, pool)) = setup(Some(elsewhere.path())) else {
        return;
    };
    let device = |path: &Path| fs::metadata(path).unwrap().dev();
    let set = archive.base("set");
    fs::create_dir(&set).unwrap();
    if device(&set) == device(elsewhere.path()) {
        skip("/dev/shm is the file system of temporary files");
        return;
    }
    pool.link_set(&lock, Set::Image, &set).unwrap();
    for entry in fs::read_dir(&set).unwrap() {
        let entry = entry.unwrap();
        assert!(entry.file_type().unwrap().is_file(), "{entry:?}");
    }
    // Taken for whole as long as it is: a copy that rots or became a link is made again.
    let inode = || fs::metadata(set.join("Packages")).unwrap().ino();
    let (first, deb) = (inode(), set.join(lock.image[0].file_name()));
    pool.link_set(&lock, Set::Image, &set).unwrap();
    assert_eq!(inode(), first);
    let mut rotten = fs::File::options().append(true).open(&deb).unwrap();
    rotten.write_all(b"x").unwrap();
    pool.link_set(&lock, Set::Image, &set).unwrap();
    assert_ne!(inode(), first);
    let second = inode();
    fs::remove_file(&deb).unwrap();
    std::os::unix::fs::symlink(pool.path(&lock.image[0]), &deb).unwrap();
    pool.link_set(&lock, Set::Image, &set).unwrap();
    assert_ne!(inode(), second);
    // Without the pool, as in the build namespace.
    drop(elsewhere);
    for package in &lock.image {
        let bytes = fs::read(set.join(package.file_name())).unwrap();
        assert_eq!(Sha256::of(&bytes), package.sha256);
    }
}
