//! The initrd: a small systemd system taken from the image tree, file by file.
//!
//! Owns: which files follow from a declared program, module or unit. Never does: run a generator
//! in the image; what is inside is what the overlays and the board declare and nothing else, so
//! that two builds cannot differ and the size is a decision.
//! Invariant: a missing program, library, module or unit is an error at build time.

mod archives;
mod cpio;
mod elf;
mod index;
mod modules;

use std::collections::BTreeSet;

use anyhow::{Context, Result, bail};
use roamcore_spec::overlay::Initrd;

use crate::tree::{Kind, Node, Tree};

pub use archives::archives;
pub use cpio::write_cpio;
pub use index::{INDEXES, check_index};
pub use modules::{DEPENDENCIES, ROOT as MODULES, check_needs, kernel_version};

const UNITS: &str = "usr/lib/systemd/system";
/// Says which release this is.
const RELEASE: &str = "etc/initrd-release";
/// The files that are different in every release, though nothing else is.
pub const CHANGING: [&str; 1] = [RELEASE];

/// Files every initrd of ours has, made here.
#[derive(Debug)]
pub struct Facts<'a> {
    /// Text of `/etc/initrd-release` (and os-release).
    pub os_release: &'a str,
    /// Further files: path, mode, bytes.
    pub files: Vec<(String, u32, Vec<u8>)>,
    /// Kernel modules the board asks for.
    pub board_modules: Vec<String>,
}

/// Composes the initrd's tree from the image's.
pub fn compose(image: &Tree, declared: &[&Initrd], facts: &Facts<'_>) -> Result<Tree> {
    let mut initrd = Tree::default();
    for dir in [
        "dev",
        "proc",
        "run",
        "sys",
        "sysroot",
        "tmp",
        "var",
        "var/tmp",
        "usr/bin",
        "usr/sbin",
        "usr/lib",
        "usr/lib64",
    ] {
        initrd.insert(dir, Node::root(Kind::Dir, 0o755))?;
    }
    for (link, target) in [
        ("bin", "usr/bin"),
        ("sbin", "usr/sbin"),
        ("lib", "usr/lib"),
        ("lib64", "usr/lib64"),
    ] {
        initrd.insert_symlink(link, target)?;
    }
    initrd.insert_symlink("init", "usr/lib/systemd/systemd")?;
    initrd.insert_symlink("var/run", "../run")?;
    initrd.insert_bytes(RELEASE, 0o644, facts.os_release)?;
    initrd.insert_symlink("etc/os-release", "initrd-release")?;
    // PID 1 would otherwise think of a first boot and look for units to enable.
    initrd.insert_bytes("etc/machine-id", 0o444, "")?;

    let mut seen = BTreeSet::new();
    for part in declared {
        for path in &part.binaries {
            add_program(image, &mut initrd, path.as_str(), &mut seen)
                .with_context(|| format!("[initrd] binaries: {path}"))?;
        }
        for path in &part.files {
            add_path(image, &mut initrd, path.as_str(), &mut seen)
                .with_context(|| format!("[initrd] files: {path}"))?;
        }
        for unit in &part.units {
            add_unit(image, &mut initrd, unit.as_str())?;
        }
    }
    add_wants(image, &mut initrd)?;
    let wanted = declared
        .iter()
        .flat_map(|d| d.modules.iter().map(|m| m.as_str().to_owned()));
    modules::add(
        image,
        &mut initrd,
        wanted.chain(facts.board_modules.iter().cloned()),
    )?;
    for (path, mode, bytes) in &facts.files {
        initrd.insert_bytes(path, *mode, bytes.clone())?;
    }
    Ok(initrd)
}

/// Copies a node and, when it is a link, everything on the way to its target.
fn copy(image: &Tree, initrd: &mut Tree, path: &str) -> Result<String> {
    let mut path = crate::tree::normalise(path)?;
    for _ in 0..40 {
        let (parent, name) = path.rsplit_once('/').unwrap_or(("", &path));
        let parent = image.resolve(parent)?;
        path = if parent.is_empty() {
            name.to_owned()
        } else {
            format!("{parent}/{name}")
        };
        let node = image
            .get(&path)
            .with_context(|| format!("/{path} is not in the image tree"))?;
        initrd.insert(&path, node.clone())?;
        match &node.kind {
            Kind::Symlink(target) if target.starts_with('/') => {
                path = crate::tree::normalise(target)?
            }
            Kind::Symlink(target) => path = join(&parent, target),
            Kind::File(_) | Kind::Dir => return Ok(path),
        }
    }
    bail!("too many levels of symbolic links at /{path}")
}

/// Joins a relative link target to its directory, folding `..`.
fn join(parent: &str, target: &str) -> String {
    let mut parts: Vec<&str> = parent.split('/').filter(|p| !p.is_empty()).collect();
    for part in target.split('/') {
        match part {
            "" | "." => {}
            ".." => {
                parts.pop();
            }
            other => parts.push(other),
        }
    }
    parts.join("/")
}

/// A file with its libraries, or a directory with all that is in it.
fn add_path(
    image: &Tree,
    initrd: &mut Tree,
    path: &str,
    seen: &mut BTreeSet<String>,
) -> Result<()> {
    let real = copy(image, initrd, path)?;
    if matches!(image.get(&real).map(|n| &n.kind), Some(Kind::Dir)) {
        let below: Vec<String> = image.children(&real).map(|(p, _)| p.to_owned()).collect();
        for child in below {
            copy(image, initrd, &child)?;
        }
        return Ok(());
    }
    add_program(image, initrd, path, seen)
}

/// A program or library and, when it is ELF, its interpreter and the libraries it needs.
fn add_program(
    image: &Tree,
    initrd: &mut Tree,
    path: &str,
    seen: &mut BTreeSet<String>,
) -> Result<()> {
    let real = copy(image, initrd, path)?;
    if !seen.insert(real.clone()) {
        return Ok(());
    }
    let bytes = image.file(&real)?.bytes()?;
    let Some(needs) = elf::needs(&bytes).with_context(|| format!("reading /{real}"))? else {
        return Ok(());
    };
    if let Some(interpreter) = &needs.interpreter {
        add_program(image, initrd, interpreter, seen)?;
    }
    for library in &needs.libraries {
        let found = needs
            .search
            .iter()
            .map(String::as_str)
            .chain([
                "/usr/lib/x86_64-linux-gnu",
                "/usr/lib/x86_64-linux-gnu/systemd",
                "/usr/lib",
            ])
            .map(|dir| format!("{dir}/{library}"))
            .find(|path| {
                image
                    .resolve(path)
                    .is_ok_and(|real| image.get(&real).is_some())
            })
            .with_context(|| {
                format!("/{real} needs the library {library}, which is not in the image")
            })?;
        add_program(image, initrd, &found, seen)?;
    }
    Ok(())
}

/// A unit with its drop-ins.
fn add_unit(image: &Tree, initrd: &mut Tree, unit: &str) -> Result<()> {
    let path = format!("{UNITS}/{unit}");
    copy(image, initrd, &path).with_context(|| format!("[initrd] units: {unit}"))?;
    let drop_ins: Vec<String> = image
        .children(&format!("{path}.d"))
        .map(|(p, _)| p.to_owned())
        .collect();
    for drop_in in drop_ins {
        copy(image, initrd, &drop_in)?;
    }
    Ok(())
}

/// Dependency links (`x.target.wants/`) between units that are both inside.
fn add_wants(image: &Tree, initrd: &mut Tree) -> Result<()> {
    let links: Vec<(String, Node)> = image
        .children(UNITS)
        .filter(|(path, node)| {
            matches!(node.kind, Kind::Symlink(_))
                && path.contains(".wants/") | path.contains(".requires/")
        })
        .map(|(path, node)| (path.to_owned(), node.clone()))
        .collect();
    for (path, node) in links {
        let unit = path.rsplit('/').next().unwrap_or_default();
        if initrd.get(&format!("{UNITS}/{unit}")).is_some() {
            initrd.insert(&path, node)?;
        }
    }
    Ok(())
}
