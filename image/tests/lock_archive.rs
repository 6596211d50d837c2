//! Resolving against a real-looking signed archive, and once against the machine's own mirror.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "test helpers, too, may panic"
)]

#[path = "data/lock/archive.rs"]
mod archive;
mod support;

use std::fs;
use std::path::Path;

use archive::{Archive, EPOCH, debian, events, request, spec};
use roamcore_image::command::Command;
use roamcore_image::lock::{Lock, LockError, Mirrors, Options, Set, resolve, resolve_with};
use support::skip;

fn names(lock: &Lock, set: Set) -> Vec<&str> {
    lock.packages(set).iter().map(|p| p.name.as_str()).collect()
}

#[test]
fn resolves_newest_of_all_suites() {
    let Some(archive) = debian() else { return };
    let wanted = request(&["app", "extra"], &["tool+x"]);
    let lock = archive.resolve(&wanted).unwrap();
    assert_eq!(names(&lock, Set::Image), ["app", "base", "extra", "lib"]);
    assert_eq!(names(&lock, Set::Tools), ["base", "tool+x"]);
    let lib = &lock.image[3];
    assert_eq!(
        (
            lib.version.as_str(),
            lib.suite.as_str(),
            lib.origin.as_str()
        ),
        ("1:1.1+b1", "trixie-updates", "debian")
    );
    assert_eq!(lib.path, "pool/main/lib/lib_1.1+b1_amd64.deb");
    assert_eq!(lib.file_name(), "lib_1%3a1.1+b1_amd64.deb");
    assert_eq!(
        (
            lock.image[2].version.as_str(),
            lock.image[2].origin.as_str()
        ),
        ("2-1", "debian-security")
    );
    assert_eq!(lock.epoch, EPOCH + 2 * 86_400);
    assert_eq!(lock.snapshot.releases.len(), 3);
    assert!(!lock.to_text().contains("file:"), "a lock names no mirror");

    assert_eq!(
        Lock::parse(&lock.to_text(), Path::new("x.lock")).unwrap(),
        lock
    );
    assert!(lock.matches(&wanted));
    assert!(!lock.matches(&request(&["app"], &["tool+x"])));
    let again = archive
        .resolve(&request(&["extra", "app", "app"], &["tool+x"]))
        .unwrap();
    assert!(again.same_packages(&lock));
    assert_eq!(again.set_digest(Set::Image), lock.set_digest(Set::Image));
    assert_ne!(lock.set_digest(Set::Image), lock.set_digest(Set::Tools));
}

#[test]
fn recommends_are_off() {
    let Some(archive) = debian() else { return };
    let lock = archive.resolve(&request(&["app"], &[])).unwrap();
    assert_eq!(names(&lock, Set::Image), ["app", "base", "lib"]);
    assert_eq!(names(&lock, Set::Tools), ["base"]);
}

#[test]
fn refusals_name_the_package() {
    let Some(archive) = debian() else { return };
    let say = |image: &[&str], tools: &[&str]| {
        archive
            .resolve(&request(image, tools))
            .unwrap_err()
            .to_string()
    };
    assert_eq!(
        say(&["app", "nosuch"], &[]),
        "image package `nosuch` cannot be resolved; apt says:\nE: Unable to locate package nosuch"
    );
    assert!(say(&[], &["nosuch"]).starts_with("tools package `nosuch` cannot be resolved"));
    let broken = say(&["broken"], &[]);
    assert!(
        broken.starts_with("image package `broken` cannot be resolved; apt says:\n"),
        "{broken}"
    );
    assert!(
        broken.contains("Depends: nowhere but it is not installable"),
        "{broken}"
    );
    assert!(say(&["app=9"], &[]).starts_with("package `app=9` is refused"));
    assert!(
        say(&["virtual-app"], &[]).starts_with("image package `virtual-app` is a virtual name")
    );
}

#[test]
fn debian_must_be_signed_by_the_keyring() {
    let (Some(archive), Some(other)) = (debian(), Archive::empty()) else {
        return;
    };
    let ask = |keyring| {
        let wanted = request(&["app"], &[]);
        resolve_with(&wanted, &archive.mirrors(), &Options { keyring }, &events()).unwrap_err()
    };
    let error = ask(other.keyring());
    assert!(matches!(error, LockError::OldKeyring { .. }), "{error:?}");
    assert!(
        error
            .to_string()
            .contains("apt-get install debian-archive-keyring")
    );
    let missing = ask(archive.base("no-such-keyring"));
    assert!(
        matches!(missing, LockError::NoKeyring { .. }),
        "{missing:?}"
    );

    // A signed index with one byte changed.
    let packages = archive
        .base("debian")
        .join("dists/trixie/main/binary-amd64/Packages");
    let text = fs::read_to_string(&packages).unwrap();
    fs::write(&packages, text.replace("2.0-1", "2.0-2")).unwrap();
    let error = archive.resolve(&request(&["app"], &[])).unwrap_err();
    assert!(matches!(error, LockError::Update { .. }), "{error:?}");
    fs::remove_dir_all(archive.base("debian").join("dists/trixie-updates")).unwrap();
    assert!(matches!(
        archive.resolve(&request(&["app"], &[])).unwrap_err(),
        LockError::Update { .. }
    ));
}

#[test]
fn unsigned_archive_is_refused() {
    let Some(archive) = debian() else { return };
    fs::remove_file(archive.base("debian").join("dists/trixie/InRelease")).unwrap();
    let error = archive.resolve(&request(&["app"], &[])).unwrap_err();
    assert!(
        matches!(
            error,
            LockError::OldKeyring { .. } | LockError::Update { .. }
        ),
        "{error:?}"
    );
}

#[test]
fn extra_sources_need_their_own_key() {
    let (Some(archive), Some(vendor)) = (debian(), Archive::empty()) else {
        return;
    };
    vendor.suite(
        "vendor",
        "stable",
        &[
            spec("daemon", "1-1", "Depends: lib\n"),
            spec("tool+x", "9-1", ""),
        ],
        EPOCH,
    );
    let key = fs::read(vendor.keyring()).unwrap();
    let ask = |key: Option<Vec<u8>>| {
        let mut wanted = request(&["daemon"], &["tool+x"]);
        wanted.sources.push(vendor.source("vendor", key));
        archive.resolve(&wanted)
    };
    assert!(matches!(ask(None).unwrap_err(), LockError::NoKey { .. }));
    let wrong = ask(Some(fs::read(archive.keyring()).unwrap())).unwrap_err();
    assert!(
        matches!(&wrong, LockError::WrongKey { name, .. } if name == "vendor"),
        "{wrong:?}"
    );
    assert!(wrong.to_string().contains("lock --trust-key NAME=FILE"));

    let lock = ask(Some(key.clone())).unwrap();
    assert_eq!(names(&lock, Set::Image), ["base", "daemon", "lib"]);
    assert_eq!(lock.image[1].origin, "vendor");
    assert_eq!(
        lock.tools[1].version, "3.1+dfsg-2",
        "a third party has no say in the tools"
    );
    let release = lock
        .snapshot
        .releases
        .iter()
        .find(|r| r.origin == "vendor")
        .unwrap();
    assert_eq!(release.key, Some(roamcore_image::lock::Sha256::of(&key)));
    assert_eq!(
        Lock::parse(&lock.to_text(), Path::new("x.lock")).unwrap(),
        lock
    );
}

#[test]
fn a_declared_fingerprint_is_the_keys_own() {
    let (Some(archive), Some(vendor), Some(other)) = (debian(), Archive::empty(), Archive::empty())
    else {
        return;
    };
    vendor.suite("vendor", "stable", &[spec("daemon", "1-1", "")], EPOCH);
    let read = |archive: &Archive| fs::read(archive.keyring()).unwrap();
    let ask = |key: Vec<u8>, fingerprint: String| {
        let mut wanted = request(&["daemon"], &[]);
        let mut source = vendor.source("vendor", Some(key));
        source.fingerprint = Some(fingerprint);
        wanted.sources.push(source);
        archive.resolve(&wanted)
    };
    let (right, wrong) = (vendor.fingerprint(), other.fingerprint());
    let lock = ask(read(&vendor), right.to_lowercase()).unwrap();
    assert!(lock.image.iter().any(|p| p.name == "daemon"));

    // It signs the archive, but is not the key that was reviewed.
    let error = ask(read(&vendor), wrong.clone()).unwrap_err();
    let text = error.to_string();
    assert!(matches!(error, LockError::Fingerprint { .. }), "{error:?}");
    assert!(text.contains(&right) && text.contains(&wrong), "{text}");
    // apt would trust both keys of such a file.
    let both = [read(&vendor), read(&other)].concat();
    let error = ask(both, right.clone()).unwrap_err().to_string();
    assert!(error.contains(&format!("{right}, {wrong}")), "{error}");
}

#[test]
fn a_key_with_another_fingerprint_is_not_imported() {
    let (Some(vendor), Some(other)) = (Archive::empty(), Archive::empty()) else {
        return;
    };
    let dir = tempfile::tempdir().unwrap();
    support::copy_checkout(&support::source(), dir.path());
    let overlay = dir.path().join("overlays/vendor");
    fs::create_dir(&overlay).unwrap();
    let text = format!(
        "schema = 1\nname = \"vendor\"\ndescription = \"test\"\n[[apt_source]]\nname = \"vendor\"\n\
         suites = [\"stable\"]\ncomponents = [\"main\"]\nkey = \"keys/vendor.gpg\"\nfingerprint = \"{}\"\n",
        vendor.fingerprint()
    );
    fs::write(overlay.join("overlay.toml"), text).unwrap();
    support::edit(
        &dir.path().join("appliances/bare.toml"),
        "\"agent\"]",
        "\"agent\", \"vendor\"]",
    );
    let import = |archive: &Archive| {
        let key = format!("vendor={}", archive.keyring().display());
        // Nothing listens there: what follows the import fails, quickly and for another reason.
        let nowhere = [
            "--mirror",
            "http://127.0.0.1:9",
            "--security-mirror",
            "http://127.0.0.1:9",
        ];
        support::run(
            std::process::Command::new(support::BUILDER)
                .arg("--checkout")
                .arg(dir.path())
                .args(["lock", "bare", "--trust-key", &key, "--source-mirror"])
                .arg("vendor=http://127.0.0.1:9")
                .args(nowhere),
        )
    };
    let (right, wrong) = (vendor.fingerprint(), other.fingerprint());
    import(&other).fails(1, &["is refused: its overlay declares", &right, &wrong]);
    assert!(!overlay.join("keys").exists(), "a refused key was kept");
    import(&vendor).fails(1, &["`vendor` is now trusted through"]);
    assert_eq!(
        fs::read(overlay.join("keys/vendor.gpg")).unwrap(),
        fs::read(vendor.keyring()).unwrap()
    );
}

/// As root, runs the first test of this file again as another user.
#[test]
fn works_as_an_ordinary_user() {
    if !rustix::process::geteuid().is_root() {
        return skip("all tests here already run as an ordinary user");
    }
    let home = tempfile::tempdir().unwrap();
    let exe = home.path().join("test");
    fs::copy(std::env::current_exe().unwrap(), &exe).unwrap();
    for path in [home.path(), &exe] {
        fs::set_permissions(path, std::os::unix::fs::PermissionsExt::from_mode(0o777)).unwrap();
    }
    let out = Command::new("setpriv")
        .args(["--reuid=65534", "--regid=65534", "--clear-groups"])
        .arg(&exe)
        .args(["--exact", "resolves_newest_of_all_suites", "--nocapture"])
        .env("TMPDIR", home.path())
        .env("HOME", home.path())
        .current_dir(home.path())
        .run()
        .unwrap();
    let text = String::from_utf8_lossy(&out.stdout).into_owned();
    assert!(text.contains("1 passed"), "{text}");
}

#[test]
fn real_archive() {
    let mirrors = match Mirrors::find(None, None) {
        Ok(mirrors) => mirrors,
        Err(error) => return skip(&error.to_string()),
    };
    let wanted = roamcore_image::lock::Request::trixie(vec!["bash".into()], vec![]);
    let lock = match resolve(&wanted, &mirrors, &events()) {
        Ok(lock) => lock,
        Err(
            error @ (LockError::Update { .. }
            | LockError::NoKeyring { .. }
            | LockError::OldKeyring { .. }),
        ) => {
            return skip(&error.to_string());
        }
        Err(error) => panic!("{error}"),
    };
    let bash = lock.image.iter().find(|p| p.name == "bash").unwrap();
    assert!(
        bash.path.starts_with("pool/main/b/bash/bash_5.2"),
        "{bash:?}"
    );
    println!(
        "bash {} with {} packages, epoch {}",
        bash.version,
        lock.image.len(),
        lock.epoch
    );
    assert_eq!(
        Lock::parse(&lock.to_text(), Path::new("x.lock")).unwrap(),
        lock
    );
}
