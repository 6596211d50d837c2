//! A further release of the appliance under test, made by the builder that stands beside the harness.
//!
//! Owns finding the builder and the agent, and reading a release apart: root, hash tree, UKI. Never changes a release.
//! The builder stands beside the harness, the agent is where `just agent` leaves it, with what a build wants beside it.

use std::fs::File;
use std::path::{Path, PathBuf};

use roamcore_disk::fat::FatReader;
use roamcore_disk::gpt::Gpt;
use roamcore_disk::region::Region;
use roamcore_disk::verity::RootHash;
use roamcore_pe::uki;

use crate::args;
use crate::disk::base;
use crate::error::{Error, Result, file};
use crate::image::Image;
use crate::tool;

/// Path of slot A's UKI on a fresh disk's ESP.
const UKI_A: &str = "EFI/roamcore/a/roamcore.efi";
/// The ESP's size: no file on it can be larger.
const UKI_LIMIT: u64 = 1 << 30;

/// A release, read apart.
#[derive(Debug)]
pub struct Release {
    /// Its version.
    pub version: String,
    /// Its deployment sequence, the version of its boot entry.
    pub sequence: u64,
    /// Where the builder left it.
    pub directory: PathBuf,
    /// Its unpacked disk.
    pub raw: PathBuf,
    /// Offset and used length of its root on `raw`.
    pub root: (u64, u64),
    /// Offset and used length of its hash tree on `raw`.
    pub verity: (u64, u64),
    /// The root hash that its UKI demands.
    pub root_hash: RootHash,
    /// Its UKI, signed.
    pub uki: Vec<u8>,
}

/// Why no further release can be built here, if so.
pub fn impossible() -> Option<String> {
    builder().and(agent()).err().map(|e| e.to_string())
}

/// A change to the sources of a further release, made in a copy of them.
pub type Change = fn(checkout: &Path) -> std::io::Result<()>;

impl Release {
    /// Builds a release of the appliance of `like`, with its sources changed, into a directory below `out`.
    pub fn build(
        like: &Image,
        (version, sequence): (&str, u64),
        change: Option<Change>,
        out: &Path,
    ) -> Result<Self> {
        let copy = tempfile::tempdir_in(out).map_err(file("make a directory in", out))?;
        let checkout = match change {
            None => PathBuf::from("."),
            Some(change) => {
                let names = args!["appliances", "hardware", "overlays"];
                let into = copy.path().display().to_string();
                tool::run(
                    "cp",
                    &[args!["-a"].to_vec(), names.to_vec(), vec![into]].concat(),
                )?;
                change(copy.path()).map_err(file("change", copy.path()))?;
                copy.path().to_owned()
            }
        };
        let appliance = like.spec_name();
        let line = args![
            "--checkout",
            checkout.display(),
            "build",
            appliance,
            // The image under test may come from a relocked lock, when Debian dropped a version of the committed one:
            // this build then takes the same packages.
            "--relock",
            "--agent",
            agent()?.display(),
            "--out",
            out.display(),
            "--version",
            version,
            "--sequence",
            sequence
        ];
        tool::run(&builder()?.display().to_string(), &line)?;
        let directory = outcome(out, appliance, version)?;
        Self::read(&Image::open(&directory)?, version, sequence)
    }

    fn read(image: &Image, version: &str, sequence: u64) -> Result<Self> {
        let raw = image.directory.join("disk.img.raw");
        base::unpack_to(&image.disk, &raw)?;
        let mut disk = File::open(&raw).map_err(file("open", &raw))?;
        let size = disk.metadata().map_err(file("look at", &raw))?.len();
        let bad = |what: &str, why: String| Error::Format {
            what: format!("{what} of {}", raw.display()),
            reason: why,
        };
        let table =
            Gpt::read_from(&mut disk, size).map_err(|e| bad("partition table", e.to_string()))?;
        let esp = table
            .gpt
            .partition("esp")
            .ok_or_else(|| bad("partition table", "no esp".into()))?;
        let uki = Region::new(&mut disk, esp.offset(), esp.size())
            .map_err(|e| bad("ESP", e.to_string()))
            .and_then(|region| FatReader::open(region).map_err(|e| bad("ESP", e.to_string())))
            .and_then(|mut esp| {
                esp.read_file(UKI_A, UKI_LIMIT)
                    .map_err(|e| bad("UKI", e.to_string()))
            })?;
        let view = uki::read(&uki).map_err(|e| bad("UKI", e.to_string()))?;
        let line = String::from_utf8_lossy(view.cmdline).into_owned();
        let hash = line
            .split_whitespace()
            .find_map(|word| word.strip_prefix("roothash="));
        let hash = hash.ok_or_else(|| bad("command line", format!("no roothash in `{line}`")))?;
        let root_hash = hash
            .parse()
            .map_err(|_| bad("command line", format!("roothash={hash}")))?;
        Ok(Self {
            version: version.into(),
            sequence,
            directory: image.directory.clone(),
            root: image.area("root-a")?,
            verity: image.area("verity-a")?,
            root_hash,
            raw,
            uki,
        })
    }
}

/// Where the builder left a version, whatever its board.
fn outcome(out: &Path, appliance: &str, version: &str) -> Result<PathBuf> {
    let boards = std::fs::read_dir(out).map_err(file("list", out))?;
    boards
        .flatten()
        .filter(|board| {
            let name = board.file_name().to_string_lossy().into_owned();
            name.strip_prefix(appliance)
                .is_some_and(|rest| rest.starts_with('-'))
        })
        .map(|board| board.path().join(version))
        .find(|directory| directory.is_dir())
        .ok_or_else(|| Error::Missing {
            what: format!("version {version} of {appliance} in {}", out.display()),
            remedy: "look at the builder's output".into(),
        })
}

fn beside() -> Result<PathBuf> {
    let exe = std::env::current_exe().map_err(file("find", "this program"))?;
    Ok(exe.parent().map(Path::to_owned).unwrap_or_default())
}

fn builder() -> Result<PathBuf> {
    program("roamcore-image")
}

/// A program of this workspace, which stands beside the harness.
pub fn program(name: &str) -> Result<PathBuf> {
    let path = beside()?.join(name);
    match path.is_file() {
        true => Ok(path),
        false => Err(Error::Missing {
            what: format!("the program {}", path.display()),
            remedy: format!("build it: cargo build --release -p {name}"),
        }),
    }
}

fn agent() -> Result<PathBuf> {
    let path = match std::env::var_os("ROAMCORE_AGENT") {
        Some(named) => PathBuf::from(named),
        None => beside()?.join("../agent/roamcore-agent"),
    };
    match path.is_file() {
        true => Ok(path),
        false => Err(Error::Missing {
            what: format!("the agent's program {}", path.display()),
            remedy: "build it with `just agent`, or name it in ROAMCORE_AGENT".into(),
        }),
    }
}
