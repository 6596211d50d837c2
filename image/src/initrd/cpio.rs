//! The tree as a cpio archive in the "newc" format that the kernel unpacks
//! (Documentation/driver-api/early-userspace/buffer-format.rst).
//!
//! Owns: the archive's bytes. Never does: compress. Invariant: what is written of a node follows from the node alone,
//! so that a file that did not change gives the same bytes in every release.

use std::io::{Read, Write};

use anyhow::{Context, Result, bail};

use super::archives::Entry;
use crate::tree::{Kind, Node};

/// The time of every file: nothing in the initrd asks for it. 0 is "no time" to some programs.
const MTIME: u32 = 1;
/// Number of every node: only files with several links are told apart by it, and there are none.
const INODE: u32 = 0;

/// Writes the archive.
pub fn write_cpio(nodes: &[Entry<'_>], mut out: impl Write) -> Result<()> {
    for (path, node) in nodes {
        entry(&mut out, path, node).with_context(|| format!("writing /{path} into the initrd"))?;
    }
    header(&mut out, 0, 0, 0, 0, "TRAILER!!!")
}

fn entry(out: &mut impl Write, path: &str, node: &Node) -> Result<()> {
    // File type bits of stat(2).
    let (kind, size) = match &node.kind {
        Kind::Dir => (0o040_000, 0),
        Kind::Symlink(target) => (0o120_000, target.len() as u64),
        Kind::File(content) => (0o100_000, content.len()),
    };
    let size =
        u32::try_from(size).context("a file of 4 GiB or more does not fit into an initrd")?;
    if !node.xattrs.is_empty() {
        bail!("extended attributes cannot be kept in an initrd");
    }
    header(out, kind | node.mode, node.uid, node.gid, size, path)?;
    match &node.kind {
        Kind::Dir => {}
        Kind::Symlink(target) => out.write_all(target.as_bytes())?,
        Kind::File(content) => {
            let copied = std::io::copy(&mut content.open()?.take(u64::from(size)), out)?;
            if copied != u64::from(size) {
                bail!("the file changed while it was read: {copied} bytes, expected {size}");
            }
        }
    }
    pad(out, size as usize)
}

fn header(
    out: &mut impl Write,
    mode: u32,
    uid: u32,
    gid: u32,
    size: u32,
    name: &str,
) -> Result<()> {
    let name_size = name.len() + 1;
    write!(
        out,
        "070701{INODE:08X}{mode:08X}{uid:08X}{gid:08X}{:08X}{MTIME:08X}{size:08X}{:08X}{:08X}{:08X}{:08X}{name_size:08X}{:08X}",
        1, 0, 0, 0, 0, 0
    )?;
    out.write_all(name.as_bytes())?;
    out.write_all(&[0])?;
    // The header has 110 bytes; name and data are padded to four.
    pad(out, 110 + name_size)
}

fn pad(out: &mut impl Write, len: usize) -> Result<()> {
    Ok(out.write_all(&[0u8; 3][..len.wrapping_neg() % 4])?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tree::Tree;

    #[test]
    fn the_archive_is_read_back_by_cpio() {
        let mut tree = Tree::default();
        tree.insert_bytes("etc/hello", 0o640, "hello").unwrap();
        tree.insert_symlink("init", "etc/hello").unwrap();
        let mut bytes = Vec::new();
        let nodes: Vec<_> = tree.iter().collect();
        write_cpio(&nodes, &mut bytes).unwrap();
        let listed = crate::command::Command::new("cpio")
            .args(["-itv", "--quiet"])
            .stdin_bytes(bytes.clone())
            .run();
        match listed {
            Ok(output) => {
                let text = String::from_utf8(output.stdout).unwrap();
                assert!(
                    text.contains("-rw-r-----") && text.contains("init -> etc/hello"),
                    "{text}"
                );
            }
            Err(crate::command::CommandError::Start { .. }) => {
                println!("SKIP: cpio is not installed")
            }
            Err(other) => panic!("{other}"),
        }
        // One more file changes nothing in what is written of the others.
        tree.insert_bytes("etc/a", 0o640, "").unwrap();
        let nodes: Vec<_> = tree.iter().filter(|(path, _)| *path != "etc/a").collect();
        let mut again = Vec::new();
        write_cpio(&nodes, &mut again).unwrap();
        assert_eq!(bytes, again);
    }
}
