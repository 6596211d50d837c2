//! Hash trees: ours against `veritysetup format`.
//!
//! Owns: taking turns and comparing every byte. Never does: drop caches: both read the data from
//! the page cache and leave the tree there, so this is hashing and not the disk.
//! Invariant: a figure exists only for trees that are identical.

use std::fmt;
use std::fs::{self, File};
use std::io::{Read, copy};
use std::path::Path;

use anyhow::{Context, Result, ensure};
use roamcore_image::command::Command;
use serde::Serialize;

use crate::stats::{Samples, time};
use crate::tree::{SALT, UUID_BYTE};
use crate::workshop::Workshop;

const RUNS: usize = 5;
/// What the issue asks of two cores.
pub const AIM: f64 = 1.7;

/// Everything measured here.
#[derive(Debug, Serialize)]
pub struct Figures {
    /// Version of veritysetup, as it says itself; none when it is missing.
    pub peer: Option<String>,
    /// One per file.
    pub files: Vec<OneFile>,
}

/// The figures of one file.
#[derive(Debug, Serialize)]
pub struct OneFile {
    /// What the file is.
    pub what: &'static str,
    bytes: u64,
    veritysetup: Samples,
    two_threads: Samples,
    one_thread: Samples,
    /// veritysetup's median by ours.
    pub ratio_two: f64,
    ratio_one: f64,
}

/// Measures.
pub fn measure(workshop: &mut Workshop, quick: bool) -> Result<Figures> {
    let Some(peer) = peer_version() else {
        return Ok(Figures {
            peer: None,
            files: Vec::new(),
        });
    };
    let root = workshop.root_image()?;
    let scratch = workshop.cache().scratch("bench-verity")?;
    let dir = scratch.path();
    let runs = if quick { 3 } else { RUNS };
    let random_mib = if quick { 128 } else { 1024 };

    // A copy: the cache's own file must not be opened by a tool that writes.
    let image = dir.join("root");
    fs::copy(&root, &image).with_context(|| format!("copying {}", root.display()))?;
    let len = fs::metadata(&image).context("looking at the root")?.len();
    let file = File::options()
        .write(true)
        .open(&image)
        .context("opening the root")?;
    file.set_len(len.next_multiple_of(4096))
        .context("padding the root")?;
    let random = dir.join("random");
    let mut out = File::create(&random).context("creating the random file")?;
    let source = File::open("/dev/urandom").context("opening /dev/urandom")?;
    copy(&mut source.take(random_mib << 20), &mut out).context("writing the random file")?;
    // What is written back during a measurement would be measured too.
    rustix::fs::syncfs(&out).context("syncing")?;

    let files = vec![
        one_file("root.erofs of `bare`", &image, dir, runs)?,
        one_file("random", &random, dir, runs)?,
    ];
    Ok(Figures {
        peer: Some(peer),
        files,
    })
}

fn peer_version() -> Option<String> {
    let out = Command::new("veritysetup").arg("--version").run().ok()?;
    Some(String::from_utf8_lossy(&out.stdout).trim().to_owned())
}

fn one_file(what: &'static str, data: &Path, dir: &Path, runs: usize) -> Result<OneFile> {
    let theirs = dir.join("theirs.verity");
    let ours = dir.join("ours.verity");
    let (mut veritysetup, mut two, mut one) =
        (Samples::default(), Samples::default(), Samples::default());
    for _ in 0..runs {
        remove(&theirs)?;
        let (out, sample) = time(|| format_theirs(data, &theirs))?;
        veritysetup.push(sample);
        let said = String::from_utf8_lossy(&out).into_owned();
        for (threads, samples) in [("2", &mut two), ("1", &mut one)] {
            remove(&ours)?;
            let (root_hash, sample) = time(|| format_ours(data, &ours, threads))?;
            samples.push(sample);
            ensure!(
                said.contains(&root_hash),
                "root hashes differ: ours is {root_hash}, veritysetup said:\n{said}"
            );
            same(&ours, &theirs)?;
        }
    }
    let ratio = |ours: &Samples| match (veritysetup.median(), ours.median()) {
        (Some(theirs), Some(ours)) if ours > 0.0 => theirs / ours,
        _ => 0.0,
    };
    Ok(OneFile {
        what,
        bytes: fs::metadata(data).context("looking at the data")?.len(),
        ratio_two: ratio(&two),
        ratio_one: ratio(&one),
        veritysetup,
        two_threads: two,
        one_thread: one,
    })
}

fn format_theirs(data: &Path, tree: &Path) -> Result<Vec<u8>> {
    let salt: String = SALT.iter().map(|b| format!("{b:02x}")).collect();
    let uuid = [4, 2, 2, 2, 6]
        .map(|n| format!("{UUID_BYTE:02x}").repeat(n))
        .join("-");
    let out = Command::new("veritysetup")
        .args([
            "format",
            "--hash=sha256",
            "--data-block-size=4096",
            "--hash-block-size=4096",
        ])
        .arg(format!("--salt={salt}"))
        .arg(format!("--uuid={uuid}"))
        .args([data, tree])
        .run()
        .context("running veritysetup")?;
    Ok(out.stdout)
}

fn format_ours(data: &Path, tree: &Path, threads: &str) -> Result<String> {
    let me = std::env::current_exe().context("finding this program")?;
    let out = Command::new(me)
        .arg("verity-tree")
        .args([data, tree])
        .arg(threads)
        .run()
        .context("building our tree")?;
    Ok(String::from_utf8_lossy(&out.stdout).trim().to_owned())
}

fn remove(path: &Path) -> Result<()> {
    match fs::remove_file(path) {
        Err(e) if e.kind() != std::io::ErrorKind::NotFound => {
            Err(e).with_context(|| format!("removing {}", path.display()))
        }
        _ => Ok(()),
    }
}

fn same(ours: &Path, theirs: &Path) -> Result<()> {
    let read = |path: &Path| fs::read(path).with_context(|| format!("reading {}", path.display()));
    let (a, b) = (read(ours)?, read(theirs)?);
    let differs = a.iter().zip(&b).position(|(x, y)| x != y);
    ensure!(
        a == b,
        "the trees differ: ours has {} bytes, veritysetup's {}, first difference at {differs:?}",
        a.len(),
        b.len()
    );
    Ok(())
}

impl fmt::Display for Figures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some(peer) = &self.peer else {
            return write!(
                f,
                "\n2. SKIP verity: veritysetup is missing; install cryptsetup-bin"
            );
        };
        writeln!(f, "\n2. Hash tree against {peer}")?;
        write!(
            f,
            "   Whole processes in turns, data and trees in the page cache; trees identical to the byte."
        )?;
        for file in &self.files {
            let mib = file.bytes as f64 / f64::from(1 << 20);
            writeln!(f, "\n   {}, {mib:.0} MiB", file.what)?;
            writeln!(f, "     veritysetup     {}", file.veritysetup)?;
            writeln!(
                f,
                "     ours, 2 threads {}: {:.2} times as fast",
                file.two_threads, file.ratio_two
            )?;
            write!(
                f,
                "     ours, 1 thread  {}: {:.2} times as fast",
                file.one_thread, file.ratio_one
            )?;
        }
        Ok(())
    }
}
