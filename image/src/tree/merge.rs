//! Overlays on the packages' tree.
//!
//! Owns: the order in which an overlay's declarations take effect: removals, files, directories,
//! links, modes. Never does: run anything; let modes, owners or times of the checkout leak, except
//! the executable bit.
//! Invariant: everything an overlay names must exist or be made by it; a pattern that removes
//! nothing is an error, because it hides a renamed file.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use anyhow::{Context, Result, bail};
use globset::{GlobBuilder, GlobSetBuilder};
use roamcore_spec::overlay::Overlay;

use super::{Content, Kind, Node, Tree, disable_unit, enable_unit, mask_unit};

/// Names of users and groups of the tree, for owners given by name.
#[derive(Debug)]
pub struct Owners {
    passwd: String,
    group: String,
}

impl Owners {
    /// Reads the tree's own `/etc/passwd` and `/etc/group`.
    pub fn of(tree: &Tree) -> Result<Owners> {
        Ok(Owners {
            passwd: tree.text("etc/passwd")?,
            group: tree.text("etc/group")?,
        })
    }

    fn number(text: &str, name: &str, what: &str) -> Result<u32> {
        text.lines()
            .filter_map(|line| {
                let mut fields = line.split(':');
                (fields.next() == Some(name)).then(|| fields.nth(1)?.parse().ok())?
            })
            .next()
            .with_context(|| {
                format!("the {what} `{name}` is not in the image; declare it in an overlay")
            })
    }

    fn uid(&self, name: &str) -> Result<u32> {
        Owners::number(&self.passwd, name, "user")
    }

    fn gid(&self, name: &str) -> Result<u32> {
        Owners::number(&self.group, name, "group")
    }
}

/// Removes what the overlay removes. All overlays do this before any of them adds a file.
pub fn remove_paths(tree: &mut Tree, overlay: &Overlay) -> Result<()> {
    if overlay.remove.paths.is_empty() {
        return Ok(());
    }
    let mut set = GlobSetBuilder::new();
    for pattern in &overlay.remove.paths {
        let glob = GlobBuilder::new(pattern.as_str().trim_start_matches('/'))
            .literal_separator(true)
            .build()?;
        set.add(glob);
    }
    let set = set.build()?;
    let mut used = vec![false; overlay.remove.paths.len()];
    let mut doomed = Vec::new();
    for (path, _) in tree.iter() {
        let matches = set.matches(path);
        if !matches.is_empty() {
            doomed.push(path.to_owned());
        }
        for index in matches {
            used[index] = true;
        }
    }
    if let Some(index) = used.iter().position(|used| !used) {
        bail!(
            "overlay `{}`: the pattern `{}` under [remove] matches nothing in the package tree; correct or delete it",
            overlay.name,
            overlay.remove.paths[index]
        );
    }
    for path in doomed {
        tree.remove(&path);
    }
    Ok(())
}

/// Adds the overlay's files, directories, links, modes and module settings.
pub fn merge_overlay(tree: &mut Tree, overlay: &Overlay, files: &Path) -> Result<()> {
    let owners = Owners::of(tree)?;
    let name = overlay.name.as_str();
    for dir in &overlay.directory {
        let node = Node {
            uid: owners.uid(dir.owner.as_str())?,
            gid: owners.gid(dir.group.as_str())?,
            ..Node::root(Kind::Dir, u32::from(dir.mode.bits()))
        };
        tree.insert(dir.path.as_str(), node)?;
    }
    if files.is_dir() {
        add_files(tree, files, "")?;
    }
    for link in &overlay.symlink {
        let path = link.path.as_str().trim_start_matches('/');
        tree.remove(path);
        tree.insert_symlink(path, link.target.as_str())?;
    }
    for mode in &overlay.file_mode {
        let path = tree.resolve(mode.path.as_str())?;
        let (uid, gid) = (
            owners.uid(mode.owner.as_str())?,
            owners.gid(mode.group.as_str())?,
        );
        let node = tree.get_mut(&path).with_context(|| {
            format!(
                "overlay `{name}` sets the mode of {}, which is not in the image",
                mode.path
            )
        })?;
        (node.mode, node.uid, node.gid) = (u32::from(mode.mode.bits()), uid, gid);
    }
    let load: String = overlay
        .kernel
        .modules_load
        .iter()
        .map(|m| format!("{m}\n"))
        .collect();
    if !load.is_empty() {
        tree.insert_bytes(
            &format!("usr/lib/modules-load.d/roamcore-{name}.conf"),
            0o644,
            load,
        )?;
    }
    let blacklist: String = overlay
        .kernel
        .blacklist
        .iter()
        .map(|m| format!("blacklist {m}\n"))
        .collect();
    if !blacklist.is_empty() {
        tree.insert_bytes(
            &format!("usr/lib/modprobe.d/roamcore-{name}.conf"),
            0o644,
            blacklist,
        )?;
    }
    Ok(())
}

fn add_files(tree: &mut Tree, dir: &Path, prefix: &str) -> Result<()> {
    let mut entries: Vec<_> = fs::read_dir(dir)
        .and_then(Iterator::collect::<std::io::Result<Vec<_>>>)
        .with_context(|| format!("listing {}", dir.display()))?;
    entries.sort_by_key(fs::DirEntry::file_name);
    for entry in entries {
        let name = entry.file_name();
        let name = name
            .to_str()
            .with_context(|| format!("{} has a name that is not UTF-8", entry.path().display()))?;
        let path = format!("{prefix}{name}");
        let meta = entry
            .metadata()
            .with_context(|| format!("looking at {}", entry.path().display()))?;
        if meta.is_dir() {
            add_files(tree, &entry.path(), &format!("{path}/"))?;
        } else if meta.is_symlink() {
            bail!(
                "{} is a symbolic link; declare it under [[symlink]] in overlay.toml",
                entry.path().display()
            );
        } else {
            let mode = if meta.permissions().mode() & 0o100 == 0 {
                0o644
            } else {
                0o755
            };
            let content = Content::Path {
                path: entry.path(),
                len: meta.len(),
            };
            tree.insert(&path, Node::root(Kind::File(content), mode))?;
        }
    }
    Ok(())
}

/// Applies all overlays' unit settings once every file is in place, and writes the preset file
/// that keeps systemd's own first-boot presetting (systemd.preset(5)) from undoing them.
pub fn apply_units<'a>(
    tree: &mut Tree,
    overlays: impl Iterator<Item = &'a Overlay> + Clone,
) -> Result<()> {
    let mut preset = String::from("# Made by the image builder from the overlays.\n");
    for overlay in overlays.clone() {
        let context = || format!("overlay `{}`", overlay.name);
        for unit in &overlay.units.disable {
            disable_unit(tree, unit.as_str()).with_context(context)?;
            preset += &format!("disable {unit}\n");
        }
        for unit in &overlay.units.mask {
            mask_unit(tree, unit.as_str()).with_context(context)?;
            preset += &format!("disable {unit}\n");
        }
    }
    for overlay in overlays.clone() {
        for unit in &overlay.units.enable {
            enable_unit(tree, unit.as_str())
                .with_context(|| format!("overlay `{}`", overlay.name))?;
            preset += &format!("enable {unit}\n");
        }
    }
    // Again, because enabling one unit may enable another through `Also=`.
    for overlay in overlays {
        for unit in overlay.units.disable.iter() {
            disable_unit(tree, unit.as_str())
                .with_context(|| format!("overlay `{}`", overlay.name))?;
        }
        for unit in &overlay.units.mask {
            mask_unit(tree, unit.as_str())
                .with_context(|| format!("overlay `{}`", overlay.name))?;
        }
    }
    preset += "disable *\n";
    tree.insert_bytes(
        "usr/lib/systemd/system-preset/00-roamcore.preset",
        0o644,
        preset,
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use roamcore_spec::Document;

    fn overlay(text: &str) -> Overlay {
        let text = format!("schema = 1\nname = \"t\"\ndescription = \"test\"\n{text}");
        Document::<Overlay>::parse("overlay.toml", &text)
            .unwrap()
            .into_value()
    }

    fn tree() -> Tree {
        let mut tree = Tree::default();
        tree.insert_bytes(
            "etc/passwd",
            0o644,
            "root:x:0:0::/root:/bin/sh\nweb:x:901:901::/:/bin/false\n",
        )
        .unwrap();
        tree.insert_bytes("etc/group", 0o644, "root:x:0:\nweb:x:901:\n")
            .unwrap();
        tree.insert_bytes("usr/share/doc/a/copyright", 0o644, "c")
            .unwrap();
        tree.insert_bytes("usr/share/doc/a/changelog.gz", 0o644, "c")
            .unwrap();
        tree
    }

    #[test]
    fn modes_and_owners_come_from_the_declaration_alone() {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir_all(dir.path().join("etc/web")).unwrap();
        fs::write(dir.path().join("etc/web/key"), "k").unwrap();
        fs::set_permissions(
            dir.path().join("etc/web/key"),
            fs::Permissions::from_mode(0o666),
        )
        .unwrap();
        fs::write(dir.path().join("etc/web/run"), "r").unwrap();
        fs::set_permissions(
            dir.path().join("etc/web/run"),
            fs::Permissions::from_mode(0o700),
        )
        .unwrap();
        let spec =
            overlay("[[file_mode]]\npath = \"/etc/web/key\"\nmode = \"0640\"\ngroup = \"web\"\n");
        let mut tree = tree();
        merge_overlay(&mut tree, &spec, dir.path()).unwrap();
        let key = tree.get("etc/web/key").unwrap();
        assert_eq!((key.mode, key.uid, key.gid), (0o640, 0, 901));
        assert_eq!(tree.get("etc/web/run").unwrap().mode, 0o755);
    }

    #[test]
    fn removal_needs_a_match() {
        let mut tree = tree();
        remove_paths(
            &mut tree,
            &overlay("[remove]\npaths = [\"/usr/share/doc/*/changelog*\"]\n"),
        )
        .unwrap();
        assert!(tree.get("usr/share/doc/a/changelog.gz").is_none());
        assert!(tree.get("usr/share/doc/a/copyright").is_some());
        let error =
            remove_paths(&mut tree, &overlay("[remove]\npaths = [\"/no/such\"]\n")).unwrap_err();
        assert!(
            error
                .to_string()
                .contains("`/no/such` under [remove] matches nothing"),
            "{error}"
        );
    }
}
