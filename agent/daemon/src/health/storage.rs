//! Storage: what has to be writable is, with space left.
//!
//! Owns: a probe file, which is removed again. Never does: repair, delete anything else.

use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use rustix::fs::{OFlags, statvfs};

use super::Finding;
use super::rules::{Rules, Space};
use crate::places::Places;

/// One block, so that space is really taken.
const PROBE: [u8; 4096] = [0x5a; 4096];
const NAME: &str = ".roamcore-health";

pub(super) fn check(places: &Places, rules: &Rules) -> Vec<Finding> {
    rules.space.iter().map(|space| one(places, space)).collect()
}

fn one(places: &Places, space: &Space) -> Finding {
    let check = format!("storage {}", space.path.display());
    // Tests have their own root; on the machine this is the path itself.
    let path = match space.path.strip_prefix("/var") {
        Ok(rest) => places.var.join(rest),
        Err(_) => space.path.clone(),
    };
    let found = match statvfs(&path) {
        Ok(found) => found,
        Err(error) => return Finding::bad(check, format!("it cannot be looked at: {error}")),
    };
    let (bytes, inodes) = (
        found.f_bavail.saturating_mul(found.f_frsize),
        found.f_favail,
    );
    if bytes < space.bytes {
        return Finding::bad(
            check,
            format!("{bytes} bytes are free, {} are needed", space.bytes),
        );
    }
    // File systems without a table of inodes say that they have none at all.
    if found.f_files > 0 && inodes < space.inodes {
        return Finding::bad(
            check,
            format!("{inodes} inodes are free, {} are needed", space.inodes),
        );
    }
    match probe(&path) {
        Ok(()) => Finding::good(check, format!("writable, {} MB free", bytes / 1_000_000)),
        Err(error) => Finding::bad(check, format!("it cannot be written: {error}")),
    }
}

/// Mount options can lie (an ext4 that went read-only after an error); a written block cannot.
fn probe(directory: &Path) -> io::Result<()> {
    let path = directory.join(NAME);
    match fs::remove_file(&path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let flags = i32::try_from(OFlags::NOFOLLOW.bits()).unwrap_or(0);
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .custom_flags(flags)
        .open(&path)?;
    let written = file.write_all(&PROBE).and_then(|()| file.sync_all());
    let removed = fs::remove_file(&path);
    written.and(removed)
}
