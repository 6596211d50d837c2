//! Proves that `verify` finds one flipped bit in every artefact and every region of the disk and
//! names it, and that each other fault has an exit code and a text of its own.

#![allow(clippy::unwrap_used, reason = "test helpers, too, may panic")]

mod support;

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::process::Command;

use roamcore_image::keys::KeySet;
use roamcore_ota::{Release, SignatureFile, Timestamp};
use support::{Built, Ran, Random, built, run};
use tempfile::TempDir;

/// A bit flipped until this is dropped.
struct Flipped<'a> {
    file: &'a File,
    at: u64,
    bit: u8,
}

impl<'a> Flipped<'a> {
    fn new(file: &'a File, at: u64, bit: u64) -> Flipped<'a> {
        let flipped = Flipped {
            file,
            at,
            bit: 1 << bit,
        };
        flipped.flip();
        flipped
    }

    fn flip(&self) {
        let mut byte = [0];
        self.file.read_exact_at(&mut byte, self.at).unwrap();
        byte[0] ^= self.bit;
        self.file.write_all_at(&byte, self.at).unwrap();
    }
}

impl Drop for Flipped<'_> {
    fn drop(&mut self) {
        self.flip();
    }
}

fn verify(built: &Built, dir: &Path) -> Command {
    built.builder().args(["verify", dir.to_str().unwrap()])
}

/// A copy of the release to damage.
fn copy(built: &Built) -> TempDir {
    let dir = tempfile::tempdir_in(built.release().parent().unwrap().parent().unwrap()).unwrap();
    support::copy_tree(&built.release(), dir.path());
    dir
}

fn manifest(dir: &Path) -> Release {
    Release::parse(&fs::read(dir.join("release.json")).unwrap()).unwrap()
}

fn open(path: &Path) -> File {
    File::options().read(true).write(true).open(path).unwrap()
}

#[test]
fn the_release_is_accepted() {
    let Some(built) = built() else { return };
    let ran = run(&mut verify(built, &built.release())).ok();
    assert!(
        ran.out.contains("is what its signature says"),
        "{}",
        ran.out
    );
    let ran = run(verify(built, &built.release()).arg("--json")).ok();
    let line: serde_json::Value = serde_json::from_str(&ran.out).unwrap();
    assert_eq!(
        (&line["verified"], &line["channel"]),
        (&true.into(), &"development".into())
    );
    run(verify(built, &built.release())
        .arg("--disk")
        .arg(built.raw()))
    .ok();
}

#[test]
fn a_flipped_bit_in_any_file_is_found_and_the_file_is_named() {
    let Some(built) = built() else { return };
    let dir = copy(built);
    let mut random = Random::new("flipped bits in files");
    for artefact in &manifest(dir.path()).artefacts {
        let file = open(&dir.path().join(artefact.name.as_str()));
        for _ in 0..6 {
            let at = random.below(artefact.size);
            let _flipped = Flipped::new(&file, at, random.below(8));
            let text = format!("artefact {} has SHA-256", artefact.name);
            run(&mut verify(built, dir.path())).fails(23, &[&text]);
        }
    }
    let file = open(&dir.path().join("release.json"));
    let size = file.metadata().unwrap().len();
    for _ in 0..20 {
        let _flipped = Flipped::new(&file, random.below(size), random.below(8));
        run(&mut verify(built, dir.path())).fails(10, &["does not match release.json"]);
    }
    let file = open(&dir.path().join("release.json.sig"));
    let size = file.metadata().unwrap().len();
    for _ in 0..20 {
        let _flipped = Flipped::new(&file, random.below(size), random.below(8));
        let ran = run(&mut verify(built, dir.path()));
        // A bad signature, another key's id, a broken form, or a format that is not known.
        assert!([10, 11, 15, 18].contains(&ran.code), "{ran:?}");
    }
    run(&mut verify(built, dir.path())).ok();
}

#[test]
fn a_flipped_bit_in_any_region_of_the_disk_is_found_and_the_region_is_named() {
    let Some(built) = built() else { return };
    let raw = built.raw();
    let dir = tempfile::tempdir_in(raw.parent().unwrap()).unwrap();
    let disk = dir.path().join("disk.img");
    run(Command::new("cp")
        .args(["--sparse=always", "--reflink=auto"])
        .args([&raw, &disk]))
    .ok();
    let file = open(&disk);
    let mut random = Random::new("flipped bits in regions");
    for region in &manifest(&built.release()).partitions {
        // Early regions are refused early, so they may be tried more often.
        for _ in 0..if region.offset < 1 << 31 { 3 } else { 1 } {
            let at = region.offset + random.below(region.size);
            let _flipped = Flipped::new(&file, at, random.below(8));
            let text = format!("region {} (offset {})", region.name, region.offset);
            run(verify(built, &built.release()).arg("--disk").arg(&disk)).fails(26, &[&text]);
        }
    }
    file.set_len(manifest(&built.release()).disk.raw_size - 1)
        .unwrap();
    run(verify(built, &built.release()).arg("--disk").arg(&disk))
        .fails(24, &["in region gpt-backup"]);
}

/// Fails after `damage`, with this code and text, on standard error in JSON too.
fn refused(built: &Built, damage: impl Fn(&Path), code: i32, text: &str) -> Ran {
    let dir = copy(built);
    damage(dir.path());
    let ran = run(verify(built, dir.path()).arg("--json"));
    let line: serde_json::Value = serde_json::from_str(ran.err.lines().last().unwrap()).unwrap();
    assert_eq!(
        (&line["event"], &line["exit_code"]),
        (&"failed".into(), &code.into()),
        "{line}"
    );
    run(&mut verify(built, dir.path())).fails(code, &[text])
}

#[test]
fn every_fault_has_its_own_code_and_text() {
    let Some(built) = built() else { return };
    let keys = built.keys().join("development");
    let mut texts = Vec::new();
    let mut case = |code, text, damage: &dyn Fn(&Path)| {
        texts.push((code, refused(built, damage, code, text).err));
    };
    let cut = |dir: &Path, name: &str| {
        let file = open(&dir.join(name));
        file.set_len(file.metadata().unwrap().len() - 1).unwrap();
    };
    let remove = |dir: &Path, name: &str| fs::remove_file(dir.join(name)).unwrap();
    case(53, "there is no ", &|dir| remove(dir, "release.json"));
    case(14, "is not signed", &|dir| remove(dir, "release.json.sig"));
    case(15, "signature", &|dir| {
        fs::write(dir.join("release.json.sig"), "{}").unwrap()
    });
    case(10, "does not match release.json", &|dir| {
        cut(dir, "release.json")
    });
    case(19, "artefact disk.img.bmap is missing", &|dir| {
        remove(dir, "disk.img.bmap")
    });
    case(21, "artefact disk.img.zst ends after", &|dir| {
        cut(dir, "disk.img.zst")
    });
    case(22, "artefact sbom.cdx.json goes on after", &|dir| {
        let path = dir.join("sbom.cdx.json");
        let text = fs::read(&path).unwrap();
        fs::write(&path, [&text[..], b"\n"].concat()).unwrap();
    });
    case(16, "the release expired at", &|dir| {
        let mut release = manifest(dir);
        release.expires = Some(
            Timestamp::from_unix(u64::try_from(release.created.as_unix()).unwrap() + 1).unwrap(),
        );
        let bytes = release.encode().unwrap();
        let mut signatures = SignatureFile::default();
        let key = KeySet::open(&keys).unwrap().release_key().unwrap();
        signatures.add(&bytes, &key).unwrap();
        fs::write(dir.join("release.json"), bytes).unwrap();
        fs::write(dir.join("release.json.sig"), signatures.encode().unwrap()).unwrap();
    });
    let codes: BTreeSet<_> = texts.iter().map(|(code, _)| *code).collect();
    assert_eq!(codes.len(), 8, "{texts:?}");
}

#[test]
fn a_foreign_key_is_refused() {
    let Some(built) = built() else { return };
    let dir = tempfile::tempdir().unwrap();
    let create = |name: &str, role: &str| {
        let path = dir.path().join(name);
        let args = ["keys", "create", "--role", role, path.to_str().unwrap()];
        run(&mut built.builder().args(args)).ok();
        path.join("public/release.pub")
    };
    let other = create("other", "development");
    let trust = |file: &Path| run(verify(built, &built.release()).arg("--trust").arg(file));
    trust(&other).fails(11, &["is signed by unknown keys only"]);
    trust(Path::new("/dev/null")).fails(28, &["the key /dev/null"]);
    let own = built.keys().join("development/public/release.pub");
    let mut command = verify(built, &built.release());
    command.arg("--trust").arg(&own).arg("--trust").arg(&other);
    run(command.args(["--threshold", "2"])).fails(13, &["1 of 2 needed signatures"]);
    run(verify(built, &built.release()).args(["--threshold", "2"]))
        .fails(29, &["cannot be reached"]);
}
