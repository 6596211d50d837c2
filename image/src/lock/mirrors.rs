//! Where archives are served: the only place where a lock's archive names meet hosts.
//!
//! Owns: choosing Debian's mirrors from the machine's own apt configuration or from flags.
//! Never does: hold a default host, trust a mirror (signatures and hashes do that), or take a
//! third party's source for Debian's. Invariant: a base URI has no trailing slash and a scheme
//! that apt serves without extra packages.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use super::error::LockError;
use super::sources::{Entry, deb822, one_line};
use super::{DEBIAN, DEBIAN_SECURITY, Source};

/// Suites of Debian's main archive. A machine that runs any of them has a mirror that serves
/// trixie too; a name missing here costs its owner a `--mirror` flag.
const SUITES: [&str; 13] = [
    "buster",
    "bullseye",
    "bookworm",
    "trixie",
    "forky",
    "duke",
    "sid",
    "stable",
    "testing",
    "unstable",
    "oldstable",
    "oldoldstable",
    "experimental",
];

/// Schemes allowed; `file` and `copy` serve an archive from a directory.
const SCHEMES: [&str; 4] = ["http", "https", "file", "copy"];

/// Base URI by archive name.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Mirrors(BTreeMap<String, String>);

impl Mirrors {
    /// From flags where given, else from this machine's apt configuration.
    pub fn find(mirror: Option<&str>, security: Option<&str>) -> Result<Mirrors, LockError> {
        let mut mirrors = match (mirror, security) {
            (Some(_), Some(_)) => Mirrors::default(),
            _ => Mirrors::from_directory(Path::new("/etc/apt"))?,
        };
        for (archive, flag) in [(DEBIAN, mirror), (DEBIAN_SECURITY, security)] {
            if let Some(uri) = flag {
                mirrors.set(archive, uri)?;
            }
            mirrors.base(archive)?;
        }
        Ok(mirrors)
    }

    /// What an apt configuration directory says.
    pub fn from_directory(etc_apt: &Path) -> Result<Mirrors, LockError> {
        let mut entries = Vec::new();
        for path in source_files(etc_apt)? {
            let text = fs::read_to_string(&path).map_err(LockError::file(&path))?;
            let one = path.extension().is_some_and(|e| e == "list");
            entries.extend(if one { one_line(&text) } else { deb822(&text) });
        }
        let mut mirrors = Mirrors::default();
        for (archive, uri) in choose(&entries) {
            // Debian's cloud images name their mirror in a file of its own: apt-transport-mirror(1).
            let uri = match uri.strip_prefix("mirror+file:") {
                Some(file) => {
                    let path = PathBuf::from(format!("/{}", file.trim_start_matches('/')));
                    let text = fs::read_to_string(&path).map_err(LockError::file(&path))?;
                    let Some(first) = first_of_list(&text) else {
                        continue;
                    };
                    first.to_owned()
                }
                None => uri,
            };
            mirrors.set(archive, &uri)?;
        }
        Ok(mirrors)
    }

    /// Names the base of an archive.
    pub fn set(&mut self, archive: &str, uri: &str) -> Result<(), LockError> {
        let refused = |why| {
            Err(LockError::BadMirror {
                uri: uri.to_owned(),
                why,
            })
        };
        if !uri
            .split_once(':')
            .is_some_and(|(scheme, _)| SCHEMES.contains(&scheme))
        {
            return refused("expected http:, https:, file: or copy:");
        }
        if uri
            .chars()
            .any(|c| c.is_whitespace() || c.is_control() || "\"'[]{}|\\^`<>?#".contains(c))
        {
            return refused("it has characters that a base URI cannot have");
        }
        self.0
            .insert(archive.to_owned(), uri.trim_end_matches('/').to_owned());
        Ok(())
    }

    /// Adds where the extra sources' owners serve them, unless a mirror is already named.
    pub fn with_sources(mut self, sources: &[Source]) -> Result<Mirrors, LockError> {
        for source in sources {
            if let (Some(uri), false) = (&source.uri, self.0.contains_key(&source.name)) {
                self.set(&source.name, uri)?;
            }
        }
        Ok(self)
    }

    /// Base URI of an archive.
    pub fn base(&self, archive: &str) -> Result<&str, LockError> {
        self.0
            .get(archive)
            .map(String::as_str)
            .ok_or_else(|| LockError::NoMirror {
                archive: archive.to_owned(),
                flag: match archive {
                    DEBIAN => "--mirror".to_owned(),
                    DEBIAN_SECURITY => "--security-mirror".to_owned(),
                    other => format!("--source-mirror {other}="),
                },
            })
    }

    /// URI of a path below an archive's base.
    pub fn uri(&self, archive: &str, path: &str) -> Result<String, LockError> {
        Ok(format!("{}/{}", self.base(archive)?, encode(path)))
    }
}

/// Percent-encodes a path. `+` and `~` are encoded as well, as apt does: object stores read a bare
/// `+` as a blank.
pub fn encode(path: &str) -> String {
    path.bytes().fold(String::new(), |mut out, b| {
        if b.is_ascii_alphanumeric() || b"-._/".contains(&b) {
            out.push(char::from(b));
        } else {
            out += &format!("%{b:02x}");
        }
        out
    })
}

/// The mirrors among apt's entries; the first that fits is taken, as apt's order has it.
pub fn choose(entries: &[Entry]) -> Vec<(&'static str, String)> {
    let pick = |wanted: &dyn Fn(&str) -> bool, tail: &str| {
        entries
            .iter()
            .filter(|e| is_debian(e, tail) && e.components.iter().any(|c| c == "main"))
            .find(|e| e.suites.iter().any(|s| wanted(s)))
            .map(|e| e.uri.clone())
    };
    let plain = pick(&|s| SUITES.contains(&s), "/debian");
    let security = pick(
        &|s| {
            let base = s
                .strip_suffix("-security")
                .or_else(|| s.strip_suffix("/updates"));
            base.is_some_and(|b| SUITES.contains(&b))
        },
        "/debian-security",
    );
    [(DEBIAN, plain), (DEBIAN_SECURITY, security)]
        .into_iter()
        .filter_map(|(archive, uri)| Some((archive, uri?)))
        .collect()
}

/// Debian's own when its keyring vouches for it; without `Signed-By`, when the path is Debian's.
fn is_debian(entry: &Entry, tail: &str) -> bool {
    let scheme = entry.uri.split(':').next().unwrap_or("");
    if scheme != "mirror+file" && !SCHEMES.contains(&scheme) {
        return false;
    }
    match &entry.signed_by {
        Some(key) => {
            let name = key.rsplit('/').next().unwrap_or(key);
            name.starts_with("debian-archive-")
        }
        None => entry.uri.ends_with(tail) || entry.uri.starts_with("mirror+file:"),
    }
}

fn first_of_list(text: &str) -> Option<&str> {
    let mut lines = text
        .lines()
        .map(|l| l.split('#').next().unwrap_or("").trim());
    lines.find(|l| !l.is_empty())?.split_whitespace().next()
}

fn source_files(etc_apt: &Path) -> Result<Vec<PathBuf>, LockError> {
    let mut files = Vec::new();
    let single = etc_apt.join("sources.list");
    if single.exists() {
        files.push(single);
    }
    let parts = etc_apt.join("sources.list.d");
    if parts.is_dir() {
        let mut names = Vec::new();
        for item in fs::read_dir(&parts).map_err(LockError::file(&parts))? {
            let path = item.map_err(LockError::file(&parts))?.path();
            if path
                .extension()
                .is_some_and(|e| e == "list" || e == "sources")
            {
                names.push(path);
            }
        }
        names.sort();
        files.extend(names);
    }
    Ok(files)
}

#[cfg(test)]
mod tests {
    use super::*;

    const VENDOR: &str = "deb [signed-by=/usr/share/keyrings/vendor.gpg] http://vendor.invalid/debian bookworm main\n\
                          deb http://vendor.invalid/linux trixie main\ndeb http://other.invalid/debian nodistro main\n";

    #[test]
    fn chooses_debian_and_ignores_third_parties() {
        let mut entries = one_line(VENDOR);
        assert_eq!(choose(&entries), []);
        entries.extend(deb822(
            "Types: deb\nURIs: http://mirror.invalid/odd/path\nSuites: bookworm bookworm-updates\nComponents: main\nSigned-By: /usr/share/keyrings/debian-archive-keyring.gpg\n",
        ));
        entries.extend(one_line(
            "deb http://mirror.invalid/debian bookworm contrib\ndeb http://sec.invalid/debian-security stable-security main\n",
        ));
        assert_eq!(
            choose(&entries),
            [
                (DEBIAN, "http://mirror.invalid/odd/path".to_owned()),
                (
                    DEBIAN_SECURITY,
                    "http://sec.invalid/debian-security".to_owned()
                )
            ]
        );
    }

    #[test]
    fn updates_alone_are_no_mirror_and_ubuntu_is_not_debian() {
        let text = "deb http://m.invalid/debian trixie-updates main\ndeb http://m.invalid/ubuntu jammy main\ndeb http://m.invalid/debian jammy-security main\n";
        assert_eq!(choose(&one_line(text)), []);
    }

    #[test]
    fn directory_with_mirror_list() {
        let dir = tempfile::tempdir().unwrap();
        let list = dir.path().join("debian.list.txt");
        fs::write(
            &list,
            "# note\nhttp://cloud.invalid/debian/\tpriority:1\nhttp://second.invalid/debian\n",
        )
        .unwrap();
        fs::create_dir(dir.path().join("sources.list.d")).unwrap();
        fs::write(dir.path().join("sources.list"), VENDOR).unwrap();
        fs::write(
            dir.path().join("sources.list.d/debian.sources"),
            format!(
                "Types: deb\nURIs: mirror+file://{}\nSuites: trixie\nComponents: main\n",
                list.display()
            ),
        )
        .unwrap();
        fs::write(
            dir.path().join("sources.list.d/x.save"),
            "deb http://no.invalid/debian sid main",
        )
        .unwrap();
        let mirrors = Mirrors::from_directory(dir.path()).unwrap();
        assert_eq!(mirrors.base(DEBIAN).unwrap(), "http://cloud.invalid/debian");
        assert_eq!(
            mirrors.base(DEBIAN_SECURITY).unwrap_err().to_string(),
            "no mirror of the debian-security archive in this machine's apt configuration: give one with `--security-mirror URI`"
        );
    }

    #[test]
    fn flags_and_encoding() {
        let m = Mirrors::find(Some("http://a.invalid/debian/"), Some("file:/srv/s")).unwrap();
        assert_eq!(
            m.uri(DEBIAN, "pool/main/libc++~1_a.deb").unwrap(),
            "http://a.invalid/debian/pool/main/libc%2b%2b%7e1_a.deb"
        );
        for bad in [
            "a.invalid/debian",
            "ftp://a.invalid",
            "http://a b",
            "http://a/[x]",
        ] {
            let error = Mirrors::default().set(DEBIAN, bad).unwrap_err().to_string();
            assert!(
                error.starts_with(&format!("mirror `{bad}` is refused")),
                "{error}"
            );
        }
    }
}
