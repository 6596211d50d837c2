//! What is asked of the archive.
//!
//! Owns: the request, its validation and the digest by which a stale lock is noticed. Never does:
//! know a mirror or a version. Invariant: the order in which packages or sources are named does
//! not change the digest; where a source is served from does not either.

use std::collections::BTreeSet;

use super::error::LockError;
use super::{DEBIAN, DEBIAN_SECURITY, Set, Sha256, check};

/// An apt source beside Debian's own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Source {
    /// Archive name, as it will stand in the lock.
    pub name: String,
    /// Where its owner serves it; a mirror given for the name goes before it.
    pub uri: Option<String>,
    /// Suites to read.
    pub suites: Vec<String>,
    /// Components to read.
    pub components: Vec<String>,
    /// Its OpenPGP key, binary or armoured; none until an operator has imported it.
    pub key: Option<Vec<u8>>,
    /// Fingerprint that the key must have.
    pub fingerprint: Option<String>,
}

/// Packages wanted, and the suites they may come from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    /// Packages of the image; Debian's essential ones come by themselves.
    pub image: Vec<String>,
    /// Packages of the tools tree; resolved from Debian's own archives alone.
    pub tools: Vec<String>,
    /// Debian suites; those ending in `-security` come from the security mirror.
    pub suites: Vec<String>,
    /// Components of Debian's suites.
    pub components: Vec<String>,
    /// Extra sources, for the image.
    pub sources: Vec<Source>,
}

impl Request {
    /// A request to trixie with its updates and security fixes.
    pub fn trixie(image: Vec<String>, tools: Vec<String>) -> Request {
        let words = |list: &[&str]| list.iter().map(|s| (*s).to_owned()).collect();
        Request {
            image,
            tools,
            suites: words(&["trixie", "trixie-updates", "trixie-security"]),
            components: words(&["main", "non-free-firmware"]),
            sources: Vec::new(),
        }
    }

    /// The names asked for in one set, sorted, each once.
    pub fn names(&self, set: Set) -> BTreeSet<&str> {
        let names = match set {
            Set::Image => &self.image,
            Set::Tools => &self.tools,
        };
        names.iter().map(String::as_str).collect()
    }

    /// Digest of what is asked: package names, suites, components and extra sources.
    pub fn inputs(&self) -> Sha256 {
        let mut text = String::from("roamcore lock inputs 1\n");
        for set in [Set::Image, Set::Tools] {
            for name in self.names(set) {
                text += &format!("{set} {name}\n");
            }
        }
        let source = |name: &str, suites: &[String], components: &[String]| {
            let sorted = |list: &[String]| {
                let set: BTreeSet<&str> = list.iter().map(String::as_str).collect();
                set.into_iter().collect::<Vec<_>>().join(" ")
            };
            format!(
                "source {name} [{}] [{}]\n",
                sorted(suites),
                sorted(components)
            )
        };
        text += &source(DEBIAN, &self.suites, &self.components);
        let extra: BTreeSet<String> = self
            .sources
            .iter()
            .map(|s| {
                // Another key is another source, and needs a lock of its own.
                let key = s.fingerprint.as_ref();
                let key = key.map(|f| format!("key {} {f}\n", s.name));
                source(&s.name, &s.suites, &s.components) + &key.unwrap_or_default()
            })
            .collect();
        text.extend(extra);
        Sha256::of(text.as_bytes())
    }

    /// Refuses what cannot be put to apt, before anything is run.
    pub fn validate(&self) -> Result<(), LockError> {
        for name in self.image.iter().chain(&self.tools) {
            refuse("package", name, check::package_name(name))?;
        }
        words("suite", &self.suites)?;
        words("component", &self.components)?;
        let mut seen = BTreeSet::from([DEBIAN, DEBIAN_SECURITY]);
        for source in &self.sources {
            refuse("apt source", &source.name, check::word(&source.name))?;
            if !seen.insert(&source.name) {
                return refuse("apt source", &source.name, Err("the name is taken".into()));
            }
            words("suite", &source.suites)?;
            words("component", &source.components)?;
            let name = source.name.clone();
            match &source.key {
                None => return Err(LockError::NoKey { name }),
                Some(key) if !is_public_key(key) => return Err(LockError::BadKey { name }),
                Some(_) => {}
            }
        }
        Ok(())
    }
}

/// Armoured, or a binary packet with tag 6 (public key): RFC 9580 sections 4.2 and 6.2.
fn is_public_key(key: &[u8]) -> bool {
    is_armoured(key) || matches!(key.first(), Some(0x98..=0x9b | 0xc6))
}

/// apt tells the two forms apart by the file's extension, so we must.
pub(super) fn is_armoured(key: &[u8]) -> bool {
    key.trim_ascii_start()
        .starts_with(b"-----BEGIN PGP PUBLIC KEY BLOCK-----")
}

fn words(what: &'static str, list: &[String]) -> Result<(), LockError> {
    if list.is_empty() {
        return refuse(what, "", Err("at least one is needed".into()));
    }
    list.iter()
        .try_for_each(|w| refuse(what, w, check::word(w)))
}

fn refuse(what: &'static str, value: &str, verdict: Result<(), String>) -> Result<(), LockError> {
    verdict.map_err(|why| LockError::Request {
        what,
        value: value.to_owned(),
        why,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(image: &[&str]) -> Request {
        Request::trixie(image.iter().map(|s| (*s).to_owned()).collect(), Vec::new())
    }

    fn source(key: Option<&[u8]>) -> Source {
        Source {
            name: "vendor".into(),
            uri: None,
            suites: vec!["trixie".into()],
            components: vec!["main".into()],
            key: key.map(<[u8]>::to_vec),
            fingerprint: None,
        }
    }

    #[test]
    fn inputs_know_content_not_order() {
        assert_eq!(
            request(&["bash", "curl"]).inputs(),
            request(&["curl", "bash", "curl"]).inputs()
        );
        assert_ne!(
            request(&["bash"]).inputs(),
            request(&["bash", "curl"]).inputs()
        );
        let mut tools = request(&[]);
        tools.tools.push("bash".into());
        assert_ne!(tools.inputs(), request(&["bash"]).inputs());
        let mut extra = request(&["bash"]);
        extra.sources.push(source(None));
        assert_ne!(extra.inputs(), request(&["bash"]).inputs());
        let keyless = extra.inputs();
        extra.sources[0].key = Some(vec![0x99]);
        assert_eq!(
            extra.inputs(),
            keyless,
            "a build needs the lock, not the key"
        );
        extra.sources[0].fingerprint = Some("AB".repeat(20));
        assert_ne!(extra.inputs(), keyless, "another key is another source");
    }

    #[test]
    fn refusals() {
        let say = |r: &Request| r.validate().unwrap_err().to_string();
        assert!(say(&request(&["bash-"])).starts_with("package `bash-` is refused: "));
        let mut r = request(&["bash"]);
        r.validate().unwrap();
        r.sources.push(source(None));
        assert_eq!(
            say(&r),
            "apt source `vendor` has no trusted key: get its key from its owner by a way you trust, then run `lock --trust-key NAME=FILE`"
        );
        r.sources[0] = source(Some(b"hello"));
        assert!(say(&r).contains("not an OpenPGP public key"));
        r.sources[0] = source(Some(b"-----BEGIN PGP PUBLIC KEY BLOCK-----\n"));
        r.validate().unwrap();
        r.sources.push(r.sources[0].clone());
        assert!(say(&r).contains("the name is taken"));
        r.suites.clear();
        assert!(say(&r).contains("at least one is needed"));
    }
}
