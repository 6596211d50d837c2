//! What to install: deploymentBase, installedBase and the lists of artifacts.
//!
//! Owns: the deployment and its parts. Invariant: sizes have 64 bits (artifacts pass 4 GiB), and every
//! hash may be missing, because servers leave them out; the signed manifest is what counts.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::action::ActionId;
use super::{Link, null_is_default};

/// `GET .../deploymentBase/{id}` and `GET .../installedBase/{id}`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct DeploymentBase {
    /// The action.
    pub id: ActionId,
    /// What to do.
    pub deployment: Deployment,
    /// What was reported before, when asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub action_history: Option<ActionHistory>,
}

/// How much hurry there is with one half of the work.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Handling {
    /// Not now: download-only actions, and windows that are closed.
    Skip,
    /// When the device or its user finds it convenient.
    Attempt,
    /// At once.
    Forced,
}

/// Whether a maintenance window is open.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Window {
    /// Open: install.
    Available,
    /// Closed: downloading is allowed, installing is not.
    Unavailable,
}

/// What to do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Deployment {
    /// Whether to download.
    pub download: Handling,
    /// Whether to install.
    pub update: Handling,
    /// Present only when the action has a maintenance window.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub maintenance_window: Option<Window>,
    /// Software modules.
    #[serde(default, deserialize_with = "null_is_default")]
    pub chunks: Vec<Chunk>,
}

/// One software module.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Chunk {
    /// Module type; hawkBit says `bApp` for its type application and `jvm` for runtime.
    pub part: String,
    /// Its version.
    pub version: String,
    /// Its name.
    pub name: String,
    /// Whether the artifacts are encrypted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub encrypted: Option<bool>,
    /// Metadata that is visible to targets.
    #[serde(
        default,
        deserialize_with = "null_is_default",
        skip_serializing_if = "Vec::is_empty"
    )]
    pub metadata: Vec<Metadata>,
    /// Files.
    #[serde(default, deserialize_with = "null_is_default")]
    pub artifacts: Vec<Artifact>,
}

/// One pair of metadata.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Metadata {
    /// Its name.
    pub key: String,
    /// Its value.
    pub value: String,
}

/// One file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Artifact {
    /// Its name, as uploaded: not a path until somebody has checked it.
    pub filename: String,
    /// What the server says about its content.
    #[serde(default, deserialize_with = "null_is_default")]
    pub hashes: Hashes,
    /// Bytes.
    pub size: u64,
    /// Links by relation.
    #[serde(
        rename = "_links",
        default,
        deserialize_with = "null_is_default",
        skip_serializing_if = "BTreeMap::is_empty"
    )]
    pub links: BTreeMap<String, Link>,
}

impl Artifact {
    /// Where to get it. hawkBit's default relation is `download-http` whatever the scheme; `download`
    /// exists only where an operator configured it, and is then meant for us.
    pub fn download(&self) -> Option<&Link> {
        ["download", "download-http"]
            .iter()
            .find_map(|relation| self.links.get(*relation))
    }
}

/// Lower-case hexadecimal hashes.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hashes {
    /// SHA-1, also the artifact's entity tag in hawkBit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sha1: Option<String>,
    /// MD5.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub md5: Option<String>,
    /// SHA-256.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sha256: Option<String>,
}

/// Earlier feedback, newest first.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ActionHistory {
    /// The action's status as the server has it, such as `RUNNING`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<String>,
    /// Messages.
    #[serde(default, deserialize_with = "null_is_default")]
    pub messages: Vec<String>,
}
