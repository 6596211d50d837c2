//! Whether the daemon starts with a database, and what becomes of it then.
//!
//! Owns a model of its loader: row by row in the order of inodes, with a placeholder for a parent that has not come yet.
//! Never more lenient than it. Invariant: no rows, however made, make it panic or take longer than their number.

use std::collections::{BTreeMap, HashMap};

use super::{
    BLOCK, GUEST_DIRS, Hazard, MAX_FILE, MAX_INODES, MAX_TOTAL, Refusal, Row, TYPE_DIR, TYPE_FILE,
    Unfit, VERSION_NAME, VMIDS, is_node_name, vmid_of,
};

/// Longest path a program can name; it also bounds the work for directories nested without end.
const MAX_PATH: usize = 4096;

/// A guest as the daemon lists it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Guest {
    /// The node's name.
    pub node: String,
    /// `qemu-server`, `lxc` or `openvz`.
    pub directory: &'static str,
}

/// A database that loads.
#[derive(Debug, PartialEq, Eq)]
pub struct Judged {
    /// Of the root: the next thing created gets the number after it.
    pub version: u64,
    /// Paths of all files, with their content.
    pub files: BTreeMap<String, Vec<u8>>,
    /// By id.
    pub guests: BTreeMap<u32, Guest>,
    /// What is wrong with it all the same.
    pub hazards: Vec<Hazard>,
}

/// Judges as [`judge`] does, and takes no hazard either: what an image seeds must pass this.
///
/// # Errors
/// What the daemon refuses, or what goes wrong later.
pub fn judge_strictly(rows: &[Row], host: &str) -> Result<Judged, Unfit> {
    let judged = judge(rows, Some(host))?;
    if judged.hazards.is_empty() {
        Ok(judged)
    } else {
        Err(Unfit::Hazards(judged.hazards))
    }
}

#[derive(Debug, Default)]
struct Entry {
    /// `None` while only a child has spoken of it.
    kind: Option<u8>,
    row: Option<usize>,
    children: BTreeMap<Vec<u8>, u64>,
}

/// Judges rows in the order of their inodes. With the name of a host, what that host would miss is a hazard too.
///
/// # Errors
/// What the daemon refuses to start with.
pub fn judge(rows: &[Row], host: Option<&str>) -> Result<Judged, Refusal> {
    let mut hazards = Vec::new();
    let mut root_version = None;
    let root = Entry {
        kind: Some(TYPE_DIR),
        ..Entry::default()
    };
    let mut index = HashMap::from([(0, root)]);
    for (at, row) in rows.iter().enumerate() {
        let kind = check_row(row)?;
        if row.inode == 0 {
            if name_of(row) != VERSION_NAME.as_bytes() {
                return Err(Refusal::RootName { name: shown(row) });
            }
            root_version = Some(row.version as u64);
        } else {
            insert(&mut index, rows, at, kind)?;
        }
        ranges(row, &mut hazards);
    }
    let missing = |(inode, entry): (&u64, &Entry)| entry.kind.is_none().then_some(*inode);
    if let Some(parent) = index.iter().filter_map(missing).min() {
        return Err(Refusal::ParentMissing { parent });
    }

    let highest = rows.iter().map(|row| row.inode as u64).max().unwrap_or(0);
    match root_version {
        None => hazards.push(Hazard::VersionMissing),
        Some(version) if version < highest => {
            hazards.push(Hazard::VersionLow { version, highest });
        }
        Some(_) => {}
    }
    let guests = guests(&index, &mut hazards)?;
    let files = walk(&index, rows, &mut hazards);
    if let Some(host) = host {
        let missing = ["qemu-server", "lxc"].map(|dir| format!("nodes/{host}/{dir}"));
        for path in missing {
            if lookup(&index, &path).is_none_or(|entry| entry.kind != Some(TYPE_DIR)) {
                hazards.push(Hazard::NoHost { path });
            }
        }
    }
    Ok(Judged {
        // A root without a record starts at nothing and is written with 1.
        version: root_version.unwrap_or(1),
        files,
        guests,
        hazards,
    })
}

/// What a row says of itself.
fn check_row(row: &Row) -> Result<u8, Refusal> {
    let inode = row.inode as u64;
    if row.name.is_empty() {
        return Err(Refusal::NoName { inode });
    }
    // Only the low byte of the type is read.
    let kind = row.kind as u8;
    match kind {
        TYPE_FILE => Ok(kind),
        TYPE_DIR if row.data.is_empty() => Ok(kind),
        TYPE_DIR => Err(Refusal::DirectoryData {
            inode,
            name: shown(row),
            bytes: row.data.len(),
        }),
        _ => Err(Refusal::UnknownType {
            inode,
            name: shown(row),
            kind,
        }),
    }
}

fn insert(
    index: &mut HashMap<u64, Entry>,
    rows: &[Row],
    at: usize,
    kind: u8,
) -> Result<(), Refusal> {
    let row = &rows[at];
    let (inode, parent) = (row.inode as u64, row.parent as u64);
    let above = index.entry(parent).or_default();
    if above.kind == Some(TYPE_FILE) {
        return Err(Refusal::ParentIsFile {
            inode,
            name: shown(row),
            parent,
        });
    }
    let name = name_of(row).to_vec();
    if let Some(first) = above.children.insert(name, inode) {
        return Err(Refusal::DuplicateName {
            parent,
            name: shown(row),
            first,
            second: inode,
        });
    }
    let entry = index.entry(inode).or_default();
    entry.kind = Some(kind);
    entry.row = Some(at);
    if kind == TYPE_FILE && !entry.children.is_empty() {
        // Rows before it took it for a directory. The daemon forgets them: loaded, and not to be found. Ours refuses.
        return Err(Refusal::ParentIsFile {
            inode: entry.children.values().copied().min().unwrap_or(inode),
            name: shown(row),
            parent: inode,
        });
    }
    Ok(())
}

/// Numbers and names of which the daemon keeps only a part.
fn ranges(row: &Row, hazards: &mut Vec<Hazard>) {
    let inode = row.inode as u64;
    let fields = [
        ("inode", row.inode, i64::MAX),
        ("parent", row.parent, i64::MAX),
        ("version", row.version, i64::MAX),
        ("writer", row.writer, u32::MAX.into()),
        ("mtime", row.mtime, u32::MAX.into()),
        ("type", row.kind, u8::MAX.into()),
    ];
    for (field, value, most) in fields {
        if !(0..=most).contains(&value) {
            hazards.push(Hazard::Truncated {
                inode,
                field,
                value,
            });
        }
    }
    let why = if row.name.contains(&0) {
        "ends at its first NUL"
    } else if row.name.contains(&b'/') {
        "has a slash: its directory cannot be listed"
    } else if row.name == b"." || row.name == b".." {
        "means another directory"
    } else if row.name.len() > super::MAX_NAME {
        "is longer than 255 bytes"
    } else if std::str::from_utf8(&row.name).is_err() {
        "is not UTF-8"
    } else {
        return;
    };
    hazards.push(Hazard::Name {
        inode,
        name: shown(row),
        why,
    });
}

/// Ids by the daemon's rule, of every node whose name it knows.
fn guests(
    index: &HashMap<u64, Entry>,
    hazards: &mut Vec<Hazard>,
) -> Result<BTreeMap<u32, Guest>, Refusal> {
    let mut found: BTreeMap<u32, Guest> = BTreeMap::new();
    let dir = |inode: &u64| {
        let entry = index.get(inode)?;
        (entry.kind == Some(TYPE_DIR)).then_some(entry)
    };
    let nodes = lookup(index, "nodes").map(|entry| &entry.children);
    for (node, inode) in nodes.into_iter().flatten() {
        let (true, Some(entry)) = (is_node_name(node), dir(inode)) else {
            continue;
        };
        let node = String::from_utf8_lossy(node).into_owned();
        for directory in GUEST_DIRS {
            let below = entry.children.get(directory.as_bytes()).and_then(dir);
            for (name, inode) in below.map(|entry| &entry.children).into_iter().flatten() {
                let is_file = index.get(inode).is_some_and(|e| e.kind == Some(TYPE_FILE));
                let Some(vmid) = vmid_of(name).filter(|_| is_file) else {
                    continue;
                };
                if !VMIDS.contains(&vmid) {
                    let path = super::guest_path(&node, directory, vmid);
                    hazards.push(Hazard::Vmid { vmid, path });
                }
                let guest = Guest {
                    node: node.clone(),
                    directory,
                };
                if let Some(first) = found.insert(vmid, guest) {
                    return Err(Refusal::DuplicateVmid {
                        vmid,
                        first: format!("{} ({})", first.node, first.directory),
                        second: format!("{node} ({directory})"),
                    });
                }
            }
        }
    }
    Ok(found)
}

/// All files by path, and what no path leads to.
fn walk(
    index: &HashMap<u64, Entry>,
    rows: &[Row],
    hazards: &mut Vec<Hazard>,
) -> BTreeMap<String, Vec<u8>> {
    let mut files = BTreeMap::new();
    let mut reached = vec![false; rows.len()];
    let mut total = 0;
    let mut todo = vec![(String::new(), 0)];
    while let Some((path, inode)) = todo.pop() {
        let Some(entry) = index.get(&inode) else {
            continue;
        };
        if let Some(at) = entry.row {
            reached[at] = true;
            if entry.kind == Some(TYPE_FILE) {
                let data = &rows[at].data;
                total += (data.len() as u64).next_multiple_of(BLOCK);
                if data.len() > MAX_FILE {
                    hazards.push(Hazard::FileTooLarge {
                        path: path.clone(),
                        bytes: data.len(),
                    });
                }
                files.insert(path, data.clone());
                continue;
            }
        }
        if path.len() > MAX_PATH {
            continue; // what is below counts as not reachable
        }
        for (name, child) in &entry.children {
            let name = String::from_utf8_lossy(name);
            let slash = if path.is_empty() { "" } else { "/" };
            todo.push((format!("{path}{slash}{name}"), *child));
        }
    }
    for (row, reached) in rows.iter().zip(reached) {
        if !reached && row.inode != 0 {
            hazards.push(Hazard::Unreachable {
                inode: row.inode as u64,
                name: shown(row),
            });
        }
    }
    let count = rows.len() as u64;
    for (what, found, limit) in [
        ("bytes", total, MAX_TOTAL),
        ("files and directories", count, MAX_INODES as u64),
    ] {
        if found > limit {
            hazards.push(Hazard::TreeTooLarge { what, found, limit });
        }
    }
    files
}

fn lookup<'a>(index: &'a HashMap<u64, Entry>, path: &str) -> Option<&'a Entry> {
    let mut entry = index.get(&0)?;
    for part in path.split('/') {
        entry = index.get(entry.children.get(part.as_bytes())?)?;
    }
    Some(entry)
}

/// The daemon copies a name up to its first NUL.
fn name_of(row: &Row) -> &[u8] {
    row.name.split(|byte| *byte == 0).next().unwrap_or_default()
}

fn shown(row: &Row) -> String {
    String::from_utf8_lossy(&row.name).into_owned()
}
