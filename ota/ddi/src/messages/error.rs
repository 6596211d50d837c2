//! The body of hawkBit's error answers.

use serde::{Deserialize, Serialize};

/// Start of the names of all quotas. Unlike a rate limit, the same request will never succeed.
const QUOTA: &str = "hawkbit.server.error.quota.";
/// Too many reports of one action, messages of one report or attributes of one target.
pub const QUOTA_ENTRIES: &str = "hawkbit.server.error.quota.tooManyEntries";

/// Why the server refused; every member may be missing.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ServerError {
    /// Class of the exception in the server.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exception_class: Option<String>,
    /// Stable name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error_code: Option<String>,
    /// Text for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
}

impl ServerError {
    /// True when the request met a quota.
    pub fn is_quota(&self) -> bool {
        self.error_code
            .as_deref()
            .is_some_and(|code| code.starts_with(QUOTA))
    }
}
