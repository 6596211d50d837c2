//! Proves that signing on another machine gives the same bytes as signing here, that what travels
//! is small and public, and that development and release never mix.

#![allow(clippy::unwrap_used, reason = "test helpers, too, may panic")]

mod support;

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use roamcore_image::compare;
use support::{Built, RELEASE, built, copy_tree, run, step};
use tempfile::TempDir;

fn area(built: &Built) -> TempDir {
    tempfile::tempdir_in(built.checkout().parent().unwrap()).unwrap()
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

fn names(dir: &Path) -> BTreeSet<String> {
    let entries = fs::read_dir(dir).unwrap();
    entries
        .map(|e| e.unwrap().file_name().into_string().unwrap())
        .collect()
}

/// Everything in the directory is small, and nothing of it is a private key.
fn may_travel(dir: &Path, keys: &Path) {
    let secrets: Vec<String> = ["release.key", "root.key", "db.key", "KEK.key", "PK.key"]
        .map(|name| fs::read_to_string(keys.join(name)).unwrap())
        .to_vec();
    for name in names(dir) {
        let bytes = fs::read(dir.join(&name)).unwrap();
        assert!(bytes.len() < 256 << 10, "{name} has {} bytes", bytes.len());
        let held = String::from_utf8_lossy(&bytes);
        assert!(!held.contains("PRIVATE KEY"), "{name}");
        for secret in &secrets {
            let body = secret.lines().filter(|l| l.len() > 30 && !l.contains(' '));
            for line in body {
                assert!(!held.contains(line), "{name} holds a line of a private key");
            }
        }
    }
}

#[test]
fn signing_elsewhere_gives_the_same_bytes() {
    let Some(built) = built() else { return };
    let dir = area(built);
    let keys = built.keys().join("development");
    let public = keys.join("public");
    let args = [
        "build",
        "bare",
        "--offline",
        "--unsigned",
        "--public-keys",
        text(&public),
    ];
    let ran = run(built.builder().out(dir.path()).args(args)).fails(3, &[]);
    assert!(ran.out.contains("signatures wanted"), "{}", ran.out);
    let request = dir.path().join("bare-vp2430/0.1.0.unsigned");
    let expected = ["build.json", "build.lock", "signing-request.json"].map(str::to_owned);
    assert_eq!(names(&request), BTreeSet::from(expected));

    let foreign = dir.path().join("release-keys");
    run(built
        .builder()
        .args(["keys", "create", "--role", "release", text(&foreign)]))
    .ok();
    for (answers, code) in [("boot-signatures.json", 3), ("release.json.sig", 0)] {
        may_travel(&request, &keys);
        // The signing machine has the keys and what travelled, nothing else.
        let stick = dir.path().join(format!("stick-{answers}"));
        copy_tree(&request, &stick);
        for name in ["build.json", "build.lock"] {
            fs::remove_file(stick.join(name)).unwrap();
        }
        let sign = |keys: &Path| {
            run(built
                .builder()
                .args(["sign", text(&stick), "--keys", text(keys)]))
        };
        sign(&foreign).fails(
            30,
            &["is a release key and this image's channel is development"],
        );
        assert!(!stick.join(answers).exists());
        sign(&keys).ok();
        may_travel(&stick, &keys);
        fs::copy(stick.join(answers), request.join(answers)).unwrap();
        assert!(!dir.path().join(RELEASE).exists());
        run(built.builder().args(["attach", text(&request)])).fails(code, &[]);
    }
    let differences = compare::releases(&dir.path().join(RELEASE), &built.release()).unwrap();
    assert_eq!(differences, Vec::<String>::new());
}

#[test]
fn a_release_image_has_nothing_of_development() {
    let Some(built) = built() else { return };
    let dir = area(built);
    let keys = dir.path().join("release-keys");
    run(built
        .builder()
        .args(["keys", "create", "--role", "release", text(&keys)]))
    .ok();
    let cache = built.cache(dir.path(), &["tools", "flat", "packages"]);
    let out = dir.path().join("out");
    let build = |args: &[&str]| {
        let all = [&["build", "bare", "--offline"], args].concat();
        run(built.builder().out(&out).cache(&cache).args(all))
    };
    let development = built.keys().join("development");
    build(&["--release"]).fails(1, &["a release image needs --keys DIR"]);
    build(&["--release", "--relock"]).fails(2, &["cannot be used with"]);
    build(&["--release", "--keys", text(&development)]).fails(1, &["needs keys of that role"]);
    build(&["--keys", text(&keys)]).fails(1, &["needs keys of that role"]);
    assert!(!out.join(RELEASE).exists());

    build(&["--release", "--keys", text(&keys)]).ok();
    let release = out.join(RELEASE);
    let verify = |extra: &[&str]| {
        run(built
            .builder()
            .args([&["verify", text(&release)], extra].concat()))
    };
    verify(&["--trust", text(&keys.join("public/release.pub"))]).ok();
    verify(&[]).fails(11, &["unknown keys only"]);
    let root = step(&cache, "root");
    let files = fs::read_to_string(root.join("root.files")).unwrap();
    assert!(
        files.contains("roamcore-commit.service"),
        "the list has no units at all"
    );
    for name in ["roamcore-console", "roamcore-settings"] {
        assert!(!files.contains(name), "{name} is in a release image");
    }
    let image = fs::read(root.join("root.erofs")).unwrap();
    let holds = |text: &str| image.windows(text.len()).any(|w| w == text.as_bytes());
    assert!(holds("ROAMCORE_CHANNEL=release\n") && !holds("ROAMCORE_CHANNEL=development\n"));

    // Neither kind of key vouches for the other kind of image.
    let sign = |dir: &Path, keys: &Path| {
        run(built
            .builder()
            .args(["sign", text(dir), "--keys", text(keys)]))
    };
    sign(&release, &development).fails(
        30,
        &["is a development key and this image's channel is release"],
    );
    sign(&built.release(), &keys).fails(
        30,
        &["is a release key and this image's channel is development"],
    );
}

#[test]
fn collected_signatures_are_not_thrown_away() {
    let Some(built) = built() else { return };
    let dir = area(built);
    let public = built.keys().join("development/public");
    let args = [
        "build",
        "bare",
        "--offline",
        "--unsigned",
        "--public-keys",
        text(&public),
    ];
    let request = dir.path().join("bare-vp2430/0.1.0.unsigned");
    fs::create_dir_all(&request).unwrap();
    for name in ["boot-signatures.json", "release.json.sig"] {
        fs::write(request.join(name), "collected").unwrap();
        run(built.builder().out(dir.path()).args(args)).fails(
            1,
            &[
                &format!("already ({name})"),
                &format!("roamcore-image attach {}", text(&request)),
                "remove that directory first",
            ],
        );
        assert_eq!(fs::read_to_string(request.join(name)).unwrap(), "collected");
        fs::remove_file(request.join(name)).unwrap();
    }
    // What holds none is begun again, as before.
    fs::write(request.join("signing-request.json"), "old").unwrap();
    run(built.builder().out(dir.path()).args(args)).fails(3, &[]);
    assert_ne!(
        fs::read_to_string(request.join("signing-request.json")).unwrap(),
        "old"
    );
}
