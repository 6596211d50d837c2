//! The lock's text: TOML with one package per line, so that a relock reads well as a diff.
//!
//! Owns: writing and parsing. Never does: touch the disk except in `read` and `write`, keep
//! unknown keys, or accept rows that are out of order or not the ones that were resolved. Invariant:
//! `parse(to_text(lock)) == lock`, and any text that parses is exactly what `to_text` writes, apart
//! from blanks and comments.

use std::fs;
use std::io::Write;
use std::path::Path;

use serde::Deserialize;
use toml::Spanned;

use super::error::LockError;
use super::{Lock, Package, Release, Sha256, Snapshot, check, date};

/// Format 1 had no digest over its rows: a row that was lost in a merge was not missed.
pub const FORMAT: i64 = 2;

#[derive(Deserialize)]
struct Version {
    format: i64,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    #[serde(rename = "format")]
    _format: i64,
    inputs: Sha256,
    rows: Spanned<Sha256>,
    epoch: Spanned<u64>,
    snapshot: SnapshotTable,
    packages: Packages,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct SnapshotTable {
    resolved: Spanned<String>,
    apt: String,
    releases: Vec<Spanned<Release>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Packages {
    image: Vec<Spanned<Package>>,
    tools: Vec<Spanned<Package>>,
}

impl Lock {
    /// Reads a lock file.
    pub fn read(path: &Path) -> Result<Lock, LockError> {
        let text = fs::read_to_string(path).map_err(LockError::file(path))?;
        Lock::parse(&text, path)
    }

    /// Writes the lock beside its final name, syncs it, and renames it into place.
    pub fn write(&self, path: &Path) -> Result<(), LockError> {
        let dir = path
            .parent()
            .filter(|p| !p.as_os_str().is_empty())
            .unwrap_or(Path::new("."));
        let write = || {
            let mut file = tempfile::NamedTempFile::new_in(dir)?;
            file.write_all(self.to_text().as_bytes())?;
            // A lock is committed and shared: the temporary file's private mode is wrong for it.
            let readable = std::os::unix::fs::PermissionsExt::from_mode(0o644);
            file.as_file().set_permissions(readable)?;
            file.as_file().sync_all()?;
            file.persist(path).map_err(|e| e.error)?;
            fs::File::open(dir)?.sync_all()
        };
        write().map_err(LockError::file(path))
    }

    /// Parses the text of a lock; `path` is for messages alone.
    pub fn parse(text: &str, path: &Path) -> Result<Lock, LockError> {
        let at = |offset: usize, message: String| LockError::Parse {
            path: path.to_owned(),
            line: text.get(..offset).unwrap_or("").matches('\n').count() + 1,
            message,
        };
        let wrong =
            |e: toml::de::Error| at(e.span().map_or(0, |s| s.start), e.message().to_owned());

        let version: Version = toml::from_str(text).map_err(wrong)?;
        if version.format != FORMAT {
            let (path, found) = (path.to_owned(), version.format);
            return Err(LockError::Format {
                path,
                found,
                known: FORMAT,
            });
        }
        let file: File = toml::from_str(text).map_err(wrong)?;

        let mut newest = 0;
        let mut releases: Vec<Release> = Vec::new();
        for spanned in file.snapshot.releases {
            let start = spanned.span().start;
            let release = spanned.into_inner();
            let seconds = release_date(&release).map_err(|m| at(start, m))?;
            newest = newest.max(seconds);
            if releases
                .last()
                .is_some_and(|r| (&r.origin, &r.suite) >= (&release.origin, &release.suite))
            {
                return Err(at(
                    start,
                    format!(
                        "release {} {} is out of order or named twice",
                        release.origin, release.suite
                    ),
                ));
            }
            releases.push(release);
        }
        let (start, epoch) = (file.epoch.span().start, file.epoch.into_inner());
        if epoch != newest {
            return Err(at(
                start,
                format!("epoch {epoch} is not the newest release date, which is {newest}"),
            ));
        }
        let start = file.snapshot.resolved.span().start;
        let resolved = file.snapshot.resolved.into_inner();
        if date::parse_rfc3339(&resolved).is_none() {
            return Err(at(
                start,
                format!("resolved `{resolved}` is not like 2026-09-12T07:55:41Z"),
            ));
        }
        let start = file.rows.span().start;
        let lock = Lock {
            inputs: file.inputs,
            epoch,
            snapshot: Snapshot {
                resolved,
                apt: file.snapshot.apt,
                releases,
            },
            image: rows(file.packages.image, at)?,
            tools: rows(file.packages.tools, at)?,
        };
        let (stated, found) = (file.rows.into_inner(), lock.rows_digest());
        if stated != found {
            return Err(LockError::Rows {
                path: path.to_owned(),
                line: text.get(..start).unwrap_or("").matches('\n').count() + 1,
                stated,
                found,
            });
        }
        Ok(lock)
    }

    /// Digest over the rows of both sets: a row taken out, added or changed later does not fit it.
    fn rows_digest(&self) -> Sha256 {
        Sha256::of(self.rows_text().as_bytes())
    }

    fn rows_text(&self) -> String {
        let mut text = String::from("[packages]\n");
        for (name, packages) in [("image", &self.image), ("tools", &self.tools)] {
            text += &format!("{name} = [\n");
            for package in packages {
                text += &row(package);
            }
            text += "]\n";
        }
        text
    }

    /// The lock as text.
    pub fn to_text(&self) -> String {
        let mut text = String::from(
            "# Made by `roamcore-image lock`; do not edit. `lock --update` makes it anew.\n",
        );
        text += &format!(
            "format = {FORMAT}\ninputs = \"{}\"\nrows = \"{}\"\nepoch = {}\n",
            self.inputs,
            self.rows_digest(),
            self.epoch
        );
        text += &format!(
            "\n[snapshot]\nresolved = {}\napt = {}\nreleases = [\n",
            quote(&self.snapshot.resolved),
            quote(&self.snapshot.apt)
        );
        for r in &self.snapshot.releases {
            let (origin, suite, date) = (quote(&r.origin), quote(&r.suite), quote(&r.date));
            text += &format!("  {{ origin = {origin}, suite = {suite}, date = {date}");
            if let Some(version) = &r.version {
                text += &format!(", version = {}", quote(version));
            }
            if let Some(key) = &r.key {
                text += &format!(", key = \"{key}\"");
            }
            text += " },\n";
        }
        text += "]\n\n";
        text + &self.rows_text()
    }
}

/// One package line.
pub(super) fn row(p: &Package) -> String {
    format!(
        "  {{ name = {}, version = {}, arch = {}, size = {}, sha256 = \"{}\", path = {}, origin = {}, suite = {}, component = {} }},\n",
        quote(&p.name),
        quote(&p.version),
        quote(&p.arch),
        p.size,
        p.sha256,
        quote(&p.path),
        quote(&p.origin),
        quote(&p.suite),
        quote(&p.component)
    )
}

/// A TOML basic string.
fn quote(text: &str) -> String {
    toml::Value::from(text).to_string()
}

fn rows(
    spanned: Vec<Spanned<Package>>,
    at: impl Fn(usize, String) -> LockError,
) -> Result<Vec<Package>, LockError> {
    let mut packages: Vec<Package> = Vec::with_capacity(spanned.len());
    for item in spanned {
        let start = item.span().start;
        let package = item.into_inner();
        check_package(&package).map_err(|m| at(start, m))?;
        if packages
            .last()
            .is_some_and(|last| last.name >= package.name)
        {
            return Err(at(
                start,
                format!("package {} is out of order or named twice", package.name),
            ));
        }
        packages.push(package);
    }
    Ok(packages)
}

/// Checks every value of a row that comes from an archive or a file.
pub(super) fn check_package(p: &Package) -> Result<(), String> {
    let checks = [
        (
            "name",
            &p.name,
            check::package_name as fn(&str) -> Result<(), String>,
        ),
        ("version", &p.version, check::version),
        ("arch", &p.arch, check::architecture),
        ("path", &p.path, check::pool_path),
        ("origin", &p.origin, check::word),
        ("suite", &p.suite, check::word),
        ("component", &p.component, check::word),
    ];
    for (field, value, rule) in checks {
        rule(value).map_err(|why| format!("package {:?}: {field} {value:?}: {why}", p.name))?;
    }
    if p.size == 0 {
        return Err(format!("package {:?}: size 0 cannot be", p.name));
    }
    Ok(())
}

fn release_date(r: &Release) -> Result<u64, String> {
    for (field, value) in [("origin", &r.origin), ("suite", &r.suite)] {
        check::word(value).map_err(|why| format!("release {field} {value:?}: {why}"))?;
    }
    date::parse_rfc3339(&r.date)
        .ok_or_else(|| format!("release date `{}` is not like 2026-09-12T07:55:41Z", r.date))
}
