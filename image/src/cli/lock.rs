//! `lock`: resolve packages, show what changed, keep a pool.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context as _, Result};
use clap::Args as ClapArgs;
use roamcore_image::build::Sources;
use roamcore_image::cache::Cache;
use roamcore_image::lock::{self, Lock, Mirrors, Set};
use roamcore_image::pool::Pool;
use roamcore_ota::Channel;
use roamcore_spec::names::Name;

use super::Context;

/// Arguments of `lock`.
#[derive(Debug, ClapArgs)]
#[command(after_help = "Example: roamcore-image lock bare --update")]
pub struct Args {
    /// Appliance whose packages to resolve.
    appliance: Name,
    /// Take the newest versions although the lock still fits the overlays.
    #[arg(long)]
    update: bool,
    /// Also fill this directory with every package, for `build --pool`.
    #[arg(long, value_name = "DIR")]
    download: Option<PathBuf>,
    /// Trust the key of an overlay's apt source: it is copied into the overlay.
    #[arg(long, value_name = "NAME=FILE")]
    trust_key: Vec<String>,
    #[command(flatten)]
    mirrors: MirrorArgs,
}

/// Where Debian is.
#[derive(Debug, Clone, ClapArgs)]
pub struct MirrorArgs {
    /// Debian archive; otherwise the one this machine's apt uses.
    #[arg(long, value_name = "URI")]
    mirror: Option<String>,
    /// Debian security archive; otherwise the one this machine's apt uses.
    #[arg(long, value_name = "URI")]
    security_mirror: Option<String>,
    /// Where the apt source NAME of an overlay is served.
    #[arg(long, value_name = "NAME=URI")]
    source_mirror: Vec<String>,
}

/// Splits `NAME=VALUE`.
fn pair<'a>(text: &'a str, flag: &str, value: &str) -> Result<(&'a str, &'a str)> {
    text.split_once('=')
        .with_context(|| format!("`{flag} {text}`: expected NAME={value}"))
}

impl MirrorArgs {
    /// Finds the mirrors.
    pub fn find(&self) -> Result<Mirrors> {
        let mut mirrors = Mirrors::find(self.mirror.as_deref(), self.security_mirror.as_deref())?;
        for source in &self.source_mirror {
            let (name, uri) = pair(source, "--source-mirror", "URI")?;
            mirrors.set(name, uri)?;
        }
        Ok(mirrors)
    }
}

/// Where an appliance's lock lies.
pub fn path(context: &Context, appliance: &Name) -> PathBuf {
    context
        .checkout
        .join("appliances")
        .join(format!("{appliance}.lock"))
}

/// Runs the verb.
pub fn run(context: &Context, args: Args) -> Result<ExitCode> {
    let path = path(context, &args.appliance);
    // The development overlay may name packages too; one lock serves both channels.
    let sources = Sources::load(&context.checkout, &args.appliance, Channel::Development)?;
    for import in &args.trust_key {
        let (name, file) = pair(import, "--trust-key", "FILE")?;
        let target = sources.import_key(name, Path::new(file))?;
        context.events.note(&format!(
            "`{name}` is now trusted through {}; review and commit it",
            target.display()
        ));
    }
    let request = sources.request()?;
    let old = match Lock::read(&path) {
        Ok(lock) => Some(lock),
        Err(_) if !path.exists() => None,
        // `--update` is the remedy that the error names.
        Err(error) if args.update => {
            context
                .events
                .note(&format!("making the lock anew: {error}"));
            None
        }
        Err(error) => return Err(error.into()),
    };
    let mirrors = args.mirrors.find()?;
    let mut outcome = "unchanged";
    let mut changes = Changes::default();
    let lock = match old {
        Some(ref old) if old.matches(&request) && !args.update => {
            context
                .events
                .note("the lock fits the overlays; --update takes newer versions");
            old.clone()
        }
        _ => {
            let new = lock::resolve(&request, &mirrors, &context.events)?;
            let unchanged = old
                .as_ref()
                .is_some_and(|old| old.matches(&request) && old.same_packages(&new));
            if unchanged {
                context.events.note("nothing newer; the lock is unchanged");
            } else {
                new.write(&path)?;
                outcome = "locked";
                changes = Changes::between(old.as_ref(), &new);
                changes.show(context);
            }
            new
        }
    };
    if let Some(dir) = args.download {
        let pool = Pool::open(&dir)?;
        let cache = Cache::open(&Cache::default_root()?)?;
        let own = cache.root().join("pool");
        for set in [Set::Tools, Set::Image] {
            pool.ensure(&lock, set, Some(&mirrors), Some(&own), &context.events)?;
        }
    }
    if context.json {
        let line = serde_json::json!({
            "v": 1, "outcome": outcome, "lock": path,
            "image": lock.packages(Set::Image).len(), "tools": lock.packages(Set::Tools).len(),
            "new": changes.new, "changed": changes.changed, "gone": changes.gone,
        });
        println!("{line}");
    }
    Ok(ExitCode::SUCCESS)
}

/// What a new lock changes in the image, one line each.
#[derive(Default)]
struct Changes {
    new: Vec<String>,
    changed: Vec<String>,
    gone: Vec<String>,
}

impl Changes {
    fn between(old: Option<&Lock>, new: &Lock) -> Changes {
        let versions = |lock: &Lock| -> BTreeMap<String, String> {
            lock.packages(Set::Image)
                .iter()
                .map(|p| (p.name.clone(), p.version.clone()))
                .collect()
        };
        let (before, after) = (old.map(versions).unwrap_or_default(), versions(new));
        let mut changes = Changes::default();
        for (name, version) in &after {
            match before.get(name) {
                None => changes.new.push(format!("{name} {version}")),
                Some(was) if was != version => {
                    changes.changed.push(format!("{name} {was} -> {version}"));
                }
                Some(_) => {}
            }
        }
        let gone = before.into_keys().filter(|name| !after.contains_key(name));
        changes.gone.extend(gone);
        changes
    }

    fn show(&self, context: &Context) {
        let lists = [
            ("new", &self.new),
            ("changed", &self.changed),
            ("gone", &self.gone),
        ];
        for (what, list) in lists {
            for item in list {
                context.events.note(&format!("{what}: {item}"));
            }
        }
    }
}
