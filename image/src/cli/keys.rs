//! `keys`: make and show key sets.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Result;
use clap::{Args as ClapArgs, Subcommand, ValueEnum};
use roamcore_image::keys::{KeySet, read_public};

use super::{Context, roles};

/// Arguments of `keys`.
#[derive(Debug, ClapArgs)]
pub struct Args {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Make a new key set; its `public` directory is what builders and verifiers get.
    #[command(
        after_help = "Example: roamcore-image keys create --role release /secure/roamcore-2026"
    )]
    Create {
        /// What the keys are for.
        #[arg(long)]
        role: Role,
        /// Directory to make.
        dir: PathBuf,
    },
    /// Show a key set or a `public` directory.
    #[command(after_help = "Example: roamcore-image keys show /secure/roamcore-2026")]
    Show {
        /// The directory.
        dir: PathBuf,
    },
    /// Make, change, sign and show role documents: who may sign updates.
    Roles(roles::Args),
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Role {
    /// For images that tests can look into.
    Development,
    /// For images that ship.
    Release,
}

/// Runs the verb.
pub fn run(context: &Context, args: Args) -> Result<ExitCode> {
    let public = match args.verb {
        Verb::Create { role, dir } => {
            let role = match role {
                Role::Development => roamcore_ota::Role::Development,
                Role::Release => roamcore_ota::Role::Release,
            };
            KeySet::create(&dir, role)?.public()?
        }
        Verb::Show { dir } if dir.join("public").is_dir() => KeySet::open(&dir)?.public()?,
        Verb::Show { dir } => read_public(&dir)?,
        Verb::Roles(args) => return roles::run(context, args),
    };
    let (id, role) = (public.release.id(), public.release.role());
    if context.json {
        let line = serde_json::json!({
            "v": 1, "key_id": id.to_string(), "role": format!("{role:?}").to_lowercase(),
            "db_subject": public.db.subject(), "db_sha256": public.db.fingerprint(),
        });
        println!("{line}");
    } else {
        println!("release key  {id} ({role:?})");
        println!(
            "Secure Boot  {} {}",
            public.db.subject(),
            public.db.fingerprint()
        );
    }
    Ok(ExitCode::SUCCESS)
}
