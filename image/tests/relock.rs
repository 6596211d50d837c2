//! Which lock a development build takes: against a signed archive that drops a version.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "test helpers, too, may panic"
)]

#[path = "data/lock/archive.rs"]
mod archive;
mod support;

use std::fs;
use std::path::PathBuf;

use archive::{Archive, EPOCH, TRIXIE, debian, request};
use roamcore_image::build::Sources;
use roamcore_image::cache::Cache;
use roamcore_image::compare;
use roamcore_image::events::Events;
use roamcore_image::lock::{Lock, Mirrors, Options, Request, Set};
use roamcore_image::pool::Pool;
use roamcore_image::relock::{Wanted, choose, kept};
use roamcore_ota::Channel;
use support::{APPLIANCE, RELEASE, built, copy_checkout, run, skip};

struct Case {
    archive: Archive,
    cache: Cache,
    committed: PathBuf,
    request: Request,
}

impl Case {
    /// An archive, and a committed lock of what it has.
    fn new() -> Option<Case> {
        let archive = debian()?;
        let cache = Cache::open(&archive.base("cache")).unwrap();
        let committed = archive.base("x.lock");
        let request = request(&["app"], &["tool+x"]);
        archive
            .resolve(&request)
            .unwrap()
            .write(&committed)
            .unwrap();
        Some(Case {
            archive,
            cache,
            committed,
            request,
        })
    }

    /// The lock chosen, and what was said meanwhile.
    fn choose(&self, mirrors: Option<&Mirrors>) -> (anyhow::Result<Lock>, String) {
        let options = Options {
            keyring: self.archive.keyring(),
        };
        let wanted = Wanted {
            appliance: "x",
            committed: &self.committed,
            request: &self.request,
            mirrors,
            pool: None,
            options: &options,
        };
        let (events, log) = (Events::new(false), self.archive.base("log"));
        events.log_to(&log).unwrap();
        let lock = choose(&self.cache, wanted, &events);
        (lock, fs::read_to_string(log).unwrap())
    }

    fn online(&self) -> (Lock, String) {
        let (lock, said) = self.choose(Some(&self.archive.mirrors()));
        (lock.unwrap(), said)
    }

    /// The mirror goes on to a newer version of `app` and drops the old one; nothing is in the pool.
    fn drop_version(&self) {
        fs::remove_dir_all(self.archive.base("debian").join("pool/main/app")).unwrap();
        let newer = TRIXIE.iter().map(|spec| {
            let mut spec = *spec;
            if spec.name == "app" {
                spec.version = "2.1-1";
            }
            spec
        });
        let newer: Vec<_> = newer.collect();
        self.archive.suite("debian", "trixie", &newer, EPOCH + 60);
        fs::remove_dir_all(self.cache.root().join("pool")).unwrap();
    }

    fn fill(&self, lock: &Lock) {
        let pool = Pool::open(self.cache.root().join("pool")).unwrap();
        for set in [Set::Image, Set::Tools] {
            let mirrors = self.archive.mirrors();
            pool.ensure(lock, set, Some(&mirrors), None, &archive::events())
                .unwrap();
        }
    }
}

fn app(lock: &Lock) -> &str {
    let app = lock.image.iter().find(|p| p.name == "app");
    app.unwrap().version.as_str()
}

#[test]
fn the_committed_lock_is_taken_as_long_as_it_can_be() {
    let Some(case) = Case::new() else { return };
    let committed = Lock::read(&case.committed).unwrap();
    let (lock, said) = case.online();
    assert_eq!((lock, said.as_str()), (committed.clone(), ""));
    // Fetched by now: no network is needed, whatever the mirror has.
    case.archive.suite("debian", "trixie", &[], EPOCH);
    assert_eq!(case.choose(None).0.unwrap(), committed);
}

#[test]
fn a_relock_is_kept_for_further_and_for_offline_builds() {
    let Some(case) = Case::new() else { return };
    let committed = fs::read(&case.committed).unwrap();
    case.drop_version();
    let (lock, said) = case.online();
    assert_eq!(app(&lock), "2.1-1");
    for text in [
        "gone from the mirror",
        "app 2.0-1",
        "RELOCKING",
        "are kept in",
    ] {
        assert!(said.contains(text), "{text:?} is not in {said}");
    }
    assert_eq!(
        fs::read(&case.committed).unwrap(),
        committed,
        "the committed lock was touched"
    );

    // A build follows, which fills the pool; the next one, online or not, takes the same packages.
    case.fill(&lock);
    for mirrors in [None, Some(case.archive.mirrors())] {
        let (again, said) = case.choose(mirrors.as_ref());
        assert_eq!(again.unwrap(), lock);
        assert!(
            said.contains("RELOCKED") && !said.contains("RELOCKING"),
            "{said}"
        );
    }

    // It stands for that committed lock only.
    let mut newer = lock.clone();
    newer.snapshot.resolved = "2030-01-01T00:00:00Z".into();
    newer.write(&case.committed).unwrap();
    let (chosen, said) = case.choose(None);
    assert_eq!((chosen.unwrap(), said.as_str()), (newer, ""));
}

#[test]
fn a_lock_that_cannot_be_used_is_named_with_the_reason() {
    let Some(case) = Case::new() else { return };
    let good = fs::read_to_string(&case.committed).unwrap();
    let cases = [
        (
            good.replace("format = 2", "format = 3"),
            "lock format 3 is unknown",
        ),
        (
            good.replacen("name = \"app\"", "name = \"abc\"", 1),
            "the rows have the digest",
        ),
        ("<<<<<<< HEAD\n".to_owned(), "do not edit a lock by hand"),
        (
            good.replacen("inputs = \"", "inputs = \"0", 1),
            "is not a SHA-256",
        ),
    ];
    for (text, reason) in cases {
        fs::write(&case.committed, text).unwrap();
        let (lock, said) = case.online();
        assert_eq!(app(&lock), "2.0-1");
        assert!(
            said.contains(reason) && said.contains("x.lock is not used"),
            "{reason}: {said}"
        );
    }
    fs::remove_file(&case.committed).unwrap();
    let (failed, said) = case.choose(None);
    let failed = format!("{:#}", failed.unwrap_err());
    assert!(
        failed.contains("no lock of `x` can be used") && failed.contains("--offline"),
        "{failed}"
    );
    assert!(
        said.contains("cannot access") && said.contains("No such file"),
        "{said}"
    );
    // Of no use when a package is missing: the error names it.
    let Some(other) = Case::new() else { return };
    let failed = format!("{:#}", other.choose(None).0.unwrap_err());
    assert!(
        failed.contains("needs the network") && failed.contains("base 1.0-1"),
        "{failed}"
    );
}

#[test]
fn a_whole_build_takes_the_kept_lock_without_network() {
    let Some(built) = built() else { return };
    let dir = tempfile::tempdir_in(built.checkout().parent().unwrap()).unwrap();
    let (checkout, out) = (dir.path().join("checkout"), dir.path().join("out"));
    copy_checkout(&built.checkout(), &checkout);
    let cache = built.cache(dir.path(), &["tools", "flat", "packages", "root"]);
    let path = checkout.join("appliances/bare.lock");
    let lock = Lock::read(&path).unwrap();
    fs::write(&path, "format = 99\n").unwrap();
    let build = || {
        let builder = built.builder().checkout(&checkout).cache(&cache).out(&out);
        run(builder.args(["build", APPLIANCE, "--offline", "--relock"]))
    };
    build().fails(
        1,
        &[
            "lock format 99 is unknown",
            "resolving anew needs the network",
        ],
    );
    // As an earlier build with the network left it.
    let name = APPLIANCE.parse().unwrap();
    let sources = Sources::load(&checkout, &name, Channel::Development).unwrap();
    let cached = Cache::open(&cache).unwrap();
    let place = kept(&cached, &path, &sources.request().unwrap()).unwrap();
    lock.write(&place).unwrap();
    let ran = build().ok();
    assert!(ran.err.contains("RELOCKED"), "{}", ran.err);
    let found = compare::releases(&out.join(RELEASE), &built.release()).unwrap();
    assert_eq!(found, Vec::<String>::new());
}
