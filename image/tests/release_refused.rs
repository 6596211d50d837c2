//! Proves that bad input stops a build with an error that says what to do, and leaves nothing that
//! looks like a release.

#![allow(clippy::unwrap_used, reason = "test helpers, too, may panic")]

mod support;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use support::{APPLIANCE, Built, Ran, built, copy_checkout, copy_package, edit, run};
use tempfile::TempDir;

/// A copy of the checkout to spoil, and an output directory.
struct Case<'a> {
    built: &'a Built,
    dir: TempDir,
}

impl<'a> Case<'a> {
    fn new(built: &'a Built) -> Case<'a> {
        let dir = tempfile::tempdir_in(built.checkout().parent().unwrap()).unwrap();
        copy_checkout(&built.checkout(), &dir.path().join("checkout"));
        Case { built, dir }
    }

    fn file(&self, path: &str) -> PathBuf {
        self.dir.path().join("checkout").join(path)
    }

    fn edit(self, path: &str, from: &str, to: &str) -> Self {
        edit(&self.file(path), from, to);
        self
    }

    fn out(&self) -> PathBuf {
        self.dir.path().join("out")
    }

    fn run(&self, args: &[&str]) -> Ran {
        let checkout = self.dir.path().join("checkout");
        run(self
            .built
            .builder()
            .checkout(&checkout)
            .out(&self.out())
            .args(args))
    }

    /// The build fails with these texts and leaves no release.
    fn build_fails(&self, texts: &[&str]) {
        let ran = self.run(&["build", APPLIANCE, "--offline"]).fails(1, texts);
        nothing_in(&self.out());
        let (_, log) = ran.err.split_once("the log of this build is ").unwrap();
        let said = fs::read_to_string(log.trim_end()).unwrap();
        assert!(
            said.contains(texts[0]),
            "{:?} is not in the log:\n{said}",
            texts[0]
        );
        fs::remove_file(log.trim_end()).unwrap();
    }
}

/// No release and no work area.
fn nothing_in(out: &Path) {
    let dir = out.join("bare-vp2430");
    let left: Vec<PathBuf> = fs::read_dir(dir)
        .map(|d| d.map(|e| e.unwrap().path()).collect())
        .unwrap_or_default();
    assert!(left.is_empty(), "{left:?}");
}

const SPEC: &str = "appliances/bare.toml";
const LOCK: &str = "appliances/bare.lock";

#[test]
fn specifications() {
    let Some(built) = built() else { return };
    let case = Case::new(built).edit(SPEC, "hostname =", "hostnmae =");
    case.build_fails(&["bare.toml:8:1", "hostnmae"]);
    case.run(&["check", APPLIANCE]).fails(1, &["bare.toml:8:1"]);
    let ran = case.run(&["check", APPLIANCE, "--json"]);
    let line: serde_json::Value = serde_json::from_str(ran.out.lines().next().unwrap()).unwrap();
    assert_eq!(
        (&line["problem"]["line"], &line["problem"]["column"]),
        (&8.into(), &1.into()),
        "{line}"
    );

    // Labels come from a fixed set of names, so a duplicate can only be a table given twice.
    let twice = "[partitions.state]\nmin = \"1GiB\"\n\n[partitions.state]";
    Case::new(built)
        .edit(SPEC, "[partitions.state]", twice)
        .build_fails(&["bare.toml", "duplicate"]);
    let other = "[partitions.root-a]\nmin = \"1GiB\"\n\n[partitions.state]";
    Case::new(built)
        .edit(SPEC, "[partitions.state]", other)
        .build_fails(&["bare.toml", "root-a"]);

    let large = Case::new(built).edit(SPEC, "min = \"8GiB\"", "min = \"80GiB\"");
    large.build_fails(&["the partitions need a disk of", "`disk.smallest` is"]);
}

#[test]
fn a_slot_too_small_for_the_root() {
    let Some(built) = built() else { return };
    let case = Case::new(built).edit(SPEC, "root = \"2GiB\"", "root = \"128MiB\"");
    case.build_fails(&[
        "the root filesystem has",
        "raise `root` under [slots] in appliances/bare.toml",
    ]);
}

#[test]
fn locks() {
    let Some(built) = built() else { return };
    let case = Case::new(built);
    fs::remove_file(case.file(LOCK)).unwrap();
    case.build_fails(&["make it with `roamcore-image lock bare`"]);

    // A package that the overlays name and the lock does not.
    let case = Case::new(built);
    let overlay = "overlays/base/overlay.toml";
    edit(&case.file(overlay), "install = [", "install = [\"hello\", ");
    case.build_fails(&[
        "made for other packages than its overlays name now",
        "lock bare",
    ]);

    // A row lost by hand or in a merge, of a package on which nothing depends, or everything.
    for name in ["less", "tzdata", "systemd"] {
        let case = Case::new(built);
        let text = fs::read_to_string(case.file(LOCK)).unwrap();
        let row = format!("name = \"{name}\",");
        let shorter: Vec<&str> = text.lines().filter(|l| !l.contains(&row)).collect();
        assert!(shorter.len() < text.lines().count(), "{name}");
        fs::write(case.file(LOCK), shorter.join("\n") + "\n").unwrap();
        case.build_fails(&["bare.lock:4: the rows have the digest", "lock --update"]);
    }

    // The same, made to look whole.
    let case = Case::new(built);
    let mut lock = roamcore_image::lock::Lock::read(&case.file(LOCK)).unwrap();
    lock.image.retain(|p| p.name != "less");
    lock.write(&case.file(LOCK)).unwrap();
    case.build_fails(&["no row for the image package `less`", "lock bare --update"]);
}

#[test]
fn a_package_that_is_not_the_locked_one() {
    let Some(built) = built() else { return };
    let case = Case::new(built);
    let lock = roamcore_image::lock::Lock::read(&case.file(LOCK)).unwrap();
    let package = lock.image.iter().find(|p| p.name == "bash").unwrap();
    let (pool, cache) = (case.dir.path().join("pool"), case.dir.path().join("cache"));
    fs::create_dir_all(&pool).unwrap();
    fs::write(pool.join(package.file_name()), "not bash").unwrap();
    // All others come from the real pool; this one is found in the given one first.
    let mine = roamcore_image::pool::Pool::open(cache.join("pool")).unwrap();
    let real = roamcore_image::cache::Cache::default_root()
        .unwrap()
        .join("pool");
    let real = roamcore_image::pool::Pool::open(real).unwrap();
    for other in lock
        .image
        .iter()
        .chain(&lock.tools)
        .filter(|p| p.sha256 != package.sha256)
    {
        copy_package(&real.path(other), &mine.path(other));
    }
    let args = [
        "build",
        APPLIANCE,
        "--offline",
        "--pool",
        pool.to_str().unwrap(),
    ];
    let builder = built.builder().checkout(&case.dir.path().join("checkout"));
    let ran = run(builder.cache(&cache).out(&case.out()).args(args));
    let digest = package.sha256.to_string();
    ran.fails(
        1,
        &["package bash", &digest, "remove the file and run again"],
    );
    nothing_in(&case.out());
}

#[test]
fn an_agent_that_is_not_there() {
    let Some(built) = built() else { return };
    let case = Case::new(built);
    let builder = built
        .builder()
        .agent(Path::new("/nowhere/agent"))
        .out(&case.out());
    run(builder.args(["build", APPLIANCE, "--offline"]))
        .fails(1, &["/nowhere/agent", "./dev agent"]);
    nothing_in(&case.out());
}

/// A small filesystem, unmounted when dropped.
struct Small(TempDir);

impl Small {
    fn new(mib: u32) -> Option<Small> {
        if !support::root() {
            return None;
        }
        let dir = tempfile::tempdir().unwrap();
        let size = format!("size={mib}m,mode=0755");
        let ran = run(Command::new("mount")
            .args(["-t", "tmpfs", "-o", &size, "tmpfs"])
            .arg(dir.path()));
        if ran.code != 0 {
            support::skip(&format!("cannot mount a tmpfs: {}", ran.err.trim()));
            return None;
        }
        Some(Small(dir))
    }
}

impl Drop for Small {
    fn drop(&mut self) {
        let _ = run(Command::new("umount").arg("--lazy").arg(self.0.path()));
    }
}

#[test]
fn a_full_disk_for_outputs() {
    let Some(built) = built() else { return };
    // Room for the root but not for the hash tree's end; room for the image but not for its archive.
    for mib in [100, 200, 300] {
        let Some(small) = Small::new(mib) else { return };
        let out = small.0.path().join("out");
        let ran = run(built
            .builder()
            .out(&out)
            .args(["build", APPLIANCE, "--offline"]));
        ran.fails(1, &["the disk with", "is full", "make room and run again"]);
        nothing_in(&out);
    }
}

#[test]
fn a_full_disk_for_the_cache() {
    let Some(built) = built() else { return };
    for (step, shared) in [
        ("tools", &[][..]),
        ("packages", &["tools", "flat"][..]),
        ("root", &["tools", "flat", "packages"][..]),
    ] {
        let Some(small) = Small::new(120) else { return };
        let (cache, out) = (
            built.cache(small.0.path(), shared),
            small.0.path().join("out"),
        );
        let ran =
            run(built
                .builder()
                .cache(&cache)
                .out(&out)
                .args(["build", APPLIANCE, "--offline"]));
        let ran = ran.fails(1, &["the disk with", "is full"]);
        // A program of the locked tools or dpkg-deb fails: what it said is kept and named.
        if step == "packages" || ran.err.contains(" failed (") {
            let (_, rest) = ran.err.split_once("the whole log is ").unwrap();
            let log = rest.split(';').next().unwrap();
            assert!(Path::new(log).is_file(), "{log}");
        }
        let made: Vec<_> = fs::read_dir(cache.join("steps"))
            .unwrap()
            .map(|e| e.unwrap().path())
            .collect();
        assert!(
            made.iter()
                .all(|p| !p.to_string_lossy().ends_with(&format!("-{step}"))),
            "{made:?}"
        );
        assert_eq!(fs::read_dir(cache.join("scratch")).unwrap().count(), 0);
        nothing_in(&out);
    }
}
