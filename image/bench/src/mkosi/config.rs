//! mkosi's configuration: the same packages, the same kind of image.
//!
//! Invariant: no host is named here: mirrors and proxy come from this machine's apt. Settings lean
//! to mkosi's side where there is a choice: its own short list of initrd modules, no signatures.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result};
use roamcore_image::lock::{DEBIAN, DEBIAN_SECURITY, Mirrors};

use crate::proxy;

/// The file that is changed between builds.
pub const CHANGED: &str = "mkosi.extra/etc/roamcore-bench";
/// The one package beyond the builder's set: mkosi takes boot loader and stub from the image, the
/// builder from its tools.
const BEYOND: &str = "systemd-boot-efi";

const HEAD: &str = "[Distribution]
Distribution=debian
Release=trixie
Architecture=x86-64
Repositories=non-free-firmware

[Output]
Format=disk
Output=bench
ManifestFormat=json
OutputDirectory=/bench/output

[Build]
Incremental=yes
CacheDirectory=/bench/cache
PackageCacheDirectory=/bench/packages
WorkspaceDirectory=/bench/workspace

[Content]
Bootable=yes
KernelModulesInitrdInclude=default
KernelModulesInitrdExclude=.*
Packages=
";

/// repart.d(5): ESP, root, hash tree.
const PARTITIONS: [(&str, &str); 3] = [
    (
        "00-esp.conf",
        "[Partition]\nType=esp\nFormat=vfat\nCopyFiles=/boot:/\nCopyFiles=/efi:/\nSizeMinBytes=1G\nSizeMaxBytes=1G\n",
    ),
    (
        "10-root.conf",
        "[Partition]\nType=root\nFormat=erofs\nCopyFiles=/\nVerity=data\nVerityMatchKey=root\nMinimize=best\n",
    ),
    (
        "11-root-verity.conf",
        "[Partition]\nType=root-verity\nVerity=hash\nVerityMatchKey=root\nMinimize=best\n",
    ),
];

/// Writes the configuration to `dir`.
pub fn write(dir: &Path, mirrors: &Mirrors, packages: &[String]) -> Result<()> {
    let mut conf = HEAD.to_owned();
    for name in packages.iter().map(String::as_str).chain([BEYOND]) {
        conf += &format!("  {name}\n");
    }
    put(&dir.join("mkosi.conf"), &conf)?;
    for (name, text) in PARTITIONS {
        put(&dir.join("mkosi.repart").join(name), text)?;
    }
    put(&dir.join(CHANGED), "first\n")?;
    let apt = dir.join("mkosi.sandbox/etc/apt");
    // mkosi writes its own list, with hosts of its own choice, unless this file is there.
    put(
        &apt.join("sources.list.d/mkosi.sources"),
        &sources(mirrors)?,
    )?;
    let proxy: String = proxy::settings()?
        .iter()
        .map(|l| format!("{l}\n"))
        .collect();
    put(&apt.join("apt.conf.d/50roamcore-bench"), &proxy)
}

fn sources(mirrors: &Mirrors) -> Result<String> {
    let mut text = String::new();
    for (archive, suites) in [
        (DEBIAN, "trixie trixie-updates"),
        (DEBIAN_SECURITY, "trixie-security"),
    ] {
        text += &format!(
            "Types: deb\nURIs: {}\nSuites: {suites}\nComponents: main non-free-firmware\n\
             Signed-By: /usr/share/keyrings/debian-archive-keyring.gpg\n\n",
            mirrors.base(archive)?
        );
    }
    Ok(text)
}

/// Writes one file and the directories above it.
pub fn put(path: &Path, text: &str) -> Result<()> {
    if let Some(dir) = path.parent() {
        fs::create_dir_all(dir).with_context(|| format!("creating {}", dir.display()))?;
    }
    fs::write(path, text).with_context(|| format!("writing {}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_only_the_given_hosts() {
        let dir = tempfile::tempdir().unwrap();
        let mirrors = Mirrors::find(
            Some("http://a.invalid/debian"),
            Some("http://b.invalid/debian-security"),
        )
        .unwrap();
        write(dir.path(), &mirrors, &["bash".to_owned()]).unwrap();
        let conf = fs::read_to_string(dir.path().join("mkosi.conf")).unwrap();
        assert!(conf.ends_with("Packages=\n  bash\n  systemd-boot-efi\n") && !conf.contains("://"));
        let list = dir
            .path()
            .join("mkosi.sandbox/etc/apt/sources.list.d/mkosi.sources");
        let list = fs::read_to_string(list).unwrap();
        assert_eq!(list.matches("://").count(), 2, "{list}");
        assert!(list.contains("http://b.invalid/debian-security\nSuites: trixie-security"));
    }
}
