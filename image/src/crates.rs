//! The crates inside our own programs.
//!
//! Owns: reading what Cargo says is linked into a program, as `just agent` leaves it beside the program: a list of crates
//! with their licences (`cargo tree`), and the `Cargo.lock` with their checksums. Never does: run Cargo.
//! Invariant: a crate that is listed has a checksum, or nothing is returned.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use anyhow::{Context, Result, bail};
use serde::Deserialize;

use crate::lock::Sha256;

/// What a build wants beside the agent's program, whatever that is called; `just agent` makes all of it.
pub const BESIDE_AGENT: [&str; 4] = ["roamcore", "roamcore-agent.crates", "roamcore.crates", LOCK];
const LOCK: &str = "Cargo.lock";

/// A crate of a registry.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Crate {
    /// Its name.
    pub name: String,
    /// Its version.
    pub version: String,
    /// What its manifest declares: an SPDX expression, or `MIT/Apache-2.0` as old ones have it.
    pub licence: Option<String>,
    /// Of the archive that the registry has.
    pub sha256: Sha256,
}

#[derive(Deserialize)]
struct Locks {
    package: Vec<Locked>,
}

#[derive(Deserialize)]
struct Locked {
    name: String,
    version: String,
    source: Option<String>,
    checksum: Option<Sha256>,
}

/// The crates of registries in the program `name`, from the files `NAME.crates` and `Cargo.lock` in `dir`.
pub fn of_program(dir: &Path, name: &str) -> Result<Vec<Crate>> {
    let read = |name: &str| {
        let path = dir.join(name);
        std::fs::read_to_string(&path).with_context(|| {
            format!(
                "reading {}, which the SBOM is made from; `./dev agent` makes it",
                path.display()
            )
        })
    };
    let list = format!("{name}.crates");
    parse(&read(&list)?, &read(LOCK)?)
        .with_context(|| format!("in {list} and Cargo.lock of {}", dir.display()))
}

/// `list` begins with the program's own crate, so that an empty one is found. It has lines of `NAME vVERSION[ (PATH)]|LICENCE[ (*)]`; the star is where the same crate's own needs are not said
/// once more.
fn parse(list: &str, lock: &str) -> Result<Vec<Crate>> {
    let lock: Locks = toml::from_str(lock).context("Cargo.lock")?;
    let locked: BTreeMap<(&str, &str), &Locked> = lock
        .package
        .iter()
        .map(|p| ((p.name.as_str(), p.version.as_str()), p))
        .collect();
    if list.is_empty() {
        bail!("the list of crates is empty: make it again with `./dev agent`");
    }
    let mut crates = BTreeSet::new();
    for line in list.lines() {
        let (package, licence) = line
            .split_once('|')
            .with_context(|| format!("`{line}` is not a crate and its licence"))?;
        let mut words = package.split(' ');
        let (Some(name), Some(version)) = (
            words.next(),
            words.next().and_then(|word| word.strip_prefix('v')),
        ) else {
            bail!("`{line}` names no version");
        };
        let found = locked.get(&(name, version)).with_context(|| {
            format!("{name} {version} is not in Cargo.lock: build both with `./dev agent`")
        })?;
        // Of this workspace: part of the program itself.
        if found.source.is_none() {
            continue;
        }
        let licence = licence.strip_suffix(" (*)").unwrap_or(licence).trim();
        crates.insert(Crate {
            name: name.into(),
            version: version.into(),
            licence: (!licence.is_empty()).then(|| licence.into()),
            sha256: found
                .checksum
                .with_context(|| format!("{name} {version} has no checksum in Cargo.lock"))?,
        });
    }
    Ok(crates.into_iter().collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    const LOCKED: &str = r#"
version = 4
[[package]]
name = "ours"
version = "0.1.0"
dependencies = ["a"]
[[package]]
name = "a"
version = "1.0.0+x"
source = "registry+https://example.org/index"
checksum = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
[[package]]
name = "g"
version = "1.0.0"
source = "git+https://example.org/g"
"#;

    #[test]
    fn what_is_linked_has_a_checksum() {
        let list =
            "a v1.0.0+x|MIT/Apache-2.0\nours v0.1.0 (/x y)|MIT\na v1.0.0+x|MIT/Apache-2.0 (*)\n";
        let wanted = Crate {
            name: "a".into(),
            version: "1.0.0+x".into(),
            licence: Some("MIT/Apache-2.0".into()),
            sha256: Sha256::of(b"abc"),
        };
        assert_eq!(parse(list, LOCKED).unwrap(), [wanted]);
        assert_eq!(parse("a v1.0.0+x|\n", LOCKED).unwrap()[0].licence, None);
        for (list, said) in [
            ("g v1.0.0 (https://example.org/g)|MIT", "no checksum"),
            ("a v2.0.0|MIT", "not in Cargo.lock"),
            ("a 1.0.0|MIT", "no version"),
            ("a v1.0.0+x", "not a crate"),
            ("", "is empty"),
        ] {
            let error = format!("{:#}", parse(list, LOCKED).unwrap_err());
            assert!(error.contains(said), "{error}");
        }
    }
}
