//! How this machine reaches Debian: apt's proxy settings, for tools that run in a tree of their own.
//!
//! Never does: take over anything else of the host's apt.

use anyhow::{Context, Result};
use roamcore_image::command::Command;

/// Lines of apt.conf(5), as `apt-config dump` writes them.
pub fn settings() -> Result<Vec<String>> {
    let dump = Command::new("apt-config")
        .arg("dump")
        .run()
        .context("asking apt for its proxy")?;
    let dump = String::from_utf8_lossy(&dump.stdout).into_owned();
    Ok(taken(&dump))
}

fn taken(dump: &str) -> Vec<String> {
    let wanted = |line: &&str| {
        let key = line.to_ascii_lowercase();
        ["acquire::http::proxy", "acquire::https::proxy"]
            .iter()
            .any(|k| key.starts_with(k))
            && !line.ends_with(" \"\";")
    };
    dump.lines().filter(wanted).map(str::to_owned).collect()
}

#[cfg(test)]
mod tests {
    #[test]
    fn only_set_proxies() {
        let dump = "Acquire::http \"\";\nAcquire::http::Proxy \"http://p.invalid:3128/\";\nAcquire::https::Proxy \"\";\n";
        assert_eq!(
            super::taken(dump),
            ["Acquire::http::Proxy \"http://p.invalid:3128/\";"]
        );
    }
}
