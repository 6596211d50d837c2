//! The lock's text: round trip, and every way in which it may be wrong, with its line.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "test helpers, too, may panic"
)]

use std::path::Path;

use roamcore_image::lock::{Lock, LockError, Package, Release, Request, Sha256, Snapshot};

fn package(name: &str) -> Package {
    Package {
        name: name.into(),
        version: "1:2.0~rc1+b1-1".into(),
        arch: "amd64".into(),
        size: 1234,
        sha256: Sha256::of(name.as_bytes()),
        path: format!("pool/main/{name}_2.0~rc1+b1-1_amd64.deb"),
        origin: "debian".into(),
        suite: "trixie".into(),
        component: "main".into(),
    }
}

fn lock() -> Lock {
    Lock {
        inputs: Sha256::of(b"inputs"),
        epoch: 1_789_199_741,
        snapshot: Snapshot {
            resolved: "2026-11-21T08:00:00Z".into(),
            apt: "2.6.2".into(),
            releases: vec![
                Release {
                    origin: "debian".into(),
                    suite: "trixie".into(),
                    date: "2026-09-12T07:55:41Z".into(),
                    version: Some("13.7".into()),
                    key: None,
                },
                Release {
                    origin: "vendor".into(),
                    suite: "stable".into(),
                    date: "2026-09-11T07:55:41Z".into(),
                    version: None,
                    key: Some(Sha256::of(b"key")),
                },
            ],
        },
        image: vec![package("aa"), package("bb")],
        tools: vec![package("cc")],
    }
}

fn parse(text: &str) -> Result<Lock, String> {
    Lock::parse(text, Path::new("appliances/x.lock")).map_err(|e| e.to_string())
}

#[test]
fn round_trip_and_one_package_per_line() {
    let lock = lock();
    let text = lock.to_text();
    assert_eq!(parse(&text).unwrap(), lock);
    assert_eq!(text.lines().filter(|l| l.contains("sha256 = ")).count(), 3);
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("x.lock");
    lock.write(&path).unwrap();
    assert_eq!(Lock::read(&path).unwrap(), lock);
    assert_eq!(
        std::fs::read_dir(dir.path()).unwrap().count(),
        1,
        "no temporary file stays"
    );
    let mut empty = lock;
    (empty.image, empty.tools) = (vec![], vec![]);
    assert_eq!(parse(&empty.to_text()).unwrap(), empty);
}

#[test]
fn digests_follow_content() {
    let (a, mut b) = (lock(), lock());
    b.snapshot.resolved = "2026-11-22T08:00:00Z".into();
    assert_ne!(a.digest(), b.digest());
    for set in [
        roamcore_image::lock::Set::Image,
        roamcore_image::lock::Set::Tools,
    ] {
        assert_eq!(a.set_digest(set), b.set_digest(set));
    }
    assert!(a.same_packages(&b));
    b.tools.clear();
    assert!(!a.same_packages(&b));
}

#[test]
fn bad_texts() {
    let good = lock().to_text();
    let line = |needle: &str| good.lines().position(|l| l.contains(needle)).unwrap() + 1;
    let (aa, bb) = (line("name = \"aa\""), line("name = \"bb\""));
    let hash = Sha256::of(b"aa").to_string();
    let swapped = {
        let mut lines: Vec<&str> = good.lines().collect();
        lines.swap(aa - 1, bb - 1);
        lines.join("\n")
    };
    let cases = [
        (
            "unknown key",
            good.replace("epoch =", "colour = 1\nepoch ="),
            line("epoch ="),
            "unknown field `colour`",
        ),
        (
            "unknown package key",
            good.replacen("arch =", "host = \"x\", arch =", 1),
            aa,
            "unknown field `host`",
        ),
        (
            "missing key",
            good.replacen("suite = \"trixie\", component", "component", 1),
            aa,
            "missing field `suite`",
        ),
        (
            "bad hash",
            good.replace(&hash, &hash.to_uppercase()),
            aa,
            "is not a SHA-256",
        ),
        (
            "short hash",
            good.replace(&hash, &hash[..63]),
            aa,
            "is not a SHA-256",
        ),
        (
            "path upwards",
            good.replacen("pool/main/bb", "pool/../bb", 1),
            bb,
            "expected a relative path",
        ),
        (
            "absolute path",
            good.replacen("pool/main/bb", "/pool/bb", 1),
            bb,
            "expected a relative path",
        ),
        (
            "bad name",
            good.replacen("name = \"bb\"", "name = \"b/b\"", 1),
            bb,
            "a package name has",
        ),
        (
            "other architecture",
            good.replacen("amd64\", size", "arm64\", size", 1),
            aa,
            "expected `amd64` or `all`",
        ),
        (
            "negative size",
            good.replacen("size = 1234", "size = -1", 1),
            aa,
            "invalid value",
        ),
        (
            "empty file",
            good.replacen("size = 1234", "size = 0", 1),
            aa,
            "size 0 cannot be",
        ),
        (
            "order",
            swapped,
            bb,
            "package aa is out of order or named twice",
        ),
        (
            "twice",
            good.replacen("\"bb\"", "\"aa\"", 1),
            bb,
            "package aa is out of order or named twice",
        ),
        (
            "epoch",
            good.replace("1789199741", "1789199742"),
            line("epoch ="),
            "is not the newest release date",
        ),
        (
            "date",
            good.replace("2026-09-11T07", "2026-09-31T07"),
            line("vendor"),
            "is not like 2026-09-12T07:55:41Z",
        ),
        (
            "resolved",
            good.replace("2026-11-21T08:00:00Z", "yesterday"),
            line("resolved"),
            "is not like",
        ),
        (
            "truncated",
            good[..good.len() - 4].to_owned(),
            good.lines().count() - 1,
            "",
        ),
        ("not toml", "format = = 1\n".to_owned(), 1, ""),
        (
            "no format",
            "inputs = \"\"\n".to_owned(),
            1,
            "missing field `format`",
        ),
    ];
    for (name, text, line, message) in cases {
        let error = parse(&text).expect_err(name);
        assert!(error.contains(message), "{name}: {error}");
        let start = format!("appliances/x.lock:{line}: ");
        assert!(
            error.starts_with(&start),
            "{name}: expected line {line}: {error}"
        );
        assert!(
            error.ends_with("make it anew with `lock --update`"),
            "{name}: {error}"
        );
    }
    for other in [1, 3] {
        assert_eq!(
            parse(&good.replace("format = 2", &format!("format = {other}"))).unwrap_err(),
            format!(
                "appliances/x.lock: lock format {other} is unknown, this builder reads format 2: use the builder it \
                 was made with, or `lock --update`"
            )
        );
    }
}

#[test]
fn rows_are_the_ones_that_were_resolved() {
    let good = lock().to_text();
    let without = |needle: &str| -> String {
        let kept = good.lines().filter(|l| !l.contains(needle));
        kept.map(|l| format!("{l}\n")).collect()
    };
    let cases = [
        ("lost", without("name = \"bb\"")),
        ("lost tool", without("name = \"cc\"")),
        (
            "moved",
            good.replace("  { name = \"bb\"", "]\ntools = [\n  { name = \"bb\"")
                .replacen("]\ntools = [\n  { name = \"cc", "  { name = \"cc", 1),
        ),
        ("changed", good.replacen("size = 1234", "size = 1235", 1)),
    ];
    for (name, text) in cases {
        let error = parse(&text).expect_err(name);
        assert!(
            error.starts_with("appliances/x.lock:4: the rows have the digest ")
                && error.contains(&good.lines().nth(3).unwrap()[8..72])
                && error.ends_with("make it anew with `lock --update`"),
            "{name}: {error}"
        );
    }
}

#[test]
fn every_package_asked_for_has_a_row() {
    let words = |list: &[&str]| list.iter().map(|s| (*s).to_owned()).collect();
    let request = Request::trixie(words(&["aa", "bb"]), words(&["cc"]));
    let mut lock = lock();
    assert!(matches!(
        lock.check("x", &request),
        Err(LockError::Stale { .. })
    ));
    lock.inputs = request.inputs();
    lock.check("x", &request).unwrap();
    lock.image.pop();
    assert_eq!(
        lock.check("x", &request).unwrap_err().to_string(),
        "the lock of `x` has no row for the image package `bb`, which is asked for; make it anew with \
         `roamcore-image lock x --update`"
    );
    lock.image.push(package("bb"));
    lock.tools.clear();
    assert!(
        matches!(lock.check("x", &request), Err(LockError::NoRow { package, .. }) if package == "cc")
    );
}
