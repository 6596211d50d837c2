//! Kernel modules and their dependencies.
//!
//! Owns: which module files a module name means, by the kernel's own `modules.dep` and
//! `modules.builtin` (modules.dep(5)), that none is without those it needs, and the lists that depmod
//! reads. Never does: carry the image's index: it names thousands of modules that are not in the
//! initrd, and for each that a device asks for, udev and PID 1 would complain of a missing file. See
//! `index`.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context, Result, bail};

use crate::tree::Tree;

/// Where kernels keep their modules.
pub const ROOT: &str = "usr/lib/modules";
/// Which module needs which others, as text; here alone the builder looks them up.
pub const DEPENDENCIES: &str = "modules.dep";
/// What the kernel's build says of its modules; depmod reads them too.
const ORDER: &str = "modules.order";
const LISTS: [&str; 2] = ["modules.builtin", "modules.builtin.modinfo"];

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
    let dependencies = parse_dep(&image.text(&format!("{base}/{DEPENDENCIES}"))?);
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
    for list in LISTS {
        let path = format!("{base}/{list}");
        let node = image.get(&path).with_context(|| {
            format!("the kernel's package lacks /{path}, or an overlay removes it")
        })?;
        initrd.insert(&path, node.clone())?;
    }
    let order = order(&image.text(&format!("{base}/{ORDER}"))?, initrd, &base);
    initrd.insert_bytes(&format!("{base}/{ORDER}"), 0o644, order)
}

/// `modules.order` with the initrd's modules alone: first as the kernel orders them, then the rest by
/// name. depmod would take a module that is not listed in the order of the directory.
fn order(kernel: &str, initrd: &Tree, base: &str) -> String {
    let mut left: BTreeMap<String, &str> = initrd
        .children(base)
        .filter_map(|(path, _)| path.strip_prefix(base)?.strip_prefix('/'))
        .filter(|path| path.contains(".ko"))
        .map(|path| (uncompressed(path).to_owned(), path))
        .collect();
    // The kernel's build lists modules before they are compressed.
    let listed: Vec<&str> = kernel
        .lines()
        .filter(|line| left.remove(uncompressed(line)).is_some())
        .collect();
    let unlisted = left.values().map(|path| uncompressed(path));
    listed
        .into_iter()
        .chain(unlisted)
        .map(|path| format!("{path}\n"))
        .collect()
}

/// Checks that each module in the image has those that it needs: overlays remove modules by their
/// place in the kernel's tree, which says little about who needs whom.
pub fn check_needs(image: &Tree) -> Result<()> {
    let base = format!("{ROOT}/{}", kernel_version(image)?);
    let there = |path: &str| image.get(&format!("{base}/{path}")).is_some();
    let text = image.text(&format!("{base}/{DEPENDENCIES}"))?;
    for (file, needs) in text.lines().filter_map(|line| line.split_once(':')) {
        let lost = needs.split_whitespace().find(|path| !there(path));
        if let (true, Some(lost)) = (there(file), lost) {
            bail!(
                "an overlay removes the kernel module {lost}, but keeps {file}, which needs it; correct its [remove]"
            );
        }
    }
    Ok(())
}

fn uncompressed(path: &str) -> &str {
    path.find(".ko").map_or(path, |at| &path[..at + 3])
}

pub(super) fn module_name(path: &str) -> String {
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
            "kernel/a-b.ko.xz: kernel/c.ko.xz\nkernel/c.ko.xz:\nupdates/own.ko:\n",
        )
        .unwrap();
        tree.insert_bytes(
            &format!("{base}/modules.builtin"),
            0o644,
            "kernel/fs/ext4.ko\n",
        )
        .unwrap();
        for (path, text) in [
            ("modules.builtin.modinfo", ""),
            ("modules.order", "kernel/z.ko\nkernel/c.ko\nkernel/a-b.ko\n"),
            ("kernel/a-b.ko.xz", "ab"),
            ("kernel/c.ko.xz", "c"),
            ("updates/own.ko", "own"),
        ] {
            tree.insert_bytes(&format!("{base}/{path}"), 0o644, text)
                .unwrap();
        }
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
        assert!(initrd.get("usr/lib/modules/6.12/updates/own.ko").is_none());
        let error = add(&image(), &mut initrd, ["zfs".to_owned()].into_iter()).unwrap_err();
        assert!(error.to_string().contains("zfs is not in this kernel"));
    }

    #[test]
    fn a_module_does_not_stay_without_those_it_needs() {
        check_needs(&image()).unwrap();
        let without = |gone: &[&str]| {
            let mut tree = image();
            for path in gone {
                assert!(tree.remove(&format!("usr/lib/modules/6.12/kernel/{path}.ko.xz")));
            }
            check_needs(&tree)
        };
        without(&["a-b"]).unwrap();
        without(&["a-b", "c"]).unwrap();
        let error = without(&["c"]).unwrap_err().to_string();
        assert!(
            error.contains("kernel/c.ko.xz") && error.contains("kernel/a-b.ko.xz"),
            "{error}"
        );
    }

    #[test]
    fn the_order_names_what_is_inside_and_nothing_else() {
        let mut initrd = Tree::default();
        add(
            &image(),
            &mut initrd,
            ["own", "a_b"].map(str::to_owned).into_iter(),
        )
        .unwrap();
        assert_eq!(
            initrd.text("usr/lib/modules/6.12/modules.order").unwrap(),
            "kernel/c.ko\nkernel/a-b.ko\nupdates/own.ko\n"
        );
        assert!(initrd.get("usr/lib/modules/6.12/modules.dep").is_none());
    }
}
