//! What stays of an upper layer when the image below it changes: a function of three trees.
//!
//! Owns: the table in the module above. Never does: I/O.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::path::Path;

use super::lines::mergeable;
use super::tree::{Meta, Node};
use super::{Conflict, ConflictKind};

/// What becomes of one name in the new upper layer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Keep {
    /// A copy of ours, with all that is in it.
    Ours,
    /// A file that is merged line by line; where that cannot be done, ours.
    Lines,
    /// A directory of its own.
    Dir {
        /// Its attributes.
        meta: Meta,
        /// It hides what is below it.
        opaque: bool,
        /// What is in it; what is not named here is the new image's.
        children: BTreeMap<OsString, Keep>,
    },
    /// Hides the image's.
    Whiteout,
}

/// A new upper layer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plan {
    /// Attributes of /etc itself.
    pub meta: Meta,
    /// What is in it.
    pub children: BTreeMap<OsString, Keep>,
    /// What both sides changed, sorted.
    pub conflicts: Vec<Conflict>,
    /// Names that stay.
    pub kept: u64,
    /// Copies that are dropped, so that the image's file shows.
    pub dropped: u64,
}

/// Decides; `ours` is an upper layer, the others are whole trees. All three are directories, or count as empty ones.
#[must_use]
pub fn decide(base: &Node, ours: &Node, theirs: &Node) -> Plan {
    let mut decide = Decide::default();
    let meta = decide.directory_meta(Path::new(""), base, ours, theirs);
    let children = decide.children(Path::new(""), Some(base), ours, Some(theirs));
    decide.conflicts.sort();
    Plan {
        meta,
        children,
        conflicts: decide.conflicts,
        kept: decide.kept,
        dropped: decide.dropped,
    }
}

#[derive(Default)]
struct Decide {
    conflicts: Vec<Conflict>,
    kept: u64,
    dropped: u64,
}

impl Decide {
    fn conflict(&mut self, path: &Path, kind: ConflictKind) {
        self.conflicts.push(Conflict {
            path: path.to_string_lossy().into_owned(),
            kind,
        });
    }

    fn children(
        &mut self,
        path: &Path,
        base: Option<&Node>,
        ours: &Node,
        theirs: Option<&Node>,
    ) -> BTreeMap<OsString, Keep> {
        let mut kept = BTreeMap::new();
        for (name, node) in ours.children().into_iter().flatten() {
            let of = |tree: Option<&'_ Node>| tree.and_then(|tree| tree.child(name)).cloned();
            let (base, theirs) = (of(base), of(theirs));
            let path = path.join(name);
            let keep = self.one(&path, name, base.as_ref(), node, theirs.as_ref());
            match keep {
                Some(keep) => {
                    self.kept += 1;
                    kept.insert(name.clone(), keep);
                }
                None => self.dropped += 1,
            }
        }
        kept
    }

    fn one(
        &mut self,
        path: &Path,
        name: &OsStr,
        base: Option<&Node>,
        ours: &Node,
        theirs: Option<&Node>,
    ) -> Option<Keep> {
        match ours {
            Node::Whiteout => {
                if base != theirs && theirs.is_some() {
                    self.conflict(path, ConflictKind::RemovedChanged);
                }
                Some(Keep::Whiteout)
            }
            Node::Dir { opaque: true, .. } => {
                if base != theirs && theirs.is_some() {
                    self.conflict(path, ConflictKind::DirectoryReplaced);
                }
                Some(Keep::Ours)
            }
            Node::Dir { .. } => self.directory(path, base, ours, theirs),
            _ => self.leaf(path, name, base, ours, theirs),
        }
    }

    /// A file, link or device of the user's.
    fn leaf(
        &mut self,
        path: &Path,
        name: &OsStr,
        base: Option<&Node>,
        ours: &Node,
        theirs: Option<&Node>,
    ) -> Option<Keep> {
        if base == Some(ours) || theirs == Some(ours) {
            return None;
        }
        if base == theirs {
            return Some(Keep::Ours);
        }
        let all_files = [base, Some(ours), theirs]
            .into_iter()
            .all(|node| matches!(node, Some(Node::File { .. })));
        // Only at the top: `passwd` elsewhere is some program's own.
        if all_files && path.as_os_str() == name && mergeable(name) {
            return Some(Keep::Lines);
        }
        self.conflict(
            path,
            match (base, theirs) {
                (None, _) => ConflictKind::BothAdded,
                (Some(_), None) => ConflictKind::ChangedRemoved,
                (Some(_), Some(_)) => ConflictKind::BothChanged,
            },
        );
        Some(Keep::Ours)
    }

    /// A directory that shows what is below it.
    fn directory(
        &mut self,
        path: &Path,
        base: Option<&Node>,
        ours: &Node,
        theirs: Option<&Node>,
    ) -> Option<Keep> {
        let was = base.filter(|node| node.children().is_some());
        let is = theirs.filter(|node| node.children().is_some());
        let children = self.children(path, was, ours, is);
        let Node::Dir { meta, .. } = ours else {
            return None;
        };
        let unchanged = was.is_some_and(|was| meta_of(was) == Some(meta));
        match (was, is) {
            // Copied up only because something in it was, which is no longer kept.
            _ if children.is_empty() && unchanged => return None,
            // The same attributes as the image gives it now.
            (_, Some(is)) if children.is_empty() && meta_of(is) == Some(meta) => return None,
            // The image has no such directory any more: what the user has in it stays, with its place.
            (_, None) if theirs.is_some() => {
                self.conflict(path, ConflictKind::BothChanged);
            }
            _ => {}
        }
        let meta = match (was, is) {
            (Some(was), Some(is)) => self.directory_meta(path, was, ours, is),
            _ => meta.clone(),
        };
        Some(Keep::Dir {
            meta,
            opaque: false,
            children,
        })
    }

    /// Attributes of a directory that all three have; those of the upper layer are the ones that show.
    fn directory_meta(&mut self, path: &Path, base: &Node, ours: &Node, theirs: &Node) -> Meta {
        let (base, ours, theirs) = (meta_of(base), meta_of(ours), meta_of(theirs));
        if ours == base || ours == theirs {
            return theirs.or(ours).cloned().unwrap_or_default();
        }
        if base != theirs {
            self.conflict(path, ConflictKind::DirectoryAttributes);
        }
        ours.cloned().unwrap_or_default()
    }
}

fn meta_of(node: &Node) -> Option<&Meta> {
    match node {
        Node::File { meta, .. }
        | Node::Link { meta, .. }
        | Node::Special { meta, .. }
        | Node::Dir { meta, .. } => Some(meta),
        Node::Whiteout => None,
    }
}
