//! Taking /var out of the image.
//!
//! Owns: the rule by which what packages put into /var reaches the device: directories as
//! tmpfiles.d lines, files as copies from /usr/share/factory. Never does: carry caches or logs.
//! Invariant: afterwards the tree's /var is empty, and `systemd-tmpfiles --create` on an empty
//! /var brings back everything, on the first boot and after every update (tmpfiles.d(5)).

use std::fmt::Write;

use anyhow::Result;

use super::{Kind, Node, Tree};

const FACTORY: &str = "usr/share/factory";
const CONF: &str = "usr/lib/tmpfiles.d/roamcore-var.conf";
/// The package database belongs to the image: every boot must see the one of the running slot.
const IMAGE_OWNED: [(&str, &str); 1] = [("var/lib/dpkg", "usr/lib/sysimage/dpkg")];
/// Never carried over: the device makes its own.
const DROPPED: [&str; 4] = ["var/cache", "var/log", "var/lib/apt", "var/tmp"];

/// Moves the content of /var to where tmpfiles finds it.
pub fn split_var(tree: &mut Tree) -> Result<()> {
    for (from, to) in IMAGE_OWNED {
        let moved: Vec<(String, Node)> = tree
            .children(from)
            .map(|(p, n)| (p.replacen(from, to, 1), n.clone()))
            .collect();
        if moved.is_empty() {
            continue;
        }
        tree.remove(from);
        for (path, node) in moved {
            tree.insert(&path, node)?;
        }
    }
    let nodes: Vec<(String, Node)> = tree
        .children("var")
        .map(|(p, n)| (p.to_owned(), n.clone()))
        .collect();
    let mut conf =
        String::from("# Made by the image builder from what the packages put into /var.\n");
    for (path, node) in &nodes {
        let dropped = DROPPED.iter().any(|d| {
            path.strip_prefix(d)
                .is_some_and(|rest| rest.starts_with('/'))
        });
        let owner = format!("{:04o} {} {}", node.mode, node.uid, node.gid);
        match &node.kind {
            Kind::Dir if dropped && !path.starts_with("var/log/") => {}
            Kind::Dir => writeln!(conf, "d /{path} {owner} -")?,
            _ if dropped => {}
            Kind::Symlink(target) => writeln!(conf, "L /{path} - - - - {target}")?,
            Kind::File(_) => {
                writeln!(conf, "C /{path} {owner} - /{FACTORY}/{path}")?;
                tree.insert(&format!("{FACTORY}/{path}"), node.clone())?;
            }
        }
    }
    for (from, to) in IMAGE_OWNED {
        if tree.get(to).is_some() {
            writeln!(conf, "L+ /{from} - - - - /{to}")?;
        }
    }
    tree.remove("var");
    tree.insert("var", Node::root(Kind::Dir, 0o755))?;
    tree.insert_bytes(CONF, 0o644, conf)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn var_is_emptied_and_described() {
        let mut tree = Tree::default();
        tree.insert_bytes("var/lib/dpkg/status", 0o644, "S")
            .unwrap();
        tree.insert_bytes("var/cache/apt/big", 0o644, "big")
            .unwrap();
        tree.insert_bytes("var/lib/x/seed", 0o600, "seed").unwrap();
        tree.insert_symlink("var/run", "/run").unwrap();
        split_var(&mut tree).unwrap();
        assert_eq!(tree.children("var").count(), 0);
        let conf = tree.text(CONF).unwrap();
        assert!(
            conf.contains("C /var/lib/x/seed 0600 0 0 - /usr/share/factory/var/lib/x/seed"),
            "{conf}"
        );
        assert!(conf.contains("L /var/run - - - - /run"));
        assert!(conf.contains("L+ /var/lib/dpkg - - - - /usr/lib/sysimage/dpkg"));
        assert!(!conf.contains("big") && !conf.contains("apt"));
        assert_eq!(tree.text("usr/lib/sysimage/dpkg/status").unwrap(), "S");
    }
}
