//! Real programs: casync for any base, zstd and xdelta3 for a base that the server would have to know.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::time::Instant;

use anyhow::{Context, Result};
use roamcore_image::command::Command;
use serde::Serialize;

use crate::peer::{size, version};

/// Average chunk sizes: casync's and desync's own, and a smaller one.
const CHUNKS: [(u64, bool); 2] = [(64 << 10, true), (16 << 10, false)];

/// casync with one chunk size. desync with the same sizes has the same chunks, up to zstd's level.
#[derive(Debug, Serialize)]
pub struct Casync {
    /// Average.
    pub chunk: u64,
    /// It is casync's default.
    pub usual: bool,
    /// Bytes of the index.
    pub index: u64,
    /// Chunks that the old image does not have: as many requests.
    pub chunks: u64,
    /// Their compressed bytes.
    pub chunk_bytes: u64,
}

impl Casync {
    /// Bytes to download.
    pub fn bytes(&self) -> u64 {
        self.index + self.chunk_bytes
    }
}

/// A patch from a known base.
#[derive(Debug, Serialize)]
pub struct Known {
    /// The command.
    pub command: String,
    /// Bytes of the patch; none when the program is not installed.
    pub bytes: Option<u64>,
    /// Time to make it.
    pub seconds: f64,
}

/// What the programs call themselves.
pub fn versions() -> Vec<String> {
    let ask = [
        ("casync", "--version"),
        ("zstd", "--version"),
        ("xdelta3", "-V"),
    ];
    ask.map(|(program, argument)| {
        version(program, argument).unwrap_or(format!("{program}: not installed"))
    })
    .into()
}

/// Counts the chunks that are new.
pub fn casync(work: &Path, old: &Path, new: &Path) -> Result<Vec<Casync>> {
    let mut all = Vec::new();
    if version("casync", "--version").is_none() {
        return Ok(all);
    }
    for (chunk, usual) in CHUNKS {
        let make = |name: &str, image: &Path| -> Result<BTreeMap<String, u64>> {
            let store = work.join(format!("{name}.castr"));
            fs::create_dir(&store).context("creating a chunk store")?;
            Command::new("casync")
                .arg("make")
                .arg(format!("--chunk-size={}:{chunk}:{}", chunk / 4, chunk * 4))
                .arg(format!("--store={}", store.display()))
                .arg(work.join(format!("{name}.caibx")))
                .arg(image)
                .run()
                .context("running casync")?;
            let mut chunks = BTreeMap::new();
            for directory in fs::read_dir(&store).context("reading a chunk store")? {
                for file in fs::read_dir(directory?.path()).context("reading a chunk store")? {
                    let file = file?;
                    let name = file.file_name().to_string_lossy().into_owned();
                    chunks.insert(name, file.metadata()?.len());
                }
            }
            fs::remove_dir_all(&store).context("removing a chunk store")?;
            Ok(chunks)
        };
        let (had, wanted) = (make("old", old)?, make("new", new)?);
        let missing = || wanted.iter().filter(|(name, _)| !had.contains_key(*name));
        all.push(Casync {
            chunk,
            usual,
            index: size(&work.join("new.caibx"))?,
            chunks: missing().count() as u64,
            chunk_bytes: missing().map(|(_, bytes)| bytes).sum(),
        });
    }
    Ok(all)
}

/// Makes patches.
pub fn known(work: &Path, old: &Path, new: &Path, level: &str) -> Result<Vec<Known>> {
    let patch = work.join("patch");
    let from = format!("--patch-from={}", old.display());
    let window = size(old)?.next_power_of_two().to_string();
    let commands: [(&str, &str, Vec<&str>); 2] = [
        (
            "zstd",
            "--version",
            vec![level, "--long=31", "-T0", "-q", "-f", &from],
        ),
        (
            "xdelta3",
            "-V",
            vec!["-e", "-f", "-9", "-S", "lzma", "-B", &window],
        ),
    ];
    let mut all = Vec::new();
    for (program, ask, arguments) in commands {
        let shown = arguments.iter().filter(|a| **a != from).copied();
        let mut known = Known {
            command: [program]
                .into_iter()
                .chain(shown)
                .collect::<Vec<_>>()
                .join(" "),
            bytes: None,
            seconds: 0.0,
        };
        if version(program, ask).is_some() {
            let started = Instant::now();
            let command = Command::new(program).args(&arguments);
            let command = match program {
                "zstd" => command.arg(new).arg("-o").arg(&patch),
                _ => command.arg("-s").arg(old).arg(new).arg(&patch),
            };
            command
                .run()
                .with_context(|| format!("running {program}"))?;
            known.seconds = started.elapsed().as_secs_f64();
            known.bytes = Some(size(&patch)?);
        }
        all.push(known);
    }
    Ok(all)
}
