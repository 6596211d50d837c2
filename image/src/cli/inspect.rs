//! `inspect`: what a release is, without judging it.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context as _, Result};
use clap::Args as ClapArgs;
use roamcore_ota::{Release, SignatureFile};

use super::Context;

/// Arguments of `inspect`.
#[derive(Debug, ClapArgs)]
#[command(after_help = "Example: roamcore-image inspect out/bare-vp2430/latest")]
pub struct Args {
    /// Directory of the release.
    release: PathBuf,
}

/// Runs the verb.
pub fn run(context: &Context, args: Args) -> Result<ExitCode> {
    let path = args.release.join("release.json");
    let bytes = std::fs::read(&path).with_context(|| format!("reading {}", path.display()))?;
    let release = Release::parse(&bytes).with_context(|| format!("{}", path.display()))?;
    if context.json {
        println!("{}", String::from_utf8_lossy(&bytes));
        return Ok(ExitCode::SUCCESS);
    }
    println!(
        "product    {} {} for {}",
        release.product, release.version, release.board
    );
    println!(
        "channel    {:?}, sequence {}, security epoch {}",
        release.channel, release.sequence, release.security_epoch
    );
    println!("created    {}", release.created);
    println!("root hash  {}", release.root_hash);
    println!("lock       {}", release.lock_sha256);
    match std::fs::read(args.release.join("release.json.sig")) {
        Ok(bytes) => {
            let ids: Vec<String> = SignatureFile::parse(&bytes)?
                .key_ids()
                .map(|id| id.to_string())
                .collect();
            println!("signed by  {} (not checked; see `verify`)", ids.join(", "));
        }
        Err(_) => println!("signed by  nobody"),
    }
    for artefact in &release.artefacts {
        println!(
            "file       {:<16} {:>12}  {}",
            artefact.name, artefact.size, artefact.sha256
        );
    }
    for part in &release.partitions {
        let number = part.number.map_or_else(String::new, |n| n.to_string());
        println!(
            "region  {number:>2} {:<18} {:>12} at {}",
            part.name, part.size, part.offset
        );
    }
    Ok(ExitCode::SUCCESS)
}
