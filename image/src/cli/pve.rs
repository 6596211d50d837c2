//! `pve`: what an appliance is to Proxmox, for review, and to compare two versions.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context as _, Result, bail};
use clap::Args as ClapArgs;
use roamcore_pve::compile::{Compiled, compile};
use roamcore_pve::db;
use roamcore_pve::reach::{Pair, reach, to_text};
use roamcore_spec::load;
use roamcore_spec::names::Name;

use super::Context;

/// Arguments of `pve`.
#[derive(Debug, ClapArgs)]
#[command(after_help = "Example: roamcore-image pve roamcore --reach")]
pub struct Args {
    /// The appliance.
    appliance: Name,
    /// Write the files below this directory, which must not exist or be empty, instead of printing them.
    #[arg(long, value_name = "DIR")]
    tree: Option<PathBuf>,
    /// Write the database behind /etc/pve to this file, which must not exist.
    #[arg(long, value_name = "FILE")]
    db: Option<PathBuf>,
    /// Print who can reach whom, as the compiled firewall has it, instead of the files.
    #[arg(long)]
    reach: bool,
}

/// Time of the files in the database: there is none that means anything before the first boot.
const TIME: u32 = 0;

/// Runs the verb.
pub fn run(context: &Context, args: Args) -> Result<ExitCode> {
    let project = load::project(&context.checkout, &args.appliance)?;
    let compiled = compile(&project.appliance, &project.board)
        .with_context(|| format!("compiling appliance {}", args.appliance))?;
    if let Some(dir) = &args.tree {
        write_tree(dir, &compiled)?;
    }
    if let Some(path) = &args.db {
        if path.exists() {
            bail!(
                "{} exists; a database that is there is never replaced: name another file",
                path.display()
            );
        }
        db::write(path, &compiled.pve, &compiled.node, TIME)
            .with_context(|| format!("writing {}", path.display()))?;
    }
    let pairs = match args.reach {
        true => {
            Some(reach(&project.appliance, &compiled).context("reading the compiled firewall")?)
        }
        false => None,
    };
    let written = args.tree.is_some() || args.db.is_some();
    // A reader that has seen enough, such as `head`, is no failure.
    match print(context.json, &compiled, pairs.as_deref(), written) {
        Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => Ok(ExitCode::SUCCESS),
        other => other.map(|()| ExitCode::SUCCESS).context("printing"),
    }
}

fn write_tree(dir: &Path, compiled: &Compiled) -> Result<()> {
    let there = match std::fs::read_dir(dir) {
        Ok(mut entries) => entries.next().is_some(),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => false,
        Err(error) => return Err(error).with_context(|| format!("listing {}", dir.display())),
    };
    if there {
        bail!(
            "{} is not empty; files of another version would stay in it: name another directory, or empty it",
            dir.display()
        );
    }
    for (path, bytes) in compiled.files() {
        let path = dir.join(path);
        if let Some(parent) = path.parent() {
            std::fs::create_dir_all(parent)
                .with_context(|| format!("creating {}", parent.display()))?;
        }
        std::fs::write(&path, bytes).with_context(|| format!("writing {}", path.display()))?;
    }
    Ok(())
}

/// `written` leaves out files that were just written elsewhere.
fn print(
    json: bool,
    compiled: &Compiled,
    pairs: Option<&[Pair]>,
    written: bool,
) -> std::io::Result<()> {
    let mut out = std::io::stdout().lock();
    match (json, pairs) {
        (true, pairs) => writeln!(out, "{}", object(compiled, pairs)),
        (false, Some(pairs)) => write!(out, "{}", to_text(pairs)),
        (false, None) if written => Ok(()),
        (false, None) => {
            for (path, bytes) in compiled.files() {
                writeln!(out, "==> {path} <==")?;
                out.write_all(bytes)?;
                writeln!(out)?;
            }
            Ok(())
        }
    }
}

fn object(compiled: &Compiled, pairs: Option<&[Pair]>) -> serde_json::Value {
    let files: serde_json::Map<String, serde_json::Value> = compiled
        .files()
        .into_iter()
        .map(|(path, bytes)| (path, String::from_utf8_lossy(bytes).into()))
        .collect();
    let devices: Vec<serde_json::Value> = compiled
        .devices
        .iter()
        .map(|device| {
            serde_json::json!({
                "guest": device.guest,
                "key": device.key,
                "root_port": device.root_port,
                "optional": device.optional,
            })
        })
        .collect();
    let mut object = serde_json::json!({
        "v": 1,
        "node": compiled.node,
        "files": files,
        "devices": devices,
    });
    if let Some(pairs) = pairs {
        let pair = |pair: &Pair| {
            let open: Vec<String> = pair.open.iter().map(ToString::to_string).collect();
            serde_json::json!({"from": pair.from, "to": pair.to, "filtered": pair.filtered, "open": open})
        };
        object["reach"] = pairs.iter().map(pair).collect();
    }
    object
}
