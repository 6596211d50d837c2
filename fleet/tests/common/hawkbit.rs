//! Real hawkBit: starting it, and its management API.
//!
//! Owns: the process (killed with everything it made when dropped) and the calls that tests need: targets, releases as
//! one software module or several, deployments, actions. The program comes from `fleet/hawkbit/run`.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

/// Of every tenant; as `fleet/hawkbit/run` sets it.
pub const GATEWAY_TOKEN: &str = "GWTOKEN-FOR-TESTS";
/// A loaded machine needs minutes to start it.
const START: Duration = Duration::from_secs(330);

/// Why hawkBit cannot run here.
#[derive(Debug)]
pub struct Absent(pub String);

/// A running hawkBit.
pub struct Hawkbit {
    http: reqwest::Client,
    url: String,
    port: u16,
    state: tempfile::TempDir,
    properties: Vec<String>,
    process: Option<Child>,
    // hawkBit keeps a file under its SHA-1, and looks for it before it moves it there: of two that upload the same bytes
    // at once, one may get a 500.
    uploads: tokio::sync::Mutex<()>,
}

/// A software module to upload.
pub struct Module<'a> {
    /// Its type: `os`, `application`.
    pub part: &'a str,
    /// Its name.
    pub name: &'a str,
    /// Its version.
    pub version: &'a str,
    /// Its files.
    pub files: &'a [(String, Vec<u8>)],
    /// What devices are told beside.
    pub metadata: &'a BTreeMap<String, String>,
}

/// A distribution set with its modules.
#[derive(Debug, Clone)]
pub struct Set {
    /// Its number.
    pub id: u64,
    /// Numbers of its modules.
    pub modules: Vec<u64>,
}

impl Hawkbit {
    /// Starts it on a free port with its state in a directory that vanishes. `properties` are Java's.
    pub async fn start(properties: &[&str]) -> Result<std::result::Result<Self, Absent>> {
        let probe = std::net::TcpListener::bind("127.0.0.1:0")?;
        let port = probe.local_addr()?.port();
        drop(probe);
        let mut hawkbit = Hawkbit {
            http: reqwest::Client::builder()
                .tls_certs_only([])
                .no_proxy()
                .build()?,
            url: format!("http://127.0.0.1:{port}"),
            port,
            state: tempfile::tempdir()?,
            properties: properties.iter().map(|&one| one.to_owned()).collect(),
            process: None,
            uploads: tokio::sync::Mutex::default(),
        };
        Ok(match hawkbit.spawn().await? {
            None => Ok(hawkbit),
            Some(why) => Err(Absent(why)),
        })
    }

    /// Where devices and operators call.
    pub fn url(&self) -> &str {
        &self.url
    }

    async fn spawn(&mut self) -> Result<Option<String>> {
        let log = self.state.path().join("log");
        let out = std::fs::File::create(&log)?;
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("hawkbit/run");
        let mut child = Command::new(script)
            .arg(self.port.to_string())
            .arg(self.state.path())
            .arg("--")
            .args(&self.properties)
            .stdin(Stdio::null())
            .stdout(out.try_clone()?)
            .stderr(out)
            .spawn()?;
        let deadline = Instant::now() + START;
        loop {
            let said = std::fs::read_to_string(&log).unwrap_or_default();
            if let Some(status) = child.try_wait()? {
                if status.code() == Some(3) {
                    return Ok(Some(
                        said.lines().last().unwrap_or("it said nothing").to_owned(),
                    ));
                }
                bail!("hawkBit did not start: {}", tail(&said));
            }
            if said.lines().any(|line| line.starts_with("ready ")) {
                self.process = Some(child);
                return Ok(None);
            }
            if Instant::now() > deadline {
                stop(&mut child);
                bail!("hawkBit was not ready in time: {}", tail(&said));
            }
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    }

    /// Stops it and starts it again with the same state, on the same port.
    pub async fn restart(&mut self) -> Result<()> {
        if let Some(mut child) = self.process.take() {
            stop(&mut child);
        }
        match self.spawn().await? {
            None => Ok(()),
            Some(why) => bail!("hawkBit did not start again: {why}"),
        }
    }

    async fn call(
        &self,
        method: Method,
        path: &str,
        body: Option<&Value>,
    ) -> Result<(StatusCode, Value)> {
        let mut request = self
            .http
            .request(method, format!("{}/rest/v1{path}", self.url))
            .basic_auth("admin", Some("admin"));
        if let Some(body) = body {
            request = request.json(body);
        }
        let answer = request.send().await?;
        let (status, text) = (answer.status(), answer.text().await?);
        Ok((status, serde_json::from_str(&text).unwrap_or(Value::Null)))
    }

    async fn good(&self, method: Method, path: &str, body: Option<&Value>) -> Result<Value> {
        let (status, answer) = self.call(method.clone(), path, body).await?;
        ensure!(status.is_success(), "{method} {path}: {status} {answer}");
        Ok(answer)
    }

    /// Sets a key of the tenant.
    pub async fn configure(&self, key: &str, value: &Value) -> Result<()> {
        self.good(
            Method::PUT,
            &format!("/system/configs/{key}"),
            Some(&json!({ "value": value })),
        )
        .await
        .map(drop)
    }

    /// Adds a target.
    pub async fn add_target(&self, id: &str, token: &str) -> Result<()> {
        let name: String = id.chars().take(128).collect();
        let body = json!([{"controllerId": id, "name": name, "securityToken": token}]);
        self.good(Method::POST, "/targets", Some(&body))
            .await
            .map(drop)
    }

    /// Uploads modules and makes a distribution set of them.
    pub async fn add_set(&self, name: &str, version: &str, modules: &[Module<'_>]) -> Result<Set> {
        let mut ids = Vec::new();
        for module in modules {
            let body =
                json!([{"name": module.name, "version": module.version, "type": module.part}]);
            let made = self
                .good(Method::POST, "/softwaremodules", Some(&body))
                .await?;
            let id = made[0]["id"].as_u64().context("a module without id")?;
            for (file, bytes) in module.files {
                let (status, answer) = self.upload(id, file, bytes).await?;
                ensure!(
                    status == StatusCode::CREATED,
                    "upload of {file}: {status} {answer}"
                );
            }
            for (key, value) in module.metadata {
                let body = json!([{"key": key, "value": value, "targetVisible": true}]);
                self.good(
                    Method::POST,
                    &format!("/softwaremodules/{id}/metadata"),
                    Some(&body),
                )
                .await?;
            }
            ids.push(id);
        }
        let kind = if modules.iter().any(|m| m.part != "os") {
            "os_app"
        } else {
            "os"
        };
        let listed: Vec<Value> = ids.iter().map(|id| json!({ "id": id })).collect();
        let body = json!([{"name": name, "version": version, "type": kind, "modules": listed}]);
        let made = self
            .good(Method::POST, "/distributionsets", Some(&body))
            .await?;
        Ok(Set {
            id: made[0]["id"].as_u64().context("a set without id")?,
            modules: ids,
        })
    }

    /// Uploads one file, as `multipart/form-data` (RFC 7578).
    pub async fn upload(
        &self,
        module: u64,
        name: &str,
        bytes: &[u8],
    ) -> Result<(StatusCode, String)> {
        let boundary = "fleet-tests-boundary-6f1c0a";
        let mut body = format!(
            "--{boundary}\r\nContent-Disposition: form-data; name=\"file\"; filename=\"{name}\"\r\n\
             Content-Type: application/octet-stream\r\n\r\n"
        )
        .into_bytes();
        body.extend_from_slice(bytes);
        body.extend_from_slice(format!("\r\n--{boundary}--\r\n").as_bytes());
        let _alone = self.uploads.lock().await;
        let answer = self
            .http
            .post(format!(
                "{}/rest/v1/softwaremodules/{module}/artifacts",
                self.url
            ))
            .basic_auth("admin", Some("admin"))
            .header(
                "content-type",
                format!("multipart/form-data; boundary={boundary}"),
            )
            .body(body)
            .send()
            .await?;
        Ok((answer.status(), answer.text().await?))
    }

    /// Assigns a set. None: the target has it assigned already. `options` are hawkBit's members of an assignment.
    pub async fn assign(
        &self,
        set: u64,
        target: &str,
        options: &Value,
    ) -> Result<(StatusCode, Option<u64>)> {
        let mut body = options.clone();
        body["id"] = json!(target);
        let path = format!("/distributionsets/{set}/assignedTargets");
        let (status, answer) = self.call(Method::POST, &path, Some(&json!([body]))).await?;
        Ok((status, answer["assignedActions"][0]["id"].as_u64()))
    }

    /// Asks the device to give an action up, or ends it by force.
    pub async fn cancel(&self, target: &str, action: u64, force: bool) -> Result<StatusCode> {
        let path = format!("/targets/{target}/actions/{action}?force={force}");
        Ok(self.call(Method::DELETE, &path, None).await?.0)
    }

    /// Makes an action forced.
    pub async fn force(&self, target: &str, action: u64) -> Result<()> {
        let path = format!("/targets/{target}/actions/{action}");
        self.good(Method::PUT, &path, Some(&json!({"forceType": "forced"})))
            .await
            .map(drop)
    }

    /// Speaks for the device's user.
    pub async fn confirm(&self, target: &str, action: u64, word: &str) -> Result<StatusCode> {
        let path = format!("/targets/{target}/actions/{action}/confirmation");
        Ok(self
            .call(Method::PUT, &path, Some(&json!({ "confirmation": word })))
            .await?
            .0)
    }

    /// An action.
    pub async fn action(&self, target: &str, action: u64) -> Result<Value> {
        self.good(
            Method::GET,
            &format!("/targets/{target}/actions/{action}"),
            None,
        )
        .await
    }

    /// Its history, the newest first.
    pub async fn entries(&self, target: &str, action: u64) -> Result<Vec<Value>> {
        let path =
            format!("/targets/{target}/actions/{action}/status?offset=0&limit=500&sort=id:DESC");
        let answer = self.good(Method::GET, &path, None).await?;
        Ok(answer["content"].as_array().cloned().unwrap_or_default())
    }

    /// Something below a target; null where there is none.
    pub async fn of_target(&self, target: &str, what: &str) -> Result<Value> {
        self.good(Method::GET, &format!("/targets/{target}{what}"), None)
            .await
    }
}

impl Drop for Hawkbit {
    fn drop(&mut self) {
        if let Some(mut child) = self.process.take() {
            stop(&mut child);
        }
    }
}

/// The script passes the signal on to Java and waits for it.
fn stop(child: &mut Child) {
    drop(Command::new("kill").arg(child.id().to_string()).status());
    let deadline = Instant::now() + Duration::from_secs(30);
    while Instant::now() < deadline {
        match child.try_wait() {
            Ok(None) => std::thread::sleep(Duration::from_millis(50)),
            _ => return,
        }
    }
    drop(child.kill());
    drop(child.wait());
}

fn tail(text: &str) -> String {
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(12)..].join("\n")
}
