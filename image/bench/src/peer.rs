//! Programs of Debian that are measured beside ours.
//!
//! Owns: whether they are here, and what they call themselves. Never does: install them.

use anyhow::{Context, Result};
use roamcore_image::command::Command;

/// The first line of what `program --version` says; none when it is not installed.
pub fn version(program: &str, argument: &str) -> Option<String> {
    let output = Command::new(program).arg(argument).run().ok()?;
    // xdelta3 says it on the other descriptor.
    let text = String::from_utf8_lossy(&output.stdout) + &*output.stderr_tail;
    let line = text.lines().find(|line| !line.trim().is_empty())?;
    // zstd decorates its name with stars.
    Some(line.trim_matches(['*', ' ']).to_owned())
}

/// Bytes of a file.
pub fn size(path: &std::path::Path) -> Result<u64> {
    let facts = std::fs::metadata(path);
    Ok(facts
        .with_context(|| format!("looking at {}", path.display()))?
        .len())
}
