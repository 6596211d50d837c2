//! `build`, `sign` and `attach`: one pipeline, signed here or elsewhere.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context as _, Result, bail};
use clap::Args as ClapArgs;
use roamcore_image::build::{self, Identity, Outcome, Plan, Sources};
use roamcore_image::cache::{Cache, write_atomically};
use roamcore_image::clock::Shift;
use roamcore_image::keys::{KeySet, PublicSet, read_public};
use roamcore_image::lock::{Lock, Mirrors, Options};
use roamcore_image::relock;
use roamcore_image::signer::{self, Signer};
use roamcore_ota::Channel;
use roamcore_spec::names::Name;
use serde::{Deserialize, Serialize};

use super::lock::MirrorArgs;
use super::{Context, twice};

/// Exit code when an unsigned build waits for signatures.
pub const WANTED: u8 = 3;
/// What `attach` needs to go on with a build.
const STATE: &str = "build.json";

/// Arguments of `build`.
#[derive(Debug, ClapArgs)]
#[command(after_help = "Example: roamcore-image build bare --version 1.2.0 --sequence 12")]
pub struct Args {
    /// Appliance to build.
    appliance: Name,
    #[command(flatten)]
    what: What,
    /// A release image: signed by release keys, without what tests need to look inside.
    #[arg(long)]
    release: bool,
    /// The keys; development keys are made on first use when this is not given.
    #[arg(long, value_name = "DIR")]
    keys: Option<PathBuf>,
    /// Do not sign: write a request for another machine. Needs --public-keys.
    #[arg(long, requires = "public_keys")]
    unsigned: bool,
    /// The `public` directory of the keys that will sign.
    #[arg(long, value_name = "DIR", conflicts_with = "keys")]
    public_keys: Option<PathBuf>,
    /// Resolve packages again when the lock does not fit or a version is gone, and keep the result for further builds
    /// (development only).
    #[arg(long, conflicts_with = "release")]
    relock: bool,
    /// Build twice in different surroundings and compare every byte.
    #[arg(long, conflicts_with_all = ["unsigned", "relock"])]
    twice: bool,
}

/// What is built, from what.
#[derive(Debug, Clone, ClapArgs)]
pub struct What {
    /// Version of the release.
    #[arg(long, default_value = env!("CARGO_PKG_VERSION"))]
    pub version: String,
    /// Deployment sequence: higher than that of every earlier release.
    #[arg(long, default_value_t = 1)]
    pub sequence: u64,
    /// Directory for outputs.
    #[arg(long, default_value = "out", value_name = "DIR")]
    pub out: PathBuf,
    /// The agent's program; beside it lies what else `./dev agent` makes.
    #[arg(
        long,
        default_value = "target/agent/roamcore-agent",
        value_name = "FILE"
    )]
    pub agent: PathBuf,
    /// A further directory with packages, filled by `lock --download`.
    #[arg(long, value_name = "DIR")]
    pub pool: Option<PathBuf>,
    /// Use no network: every package must be in the cache or the pool.
    #[arg(long)]
    pub offline: bool,
    /// Threads; otherwise one per processor.
    #[arg(long)]
    pub threads: Option<usize>,
    /// Run the build's programs with a clock that is ahead; `--twice` does that.
    #[arg(long, hide = true, default_value_t = 0, value_name = "SECONDS")]
    pub clock_ahead: u64,
    #[command(flatten)]
    pub mirrors: MirrorArgs,
}

impl What {
    fn threads(&self) -> usize {
        let cores = || std::thread::available_parallelism().map_or(1, usize::from);
        self.threads.unwrap_or_else(cores).max(1)
    }
}

/// Arguments of `sign`.
#[derive(Debug, ClapArgs)]
#[command(after_help = "Example: roamcore-image sign /media/stick/request --keys /secure/release")]
pub struct SignArgs {
    /// Directory with a signing request, or a release or update to which to add a signature.
    dir: PathBuf,
    /// The keys; otherwise the development keys.
    #[arg(long, value_name = "DIR")]
    keys: Option<PathBuf>,
}

/// Arguments of `attach`.
#[derive(Debug, ClapArgs)]
#[command(after_help = "Example: roamcore-image attach out/bare-vp2430/1.2.0.unsigned")]
pub struct AttachArgs {
    /// Directory of the unsigned build or update, with the answers from the signing machine.
    dir: PathBuf,
    /// Of an update: write <product>-<version>.roam beside it too.
    #[arg(long)]
    single_file: bool,
}

/// The arguments of an unsigned build, kept for `attach`.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct State {
    format: u32,
    appliance: Name,
    version: String,
    sequence: u64,
    release: bool,
    out: PathBuf,
    agent: PathBuf,
    public_keys: PathBuf,
}

/// Everything a build needs, gathered from arguments.
pub struct Ready {
    /// The cache.
    pub cache: Cache,
    /// The lock.
    pub lock: Lock,
    /// Mirrors, unless offline.
    pub mirrors: Option<Mirrors>,
    /// The public keys.
    pub public: PublicSet,
}

/// Runs `build`.
pub fn run(context: &Context, args: Args) -> Result<ExitCode> {
    let channel = if args.release {
        Channel::Release
    } else {
        Channel::Development
    };
    let cache = Cache::open(&Cache::default_root()?)?;
    log(context, &cache, &args.appliance)?;
    let mirrors = if args.what.offline {
        None
    } else {
        Some(args.what.mirrors.find()?)
    };
    let lock = read_lock(context, &args, channel, mirrors.as_ref(), &cache)?;
    if args.unsigned {
        let dir = args.public_keys.context("--unsigned needs --public-keys")?;
        let public = read_public(&dir)?;
        let ready = Ready {
            cache,
            lock,
            mirrors,
            public,
        };
        return unsigned(context, &args.appliance, &args.what, channel, ready, &dir);
    }
    let keys = match (&args.keys, channel) {
        (Some(dir), _) => KeySet::open(dir)?,
        (None, Channel::Development) => development_keys(context)?,
        (None, Channel::Release) => {
            bail!("a release image needs --keys DIR, or --unsigned with --public-keys DIR")
        }
    };
    let ready = Ready {
        cache,
        lock,
        mirrors,
        public: keys.public()?,
    };
    if args.twice {
        return twice::run(context, &args.appliance, &args.what, channel, &ready, keys);
    }
    let plan = plan(
        context,
        &args.appliance,
        &args.what,
        channel,
        &ready,
        &args.what.out,
    );
    let outcome = build::run(&plan, &Signer::Keys(keys), &ready.cache, &context.events)?;
    tell(context, &outcome)
}

/// Keeps what this build says in a file, which a failure names.
fn log(context: &Context, cache: &Cache, appliance: &Name) -> Result<()> {
    // The process's number keeps builds apart that run at once.
    let name = format!("build-{appliance}-{}.log", std::process::id());
    let path = cache.logs().join(name);
    context
        .events
        .log_to(&path)
        .with_context(|| format!("creating the log {}", path.display()))
}

/// The development keys, made on first use.
pub fn development_keys(context: &Context) -> Result<KeySet> {
    let (keys, made) = KeySet::development()?;
    if made {
        context.events.note(&format!(
            "made development keys in {}; images signed with them are marked as development",
            keys.dir().display()
        ));
    }
    Ok(keys)
}

/// Reads the lock, or makes it anew where a development build may.
fn read_lock(
    context: &Context,
    args: &Args,
    channel: Channel,
    mirrors: Option<&Mirrors>,
    cache: &Cache,
) -> Result<Lock> {
    let path = super::lock::path(context, &args.appliance);
    let request = Sources::load(&context.checkout, &args.appliance, channel)?.request()?;
    if !args.relock {
        return Lock::read(&path).with_context(|| {
            format!(
                "the lock of `{0}`; make it with `roamcore-image lock {0}`",
                args.appliance
            )
        });
    }
    let wanted = relock::Wanted {
        appliance: args.appliance.as_str(),
        committed: &path,
        request: &request,
        mirrors,
        pool: args.what.pool.as_deref(),
        options: &Options::host(),
    };
    relock::choose(cache, wanted, &context.events)
}

/// The plan for a build into `out`.
pub fn plan<'a>(
    context: &'a Context,
    appliance: &Name,
    what: &'a What,
    channel: Channel,
    ready: &'a Ready,
    out: &'a Path,
) -> Plan<'a> {
    Plan {
        checkout: &context.checkout,
        appliance: appliance.clone(),
        identity: Identity {
            version: what.version.clone(),
            sequence: what.sequence,
            channel,
        },
        lock: &ready.lock,
        mirrors: ready.mirrors.as_ref(),
        pool: what.pool.as_deref(),
        agent: &what.agent,
        public: &ready.public,
        out,
        threads: what.threads(),
        clock: Shift::seconds(what.clock_ahead),
    }
}

fn unsigned(
    context: &Context,
    appliance: &Name,
    what: &What,
    channel: Channel,
    ready: Ready,
    public_keys: &Path,
) -> Result<ExitCode> {
    let plan = plan(context, appliance, what, channel, &ready, &what.out);
    let sources = Sources::load(&context.checkout, appliance, channel)?;
    let release_dir = plan.release_dir(&sources);
    let dir = release_dir.with_file_name(format!("{}.unsigned", what.version));
    signer::refuse_collected(&dir)?;
    if dir.exists() {
        fs::remove_dir_all(&dir)
            .with_context(|| format!("removing the earlier {}", dir.display()))?;
    }
    fs::create_dir_all(&dir).with_context(|| format!("creating {}", dir.display()))?;
    let state = State {
        format: 1,
        appliance: appliance.clone(),
        version: what.version.clone(),
        sequence: what.sequence,
        release: channel == Channel::Release,
        out: absolute(&what.out)?,
        agent: absolute(&what.agent)?,
        public_keys: absolute(public_keys)?,
    };
    // The very lock of this build, so that a lock updated meanwhile cannot change what is attached.
    ready.lock.write(&dir.join("build.lock"))?;
    write_atomically(&dir.join(STATE), &serde_json::to_vec_pretty(&state)?)?;
    let outcome = build::run(&plan, &Signer::Files(dir), &ready.cache, &context.events)?;
    tell(context, &outcome)
}

fn absolute(path: &Path) -> Result<PathBuf> {
    std::path::absolute(path).with_context(|| format!("resolving {}", path.display()))
}

/// Runs `attach`.
pub fn attach(context: &Context, args: AttachArgs) -> Result<ExitCode> {
    if args.dir.join("update.json").is_file() {
        return super::release::attach(context, &args.dir, args.single_file);
    }
    let path = args.dir.join(STATE);
    let bytes = fs::read(&path)
        .with_context(|| format!("reading {}; is this an unsigned build?", path.display()))?;
    let state: State = serde_json::from_slice(&bytes)
        .with_context(|| format!("{} is malformed", path.display()))?;
    if state.format != 1 {
        bail!(
            "{} has format {}; this program knows 1",
            path.display(),
            state.format
        );
    }
    let channel = if state.release {
        Channel::Release
    } else {
        Channel::Development
    };
    let public = read_public(&state.public_keys)?;
    let lock = Lock::read(&args.dir.join("build.lock"))?;
    let cache = Cache::open(&Cache::default_root()?)?;
    log(context, &cache, &state.appliance)?;
    let ready = Ready {
        cache,
        lock,
        mirrors: None,
        public,
    };
    let plan = Plan {
        checkout: &context.checkout,
        appliance: state.appliance.clone(),
        identity: Identity {
            version: state.version.clone(),
            sequence: state.sequence,
            channel,
        },
        lock: &ready.lock,
        mirrors: None,
        pool: None,
        agent: &state.agent,
        public: &ready.public,
        out: &state.out,
        threads: std::thread::available_parallelism().map_or(1, usize::from),
        clock: Shift::default(),
    };
    let outcome = build::run(
        &plan,
        &Signer::Files(absolute(&args.dir)?),
        &ready.cache,
        &context.events,
    )?;
    tell(context, &outcome)
}

/// Runs `sign`.
pub fn sign(context: &Context, args: SignArgs) -> Result<ExitCode> {
    let keys = match &args.keys {
        Some(dir) => KeySet::open(dir)?,
        None => development_keys(context)?,
    };
    if args.dir.join(signer::REQUEST).is_file() {
        let request = signer::answer(&args.dir, &keys)?;
        let names: Vec<&str> = request.boot.iter().map(|b| b.name.as_str()).collect();
        let manifest = request.manifest.then_some("release.json");
        let signed: Vec<&str> = names.into_iter().chain(manifest).collect();
        if context.json {
            let line = serde_json::json!({
                "v": 1, "outcome": "answered", "for": request.what, "signed": signed, "directory": args.dir,
            });
            println!("{line}");
        } else {
            println!("signed for {}: {}", request.what, signed.join(" "));
        }
        return Ok(ExitCode::SUCCESS);
    }
    let file = if args.dir.join("update.json").is_file() {
        signer::sign_update_file(&args.dir, &keys)?;
        args.dir.join("update.json.sig")
    } else {
        signer::sign_manifest_file(&args.dir, &keys)?;
        args.dir.join("release.json.sig")
    };
    if context.json {
        let line = serde_json::json!({"v": 1, "outcome": "signature-added", "file": file});
        println!("{line}");
    } else {
        println!("added a signature to {}", file.display());
    }
    Ok(ExitCode::SUCCESS)
}

/// Prints the outcome on standard output.
fn tell(context: &Context, outcome: &Outcome) -> Result<ExitCode> {
    let (kind, dir, code) = match outcome {
        Outcome::Signed(dir) => ("signed", dir, ExitCode::SUCCESS),
        Outcome::Wanted(dir) => ("signatures-wanted", dir, ExitCode::from(WANTED)),
    };
    if context.json {
        println!(
            "{}",
            serde_json::json!({"v": 1, "outcome": kind, "directory": dir})
        );
        return Ok(code);
    }
    match outcome {
        Outcome::Signed(dir) => println!("{}", dir.display()),
        Outcome::Wanted(dir) => println!(
            "signatures wanted: on the machine with the keys run `roamcore-image sign {0} --keys DIR`, then here \
             `roamcore-image attach {0}`",
            dir.display()
        ),
    }
    Ok(code)
}
