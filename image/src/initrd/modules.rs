//! Kernel modules and their dependencies.
//!
//! Owns: which module files a module name means, by the kernel's own `modules.dep` and
//! `modules.builtin` (modules.dep(5)). Never does: rebuild the indexes; the image's full ones are
//! carried, so a device whose driver is not in the initrd simply waits for the real system.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context, Result, bail};

use crate::tree::{Kind, Tree};

const ROOT: &str = "usr/lib/modules";
/// Indexes that libkmod and udev read.
const INDEXES: [&str; 10] = [
    "modules.alias.bin",
    "modules.builtin",
    "modules.builtin.alias.bin",
    "modules.builtin.bin",
    "modules.builtin.modinfo",
    "modules.dep.bin",
    "modules.devname",
    "modules.order",
    "modules.softdep",
    "modules.symbols.bin",
];

/// The one kernel version in the tree.
pub fn kernel_version(image: &Tree) -> Result<String> {
    let versions: BTreeSet<&str> = image
        .children(ROOT)
        .filter(|(path, _)| path.ends_with("/modules.dep"))
        .filter_map(|(path, _)| path.strip_prefix("usr/lib/modules/")?.split('/').next())
        .collect();
    match versions.len() {
        1 => Ok(versions.into_iter().collect()),
        n => bail!(
            "the image must have exactly one kernel, but it has {n}: {versions:?}; correct the overlays' packages"
        ),
    }
}

/// Adds the named modules, what they depend on, and the indexes.
pub fn add(image: &Tree, initrd: &mut Tree, names: impl Iterator<Item = String>) -> Result<()> {
    let base = format!("{ROOT}/{}", kernel_version(image)?);
    let dependencies = parse_dep(&image.text(&format!("{base}/modules.dep"))?);
    let builtin: BTreeSet<String> = image
        .text(&format!("{base}/modules.builtin"))?
        .lines()
        .map(module_name)
        .collect();
    for name in names {
        let name = name.replace('-', "_");
        if builtin.contains(&name) {
            continue;
        }
        let (file, needs) = dependencies.get(&name).with_context(|| {
            format!("the kernel module {name} is not in this kernel; correct the board or overlay")
        })?;
        for path in std::iter::once(file).chain(needs) {
            let path = format!("{base}/{path}");
            let node = image.get(&path).with_context(|| {
                format!("the kernel module /{path} is needed by {name}, but an overlay removes it")
            })?;
            initrd.insert(&path, node.clone())?;
        }
    }
    for index in INDEXES {
        let path = format!("{base}/{index}");
        let Some(node) = image.get(&path) else {
            continue;
        };
        if matches!(node.kind, Kind::File(_)) {
            initrd.insert(&path, node.clone())?;
        }
    }
    Ok(())
}

fn module_name(path: &str) -> String {
    let file = path.rsplit('/').next().unwrap_or(path);
    file.split(".ko").next().unwrap_or(file).replace('-', "_")
}

/// `modules.dep`: module name to its file and all files it needs, transitively.
fn parse_dep(text: &str) -> BTreeMap<String, (String, Vec<String>)> {
    text.lines()
        .filter_map(|line| line.split_once(':'))
        .map(|(file, needs)| {
            let needs = needs.split_whitespace().map(str::to_owned).collect();
            (module_name(file), (file.to_owned(), needs))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn image() -> Tree {
        let mut tree = Tree::default();
        let base = "usr/lib/modules/6.12";
        tree.insert_bytes(
            &format!("{base}/modules.dep"),
            0o644,
            "kernel/a-b.ko.xz: kernel/c.ko.xz\nkernel/c.ko.xz:\n",
        )
        .unwrap();
        tree.insert_bytes(
            &format!("{base}/modules.builtin"),
            0o644,
            "kernel/fs/ext4.ko\n",
        )
        .unwrap();
        tree.insert_bytes(&format!("{base}/kernel/a-b.ko.xz"), 0o644, "ab")
            .unwrap();
        tree.insert_bytes(&format!("{base}/kernel/c.ko.xz"), 0o644, "c")
            .unwrap();
        tree
    }

    #[test]
    fn dependencies_follow_and_builtins_need_nothing() {
        let mut initrd = Tree::default();
        add(
            &image(),
            &mut initrd,
            ["a_b", "ext4"].map(str::to_owned).into_iter(),
        )
        .unwrap();
        assert!(initrd.get("usr/lib/modules/6.12/kernel/c.ko.xz").is_some());
        let error = add(&image(), &mut initrd, ["zfs".to_owned()].into_iter()).unwrap_err();
        assert!(error.to_string().contains("zfs is not in this kernel"));
    }
}
