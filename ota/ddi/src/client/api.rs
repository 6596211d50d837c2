//! The calls of DDI v1.
//!
//! Owns: which resource, method and body each call has, and conditional polling. Never does: decide.
//! Invariant: a deployment can only be asked for with a link from a poll.

use reqwest::header::{CONTENT_TYPE, ETAG, HeaderValue, IF_NONE_MATCH};
use reqwest::{Method, StatusCode};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::Client;
use super::address::shown;
use super::error::ClientError;
use super::http::{Parts, accept_json};
use crate::messages::{
    self, ActionId, ActivateAutoConfirm, Artifact, CancelAction, CancelLink, ConfigData,
    ConfirmationBase, ConfirmationFeedback, ConfirmationInfo, ConfirmationLink, DeploymentBase,
    DeploymentLink, Feedback, InstalledBase, MessageError, Poll,
};

/// Longer entity tags are not kept.
const LONGEST_TAG: usize = 256;
/// hawkBit gives at most this many messages of an action's history.
const MOST_HISTORY: u32 = 100;

/// The last poll that was answered with 200.
#[derive(Debug)]
pub(super) struct Known {
    tag: HeaderValue,
    poll: Poll,
}

/// The answer to a poll.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Polled {
    /// What the server wants.
    pub poll: Poll,
    /// True when the server said 304: it is what it was.
    pub unchanged: bool,
}

/// Where feedback goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Channel {
    /// About carrying out an action.
    Deployment,
    /// About cancelling it.
    Cancellation,
}

impl Channel {
    fn resource(self) -> &'static str {
        match self {
            Self::Deployment => "deploymentBase",
            Self::Cancellation => "cancelAction",
        }
    }
}

/// What `PUT installedBase` did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Assigned {
    /// The server knows it now.
    Newly,
    /// The server knew it already.
    Already,
}

impl Client {
    /// Asks what there is to do. Registers the device where the server allows that.
    pub async fn poll(&self) -> Result<Polled, ClientError> {
        let url = self.http.base.resource(&[]);
        let mut known = self.known.lock().await;
        let mut parts = Parts::default();
        accept_json(&mut parts.headers);
        if let Some(known) = known.as_ref() {
            parts.headers.insert(IF_NONE_MATCH, known.tag.clone());
        }
        let (answer, body) = self.http.call(Method::GET, &url, parts).await?;
        if answer.response.status() == StatusCode::NOT_MODIFIED {
            return match known.as_ref() {
                Some(known) => Ok(Polled {
                    poll: known.poll.clone(),
                    unchanged: true,
                }),
                // We asked for no condition; reading the empty body says so.
                None => parse("poll", &shown(&url), &body).map(|poll| Polled {
                    poll,
                    unchanged: false,
                }),
            };
        }
        // Whatever comes now, the old tag must not hide it at the next poll.
        *known = None;
        let poll: Poll = parse("poll", &shown(&url), &body)?;
        let tag = answer.response.headers().get(ETAG);
        *known = tag.filter(|tag| tag.len() <= LONGEST_TAG).map(|tag| Known {
            tag: tag.clone(),
            poll: poll.clone(),
        });
        Ok(Polled {
            poll,
            unchanged: false,
        })
    }

    /// Reads the linked deployment, with up to `history` earlier messages.
    pub async fn deployment(
        &self,
        link: &DeploymentLink,
        history: u32,
    ) -> Result<DeploymentBase, ClientError> {
        let action = link.action();
        self.get_action(
            "deploymentBase",
            &action.id,
            action.checksum.as_deref(),
            history,
        )
        .await
    }

    /// Reads the linked cancellation.
    pub async fn cancellation(&self, link: &CancelLink) -> Result<CancelAction, ClientError> {
        self.get("cancelAction", &["cancelAction", link.action().id.as_str()])
            .await
    }

    /// Reads the linked action that waits for a confirmation.
    pub async fn confirmation(
        &self,
        link: &ConfirmationLink,
        history: u32,
    ) -> Result<ConfirmationBase, ClientError> {
        let action = link.action();
        self.get_action(
            "confirmationBase",
            &action.id,
            action.checksum.as_deref(),
            history,
        )
        .await
    }

    /// Reads the last successful action.
    pub async fn installed(
        &self,
        id: &ActionId,
        history: u32,
    ) -> Result<DeploymentBase, ClientError> {
        self.get_action("installedBase", id, None, history).await
    }

    /// Lists the artifacts of a software module.
    pub async fn artifacts(&self, module: u64) -> Result<Vec<Artifact>, ClientError> {
        let path = ["softwaremodules", &module.to_string(), "artifacts"];
        let url = self.http.base.resource(&path);
        let body = self.read(&url).await?;
        messages::read_list("artifacts", &body).map_err(|source| ClientError::Document {
            url: shown(&url),
            source,
        })
    }

    /// Reports about an action.
    pub async fn report(
        &self,
        channel: Channel,
        id: &ActionId,
        feedback: &Feedback,
    ) -> Result<(), ClientError> {
        let path = [channel.resource(), id.as_str(), "feedback"];
        self.write(Method::POST, &path, Some(feedback))
            .await
            .map(drop)
    }

    /// Passes on the user's word about an action.
    pub async fn confirm(
        &self,
        id: &ActionId,
        word: &ConfirmationFeedback,
    ) -> Result<(), ClientError> {
        let path = ["confirmationBase", id.as_str(), "feedback"];
        self.write(Method::POST, &path, Some(word)).await.map(drop)
    }

    /// Reads whether actions are confirmed automatically.
    pub async fn auto_confirm(&self) -> Result<ConfirmationInfo, ClientError> {
        self.get("confirmationBase", &["confirmationBase"]).await
    }

    /// Switches automatic confirmation on; 409 when it is.
    pub async fn activate_auto_confirm(
        &self,
        who: &ActivateAutoConfirm,
    ) -> Result<(), ClientError> {
        let path = ["confirmationBase", "activateAutoConfirm"];
        self.write(Method::POST, &path, Some(who)).await.map(drop)
    }

    /// Switches automatic confirmation off.
    pub async fn deactivate_auto_confirm(&self) -> Result<(), ClientError> {
        let path = ["confirmationBase", "deactivateAutoConfirm"];
        self.write::<()>(Method::POST, &path, None).await.map(drop)
    }

    /// Tells the device's attributes.
    pub async fn put_attributes(&self, data: &ConfigData) -> Result<(), ClientError> {
        self.write(Method::PUT, &["configData"], Some(data))
            .await
            .map(drop)
    }

    /// Tells what was installed without an action.
    pub async fn put_installed(&self, installed: &InstalledBase) -> Result<Assigned, ClientError> {
        let status = self
            .write(Method::PUT, &["installedBase"], Some(installed))
            .await?;
        Ok(match status {
            StatusCode::CREATED => Assigned::Newly,
            _ => Assigned::Already,
        })
    }

    async fn get_action<T: DeserializeOwned>(
        &self,
        resource: &'static str,
        id: &ActionId,
        checksum: Option<&str>,
        history: u32,
    ) -> Result<T, ClientError> {
        let mut url = self.http.base.resource(&[resource, id.as_str()]);
        if let Some(checksum) = checksum {
            url.query_pairs_mut().append_pair("c", checksum);
        }
        if history > 0 {
            let history = history.min(MOST_HISTORY).to_string();
            url.query_pairs_mut().append_pair("actionHistory", &history);
        }
        self.get_url(resource, url).await
    }

    async fn get<T: DeserializeOwned>(
        &self,
        what: &'static str,
        path: &[&str],
    ) -> Result<T, ClientError> {
        self.get_url(what, self.http.base.resource(path)).await
    }

    async fn get_url<T: DeserializeOwned>(
        &self,
        what: &'static str,
        url: reqwest::Url,
    ) -> Result<T, ClientError> {
        parse(what, &shown(&url), &self.read(&url).await?)
    }

    async fn read(&self, url: &reqwest::Url) -> Result<Vec<u8>, ClientError> {
        let mut parts = Parts::default();
        accept_json(&mut parts.headers);
        let (_, body) = self.http.call(Method::GET, url, parts).await?;
        Ok(body)
    }

    async fn write<T: Serialize>(
        &self,
        method: Method,
        path: &[&str],
        body: Option<&T>,
    ) -> Result<StatusCode, ClientError> {
        let url = self.http.base.resource(path);
        let mut parts = Parts::default();
        accept_json(&mut parts.headers);
        if let Some(body) = body {
            let bytes = serde_json::to_vec(body).map_err(|source| ClientError::Document {
                url: shown(&url),
                source: MessageError::Shape {
                    what: "our own document",
                    source,
                },
            })?;
            parts
                .headers
                .insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
            parts.body = Some(bytes);
        }
        let (answer, _) = self.http.call(method, &url, parts).await?;
        Ok(answer.response.status())
    }
}

fn parse<T: DeserializeOwned>(
    what: &'static str,
    url: &str,
    body: &[u8],
) -> Result<T, ClientError> {
    messages::read(what, body).map_err(|source| ClientError::Document {
        url: url.to_owned(),
        source,
    })
}
