//! A server of DDI with one device and at most one action, which does as the test says.

use std::collections::BTreeMap;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::{Value, json};

/// What the poll shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shown {
    Nothing,
    Deployment(u64),
    Confirmation(u64),
    Cancel(u64),
}

pub struct Script {
    pub shown: Shown,
    /// `forced` or `attempt`
    pub mode: &'static str,
    pub files: BTreeMap<String, Vec<u8>>,
    /// Everything is answered with this status.
    pub broken: Option<u16>,
    /// Downloads of root.000 end after so many bytes, once for each number.
    pub cuts: Vec<usize>,
    /// Downloads of root.000 send nothing more after so many bytes.
    pub stall: Option<usize>,
    pub wants_attributes: bool,
    /// It confirms by itself when it is asked to.
    pub confirms: bool,
    /// `METHOD path` without the part that all have in common, and the body.
    pub log: Vec<(String, String)>,
}

#[derive(Clone)]
pub struct Server {
    pub url: String,
    script: Arc<Mutex<Script>>,
}

struct Answer {
    status: u16,
    headers: String,
    body: Vec<u8>,
    /// Bytes of the body that are sent, and whether the connection then ends.
    sent: Option<(usize, bool)>,
}

fn status(status: u16) -> Answer {
    Answer {
        status,
        headers: String::new(),
        body: Vec::new(),
        sent: None,
    }
}

fn document(value: Value) -> Answer {
    Answer {
        body: value.to_string().into_bytes(),
        ..status(200)
    }
}

const ROOT: &str = "/DEFAULT/controller/v1/van-7";

impl Server {
    pub fn start() -> Self {
        let script = Script {
            shown: Shown::Nothing,
            mode: "forced",
            files: BTreeMap::new(),
            broken: None,
            cuts: Vec::new(),
            stall: None,
            wants_attributes: false,
            confirms: false,
            log: Vec::new(),
        };
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let server = Self {
            url,
            script: Arc::new(Mutex::new(script)),
        };
        let own = server.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let (stream, server) = (stream.unwrap(), own.clone());
                std::thread::spawn(move || server.serve(stream));
            }
        });
        server
    }

    pub fn script<T>(&self, change: impl FnOnce(&mut Script) -> T) -> T {
        change(&mut self.script.lock().unwrap())
    }

    /// Bodies sent with a request that begins like this.
    pub fn sent(&self, start: &str) -> Vec<Value> {
        self.script(|script| {
            let found = script
                .log
                .iter()
                .filter(|(line, _)| line.starts_with(start));
            found
                .map(|(_, body)| serde_json::from_str(body).unwrap_or(Value::Null))
                .collect()
        })
    }

    fn serve(&self, stream: TcpStream) -> io::Result<()> {
        let mut reader = BufReader::new(stream.try_clone()?);
        let mut stream = stream;
        loop {
            let mut line = String::new();
            if reader.read_line(&mut line)? == 0 {
                return Ok(());
            }
            let mut words = line.split(' ');
            let (method, path) = (
                words.next().unwrap().to_owned(),
                words.next().unwrap().to_owned(),
            );
            let (mut length, mut range) = (0, None);
            loop {
                let mut header = String::new();
                reader.read_line(&mut header)?;
                let Some((name, value)) = header.trim_end().split_once(": ") else {
                    break;
                };
                match name.to_ascii_lowercase().as_str() {
                    "content-length" => length = value.parse().unwrap(),
                    "range" => range = Some(value.to_owned()),
                    _ => {}
                }
            }
            let mut body = vec![0; length];
            reader.read_exact(&mut body)?;
            let answer = self.answer(
                &method,
                &path,
                &String::from_utf8(body).unwrap(),
                range.as_deref(),
            );
            let head = format!(
                "HTTP/1.1 {} X\r\nContent-Length: {}\r\n{}\r\n",
                answer.status,
                answer.body.len(),
                answer.headers
            );
            stream.write_all(head.as_bytes())?;
            match answer.sent {
                None => stream.write_all(&answer.body)?,
                Some((bytes, ends)) => {
                    stream.write_all(&answer.body[..bytes.min(answer.body.len())])?;
                    if !ends {
                        std::thread::sleep(Duration::from_secs(60));
                    }
                    return Ok(());
                }
            }
        }
    }

    fn answer(&self, method: &str, path: &str, body: &str, range: Option<&str>) -> Answer {
        let path = path.split('?').next().unwrap();
        let short = path.strip_prefix(ROOT).unwrap_or(path);
        self.script(|script| {
            script
                .log
                .push((format!("{method} {short}"), body.to_owned()));
            if let Some(broken) = script.broken {
                return status(broken);
            }
            if let Some(name) = short.strip_prefix("/files/") {
                return file(script, name, range);
            }
            let deployment = || self.deployment(script);
            match (method, short.split('/').nth(1), script.shown) {
                ("GET", None, _) => document(json!({
                    "config": {"polling": {"sleep": "00:00:01"}}, "_links": self.links(script),
                })),
                ("GET", Some("deploymentBase"), Shown::Deployment(id)) => {
                    document(json!({"id": id.to_string(), "deployment": deployment()}))
                }
                ("GET", Some("confirmationBase"), Shown::Confirmation(id)) => {
                    document(json!({"id": id.to_string(), "confirmation": deployment()}))
                }
                ("GET", Some("cancelAction"), Shown::Cancel(id)) => document(
                    json!({"id": id.to_string(), "cancelAction": {"stopId": id.to_string()}}),
                ),
                ("POST", Some("deploymentBase"), Shown::Deployment(_) | Shown::Cancel(_))
                | ("POST", Some("cancelAction"), Shown::Cancel(_)) => {
                    let feedback: Value = serde_json::from_str(body).unwrap();
                    if feedback["status"]["execution"] == "closed" {
                        script.shown = Shown::Nothing;
                    }
                    status(200)
                }
                ("POST", Some("deploymentBase" | "cancelAction"), _) => status(410),
                ("POST", Some("confirmationBase"), _) if short.ends_with("activateAutoConfirm") => {
                    status(if script.confirms { 200 } else { 404 })
                }
                ("POST", Some("confirmationBase"), Shown::Confirmation(id)) => {
                    if body.contains("\"confirmed\"") {
                        script.shown = Shown::Deployment(id);
                    }
                    status(200)
                }
                ("PUT", Some("configData"), _) => {
                    script.wants_attributes = false;
                    status(200)
                }
                ("PUT", Some("installedBase"), _) => status(201),
                _ => status(404),
            }
        })
    }

    fn links(&self, script: &Script) -> Value {
        let link = |name: &str, id: u64| json!({name: {"href": format!("{}{ROOT}/{name}/{id}?c=1", self.url)}});
        let mut links = match script.shown {
            Shown::Nothing => json!({}),
            Shown::Deployment(id) => link("deploymentBase", id),
            Shown::Confirmation(id) => link("confirmationBase", id),
            Shown::Cancel(id) => link("cancelAction", id),
        };
        if script.wants_attributes {
            links["configData"] = json!({"href": "x"});
        }
        links
    }

    fn deployment(&self, script: &Script) -> Value {
        let artifacts: Vec<_> = script
            .files
            .iter()
            .map(|(name, bytes)| {
                json!({
                    "filename": name, "size": bytes.len(), "hashes": {},
                    "_links": {"download-http": {"href": format!("{}/files/{name}", self.url)}},
                })
            })
            .collect();
        json!({
            "download": script.mode, "update": script.mode,
            "chunks": [{"part": "os", "name": "bare", "version": "x", "artifacts": artifacts}],
        })
    }
}

fn file(script: &mut Script, name: &str, range: Option<&str>) -> Answer {
    let Some(bytes) = script.files.get(name) else {
        return status(404);
    };
    let size = bytes.len();
    let (first, end) = match range {
        None => (0, size),
        Some(range) => {
            let (first, last) = range
                .strip_prefix("bytes=")
                .unwrap()
                .split_once('-')
                .unwrap();
            (first.parse().unwrap(), last.parse::<usize>().unwrap() + 1)
        }
    };
    let mut answer = status(if range.is_some() { 206 } else { 200 });
    answer.headers = format!(
        "ETag: \"tag\"\r\nContent-Range: bytes {first}-{}/{size}\r\n",
        end - 1
    );
    answer.body = bytes[first..end].to_vec();
    if name == "root.000" {
        answer.sent = match (script.cuts.pop(), script.stall) {
            (Some(cut), _) => Some((cut, true)),
            (None, Some(stall)) => Some((stall, false)),
            (None, None) => None,
        };
    }
    answer
}
