//! One running QEMU with its sockets, TPM and network.
//!
//! Owns the process from start to end. Never looks into the guest: that is `guest`'s.
//! Invariant: whatever happens, no QEMU outlives its `Machine`.
//!
//! ```text
//!  start: [TPM] -> [namespace] -> QEMU halted (-S) -> ttyS0, ttyS1, QMP connected -> cont
//!  end:   guest powers off -> SHUTDOWN(guest-shutdown) -> exit 0 | cut_power: SIGKILL | drop: SIGKILL
//! ```

pub mod spec;
pub mod state;
pub mod topology;

use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};

use serde_json::json;

use crate::accel::Accel;
use crate::deadline::Deadline;
use crate::error::{Error, Result, file};
use crate::net::Lan;
use crate::picture::Picture;
use crate::qmp::{Event, Qmp};
use crate::serial::Serial;
use crate::tool::{Daemon, Tty};
use crate::tpm::Tpm;
use spec::{Console, MachineSpec, Net};
use state::MachineState;
use topology::Files;

/// Answers of a healthy QEMU come in milliseconds; a loaded host with TCG may take seconds.
const QMP_SECONDS: u64 = 30;

/// Where a machine's logs go.
#[derive(Debug, Clone)]
pub struct Logs {
    /// Directory, made if missing.
    pub directory: PathBuf,
    /// Start of every file name.
    pub prefix: String,
}

impl Logs {
    /// A file among the logs.
    pub fn file(&self, name: &str) -> PathBuf {
        self.directory.join(format!("{}-{name}", self.prefix))
    }
}

/// A running machine.
#[derive(Debug)]
pub struct Machine {
    // Order matters: QEMU is killed before what it is connected to.
    qemu: Daemon,
    qmp: Qmp,
    /// ttyS0; absent when the console is the terminal.
    pub console: Option<Serial>,
    /// ttyS1, the command channel.
    pub channel: Serial,
    state: MachineState,
    logs: Logs,
    lan: Option<Lan>,
    _tpm: Option<Tpm>,
    _sockets: tempfile::TempDir,
}

impl Machine {
    /// Starts a machine on `state` and lets it run.
    pub fn start(
        spec: &MachineSpec,
        state: MachineState,
        accel: Accel,
        logs: Logs,
    ) -> Result<Self> {
        std::fs::create_dir_all(&logs.directory).map_err(file("create", &logs.directory))?;
        // In /tmp whatever TMPDIR says: a socket's path has 108 bytes at most.
        let sockets = tempfile::Builder::new()
            .prefix("rcq")
            .tempdir_in("/tmp")
            .map_err(file("create", "/tmp/rcq*"))?;
        let tpm = spec
            .tpm
            .then(|| Tpm::start(&state.tpm, sockets.path()))
            .transpose()?;
        let lan = (spec.lan == Net::Tap).then(Lan::new).transpose()?;
        let code = spec.firmware.code()?;
        let files = Files {
            sockets: sockets.path(),
            code: &code,
            vars: &state.vars,
            disk: state.disk.as_ref().map(|d| d.path()),
            tpm: tpm.as_ref().map(Tpm::socket),
        };
        let line = topology::command_line(spec, &files, accel);
        let wrapper = lan.as_ref().map(Lan::enter).unwrap_or_default();
        let tty = match spec.console {
            Console::Socket => Tty::Detached,
            Console::Terminal => Tty::Shared,
        };
        let mut qemu = Daemon::start(&wrapper, "qemu-system-x86_64", &line, tty)?;
        let replay = logs.file("qemu.txt");
        std::fs::write(&replay, format!("{}\n", qemu.command_line()))
            .map_err(file("write", &replay))?;

        let deadline = Deadline::secs(QMP_SECONDS);
        let mut connect = |name: &str| connect(&sockets.path().join(name), &mut qemu, deadline);
        let console = match spec.console {
            Console::Socket => Some(Serial::new(
                "ttyS0",
                connect("ttyS0")?,
                &logs.file("console.log"),
            )?),
            Console::Terminal => None,
        };
        let channel = Serial::new("ttyS1", connect("ttyS1")?, &logs.file("channel.log"))?;
        let mut qmp = Qmp::new(connect("qmp")?, &sockets.path().join("qmp"), deadline)?;
        crate::starved::favour(qemu.pid());
        qmp.execute("cont", json!({}), deadline)?;
        Ok(Self {
            qemu,
            qmp,
            console,
            channel,
            state,
            logs,
            lan,
            _tpm: tpm,
            _sockets: sockets,
        })
    }

    /// The console; an error when it is on the terminal.
    pub fn console(&mut self) -> Result<&mut Serial> {
        self.console.as_mut().ok_or_else(|| Error::Missing {
            what: "the console socket".into(),
            remedy: "start the machine with Console::Socket".into(),
        })
    }

    /// QEMU's control socket.
    pub fn qmp(&mut self) -> &mut Qmp {
        &mut self.qmp
    }

    /// The namespace on LAN port 1, if asked for.
    pub fn lan(&self) -> Option<&Lan> {
        self.lan.as_ref()
    }

    /// Where this machine's logs are.
    pub fn logs(&self) -> &Logs {
        &self.logs
    }

    /// How often the machine was reset since its start, for whatever reason.
    pub fn resets(&self) -> usize {
        self.qmp.count("RESET")
    }

    /// How often the watchdog fired.
    pub fn watchdogs(&self) -> usize {
        self.qmp.count("WATCHDOG")
    }

    /// Waits for an event beyond the `already` seen; see [`Qmp::wait_event`].
    pub fn wait_event(&self, name: &str, already: usize, deadline: Deadline) -> Result<Event> {
        self.qmp.wait_event(name, already, deadline)
    }

    /// Presses the reset button.
    pub fn reset(&mut self) -> Result<()> {
        self.qmp
            .execute("system_reset", json!({}), Deadline::secs(QMP_SECONDS))
            .map(drop)
    }

    /// Presses the power button.
    pub fn power_button(&mut self) -> Result<()> {
        self.qmp
            .execute("system_powerdown", json!({}), Deadline::secs(QMP_SECONDS))
            .map(drop)
    }

    /// Registers and interrupt controllers of all processors, as QEMU's monitor prints them.
    pub fn processors(&mut self) -> Result<String> {
        let mut said = String::new();
        for question in [
            "info registers -a",
            "info lapic 0",
            "info lapic 1",
            "info pic",
        ] {
            let answer = self.qmp.execute(
                "human-monitor-command",
                json!({"command-line": question}),
                Deadline::secs(QMP_SECONDS),
            )?;
            said.push_str(&format!(
                "{question}\n{}\n",
                answer.as_str().unwrap_or_default()
            ));
        }
        Ok(said)
    }

    /// Gives all processors an interrupt that they cannot mask; Linux says so on its console.
    pub fn interrupt(&mut self) -> Result<()> {
        self.qmp
            .execute("inject-nmi", json!({}), Deadline::secs(QMP_SECONDS))
            .map(drop)
    }

    /// What the screen shows.
    pub fn screenshot(&mut self) -> Result<Picture> {
        let ppm = self.logs.file("screen.ppm");
        self.qmp.execute(
            "screendump",
            json!({"filename": ppm}),
            Deadline::secs(QMP_SECONDS),
        )?;
        let bytes = std::fs::read(&ppm).map_err(file("read", &ppm))?;
        std::fs::remove_file(&ppm).map_err(file("remove", &ppm))?;
        Picture::from_ppm(&bytes)
    }

    /// Waits until the guest has powered the machine off by itself. Whoever waited in vain still has the machine to look
    /// at; [`Machine::cut_power`] gives its disk and firmware back.
    pub fn wait_power_off(&mut self, deadline: Deadline) -> Result<()> {
        let event = self.qmp.wait_event("SHUTDOWN", 0, deadline)?;
        if event.data["reason"] != "guest-shutdown" {
            let reason = format!(
                "wanted a power-off by the guest, QEMU reports {}",
                event.data
            );
            return Err(Error::Format {
                what: "end of the machine".into(),
                reason,
            });
        }
        let status = self.qemu.wait(Deadline::secs(QMP_SECONDS))?;
        match status.success() {
            true => Ok(()),
            false => Err(self.qemu.died().unwrap_or_else(|| Error::Format {
                what: "QEMU's exit status".into(),
                reason: status.to_string(),
            })),
        }
    }

    /// Pulls the plug, if it still runs: nothing in QEMU is flushed.
    pub fn cut_power(mut self) -> MachineState {
        self.qemu.kill();
        self.state
    }

    /// Waits for QEMU's end, whatever its cause (a person left the console).
    pub fn wait_end(mut self) -> Result<MachineState> {
        const DAYS: u64 = 30 * 86_400;
        self.qemu.wait(Deadline::secs(DAYS))?;
        Ok(self.state)
    }
}

/// Connects to a socket that QEMU is about to make.
fn connect(path: &Path, qemu: &mut Daemon, deadline: Deadline) -> Result<UnixStream> {
    loop {
        match UnixStream::connect(path) {
            Ok(stream) => return Ok(stream),
            Err(source) if deadline.passed() => return Err(file("connect to", path)(source)),
            Err(_) => {}
        }
        if let Some(error) = qemu.died() {
            return Err(error);
        }
        deadline.pause(20);
    }
}
