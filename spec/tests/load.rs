//! Reading whole projects from a checkout: problems of all files are told at once.

#![allow(clippy::expect_used, reason = "helpers of tests")]

use std::fs;
use std::path::PathBuf;

use roamcore_spec::load::{self, LoadError};

/// A checkout with one appliance, removed when dropped.
struct Checkout(PathBuf);

impl Checkout {
    fn new(case: &str, overlays: &[(&str, &str)]) -> Self {
        let root = PathBuf::from(env!("CARGO_TARGET_TMPDIR"))
            .join(format!("{case}-{}", std::process::id()));
        let appliance: String = include_str!("../../appliances/bare.toml")
            .lines()
            .map(|line| match line.starts_with("overlays = ") {
                true => "overlays = [\"one\", \"two\"]\n".to_owned(),
                false => format!("{line}\n"),
            })
            .collect();
        let write = |path: &str, text: &str| {
            let path = root.join(path);
            fs::create_dir_all(path.parent().expect("a parent")).expect("a directory");
            fs::write(path, text).expect("a file");
        };
        write("appliances/bare.toml", &appliance);
        write(
            "hardware/vp2430/board.toml",
            include_str!("../../hardware/vp2430/board.toml"),
        );
        for (name, text) in overlays {
            write(&format!("overlays/{name}/overlay.toml"), text);
        }
        Self(root)
    }

    fn load(&self, appliance: &str) -> Result<Vec<String>, String> {
        let project = load::project(&self.0, &appliance.parse().expect("a name"));
        let root = format!("{}/", self.0.display());
        project
            .map(|project| {
                project
                    .overlays
                    .iter()
                    .map(|overlay| overlay.name.to_string())
                    .collect()
            })
            .map_err(|error| match error {
                LoadError::Invalid(problems) => {
                    let lines: Vec<String> = problems
                        .reports()
                        .iter()
                        .map(|report| format!("{}: {}", report.file, report.message))
                        .collect();
                    lines.join("\n").replace(&root, "")
                }
                error @ LoadError::Read { .. } => error.to_string().replace(&root, ""),
            })
    }
}

impl Drop for Checkout {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

const ONE: &str = "schema = 1\nname = \"one\"\ndescription = \"test\"\n";
const TWO: &str = "schema = 1\nname = \"two\"\ndescription = \"test\"\n";

#[test]
fn a_whole_project_is_loaded_in_the_appliances_order() {
    let checkout = Checkout::new("whole", &[("two", TWO), ("one", ONE)]);
    assert_eq!(
        checkout.load("bare"),
        Ok(vec!["one".to_owned(), "two".to_owned()])
    );
}

#[test]
fn problems_of_several_files_are_told_together() {
    let checkout = Checkout::new(
        "several",
        &[(
            "one",
            "schema = 1\nname = \"uno\"\ndescription = \"test\"\n",
        )],
    );
    fs::remove_file(checkout.0.join("hardware/vp2430/board.toml")).expect("was there");
    let wanted = "appliances/bare.toml: no board `vp2430`\n\
                  overlays/one/overlay.toml: overlay is named `uno`, but lies in `one`\n\
                  appliances/bare.toml: no overlay `two`";
    assert_eq!(checkout.load("bare"), Err(wanted.to_owned()));
}

#[test]
fn a_refused_overlay_does_not_hide_the_next() {
    let checkout = Checkout::new(
        "refused",
        &[
            ("one", "schema = 2\n"),
            ("two", "schema = 1\nnaem = \"two\"\n"),
        ],
    );
    let wanted = "overlays/one/overlay.toml: overlay schema 2 is not supported; this program reads schema 1\n\
                  overlays/two/overlay.toml: unknown key `naem`";
    assert_eq!(checkout.load("bare"), Err(wanted.to_owned()));
}

#[test]
fn a_further_overlay_is_checked_with_the_appliances_own() {
    let masks = format!("{ONE}[units]\nmask = [\"ssh.service\"]\n");
    let further = "schema = 1\nname = \"three\"\ndescription = \"test\"\n[units]\nenable = [\"ssh.service\"]\n";
    let all = [("one", masks.as_str()), ("two", TWO), ("three", further)];
    let checkout = Checkout::new("further", &all);
    checkout.load("bare").expect("without it nothing is wrong");
    let name = |text: &str| text.parse().expect("a name");
    let error =
        load::project_with(&checkout.0, &name("bare"), &[name("three")]).expect_err("conflict");
    let LoadError::Invalid(problems) = error else {
        panic!("{error}")
    };
    let wanted = "unit `ssh.service` is enabled, but overlay `one` has it masked";
    let told: Vec<String> = problems.reports().into_iter().map(|r| r.message).collect();
    assert_eq!(told, [wanted]);

    // Named twice it is there once.
    let project = load::project_with(&checkout.0, &name("bare"), &[name("two")]).expect("accepted");
    assert_eq!(project.overlays.len(), 2);
}

#[test]
fn boards_and_overlays_lie_where_their_names_say() {
    let checkout = Checkout::new("places", &[("one", TWO)]);
    let name = |text: &str| text.parse().expect("a name");
    load::board(&checkout.0, &name("vp2430")).expect("accepted");
    fs::rename(
        checkout.0.join("hardware/vp2430"),
        checkout.0.join("hardware/other"),
    )
    .expect("was there");
    let board = load::board(&checkout.0, &name("other"))
        .expect_err("misplaced")
        .to_string();
    assert!(
        board.contains("is named `vp2430`, but lies in `other`"),
        "{board}"
    );
    let overlay = load::overlay(&checkout.0, &name("one"))
        .expect_err("misplaced")
        .to_string();
    assert!(
        overlay.contains("is named `two`, but lies in `one`"),
        "{overlay}"
    );
}

#[test]
fn an_absent_appliance_is_an_error_with_its_path() {
    let checkout = Checkout::new("absent", &[]);
    assert_eq!(
        checkout.load("other"),
        Err("cannot read appliances/other.toml".to_owned())
    );
}
