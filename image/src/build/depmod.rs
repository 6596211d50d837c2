//! The module index of the initrd.
//!
//! Owns: running depmod from the tools tree over the initrd's modules alone. Never does: let a
//! configuration of the host, or modules that are not inside, into the index.
//! Invariant: the index depends on the modules and the tools; it is checked before it is taken.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use anyhow::{Context, Result};

use super::tools::Tools;
use crate::initrd::{INDEXES, MODULES, check_index};
use crate::tree::{Kind, Tree};

/// Adds the index of the modules for kernel `version` that are in `initrd`; works in `scratch`.
pub fn add(initrd: &mut Tree, version: &str, tools: &Tools, scratch: &Path) -> Result<()> {
    let base = format!("{MODULES}/{version}");
    let dir = scratch.join(&base);
    let mut modules = BTreeSet::new();
    for (path, node) in initrd.children(&base) {
        let Kind::File(content) = &node.kind else {
            continue;
        };
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
    let read = |name: &str| {
        let path = dir.join(name);
        fs::read(&path).with_context(|| format!("reading {}", path.display()))
    };
    check_index(&modules, |name| {
        String::from_utf8(read(name)?).with_context(|| format!("{name} is not text"))
    })?;
    for name in INDEXES {
        initrd.insert_bytes(&format!("{base}/{name}"), 0o644, read(name)?)?;
    }
    Ok(())
}
