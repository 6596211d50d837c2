//! `keys roles`: make, change, sign and show role documents.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context as _, Result, bail};
use clap::{Args as ClapArgs, Subcommand};
use roamcore_image::keys::{create_root_key, read_key};
use roamcore_image::roles::{self, Change};
use roamcore_ota::{KeyId, PublicKey, Role, RoleChain, Window};

use super::Context;

/// Arguments of `keys roles`.
#[derive(Debug, ClapArgs)]
pub struct Args {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Make a root key: NAME.key stays with its holder, NAME.pub goes into role documents.
    #[command(after_help = "Example: roamcore-image keys roles key /secure/alice-root.key")]
    Key {
        /// The private key file to make.
        file: PathBuf,
    },
    /// Write the first role document, to be signed.
    #[command(
        after_help = "Example: roamcore-image keys roles init roles.json --key alice-root.pub --key bob-root.pub --key \
                      release.pub --threshold root=2"
    )]
    Init {
        /// File to make.
        file: PathBuf,
        /// A public key that has a role from now on; the file says which.
        #[arg(long, value_name = "FILE", required = true)]
        key: Vec<PathBuf>,
        #[command(flatten)]
        terms: Terms,
    },
    /// Add a role document with other keys, windows or only later dates, to be signed.
    #[command(
        after_help = "Example: roamcore-image keys roles rotate roles.json --add carol-root.pub --remove 34750f98bd59fcfc"
    )]
    Rotate {
        /// The chain.
        file: PathBuf,
        /// A public key that comes.
        #[arg(long, value_name = "FILE")]
        add: Vec<PathBuf>,
        /// The id of a key that goes.
        #[arg(long, value_name = "ID", value_parser = key_id)]
        remove: Vec<KeyId>,
        #[command(flatten)]
        terms: Terms,
    },
    /// Add a role document by which stolen keys never count again, to be signed.
    #[command(
        after_help = "Example: roamcore-image keys roles revoke roles.json --key d7e1e084be213b01 --add new-release.pub"
    )]
    Revoke {
        /// The chain.
        file: PathBuf,
        /// The id of a stolen key.
        #[arg(long, value_name = "ID", value_parser = key_id, required = true)]
        key: Vec<KeyId>,
        /// A public key that comes in its place.
        #[arg(long, value_name = "FILE")]
        add: Vec<PathBuf>,
        #[command(flatten)]
        terms: Terms,
    },
    /// Add a root key's signature to the newest role document.
    #[command(
        after_help = "Example: roamcore-image keys roles sign roles.json --key /secure/alice-root.key"
    )]
    Sign {
        /// The chain.
        file: PathBuf,
        /// The root key.
        #[arg(long, value_name = "FILE", required = true)]
        key: Vec<PathBuf>,
    },
    /// Show a chain, and which signatures it lacks.
    #[command(after_help = "Example: roamcore-image keys roles show roles.json")]
    Show {
        /// The chain.
        file: PathBuf,
    },
}

/// What a role document says besides its keys.
#[derive(Debug, ClapArgs)]
struct Terms {
    /// How many keys of a role must sign: root=2, release=2 or development=1.
    #[arg(long, value_name = "ROLE=N", value_parser = threshold)]
    threshold: Vec<(Role, usize)>,
    /// Days until it expires [default: 730 with release keys, 3650 without].
    #[arg(long, value_name = "DAYS")]
    expires: Option<u64>,
    /// Sequences that may be installed, as MINIMUM-MAXIMUM.
    #[arg(long, value_name = "RANGE", value_parser = window::<u64>)]
    sequence: Option<Window<u64>>,
    /// Security epochs that may be installed, as MINIMUM-MAXIMUM.
    #[arg(long, value_name = "RANGE", value_parser = window::<u32>)]
    epoch: Option<Window<u32>>,
}

fn key_id(text: &str) -> Result<KeyId, String> {
    KeyId::try_from(text.to_owned()).map_err(str::to_owned)
}

fn threshold(text: &str) -> Result<(Role, usize), String> {
    let (role, number) = text.split_once('=').ok_or("write ROLE=N, as in root=2")?;
    let role = match role {
        "root" => Role::Root,
        "release" => Role::Release,
        "development" => Role::Development,
        _ => {
            return Err(format!(
                "{role:?} is not a role: root, release or development"
            ));
        }
    };
    let number = number
        .parse()
        .map_err(|_| format!("{number:?} is not a number"))?;
    Ok((role, number))
}

fn window<T: std::str::FromStr>(text: &str) -> Result<Window<T>, String> {
    let ends = text.split_once('-').and_then(|(minimum, maximum)| {
        Some(Window {
            minimum: minimum.parse().ok()?,
            maximum: maximum.parse().ok()?,
        })
    });
    ends.ok_or_else(|| "write MINIMUM-MAXIMUM, as in 0-1000".to_owned())
}

impl Terms {
    fn change(self, add: &[PathBuf]) -> Result<Change> {
        Ok(Change {
            add: add.iter().map(|path| public(path)).collect::<Result<_>>()?,
            thresholds: BTreeMap::from_iter(self.threshold),
            days: self.expires,
            sequence: self.sequence,
            security_epoch: self.epoch,
            ..Change::default()
        })
    }
}

fn public(path: &Path) -> Result<PublicKey> {
    let text = fs::read_to_string(path).with_context(|| format!("reading {}", path.display()))?;
    PublicKey::parse(&text).with_context(|| format!("the key {}", path.display()))
}

/// Runs the verb.
pub fn run(context: &Context, args: Args) -> Result<ExitCode> {
    let next = |file: PathBuf, change: Change| -> Result<(PathBuf, RoleChain)> {
        let mut chain = roles::read(&file)?;
        roles::next(&mut chain, change)?;
        roles::replace(&file, &chain)?;
        Ok((file, chain))
    };
    let (file, chain) = match args.verb {
        Verb::Key { file } => {
            if file.extension().is_none_or(|extension| extension != "key") {
                bail!(
                    "{} should end in .key; .pub is made beside it",
                    file.display()
                );
            }
            let id = create_root_key(&file)?.id();
            if context.json {
                let line = serde_json::json!({"v": 1, "key_id": id.to_string(), "role": "root"});
                println!("{line}");
            } else {
                println!("root key {id} in {}", file.display());
            }
            return Ok(ExitCode::SUCCESS);
        }
        Verb::Init { file, key, terms } => {
            let chain = roles::first(terms.change(&key)?)?;
            roles::write_new(&file, &chain)?;
            (file, chain)
        }
        Verb::Rotate {
            file,
            add,
            remove,
            terms,
        } => {
            let change = Change {
                remove,
                ..terms.change(&add)?
            };
            next(file, change)?
        }
        Verb::Revoke {
            file,
            key,
            add,
            terms,
        } => {
            let change = Change {
                revoke: key,
                ..terms.change(&add)?
            };
            next(file, change)?
        }
        Verb::Sign { file, key } => {
            let mut chain = roles::read(&file)?;
            for path in &key {
                chain.sign(&read_key(path)?)?;
            }
            roles::replace(&file, &chain)?;
            (file, chain)
        }
        Verb::Show { file } => {
            let chain = roles::read(&file)?;
            (file, chain)
        }
    };
    show(context, &file, &chain)?;
    Ok(ExitCode::SUCCESS)
}

fn show(context: &Context, file: &Path, chain: &RoleChain) -> Result<()> {
    let wanted = roles::wanted(chain)?;
    if context.json {
        let documents: Vec<_> = chain
            .documents()
            .iter()
            .map(|entry| {
                let ids: Vec<String> = entry.key_ids().map(|id| id.to_string()).collect();
                serde_json::json!({
                    "version": entry.document().version, "created": entry.document().created,
                    "expires": entry.document().expires, "signed_by": ids,
                })
            })
            .collect();
        let line = serde_json::json!({
            "v": 1, "file": file, "documents": documents, "complete": wanted.is_none(),
            "wanted": wanted.map(|e| e.to_string()),
        });
        println!("{line}");
        return Ok(());
    }
    for entry in chain.documents() {
        let ids: Vec<String> = entry.key_ids().map(|id| id.to_string()).collect();
        let document = entry.document();
        println!(
            "document {}: {} to {}, signed by {}",
            document.version,
            document.created,
            document.expires,
            if ids.is_empty() {
                "nobody".to_owned()
            } else {
                ids.join(", ")
            }
        );
    }
    let newest = chain.newest()?.document();
    for role in [Role::Root, Role::Release, Role::Development] {
        if let Some(keys) = newest.role(role) {
            let ids: Vec<String> = keys.keys.iter().map(ToString::to_string).collect();
            println!("{role:<12} {} of {}", keys.threshold, ids.join(", "));
        }
    }
    let revoked: Vec<String> = newest.revoked.iter().map(ToString::to_string).collect();
    if !revoked.is_empty() {
        println!("revoked      {}", revoked.join(", "));
    }
    println!("sequence     {}", newest.sequence);
    println!("epoch        {}", newest.security_epoch);
    match wanted {
        Some(wanted) => println!(
            "not in force: {wanted}; sign with `roamcore-image keys roles sign {} --key FILE`",
            file.display()
        ),
        None => println!("in force"),
    }
    Ok(())
}
