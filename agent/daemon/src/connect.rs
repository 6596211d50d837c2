//! From settings to a client.
//!
//! Owns: reading the secrets and certificates that the settings name. Never does: log one.

use std::path::{Path, PathBuf};

use roamcore_agent::files::{self, IoAt};
use roamcore_ddi::client::{self, Client, Identity, Limits, Roots, SetupError, Token, TokenError};
use roamcore_ota::Digest;

use crate::config::{Auth, Secret, Server};
use crate::image::{self, Image};
use crate::places::Places;

/// The list of public CAs has a quarter of this.
const CA_LIMIT: u64 = 1 << 20;
const SECRET_LIMIT: u64 = 64 * 1024;

/// Why there is no client.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs, reason = "the messages name the fields")]
pub enum ConnectError {
    #[error(transparent)]
    Io(#[from] IoAt),
    #[error("the token in {} cannot be used", path.display())]
    Token {
        path: PathBuf,
        #[source]
        source: TokenError,
    },
    #[error(
        "credential {name:?} cannot be read: the service has none; put a file of that name into /etc/credstore and restart"
    )]
    NoCredential { name: String },
    #[error("the server cannot be used")]
    Setup(#[from] SetupError),
}

/// A client and the names it goes by.
#[derive(Debug)]
pub struct Ready {
    /// The client.
    pub client: Client,
    /// The device's name on the server.
    pub controller: String,
    /// Spreads the devices of a fleet.
    pub seed: u64,
}

/// Makes the client. `credentials` is systemd's directory of them.
pub fn connect(
    server: &Server,
    image: &Image,
    places: &Places,
    credentials: Option<&Path>,
) -> Result<Ready, ConnectError> {
    let controller = match &server.controller_id {
        Some(name) => name.clone(),
        None => image::default_name(places)?,
    };
    let read = |secret: &Secret| -> Result<(PathBuf, Vec<u8>), ConnectError> {
        let path = match secret {
            Secret::File(path) => path.clone(),
            Secret::Credential(name) => credentials
                .map(|directory| directory.join(name))
                .filter(|path| path.exists())
                .ok_or_else(|| ConnectError::NoCredential { name: name.clone() })?,
        };
        let bytes = files::read(&path, SECRET_LIMIT)?;
        Ok((path, bytes))
    };
    let token = |secret: &Secret| -> Result<Token, ConnectError> {
        let (path, bytes) = read(secret)?;
        // Bytes that are no UTF-8 become signs that a token cannot have.
        Token::new(&String::from_utf8_lossy(&bytes))
            .map_err(|source| ConnectError::Token { path, source })
    };
    let auth = match &server.auth {
        Auth::TargetToken(secret) => client::Auth::TargetToken(token(secret)?),
        Auth::GatewayToken(secret) => client::Auth::GatewayToken(token(secret)?),
        Auth::Certificate(secret) => client::Auth::Certificate(Identity::new(read(secret)?.1)),
    };
    let system = places.system_roots();
    let roots = Roots {
        server: files::read(server.ca.as_deref().unwrap_or(&system), CA_LIMIT)?,
        others: server
            .download_ca
            .as_ref()
            .map(|path| files::read(path, CA_LIMIT))
            .transpose()?,
    };
    let settings = client::Settings {
        server: server.url.clone(),
        tenant: server.tenant.clone(),
        controller: controller.clone(),
        auth,
        roots,
        plaintext: server.plaintext,
        limits: Limits::default(),
        agent: format!(
            "roamcore/{} ({})",
            env!("CARGO_PKG_VERSION"),
            ascii(&image.product)
        ),
    };
    Ok(Ready {
        client: Client::new(&settings)?,
        seed: seed(&controller),
        controller,
    })
}

/// A header holds nothing else.
fn ascii(text: &str) -> String {
    text.chars()
        .filter(char::is_ascii_alphanumeric)
        .take(40)
        .collect()
}

fn seed(controller: &str) -> u64 {
    let digest = Digest::of(controller.as_bytes()).to_string();
    u64::from_str_radix(&digest[..16], 16).unwrap_or(0)
}
