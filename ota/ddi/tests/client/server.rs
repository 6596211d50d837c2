//! A server that does exactly what a test says, down to the bytes and the pauses.
//!
//! Owns: one listening socket on the loopback address, with or without TLS. A handler turns each request
//! into acts; requests are kept for the test to look at.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig, ServerConnection, StreamOwned};

/// One step of an answer.
#[derive(Clone)]
pub enum Act {
    /// Bytes, at once.
    Send(Vec<u8>),
    /// Bytes, one by one, with a pause after each.
    Trickle(Vec<u8>, Duration),
    /// Nothing for a while.
    Pause(Duration),
    /// The end of the connection.
    Close,
}

/// A request as it arrived.
#[derive(Debug, Clone)]
pub struct Request {
    pub method: String,
    pub target: String,
    headers: Vec<(String, String)>,
    pub body: Vec<u8>,
}

impl Request {
    pub fn header(&self, name: &str) -> Option<&str> {
        let mut found = self
            .headers
            .iter()
            .filter(|(key, _)| key == name)
            .map(|(_, value)| value.as_str());
        let first = found.next();
        assert!(found.next().is_none(), "{name} twice in {self:?}");
        first
    }
}

type Handler = Arc<Mutex<dyn FnMut(&Request) -> Vec<Act> + Send>>;

pub struct Server {
    pub address: SocketAddr,
    scheme: &'static str,
    requests: Arc<Mutex<Vec<Request>>>,
    connections: Arc<AtomicUsize>,
}

impl Server {
    pub fn start(handler: impl FnMut(&Request) -> Vec<Act> + Send + 'static) -> Self {
        Self::run(None, handler)
    }

    /// With a certificate of tests/data; `clients` asks for one of the device.
    pub fn tls(
        name: &str,
        clients: bool,
        handler: impl FnMut(&Request) -> Vec<Act> + Send + 'static,
    ) -> Self {
        Self::run(Some(Arc::new(tls_config(name, clients))), handler)
    }

    fn run(
        tls: Option<Arc<ServerConfig>>,
        handler: impl FnMut(&Request) -> Vec<Act> + Send + 'static,
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let requests = Arc::new(Mutex::new(Vec::new()));
        let connections = Arc::new(AtomicUsize::new(0));
        let counter = connections.clone();
        let scheme = if tls.is_some() { "https" } else { "http" };
        let (log, handler): (_, Handler) = (requests.clone(), Arc::new(Mutex::new(handler)));
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let Ok(stream) = stream else { return };
                counter.fetch_add(1, Ordering::Relaxed);
                let (log, handler, tls) = (log.clone(), handler.clone(), tls.clone());
                std::thread::spawn(move || match tls {
                    None => serve(stream, &log, &handler),
                    Some(config) => {
                        let connection = ServerConnection::new(config).unwrap();
                        serve(StreamOwned::new(connection, stream), &log, &handler)
                    }
                });
            }
        });
        Self {
            address,
            scheme,
            requests,
            connections,
        }
    }

    pub fn connections(&self) -> usize {
        self.connections.load(Ordering::Relaxed)
    }

    pub fn url(&self) -> String {
        format!("{}://{}", self.scheme, self.address)
    }

    pub fn requests(&self) -> Vec<Request> {
        self.requests.lock().unwrap().clone()
    }
}

fn tls_config(name: &str, clients: bool) -> ServerConfig {
    let pem = super::data(&format!("{name}.pem"));
    let chain = CertificateDer::pem_slice_iter(&pem)
        .collect::<Result<_, _>>()
        .unwrap();
    let key = PrivateKeyDer::from_pem_slice(&pem).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ServerConfig::builder_with_provider(provider.clone())
        .with_safe_default_protocol_versions()
        .unwrap();
    let builder = if clients {
        let mut roots = RootCertStore::empty();
        roots
            .add(CertificateDer::from_pem_slice(&super::data("ca.pem")).unwrap())
            .unwrap();
        let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider)
            .build()
            .unwrap();
        builder.with_client_cert_verifier(verifier)
    } else {
        builder.with_no_client_auth()
    };
    builder.with_single_cert(chain, key).unwrap()
}

fn serve(mut stream: impl Read + Write, log: &Mutex<Vec<Request>>, handler: &Handler) {
    while let Ok(Some(request)) = read_request(&mut stream) {
        log.lock().unwrap().push(request.clone());
        let acts = handler.lock().unwrap()(&request);
        for act in acts {
            let done = match act {
                Act::Send(bytes) => stream.write_all(&bytes).and_then(|()| stream.flush()),
                Act::Trickle(bytes, pause) => bytes.iter().try_for_each(|byte| {
                    std::thread::sleep(pause);
                    stream.write_all(&[*byte]).and_then(|()| stream.flush())
                }),
                Act::Pause(time) => {
                    std::thread::sleep(time);
                    Ok(())
                }
                Act::Close => return,
            };
            if done.is_err() {
                return;
            }
        }
    }
}

fn read_request(stream: &mut impl Read) -> io::Result<Option<Request>> {
    let mut head = Vec::new();
    let mut byte = [0];
    while !head.ends_with(b"\r\n\r\n") {
        if stream.read(&mut byte)? == 0 {
            return Ok(None);
        }
        head.push(byte[0]);
    }
    let text = String::from_utf8(head).unwrap();
    let mut lines = text.split("\r\n");
    let mut first = lines.next().unwrap().split(' ');
    let (method, target) = (
        first.next().unwrap().to_owned(),
        first.next().unwrap().to_owned(),
    );
    let headers: Vec<_> = lines
        .filter_map(|line| line.split_once(": "))
        .map(|(name, value)| (name.to_ascii_lowercase(), value.to_owned()))
        .collect();
    let mut request = Request {
        method,
        target,
        headers,
        body: Vec::new(),
    };
    let length = request
        .header("content-length")
        .map_or(0, |length| length.parse().unwrap());
    request.body = vec![0; length];
    stream.read_exact(&mut request.body)?;
    Ok(Some(request))
}

/// An answer with a correct length.
pub fn reply(status: &str, headers: &[(&str, &str)], body: &[u8]) -> Vec<Act> {
    vec![Act::Send(
        [head(status, headers, Some(body.len())), body.to_vec()].concat(),
    )]
}

pub fn json(body: serde_json::Value) -> Vec<Act> {
    reply(
        "200 OK",
        &[("Content-Type", "application/hal+json")],
        body.to_string().as_bytes(),
    )
}

/// Status line and headers alone.
pub fn head(status: &str, headers: &[(&str, &str)], length: Option<usize>) -> Vec<u8> {
    let mut text = format!("HTTP/1.1 {status}\r\n");
    for (name, value) in headers {
        text += &format!("{name}: {value}\r\n");
    }
    if let Some(length) = length {
        text += &format!("Content-Length: {length}\r\n");
    }
    (text + "\r\n").into_bytes()
}

/// A correct server of one file: ranges, If-Range, 416.
pub fn file(request: &Request, bytes: &[u8], tag: &str) -> Vec<Act> {
    let size = bytes.len();
    let fresh = request
        .header("if-range")
        .is_none_or(|condition| condition == tag);
    let Some(range) = request.header("range").filter(|_| fresh) else {
        return reply(
            "200 OK",
            &[("ETag", tag), ("Accept-Ranges", "bytes")],
            bytes,
        );
    };
    let (first, last) = range
        .strip_prefix("bytes=")
        .unwrap()
        .split_once('-')
        .unwrap();
    let (first, last): (usize, usize) = (first.parse().unwrap(), last.parse().unwrap());
    if first >= size {
        return reply(
            "416 Range Not Satisfiable",
            &[("Content-Range", &format!("bytes */{size}"))],
            b"",
        );
    }
    let last = last.min(size - 1);
    let range = format!("bytes {first}-{last}/{size}");
    reply(
        "206 Partial Content",
        &[("ETag", tag), ("Content-Range", &range)],
        &bytes[first..=last],
    )
}
