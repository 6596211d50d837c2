//! A release directory as the builder leaves it: `disk.img.zst` and `release.json`.
//!
//! Only reads. Takes no more from the manifest than a test must know: what the image claims to be.

use std::path::{Path, PathBuf};

use roamcore_spec::Appliance;
use roamcore_spec::load::{self, LoadError};
use roamcore_spec::names::Name;

use crate::error::{Error, Result, file};

/// An image to test.
#[derive(Debug, Clone)]
pub struct Image {
    /// The release directory.
    pub directory: PathBuf,
    /// The packed disk.
    pub disk: PathBuf,
    /// Appliance, as in `roamcore` or `bare`.
    pub appliance: String,
    /// The whole manifest.
    pub manifest: serde_json::Value,
}

impl Image {
    /// Opens a release directory.
    pub fn open(directory: &Path) -> Result<Self> {
        let path = directory.join("release.json");
        let text = std::fs::read(&path).map_err(file("read", &path))?;
        let bad = |reason: String| Error::Format {
            what: path.display().to_string(),
            reason,
        };
        let manifest: serde_json::Value =
            serde_json::from_slice(&text).map_err(|e| bad(e.to_string()))?;
        let appliance = ["appliance", "product"]
            .iter()
            .find_map(|key| manifest[key].as_str());
        let appliance = appliance
            .ok_or_else(|| bad("names neither `appliance` nor `product`".into()))?
            .to_owned();
        let disk = directory.join("disk.img.zst");
        match disk.is_file() {
            true => Ok(Self {
                directory: directory.into(),
                disk,
                appliance,
                manifest,
            }),
            false => Err(Error::Missing {
                what: disk.display().to_string(),
                remedy: "build it with `./dev image`".into(),
            }),
        }
    }

    /// Offset and length on the disk of a stretch that the manifest names; without the unused rest of its partition.
    pub fn area(&self, name: &str) -> Result<(u64, u64)> {
        let list = self.manifest["partitions"].as_array();
        let found = list.and_then(|all| all.iter().find(|p| p["name"] == name));
        let numbers = found.and_then(|p| Some((p["offset"].as_u64()?, p["size"].as_u64()?)));
        numbers.ok_or_else(|| Error::Format {
            what: self.directory.join("release.json").display().to_string(),
            reason: format!("describes no partition `{name}`"),
        })
    }

    /// Name of the appliance's specification: products may be called otherwise.
    pub fn spec_name(&self) -> &str {
        match self.appliance.as_str() {
            "roamcore-bare" => "bare",
            other => other,
        }
    }

    /// The appliance's specification in the sources that the harness is run from.
    pub fn spec(&self) -> Result<Appliance> {
        let bad = |reason: String| Error::Format {
            what: format!("specification of `{}`", self.appliance),
            reason,
        };
        let name: Name = self
            .spec_name()
            .parse()
            .map_err(|_| bad("no such name is allowed".into()))?;
        let path = load::appliance_path(Path::new("."), &name);
        let document = load::document::<Appliance>(&path).map_err(|e| match e {
            LoadError::Read { path, source } => file("read", path)(source),
            invalid => bad(invalid.to_string()),
        })?;
        Ok(document.into_value())
    }

    /// Size of the smallest disk this appliance is made for, in bytes.
    pub fn smallest_disk(&self) -> u64 {
        const GB: u64 = 1_000_000_000;
        if self.appliance == "roamcore-bare" {
            32 * GB
        } else {
            128 * GB
        }
    }
}
