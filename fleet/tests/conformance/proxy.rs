//! A proxy that misbehaves as told, between a device and a server.
//!
//! Owns: HTTP/1.1, one exchange per connection. Links in answers lead back through it, because it passes on the `Host`
//! that the device used. It remembers what it saw, for questions such as who was shown a token.

use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use anyhow::Result;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

/// A request as it came.
#[derive(Debug, Clone)]
pub struct Seen {
    /// First line and headers.
    pub head: String,
}

impl Seen {
    /// Path and query.
    pub fn path(&self) -> &str {
        self.head.split(' ').nth(1).unwrap_or_default()
    }

    /// A header.
    pub fn header(&self, name: &str) -> Option<&str> {
        header(&self.head, name)
    }

    /// True for an artifact's bytes.
    pub fn is_download(&self) -> bool {
        self.path().contains("/artifacts/")
    }
}

fn header<'a>(head: &'a str, name: &str) -> Option<&'a str> {
    head.lines().skip(1).find_map(|line| {
        let (key, value) = line.split_once(':')?;
        key.eq_ignore_ascii_case(name).then(|| value.trim())
    })
}

/// What to do with one exchange.
#[derive(Debug, Clone)]
pub enum Act {
    /// Nothing.
    Pass,
    /// Pass it on with headers added to the request.
    Add(Vec<(String, String)>),
    /// Pass on so many bytes of the body in a second.
    Rate(u64),
    /// Close the connection after so many bytes of the body.
    Cut(u64),
    /// Say nothing more after so many bytes of the body.
    Stall(u64),
    /// Add this to the announced length; the body stays.
    WrongLength(i64),
    /// Take the `Range` header out of the request.
    NoRanges,
    /// Answer this instead of asking the server.
    Instead(Vec<u8>),
    /// Do as told, and lose the server's answer.
    LoseAnswer,
}

/// An answer made up by the proxy.
pub fn made_up(status: &str, headers: &[(&str, &str)], body: &[u8]) -> Act {
    let mut answer = format!(
        "HTTP/1.1 {status}\r\nContent-Length: {}\r\nConnection: close\r\n",
        body.len()
    );
    for (name, value) in headers {
        answer += &format!("{name}: {value}\r\n");
    }
    let mut answer = (answer + "\r\n").into_bytes();
    answer.extend_from_slice(body);
    Act::Instead(answer)
}

type Rule = dyn Fn(&Seen, usize) -> Act + Send + Sync;

/// A running proxy; stops when dropped.
pub struct Proxy {
    address: SocketAddr,
    seen: Arc<Mutex<Vec<Seen>>>,
    task: JoinHandle<()>,
}

impl Proxy {
    /// Starts one. `rule` is asked about every request, with its number from 0.
    pub async fn start(
        upstream: &str,
        rule: impl Fn(&Seen, usize) -> Act + Send + Sync + 'static,
    ) -> Result<Self> {
        let upstream: SocketAddr = upstream.trim_start_matches("http://").parse()?;
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let seen = Arc::new(Mutex::new(Vec::new()));
        let (rule, memory): (Arc<Rule>, _) = (Arc::new(rule), Arc::clone(&seen));
        let task = tokio::spawn(async move {
            // Exchanges end with the proxy.
            let mut exchanges = tokio::task::JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                let (rule, memory) = (Arc::clone(&rule), Arc::clone(&memory));
                exchanges
                    .spawn(async move { drop(exchange(stream, upstream, &*rule, &memory).await) });
            }
        });
        Ok(Proxy {
            address,
            seen,
            task,
        })
    }

    /// Where it listens.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// What it saw so far.
    pub fn seen(&self) -> Vec<Seen> {
        self.seen
            .lock()
            .map(|seen| seen.clone())
            .unwrap_or_default()
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn read_head(stream: &mut TcpStream) -> io::Result<(String, Vec<u8>)> {
    let mut bytes = Vec::new();
    let mut piece = [0; 4096];
    loop {
        let count = stream.read(&mut piece).await?;
        if count == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        bytes.extend_from_slice(&piece[..count]);
        if let Some(end) = bytes.windows(4).position(|four| four == b"\r\n\r\n") {
            let rest = bytes.split_off(end + 4);
            return Ok((String::from_utf8_lossy(&bytes).into_owned(), rest));
        }
    }
}

fn without(head: &str, names: &[&str]) -> String {
    let keep = |line: &&str| {
        let key = line.split(':').next().unwrap_or_default();
        !names.iter().any(|name| key.eq_ignore_ascii_case(name))
    };
    head.trim_end()
        .split("\r\n")
        .filter(keep)
        .collect::<Vec<_>>()
        .join("\r\n")
}

async fn exchange(
    mut device: TcpStream,
    upstream: SocketAddr,
    rule: &Rule,
    memory: &Mutex<Vec<Seen>>,
) -> io::Result<()> {
    let (head, mut body) = read_head(&mut device).await?;
    let length: usize = header(&head, "content-length")
        .and_then(|text| text.parse().ok())
        .unwrap_or(0);
    while body.len() < length {
        let mut piece = [0; 4096];
        match device.read(&mut piece).await? {
            0 => return Ok(()),
            count => body.extend_from_slice(&piece[..count]),
        }
    }
    let seen = Seen { head };
    let number = {
        let mut all = memory.lock().map_err(|_| io::ErrorKind::Other)?;
        all.push(seen.clone());
        all.len() - 1
    };
    let act = rule(&seen, number);
    if let Act::Instead(answer) = &act {
        device.write_all(answer).await?;
        return device.shutdown().await;
    }
    let mut request = without(
        &seen.head,
        &[
            "connection",
            if matches!(act, Act::NoRanges) {
                "range"
            } else {
                "connection"
            },
        ],
    );
    request += "\r\nConnection: close";
    if let Act::Add(headers) = &act {
        for (name, value) in headers {
            request += &format!("\r\n{name}: {value}");
        }
    }
    let mut server = TcpStream::connect(upstream).await?;
    server.write_all((request + "\r\n\r\n").as_bytes()).await?;
    server.write_all(&body).await?;
    let (head, start) = read_head(&mut server).await?;
    if matches!(act, Act::LoseAnswer) {
        return Ok(());
    }
    let mut answer = without(&head, &["connection"]);
    if let Act::WrongLength(by) = act {
        let length: i64 = header(&head, "content-length")
            .and_then(|text| text.parse().ok())
            .unwrap_or(0);
        answer =
            without(&answer, &["content-length"]) + &format!("\r\nContent-Length: {}", length + by);
    }
    device
        .write_all((answer + "\r\nConnection: close\r\n\r\n").as_bytes())
        .await?;
    pass_body(&mut server, &mut device, start, &act).await?;
    device.shutdown().await
}

async fn pass_body(
    server: &mut TcpStream,
    device: &mut TcpStream,
    start: Vec<u8>,
    act: &Act,
) -> io::Result<()> {
    let mut sent: u64 = 0;
    let mut piece = start;
    loop {
        let mut take = piece.len() as u64;
        match act {
            Act::Cut(limit) | Act::Stall(limit) => take = take.min(limit.saturating_sub(sent)),
            _ => {}
        }
        let bytes = &piece[..usize::try_from(take).unwrap_or(0)];
        match act {
            Act::Rate(rate) => {
                for part in bytes.chunks(usize::try_from((rate / 20).max(1)).unwrap_or(1)) {
                    device.write_all(part).await?;
                    tokio::time::sleep(Duration::from_millis(50)).await;
                }
            }
            _ => device.write_all(bytes).await?,
        }
        sent += take;
        match act {
            Act::Cut(limit) if sent >= *limit => {
                // Without shutdown first: the device sees a connection that broke.
                return Err(io::ErrorKind::ConnectionAborted.into());
            }
            Act::Stall(limit) if sent >= *limit => {
                tokio::time::sleep(Duration::from_secs(120)).await;
                return Ok(());
            }
            _ => {}
        }
        piece = vec![0; 16 << 10];
        let count = server.read(&mut piece).await?;
        piece.truncate(count);
        if count == 0 {
            return Ok(());
        }
    }
}
