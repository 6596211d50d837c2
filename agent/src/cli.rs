//! The command line.
//!
//! Owns: its grammar and help. Never does: I/O. Invariant: an argument that is not known is refused.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use lexopt::prelude::{Long, Short, Value};
use roamcore_agent::roots::Roots;

const HELP: &str = "\
roamcore-agent: what runs on the device

  prepare-root --sysroot DIR [--no-power]   state, /var and /etc of the running slot (in the initrd)
  verify-slot [--json]                      read the whole running slot through verity
  commit                                    make a healthy trial boot permanent
  trial-failed REASON                       note why this trial boot fails, for the report after the rollback
  begin-boot                                count this boot of a committed slot, before its root is opened
  fall-over                                 count a failed boot of a committed slot; after three, boot the other once
  healthy                                   end those counts: this boot came up
  settings                                  settings from SMBIOS strings (development images)

Options:
  --no-power    a disk that is too small ends with exit code 3, not with a power-off
  --json        the result as one JSON object
  --root DIR    take sys, proc, dev, run and usr below DIR (for tests)
  --help, --version

Exit codes: 0 done, 1 failed, 2 wrong arguments, 3 disk too small, 4 not a development image
Example: roamcore-agent prepare-root --sysroot /sysroot";

/// What to do about a disk that is too small.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Power {
    /// Power off.
    Off,
    /// Only fail.
    Keep,
}

/// What to do.
#[derive(Debug, PartialEq, Eq)]
pub enum Command {
    /// Help or version.
    Print(String),
    /// `prepare-root`
    PrepareRoot { sysroot: PathBuf, power: Power },
    /// `verify-slot`
    VerifySlot { json: bool },
    /// `commit`
    Commit,
    /// `trial-failed`
    TrialFailed { reason: String },
    /// `begin-boot`
    BeginBoot,
    /// `fall-over`
    FallOver,
    /// `healthy`
    Healthy,
    /// `settings`
    Settings,
}

/// A whole command line.
#[derive(Debug)]
pub struct Call {
    /// Where to work.
    pub roots: Roots,
    /// What to do.
    pub command: Command,
}

/// Parses, program name included.
pub fn parse(arguments: impl IntoIterator<Item = OsString>) -> Result<Call, lexopt::Error> {
    let mut parser = lexopt::Parser::from_iter(arguments);
    let (mut name, mut sysroot, mut power, mut json) = (None, None, Power::Off, false);
    let mut reason = None;
    let mut roots = Roots::machine();
    while let Some(argument) = parser.next()? {
        match argument {
            Long("help") | Short('h') => {
                return Ok(Call {
                    roots,
                    command: Command::Print(HELP.to_owned()),
                });
            }
            Long("version") => {
                let version = format!("roamcore-agent {}", env!("CARGO_PKG_VERSION"));
                return Ok(Call {
                    roots,
                    command: Command::Print(version),
                });
            }
            Long("root") => roots = Roots::below(Path::new(&parser.value()?)),
            Long("sysroot") if name.as_deref() == Some("prepare-root") => {
                sysroot = Some(parser.value()?.into())
            }
            Long("no-power") if name.as_deref() == Some("prepare-root") => power = Power::Keep,
            Long("json") if name.as_deref() == Some("verify-slot") => json = true,
            Value(value) if name.is_none() => name = Some(value.to_string_lossy().into_owned()),
            Value(value) if name.as_deref() == Some("trial-failed") && reason.is_none() => {
                reason = Some(value.to_string_lossy().into_owned())
            }
            other => return Err(other.unexpected()),
        }
    }
    let command = match name.as_deref() {
        Some("prepare-root") => {
            let sysroot = sysroot.ok_or("prepare-root needs --sysroot DIR")?;
            Command::PrepareRoot { sysroot, power }
        }
        Some("verify-slot") => Command::VerifySlot { json },
        Some("commit") => Command::Commit,
        Some("trial-failed") => Command::TrialFailed {
            reason: reason.ok_or("trial-failed needs a reason")?,
        },
        Some("begin-boot") => Command::BeginBoot,
        Some("fall-over") => Command::FallOver,
        Some("healthy") => Command::Healthy,
        Some("settings") => Command::Settings,
        Some(other) => return Err(format!("unknown command {other:?}").into()),
        None => return Err("no command given".into()),
    };
    Ok(Call { roots, command })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn never_panics(words in proptest::collection::vec("(-{0,2}[a-z=]{0,4}|--sysroot|prepare-root|.*)", 0..6)) {
            drop(parse(words.into_iter().map(OsString::from)));
        }
    }

    #[test]
    fn table() {
        let cases: [(&str, Result<Command, &str>); 16] = [
            (
                "prepare-root --sysroot /s",
                Ok(Command::PrepareRoot {
                    sysroot: "/s".into(),
                    power: Power::Off,
                }),
            ),
            ("prepare-root --sysroot=/s --no-power", {
                Ok(Command::PrepareRoot {
                    sysroot: "/s".into(),
                    power: Power::Keep,
                })
            }),
            (
                "--root /t verify-slot --json",
                Ok(Command::VerifySlot { json: true }),
            ),
            ("commit", Ok(Command::Commit)),
            ("settings", Ok(Command::Settings)),
            ("begin-boot", Ok(Command::BeginBoot)),
            ("fall-over", Ok(Command::FallOver)),
            ("healthy", Ok(Command::Healthy)),
            (
                "trial-failed x.service",
                Ok(Command::TrialFailed {
                    reason: "x.service".into(),
                }),
            ),
            ("trial-failed", Err("trial-failed needs a reason")),
            ("", Err("no command given")),
            ("prepare-root", Err("prepare-root needs --sysroot DIR")),
            ("erase", Err("unknown command \"erase\"")),
            ("commit --json", Err("invalid option '--json'")),
            ("commit again", Err("unexpected argument \"again\"")),
            (
                "prepare-root --sysroot",
                Err("missing argument for option '--sysroot'"),
            ),
        ];
        for (line, want) in cases {
            let words = std::iter::once("roamcore-agent").chain(line.split_whitespace());
            let got = parse(words.map(OsString::from))
                .map(|call| call.command)
                .map_err(|error| error.to_string());
            assert_eq!(got, want.map_err(str::to_owned), "{line}");
        }
    }
}
