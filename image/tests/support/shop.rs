//! A directory with tiny builds, and how tests make updates of them.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use roamcore_ota::{Digest, Role, Update};
use serde_json::Value;
use tempfile::TempDir;

use crate::support::{BUILDER, Ran, run};
use crate::tiny::{TinyBuild, keys};

/// A directory with builds, and the builder with the tests' own keys.
pub struct Shop {
    dir: TempDir,
}

impl Shop {
    pub fn new() -> Shop {
        Shop {
            dir: tempfile::tempdir().unwrap(),
        }
    }

    pub fn path(&self) -> &Path {
        self.dir.path()
    }

    pub fn image(&self, args: &[&str]) -> Ran {
        let keys = keys(Role::Development);
        run(Command::new(BUILDER)
            .current_dir(self.path())
            .env("ROAMCORE_KEYS", keys.dir().parent().unwrap())
            .args(args))
    }

    /// An update with small parts, of a build.
    pub fn update(&self, build: &TinyBuild) -> PathBuf {
        let dir = build.write(self.path());
        self.image(&[
            "release",
            text(&dir),
            "--part-limit",
            "3MiB",
            "--level",
            "3",
        ])
        .ok();
        dir.with_file_name(format!("{}.update", build.version))
    }

    pub fn verify(&self, update: &Path) -> Ran {
        self.image(&["release", "verify", text(update)])
    }
}

pub fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

pub fn json(ran: &Ran) -> Value {
    serde_json::from_str(&ran.out).unwrap()
}

pub fn names(dir: &Path) -> BTreeSet<String> {
    fs::read_dir(dir)
        .unwrap()
        .map(|e| e.unwrap().file_name().into_string().unwrap())
        .collect()
}

pub fn manifest(dir: &Path) -> Update {
    Update::parse(&fs::read(dir.join("update.json")).unwrap()).unwrap()
}

pub fn contents(dir: &Path) -> Vec<(String, Digest)> {
    let digest = |name: &String| Digest::of(&fs::read(dir.join(name)).unwrap());
    names(dir)
        .into_iter()
        .map(|n| (n.clone(), digest(&n)))
        .collect()
}
