//! A root shell in the guest over the command channel (ttyS1).
//!
//! Owns the protocol. Relies on neither prompts nor echo; noise before a marker is skipped.
//! Invariant: every line sent is shorter than a canonical terminal's 4096 bytes, and is answered before the next one is sent.
//!
//! ```text
//! harness                                      bash on ttyS1
//!   stty raw -echo; exec bash -s; printf mark -->           (repeated until answered: sync)
//!   C=$C'base64 of the command, a piece'; ack -->
//!                                             <-- marker
//!   run C; print output as base64; status     -->
//!                                             <-- marker B, base64 lines, marker E with status
//! ```
//! A marker is sent in two halves that only `printf` puts together, so that an echo is never taken for an answer.

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;

use crate::deadline::Deadline;
use crate::error::{Error, Result};
use crate::serial::{Pattern, Serial};

/// Bytes of base64 in one line: far below 4096 with everything around it.
const PIECE: usize = 1024;

/// Seconds between attempts to sync.
const SYNC_SECONDS: u64 = 5;

/// What a command gave.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Output {
    /// Exit status; 124 or 137 when the guest ended it at its deadline.
    pub status: i32,
    /// stdout and stderr as they came.
    pub bytes: Vec<u8>,
}

impl Output {
    /// As text, without trailing blanks.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.bytes).trim_end().to_owned()
    }
}

/// Turns a serial port into a shell. Stateless beyond a counter: keep one per boot.
#[derive(Debug, Default)]
pub struct Shell {
    counter: u64,
}

impl Shell {
    /// Gets an answer out of the guest's shell, trying until the deadline. Call it only once the system runs:
    /// before that, the firmware and the boot menu would take what is sent for key presses.
    pub fn sync(&mut self, port: &mut Serial, deadline: Deadline) -> Result<()> {
        loop {
            // `-s` with stderr elsewhere: a bash that is not interactive, thus without prompt and line editor.
            let (left, right) = self.mark();
            let hello = format!(
                "\nstty raw -echo; exec bash --norc --noprofile -s 2>/dev/null\nprintf '%s%s\\n' {left} {right}\n"
            );
            port.send(hello)?;
            match port.wait_for(
                Pattern::Text(format!("{left}{right}\n")),
                deadline.at_most(SYNC_SECONDS),
            ) {
                Ok(_) => return Ok(()),
                Err(Error::Timeout { tail, .. }) if deadline.passed() => {
                    let what = "an answer on the command channel".into();
                    return Err(Error::Timeout {
                        what,
                        seconds: deadline.seconds(),
                        tail,
                    });
                }
                Err(Error::Timeout { .. }) => {}
                Err(other) => return Err(other),
            }
        }
    }

    /// Runs a command line of bash and gives its output, whatever its status. Its stdin is empty. The guest ends it at
    /// the deadline. What stays in the background must not keep stdout.
    pub fn run(&mut self, port: &mut Serial, command: &str, deadline: Deadline) -> Result<Output> {
        self.put(port, "RC_C", command.as_bytes(), deadline)?;
        let (left, right) = self.mark();
        let seconds = deadline.left().as_secs().max(1);
        port.send(format!(
            "printf '%s%s B\\n' {left} {right}; timeout -k 5 {seconds} bash -c \"$(printf %s \"$RC_C\" | base64 -d)\" \
             </dev/null 2>&1 | base64; printf '%s%s E %s\\n' {left} {right} \"${{PIPESTATUS[0]}}\"\n"
        ))?;
        // Longer than the guest's own limit, so that the guest reports what it ended.
        let grace = Deadline::secs(seconds + 30);
        port.wait_for(Pattern::Text(format!("{left}{right} B\n")), grace)?;
        let framed = port.wait_for(Pattern::regex(&format!("{left}{right} E [0-9]+\n"))?, grace)?;
        let (body, end) = framed
            .rsplit_once(&format!("{left}{right} E "))
            .unwrap_or((&framed, ""));
        let garbled = |reason: String| Error::Format {
            what: format!("answer to `{command}`"),
            reason,
        };
        let status = end
            .trim()
            .parse()
            .map_err(|e| garbled(format!("status `{end}`: {e}")))?;
        let packed: String = body.split_whitespace().collect();
        let bytes = BASE64.decode(packed).map_err(|e| garbled(e.to_string()))?;
        Ok(Output { status, bytes })
    }

    /// Runs a command that must succeed; gives its output without trailing blanks.
    pub fn ok(&mut self, port: &mut Serial, command: &str, deadline: Deadline) -> Result<String> {
        let output = self.run(port, command, deadline)?;
        match output.status {
            0 => Ok(output.text()),
            status => Err(Error::Guest {
                command: command.into(),
                status,
                output: output.text(),
            }),
        }
    }

    /// A file's bytes.
    pub fn read_file(
        &mut self,
        port: &mut Serial,
        path: &str,
        deadline: Deadline,
    ) -> Result<Vec<u8>> {
        let command = format!("cat -- {}", quoted(path));
        let output = self.run(port, &command, deadline)?;
        match output.status {
            0 => Ok(output.bytes),
            status => Err(Error::Guest {
                command,
                status,
                output: output.text(),
            }),
        }
    }

    /// Writes a file in one go. Bytes travel through shell variables: meant for some 100 KB at most.
    pub fn write_file(
        &mut self,
        port: &mut Serial,
        path: &str,
        bytes: &[u8],
        deadline: Deadline,
    ) -> Result<()> {
        self.put(port, "RC_F", bytes, deadline)?;
        let (left, right) = self.mark();
        let path_quoted = quoted(path);
        port.send(format!(
            "printf %s \"$RC_F\" | base64 -d >{path_quoted}; printf '%s%s E %s\\n' {left} {right} \"$?\"\n"
        ))?;
        let answer = port.wait_for(
            Pattern::regex(&format!("{left}{right} E [0-9]+\n"))?,
            deadline,
        )?;
        match answer.trim_end().rsplit(' ').next() {
            Some("0") => Ok(()),
            status => Err(Error::Guest {
                command: format!("write {path}"),
                status: status.and_then(|s| s.parse().ok()).unwrap_or(-1),
                output: String::new(),
            }),
        }
    }

    /// Sends bytes into a shell variable as base64, piece by piece, each acknowledged.
    fn put(
        &mut self,
        port: &mut Serial,
        variable: &str,
        bytes: &[u8],
        deadline: Deadline,
    ) -> Result<()> {
        let packed = BASE64.encode(bytes);
        let mut assignment = format!("{variable}=");
        let mut rest = packed.as_str();
        loop {
            let (piece, later) = rest.split_at(rest.len().min(PIECE));
            let (left, right) = self.mark();
            port.send(format!(
                "{assignment}{piece}; printf '%s%s\\n' {left} {right}\n"
            ))?;
            port.wait_for(Pattern::Text(format!("{left}{right}\n")), deadline)?;
            if later.is_empty() {
                return Ok(());
            }
            rest = later;
            assignment = format!("{variable}+=");
        }
    }

    /// Two halves of a marker that was never used before.
    fn mark(&mut self) -> (String, String) {
        self.counter += 1;
        (
            format!("RC{}", std::process::id()),
            format!("x{}m", self.counter),
        )
    }
}

fn quoted(path: &str) -> String {
    format!("'{}'", path.replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::File;
    use std::io::{Read, Write};
    use std::os::fd::OwnedFd;
    use std::os::unix::net::UnixStream;
    use std::process::{Child, Command};

    /// An interactive bash with echo and prompt on a terminal in canonical mode, joined to a serial port.
    fn guest(dir: &tempfile::TempDir) -> (Serial, Child) {
        let main: OwnedFd =
            rustix::pty::openpt(rustix::pty::OpenptFlags::RDWR | rustix::pty::OpenptFlags::NOCTTY)
                .unwrap();
        rustix::pty::grantpt(&main).unwrap();
        rustix::pty::unlockpt(&main).unwrap();
        let name = rustix::pty::ptsname(&main, Vec::new())
            .unwrap()
            .into_string()
            .unwrap();
        let tty = || File::options().read(true).write(true).open(&name).unwrap();
        let (ours, theirs) = UnixStream::pair().unwrap();
        let bash = Command::new("bash")
            .args(["--norc", "-i"])
            .stdin(tty())
            .stdout(tty())
            .stderr(tty())
            .spawn()
            .unwrap();
        let (mut from_tty, mut to_tty) = (File::from(main.try_clone().unwrap()), File::from(main));
        let (mut from_us, mut to_us) = (theirs.try_clone().unwrap(), theirs);
        std::thread::spawn(move || copy(&mut from_tty, &mut to_us));
        std::thread::spawn(move || copy(&mut from_us, &mut to_tty));
        (
            Serial::new("ttyS1", ours, &dir.path().join("log")).unwrap(),
            bash,
        )
    }

    fn copy(from: &mut impl Read, to: &mut impl Write) {
        let mut buffer = [0u8; 4096];
        while let Ok(length @ 1..) = from.read(&mut buffer) {
            if to.write_all(&buffer[..length]).is_err() {
                return;
            }
        }
    }

    #[test]
    fn works_against_echo_prompt_and_noise() {
        let dir = tempfile::tempdir().unwrap();
        let (mut port, mut bash) = guest(&dir);
        let mut shell = Shell::default();
        let soon = || Deadline::secs(20);
        port.send("echo noise; printf 'half a line'\n").unwrap();
        shell.sync(&mut port, soon()).unwrap();
        shell.sync(&mut port, soon()).unwrap();

        let both = shell
            .run(&mut port, "echo out; echo err >&2; cat; exit 7", soon())
            .unwrap();
        assert_eq!((both.status, both.text().as_str()), (7, "out\nerr"));
        let long = "x".repeat(10_000);
        assert_eq!(
            shell
                .ok(&mut port, &format!("printf %s {long} | wc -c"), soon())
                .unwrap(),
            "10000"
        );
        let error = shell.ok(&mut port, "echo why; false", soon()).unwrap_err();
        assert_eq!(
            error.to_string(),
            "in the guest, `echo why; false` ended with 1: why"
        );
        assert_eq!(
            shell
                .run(&mut port, "sleep 60", Deadline::secs(2))
                .unwrap()
                .status,
            124
        );

        let path = dir.path().join("it's a file");
        let bytes: Vec<u8> = (0..=255u8).cycle().take(5000).collect();
        shell
            .write_file(&mut port, path.to_str().unwrap(), &bytes, soon())
            .unwrap();
        assert!(std::fs::read(&path).unwrap() == bytes);
        assert!(
            shell
                .read_file(&mut port, path.to_str().unwrap(), soon())
                .unwrap()
                == bytes
        );
        shell
            .write_file(&mut port, "/no/such/dir/file", b"x", soon())
            .unwrap_err();
        bash.kill().unwrap();
        bash.wait().unwrap();
    }
}
