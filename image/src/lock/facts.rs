//! What apt's lists say: where each index came from, the rows it has, and how old it is.
//!
//! Owns: the way from apt's index files to packages and releases. Never does: ask apt for a plan,
//! or choose between versions. Invariant: a package is read from an index that apt has verified
//! by its signed Release file.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;

use super::apt::AptTree;
use super::error::LockError;
use super::resolve::{answer, archive_of};
use super::{Mirrors, Package, Release, Request, Sha256, date, format, index};

/// One `Packages` file that apt holds.
pub(super) struct Index {
    origin: String,
    pub(super) base: String,
    suite: String,
    component: String,
    file: PathBuf,
    release: PathBuf,
    key: Option<Sha256>,
}

impl Index {
    /// All indexes, in the order in which the request names their suites.
    pub(super) fn all(
        tree: &AptTree,
        request: &Request,
        mirrors: &Mirrors,
    ) -> Result<Vec<Index>, LockError> {
        let mut plan: Vec<(&str, &str, Option<Sha256>)> = request
            .suites
            .iter()
            .map(|s| (archive_of(s), s.as_str(), None))
            .collect();
        for source in &request.sources {
            let key = source.key.as_deref().map(Sha256::of);
            plan.extend(
                source
                    .suites
                    .iter()
                    .map(|s| (source.name.as_str(), s.as_str(), key)),
            );
        }
        let format = "$(REPO_URI)\t$(RELEASE)\t$(COMPONENT)\t$(FILENAME)";
        let text =
            match tree.apt_get(&["indextargets", "--format", format, "Identifier: Packages"])? {
                Ok(text) => text,
                Err(failure) => return Err(failure.error.into()),
            };
        let targets: Vec<Vec<&str>> = text.lines().map(|l| l.split('\t').collect()).collect();
        let mut all = Vec::new();
        for (origin, suite, key) in plan {
            let base = mirrors.base(origin)?;
            for target in &targets {
                let &[uri, release, component, file] = target.as_slice() else {
                    return Err(answer(format!("index target {target:?}")));
                };
                if uri.trim_end_matches('/') != base || release != suite {
                    continue;
                }
                let tail = format!("{component}_binary-amd64_Packages");
                let Some(stem) = file.strip_suffix(&tail) else {
                    return Err(answer(format!("index file {file}")));
                };
                let inline = PathBuf::from(format!("{stem}InRelease"));
                let detached = PathBuf::from(format!("{stem}Release"));
                all.push(Index {
                    origin: origin.to_owned(),
                    base: base.to_owned(),
                    suite: suite.to_owned(),
                    component: component.to_owned(),
                    file: PathBuf::from(file),
                    release: if inline.exists() { inline } else { detached },
                    key,
                });
            }
        }
        Ok(all)
    }
}

/// Base and path of each URI.
pub(super) type Places = BTreeMap<String, (String, String)>;

/// Reads, for every place, the package that lies there; the first suite that has it names it.
pub(super) fn facts(
    indexes: &[Index],
    places: &Places,
) -> Result<BTreeMap<(String, String), Package>, LockError> {
    let mut packages = BTreeMap::new();
    for index in indexes.iter().filter(|i| i.file.exists()) {
        let wanted: BTreeMap<String, ()> = places
            .values()
            .filter(|(base, _)| *base == index.base)
            .map(|(_, path)| (path.clone(), ()))
            .collect();
        let bytes = fs::read(&index.file).map_err(LockError::file(&index.file))?;
        let text = String::from_utf8_lossy(&bytes);
        for s in index::find(&text, &wanted).map_err(answer)? {
            let package = Package {
                name: s.package.to_owned(),
                version: s.version.to_owned(),
                arch: s.architecture.to_owned(),
                size: s.size,
                sha256: s.sha256.parse().map_err(answer)?,
                path: s.filename.to_owned(),
                origin: index.origin.clone(),
                suite: index.suite.clone(),
                component: index.component.clone(),
            };
            format::check_package(&package).map_err(answer)?;
            packages
                .entry((index.base.clone(), s.filename.to_owned()))
                .or_insert(package);
        }
    }
    Ok(packages)
}

pub(super) fn releases(indexes: &[Index], request: &Request) -> Result<Vec<Release>, LockError> {
    let mut releases = BTreeMap::new();
    for index in indexes {
        let whole = fs::read_to_string(&index.release).map_err(LockError::file(&index.release))?;
        // An armoured signature may have a `Version` of its own.
        let text = whole.split("-----BEGIN PGP SIGNATURE").next().unwrap_or("");
        let stamp = index::field(text, "Date").and_then(date::parse_rfc1123);
        let Some(seconds) = stamp else {
            return Err(answer(format!(
                "no date in the Release file of {}",
                index.suite
            )));
        };
        releases
            .entry((index.origin.clone(), index.suite.clone()))
            .or_insert(Release {
                origin: index.origin.clone(),
                suite: index.suite.clone(),
                date: date::rfc3339(seconds),
                version: index::field(text, "Version").map(str::to_owned),
                key: index.key,
            });
    }
    let missing = request
        .suites
        .iter()
        .find(|s| !releases.keys().any(|(_, suite)| suite == *s));
    match missing {
        Some(suite) => Err(answer(format!("no index of suite {suite}"))),
        None => Ok(releases.into_values().collect()),
    }
}
