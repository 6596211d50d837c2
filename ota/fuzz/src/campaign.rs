//! One bounded run of each target.
//!
//! ```text
//!  seeds + committed corpus --> fuzz-one (libFuzzer) --> found/TARGET/*         new coverage
//!  words of the seeds (dictionary) --^               '-> found/crashes/TARGET-* what broke a promise
//! ```

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use anyhow::{Context, Result};
use roamcore_fuzz::Target;

use crate::Places;

/// An input that takes longer is a finding: parsers answer in microseconds.
const SLOWEST_SECONDS: u32 = 10;
/// Memory of a whole process that is a finding.
const MOST_MEMORY_MB: u32 = 1024;

/// What libFuzzer's last line of statistics says.
#[derive(Default)]
struct Outcome {
    runs: String,
    coverage: String,
    features: String,
    corpus: String,
    crash: Option<PathBuf>,
    /// The end of what it printed, when it failed.
    tail: String,
}

/// Runs targets side by side, a thread each, and prints a line for every one.
pub fn run(places: &Places, targets: &[&Target], seconds: u32, seed: u32) -> Result<ExitCode> {
    println!(
        "seed {seed}, {seconds} s for each of {} targets",
        targets.len()
    );
    println!(
        "{:18} {:>12} {:>9} {:>9} {:>14}",
        "target", "executions", "coverage", "features", "corpus"
    );
    let next = AtomicUsize::new(0);
    let failed = Mutex::new(Vec::new());
    let threads = thread::available_parallelism().map_or(1, usize::from);
    thread::scope(|scope| {
        for _ in 0..threads.min(targets.len()) {
            scope.spawn(|| {
                while let Some(target) = targets.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let outcome = one(places, target, seconds, seed).unwrap_or_else(|error| {
                        let tail = format!("{error:#}");
                        Outcome {
                            tail,
                            ..Outcome::default()
                        }
                    });
                    println!(
                        "{:18} {:>12} {:>9} {:>9} {:>14}",
                        target.name,
                        outcome.runs,
                        outcome.coverage,
                        outcome.features,
                        outcome.corpus
                    );
                    if !outcome.tail.is_empty()
                        && let Ok(mut failed) = failed.lock()
                    {
                        failed.push((target.name, outcome));
                    }
                }
            });
        }
    });
    let failed = failed
        .into_inner()
        .unwrap_or_else(|poisoned| poisoned.into_inner());
    for (name, outcome) in &failed {
        eprintln!("\n{name} failed:\n{}", outcome.tail);
        if let Some(input) = &outcome.crash {
            eprintln!("input:  {}", input.display());
            eprintln!(
                "replay: cargo run -p roamcore-fuzz --bin roamcore-fuzz -- replay {name} {}",
                input.display()
            );
            eprintln!(
                "once fixed, copy it to {}",
                places.corpus.join(name).display()
            );
        }
    }
    Ok(if failed.is_empty() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

fn one(places: &Places, target: &Target, seconds: u32, seed: u32) -> Result<Outcome> {
    let found = places.found.join(target.name);
    let seeds = places.found.join("seeds").join(target.name);
    let crashes = places.found.join("crashes");
    for directory in [&found, &crashes] {
        make(directory)?;
    }
    write_seeds(target, &seeds)?;
    let words = places.found.join(format!("{}.dict", target.name));
    fs::write(&words, dictionary(&(target.seeds)())).context("writing the dictionary")?;
    let artifact = crashes.join(format!("{}-", target.name));
    let mut command = driver(places, target);
    command
        .arg(format!("-seed={seed}"))
        .arg(format!("-max_total_time={seconds}"))
        .arg(format!("-max_len={}", target.longest))
        .arg(format!("-timeout={SLOWEST_SECONDS}"))
        .arg(format!("-rss_limit_mb={MOST_MEMORY_MB}"))
        .arg(format!("-artifact_prefix={}", artifact.display()))
        .arg(format!("-dict={}", words.display()))
        .args(["-use_value_profile=1", "-print_final_stats=1"])
        .args([&found, &seeds]);
    let committed = places.corpus.join(target.name);
    if committed.is_dir() {
        command.arg(committed);
    }
    let output = command
        .output()
        .with_context(|| format!("starting {}", places.driver.display()))?;
    let text = String::from_utf8_lossy(&output.stderr);
    let mut outcome = read(&text);
    if !output.status.success() {
        let lines: Vec<&str> = text.lines().collect();
        outcome.tail = lines[lines.len().saturating_sub(25)..].join("\n");
    }
    Ok(outcome)
}

/// The driver for one target.
pub fn driver(places: &Places, target: &Target) -> Command {
    let mut command = Command::new(&places.driver);
    command.env("ROAMCORE_FUZZ", target.name);
    command
}

/// Seeds as files; those of an older build are removed.
pub fn write_seeds(target: &Target, directory: &Path) -> Result<()> {
    if directory.exists() {
        fs::remove_dir_all(directory).context("removing old seeds")?;
    }
    make(directory)?;
    for (number, seed) in (target.seeds)().iter().enumerate() {
        fs::write(directory.join(number.to_string()), seed).context("writing a seed")?;
    }
    Ok(())
}

/// A directory, if it is not there.
pub fn make(directory: &Path) -> Result<()> {
    fs::create_dir_all(directory).with_context(|| format!("making {}", directory.display()))
}

/// Words of the seeds. Without a sanitizer libFuzzer cannot see what memory is compared with, so names of members would
/// take it for ever to guess.
fn dictionary(seeds: &[Vec<u8>]) -> String {
    let wordy = |b: &u8| !(b.is_ascii_alphanumeric() || b"_-.".contains(b));
    let words: BTreeSet<&[u8]> = seeds
        .iter()
        .flat_map(|seed| seed.split(wordy))
        .filter(|word| (3..=24).contains(&word.len()))
        .collect();
    words
        .iter()
        .map(|word| format!("\"{}\"\n", String::from_utf8_lossy(word)))
        .collect()
}

/// `#1234 DONE   cov: 5 ft: 9 corp: 4/13b lim: ...` and `Test unit written to PATH`.
fn read(text: &str) -> Outcome {
    let mut outcome = Outcome::default();
    for line in text.lines() {
        if let Some((_, path)) = line.split_once("Test unit written to ") {
            outcome.crash = Some(path.trim().into());
        }
        let Some(statistics) = line
            .strip_prefix('#')
            .filter(|line| line.contains(" cov: "))
        else {
            continue;
        };
        let words: Vec<&str> = statistics.split_whitespace().collect();
        let after = |name: &str| {
            let at = words.iter().position(|word| *word == name);
            at.and_then(|at| words.get(at + 1))
                .map_or(String::new(), |word| (*word).to_owned())
        };
        outcome.runs = words
            .first()
            .map_or(String::new(), |word| (*word).to_owned());
        outcome.coverage = after("cov:");
        outcome.features = after("ft:");
        outcome.corpus = after("corp:");
    }
    outcome
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_statistics_count() {
        let text = "INFO: x\n#2\tINITED cov: 7 ft: 7 corp: 1/1b exec/s: 0 rss: 27Mb\n\
                    #90\tDONE   cov: 10 ft: 11 corp: 4/13b lim: 4096 exec/s: 1 rss: 27Mb\n\
                    artifact_prefix='a/b-'; Test unit written to a/b-crash-00\n";
        let outcome = read(text);
        assert_eq!(outcome.runs, "90");
        assert_eq!((&*outcome.coverage, &*outcome.features), ("10", "11"));
        assert_eq!(outcome.corpus, "4/13b");
        assert_eq!(outcome.crash, Some("a/b-crash-00".into()));
    }

    #[test]
    fn words_are_names() {
        let text = dictionary(&[b"{\"root_hash\":\"x\",\"v2\":1, \xff\"parts\"}".to_vec()]);
        assert_eq!(text, "\"parts\"\n\"root_hash\"\n");
    }
}
