//! A device that says what a case wants it to say, and sees the answers as they are.

use anyhow::{Context, Result, ensure};
use reqwest::header::HeaderMap;
use reqwest::{Method, RequestBuilder};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

/// An answer.
#[derive(Debug, Clone)]
pub struct Answer {
    /// HTTP status.
    pub status: u16,
    /// Its headers.
    pub headers: HeaderMap,
    /// Its body.
    pub body: Vec<u8>,
}

impl Answer {
    /// A header as text, or nothing.
    pub fn header(&self, name: &str) -> &str {
        self.headers
            .get(name)
            .and_then(|value| value.to_str().ok())
            .unwrap_or_default()
    }

    /// The body as a document.
    pub fn json(&self) -> Result<Value> {
        self.parse()
    }

    /// The body as a document of DDI.
    pub fn parse<T: DeserializeOwned>(&self) -> Result<T> {
        ensure!(self.status == 200, "{} {}", self.status, self.text());
        serde_json::from_slice(&self.body).with_context(|| self.text())
    }

    /// The body as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// hawkBit's name of the error.
    pub fn error_code(&self) -> String {
        let body: Value = serde_json::from_slice(&self.body).unwrap_or_default();
        body["errorCode"].as_str().unwrap_or_default().to_owned()
    }
}

/// A device.
#[derive(Debug, Clone)]
pub struct Device {
    http: reqwest::Client,
    /// Scheme, host and port.
    pub server: String,
    /// Its name.
    pub id: String,
    /// Its token.
    pub token: String,
    authorization: Option<String>,
}

impl Device {
    /// With its own token.
    pub fn new(server: &str, id: &str, token: &str) -> Result<Self> {
        Ok(Device {
            http: reqwest::Client::builder()
                .tls_certs_only([])
                .no_proxy()
                .redirect(reqwest::redirect::Policy::none())
                .build()?,
            server: server.to_owned(),
            id: id.to_owned(),
            token: token.to_owned(),
            authorization: Some(format!("TargetToken {token}")),
        })
    }

    /// With another `Authorization`, or none.
    pub fn authorized(&self, authorization: Option<&str>) -> Self {
        Device {
            authorization: authorization.map(str::to_owned),
            ..self.clone()
        }
    }

    /// Through another address.
    pub fn through(&self, server: &str) -> Self {
        Device {
            server: server.to_owned(),
            ..self.clone()
        }
    }

    /// A request below the device's own address.
    pub fn request(&self, method: Method, path: &str) -> RequestBuilder {
        self.request_url(
            method,
            &format!("{}/DEFAULT/controller/v1/{}{path}", self.server, self.id),
        )
    }

    /// A request to any address.
    pub fn request_url(&self, method: Method, url: &str) -> RequestBuilder {
        let request = self.http.request(method, url);
        match &self.authorization {
            Some(text) => request.header("authorization", text),
            None => request,
        }
    }

    /// Sends a request.
    pub async fn send(&self, request: RequestBuilder) -> Result<Answer> {
        let answer = request.send().await?;
        let (status, headers) = (answer.status().as_u16(), answer.headers().clone());
        Ok(Answer {
            status,
            headers,
            body: answer.bytes().await?.to_vec(),
        })
    }

    /// GET.
    pub async fn get(&self, path: &str) -> Result<Answer> {
        self.send(self.request(Method::GET, path)).await
    }

    /// GET with headers.
    pub async fn get_with(&self, path: &str, headers: &[(&str, &str)]) -> Result<Answer> {
        let request = headers
            .iter()
            .fold(self.request(Method::GET, path), |r, (name, value)| {
                r.header(*name, *value)
            });
        self.send(request).await
    }

    /// POST of a document: HTTP status.
    pub async fn post(&self, path: &str, body: &Value) -> Result<Answer> {
        self.send(self.request(Method::POST, path).json(body)).await
    }

    /// PUT of a document.
    pub async fn put(&self, path: &str, body: &Value) -> Result<Answer> {
        self.send(self.request(Method::PUT, path).json(body)).await
    }

    /// The links of a poll.
    pub async fn links(&self) -> Result<Value> {
        Ok(self.get("").await?.json()?["_links"].clone())
    }

    /// The one link of a poll that says what to do: resource and address.
    pub async fn task(&self) -> Result<Option<(String, String)>> {
        let links = self.links().await?;
        let names = ["deploymentBase", "cancelAction", "confirmationBase"];
        let found: Vec<_> = names
            .iter()
            .filter(|name| links[**name].is_object())
            .collect();
        ensure!(found.len() <= 1, "more than one of {names:?}: {links}");
        let href = |name: &str| links[name]["href"].as_str().unwrap_or_default().to_owned();
        Ok(found.first().map(|name| ((**name).to_owned(), href(name))))
    }

    /// The resource of [`Device::task`] alone, or nothing.
    pub async fn task_name(&self) -> Result<String> {
        Ok(self.task().await?.map(|(name, _)| name).unwrap_or_default())
    }

    /// The `deployment` of an action.
    pub async fn deployment(&self, action: u64) -> Result<Value> {
        Ok(self
            .get(&format!("/deploymentBase/{action}"))
            .await?
            .json()?["deployment"]
            .clone())
    }

    /// Feedback about a deployment: HTTP status.
    pub async fn report(
        &self,
        action: u64,
        execution: &str,
        finished: &str,
        details: &[&str],
    ) -> Result<u16> {
        let body = feedback(execution, finished, details);
        Ok(self
            .post(&format!("/deploymentBase/{action}/feedback"), &body)
            .await?
            .status)
    }

    /// Feedback about a cancellation: HTTP status.
    pub async fn report_cancel(&self, action: u64, execution: &str, finished: &str) -> Result<u16> {
        let body = feedback(execution, finished, &[]);
        Ok(self
            .post(&format!("/cancelAction/{action}/feedback"), &body)
            .await?
            .status)
    }
}

/// Feedback as DDI has it.
pub fn feedback(execution: &str, finished: &str, details: &[&str]) -> Value {
    json!({"status": {"execution": execution, "result": {"finished": finished}, "details": details}})
}
