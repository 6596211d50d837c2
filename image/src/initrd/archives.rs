//! The initrd in several archives, so that a device that has one release's fetches little of the next one's.
//!
//! Owns: which file goes into which archive. A compressor's output changes from the first changed byte to the end of
//! its stream, so what changes for itself gets a stream of its own. The kernel takes any number of archives with zeros
//! between (Documentation/driver-api/early-userspace/buffer-format.rst). Never does: compress, or look into a file.
//! Invariant: every node is in exactly one archive, and directories come before what is in them.
//!
//! ```text
//!   | directories, links, small files | a large file | a large file | ... | what every release changes |
//! ```

use crate::tree::{Kind, Node, Tree};

/// Files from this size on are archives of their own: programs, libraries and kernel modules, which change by package.
/// Measured on the initrd of `bare`: see docs/image.md.
const ALONE: u64 = 64 * 1024;

/// A path and what is there.
pub type Entry<'a> = (&'a str, &'a Node);

/// The archives in their order. `changing` names the files that are different in every release.
pub fn archives<'a>(tree: &'a Tree, changing: &[&str]) -> Vec<Vec<Entry<'a>>> {
    let (mut first, mut alone, mut last) = (Vec::new(), Vec::new(), Vec::new());
    for (path, node) in tree.iter() {
        match &node.kind {
            Kind::File(_) if changing.contains(&path) => last.push((path, node)),
            Kind::File(content) if content.len() >= ALONE => alone.push(vec![(path, node)]),
            _ => first.push((path, node)),
        }
    }
    let mut all = vec![first];
    all.extend(alone);
    all.extend((!last.is_empty()).then_some(last));
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_node_once_and_directories_first() {
        let mut tree = Tree::default();
        let large = vec![7; usize::try_from(ALONE).unwrap()];
        tree.insert_bytes("etc/release", 0o644, "1.2.3").unwrap();
        tree.insert_bytes("usr/lib/large", 0o644, large.clone())
            .unwrap();
        tree.insert_bytes("usr/lib/larger", 0o644, large).unwrap();
        tree.insert_bytes("usr/lib/small", 0o644, "x").unwrap();
        tree.insert_symlink("init", "usr/lib/large").unwrap();
        let found: Vec<Vec<&str>> = archives(&tree, &["etc/release"])
            .into_iter()
            .map(|archive| archive.into_iter().map(|(path, _)| path).collect())
            .collect();
        assert_eq!(
            found,
            [
                &["etc", "init", "usr", "usr/lib", "usr/lib/small"][..],
                &["usr/lib/large"],
                &["usr/lib/larger"],
                &["etc/release"],
            ]
        );
    }
}
