//! What the content of a slot is called.
//!
//! Owns: a small file that maps root hashes to releases. Never does: decide anything by it: it is for people, and for the
//! server's `installedBase`. Invariant: a file that is damaged is begun anew, because the running slot says its own name
//! and every judged update says its own.

use std::path::{Path, PathBuf};

use roamcore_agent::files::{self, IoAt};
use roamcore_agent::log;
use roamcore_ota::Digest;
use serde::{Deserialize, Serialize};

use super::chain;
use crate::facts::Release;

/// Two slots, and a few that were there before.
const MOST: usize = 8;
const LIMIT: u64 = 64 * 1024;
const FORMAT: u32 = 1;

#[derive(Debug, Serialize, Deserialize)]
struct Content {
    format: u32,
    releases: Vec<(Digest, Release)>,
}

/// The map.
#[derive(Debug)]
pub(super) struct Known {
    path: PathBuf,
    releases: Vec<(Digest, Release)>,
}

impl Known {
    pub(super) fn load(directory: &Path) -> Result<Self, IoAt> {
        let path = directory.join("releases.json");
        let bytes = files::read_if_any(&path, LIMIT)?;
        let releases = bytes.map_or_else(Vec::new, |bytes| {
            match serde_json::from_slice::<Content>(&bytes) {
                Ok(content) if content.format == FORMAT => content.releases,
                Ok(content) => {
                    log::error(format!(
                        "{} has format {}, known is {FORMAT}; begun anew",
                        path.display(),
                        content.format
                    ));
                    Vec::new()
                }
                Err(error) => {
                    log::error(format!("{}: {}; begun anew", path.display(), chain(&error)));
                    Vec::new()
                }
            }
        });
        Ok(Self { path, releases })
    }

    pub(super) fn get(&self, root_hash: &Digest) -> Option<&Release> {
        self.releases
            .iter()
            .find(|(known, _)| known == root_hash)
            .map(|(_, release)| release)
    }

    /// Remembers a name, durably.
    pub(super) fn learn(&mut self, root_hash: Digest, release: &Release) -> Result<(), IoAt> {
        if self.get(&root_hash) == Some(release) {
            return Ok(());
        }
        self.releases.retain(|(known, _)| *known != root_hash);
        self.releases.push((root_hash, release.clone()));
        let surplus = self.releases.len().saturating_sub(MOST);
        self.releases.drain(..surplus);
        let content = Content {
            format: FORMAT,
            releases: self.releases.clone(),
        };
        let bytes = serde_json::to_vec(&content).map_err(|error| IoAt {
            doing: "write",
            path: self.path.clone(),
            source: error.into(),
        })?;
        files::write_atomic(&self.path, &bytes, 0o600)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn release(number: u64) -> Release {
        Release {
            product: "bare".parse().unwrap(),
            version: format!("1.{number}").parse().unwrap(),
            sequence: number,
            security_epoch: 1,
        }
    }

    #[test]
    fn names_are_kept_and_bounded_and_damage_is_no_end() {
        let dir = tempfile::tempdir().unwrap();
        let hash = |number: u64| Digest::of(&number.to_le_bytes());
        let mut known = Known::load(dir.path()).unwrap();
        for number in 0..20 {
            known.learn(hash(number), &release(number)).unwrap();
        }
        let again = Known::load(dir.path()).unwrap();
        assert_eq!(again.get(&hash(19)), Some(&release(19)));
        assert_eq!(again.get(&hash(11)), None);
        assert_eq!(again.releases.len(), MOST);
        std::fs::write(dir.path().join("releases.json"), "{").unwrap();
        assert!(Known::load(dir.path()).unwrap().releases.is_empty());
    }
}
