//! `release`: the update that devices fetch, from a finished build.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context as _, Result, bail};
use clap::{Args as ClapArgs, Subcommand};
use roamcore_delta::PackOptions;
use roamcore_image::keys::{KeySet, PublicSet, read_public};
use roamcore_image::release::{self, Cost, MINIMUM_AGENT, Made, Options, Prediction, Source};
use roamcore_image::roles;
use roamcore_ota::{Channel, Clock, Release, TrustedRoles, Version};
use roamcore_spec::Size;

use super::Context;
use super::build::{WANTED, development_keys};

/// Arguments of `release`.
#[derive(Debug, ClapArgs)]
#[command(
    args_conflicts_with_subcommands = true,
    after_help = "Example: roamcore-image release out/bare-vp2430/latest --single-file"
)]
pub struct Args {
    #[command(subcommand)]
    verb: Option<Verb>,
    #[command(flatten)]
    make: MakeArgs,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Predict what a device that runs OLD fetches for NEW. Verifies nothing.
    #[command(
        after_help = "Example: roamcore-image release diff out/bare-vp2430/1.0.0.update out/bare-vp2430/1.1.0.update"
    )]
    Diff {
        /// Update that runs: a directory or a .roam file.
        old: PathBuf,
        /// Update that is offered.
        new: PathBuf,
    },
    /// Verify an update: role documents, signatures, every file.
    #[command(
        after_help = "Example: roamcore-image release verify roamcore-bare-1.1.0.roam --trust public/roles.json"
    )]
    Verify {
        /// A directory or a .roam file.
        update: PathBuf,
        /// Role documents to begin with, as an image carries them; otherwise those of this
        /// machine's development keys.
        #[arg(long, value_name = "FILE")]
        trust: Option<PathBuf>,
        /// Put root and kernel image together from their frames too, and compare them.
        #[arg(long)]
        rebuild: bool,
    },
}

#[derive(Debug, ClapArgs)]
struct MakeArgs {
    /// Directory of a finished build.
    #[arg(required = true)]
    build: Option<PathBuf>,
    /// Directory to make [default: the build's with `.update` after its name].
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Keys that sign, with their role documents; otherwise the development keys.
    #[arg(long, value_name = "DIR")]
    keys: Vec<PathBuf>,
    /// Role documents to use in place of the keys' own.
    #[arg(long, value_name = "FILE")]
    roles: Option<PathBuf>,
    /// Do not sign: leave it to `sign` on another machine and `attach` here. Needs --public-keys.
    #[arg(long, requires = "public_keys", conflicts_with = "keys")]
    unsigned: bool,
    /// The `public` directory of the keys that will sign.
    #[arg(long, value_name = "DIR", conflicts_with = "keys")]
    public_keys: Option<PathBuf>,
    /// Largest part.
    #[arg(long, value_name = "SIZE", default_value = "512MiB", value_parser = size)]
    part_limit: Size,
    /// Level of compression, 1 to 19.
    #[arg(long, default_value_t = PackOptions::default().level, value_parser = clap::value_parser!(i32).range(1..=19))]
    level: i32,
    /// Write <product>-<version>.roam beside the directory too.
    #[arg(long)]
    single_file: bool,
    /// Days after the image's creation until devices refuse the update.
    #[arg(long, value_name = "DAYS")]
    expires: Option<u64>,
    /// The oldest agent that can install it.
    #[arg(long, value_name = "VERSION", default_value = MINIMUM_AGENT)]
    minimum_agent: Version,
    /// Threads; otherwise one per processor.
    #[arg(long)]
    threads: Option<usize>,
}

fn size(text: &str) -> Result<Size, String> {
    text.parse::<Size>().map_err(|e| e.to_string())
}

/// Runs the verb.
pub fn run(context: &Context, args: Args) -> Result<ExitCode> {
    match args.verb {
        None => make(context, args.make),
        Some(Verb::Diff { old, new }) => diff(context, &old, &new),
        Some(Verb::Verify {
            update,
            trust,
            rebuild,
        }) => verify(context, &update, trust.as_deref(), rebuild),
    }
}

fn make(context: &Context, args: MakeArgs) -> Result<ExitCode> {
    let build = args
        .build
        .as_ref()
        .context("no build directory was given")?;
    let build = build
        .canonicalize()
        .with_context(|| format!("looking for {}", build.display()))?;
    let channel = channel(&build)?;
    let (keys, public) = signers(context, &args, channel)?;
    let trusted = match &args.roles {
        Some(path) => anchor(path)?,
        None => public.anchor(channel)?,
    };
    let out = args.out.clone().unwrap_or_else(|| suffixed(&build));
    let options = Options {
        build: &build,
        out: &out,
        roles: &trusted,
        keys: &keys,
        expires_days: args.expires,
        minimum_agent: args.minimum_agent,
        pack: PackOptions {
            level: args.level,
            part_bytes: args.part_limit.bytes(),
            threads: args.threads.unwrap_or_else(cores).max(1),
            ..PackOptions::default()
        },
        single: args.single_file,
        now: roles::now()?,
    };
    tell(context, &release::make(&options, &context.events)?)
}

/// Goes on with an update that waited for signatures.
pub fn attach(context: &Context, dir: &Path, single: bool) -> Result<ExitCode> {
    tell(context, &release::attach(dir, single, roles::now()?)?)
}

/// The channel of a build, by which its keys are chosen; it is verified later.
fn channel(build: &Path) -> Result<Channel> {
    let path = build.join("release.json");
    let bytes = std::fs::read(&path)
        .with_context(|| format!("reading {}; is this a finished build?", path.display()))?;
    let release = Release::parse(&bytes).with_context(|| format!("{}", path.display()))?;
    Ok(release.channel)
}

/// The keys that sign here, and the public half that says whose signatures count.
fn signers(
    context: &Context,
    args: &MakeArgs,
    channel: Channel,
) -> Result<(Vec<KeySet>, PublicSet)> {
    if let Some(dir) = &args.public_keys {
        if !args.unsigned {
            bail!("--public-keys is for --unsigned; to sign here, give --keys");
        }
        return Ok((Vec::new(), read_public(dir)?));
    }
    let mut keys = Vec::new();
    for dir in &args.keys {
        keys.push(KeySet::open(dir)?);
    }
    if keys.is_empty() {
        if channel == Channel::Release {
            bail!(
                "the update of a release image needs --keys DIR, or --unsigned with --public-keys DIR"
            );
        }
        keys.push(development_keys(context)?);
    }
    let first = keys.first().context("no keys")?.public()?;
    Ok((keys, first))
}

fn anchor(path: &Path) -> Result<TrustedRoles> {
    let bytes = std::fs::read(path).with_context(|| format!("reading {}", path.display()))?;
    TrustedRoles::anchor(&bytes).with_context(|| format!("{}", path.display()))
}

fn suffixed(build: &Path) -> PathBuf {
    let mut name = build.as_os_str().to_owned();
    name.push(".update");
    PathBuf::from(name)
}

fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

fn tell(context: &Context, made: &Made) -> Result<ExitCode> {
    let (dir, single, checked) = match made {
        Made::Complete {
            dir,
            single,
            checked,
        } => (dir, single, checked),
        Made::Wanted { dir, why } => {
            if context.json {
                println!(
                    "{}",
                    serde_json::json!({
                        "v": 1, "outcome": "signatures-wanted", "directory": dir, "why": why.to_string(),
                    })
                );
            } else {
                println!(
                    "signatures wanted ({why}): take update.json, and update.json.sig if it is there, to the machine \
                     with the keys, run `roamcore-image sign DIR --keys KEYS` on their directory, bring update.json.sig \
                     back and run `roamcore-image attach {}`",
                    dir.display()
                );
            }
            return Ok(ExitCode::from(WANTED));
        }
    };
    let update = checked.update.update();
    let indexes = update.index.size + update.uki.index.size;
    let listed = [update.uki.parts.as_slice(), &update.parts].concat();
    let parts: u64 = listed.iter().map(|part| part.size).sum();
    if context.json {
        let line = serde_json::json!({
            "v": 1, "outcome": "complete", "directory": dir, "file": single,
            "sha256": checked.update.digest(), "sequence": update.sequence,
            "root_bytes": update.root.size, "uki_bytes": update.uki.size,
            "index_bytes": indexes, "parts": listed.len(), "part_bytes": parts,
            "full_bytes": checked.full_bytes,
        });
        println!("{line}");
        return Ok(ExitCode::SUCCESS);
    }
    eprintln!(
        "root {}, kernel {}, indexes {}, {} parts with {}; a device that has nothing fetches {} of them",
        bytes(update.root.size),
        bytes(update.uki.size),
        bytes(indexes),
        listed.len(),
        bytes(parts),
        bytes(checked.full_bytes)
    );
    println!("{}", dir.display());
    if let Some(file) = single {
        println!("{}", file.display());
    }
    Ok(ExitCode::SUCCESS)
}

fn diff(context: &Context, old: &Path, new: &Path) -> Result<ExitCode> {
    let prediction = release::predict(&Source::open(old)?, &Source::open(new)?)?;
    if context.json {
        let line = serde_json::json!({"v": 1, "prediction": prediction});
        println!("{line}");
    } else {
        print(&prediction);
    }
    Ok(ExitCode::SUCCESS)
}

fn print(prediction: &Prediction) {
    let line = |name: &str, cost: Cost| {
        println!(
            "{name:<10} {:>12} {:>6} {}",
            bytes(cost.bytes),
            cost.requests,
            if cost.requests == 1 {
                "request"
            } else {
                "requests"
            }
        );
    };
    line("documents", prediction.documents);
    line("indexes", prediction.index);
    line("frames", prediction.frames);
    line("uki", prediction.uki);
    line("total", prediction.total);
    line("full", prediction.full);
    println!(
        "{} of {} of the root and {} of {} of the kernel image are copied on the device",
        bytes(prediction.copied),
        bytes(prediction.root),
        bytes(prediction.uki_copied),
        bytes(prediction.uki_size)
    );
}

/// Bytes for people, in the units of data plans.
fn bytes(count: u64) -> String {
    match count {
        0..10_000 => format!("{count} B"),
        10_000..10_000_000 => format!("{}.{} kB", count / 1000, count / 100 % 10),
        _ => format!("{}.{} MB", count / 1_000_000, count / 100_000 % 10),
    }
}

fn verify(context: &Context, path: &Path, trust: Option<&Path>, rebuild: bool) -> Result<ExitCode> {
    let trusted = match trust {
        Some(path) => anchor(path)?,
        None => {
            let set = KeySet::open(&KeySet::development_dir()?)
                .context("no --trust was given and there are no development keys")?;
            set.public()?.anchor(Channel::Development)?
        }
    };
    let source = Source::open(path)?;
    let clock = Clock::new(Some(roles::now()?));
    let checked = release::check(&source, &trusted, &clock)?;
    let update = checked.update.update();
    if rebuild {
        let scratch = tempfile::tempdir().context("making a temporary directory")?;
        release::rebuild(&source, update, scratch.path(), cores(), &context.events)
            .with_context(|| format!("{} is refused", path.display()))?;
    }
    if context.json {
        let signers: Vec<String> = checked
            .update
            .signers()
            .iter()
            .map(ToString::to_string)
            .collect();
        let line = serde_json::json!({
            "v": 1, "verified": true, "product": update.product, "version": update.version,
            "sequence": update.sequence, "channel": update.channel, "signers": signers,
            "roles": checked.update.roles().version(), "files": update.files().count(),
            "rebuilt": rebuild,
        });
        println!("{line}");
    } else {
        println!(
            "{} {} (sequence {}, {}) is what its signatures say: {} files checked{}",
            update.product,
            update.version,
            update.sequence,
            update.channel,
            update.files().count(),
            if rebuild {
                ", root and kernel image rebuilt"
            } else {
                ""
            }
        );
    }
    Ok(ExitCode::SUCCESS)
}
