//! An ordinary user, for tests that run as root.

use std::fs;
use std::os::unix::fs::lchown;
use std::path::Path;
use std::process::Command;

use super::{run, tool};

/// A user for the length of a test.
pub struct User {
    /// Its name.
    pub name: String,
    /// Its number, and its group's.
    pub id: u32,
}

impl User {
    /// Makes one with a range of subordinate ids; needs root.
    pub fn add(home: &Path) -> User {
        let name = format!("roamcore-test-{}", std::process::id());
        let mut useradd = tool("useradd").unwrap();
        run(useradd
            .args(["--no-create-home", "--shell", "/bin/sh", "--home-dir"])
            .arg(home)
            .arg(&name))
        .ok();
        let id = run(Command::new("id").args(["-u", &name]))
            .ok()
            .out
            .trim()
            .parse()
            .unwrap();
        let user = User { name, id };
        if !fs::read_to_string("/etc/subuid")
            .unwrap_or_default()
            .contains(&user.name)
        {
            let mut usermod = tool("usermod").unwrap();
            let range = [
                "--add-subuids",
                "600000-665535",
                "--add-subgids",
                "600000-665535",
            ];
            run(usermod.args(range).arg(&user.name)).ok();
        }
        user
    }
}

impl Drop for User {
    fn drop(&mut self) {
        if let Some(mut userdel) = tool("userdel") {
            let _ = run(userdel.arg(&self.name));
        }
    }
}

/// Gives a tree to a user.
pub fn give(path: &Path, id: u32) {
    lchown(path, Some(id), Some(id)).unwrap();
    if path.is_dir() && !path.is_symlink() {
        for entry in fs::read_dir(path).unwrap() {
            give(&entry.unwrap().path(), id);
        }
    }
}
