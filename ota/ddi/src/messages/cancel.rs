//! `GET .../cancelAction/{id}`.

use serde::{Deserialize, Serialize};

use super::action::ActionId;

/// A wish to cancel.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct CancelAction {
    /// The cancellation; feedback about it goes here.
    pub id: ActionId,
    /// What to stop.
    pub cancel_action: StopAction,
}

/// What to stop.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct StopAction {
    /// The action to stop; hawkBit's is the same as the cancellation's id.
    pub stop_id: ActionId,
}
