//! `verify`: everything a release claims, checked against the keys one trusts.

use std::fs::{self, File};
use std::io::{BufReader, ErrorKind, Read};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::{Context as _, Result};
use clap::Args as ClapArgs;
use roamcore_image::keys::KeySet;
use roamcore_ota::{
    FailureClass, PublicKey, Timestamp, TrustStore, VerifiedRelease, verify_release,
};

use super::{Coded, Context};

/// Arguments of `verify`.
#[derive(Debug, ClapArgs)]
#[command(after_help = "Example: roamcore-image verify out/bare-vp2430/latest --trust release.pub")]
pub struct Args {
    /// Directory of the release.
    release: PathBuf,
    /// Public keys to trust; otherwise the development key of this machine.
    #[arg(long, value_name = "FILE")]
    trust: Vec<PathBuf>,
    /// How many trusted keys must have signed.
    #[arg(long, default_value_t = 1)]
    threshold: usize,
    /// Check this raw disk or disk image instead of the compressed one.
    #[arg(long, value_name = "FILE")]
    disk: Option<PathBuf>,
}

/// Runs the verb.
pub fn run(context: &Context, args: Args) -> Result<ExitCode> {
    let trust = trust(&args)?;
    let manifest = manifest(&args.release)?;
    let signatures = match fs::read(args.release.join("release.json.sig")) {
        Ok(bytes) => bytes,
        // The library has a failure of its own for this.
        Err(e) if e.kind() == ErrorKind::NotFound => Vec::new(),
        Err(e) => return Err(e).context("reading release.json.sig"),
    };
    let now = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .context("the clock is before 1970")?
        .as_secs();
    let now = Timestamp::from_unix(now).context("the clock is out of range")?;
    let refused = || format!("{} is refused", args.release.display());
    let verified =
        verify_release(&manifest, &signatures, &trust, Some(now)).with_context(refused)?;
    verified
        .check_all_artefacts(|name| File::open(args.release.join(name.as_str())))
        .with_context(refused)?;
    check_disk(&verified, &args)?;
    let release = verified.release();
    if context.json {
        let signers: Vec<String> = verified.signers().iter().map(ToString::to_string).collect();
        let line = serde_json::json!({
            "v": 1, "verified": true, "product": release.product, "version": release.version,
            "channel": release.channel, "signers": signers,
            "artefacts": release.artefacts.len(), "regions": release.partitions.len(),
        });
        println!("{line}");
    } else {
        println!(
            "{} {} ({:?}) is what its signature says: {} files and {} regions of the disk checked",
            release.product,
            release.version,
            release.channel,
            release.artefacts.len(),
            release.partitions.len()
        );
    }
    Ok(ExitCode::SUCCESS)
}

fn check_disk(verified: &VerifiedRelease, args: &Args) -> Result<()> {
    let disk = &verified.release().disk;
    if let Some(path) = &args.disk {
        let file = File::open(path).with_context(|| format!("opening {}", path.display()))?;
        // A device is larger than the image; what follows the image is not part of the release.
        return verified
            .check_partitions(BufReader::new(file).take(disk.raw_size))
            .with_context(|| format!("{} is refused", path.display()));
    }
    let path = args.release.join(disk.artefact.as_str());
    let file = File::open(&path).with_context(|| format!("opening {}", path.display()))?;
    let decoder =
        zstd::Decoder::new(file).with_context(|| format!("decompressing {}", path.display()))?;
    verified
        .check_partitions(decoder)
        .with_context(|| format!("{} is refused", path.display()))
}

fn trust(args: &Args) -> Result<TrustStore> {
    let mut keys = Vec::new();
    for path in &args.trust {
        let text =
            fs::read_to_string(path).with_context(|| format!("reading {}", path.display()))?;
        keys.push(PublicKey::parse(&text).with_context(|| format!("the key {}", path.display()))?);
    }
    if keys.is_empty() {
        let dir = KeySet::development_dir()?;
        let set =
            KeySet::open(&dir).context("no --trust was given and there is no development key")?;
        keys.push(set.public()?.release);
    }
    Ok(TrustStore::new(keys, args.threshold)?)
}

/// The manifest's bytes. A directory without one is judged: it is no release.
fn manifest(release: &Path) -> Result<Vec<u8>> {
    let path = release.join("release.json");
    match fs::read(&path) {
        Ok(bytes) => Ok(bytes),
        Err(e) if e.kind() == ErrorKind::NotFound => Err(Coded {
            code: FailureClass::MissingManifest.exit_code(),
            message: format!(
                "{} is refused: there is no {}; name the directory of a release, or copy it again",
                release.display(),
                path.display()
            ),
        }
        .into()),
        Err(e) => Err(e).with_context(|| format!("reading {}", path.display())),
    }
}
