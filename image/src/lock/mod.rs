//! The package lock: which Debian packages, byte for byte, an image and its tools are made of.
//!
//! Owns: the lock's types and text format, the request it answers, where mirrors are found, and
//! the resolver that asks apt. Never does: download a package (that is `crate::pool`), read the
//! host's apt preferences, or name a host in a lock.
//! Invariant: a `Lock` that exists in memory is valid: rows sorted by name, each name once, paths
//! relative and clean, `epoch` equal to the newest release date.
//!
//! ```text
//!  Request --+                       +--> to_text --> appliances/<name>.lock
//!            +--> resolve() --> Lock-+
//!  Mirrors --+                       +--> Pool::ensure --> .deb files --> link_set
//! ```

pub mod apt;
pub mod check;
pub mod date;
pub mod digest;
pub mod error;
mod facts;
pub mod fetch;
pub mod flat;
pub mod format;
pub mod index;
pub mod key;
pub mod mirrors;
pub mod request;
pub mod resolve;
pub mod sources;

use serde::{Deserialize, Serialize};

pub use digest::Sha256;
pub use error::LockError;
pub use mirrors::Mirrors;
pub use request::{Request, Source};
pub use resolve::{Options, resolve, resolve_with};

/// Archive name of Debian's main archive, as written in a lock.
pub const DEBIAN: &str = "debian";
/// Archive name of Debian's security archive.
pub const DEBIAN_SECURITY: &str = "debian-security";

/// One of the two package sets of a lock.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Set {
    /// What is installed in the image.
    Image,
    /// What shapes the image: erofs-utils, dracut and the like, in a tree of their own.
    Tools,
}

impl std::fmt::Display for Set {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Set::Image => "image",
            Set::Tools => "tools",
        })
    }
}

/// One locked package: everything needed to fetch it and to know that it is the right one.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Package {
    /// Binary package name.
    pub name: String,
    /// Full Debian version, with epoch.
    pub version: String,
    /// `amd64` or `all`.
    pub arch: String,
    /// Bytes of the .deb.
    pub size: u64,
    /// Digest of the .deb.
    pub sha256: Sha256,
    /// Path below the archive's base, not percent-encoded.
    pub path: String,
    /// Archive name: [`DEBIAN`], [`DEBIAN_SECURITY`], or the name of an extra source.
    pub origin: String,
    /// Suite the package was taken from.
    pub suite: String,
    /// Component within the suite.
    pub component: String,
}

impl Package {
    /// File name as apt writes it in its own archive cache: a colon becomes `%3a`, because the
    /// name must survive in URIs.
    pub fn file_name(&self) -> String {
        format!(
            "{}_{}_{}.deb",
            self.name,
            self.version.replace(':', "%3a"),
            self.arch
        )
    }
}

/// One Release file that apt trusted while resolving.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Release {
    /// Archive name.
    pub origin: String,
    /// Suite as it was asked for.
    pub suite: String,
    /// Its `Date`, RFC 3339.
    pub date: String,
    /// Its `Version` (a point release), where it has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    /// Digest of the operator's key that vouched for it; absent for Debian's own archives.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<Sha256>,
}

/// When, from what and by which apt the lock was made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Snapshot {
    /// Time of resolving, RFC 3339, UTC.
    pub resolved: String,
    /// Version of the apt that resolved it.
    pub apt: String,
    /// The Release files, sorted by archive and suite.
    pub releases: Vec<Release>,
}

/// A resolved, committed package set.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lock {
    /// [`Request::inputs`] of the request it answers.
    pub inputs: Sha256,
    /// Newest release date in Unix seconds: becomes `SOURCE_DATE_EPOCH`.
    pub epoch: u64,
    /// Where it comes from.
    pub snapshot: Snapshot,
    /// Packages of the image, sorted by name.
    pub image: Vec<Package>,
    /// Packages of the tools tree, sorted by name.
    pub tools: Vec<Package>,
}

impl Lock {
    /// The packages of one set.
    pub fn packages(&self, set: Set) -> &[Package] {
        match set {
            Set::Image => &self.image,
            Set::Tools => &self.tools,
        }
    }

    /// True when the lock answers this very request; false means it is stale.
    pub fn matches(&self, request: &Request) -> bool {
        self.inputs == request.inputs()
    }

    /// Refuses a lock that a build of `appliance` cannot use: one that answers another request, or
    /// that lacks a package asked for by name. What those depend on is the digest's to guard.
    pub fn check(&self, appliance: &str, request: &Request) -> Result<(), LockError> {
        let appliance = || appliance.to_owned();
        if !self.matches(request) {
            return Err(LockError::Stale {
                appliance: appliance(),
            });
        }
        for set in [Set::Image, Set::Tools] {
            let rows = self.packages(set);
            let has = |name: &str| rows.iter().any(|p| p.name == name);
            if let Some(name) = request.names(set).into_iter().find(|name| !has(name)) {
                return Err(LockError::NoRow {
                    appliance: appliance(),
                    set,
                    package: name.to_owned(),
                });
            }
        }
        Ok(())
    }

    /// Digest of the lock file's bytes.
    pub fn digest(&self) -> Sha256 {
        Sha256::of(self.to_text().as_bytes())
    }

    /// Digest of one set's rows and the epoch alone: what a step made from that set depends on.
    /// A new resolving time, or a change in the other set, leaves it as it was.
    pub fn set_digest(&self, set: Set) -> Sha256 {
        let rows: String = self.packages(set).iter().map(format::row).collect();
        Sha256::of(format!("epoch {}\n{rows}", self.epoch).as_bytes())
    }

    /// Debian's codename, from the suites; empty when none is Debian's.
    pub fn codename(&self) -> &str {
        let release = self.snapshot.releases.iter().find(|r| r.origin == DEBIAN);
        release.map_or("", |r| r.suite.split('-').next().unwrap_or(""))
    }

    /// True when both locks name the same packages, whenever each was resolved.
    pub fn same_packages(&self, other: &Lock) -> bool {
        self.image == other.image && self.tools == other.tools
    }
}
