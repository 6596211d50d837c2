//! Check of the state file system.
//!
//! Owns: what e2fsck's exit codes mean to us. Never does: mount, or try more than twice.
//!
//! ```text
//!   -p --clean--> mount          -p --damaged--> -y --clean--> mount (loudly)
//!                                                  \--else--> error
//! ```

use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus};

use crate::files::{At, IoAt};
use crate::log;

/// From the image's e2fsprogs, in the initrd.
const E2FSCK: &str = "/usr/sbin/e2fsck";

/// e2fsck(8): 1 corrected, 2 corrected and reboot if it was mounted, which ours is not.
const HARMLESS: i32 = 1 | 2;

/// The two passes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pass {
    /// `-p`: what is safe.
    Preen,
    /// `-y`: whatever it takes; may lose files.
    Force,
}

/// What to do after a pass.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// Nothing was wrong.
    Clean,
    /// Something was, and is no more.
    Corrected,
    /// Run the second pass.
    TryForce,
    /// The file system cannot be used.
    Beyond,
}

/// Why the state cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum FsckError {
    /// The tool could not be run.
    #[error(transparent)]
    Run(#[from] IoAt),
    /// The check failed.
    #[error(
        "state file system on {device} is damaged beyond e2fsck -y ({status}); write the factory image anew"
    )]
    Beyond {
        /// Device.
        device: PathBuf,
        /// How e2fsck ended.
        status: ExitStatus,
    },
}

/// Reads one pass's exit code; none means it was killed.
pub fn judge(pass: Pass, code: Option<i32>) -> Verdict {
    match (code, pass) {
        (Some(0), _) => Verdict::Clean,
        (Some(code), _) if code > 0 && code & !HARMLESS == 0 => Verdict::Corrected,
        (_, Pass::Preen) => Verdict::TryForce,
        (_, Pass::Force) => Verdict::Beyond,
    }
}

/// Checks and repairs a file system that is not mounted.
pub fn check(device: &Path) -> Result<(), FsckError> {
    check_with(Path::new(E2FSCK), device)
}

/// As [`check`], with the tool given.
pub fn check_with(tool: &Path, device: &Path) -> Result<(), FsckError> {
    let shown = device.display();
    for (pass, option) in [(Pass::Preen, "-p"), (Pass::Force, "-y")] {
        // Its report belongs to the log; our stdout is for results.
        let status = Command::new(tool)
            .arg(option)
            .arg(device)
            .stdin(std::process::Stdio::null())
            .stdout(std::io::stderr())
            .status()
            .at("run", tool)?;
        match judge(pass, status.code()) {
            Verdict::Clean => return Ok(()),
            Verdict::Corrected => {
                log::warning(format!("e2fsck {option} corrected {shown} ({status})"));
                return Ok(());
            }
            Verdict::TryForce => log::error(format!(
                "STATE FILE SYSTEM DAMAGED: e2fsck {option} gave up on {shown} ({status}); now e2fsck -y, files may be \
                 lost (see lost+found)"
            )),
            Verdict::Beyond => {
                return Err(FsckError::Beyond {
                    device: device.to_owned(),
                    status,
                });
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn verdicts() {
        use Verdict::{Beyond, Clean, Corrected, TryForce};
        let table = [
            (Some(0), Clean, Clean),
            (Some(1), Corrected, Corrected),
            (Some(2), Corrected, Corrected),
            (Some(3), Corrected, Corrected),
            (Some(4), TryForce, Beyond),
            (Some(5), TryForce, Beyond),
            (Some(8), TryForce, Beyond),
            (Some(16), TryForce, Beyond),
            (Some(32), TryForce, Beyond),
            (Some(128), TryForce, Beyond),
            (Some(-1), TryForce, Beyond),
            (None, TryForce, Beyond),
        ];
        for (code, preen, force) in table {
            assert_eq!(judge(Pass::Preen, code), preen, "{code:?}");
            assert_eq!(judge(Pass::Force, code), force, "{code:?}");
        }
    }

    /// A tool that ends with one code for -p and another for -y, and notes its calls.
    fn outcome(preen: i32, force: i32) -> (Result<(), FsckError>, String) {
        let dir = tempfile::tempdir().unwrap();
        let (tool, calls) = (dir.path().join("e2fsck"), dir.path().join("calls"));
        let script = format!(
            "#!/bin/sh\necho $1 >>{}\nif [ $1 = -p ]; then exit {preen}; else exit {force}; fi\n",
            calls.display()
        );
        std::fs::write(&tool, script).unwrap();
        std::fs::set_permissions(&tool, std::fs::Permissions::from_mode(0o755)).unwrap();
        let result = check_with(&tool, Path::new("/dev/null"));
        (result, std::fs::read_to_string(calls).unwrap())
    }

    #[test]
    fn passes() {
        for (preen, force, good, calls) in [
            (0, 8, true, "-p\n"),
            (1, 8, true, "-p\n"),
            (4, 1, true, "-p\n-y\n"),
            (4, 4, false, "-p\n-y\n"),
        ] {
            let (result, seen) = outcome(preen, force);
            assert_eq!(
                (result.is_ok(), seen.as_str()),
                (good, calls),
                "-p {preen}, -y {force}"
            );
        }
        let error =
            check_with(Path::new("/nonexistent/e2fsck"), Path::new("/dev/null")).unwrap_err();
        assert_eq!(error.to_string(), "cannot run /nonexistent/e2fsck");
    }
}
