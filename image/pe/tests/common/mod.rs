//! Real EFI binaries and the reference tools, for tests. Owns every subprocess call of this crate.
//!
//! EFI binaries come from `ROAMCORE_PE_FIXTURES` (a directory with linuxx64.efi.stub and systemd-bootx64.efi, as
//! /usr/lib/systemd/boot/efi of trixie's package) and from this machine's own systemd-boot-efi package, downloaded
//! once. What cannot be had is skipped with a printed reason, never passed silently.
#![allow(dead_code, unused_imports)]

#[path = "../../../tests/support/skip.rs"]
mod skip;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

pub use skip::skip;

use roamcore_pe::certs::{SigningKey, Validity};
use roamcore_pe::uki::UkiParts;

pub struct Binaries {
    pub from: PathBuf,
    pub stub: Vec<u8>,
    pub boot: Vec<u8>,
}

/// Every set of binaries there is; an empty list has already printed why.
pub fn binaries() -> &'static [Binaries] {
    static ALL: OnceLock<Vec<Binaries>> = OnceLock::new();
    ALL.get_or_init(|| {
        let given = std::env::var_os("ROAMCORE_PE_FIXTURES").map(PathBuf::from);
        let own = own_package()
            .inspect_err(|why| skip(&format!("no systemd-boot-efi package: {why}")))
            .ok();
        let load = |from: PathBuf| {
            let file = |name| {
                fs::read(from.join(name)).map_err(|e| format!("{}: {e}", from.join(name).display()))
            };
            let (stub, boot) = (file("linuxx64.efi.stub"), file("systemd-bootx64.efi"));
            match (stub, boot) {
                (Ok(stub), Ok(boot)) => Some(Binaries { from, stub, boot }),
                (Err(why), _) | (_, Err(why)) => {
                    skip(&why);
                    None
                }
            }
        };
        given.into_iter().chain(own).filter_map(load).collect()
    })
}

fn own_package() -> Result<PathBuf, String> {
    let dir = Path::new(env!("CARGO_TARGET_TMPDIR")).join("systemd-boot-efi");
    let efi = "usr/lib/systemd/boot/efi";
    if dir.join(efi).join("linuxx64.efi.stub").exists() {
        return Ok(dir.join(efi));
    }
    // Unpacked beside and renamed: test binaries run at once and may all try.
    let work = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).map_err(|e| e.to_string())?;
    run(Command::new("apt-get")
        .args(["-q", "download", "systemd-boot-efi"])
        .current_dir(work.path()))?;
    let found = fs::read_dir(work.path())
        .map_err(|e| e.to_string())?
        .filter_map(Result::ok)
        .next();
    let deb = found.ok_or("apt-get download left no file")?.path();
    let out = work.path().join("out");
    run(Command::new("dpkg-deb").arg("-x").arg(&deb).arg(&out))?;
    match fs::rename(&out, &dir) {
        Err(e) if !dir.exists() => Err(e.to_string()),
        _ => Ok(dir.join(efi)),
    }
}

fn run(command: &mut Command) -> Result<String, String> {
    let name = command.get_program().to_string_lossy().into_owned();
    let out = command.output().map_err(|e| format!("{name}: {e}"))?;
    let text = format!(
        "{}{}",
        String::from_utf8_lossy(&out.stdout),
        String::from_utf8_lossy(&out.stderr)
    );
    if out.status.success() {
        Ok(text)
    } else {
        Err(format!("{name}: {}: {text}", out.status))
    }
}

/// Runs a reference tool. Outer `None`: it is not installed (reason printed). Inner: its verdict and output.
pub fn tool(name: &str, args: &[&Path]) -> Option<Result<String, String>> {
    if Command::new(name).arg("--help").output().is_err() {
        skip(&format!("{name} is not installed"));
        return None;
    }
    Some(run(Command::new(name).args(args)))
}

/// Two fresh keys, as PEM files in a directory that lives as long as the value.
pub struct Keys {
    pub dir: tempfile::TempDir,
    pub ours: SigningKey,
    pub other: SigningKey,
}

impl Keys {
    pub fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let make = |name: &str| {
            let key = SigningKey::generate(
                name,
                Validity {
                    not_before: 1_767_225_600,
                    not_after: 2_713_910_400,
                },
            );
            let key = key.unwrap();
            key.write_new(
                &dir.path().join(format!("{name}.key")),
                &dir.path().join(format!("{name}.crt")),
            )
            .unwrap();
            key
        };
        let (ours, other) = (make("ours"), make("other"));
        Self { dir, ours, other }
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    pub fn write(&self, name: &str, bytes: &[u8]) -> PathBuf {
        fs::write(self.path(name), bytes).unwrap();
        self.path(name)
    }
}

/// Parts for a UKI; systemd-boot stands in for the kernel when there is none: it is a PE image with a SizeOfImage.
pub fn parts<'a>(linux: &'a [u8], initrd: &'a [u8]) -> UkiParts<'a> {
    UkiParts {
        osrel: b"ID=roamcore\nVERSION_ID=1\n",
        cmdline: b"roothash=0123 gpt panic=10",
        uname: b"6.12.0-roamcore",
        ucode: None,
        initrd,
        linux,
    }
}
