//! The command line.
//!
//! Owns: its grammar and help. Never does: I/O. Invariant: an argument that is not known is refused.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use lexopt::prelude::{Long, Short, Value};

use crate::places::Places;
use crate::protocol::{MOST_LINES, Request};

/// Lines of the log without `--lines`.
const LINES: usize = 50;

/// A command and its help.
struct Topic {
    name: &'static str,
    usage: &'static str,
    summary: &'static str,
    text: &'static str,
    example: &'static str,
}

const TOPICS: [Topic; 13] = [
    Topic {
        name: "status",
        usage: "status [--json]",
        summary: "what runs, what goes on, what it waits for",
        text: "Shows the running release, the update that is under way, both slots and the server.",
        example: "roamcore status --json | jq -r .answer.engine.phase",
    },
    Topic {
        name: "check",
        usage: "check [--json]",
        summary: "ask the server now",
        text: "Polls the server at once instead of waiting for the next time. Does not wait for the answer.",
        example: "roamcore check && roamcore status",
    },
    Topic {
        name: "install",
        usage: "install FILE [--json]",
        summary: "install a release file (.roam)",
        text: "Verifies FILE and installs it into the idle slot, then boots it on trial. Returns when the update is \
               accepted; `roamcore status` shows how far it is. FILE has to stay readable until it is written.",
        example: "mount /dev/sda1 /mnt && roamcore install /mnt/bare-1.2.0.roam",
    },
    Topic {
        name: "confirm",
        usage: "confirm [--json]",
        summary: "agree to the update that waits",
        text: "Agrees to an update that the server or the policy asks about.",
        example: "roamcore status && roamcore confirm",
    },
    Topic {
        name: "deny",
        usage: "deny [--json]",
        summary: "do not agree to it",
        text: "Refuses an update that waits for a confirmation. A server may go on asking.",
        example: "roamcore deny",
    },
    Topic {
        name: "cancel",
        usage: "cancel [--json]",
        summary: "give up an update that is not armed yet",
        text: "Ends an update before its slot is armed. Afterwards only `rollback` leads back.",
        example: "roamcore cancel",
    },
    Topic {
        name: "rollback",
        usage: "rollback [--json]",
        summary: "boot the other slot",
        text: "In a trial: ends it and boots the committed slot. Otherwise: checks the release in the other slot and \
               boots it on trial.",
        example: "roamcore slots && roamcore rollback",
    },
    Topic {
        name: "slots",
        usage: "slots [--json]",
        summary: "what the two slots hold",
        text: "Shows release, root hash and boot entry of both slots.",
        example: "roamcore slots",
    },
    Topic {
        name: "log",
        usage: "log [--lines N] [--json]",
        summary: "what happened",
        text: "Shows the last lines of the update history, oldest first; 50 without --lines.",
        example: "roamcore log --lines 200",
    },
    Topic {
        name: "auto-confirm",
        usage: "auto-confirm on|off [--json]",
        summary: "let the server confirm updates for this device",
        text: "Switches the server's automatic confirmation for this device.",
        example: "roamcore auto-confirm on",
    },
    Topic {
        name: "health",
        usage: "health [--gate] [--json]",
        summary: "look whether the system is healthy",
        text: "Checks services, storage, watchdog and the update service once. With --gate, as in a trial boot: waits \
               until all is well and stays so, or until the deadline, and tells the update service. Exit code 1 means \
               not healthy.",
        example: "roamcore health",
    },
    Topic {
        name: "daemon",
        usage: "daemon",
        summary: "the update service itself (started by systemd)",
        text: "Runs the update service. Use `systemctl restart roamcore.service` instead.",
        example: "systemctl restart roamcore.service",
    },
    Topic {
        name: "help",
        usage: "help [COMMAND]",
        summary: "this, or more about a command",
        text: "Shows what a command does.",
        example: "roamcore help install",
    },
];

const OPTIONS: &str = "\
Options:
  --json        the answer as one JSON line
  --root DIR    take run, etc, usr, var, sys, proc and dev below DIR (for tests)
  --help, --version

Exit codes: 0 done, 1 failed or not healthy, 2 wrong arguments, 3 the service does not answer, 4 refused";

/// How an answer is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// For people.
    Text,
    /// One JSON line.
    Json,
}

/// What to do.
#[derive(Debug, PartialEq, Eq)]
pub enum Command {
    /// Help or version.
    Print(String),
    /// Ask the service.
    Ask(Request),
    /// `slots`: a part of the status.
    Slots,
    /// `health`
    Health {
        /// Wait, decide and tell the service.
        gate: bool,
    },
    /// `daemon`
    Daemon,
}

/// A whole command line.
#[derive(Debug)]
pub struct Call {
    /// Where to work.
    pub places: Places,
    /// How to answer.
    pub form: Form,
    /// What to do.
    pub command: Command,
}

/// The list of commands.
fn overview() -> String {
    let mut text = "roamcore: updates of this device\n\n".to_owned();
    for topic in &TOPICS {
        text += &format!("  {:<30}{}\n", topic.usage, topic.summary);
    }
    text + "\n" + OPTIONS + "\nExample: roamcore status"
}

fn help(name: &str) -> Option<String> {
    let topic = TOPICS.iter().find(|topic| topic.name == name)?;
    let Topic {
        usage,
        text,
        example,
        ..
    } = topic;
    Some(format!(
        "roamcore {usage}\n\n{text}\n\nExample: {example}\n\n{OPTIONS}"
    ))
}

/// Parses, program name included; `here` makes a file's path absolute.
pub fn parse(
    arguments: impl IntoIterator<Item = OsString>,
    here: &Path,
) -> Result<Call, lexopt::Error> {
    let mut parser = lexopt::Parser::from_iter(arguments);
    let (mut name, mut operand): (Option<String>, Option<OsString>) = (None, None);
    let (mut form, mut lines, mut gate, mut wants_help) = (Form::Text, None, false, false);
    let mut places = Places::machine();
    while let Some(argument) = parser.next()? {
        let command = name.as_deref().unwrap_or_default();
        match argument {
            Long("help") | Short('h') => wants_help = true,
            Long("version") => {
                let version = format!("roamcore {}", env!("CARGO_PKG_VERSION"));
                return Ok(Call {
                    places,
                    form,
                    command: Command::Print(version),
                });
            }
            Long("root") => places = Places::below(Path::new(&parser.value()?)),
            Long("json") if !matches!(command, "daemon" | "help") => form = Form::Json,
            Long("lines") | Short('n') if command == "log" => {
                let value = parser.value()?.to_string_lossy().into_owned();
                let number = value.parse().ok().filter(|n| (1..=MOST_LINES).contains(n));
                lines = Some(
                    number.ok_or_else(|| format!("--lines {value:?} is not 1 to {MOST_LINES}"))?,
                );
            }
            Long("gate") if command == "health" => gate = true,
            Value(value) if name.is_none() => name = Some(value.to_string_lossy().into_owned()),
            Value(value)
                if operand.is_none() && matches!(command, "install" | "auto-confirm" | "help") =>
            {
                operand = Some(value);
            }
            other => return Err(other.unexpected()),
        }
    }
    let name = name.unwrap_or_default();
    if wants_help || name == "help" {
        let about = operand
            .filter(|_| name == "help")
            .map_or(name, |operand| operand.to_string_lossy().into_owned());
        let text = match about.as_str() {
            "" | "help" => overview(),
            about => help(about).ok_or_else(|| format!("unknown command {about:?}"))?,
        };
        return Ok(Call {
            places,
            form,
            command: Command::Print(text),
        });
    }
    let command = match name.as_str() {
        "status" => Command::Ask(Request::Status),
        "check" => Command::Ask(Request::Check),
        "install" => Command::Ask(Request::Install {
            path: file(operand, here)?,
        }),
        "confirm" => Command::Ask(Request::Confirm),
        "deny" => Command::Ask(Request::Deny),
        "cancel" => Command::Ask(Request::Cancel),
        "rollback" => Command::Ask(Request::Rollback),
        "slots" => Command::Slots,
        "log" => Command::Ask(Request::Log {
            lines: lines.unwrap_or(LINES),
        }),
        "auto-confirm" => Command::Ask(Request::AutoConfirm {
            active: switch(operand)?,
        }),
        "health" => Command::Health { gate },
        "daemon" => Command::Daemon,
        "" => return Err("no command given".into()),
        other => return Err(format!("unknown command {other:?}").into()),
    };
    Ok(Call {
        places,
        form,
        command,
    })
}

fn file(operand: Option<OsString>, here: &Path) -> Result<PathBuf, lexopt::Error> {
    let file = operand
        .filter(|file| !file.is_empty())
        .ok_or("install needs a FILE")?;
    let path = here.join(file);
    // The request is JSON.
    match path.to_str() {
        Some(_) => Ok(path),
        None => Err("the path of FILE is not UTF-8; rename it".into()),
    }
}

fn switch(operand: Option<OsString>) -> Result<bool, lexopt::Error> {
    match operand.as_deref().and_then(std::ffi::OsStr::to_str) {
        Some("on") => Ok(true),
        Some("off") => Ok(false),
        _ => Err("auto-confirm needs \"on\" or \"off\"".into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn parsed(line: &str) -> Result<(Command, Form), String> {
        let words = std::iter::once("roamcore").chain(line.split_whitespace());
        parse(words.map(OsString::from), Path::new("/here"))
            .map(|call| (call.command, call.form))
            .map_err(|error| error.to_string())
    }

    #[test]
    fn table() {
        let ask = |request| Ok((Command::Ask(request), Form::Text));
        let install = |path: &str| ask(Request::Install { path: path.into() });
        let cases = [
            ("status", ask(Request::Status)),
            (
                "status --json",
                Ok((Command::Ask(Request::Status), Form::Json)),
            ),
            (
                "--json check",
                Ok((Command::Ask(Request::Check), Form::Json)),
            ),
            ("install x.roam", install("/here/x.roam")),
            ("install /mnt/x.roam", install("/mnt/x.roam")),
            ("install -- --x", install("/here/--x")),
            ("confirm", ask(Request::Confirm)),
            ("deny", ask(Request::Deny)),
            ("cancel", ask(Request::Cancel)),
            ("rollback", ask(Request::Rollback)),
            ("slots", Ok((Command::Slots, Form::Text))),
            ("log", ask(Request::Log { lines: 50 })),
            ("log -n 7", ask(Request::Log { lines: 7 })),
            (
                "auto-confirm on",
                ask(Request::AutoConfirm { active: true }),
            ),
            (
                "auto-confirm off",
                ask(Request::AutoConfirm { active: false }),
            ),
            ("health", Ok((Command::Health { gate: false }, Form::Text))),
            (
                "health --gate",
                Ok((Command::Health { gate: true }, Form::Text)),
            ),
            ("daemon", Ok((Command::Daemon, Form::Text))),
        ];
        for (line, want) in cases {
            assert_eq!(parsed(line), want, "{line}");
        }
        let refused = [
            ("", "no command given"),
            ("update", "unknown command \"update\""),
            ("install", "install needs a FILE"),
            ("install a b", "unexpected argument \"b\""),
            ("status now", "unexpected argument \"now\""),
            ("status --gate", "invalid option '--gate'"),
            ("daemon --json", "invalid option '--json'"),
            ("log --lines 0", "--lines \"0\" is not 1 to 2000"),
            ("log --lines all", "--lines \"all\" is not 1 to 2000"),
            ("auto-confirm", "auto-confirm needs \"on\" or \"off\""),
            ("auto-confirm yes", "auto-confirm needs \"on\" or \"off\""),
            ("help x", "unknown command \"x\""),
        ];
        for (line, want) in refused {
            assert_eq!(parsed(line), Err(want.to_owned()), "{line}");
        }
    }

    #[test]
    fn every_command_has_help_with_an_example() {
        for topic in &TOPICS {
            let print = |line: String| match parsed(&line) {
                Ok((Command::Print(text), _)) => text,
                other => panic!("{line}: {other:?}"),
            };
            let text = print(format!("{} --help", topic.name));
            assert!(text.contains("Example: "), "{text}");
            if topic.name != "help" {
                assert_eq!(text, print(format!("help {}", topic.name)));
                assert!(topic.example.contains("roamcore"), "{}", topic.example);
            }
            assert!(print("--help".to_owned()).contains(topic.summary));
        }
    }

    proptest! {
        #[test]
        fn never_panics(words in proptest::collection::vec("(-{0,2}[a-z=]{0,5}|install|log|--lines|help|.*)", 0..5)) {
            let words = std::iter::once("roamcore".to_owned()).chain(words);
            drop(parse(words.map(OsString::from), Path::new("/")));
        }
    }
}
