//! The index of a tree's kernel modules.
//!
//! Owns: running depmod from the tools tree over exactly the modules of a tree, the root's or the
//! initrd's, and that none is left without one that it needs. Never does: let a configuration of the
//! host, or modules that are not inside, into the index.
//! Invariant: the index depends on the modules and the tools; it is checked before it is taken.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use super::tools::Tools;
use crate::cache::{Cache, Key};
use crate::initrd::{DEPENDENCIES, INDEXES, MODULES, check_index, check_needs};
use crate::tree::{Kind, Tree, listing};

const CODE: [&str; 3] = [
    include_str!("depmod.rs"),
    include_str!("../initrd/index.rs"),
    include_str!("../initrd/modules.rs"),
];

/// Adds the index of the modules for kernel `version` that are in `initrd`; works in `scratch`.
pub fn add(initrd: &mut Tree, version: &str, tools: &Tools, scratch: &Path) -> Result<()> {
    let dir = run(initrd, version, tools, scratch)?;
    take(initrd, version, &INDEXES, &dir)
}

/// Replaces the root's index, which the packages made before overlays changed which modules there are.
/// With the same modules and `packages`, whose name says the tools too, nothing is run again.
pub fn renew(
    root: &mut Tree,
    version: &str,
    tools: &Tools,
    cache: &Cache,
    packages: &[u8],
) -> Result<()> {
    check_needs(root)?;
    let kept: Vec<&str> = INDEXES.into_iter().chain([DEPENDENCIES]).collect();
    let mut modules = Tree::default();
    for (path, node) in root.children(&format!("{MODULES}/{version}")) {
        modules.insert(path, node.clone())?;
    }
    let key = Key::new("modules", 2, &CODE)
        .with("packages", packages)
        .with("modules", listing(&modules)?.as_bytes())
        .guarded();
    let step = cache.step(&key, |dir| {
        let scratch = cache.scratch("depmod")?;
        let made = run(root, version, tools, scratch.path())?;
        for name in &kept {
            fs::copy(made.join(name), dir.join(name)).with_context(|| format!("keeping {name}"))?;
        }
        Ok(scratch.close()?)
    })?;
    let base = format!("{MODULES}/{version}");
    let old: Vec<String> = root
        .children(&base)
        .filter(|(_, node)| matches!(node.kind, Kind::File(_)))
        .map(|(path, _)| path.to_owned())
        .filter(|path| is_index(path, &base))
        .collect();
    for path in old {
        root.remove(&path);
    }
    take(root, version, &kept, &step.dir)
}

/// Whether depmod made the file: what it reads, it does not make.
fn is_index(path: &str, base: &str) -> bool {
    let name = path[base.len()..].trim_start_matches('/');
    let read = [
        "modules.order",
        "modules.builtin",
        "modules.builtin.modinfo",
    ];
    name.starts_with("modules.") && !name.contains('/') && !read.contains(&name)
}

/// Runs depmod over the tree's modules and returns the directory with what it made, checked.
fn run(tree: &Tree, version: &str, tools: &Tools, scratch: &Path) -> Result<PathBuf> {
    let base = format!("{MODULES}/{version}");
    let dir = scratch.join(&base);
    let mut modules = BTreeSet::new();
    for (path, node) in tree.children(&base) {
        let Kind::File(content) = &node.kind else {
            continue;
        };
        if is_index(path, &base) {
            continue;
        }
        let to = scratch.join(path);
        let parent = to.parent().unwrap_or(scratch);
        fs::create_dir_all(parent).with_context(|| format!("creating {}", parent.display()))?;
        fs::write(&to, content.bytes()?).with_context(|| format!("writing {}", to.display()))?;
        let relative = path[base.len()..].trim_start_matches('/');
        if relative.contains(".ko") {
            modules.insert(relative.to_owned());
        }
    }
    // depmod looks below /lib, and for configuration that is meant for a machine.
    std::os::unix::fs::symlink("usr/lib", scratch.join("lib")).context("linking /lib")?;
    let no_configuration = scratch.join("depmod.d");
    fs::create_dir(&no_configuration).context("making an empty configuration")?;
    tools
        .program("usr/sbin/depmod")
        .arg("--basedir")
        .arg(scratch)
        .arg("--config")
        .arg(&no_configuration)
        .arg(version)
        .run()
        .context("making the module index")?;
    check_index(&modules, |name| {
        let path = dir.join(name);
        fs::read_to_string(&path).with_context(|| format!("reading {}", path.display()))
    })?;
    Ok(dir)
}

fn take(tree: &mut Tree, version: &str, names: &[&str], dir: &Path) -> Result<()> {
    for name in names {
        let path = dir.join(name);
        let bytes = fs::read(&path).with_context(|| format!("reading {}", path.display()))?;
        let path = format!("{MODULES}/{version}/{name}");
        tree.remove(&path);
        tree.insert_bytes(&path, 0o644, bytes)?;
    }
    Ok(())
}
