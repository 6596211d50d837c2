//! One built release for all tests that need one, and how to run the builder.
//!
//! The first test binary builds it; the others use it as long as sources, agent and builder are the
//! same. It lies under cargo's directory for test files, with keys and a checkout of its own, and
//! uses the machine's ordinary cache, so that packages are fetched and installed once.

#![allow(
    dead_code,
    unused_imports,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "test helpers, too, may panic; not every test uses every helper"
)]

mod package;
mod random;
mod skip;
mod user;

use std::borrow::BorrowMut;
use std::fs::{self, File};
use std::io::Write;
use std::os::unix::fs::{MetadataExt, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;

use roamcore_image::cache::Cache;
use roamcore_image::crates::BESIDE_AGENT;
use roamcore_image::nar;

pub use package::Extra;
pub use random::Random;
pub use skip::skip;
pub use user::{User, give};

/// The builder under test.
pub const BUILDER: &str = env!("CARGO_BIN_EXE_roamcore-image");
/// The appliance that tests build.
pub const APPLIANCE: &str = "bare";
/// Its release directory below an output directory.
pub const RELEASE: &str = "bare-vp2430/0.1.0";

/// The shared release.
pub struct Built {
    root: PathBuf,
    /// The agent's program that is in it.
    pub agent: PathBuf,
    _held: File,
}

/// How a program ended.
#[derive(Debug)]
pub struct Ran {
    /// Exit code; -1 when a signal ended it.
    pub code: i32,
    /// Standard output.
    pub out: String,
    /// Standard error.
    pub err: String,
}

impl Ran {
    /// Asserts success.
    #[track_caller]
    pub fn ok(self) -> Ran {
        assert_eq!(self.code, 0, "{}{}", self.out, self.err);
        self
    }

    /// Asserts an exit code and that standard error holds every one of `texts`.
    #[track_caller]
    pub fn fails(self, code: i32, texts: &[&str]) -> Ran {
        assert_eq!(self.code, code, "{}{}", self.out, self.err);
        for text in texts {
            assert!(self.err.contains(text), "{text:?} is not in:\n{}", self.err);
        }
        self
    }
}

/// Runs a command to its end.
pub fn run(mut command: impl BorrowMut<Command>) -> Ran {
    let command = command.borrow_mut();
    let output = command.stdin(Stdio::null()).output();
    let output = output.unwrap_or_else(|e| panic!("{command:?}: {e}"));
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    Ran {
        code: output.status.code().unwrap_or(-1),
        out: text(&output.stdout),
        err: text(&output.stderr),
    }
}

/// Says past the capture what a test measured.
pub fn say(text: &str) {
    let _ = std::io::stderr().write_all(format!("{text}\n").as_bytes());
}

/// A program of the host, or a skip.
pub fn tool(name: &str) -> Option<Command> {
    let path = std::env::var("PATH").unwrap_or_default() + ":/usr/sbin:/sbin";
    let found = path
        .split(':')
        .map(|dir| Path::new(dir).join(name))
        .find(|file| file.is_file());
    if found.is_none() {
        skip(&format!("{name} is not installed; ./dev installs it"));
    }
    found.map(Command::new)
}

/// True when the tests run as root; otherwise a skip.
pub fn root() -> bool {
    let root = rustix::process::geteuid().is_root();
    if !root {
        skip("needs root");
    }
    root
}

/// The release, built when need be; `None` after a skip.
pub fn built() -> Option<&'static Built> {
    static BUILT: OnceLock<Option<Built>> = OnceLock::new();
    let built = BUILT.get_or_init(Built::make).as_ref();
    if built.is_none() {
        skip("no agent: set ROAMCORE_AGENT or run ./dev agent");
    }
    built
}

fn agent() -> Option<PathBuf> {
    let named = std::env::var_os("ROAMCORE_AGENT").map(PathBuf::from);
    let ours = Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/agent/roamcore-agent");
    let path = named.unwrap_or(ours);
    path.is_file().then(|| path.canonicalize().unwrap())
}

/// One directory for all test programs of one target directory. It is outside the checkout, because
/// keys may not be made inside one.
fn workplace() -> PathBuf {
    use std::hash::{DefaultHasher, Hash, Hasher};
    let mut hasher = DefaultHasher::new();
    env!("CARGO_TARGET_TMPDIR").hash(&mut hasher);
    let top = std::env::temp_dir().join(format!("roamcore-tests-{:016x}", hasher.finish()));
    fs::create_dir_all(&top).unwrap();
    top
}

impl Built {
    fn make() -> Option<Built> {
        let agent = agent()?;
        let top = workplace();
        let held = File::create(top.join("release.lock")).unwrap();
        held.lock().unwrap();
        let root = top.join("release");
        let stamp = stamp(&agent);
        let same = fs::read_to_string(root.join("stamp")).is_ok_and(|there| there == stamp);
        let built = Built {
            root,
            agent,
            _held: held,
        };
        if !same {
            built.build(&stamp);
        }
        built._held.lock_shared().unwrap();
        Some(built)
    }

    fn build(&self, stamp: &str) {
        if self.root.exists() {
            fs::remove_dir_all(&self.root).unwrap();
        }
        fs::create_dir_all(&self.root).unwrap();
        copy_checkout(&source(), &self.checkout());
        // A version that the mirrors have dropped must not break a fresh clone; the copy's lock is
        // renewed rather than --relock used, so that all tests build offline from one lock.
        let first = run(self.builder().args(["build", APPLIANCE]));
        let outdated = ["are gone from the mirror", "was made for other packages"];
        if outdated.iter().any(|why| first.err.contains(why)) {
            say(&format!(
                "the committed lock does not build; locking anew: {}",
                first.err
            ));
            run(self.builder().args(["lock", APPLIANCE, "--update"])).ok();
            run(self.builder().args(["build", APPLIANCE])).ok();
        } else {
            first.ok();
        }
        fs::write(self.root.join("stamp"), stamp).unwrap();
    }

    /// The builder with the fixture's keys and agent, its checkout and its output directory, which
    /// is also the working directory's `out`.
    pub fn builder(&self) -> Builder {
        Builder {
            checkout: self.checkout(),
            agent: self.agent.clone(),
            out: self.root.join("out"),
            keys: self.root.join("keys"),
            cache: None,
            args: Vec::new(),
        }
    }

    /// The checkout it was built from.
    pub fn checkout(&self) -> PathBuf {
        self.root.join("checkout")
    }

    /// The directory for `ROAMCORE_KEYS`.
    pub fn keys(&self) -> PathBuf {
        self.root.join("keys")
    }

    /// The release directory.
    pub fn release(&self) -> PathBuf {
        self.root.join("out").join(RELEASE)
    }

    /// The disk image, unpacked sparsely, once.
    pub fn raw(&self) -> PathBuf {
        static ONCE: OnceLock<PathBuf> = OnceLock::new();
        let make = || {
            let path = self.root.join("disk.img");
            let door = File::create(self.root.join("disk.lock")).unwrap();
            door.lock().unwrap();
            if !path.exists() {
                let part = self.root.join("disk.part");
                unpack(&self.release().join("disk.img.zst"), &part);
                fs::rename(part, &path).unwrap();
            }
            path
        };
        ONCE.get_or_init(make).clone()
    }

    /// A cache of its own in `dir` that shares packages and the named steps with the ordinary one.
    pub fn cache(&self, dir: &Path, steps: &[&str]) -> PathBuf {
        let (from, to) = (Cache::default_root().unwrap(), dir.join("cache"));
        fs::create_dir_all(to.join("steps")).unwrap();
        symlink(from.join("pool"), to.join("pool")).unwrap();
        share(&from, &to, steps);
        to
    }
}

/// Links the named steps of one cache into another.
pub fn share(from: &Path, to: &Path, steps: &[&str]) {
    for entry in fs::read_dir(from.join("steps")).unwrap() {
        let entry = entry.unwrap();
        let name = entry.file_name().into_string().unwrap();
        let target = to.join("steps").join(&name);
        if steps.iter().any(|s| name.ends_with(&format!("-{s}"))) && !target.exists() {
            symlink(entry.path(), target).unwrap();
        }
    }
}

/// The one step of this name in a cache that has just one.
pub fn step(cache: &Path, name: &str) -> PathBuf {
    let mut found: Vec<PathBuf> = fs::read_dir(cache.join("steps"))
        .unwrap()
        .map(|e| e.unwrap().path())
        .filter(|p| p.to_string_lossy().ends_with(&format!("-{name}")))
        .collect();
    assert_eq!(found.len(), 1, "{found:?}");
    found.remove(0)
}

/// A run of the builder about to be made.
pub struct Builder {
    checkout: PathBuf,
    agent: PathBuf,
    out: PathBuf,
    keys: PathBuf,
    cache: Option<PathBuf>,
    args: Vec<String>,
}

impl Builder {
    /// Another checkout.
    pub fn checkout(mut self, dir: &Path) -> Builder {
        self.checkout = dir.to_owned();
        self
    }

    /// Another agent.
    pub fn agent(mut self, path: &Path) -> Builder {
        self.agent = path.to_owned();
        self
    }

    /// Another output directory.
    pub fn out(mut self, dir: &Path) -> Builder {
        self.out = dir.to_owned();
        self
    }

    /// Another cache.
    pub fn cache(mut self, dir: &Path) -> Builder {
        self.cache = Some(dir.to_owned());
        self
    }

    /// The verb's arguments; what a build needs is added to `build`.
    pub fn args<S: AsRef<str>>(mut self, args: impl IntoIterator<Item = S>) -> Command {
        self.args
            .extend(args.into_iter().map(|a| a.as_ref().to_owned()));
        let mut command = Command::new(BUILDER);
        command
            .arg("--checkout")
            .arg(&self.checkout)
            .args(&self.args);
        if self.args.iter().any(|a| a == "build") {
            command
                .arg("--agent")
                .arg(&self.agent)
                .arg("--out")
                .arg(&self.out);
        }
        command.env("ROAMCORE_KEYS", &self.keys);
        if let Some(cache) = &self.cache {
            command.env("ROAMCORE_CACHE", cache);
        }
        command
    }
}

/// The repository.
pub fn source() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("..")
        .canonicalize()
        .unwrap()
}

const DOCUMENTS: [&str; 3] = ["appliances", "hardware", "overlays"];

/// Copies what a build reads of a checkout.
pub fn copy_checkout(from: &Path, to: &Path) {
    for name in DOCUMENTS {
        copy_tree(&from.join(name), &to.join(name));
    }
}

/// Copies a tree of files and links.
pub fn copy_tree(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let (path, target) = (entry.path(), to.join(entry.file_name()));
        match entry.file_type().unwrap() {
            kind if kind.is_dir() => copy_tree(&path, &target),
            kind if kind.is_symlink() => symlink(fs::read_link(&path).unwrap(), &target).unwrap(),
            _ => drop(fs::copy(&path, &target).unwrap()),
        }
    }
}

/// Copies a package out of the machine's own pool. Never a link: a test that then writes to the
/// file, or copies over it, would destroy the pool's package, which all builds share.
pub fn copy_package(from: &Path, to: &Path) {
    fs::create_dir_all(to.parent().unwrap()).unwrap();
    // In both package sets: it is there already.
    if to.exists() {
        return;
    }
    let mut out = File::create_new(to).unwrap();
    std::io::copy(&mut File::open(from).unwrap(), &mut out).unwrap();
}

/// Replaces text that must be there.
#[track_caller]
pub fn edit(path: &Path, from: &str, to: &str) {
    let text = fs::read_to_string(path).unwrap();
    assert!(text.contains(from), "{from:?} is not in {}", path.display());
    fs::write(path, text.replacen(from, to, 1)).unwrap();
}

/// Unpacks a compressed image, leaving holes where it is zero.
pub fn unpack(from: &Path, to: &Path) {
    let decoder = zstd::Decoder::new(File::open(from).unwrap()).unwrap();
    let mut reader = std::io::BufReader::with_capacity(1 << 20, decoder);
    let mut out = File::create(to).unwrap();
    let (mut at, mut chunk, zero) = (0u64, vec![0u8; 1 << 16], vec![0u8; 1 << 16]);
    loop {
        let mut n = 0;
        while n < chunk.len() {
            match std::io::Read::read(&mut reader, &mut chunk[n..]).unwrap() {
                0 => break,
                more => n += more,
            }
        }
        if n == 0 {
            break;
        }
        if chunk[..n] != zero[..n] {
            use std::os::unix::fs::FileExt;
            out.write_all_at(&chunk[..n], at).unwrap();
        }
        at += n as u64;
    }
    out.set_len(at).unwrap();
    out.flush().unwrap();
}

fn stamp(agent: &Path) -> String {
    let of = |path: &Path| {
        let meta = fs::metadata(path).unwrap();
        format!(
            "{} {} {}.{}",
            path.display(),
            meta.len(),
            meta.mtime(),
            meta.mtime_nsec()
        )
    };
    let trees = DOCUMENTS.map(|name| format!("{:02x?}", nar::hash(&source().join(name)).unwrap()));
    let beside = BESIDE_AGENT.map(|name| of(&agent.with_file_name(name)));
    format!(
        "{}\n{}\n{}\n{}\n",
        of(Path::new(BUILDER)),
        of(agent),
        beside.join("\n"),
        trees.join("\n")
    )
}
