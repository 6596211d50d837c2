//! Addresses: the server's own, and everybody else's.
//!
//! Owns: how resource paths are made, which address is the server's own, and how an address is shown.
//! Never does: take an API address from a document; those are always made here from an id.
//! Invariant: credentials go to addresses with the server's scheme, host and port, and to no others.

use reqwest::Url;

use super::error::{ClientError, SetupError};

const LONGEST_NAME: usize = 256;

/// Where the device's resources are.
#[derive(Debug, Clone)]
pub(super) struct Base {
    /// `.../{tenant}/controller/v1/{controller}`
    root: Url,
}

impl Base {
    /// Checks the parts and puts them together.
    pub fn new(
        server: &str,
        tenant: &str,
        controller: &str,
        plaintext: bool,
    ) -> Result<Self, SetupError> {
        let refuse = |rule| SetupError::Server {
            url: without_secrets(server),
            rule,
        };
        let mut root = Url::parse(server)
            .map_err(|_| refuse("it is not a URL such as https://host:port/path"))?;
        if !root.username().is_empty() || root.password().is_some() {
            return Err(refuse(
                "it holds a user name or password; tokens have a setting of their own",
            ));
        }
        if root.query().is_some() || root.fragment().is_some() {
            return Err(refuse("it has a query or a fragment"));
        }
        match root.scheme() {
            "https" => {}
            "http" if plaintext => {}
            "http" => {
                return Err(refuse(
                    "without TLS everybody on the way can read the token; use https, or allow plaintext for a test",
                ));
            }
            _ => return Err(refuse("only https and http are known")),
        }
        if root.host_str().is_none_or(str::is_empty) {
            return Err(refuse("it names no host"));
        }
        for (what, value) in [("tenant", tenant), ("controller id", controller)] {
            let plain = value.bytes().all(|b| b.is_ascii_graphic());
            if !plain || !(1..=LONGEST_NAME).contains(&value.len()) || matches!(value, "." | "..") {
                return Err(SetupError::Name {
                    what,
                    value: value.chars().take(LONGEST_NAME).collect(),
                });
            }
        }
        root.path_segments_mut()
            .map_err(|()| refuse("it cannot have a path"))?
            .pop_if_empty()
            .extend([tenant, "controller", "v1", controller]);
        Ok(Self { root })
    }

    /// The address of a resource.
    pub fn resource(&self, segments: &[&str]) -> Url {
        let mut url = self.root.clone();
        // The root has a host, so it has segments: see `new`.
        if let Ok(mut path) = url.path_segments_mut() {
            path.extend(segments);
        }
        url
    }

    /// True when credentials may go there.
    pub fn is_own(&self, url: &Url) -> bool {
        // Not `Url::origin`: it is "opaque" and never equal for schemes it does not know.
        url.scheme() == self.root.scheme()
            && url.host() == self.root.host()
            && url.port_or_known_default() == self.root.port_or_known_default()
    }

    /// Reads the link of a file.
    pub fn link(&self, name: &str, href: &str) -> Result<Url, ClientError> {
        let refuse = |rule| ClientError::Address {
            name: name.to_owned(),
            href: without_secrets(href),
            rule,
        };
        let url = self
            .root
            .join(href)
            .map_err(|_| refuse("it is not a URL"))?;
        check(&url).map_err(refuse)?;
        Ok(url)
    }
}

/// What holds for every address we are sent to.
pub(super) fn check(url: &Url) -> Result<(), &'static str> {
    if !matches!(url.scheme(), "https" | "http") {
        return Err("only https and http are known");
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err("it holds a user name or password");
    }
    Ok(())
}

/// Scheme, host, port and path: a query may hold a signature that is as good as a password.
pub(super) fn shown(url: &Url) -> String {
    let mut plain = url.clone();
    plain.set_query(None);
    plain.set_fragment(None);
    // Both fail only for addresses without a host, which have no user either.
    let _ = plain.set_username("");
    let _ = plain.set_password(None);
    plain.as_str().chars().take(300).collect()
}

/// For texts that may not even be addresses.
fn without_secrets(text: &str) -> String {
    match Url::parse(text) {
        Ok(url) => shown(&url),
        Err(_) => {
            let start = text.split(['?', '#']).next().unwrap_or_default();
            let tail = start.rsplit('@').next().unwrap_or_default();
            tail.chars().take(300).collect()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn base(server: &str) -> Base {
        Base::new(server, "DEFAULT", "van-7", true).unwrap()
    }

    #[test]
    fn resources() {
        let url = base("https://h:8443/hawkbit/").resource(&["deploymentBase", "5", "feedback"]);
        assert_eq!(
            url.as_str(),
            "https://h:8443/hawkbit/DEFAULT/controller/v1/van-7/deploymentBase/5/feedback"
        );
        let odd = Base::new("http://h", "a/b", "c?d#e%", true)
            .unwrap()
            .resource(&[]);
        assert_eq!(odd.as_str(), "http://h/a%2Fb/controller/v1/c%3Fd%23e%25");
    }

    #[test]
    fn refused_settings() {
        let cases = [
            ("h", "it is not a URL such as https://host:port/path"),
            ("ftp://h", "only https and http are known"),
            (
                "https://u:pw@h",
                "it holds a user name or password; tokens have a setting of their own",
            ),
            ("https://h/?token=pw", "it has a query or a fragment"),
            ("https://h/#pw", "it has a query or a fragment"),
            ("data:pw", "only https and http are known"),
        ];
        for (server, want) in cases {
            match Base::new(server, "t", "c", true).unwrap_err() {
                SetupError::Server { rule, url } => {
                    assert_eq!(rule, want, "{server}");
                    assert!(!url.contains("pw") || server == "data:pw", "{url}");
                }
                other => panic!("{server}: {other}"),
            }
        }
        assert!(Base::new("http://h", "t", "c", false).is_err());
        for bad in ["", ".", "..", "a b", "\u{e4}", &"x".repeat(257)] {
            assert!(Base::new("https://h", bad, "c", false).is_err(), "{bad}");
            assert!(Base::new("https://h", "t", bad, false).is_err(), "{bad}");
        }
    }

    #[test]
    fn own_means_scheme_host_and_port() {
        let base = base("https://fleet.example");
        let own = |text: &str| base.is_own(&Url::parse(text).unwrap());
        assert!(own("https://fleet.example/x"));
        assert!(own("https://FLEET.example:443/x"));
        for other in [
            "http://fleet.example/x",
            "https://fleet.example:8443/x",
            "https://fleet.example.evil/x",
            "https://evil/fleet.example",
            "https://fleet.example@evil/x",
            "ftp://fleet.example/x",
        ] {
            assert!(!own(other), "{other}");
        }
    }

    #[test]
    fn links() {
        let base = base("https://h/p");
        assert_eq!(base.link("f", "/x").unwrap().as_str(), "https://h/x");
        assert_eq!(
            base.link("f", "http://cdn/x?sig=1").unwrap().as_str(),
            "http://cdn/x?sig=1"
        );
        for bad in [
            "file:///etc/passwd",
            "https://u@h/x",
            "javascript:1",
            "https://",
            "http://[x",
        ] {
            assert!(base.link("f", bad).is_err(), "{bad}");
        }
        let message = base
            .link("f", "ftp://u:pw@h/x?sig=pw")
            .unwrap_err()
            .to_string();
        assert_eq!(
            message,
            "the link \"ftp://h/x\" of f is refused: only https and http are known"
        );
    }

    proptest! {
        #[test]
        fn what_is_shown_has_no_secret(href in "(?s).{0,60}", user in "[a-z]{1,5}") {
            let base = base("https://h/p");
            drop(base.link("f", &href));
            let with = format!("https://{user}:verysecret@h/x?y=verysecret#verysecret");
            prop_assert!(!without_secrets(&with).contains("verysecret"));
            let broken = format!("ht!tp://u:verysecret@h?verysecret{href}");
            prop_assert!(!without_secrets(&broken).contains("verysecret"));
        }
    }
}
