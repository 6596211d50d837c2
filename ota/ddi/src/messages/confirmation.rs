//! Confirmation by the device's user, and automatic confirmation.
//!
//! Owns: the documents below `.../confirmationBase`. A denied action stays open on the server and is
//! offered again: only the operator can end it.

use serde::{Deserialize, Serialize};

use super::action::ActionId;
use super::deployment::{ActionHistory, Deployment};
use super::{Link, null_is_default};

/// `GET .../confirmationBase`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ConfirmationInfo {
    /// Whether actions are confirmed without asking.
    pub auto_confirm: AutoConfirm,
    /// Where to go.
    #[serde(rename = "_links", default, deserialize_with = "null_is_default")]
    pub links: ConfirmationLinks,
}

/// Automatic confirmation.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct AutoConfirm {
    /// Switched on.
    pub active: bool,
    /// By whom.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub initiator: Option<String>,
    /// Why.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub remark: Option<String>,
    /// When, in milliseconds since 1970.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub activated_at: Option<i64>,
}

/// Where to go from [`ConfirmationInfo`].
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ConfirmationLinks {
    /// To switch it on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub activate_auto_confirm: Option<Link>,
    /// To switch it off.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deactivate_auto_confirm: Option<Link>,
    /// The action that waits.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub confirmation_base: Option<Link>,
}

/// `GET .../confirmationBase/{id}`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ConfirmationBase {
    /// The action that waits.
    pub id: ActionId,
    /// What it would do.
    pub confirmation: Deployment,
    /// What was reported before, when asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub action_history: Option<ActionHistory>,
}

/// The user's word.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Decision {
    /// Go on.
    Confirmed,
    /// Not now.
    Denied,
}

/// `POST .../confirmationBase/{id}/feedback`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConfirmationFeedback {
    /// The user's word.
    pub confirmation: Decision,
    /// A number for statistics.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub code: Option<i32>,
    /// Text for people.
    #[serde(
        default,
        deserialize_with = "null_is_default",
        skip_serializing_if = "Vec::is_empty"
    )]
    pub details: Vec<String>,
}

/// `POST .../confirmationBase/activateAutoConfirm`; the body may be missing.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ActivateAutoConfirm {
    /// By whom.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub initiator: Option<String>,
    /// Why.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub remark: Option<String>,
}
