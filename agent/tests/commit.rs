//! The commit on a plain directory.

#![allow(clippy::unwrap_used, reason = "helpers of tests")]

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use roamcore_agent::commit::{Committed, commit_entry};
use roamcore_agent::entry::{CountedEntry, EntryName};
use roamcore_agent::roots::Roots;
use roamcore_agent::slot::Slot;

fn entry() -> CountedEntry {
    EntryName::of_boot_count_path("\\loader\\entries\\r-7+2-1.conf").unwrap()
}

fn read(directory: &Path) -> BTreeMap<String, String> {
    let items = fs::read_dir(directory).unwrap().map(Result::unwrap);
    items
        .map(|i| {
            (
                i.file_name().into_string().unwrap(),
                fs::read_to_string(i.path()).unwrap(),
            )
        })
        .collect()
}

fn map(files: &[(&str, &str)]) -> BTreeMap<String, String> {
    files
        .iter()
        .map(|(name, text)| ((*name).to_owned(), (*text).to_owned()))
        .collect()
}

fn commit(before: &[(&str, &str)]) -> (Result<(), String>, BTreeMap<String, String>) {
    let dir = tempfile::tempdir().unwrap();
    for (name, text) in before {
        fs::write(dir.path().join(name), text).unwrap();
    }
    let result = commit_entry(dir.path(), &entry()).map_err(|error| error.to_string());
    (result, read(dir.path()))
}

#[test]
fn committed() {
    let other = ("r-6.conf", "old");
    let cases: [&[(&str, &str)]; 5] = [
        &[("r-7+2-1.conf", "new"), other],
        // The exact name wins over others.
        &[
            ("r-7+2-1.conf", "new"),
            other,
            ("r-8+3.conf", "later"),
            ("readme", "x"),
        ],
        // Another counter of the same entry.
        &[("r-7+1-2.conf", "new"), other],
        &[("r-7+3.conf", "new"), other, ("r-77+3.conf", "x")],
        // The rename was done, the removal of the old name was not.
        &[("r-7+2-1.conf", "new"), ("r-7.conf", "new"), other],
    ];
    for before in cases {
        let mut want = map(before);
        want.retain(|name, _| !name.starts_with("r-7+"));
        want.insert("r-7.conf".into(), "new".into());
        assert_eq!(commit(before), (Ok(()), want), "{before:?}");
    }
}

/// Both names may be of one file: the one that stays gets its own, under a name that a cut may have left behind.
#[test]
fn two_names_become_one_file() {
    let before = [
        ("r-7+2-1.conf", "new"),
        ("r-7.conf", "new"),
        ("r-7.tmp", "left by a power cut"),
    ];
    let dir = tempfile::tempdir().unwrap();
    for (name, text) in before {
        fs::write(dir.path().join(name), text).unwrap();
    }
    let inode = |name: &str| {
        std::os::unix::fs::MetadataExt::ino(&fs::metadata(dir.path().join(name)).unwrap())
    };
    let old = [inode("r-7+2-1.conf"), inode("r-7.conf")];
    commit_entry(dir.path(), &entry()).unwrap();
    assert_eq!(read(dir.path()), map(&[("r-7.conf", "new")]));
    assert!(!old.contains(&inode("r-7.conf")));
}

#[test]
fn what_is_known_of_a_commit() {
    let dir = tempfile::tempdir().unwrap();
    let roots = Roots::below(dir.path());
    assert_eq!(Committed::load(&roots).unwrap(), None);
    fs::create_dir_all(roots.facts()).unwrap();
    let path = roots.facts().join("committed.json");
    let good = r#"{"format":1,"slot":"root-b","entry":"roamcore-b.conf","tries_done":2}"#;
    fs::write(&path, good).unwrap();
    let record = Committed::load(&roots).unwrap().unwrap();
    assert_eq!((record.slot, record.tries_done), (Slot::B, 2));
    for bad in [
        "",
        "{",
        &good.replace("1,", "2,"),
        &good.replace("root-b", "root-c"),
    ] {
        fs::write(&path, bad).unwrap();
        let error = Committed::load(&roots).unwrap_err().to_string();
        assert!(error.contains("is no record of a commit"), "{error}");
    }
}

#[test]
fn refused_without_a_change() {
    let cases: [(&[(&str, &str)], &str); 5] = [
        (
            &[("r-6.conf", "old")],
            "neither \"r-7+2-1.conf\" nor another counted \"r-7.conf\" is among",
        ),
        (&[("r-7.conf", "new")], "neither"),
        (
            &[("r-7+1.conf", "a"), ("r-7+3.conf", "b")],
            "several counted entries of \"r-7.conf\"",
        ),
        (
            &[("r-7+2-1.conf", "new"), ("r-7.conf", "old")],
            "refused to replace \"r-7.conf\"",
        ),
        // FAT has one name for both.
        (
            &[("r-7+2-1.conf", "new"), ("R-7.CONF", "old")],
            "refused to replace \"R-7.CONF\"",
        ),
    ];
    for (before, want) in cases {
        let (result, after) = commit(before);
        let error = result.unwrap_err();
        assert!(error.contains(want), "{error:?} lacks {want:?}");
        assert_eq!(after, map(before));
    }
}

#[test]
fn a_directory_is_no_entry() {
    let dir = tempfile::tempdir().unwrap();
    fs::create_dir(dir.path().join("r-7+2-1.conf")).unwrap();
    assert!(commit_entry(dir.path(), &entry()).is_err());
    assert!(
        commit_entry(&dir.path().join("none"), &entry())
            .unwrap_err()
            .to_string()
            .starts_with("cannot list")
    );
}
