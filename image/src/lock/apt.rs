//! A private apt: its own configuration, lists and (empty) dpkg status in a temporary directory.
//!
//! Owns: that directory, and every call of apt. Never does: read the host's apt configuration or
//! preferences, apart from its proxy and CA settings, nor write outside the directory.
//! Invariant: works as an ordinary user, and gives the same answer on every host with the same
//! archive before it.

use std::fs;
use std::io::{Read, Seek};
use std::path::{Path, PathBuf};

use roamcore_scratch::{Scratch, area, tidy};

use super::error::LockError;
use crate::command::{Command, CommandError};

/// Part of apt itself, on every Debian host.
const HELPER: &str = "/usr/lib/apt/apt-helper";

/// Start of the tree's name.
const PREFIX: &str = "apt-";

/// A directory that apt takes for a whole machine.
#[derive(Debug)]
pub struct AptTree {
    dir: Scratch,
}

/// A failed call of apt: its error and all it said.
#[derive(Debug)]
pub struct AptFailure {
    /// The subprocess's error.
    pub error: CommandError,
    /// What apt wrote, without its chatter.
    pub words: String,
}

impl AptTree {
    /// Makes the tree among temporary files; `retries` is how often apt itself tries a download
    /// again.
    pub fn create(retries: u32) -> Result<AptTree, LockError> {
        let area = area()?;
        tidy(&area, PREFIX)?;
        AptTree::create_in(&area, retries)
    }

    /// Makes the tree in `parent`.
    pub fn create_in(parent: &Path, retries: u32) -> Result<AptTree, LockError> {
        let dir = Scratch::create(parent, PREFIX)?;
        let root = dir.path();
        let odd = |c: char| c.is_whitespace() || "\"'[]{};\\".contains(c);
        let Some(text) = root.to_str().filter(|t| !t.contains(odd)) else {
            return Err(LockError::Directory {
                path: root.to_owned(),
            });
        };
        for sub in [
            "etc/apt/apt.conf.d",
            "etc/apt/preferences.d",
            "etc/apt/sources.list.d",
            "etc/apt/trusted.gpg.d",
            "keys",
            "var/lib/dpkg",
            "var/lib/apt/lists/partial",
            "var/cache/apt/archives/partial",
        ] {
            fs::create_dir_all(root.join(sub)).map_err(LockError::file(root))?;
        }
        let conf = format!(
            "Dir \"{text}\";\nDir::State::status \"{text}/var/lib/dpkg/status\";\n\
             APT::Architecture \"amd64\";\nAPT::Architectures \"amd64\";\n\
             APT::Install-Recommends \"false\";\nAPT::Install-Suggests \"false\";\n\
             APT::Sandbox::User \"root\";\nAPT::Color \"0\";\n\
             Acquire::Languages \"none\";\nAcquire::ForceHash \"SHA256\";\n\
             Acquire::GzipIndexes \"false\";\nAcquire::Retries \"{retries}\";\n{}",
            host_network_settings()?
        );
        let tree = AptTree { dir };
        tree.write("apt.conf", conf.as_bytes())?;
        tree.write("var/lib/dpkg/status", b"")?;
        Ok(tree)
    }

    /// Root of the tree.
    pub fn path(&self) -> &Path {
        self.dir.path()
    }

    /// Writes one file of the tree and gives its path.
    pub fn write(&self, name: &str, bytes: &[u8]) -> Result<PathBuf, LockError> {
        let path = self.path().join(name);
        fs::write(&path, bytes).map_err(LockError::file(&path))?;
        Ok(path)
    }

    /// Runs `apt-get` and gives its standard output.
    pub fn apt_get<S: AsRef<str>>(
        &self,
        args: &[S],
    ) -> Result<Result<String, AptFailure>, LockError> {
        self.run("apt-get", args)
    }

    /// Downloads `(uri, file, SHA-256)` triples in one process. A failure means that at least one
    /// of them failed: what has arrived tells which.
    pub fn download(
        &self,
        triples: &[(String, PathBuf, String)],
    ) -> Result<Result<String, AptFailure>, LockError> {
        let mut args = vec!["download-file".to_owned()];
        for (uri, file, sha256) in triples {
            // The `file:` method would leave a link to the mirror instead of a copy.
            let uri = match uri.strip_prefix("file:") {
                Some(path) => format!("copy:{path}"),
                None => uri.clone(),
            };
            args.extend([
                uri,
                file.to_string_lossy().into_owned(),
                format!("SHA256:{sha256}"),
            ]);
        }
        self.run(HELPER, &args)
    }

    fn run<S: AsRef<str>>(
        &self,
        program: &str,
        args: &[S],
    ) -> Result<Result<String, AptFailure>, LockError> {
        // Where apt cannot satisfy a request it explains itself on standard output, which must
        // therefore outlive the failure.
        let mut out = tempfile::tempfile_in(self.path()).map_err(LockError::file(self.path()))?;
        let twin = out.try_clone().map_err(LockError::file(self.path()))?;
        let result = Command::new(program)
            .env("APT_CONFIG", self.path().join("apt.conf"))
            .args(args.iter().map(AsRef::as_ref))
            .current_dir(self.path())
            .stdout_file(twin)
            .run();
        let mut bytes = Vec::new();
        out.rewind()
            .and_then(|()| out.read_to_end(&mut bytes))
            .map_err(LockError::file(self.path()))?;
        let stdout = String::from_utf8_lossy(&bytes).into_owned();
        match result {
            Ok(_) => Ok(Ok(stdout)),
            Err(error) => match &error {
                CommandError::Failed { stderr_tail, .. } => {
                    let words = plain_words(&format!("{stdout}\n{stderr_tail}"));
                    Ok(Err(AptFailure { error, words }))
                }
                _ => Err(error.into()),
            },
        }
    }
}

/// Version of the host's apt, as `2.6.2`.
pub fn version() -> Result<String, LockError> {
    let out = Command::new("apt-get").arg("--version").run()?;
    let text = String::from_utf8_lossy(&out.stdout).into_owned();
    match text.split_whitespace().nth(1) {
        Some(version) => Ok(version.to_owned()),
        None => Err(LockError::Answer {
            what: format!("`apt-get --version` gave {text:?}"),
        }),
    }
}

/// How this machine reaches the network is its own business, and the only thing taken over.
fn host_network_settings() -> Result<String, LockError> {
    let dump = Command::new("apt-config").arg("dump").run()?;
    Ok(network_settings(&String::from_utf8_lossy(&dump.stdout)))
}

fn network_settings(dump: &str) -> String {
    const TAKEN: [&str; 7] = [
        "acquire::http::proxy",
        "acquire::http::proxy-auto-detect",
        "acquire::http::proxyautodetect",
        "acquire::https::proxy",
        "acquire::https::proxy-auto-detect",
        "acquire::https::proxyautodetect",
        "acquire::https::cainfo",
    ];
    let wanted = |line: &&str| {
        let key = line
            .split_whitespace()
            .next()
            .unwrap_or("")
            .to_ascii_lowercase();
        let per_host =
            key.starts_with("acquire::http::proxy::") || key.starts_with("acquire::https::proxy::");
        (TAKEN.contains(&key.as_str()) || per_host)
            && line.ends_with("\";")
            && !line.ends_with(" \"\";")
    };
    dump.lines()
        .filter(wanted)
        .map(|line| format!("{line}\n"))
        .collect()
}

/// What apt said, without progress and chatter.
fn plain_words(text: &str) -> String {
    const CHATTER: [&str; 9] = [
        "Reading ",
        "Building ",
        "Get:",
        "Hit:",
        "Ign:",
        "Fetched ",
        "'",
        "W: Unable to read ",
        "Err:",
    ];
    let lines: Vec<&str> = text
        .lines()
        .map(str::trim_end)
        .filter(|l| !l.is_empty() && !CHATTER.iter().any(|c| l.starts_with(c)))
        .collect();
    lines.join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_network_settings_are_taken_over() {
        let dump = "APT::Install-Recommends \"1\";\nAcquire::http \"\";\nAcquire::http::Proxy \"http://p.invalid:3128/\";\n\
                    Acquire::http::Proxy::m.invalid \"DIRECT\";\nAcquire::https::Proxy \"\";\n\
                    Acquire::https::Verify-Peer \"false\";\nAcquire::https::CaInfo \"/etc/ca.pem\";\nAcquire::Check-Valid-Until \"false\";\n";
        assert_eq!(
            network_settings(dump),
            "Acquire::http::Proxy \"http://p.invalid:3128/\";\nAcquire::http::Proxy::m.invalid \"DIRECT\";\nAcquire::https::CaInfo \"/etc/ca.pem\";\n"
        );
    }

    #[test]
    fn tree_is_private_and_works() {
        let tree = AptTree::create(0).unwrap();
        let dump = Command::new("apt-config")
            .env("APT_CONFIG", tree.path().join("apt.conf"))
            .arg("dump")
            .run()
            .unwrap();
        let text = String::from_utf8(dump.stdout).unwrap();
        assert!(
            text.contains("APT::Install-Recommends \"false\";"),
            "{text}"
        );
        assert!(
            !text.contains("Check-Valid-Until"),
            "the host's configuration leaked in"
        );
        let failure = tree
            .apt_get(&["install", "--print-uris", "-y", "nosuch"])
            .unwrap()
            .unwrap_err();
        assert_eq!(failure.words, "E: Unable to locate package nosuch");
    }
}
