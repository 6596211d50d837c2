//! From a request to a lock: ask a private apt, then read its index for the facts.
//!
//! Owns: the order of questions put to apt and the meaning of its refusals. Never does: download
//! a package, or take an unsigned index. Invariant: each row of the result agrees in size and
//! digest with both of apt's answers, and its path leads below a known archive's base.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use super::apt::{self, AptFailure, AptTree};
use super::error::LockError;
use super::facts::{Index, Places, facts, releases};
use super::index::{self, Wanted};
use super::{DEBIAN, DEBIAN_SECURITY, Lock, Mirrors, Package, Request, Set, Snapshot};
use super::{date, key, request};
use crate::events::Events;

/// Where Debian's keyring is; the second name is that of newer releases.
const KEYRINGS: [&str; 2] = [
    "/usr/share/keyrings/debian-archive-keyring.gpg",
    "/usr/share/keyrings/debian-archive-keyring.pgp",
];

/// What a resolver needs besides the request.
#[derive(Debug, Clone)]
pub struct Options {
    /// Keyring that vouches for Debian's suites.
    pub keyring: PathBuf,
}

impl Options {
    /// With this machine's Debian keyring.
    pub fn host() -> Options {
        let [first, second] = KEYRINGS.map(PathBuf::from);
        Options {
            keyring: if !first.exists() && second.exists() {
                second
            } else {
                first
            },
        }
    }
}

/// Resolves a request with this machine's Debian keyring.
pub fn resolve(request: &Request, mirrors: &Mirrors, events: &Events) -> Result<Lock, LockError> {
    resolve_with(request, mirrors, &Options::host(), events)
}

/// Resolves a request.
pub fn resolve_with(
    request: &Request,
    mirrors: &Mirrors,
    options: &Options,
    events: &Events,
) -> Result<Lock, LockError> {
    request.validate()?;
    for source in &request.sources {
        if let (Some(bytes), Some(declared)) = (&source.key, &source.fingerprint) {
            key::check(&source.name, bytes, declared)?;
        }
    }
    let mirrors = mirrors.clone().with_sources(&request.sources)?;
    let tree = AptTree::create(3)?;
    write_sources(&tree, request, &mirrors, &options.keyring)?;
    if let Err(failure) = tree.apt_get(&["--error-on=any", "update"])? {
        return Err(update_error(request, &mirrors, &options.keyring, failure));
    }
    events.progress("lock", 1, 4);
    let image = ask(&tree, request, Set::Image)?;
    events.progress("lock", 2, 4);
    let tools = ask(&tree, request, Set::Tools)?;
    events.progress("lock", 3, 4);

    let indexes = Index::all(&tree, request, &mirrors)?;
    let mut known = BTreeMap::new();
    for wanted in image.iter().chain(&tools) {
        let place = indexes
            .iter()
            .find_map(|i| Some((i.base.clone(), index::path_below(&wanted.uri, &i.base)?)));
        let Some(place) = place else {
            return Err(answer(format!("{} lies below no known mirror", wanted.uri)));
        };
        known.insert(wanted.uri.clone(), place);
    }
    let packages = facts(&indexes, &known)?;
    let releases = releases(&indexes, request)?;
    let epoch = releases
        .iter()
        .filter_map(|r| date::parse_rfc3339(&r.date))
        .max()
        .unwrap_or(0);
    let lock = Lock {
        inputs: request.inputs(),
        epoch,
        snapshot: Snapshot {
            resolved: now(),
            apt: apt::version()?,
            releases,
        },
        image: rows(request, Set::Image, &image, &known, &packages)?,
        tools: rows(request, Set::Tools, &tools, &known, &packages)?,
    };
    events.progress("lock", 4, 4);
    Ok(lock)
}

pub(super) fn answer(what: String) -> LockError {
    LockError::Answer { what }
}

fn now() -> String {
    date::rfc3339(
        SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .map_or(0, |d| d.as_secs()),
    )
}

pub(super) fn archive_of(suite: &str) -> &'static str {
    if suite.ends_with("-security") {
        DEBIAN_SECURITY
    } else {
        DEBIAN
    }
}

fn write_sources(
    tree: &AptTree,
    request: &Request,
    mirrors: &Mirrors,
    keyring: &Path,
) -> Result<(), LockError> {
    let key = match fs::read(keyring) {
        Ok(bytes) => bytes,
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => {
            return Err(LockError::NoKeyring {
                path: keyring.to_owned(),
            });
        }
        Err(e) => return Err(LockError::file(keyring)(e)),
    };
    let path = tree.write("keys/debian.gpg", &key)?;
    let mut text = String::new();
    for suite in &request.suites {
        let base = mirrors.base(archive_of(suite))?;
        let components = request.components.join(" ");
        text += &format!(
            "deb [signed-by={}] {base} {suite} {components}\n",
            path.display()
        );
    }
    tree.write("etc/apt/sources.list", text.as_bytes())?;
    for source in &request.sources {
        let base = mirrors.base(&source.name)?;
        let Some(key) = &source.key else {
            return Err(LockError::NoKey {
                name: source.name.clone(),
            });
        };
        let kind = if request::is_armoured(key) {
            "asc"
        } else {
            "gpg"
        };
        let path = tree.write(&format!("keys/extra-{}.{kind}", source.name), key)?;
        let components = source.components.join(" ");
        let lines: String = source
            .suites
            .iter()
            .map(|suite| {
                format!(
                    "deb [signed-by={}] {base} {suite} {components}\n",
                    path.display()
                )
            })
            .collect();
        tree.write(
            &format!("etc/apt/sources.list.d/{}.list", source.name),
            lines.as_bytes(),
        )?;
    }
    Ok(())
}

/// What apt would download for one set into an empty machine.
fn ask(tree: &AptTree, request: &Request, set: Set) -> Result<Vec<Wanted>, LockError> {
    let mut args: Vec<&str> = Vec::new();
    if set == Set::Tools {
        // A third party that may add to the image has no say in what shapes it.
        args.extend(["-o", "Dir::Etc::sourceparts=/dev/null"]);
    }
    args.extend(["install", "--print-uris", "-y", "?essential"]);
    args.extend(request.names(set));
    match tree.apt_get(&args)? {
        Ok(text) => index::parse_uris(&text).map_err(answer),
        Err(AptFailure { words, .. }) => {
            let package = culprit(&words).unwrap_or_else(|| "?".to_owned());
            Err(LockError::Unresolvable {
                set,
                package,
                words,
            })
        }
    }
}

/// The package that apt's words are about.
fn culprit(words: &str) -> Option<String> {
    let named = words.lines().find_map(|line| {
        if let Some(name) = line.strip_prefix("E: Unable to locate package ") {
            return Some(name);
        }
        let quoted = line
            .strip_prefix("E: Package '")
            .map(|rest| rest.split('\'').next());
        let version = line
            .strip_prefix("E: Version '")
            .map(|rest| rest.split('\'').nth(2));
        quoted.or(version).flatten()
    });
    // ` name : Depends: other but it is not installable`
    let unmet = || {
        words.lines().find_map(|l| {
            l.strip_prefix(' ')?
                .trim_start()
                .split_once(" : ")
                .map(|(n, _)| n)
        })
    };
    named.or_else(unmet).map(|n| n.trim().to_owned())
}

fn update_error(
    request: &Request,
    mirrors: &Mirrors,
    keyring: &Path,
    failure: AptFailure,
) -> LockError {
    const UNTRUSTED: [&str; 6] = [
        "NO_PUBKEY",
        "Missing key",
        "EXPKEYSIG",
        "is not signed",
        "could not be verified",
        "couldn't be verified",
    ];
    let words = failure.words;
    let blamed: Vec<&str> = words
        .lines()
        .filter(|l| UNTRUSTED.iter().any(|u| l.contains(u)))
        .collect();
    let accuses = |base: &str| {
        blamed
            .iter()
            .any(|l| l.contains(&format!("{base} ")) || l.contains(&format!("{base}/")))
    };
    for source in &request.sources {
        if mirrors.base(&source.name).is_ok_and(accuses) {
            return LockError::WrongKey {
                name: source.name.clone(),
                words,
            };
        }
    }
    let suites = request.suites.join(", ");
    if blamed.is_empty() {
        return LockError::Update { suites, words };
    }
    LockError::OldKeyring {
        path: keyring.to_owned(),
        suites,
        words,
    }
}

fn rows(
    request: &Request,
    set: Set,
    wanted: &[Wanted],
    places: &Places,
    packages: &BTreeMap<(String, String), Package>,
) -> Result<Vec<Package>, LockError> {
    let mut rows = BTreeMap::new();
    for item in wanted {
        let package = places.get(&item.uri).and_then(|place| packages.get(place));
        let Some(package) = package else {
            return Err(answer(format!("{} is in no package index", item.uri)));
        };
        if package.size != item.size || package.sha256.to_string() != item.sha256 {
            return Err(answer(format!(
                "size or digest of {} differ between index and plan",
                item.uri
            )));
        }
        if rows.insert(package.name.clone(), package.clone()).is_some() {
            return Err(answer(format!("{} comes twice", package.name)));
        }
    }
    match request
        .names(set)
        .into_iter()
        .find(|name| !rows.contains_key(*name))
    {
        Some(name) => Err(LockError::Virtual {
            set,
            package: name.to_owned(),
        }),
        None => Ok(rows.into_values().collect()),
    }
}

#[cfg(test)]
mod tests {
    use super::culprit;

    #[test]
    fn culprits() {
        for (words, name) in [
            ("E: Unable to locate package nosuch", "nosuch"),
            (
                "Package x is not available\nE: Package 'x' has no installation candidate",
                "x",
            ),
            ("E: Version '9' for 'bash' was not found", "bash"),
            (
                "The following packages have unmet dependencies:\n a : Depends: b (>= 2) but 1 is to be installed\nE: Unable to correct problems, you have held broken packages.",
                "a",
            ),
        ] {
            assert_eq!(culprit(words).as_deref(), Some(name), "{words}");
        }
        assert_eq!(culprit("E: something else"), None);
    }
}
