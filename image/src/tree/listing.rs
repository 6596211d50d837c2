//! A tree as text: one line per node, to say later which files of two images differ.

use std::fmt::Write as _;

use anyhow::{Context, Result};
use sha2::{Digest, Sha256};

use super::{Kind, Node, Tree};

/// Path, what is not content, and content of every node, separated by tabs. Names and link targets
/// are quoted, so that no name can look like a separator.
pub fn listing(tree: &Tree) -> Result<String> {
    let mut text = String::new();
    for (path, node) in tree.iter() {
        let content = match &node.kind {
            Kind::Dir => "directory".to_owned(),
            Kind::Symlink(target) => format!("link {target:?}"),
            Kind::File(content) => {
                let mut hasher = Sha256::new();
                let mut reader = content.open()?;
                let mut buffer = vec![0u8; 1 << 16];
                loop {
                    let n = reader
                        .read(&mut buffer)
                        .with_context(|| format!("reading /{path}"))?;
                    if n == 0 {
                        break;
                    }
                    hasher.update(&buffer[..n]);
                }
                format!("file {} {}", content.len(), hex(&hasher.finalize()))
            }
        };
        writeln!(text, "{path:?}\t{}\t{content}", about(node))?;
    }
    Ok(text)
}

fn about(node: &Node) -> String {
    let mut text = format!("{:04o} {}:{}", node.mode, node.uid, node.gid);
    for (name, value) in &node.xattrs {
        let _ = write!(text, " {name:?}={}", hex(value));
    }
    text
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}
