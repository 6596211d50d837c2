//! A directory tree as data.
//!
//! Owns: reading one from the disk, and what of it makes two files equal: kind, content, owner, mode and extended
//! attributes, but no times: an image has one time for all files, a copy has another. Never does: follow a link.
//! Invariant: bounded in depth, number and size.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::fs::{self, File, Metadata};
use std::io::Read;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::Path;

use roamcore_agent::files::{At, IoAt};
use rustix::fs::{lgetxattr, llistxattr};
use rustix::io::Errno;
use sha2::{Digest, Sha256};

use super::EtcError;

/// Far above any /etc, low enough for memory.
const MOST_NODES: u64 = 100_000;
const MOST_BYTES: u64 = 512 * 1024 * 1024;
const DEEPEST: u64 = 64;
/// The kernel's own limits for the list and for one value (xattr(7)).
const XATTR_LIMIT: usize = 64 * 1024;
/// One read.
const STEP: usize = 64 * 1024;

/// How an upper layer says that something is not there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Marks {
    /// As the kernel's overlayfs does: a character device 0/0, and the attribute `trusted.overlay.opaque`.
    Kernel,
    /// As container images do: `.wh.NAME`, and `.wh..wh..opq` in a directory. Needs no privileges.
    Names,
}

/// An opaque directory by name.
pub(super) const OPAQUE_NAME: &str = ".wh..wh..opq";
/// A whiteout by name.
pub(super) const WHITEOUT_NAME: &str = ".wh.";
/// overlayfs's own attributes; all but this one describe the layer they are in.
pub(super) const OPAQUE_XATTR: &str = "trusted.overlay.opaque";
const OVERLAY_XATTR: &[u8] = b"trusted.overlay.";

/// Extended attributes by name.
pub type Xattrs = BTreeMap<Vec<u8>, Vec<u8>>;

/// Owner, mode and attributes.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Meta {
    /// Permission bits.
    pub mode: u32,
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
    /// Extended attributes, without overlayfs's.
    pub xattrs: Xattrs,
}

/// Anything in a tree.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Node {
    /// A plain file.
    File {
        /// Attributes.
        meta: Meta,
        /// SHA-256 of its content.
        digest: [u8; 32],
    },
    /// A symbolic link.
    Link {
        /// Attributes; a link's mode means nothing.
        meta: Meta,
        /// Where it points.
        target: OsString,
    },
    /// A device, socket or pipe.
    Special {
        /// Attributes, with the kind in `mode`.
        meta: Meta,
        /// Device number.
        device: u64,
    },
    /// A directory.
    Dir {
        /// Attributes.
        meta: Meta,
        /// It hides what is below it.
        opaque: bool,
        /// What is in it.
        children: BTreeMap<OsString, Node>,
    },
    /// Hides a name of the layer below.
    Whiteout,
}

impl Node {
    /// Its children, when it is a directory.
    #[must_use]
    pub fn children(&self) -> Option<&BTreeMap<OsString, Node>> {
        match self {
            Self::Dir { children, .. } => Some(children),
            _ => None,
        }
    }

    /// The child of this name.
    #[must_use]
    pub fn child(&self, name: &OsStr) -> Option<&Node> {
        self.children().and_then(|children| children.get(name))
    }
}

/// Reads the tree at `path`.
///
/// # Errors
/// Something cannot be read, or it is larger than any /etc.
pub fn scan(path: &Path, marks: Marks) -> Result<Node, EtcError> {
    let mut scan = Scan {
        marks,
        top: path,
        nodes: 0,
        bytes: 0,
    };
    let found = fs::symlink_metadata(path).at("inspect", path)?;
    scan.node(path, &found, 0)
}

struct Scan<'a> {
    marks: Marks,
    top: &'a Path,
    nodes: u64,
    bytes: u64,
}

impl Scan<'_> {
    fn limit(&self, what: &'static str, value: u64, limit: u64) -> Result<(), EtcError> {
        if value <= limit {
            return Ok(());
        }
        Err(EtcError::TooMuch {
            path: self.top.to_owned(),
            what,
            limit,
        })
    }

    fn node(&mut self, path: &Path, found: &Metadata, depth: u64) -> Result<Node, EtcError> {
        self.nodes += 1;
        self.limit("files", self.nodes, MOST_NODES)?;
        let kind = found.file_type();
        if self.marks == Marks::Kernel && kind.is_char_device() && found.rdev() == 0 {
            return Ok(Node::Whiteout);
        }
        let mut xattrs = xattrs(path)?;
        let opaque = take_overlay(&mut xattrs);
        let meta = Meta {
            mode: found.mode() & 0o7777,
            uid: found.uid(),
            gid: found.gid(),
            xattrs,
        };
        if kind.is_dir() {
            self.limit("levels", depth, DEEPEST)?;
            return self.directory(path, meta, opaque, depth);
        }
        if kind.is_symlink() {
            let target = fs::read_link(path).at("read the link", path)?;
            let meta = Meta { mode: 0, ..meta };
            return Ok(Node::Link {
                meta,
                target: target.into_os_string(),
            });
        }
        if kind.is_file() {
            self.bytes = self.bytes.saturating_add(found.len());
            self.limit("bytes", self.bytes, MOST_BYTES)?;
            let digest = digest(path)?;
            return Ok(Node::File { meta, digest });
        }
        Ok(Node::Special {
            meta: Meta {
                mode: found.mode(),
                ..meta
            },
            device: found.rdev(),
        })
    }

    fn directory(
        &mut self,
        path: &Path,
        meta: Meta,
        mut opaque: bool,
        depth: u64,
    ) -> Result<Node, EtcError> {
        let mut children = BTreeMap::new();
        for entry in fs::read_dir(path).at("list", path)? {
            let entry = entry.at("list", path)?;
            let name = entry.file_name();
            if self.marks == Marks::Names {
                if name == OPAQUE_NAME {
                    opaque = true;
                    continue;
                }
                if let Some(hidden) = name.as_bytes().strip_prefix(WHITEOUT_NAME.as_bytes()) {
                    children.insert(OsString::from_vec(hidden.to_vec()), Node::Whiteout);
                    continue;
                }
            }
            let found = entry.metadata().at("inspect", &entry.path())?;
            let node = self.node(&entry.path(), &found, depth + 1)?;
            children.insert(name, node);
        }
        Ok(Node::Dir {
            meta,
            opaque,
            children,
        })
    }
}

/// All extended attributes that can be read.
pub(super) fn xattrs(path: &Path) -> Result<Xattrs, IoAt> {
    let mut names = vec![0; XATTR_LIMIT];
    let len = match llistxattr(path, &mut names[..]) {
        // File systems without them.
        Err(Errno::NOTSUP) => 0,
        other => other.at("list the attributes of", path)?,
    };
    let mut found = Xattrs::new();
    let names = names[..len].split(|b| *b == 0);
    for name in names.filter(|name| !name.is_empty()) {
        let mut value = vec![0; XATTR_LIMIT];
        let len = match lgetxattr(path, OsStr::from_bytes(name), &mut value[..]) {
            // Removed meanwhile, or shown but not ours to read.
            Err(Errno::NODATA | Errno::NOTSUP) => continue,
            other => other.at("read an attribute of", path)?,
        };
        value.truncate(len);
        found.insert(name.to_vec(), value);
    }
    Ok(found)
}

/// Takes overlayfs's own attributes out, and says whether they make a directory opaque.
pub(super) fn take_overlay(xattrs: &mut Xattrs) -> bool {
    let opaque = xattrs.get(OPAQUE_XATTR.as_bytes()).map(Vec::as_slice) == Some(b"y");
    xattrs.retain(|name, _| !name.starts_with(OVERLAY_XATTR));
    opaque
}

fn digest(path: &Path) -> Result<[u8; 32], IoAt> {
    let mut file = File::open(path).at("open", path)?;
    let mut hasher = Sha256::new();
    let mut buffer = vec![0; STEP];
    loop {
        match file.read(&mut buffer).at("read", path)? {
            0 => return Ok(hasher.finalize().into()),
            count => hasher.update(&buffer[..count]),
        }
    }
}
