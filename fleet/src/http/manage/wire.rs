//! Documents of the management API, as server and command line both know them.
//!
//! Owns: their shape. Times are milliseconds since 1970.

use std::collections::BTreeMap;

use roamcore_ddi::messages::Decision;
use serde::{Deserialize, Serialize};

use crate::model::Millis;
use crate::model::action::Kind;
use crate::model::status::{Status, TargetState};

/// The server is there.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Health {
    /// Its version.
    pub version: String,
}

/// A target to add.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NewTarget {
    /// The device's name.
    pub id: String,
    /// For people; the id if absent.
    #[serde(default)]
    pub name: Option<String>,
    /// A token of the operator's choice; one is made if absent.
    #[serde(default)]
    pub token: Option<String>,
}

/// A token, shown this once.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TokenShown {
    /// The target.
    pub id: String,
    /// Its token.
    pub token: String,
}

/// A release, in few words.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReleaseRef {
    /// Its number.
    pub id: i64,
    /// Its name.
    pub name: String,
    /// Its version.
    pub version: String,
}

/// A target.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TargetInfo {
    /// The device's name.
    pub id: String,
    /// For people.
    pub name: String,
    /// Its state.
    pub state: TargetState,
    /// What it should have.
    pub assigned: Option<ReleaseRef>,
    /// What it has.
    pub installed: Option<ReleaseRef>,
    /// Since when.
    pub installed_at: Option<Millis>,
    /// Where it called from.
    pub address: Option<String>,
    /// When.
    pub last_poll: Option<Millis>,
    /// It has a token of its own.
    pub has_token: bool,
    /// Its actions are confirmed without asking.
    pub auto_confirm: bool,
    /// What it says of itself; in lists absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub attributes: Option<BTreeMap<String, String>>,
    /// Its open actions; in lists absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub open_actions: Option<Vec<i64>>,
}

/// A page of targets.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Targets {
    /// In order of their names.
    pub targets: Vec<TargetInfo>,
}

/// A release to add, without its files.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NewRelease {
    /// Its name: the product.
    pub name: String,
    /// Its version.
    pub version: String,
    /// Software modules.
    pub modules: Vec<NewModule>,
    /// What is to be remembered of it.
    #[serde(default)]
    pub note: BTreeMap<String, String>,
}

/// A software module to add.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NewModule {
    /// Its type, `os` for ours.
    pub part: String,
    /// Its name.
    pub name: String,
    /// Its version.
    pub version: String,
    /// What devices are told beside.
    #[serde(default)]
    pub metadata: BTreeMap<String, String>,
}

/// A release.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReleaseInfo {
    /// Its number.
    pub id: i64,
    /// Its name.
    pub name: String,
    /// Its version.
    pub version: String,
    /// It was deployed and does not change any more.
    pub locked: bool,
    /// When it was added.
    pub created: Millis,
    /// What was to be remembered of it.
    pub note: BTreeMap<String, String>,
    /// Its software modules.
    pub modules: Vec<ModuleInfo>,
}

/// A software module.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ModuleInfo {
    /// Its number.
    pub id: i64,
    /// Its type.
    pub part: String,
    /// Its name.
    pub name: String,
    /// Its version.
    pub version: String,
    /// Its files.
    pub artifacts: Vec<ArtifactInfo>,
}

/// A file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ArtifactInfo {
    /// Its name.
    pub name: String,
    /// Bytes.
    pub size: u64,
    /// Of its content.
    pub sha256: String,
}

/// All releases.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Releases {
    /// The newest first.
    pub releases: Vec<ReleaseInfo>,
}

/// A deployment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Deploy {
    /// The release.
    pub release: i64,
    /// The targets.
    pub targets: Vec<String>,
    /// How much hurry there is: `{"type":"forced"}`, `soft`, `downloadonly`, or `timeforced` with `force_at`.
    pub kind: Kind,
    /// The heaviest of a target's actions comes first; 1000 if absent.
    #[serde(default)]
    pub weight: Option<u16>,
    /// When it may be installed.
    #[serde(default)]
    pub window: Option<WindowSpec>,
    /// The device's user has to agree.
    #[serde(default)]
    pub confirm: bool,
    /// Record it as installed already, without telling the device.
    #[serde(default)]
    pub offline: bool,
}

/// A maintenance window.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WindowSpec {
    /// `second minute hour day-of-month month day-of-week [year]`.
    pub schedule: String,
    /// `HH:mm:ss`.
    pub duration: String,
    /// Such as `+02:00`.
    pub timezone: String,
}

/// What became of a deployment.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Deployed {
    /// Actions by target.
    pub assigned: BTreeMap<String, i64>,
    /// Targets that have the release assigned already.
    pub already: Vec<String>,
    /// Targets that do not exist.
    pub unknown: Vec<String>,
}

/// An action.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ActionInfo {
    /// Its number.
    pub id: i64,
    /// The target.
    pub target: String,
    /// The release.
    pub release: ReleaseRef,
    /// How much hurry there is.
    pub kind: Kind,
    /// Its weight.
    pub weight: u16,
    /// Its state.
    pub status: Status,
    /// False when it is over.
    pub active: bool,
    /// When it may be installed.
    pub window: Option<WindowSpec>,
    /// The latest number that the device reported.
    pub last_code: Option<i32>,
    /// When it was made.
    pub created: Millis,
    /// Its history, the newest first; in lists absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub history: Option<Vec<EntryInfo>>,
}

/// An entry of a history.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EntryInfo {
    /// Its kind.
    pub status: Status,
    /// The device's number.
    pub code: Option<i32>,
    /// When, by the clock of who reported.
    pub at: Millis,
    /// Texts.
    pub messages: Vec<String>,
}

/// A page of actions.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Actions {
    /// The newest first.
    pub actions: Vec<ActionInfo>,
}

/// A change of an action: to forced, nothing else.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ChangeAction {
    /// Has to be forced.
    pub kind: Kind,
}

/// An operator speaks for the device's user.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Confirm {
    /// The word.
    pub confirmation: Decision,
    /// A number for statistics.
    #[serde(default)]
    pub code: Option<i32>,
    /// Text for people.
    #[serde(default)]
    pub details: Vec<String>,
}

/// A gateway token to set.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SetToken {
    /// Of the operator's choice; one is made if absent.
    #[serde(default)]
    pub token: Option<String>,
}
