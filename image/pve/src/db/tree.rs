//! From paths and bytes to rows.
//!
//! Owns the rules for what an image may seed. Invariant: a parent comes before its children and has the smaller inode, in
//! the order of the paths' bytes, so that the same tree always becomes the same rows.

use std::collections::BTreeMap;

use super::{
    BLOCK, DbError, GUEST_DIRS, MAX_FILE, MAX_INODES, MAX_NAME, MAX_TOTAL, VERSION_NAME, VMIDS,
    is_node_name, vmid_of,
};

/// Paths below `/etc/pve`, without a leading slash, and what the files hold. Directories follow from them.
pub type Files = BTreeMap<String, Vec<u8>>;

/// Where the configuration of a guest lies; `directory` is `qemu-server` or `lxc`.
pub fn guest_path(host: &str, directory: &str, vmid: u32) -> String {
    format!("nodes/{host}/{directory}/{vmid}.conf")
}

/// Of a label in DNS, which a node name is too.
const MAX_HOST: usize = 63;
/// Directories of the host that are always there: links at the top of `/etc/pve` point at the first three, and what makes
/// certificates expects the last.
const HOST_DIRS: [&str; 4] = ["lxc", "openvz", "qemu-server", "priv"];
/// Links that the daemon shows at the top.
const LINKS: [&str; 4] = ["local", "qemu-server", "lxc", "openvz"];

/// One row but its number, which is its place.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Node<'a> {
    pub(super) parent: usize,
    pub(super) name: &'a str,
    /// `None` is a directory.
    pub(super) data: Option<&'a [u8]>,
}

/// Directories that every tree of this host has.
pub(super) fn host_dirs(host: &str) -> Vec<String> {
    let inner = HOST_DIRS.iter().map(|name| format!("nodes/{host}/{name}"));
    inner.chain(["priv".to_owned()]).collect()
}

/// All rows but row 0; the first has inode 1.
pub(super) fn nodes<'a>(
    files: &'a Files,
    dirs: &'a [String],
    host: &str,
) -> Result<Vec<Node<'a>>, DbError> {
    if !is_node_name(host.as_bytes()) || host.len() > MAX_HOST {
        return Err(DbError::Host { host: host.into() });
    }
    let mut all: BTreeMap<&str, Option<&[u8]>> = BTreeMap::new();
    for dir in dirs {
        add_parents(&mut all, dir);
        all.insert(dir, None);
    }
    for path in files.keys() {
        check_path(path, host)?;
        add_parents(&mut all, path);
    }
    // After all directories, so that a file in the place of one is seen whichever came first.
    for (path, data) in files {
        if all.insert(path, Some(data)).is_some() {
            let inside = format!("{path}/");
            let below = files
                .keys()
                .chain(dirs)
                .find(|key| key.starts_with(&inside));
            return Err(DbError::FileAsDirectory {
                path: path.clone(),
                below: below.unwrap_or(&inside).clone(),
            });
        }
    }
    check_guests(files)?;
    check_sizes(files, all.len(), &all)?;

    let mut inodes: BTreeMap<&str, usize> = BTreeMap::new();
    let mut rows = Vec::with_capacity(all.len());
    for (at, (path, data)) in all.iter().enumerate() {
        let (above, name) = path.rsplit_once('/').unwrap_or(("", path));
        // The root is not in the map: it is inode 0.
        let parent = inodes.get(above).copied().unwrap_or(0);
        inodes.insert(path, at + 1);
        rows.push(Node {
            parent,
            name,
            data: *data,
        });
    }
    Ok(rows)
}

fn add_parents<'a>(all: &mut BTreeMap<&'a str, Option<&'a [u8]>>, path: &'a str) {
    for (at, _) in path.match_indices('/') {
        all.insert(&path[..at], None);
    }
}

fn check_path(path: &str, host: &str) -> Result<(), DbError> {
    for part in path.split('/') {
        let why = if part.is_empty() {
            "is empty"
        } else if part == "." || part == ".." {
            "means another directory"
        } else if part.len() > MAX_NAME {
            "is longer than 255 bytes"
        } else if part.chars().any(char::is_control) {
            "has a control character"
        } else if part == VERSION_NAME {
            "is the record of the root"
        } else {
            continue;
        };
        return Err(DbError::Name {
            path: path.into(),
            part: part.into(),
            why,
        });
    }
    let mut parts = path.split('/');
    let (first, second) = (parts.next().unwrap_or(""), parts.next().unwrap_or(""));
    if LINKS.contains(&first) || first.starts_with('.') {
        let rest = path.strip_prefix("local/").unwrap_or(path);
        let instead = if first.starts_with('.') {
            "a name without the leading dot".into()
        } else {
            format!("nodes/{host}/{rest}")
        };
        return Err(DbError::Reserved {
            path: path.into(),
            name: first.into(),
            instead,
        });
    }
    if first == "nodes" && !second.is_empty() && second != host {
        return Err(DbError::OtherNode {
            path: path.into(),
            host: host.into(),
        });
    }
    if path.split('/').any(|part| part == "priv") {
        return Err(DbError::Private { path: path.into() });
    }
    Ok(())
}

fn check_guests(files: &Files) -> Result<(), DbError> {
    let mut seen: BTreeMap<u32, &str> = BTreeMap::new();
    for path in files.keys() {
        let parts: Vec<&str> = path.split('/').collect();
        let ["nodes", _, dir, rest @ ..] = parts.as_slice() else {
            continue;
        };
        if !GUEST_DIRS.contains(dir) {
            continue;
        }
        let wrong = || DbError::GuestName { path: path.clone() };
        let [name] = rest else { return Err(wrong()) };
        let vmid = vmid_of(name.as_bytes()).filter(|id| VMIDS.contains(id));
        let vmid = vmid.filter(|_| *dir != "openvz").ok_or_else(wrong)?;
        if let Some(first) = seen.insert(vmid, path) {
            return Err(DbError::DuplicateVmid {
                vmid,
                first: first.into(),
                second: path.clone(),
            });
        }
    }
    Ok(())
}

fn check_sizes(
    files: &Files,
    count: usize,
    all: &BTreeMap<&str, Option<&[u8]>>,
) -> Result<(), DbError> {
    let mut total = 0;
    for (path, data) in files {
        if data.len() > MAX_FILE {
            return Err(DbError::FileTooLarge {
                path: path.clone(),
                bytes: data.len(),
                limit: MAX_FILE,
            });
        }
        total += (data.len() as u64).next_multiple_of(BLOCK);
        if total > MAX_TOTAL {
            return Err(DbError::TreeTooLarge {
                path: path.clone(),
                bytes: total,
                limit: MAX_TOTAL,
            });
        }
    }
    // The root is one more.
    if count + 1 > MAX_INODES {
        let path = all.keys().next_back().copied().unwrap_or_default();
        return Err(DbError::TooMany {
            path: path.into(),
            count: count + 1,
            limit: MAX_INODES,
        });
    }
    Ok(())
}
