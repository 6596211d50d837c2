//! Programs of the image that have a say, such as one that looks after guests.
//!
//! Owns: which are run, in which order, for how long. Never does: run anything from outside of the
//! verified image, or anything at all while another check is bad.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::Duration;

use super::{Finding, System};
use crate::chain::chain;

/// Guests take their time, but not for ever.
const PATIENCE: Duration = Duration::from_secs(60);
const MOST_HOOKS: usize = 16;
/// Of a hook's words.
const MOST_TEXT: usize = 300;

/// Runs every executable file of the directory, by name. No directory is no hook.
pub(super) fn check(directory: &Path, system: &dyn System) -> Vec<Finding> {
    let Ok(entries) = std::fs::read_dir(directory) else {
        return Vec::new();
    };
    let mut hooks: Vec<_> = entries.flatten().map(|entry| entry.path()).collect();
    hooks.sort();
    if hooks.len() > MOST_HOOKS {
        let text = format!("{} has more than {MOST_HOOKS} files", directory.display());
        return vec![Finding::bad("hooks", text)];
    }
    hooks.iter().map(|hook| one(hook, system)).collect()
}

fn one(hook: &Path, system: &dyn System) -> Finding {
    let name = hook.file_name().unwrap_or_default().to_string_lossy();
    let check = format!("hook {name}");
    let executable = hook
        .metadata()
        .is_ok_and(|found| found.is_file() && found.permissions().mode() & 0o111 != 0);
    let (true, Some(path)) = (executable, hook.to_str()) else {
        return Finding::bad(check, "it is not an executable file");
    };
    match system.run(path, &[], PATIENCE) {
        Err(error) => Finding::bad(check, chain(&error)),
        Ok(output) if output.success => Finding::good(check, words(&output.stdout)),
        Ok(output) => {
            let said = format!("{} {}", words(&output.stdout), words(&output.stderr));
            Finding::bad(check, format!("{}: {}", output.ending, said.trim()))
        }
    }
}

/// The last line, cut.
fn words(text: &str) -> String {
    let last = text.trim().lines().last().unwrap_or_default();
    last.chars()
        .filter(|c| !c.is_control())
        .take(MOST_TEXT)
        .collect()
}
