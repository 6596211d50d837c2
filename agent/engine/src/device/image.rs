//! What the running image says about itself and whom it trusts.
//!
//! Owns: the reading of /usr/lib/os-release and of the image's role documents. Both are covered by the root hash. Never does:
//! guess: a member that is missing or given twice with different values is an error.

use std::path::PathBuf;
use std::time::UNIX_EPOCH;

use roamcore_agent::files::{self, At, IoAt};
use roamcore_agent::roots::Roots;
use roamcore_ota::{Channel, Document, Timestamp, Version};

use super::trust::Identity;
use crate::facts::Release;

const LIMIT: u64 = 64 * 1024;

/// The image does not say what it is.
#[derive(Debug, thiserror::Error)]
pub enum ImageError {
    /// Reading.
    #[error(transparent)]
    Io(#[from] IoAt),
    /// A member of os-release.
    #[error("{path} has {key} {seen:?}, which is not one usable value; is this an image of RoamCore OS?", path = path.display())]
    Member {
        /// Where.
        path: PathBuf,
        /// Which.
        key: &'static str,
        /// All values.
        seen: Vec<String>,
    },
}

impl Identity {
    /// Of the image that runs. `agent` is the version of the program that judges.
    pub fn load(roots: &Roots, agent: Version) -> Result<Self, ImageError> {
        let path = roots.usr.join("lib/os-release");
        let text = files::read_text(&path, LIMIT)?;
        let roles = roots
            .usr
            .join("share/roamcore/trust")
            .join(Document::Roles.file_name());
        let roles = files::read(&roles, Document::Roles.max_bytes() as u64)?;
        // Every file of an image has the time of its build.
        let made = path
            .metadata()
            .and_then(|found| found.modified())
            .at("inspect", &path)?
            .duration_since(UNIX_EPOCH)
            .ok()
            .and_then(|time| Timestamp::from_unix(time.as_secs()).ok());
        let member = |key: &'static str| Member {
            key,
            values: values(&text, key),
            path: &path,
        };
        Ok(Self {
            release: Release {
                product: member("IMAGE_ID").parse()?,
                version: member("IMAGE_VERSION").parse()?,
                sequence: member("ROAMCORE_SEQUENCE").parse()?,
                security_epoch: member("ROAMCORE_EPOCH").parse()?,
            },
            board: member("ROAMCORE_BOARD").parse()?,
            channel: member("ROAMCORE_CHANNEL").channel()?,
            agent,
            roles,
            made,
        })
    }
}

fn values(text: &str, key: &str) -> Vec<String> {
    text.lines()
        .filter_map(|line| line.strip_prefix(key)?.strip_prefix('='))
        .map(|value| value.trim_matches('"').to_owned())
        .collect()
}

struct Member<'a> {
    key: &'static str,
    values: Vec<String>,
    path: &'a std::path::Path,
}

impl Member<'_> {
    fn one(&self) -> Option<&str> {
        let first = self.values.first()?;
        self.values
            .iter()
            .all(|value| value == first)
            .then_some(first)
    }

    fn refused(&self) -> ImageError {
        ImageError::Member {
            path: self.path.to_owned(),
            key: self.key,
            seen: self.values.clone(),
        }
    }

    fn parse<T: std::str::FromStr>(&self) -> Result<T, ImageError> {
        self.one()
            .and_then(|value| value.parse().ok())
            .ok_or_else(|| self.refused())
    }

    fn channel(&self) -> Result<Channel, ImageError> {
        match self.one() {
            Some("release") => Ok(Channel::Release),
            Some("development") => Ok(Channel::Development),
            _ => Err(self.refused()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = "ID=debian\nIMAGE_ID=bare\nIMAGE_VERSION=1.4.0\nROAMCORE_BOARD=vp2430\n\
                        ROAMCORE_CHANNEL=development\nROAMCORE_SEQUENCE=7\nROAMCORE_EPOCH=2\n";

    fn load(text: &str) -> Result<Identity, ImageError> {
        let dir = tempfile::tempdir().unwrap();
        let roots = Roots::below(dir.path());
        let trust = roots.usr.join("share/roamcore/trust");
        std::fs::create_dir_all(&trust).unwrap();
        std::fs::create_dir_all(roots.usr.join("lib")).unwrap();
        std::fs::write(trust.join("roles.json"), "{}").unwrap();
        std::fs::write(roots.usr.join("lib/os-release"), text).unwrap();
        Identity::load(&roots, "0.1.0".parse().unwrap())
    }

    #[test]
    fn an_image_says_all_of_it_once() {
        let identity = load(GOOD).unwrap();
        assert_eq!(
            identity.release.to_string(),
            "bare 1.4.0 (sequence 7, epoch 2)"
        );
        assert_eq!(identity.channel, Channel::Development);
        for (bad, key) in [
            (GOOD.replace("IMAGE_ID=bare\n", ""), "IMAGE_ID"),
            (GOOD.replace("=7", "=seven"), "ROAMCORE_SEQUENCE"),
            (
                format!("{GOOD}ROAMCORE_CHANNEL=release\n"),
                "ROAMCORE_CHANNEL",
            ),
        ] {
            let error = load(&bad).unwrap_err().to_string();
            assert!(error.contains(key), "{error}");
        }
    }
}
