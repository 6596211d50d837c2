//! Enabling, disabling and masking systemd units in a tree that is not running.
//!
//! Owns: the symbolic links that `systemctl enable` would make (systemd.unit(5), "[Install]
//! Section Options"). Never does: start anything or run `systemctl`, whose version would be the
//! host's.
//! Invariant: an unknown unit is an error, so that a renamed package unit is noticed at build time.

use anyhow::{Context, Result, bail};

use super::{Kind, Tree};

const ETC: &str = "etc/systemd/system";
const LIB: &str = "usr/lib/systemd/system";

/// Makes the links that the unit's `[Install]` section asks for, including those of `Also=`.
pub fn enable_unit(tree: &mut Tree, unit: &str) -> Result<()> {
    let mut done = Vec::new();
    let mut todo = vec![unit.to_owned()];
    while let Some(unit) = todo.pop() {
        if done.contains(&unit) {
            continue;
        }
        let install = install_section(tree, &unit)?;
        if install.is_empty() {
            bail!(
                "cannot enable {unit}: it has no [Install] section; a static unit is pulled in by others"
            );
        }
        let path = unit_path(tree, &unit).with_context(|| not_found(&unit))?;
        for (key, value) in install {
            match key.as_str() {
                "WantedBy" => link(tree, &format!("{ETC}/{value}.wants/{unit}"), &path)?,
                "RequiredBy" => link(tree, &format!("{ETC}/{value}.requires/{unit}"), &path)?,
                "Alias" => link(tree, &format!("{ETC}/{value}"), &path)?,
                "Also" => todo.push(value),
                _ => {}
            }
        }
        done.push(unit);
    }
    Ok(())
}

/// Removes every link to the unit that enabling made.
pub fn disable_unit(tree: &mut Tree, unit: &str) -> Result<()> {
    if unit_path(tree, unit).is_none() {
        bail!(not_found(unit));
    }
    let links: Vec<String> = tree
        .children(ETC)
        .filter(|(path, node)| match &node.kind {
            Kind::Symlink(target) => {
                path.rsplit('/').next() == Some(unit) && target != "/dev/null"
                    || target.rsplit('/').next() == Some(unit)
            }
            _ => false,
        })
        .map(|(path, _)| path.to_owned())
        .collect();
    for path in links {
        tree.remove(&path);
    }
    Ok(())
}

/// Makes the unit impossible to start. The unit need not exist: a mask also guards against a
/// package that brings it later.
pub fn mask_unit(tree: &mut Tree, unit: &str) -> Result<()> {
    if unit_path(tree, unit).is_some() {
        disable_unit(tree, unit)?;
    }
    tree.remove(&format!("{ETC}/{unit}"));
    tree.insert_symlink(&format!("{ETC}/{unit}"), "/dev/null")
}

fn not_found(unit: &str) -> String {
    format!(
        "the unit {unit} is not in the image; check its name, or install the package that brings it"
    )
}

fn link(tree: &mut Tree, path: &str, target: &str) -> Result<()> {
    tree.insert_symlink(path, &format!("/{target}"))
}

/// Where the unit's file is; for `name@instance.service` that is the template.
fn unit_path(tree: &Tree, unit: &str) -> Option<String> {
    let template = match (unit.split_once('@'), unit.rsplit_once('.')) {
        (Some((name, _)), Some((_, kind))) => format!("{name}@.{kind}"),
        _ => unit.to_owned(),
    };
    [unit, template.as_str()]
        .iter()
        .flat_map(|name| [format!("{ETC}/{name}"), format!("{LIB}/{name}")])
        .find(|path| matches!(tree.get(path).map(|n| &n.kind), Some(Kind::File(_))))
}

fn install_section(tree: &Tree, unit: &str) -> Result<Vec<(String, String)>> {
    let path = unit_path(tree, unit).with_context(|| not_found(unit))?;
    let text = tree.text(&path)?;
    let instance = unit
        .split_once('@')
        .and_then(|(_, rest)| rest.rsplit_once('.'))
        .map_or("", |(i, _)| i);
    let mut inside = false;
    let mut found = Vec::new();
    for line in text.lines().map(str::trim) {
        if line.starts_with('[') {
            inside = line == "[Install]";
        } else if inside
            && !line.starts_with(['#', ';'])
            && let Some((key, values)) = line.split_once('=')
        {
            for value in values.split_whitespace() {
                found.push((key.trim().to_owned(), value.replace("%i", instance)));
            }
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tree() -> Tree {
        let mut tree = Tree::default();
        let unit = "[Unit]\nWantedBy=no\n[Install]\nWantedBy=multi-user.target\nAlias=b.service\nAlso=a.socket\n";
        tree.insert_bytes("usr/lib/systemd/system/a.service", 0o644, unit)
            .unwrap();
        tree.insert_bytes(
            "usr/lib/systemd/system/a.socket",
            0o644,
            "[Install]\nWantedBy=sockets.target\n",
        )
        .unwrap();
        tree.insert_bytes(
            "usr/lib/systemd/system/t@.service",
            0o644,
            "[Install]\nWantedBy=x@%i.target\n",
        )
        .unwrap();
        tree
    }

    #[test]
    fn enable_then_disable_leaves_nothing() {
        let mut tree = tree();
        enable_unit(&mut tree, "a.service").unwrap();
        for link in [
            "multi-user.target.wants/a.service",
            "b.service",
            "sockets.target.wants/a.socket",
        ] {
            assert!(tree.get(&format!("{ETC}/{link}")).is_some(), "{link}");
        }
        disable_unit(&mut tree, "a.service").unwrap();
        disable_unit(&mut tree, "a.socket").unwrap();
        let left = tree
            .children(ETC)
            .filter(|(_, n)| !matches!(n.kind, Kind::Dir))
            .count();
        assert_eq!(left, 0);
    }

    #[test]
    fn templates_and_masks() {
        let mut tree = tree();
        enable_unit(&mut tree, "t@one.service").unwrap();
        assert!(
            tree.get(&format!("{ETC}/x@one.target.wants/t@one.service"))
                .is_some()
        );
        mask_unit(&mut tree, "a.service").unwrap();
        assert!(
            matches!(&tree.get(&format!("{ETC}/a.service")).unwrap().kind, Kind::Symlink(t) if t == "/dev/null")
        );
        assert!(
            enable_unit(&mut tree, "none.service")
                .unwrap_err()
                .to_string()
                .contains("not in the image")
        );
    }
}
