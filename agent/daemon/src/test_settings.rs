//! The server of a test, from /run/roamcore/settings.
//!
//! Owns: which settings name a server. Never does: look at them in an image that is not a development
//! image. `roamcore-agent settings` wrote the files, from SMBIOS strings and by its own whitelist; their
//! values are judged here like those of a configuration.

use std::path::PathBuf;

use roamcore_agent::files::{self, IoAt};

use crate::config::{Auth, Config, Secret, Server};
use crate::image::Image;
use crate::places::Places;

const LIMIT: u64 = 4096;
const URL: &str = "server-url";
const TENANT: &str = "server-tenant";
const CONTROLLER: &str = "server-id";
const POLL: &str = "server-poll";
const TARGET_TOKEN: &str = "server-token";
const GATEWAY_TOKEN: &str = "server-gateway-token";

/// Why test settings were refused.
#[derive(Debug, thiserror::Error)]
pub enum TestSettingsError {
    /// Reading.
    #[error(transparent)]
    Io(#[from] IoAt),
    /// No token.
    #[error("test setting {URL} is given without {TARGET_TOKEN} or {GATEWAY_TOKEN}")]
    NoToken,
    /// Not a number of seconds.
    #[error("test setting {POLL} is {0:?}, not a number of seconds above 0")]
    Poll(String),
}

/// Replaces the configured server by the one of a test, when there is one.
pub fn apply(config: &mut Config, image: &Image, places: &Places) -> Result<(), TestSettingsError> {
    if !image.development {
        return Ok(());
    }
    let path = |key: &str| places.test_settings().join(key);
    let value = |key: &str| -> Result<Option<String>, IoAt> {
        let Some(bytes) = files::read_if_any(&path(key), LIMIT)? else {
            return Ok(None);
        };
        Ok(Some(String::from_utf8_lossy(&bytes).trim().to_owned()))
    };
    let Some(url) = value(URL)? else {
        return Ok(());
    };
    let file = |key: &str| -> Option<PathBuf> { Some(path(key)).filter(|path| path.exists()) };
    let auth = match (file(TARGET_TOKEN), file(GATEWAY_TOKEN)) {
        (Some(path), _) => Auth::TargetToken(Secret::File(path)),
        (None, Some(path)) => Auth::GatewayToken(Secret::File(path)),
        (None, None) => return Err(TestSettingsError::NoToken),
    };
    let seconds = |text: String| match text.parse::<u64>() {
        Ok(seconds) if seconds > 0 => Ok(seconds),
        _ => Err(TestSettingsError::Poll(text)),
    };
    config.server = Some(Server {
        url,
        tenant: value(TENANT)?.unwrap_or_else(|| "DEFAULT".to_owned()),
        controller_id: value(CONTROLLER)?,
        auth,
        ca: None,
        download_ca: None,
        plaintext: true,
        poll_seconds: value(POLL)?.map(seconds).transpose()?,
    });
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn image(development: bool) -> Image {
        Image {
            product: "bare".into(),
            board: "vp2430".into(),
            version: "1".into(),
            development,
            made: None,
        }
    }

    #[test]
    fn a_test_names_its_server_and_a_release_image_does_not_look() {
        let dir = tempfile::tempdir().unwrap();
        let places = Places::below(dir.path());
        let load = |development| {
            let mut config = Config::default();
            apply(&mut config, &image(development), &places).map(|()| config.server)
        };
        assert_eq!(load(true).unwrap(), None);
        let settings = places.test_settings();
        std::fs::create_dir_all(&settings).unwrap();
        let write = |key: &str, value: &str| std::fs::write(settings.join(key), value).unwrap();
        write(URL, "http://10.0.2.2:8080\n");
        assert!(matches!(load(true), Err(TestSettingsError::NoToken)));
        write(TARGET_TOKEN, "t\n");
        write(POLL, "2\n");
        let server = load(true).unwrap().unwrap();
        assert_eq!(server.url, "http://10.0.2.2:8080");
        assert_eq!(server.poll_seconds, Some(2));
        assert_eq!(
            server.auth,
            Auth::TargetToken(Secret::File(settings.join(TARGET_TOKEN)))
        );
        assert!(server.plaintext);
        assert_eq!(load(false).unwrap(), None);
        write(POLL, "0");
        assert!(matches!(load(true), Err(TestSettingsError::Poll(_))));
    }
}
