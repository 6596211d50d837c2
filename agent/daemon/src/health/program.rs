//! Other programs, for a bounded time.
//!
//! Owns: every subprocess of this crate. Never does: use a shell. Invariant: when `run` returns, the
//! program has ended or was killed and waited for, and at most [`MOST_OUTPUT`] bytes of it were kept.

use std::io::{self, Read};
use std::process::{Command, ExitStatus, Stdio};
use std::thread;
use std::time::{Duration, Instant};

/// A list of all units has less.
const MOST_OUTPUT: u64 = 256 * 1024;
const LOOK: Duration = Duration::from_millis(50);

/// How a program ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Output {
    /// It exited with 0.
    pub success: bool,
    /// How it ended, in words.
    pub ending: String,
    /// What it wrote to stdout.
    pub stdout: String,
    /// What it wrote to stderr.
    pub stderr: String,
}

/// Why there is no output.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs, reason = "the messages name the fields")]
pub enum ProgramError {
    #[error("{program} cannot be started")]
    Start {
        program: String,
        #[source]
        source: io::Error,
    },
    #[error("{program} did not end within {} s and was killed", after.as_secs())]
    Late { program: String, after: Duration },
    #[error("{program} cannot be waited for")]
    Wait {
        program: String,
        #[source]
        source: io::Error,
    },
}

/// Runs a program without input.
pub fn run(program: &str, arguments: &[&str], patience: Duration) -> Result<Output, ProgramError> {
    let name = || program.to_owned();
    let mut child = Command::new(program)
        .args(arguments)
        .env("LC_ALL", "C.UTF-8")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(|source| ProgramError::Start {
            program: name(),
            source,
        })?;
    let stdout = collect(child.stdout.take());
    let stderr = collect(child.stderr.take());
    let end = Instant::now() + patience;
    let status = loop {
        match child.try_wait() {
            Ok(Some(status)) => break status,
            Ok(None) if Instant::now() < end => thread::sleep(LOOK),
            late_or_broken => {
                drop(child.kill());
                drop(child.wait());
                return Err(match late_or_broken {
                    Err(source) => ProgramError::Wait {
                        program: name(),
                        source,
                    },
                    Ok(_) => ProgramError::Late {
                        program: name(),
                        after: patience,
                    },
                });
            }
        }
    };
    Ok(Output {
        success: status.success(),
        ending: ending(status),
        stdout: text(stdout),
        stderr: text(stderr),
    })
}

fn ending(status: ExitStatus) -> String {
    // Its own words are "exit status: 1" and "signal: 9 (SIGKILL)".
    status.to_string()
}

type Collector = thread::JoinHandle<Vec<u8>>;

fn collect(pipe: Option<impl Read + Send + 'static>) -> Option<Collector> {
    let mut pipe = pipe?;
    let read = move || {
        let mut bytes = Vec::new();
        // What is beyond is read too, or the program would wait for us.
        drop(pipe.by_ref().take(MOST_OUTPUT).read_to_end(&mut bytes));
        drop(io::copy(&mut pipe, &mut io::sink()));
        bytes
    };
    Some(thread::spawn(read))
}

/// What was collected. A grandchild that keeps the pipe open is not waited for long.
fn text(collector: Option<Collector>) -> String {
    let Some(collector) = collector else {
        return String::new();
    };
    let end = Instant::now() + Duration::from_secs(1);
    while !collector.is_finished() && Instant::now() < end {
        thread::sleep(LOOK);
    }
    if !collector.is_finished() {
        return String::new();
    }
    String::from_utf8_lossy(&collector.join().unwrap_or_default()).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sh(script: &str, patience: u64) -> Result<Output, ProgramError> {
        run("/bin/sh", &["-c", script], Duration::from_millis(patience))
    }

    #[test]
    fn output_and_ending() {
        let good = sh("echo out; echo err >&2", 5000).unwrap();
        assert_eq!(
            (good.success, good.stdout.as_str(), good.stderr.as_str()),
            (true, "out\n", "err\n")
        );
        let bad = sh("exit 3", 5000).unwrap();
        assert_eq!(
            (bad.success, bad.ending.as_str()),
            (false, "exit status: 3")
        );
        assert!(sh("kill -9 $$", 5000).unwrap().ending.contains("signal: 9"));
        assert!(matches!(
            run("/nonexistent", &[], LOOK),
            Err(ProgramError::Start { .. })
        ));
    }

    #[test]
    fn it_ends_in_time_whatever_the_program_does() {
        let began = Instant::now();
        assert!(matches!(
            sh("trap '' TERM; sleep 30", 200),
            Err(ProgramError::Late { .. })
        ));
        // A child in the background keeps the pipe open.
        assert!(sh("sleep 30 & echo x", 5000).unwrap().success);
        assert!(began.elapsed() < Duration::from_secs(10));
    }

    #[test]
    fn a_flood_is_cut_and_does_not_block() {
        let flood = sh("head -c 3000000 /dev/zero | tr '\\0' x", 20_000).unwrap();
        assert!(flood.success);
        assert_eq!(flood.stdout.len() as u64, MOST_OUTPUT);
    }
}
