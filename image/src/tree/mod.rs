//! A filesystem tree in memory, with file contents left where they are.
//!
//! Owns: the nodes of an image tree (kind, mode, owner, extended attributes) and lookups that obey
//! symbolic links. Never does: touch the host's filesystem with the tree's owners or devices; that
//! is why no root is needed.
//! Invariant: paths are relative, normalised and UTF-8; every node's parent is a directory node.

mod listing;
mod merge;
mod tarball;
mod units;
mod var;

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read;
use std::os::unix::fs::FileExt;
use std::path::PathBuf;
use std::sync::Arc;

use anyhow::{Context, Result, bail};

pub use listing::listing;
pub use merge::{apply_units, merge_overlay, remove_paths};
pub use tarball::{read_tar, write_tar};
pub use units::{disable_unit, enable_unit, mask_unit};
pub use var::split_var;

/// Where a file's bytes are.
#[derive(Debug, Clone)]
pub enum Content {
    /// In memory.
    Bytes(Arc<[u8]>),
    /// A range of a tar archive.
    Slice {
        /// The archive.
        file: Arc<File>,
        /// First byte.
        offset: u64,
        /// Length in bytes.
        len: u64,
    },
    /// A whole file of the host.
    Path {
        /// Its path.
        path: PathBuf,
        /// Its length when it was looked at.
        len: u64,
    },
}

impl Content {
    /// Length in bytes.
    pub fn len(&self) -> u64 {
        match self {
            Content::Bytes(b) => b.len() as u64,
            Content::Slice { len, .. } | Content::Path { len, .. } => *len,
        }
    }

    /// True for an empty file.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// A reader over the bytes.
    pub fn open(&self) -> Result<Box<dyn Read + '_>> {
        Ok(match self {
            Content::Bytes(b) => Box::new(&b[..]),
            Content::Slice { file, offset, len } => Box::new(SliceReader {
                file,
                at: *offset,
                left: *len,
            }),
            Content::Path { path, .. } => {
                Box::new(File::open(path).with_context(|| format!("opening {}", path.display()))?)
            }
        })
    }

    /// All bytes; for small files and kernel images only.
    pub fn bytes(&self) -> Result<Vec<u8>> {
        let mut all = Vec::new();
        self.open()?
            .read_to_end(&mut all)
            .context("reading a file of the tree")?;
        if all.len() as u64 != self.len() {
            bail!(
                "a file of the tree changed while it was read: {} bytes, expected {}",
                all.len(),
                self.len()
            );
        }
        Ok(all)
    }
}

struct SliceReader<'a> {
    file: &'a File,
    at: u64,
    left: u64,
}

impl Read for SliceReader<'_> {
    fn read(&mut self, buf: &mut [u8]) -> std::io::Result<usize> {
        let want = buf
            .len()
            .min(usize::try_from(self.left).unwrap_or(usize::MAX));
        let n = self.file.read_at(&mut buf[..want], self.at)?;
        if n == 0 && want > 0 {
            return Err(std::io::ErrorKind::UnexpectedEof.into());
        }
        self.at += n as u64;
        self.left -= n as u64;
        Ok(n)
    }
}

/// What a node is.
#[derive(Debug, Clone)]
pub enum Kind {
    /// A directory.
    Dir,
    /// A regular file.
    File(Content),
    /// A symbolic link and its target text.
    Symlink(String),
}

/// One node of the tree.
#[derive(Debug, Clone)]
pub struct Node {
    /// What it is.
    pub kind: Kind,
    /// Permission bits including set-id and sticky.
    pub mode: u32,
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
    /// Extended attributes such as `security.capability`.
    pub xattrs: BTreeMap<String, Vec<u8>>,
}

impl Node {
    /// A node of root's with no extended attributes.
    pub fn root(kind: Kind, mode: u32) -> Node {
        Node {
            kind,
            mode,
            uid: 0,
            gid: 0,
            xattrs: BTreeMap::new(),
        }
    }
}

/// A filesystem tree.
#[derive(Debug, Clone, Default)]
pub struct Tree {
    nodes: BTreeMap<String, Node>,
}

/// Removes the leading slash and refuses anything that is not a plain normalised path.
pub fn normalise(path: &str) -> Result<String> {
    let trimmed = path
        .trim_start_matches("./")
        .trim_start_matches('/')
        .trim_end_matches('/');
    if trimmed == "." {
        return Ok(String::new());
    }
    if trimmed
        .split('/')
        .any(|p| p == ".." || p == "." || (p.is_empty() && !trimmed.is_empty()))
    {
        bail!("the path `{path}` is not normalised");
    }
    Ok(trimmed.to_owned())
}

impl Tree {
    /// Inserts or replaces a node; missing parents become `0755` directories of root's.
    pub fn insert(&mut self, path: &str, node: Node) -> Result<()> {
        let path = self.canonical_parent(&normalise(path)?)?;
        let mut at = 0;
        while let Some(slash) = path[at..].find('/') {
            let parent = &path[..at + slash];
            match self.nodes.get(parent).map(|n| &n.kind) {
                Some(Kind::Dir) => {}
                None => {
                    self.nodes
                        .insert(parent.to_owned(), Node::root(Kind::Dir, 0o755));
                }
                Some(_) => bail!("cannot put /{path} into the tree: /{parent} is not a directory"),
            }
            at += slash + 1;
        }
        if !matches!(node.kind, Kind::Dir) && self.children(&path).next().is_some() {
            bail!(
                "cannot replace the directory /{path}: it is not empty; remove its content first"
            );
        }
        self.nodes.insert(path, node);
        Ok(())
    }

    /// Inserts a small file of root's.
    pub fn insert_bytes(&mut self, path: &str, mode: u32, bytes: impl Into<Vec<u8>>) -> Result<()> {
        let content = Content::Bytes(bytes.into().into());
        self.insert(path, Node::root(Kind::File(content), mode))
    }

    /// Inserts a symbolic link.
    pub fn insert_symlink(&mut self, path: &str, target: &str) -> Result<()> {
        self.insert(path, Node::root(Kind::Symlink(target.to_owned()), 0o777))
    }

    /// Removes a node and everything below it; true when there was something.
    pub fn remove(&mut self, path: &str) -> bool {
        let below: Vec<String> = self.children(path).map(|(p, _)| p.to_owned()).collect();
        for child in &below {
            self.nodes.remove(child);
        }
        self.nodes.remove(path).is_some() || !below.is_empty()
    }

    /// The node at exactly this path.
    pub fn get(&self, path: &str) -> Option<&Node> {
        self.nodes.get(path)
    }

    /// The node at exactly this path, for changing.
    pub fn get_mut(&mut self, path: &str) -> Option<&mut Node> {
        self.nodes.get_mut(path)
    }

    /// All nodes in path order, parents first.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Node)> {
        self.nodes.iter().map(|(p, n)| (p.as_str(), n))
    }

    /// Everything below a directory, however deep.
    pub fn children<'a>(
        &'a self,
        path: &str,
    ) -> impl Iterator<Item = (&'a str, &'a Node)> + use<'a> {
        let prefix = if path.is_empty() {
            String::new()
        } else {
            format!("{path}/")
        };
        self.nodes
            .range(prefix.clone()..)
            .take_while(move |(p, _)| p.starts_with(&prefix))
            .map(|(p, n)| (p.as_str(), n))
    }

    /// Follows symbolic links in every component; returns the path where the node really is.
    pub fn resolve(&self, path: &str) -> Result<String> {
        let mut done: Vec<String> = Vec::new();
        let mut todo: Vec<String> = path
            .split('/')
            .rev()
            .filter(|p| !p.is_empty())
            .map(str::to_owned)
            .collect();
        // Forty is the kernel's own limit of links in one look-up.
        let mut links = 0;
        while let Some(part) = todo.pop() {
            match part.as_str() {
                "." => continue,
                ".." => {
                    done.pop();
                    continue;
                }
                _ => done.push(part),
            }
            if let Some(Node {
                kind: Kind::Symlink(target),
                ..
            }) = self.nodes.get(&done.join("/"))
            {
                links += 1;
                if links > 40 {
                    bail!("too many levels of symbolic links in /{path}");
                }
                done.pop();
                if target.starts_with('/') {
                    done.clear();
                }
                todo.extend(
                    target
                        .split('/')
                        .rev()
                        .filter(|p| !p.is_empty())
                        .map(str::to_owned),
                );
            }
        }
        Ok(done.join("/"))
    }

    /// The file at `path`, following links.
    pub fn file(&self, path: &str) -> Result<&Content> {
        let real = self.resolve(path)?;
        match self.nodes.get(&real).map(|n| &n.kind) {
            Some(Kind::File(content)) => Ok(content),
            Some(_) => bail!("/{path} is not a regular file in the image tree"),
            None => bail!("/{path} is not in the image tree"),
        }
    }

    /// The text of a small file.
    pub fn text(&self, path: &str) -> Result<String> {
        String::from_utf8(self.file(path)?.bytes()?)
            .with_context(|| format!("/{path} is not UTF-8"))
    }

    /// Resolves links in the parent part only, so that `/lib/x` lands in `/usr/lib/x` on a merged
    /// `/usr`, while the last component itself is what is replaced.
    fn canonical_parent(&self, path: &str) -> Result<String> {
        match path.rsplit_once('/') {
            None => Ok(path.to_owned()),
            Some((parent, name)) => {
                let parent = self.resolve(parent)?;
                Ok(if parent.is_empty() {
                    name.to_owned()
                } else {
                    format!("{parent}/{name}")
                })
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample() -> Tree {
        let mut tree = Tree::default();
        tree.insert_symlink("lib", "usr/lib").unwrap();
        tree.insert_bytes("usr/lib/a", 0o644, "A").unwrap();
        tree.insert_symlink("usr/lib/b", "../lib/a").unwrap();
        tree
    }

    #[test]
    fn merged_usr_is_obeyed() {
        let mut tree = sample();
        tree.insert_bytes("/lib/new", 0o644, "N").unwrap();
        assert!(tree.get("usr/lib/new").is_some());
        assert_eq!(tree.text("lib/b").unwrap(), "A");
        assert!(matches!(tree.get("lib").unwrap().kind, Kind::Symlink(_)));
    }

    #[test]
    fn loops_and_escapes_are_refused() {
        let mut tree = sample();
        tree.insert_symlink("x", "y").unwrap();
        tree.insert_symlink("y", "x").unwrap();
        assert!(
            tree.resolve("x")
                .unwrap_err()
                .to_string()
                .contains("too many levels")
        );
        assert!(tree.insert_bytes("a/../b", 0o644, "").is_err());
        assert!(tree.insert_bytes("usr/lib/a/below", 0o644, "").is_err());
        assert!(tree.insert_bytes("usr", 0o644, "").is_err());
    }

    #[test]
    fn removing_a_directory_removes_what_is_below_and_no_sibling() {
        let mut tree = sample();
        tree.insert_bytes("usr/lib-other", 0o644, "").unwrap();
        assert!(tree.remove("usr/lib"));
        assert!(tree.get("usr/lib/a").is_none());
        assert!(tree.get("usr/lib-other").is_some());
        assert!(!tree.remove("usr/lib"));
    }
}
