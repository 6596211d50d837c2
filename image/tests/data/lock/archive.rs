//! A small signed Debian archive in a temporary directory, served by `file:` URIs.

#![allow(dead_code)]

use std::fs;
use std::path::{Path, PathBuf};

use roamcore_image::command::Command;
use roamcore_image::events::Events;
use roamcore_image::lock::{
    Lock, LockError, Mirrors, Options, Request, Sha256, Source, date, resolve_with,
};

use crate::skip;

/// 2026-09-12T07:55:41Z: date of the oldest Release file; each later suite is a day younger.
pub const EPOCH: u64 = 1_789_199_741;

/// One package to be built.
#[derive(Clone, Copy)]
pub struct Spec {
    pub name: &'static str,
    pub version: &'static str,
    /// Further control lines.
    pub fields: &'static str,
    /// Bytes of payload that do not compress.
    pub payload: usize,
}

pub const fn spec(name: &'static str, version: &'static str, fields: &'static str) -> Spec {
    Spec {
        name,
        version,
        fields,
        payload: 100,
    }
}

/// Packages per suite. `main` depends on the `lib` of updates; `tool+x` has an odd name.
pub const TRIXIE: &[Spec] = &[
    spec("base", "1.0-1", "Essential: yes\n"),
    spec("lib", "1:1.0~rc1-1", ""),
    spec(
        "app",
        "2.0-1",
        "Depends: lib (>= 1:1.0)\nRecommends: extra\nProvides: virtual-app\n",
    ),
    spec("extra", "1-1", ""),
    spec("broken", "1-1", "Depends: nowhere\n"),
    spec("tool+x", "3.1+dfsg-2", ""),
];
pub const UPDATES: &[Spec] = &[spec("lib", "1:1.1+b1", "")];
pub const SECURITY: &[Spec] = &[spec("extra", "2-1", "")];

pub struct Archive {
    pub dir: tempfile::TempDir,
    gnupg: PathBuf,
}

impl Drop for Archive {
    fn drop(&mut self) {
        let _ = Command::new("gpgconf")
            .env("GNUPGHOME", &self.gnupg)
            .args(["--kill", "all"])
            .run();
    }
}

pub fn events() -> Events {
    Events::new(false)
}

/// The archive with all three Debian suites; none (and a printed reason) where gpg is absent.
pub fn debian() -> Option<Archive> {
    let archive = Archive::empty()?;
    archive.suite("debian", "trixie", TRIXIE, EPOCH);
    archive.suite("debian", "trixie-updates", UPDATES, EPOCH + 86_400);
    archive.suite(
        "debian-security",
        "trixie-security",
        SECURITY,
        EPOCH + 2 * 86_400,
    );
    Some(archive)
}

impl Archive {
    pub fn empty() -> Option<Archive> {
        let dir = tempfile::tempdir().unwrap();
        // Another user reads it in one test.
        let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
        fs::set_permissions(dir.path(), mode).unwrap();
        let gnupg = dir.path().join("gnupg");
        fs::create_dir(&gnupg).unwrap();
        let private = std::os::unix::fs::PermissionsExt::from_mode(0o700);
        fs::set_permissions(&gnupg, private).unwrap();
        let archive = Archive { dir, gnupg };
        let made = archive.gpg(&[
            "--quick-generate-key",
            "test@example.invalid",
            "ed25519",
            "sign",
            "never",
        ]);
        if let Err(error) = made {
            skip(&format!("no signing key can be made: {error}"));
            return None;
        }
        fs::write(archive.keyring(), archive.gpg(&["--export"]).unwrap()).unwrap();
        Some(archive)
    }

    fn gpg(&self, args: &[&str]) -> Result<Vec<u8>, roamcore_image::command::CommandError> {
        Command::new("gpg")
            .env("GNUPGHOME", &self.gnupg)
            .args([
                "--batch",
                "--quiet",
                "--yes",
                "--passphrase",
                "",
                "--pinentry-mode",
                "loopback",
            ])
            .args(args)
            .run()
            .map(|out| out.stdout)
    }

    pub fn keyring(&self) -> PathBuf {
        self.dir.path().join("keyring.gpg")
    }

    pub fn base(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    pub fn mirrors(&self) -> Mirrors {
        let mut mirrors = Mirrors::default();
        for name in ["debian", "debian-security"] {
            mirrors
                .set(name, &format!("file:{}", self.base(name).display()))
                .unwrap();
        }
        mirrors
    }

    pub fn source(&self, name: &str, key: Option<Vec<u8>>) -> Source {
        Source {
            name: name.into(),
            uri: Some(format!("file:{}", self.base(name).display())),
            suites: vec!["stable".into()],
            components: vec!["main".into()],
            key,
            fingerprint: None,
        }
    }

    /// Fingerprint of the signing key.
    pub fn fingerprint(&self) -> String {
        let told = self.gpg(&["--with-colons", "--list-keys"]).unwrap();
        let told = String::from_utf8(told).unwrap();
        let line = told.lines().find(|l| l.starts_with("fpr:")).unwrap();
        line.split(':').nth(9).unwrap().to_owned()
    }

    pub fn resolve(&self, request: &Request) -> Result<Lock, LockError> {
        let options = Options {
            keyring: self.keyring(),
        };
        resolve_with(request, &self.mirrors(), &options, &events())
    }

    /// Builds one suite with component `main`, and signs it.
    pub fn suite(&self, archive: &str, suite: &str, specs: &[Spec], stamp: u64) {
        let base = self.base(archive);
        let mut index = String::new();
        for spec in specs {
            let file = format!(
                "{}_{}_amd64.deb",
                spec.name,
                spec.version.split(':').next_back().unwrap()
            );
            let path = format!("pool/main/{}/{file}", spec.name);
            build_deb(spec, &base.join(&path));
            let bytes = fs::read(base.join(&path)).unwrap();
            index += &format!(
                "{}Filename: {path}\nSize: {}\nSHA256: {}\n\n",
                control(spec),
                bytes.len(),
                Sha256::of(&bytes)
            );
        }
        let dists = base.join("dists").join(suite);
        fs::create_dir_all(dists.join("main/binary-amd64")).unwrap();
        fs::write(dists.join("main/binary-amd64/Packages"), &index).unwrap();
        let release = format!(
            "Origin: Test\nSuite: {suite}\nCodename: {suite}\nVersion: 13.7\nDate: {}\nArchitectures: amd64\nComponents: main\nSHA256:\n {} {} main/binary-amd64/Packages\n",
            date::rfc1123(stamp),
            Sha256::of(index.as_bytes()),
            index.len()
        );
        fs::write(dists.join("Release"), release).unwrap();
        let (plain, signed) = (dists.join("Release"), dists.join("InRelease"));
        self.gpg(&[
            "--clearsign",
            "--output",
            signed.to_str().unwrap(),
            plain.to_str().unwrap(),
        ])
        .unwrap();
    }
}

/// A request to the archive's suites.
pub fn request(image: &[&str], tools: &[&str]) -> Request {
    let words = |list: &[&str]| list.iter().map(|s| (*s).to_owned()).collect();
    let mut request = Request::trixie(words(image), words(tools));
    request.components = words(&["main"]);
    request
}

fn control(spec: &Spec) -> String {
    format!(
        "Package: {}\nVersion: {}\nArchitecture: amd64\nMaintainer: Test <test@example.invalid>\n{}Description: test\n",
        spec.name, spec.version, spec.fields
    )
}

fn build_deb(spec: &Spec, target: &Path) {
    let tree = tempfile::tempdir().unwrap();
    fs::create_dir_all(tree.path().join("DEBIAN")).unwrap();
    fs::create_dir_all(tree.path().join("usr/share/test")).unwrap();
    fs::write(tree.path().join("DEBIAN/control"), control(spec)).unwrap();
    let mut state = spec
        .name
        .bytes()
        .fold(1u32, |s, b| s.wrapping_mul(31).wrapping_add(u32::from(b)));
    let payload: Vec<u8> = (0..spec.payload)
        .map(|_| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (state >> 24) as u8
        })
        .collect();
    fs::write(
        tree.path().join(format!("usr/share/test/{}", spec.name)),
        payload,
    )
    .unwrap();
    fs::create_dir_all(target.parent().unwrap()).unwrap();
    Command::new("dpkg-deb")
        .env("SOURCE_DATE_EPOCH", EPOCH.to_string())
        .args(["--build", "--root-owner-group", "-Znone"])
        .arg(tree.path())
        .arg(target)
        .run()
        .unwrap();
}
