//! The root document: what there is to do, and when to ask again.
//!
//! Owns: `GET /{tenant}/controller/v1/{id}`. Invariant: the link types below can only come from a poll
//! that was read, so a deployment that no poll links cannot be asked for: hawkBit answers such a GET for a
//! finished action and thereby marks the action as not finished.

use serde::{Deserialize, Serialize};

use super::action::{ActionRef, LinkError};
use super::{Link, null_is_default};

/// Answer to a poll.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Poll {
    /// When to poll again.
    #[serde(default, deserialize_with = "null_is_default")]
    pub config: PollConfig,
    /// What to do.
    #[serde(rename = "_links", default, deserialize_with = "null_is_default")]
    pub links: PollLinks,
}

/// Settings by the server.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PollConfig {
    /// About polling.
    #[serde(default, deserialize_with = "null_is_default")]
    pub polling: Polling,
}

/// The poll interval.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Polling {
    /// As written, `HH:mm:ss` or ISO-8601: see [`crate::sleep`]. A bad one must not hide the links.
    #[serde(default, deserialize_with = "null_is_default")]
    pub sleep: String,
}

/// What the server wants; at most one of the first three.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PollLinks {
    /// An action waits for a confirmation.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub confirmation_base: Option<Link>,
    /// An action is to be cancelled.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cancel_action: Option<Link>,
    /// An action is to be carried out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deployment_base: Option<Link>,
    /// The last successful action.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub installed_base: Option<Link>,
    /// The server wants the device's attributes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub config_data: Option<Link>,
}

macro_rules! linked {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq)]
        pub struct $name(ActionRef);

        impl $name {
            /// The action and its checksum.
            pub fn action(&self) -> &ActionRef {
                &self.0
            }
        }
    };
}

linked! {
    /// A deployment that the latest poll links.
    DeploymentLink
}
linked! {
    /// A cancellation that the latest poll links.
    CancelLink
}
linked! {
    /// A confirmation that the latest poll links.
    ConfirmationLink
}

impl Poll {
    /// The linked deployment.
    pub fn deployment(&self) -> Result<Option<DeploymentLink>, LinkError> {
        linked("deploymentBase", self.links.deployment_base.as_ref())
            .map(|link| link.map(DeploymentLink))
    }

    /// The linked cancellation.
    pub fn cancellation(&self) -> Result<Option<CancelLink>, LinkError> {
        linked("cancelAction", self.links.cancel_action.as_ref()).map(|link| link.map(CancelLink))
    }

    /// The action that waits for a confirmation. The link without an id, which hawkBit shows while
    /// automatic confirmation can be switched, is none.
    pub fn confirmation(&self) -> Result<Option<ConfirmationLink>, LinkError> {
        let link = self.links.confirmation_base.as_ref();
        let of_an_action = link.filter(|link| !bare(&link.href, "confirmationBase"));
        linked("confirmationBase", of_an_action).map(|link| link.map(ConfirmationLink))
    }

    /// True when the server asks for the device's attributes.
    pub fn wants_attributes(&self) -> bool {
        self.links.config_data.is_some()
    }
}

fn linked(resource: &'static str, link: Option<&Link>) -> Result<Option<ActionRef>, LinkError> {
    link.map(|link| ActionRef::of_link(resource, &link.href))
        .transpose()
}

fn bare(href: &str, resource: &str) -> bool {
    let path = href.split(['?', '#']).next().unwrap_or_default();
    path.trim_end_matches('/').rsplit('/').next() == Some(resource)
}
