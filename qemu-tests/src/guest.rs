//! A booted image: a machine plus the shell in it.
//!
//! Owns the contract with development images: given the SMBIOS type 11 string [`CHANNEL`], the running system offers a root
//! bash on ttyS1, and says [`READY`] there (or `login:` on ttyS0) when it is up. Nothing is sent to the guest before that:
//! firmware and boot menu would read it as key presses.
//! Invariant: a guest that is dropped without a planned end leaves evidence (screenshot, journal) beside its logs.

use std::path::Path;
use std::time::Duration;

use crate::accel::Accel;
use crate::deadline::Deadline;
use crate::disk::journal;
use crate::error::{Error, Result};
use crate::machine::spec::MachineSpec;
use crate::machine::state::MachineState;
use crate::machine::{Logs, Machine};
use crate::serial::Pattern;
use crate::shell::{Output, Shell};
use crate::starved;

/// Asks the image for the command channel.
pub const CHANNEL: &str = "roamcore:console=ttyS1";
/// What the image says on ttyS1 when a shell listens there.
pub const READY: &str = "roamcore: shell on ttyS1";

/// Time for a boot under KVM, first boot with partitioning included; scaled by [`Accel::patience`].
const BOOT_SECONDS: u64 = 60;
/// Time for an ordinary command under KVM.
const COMMAND_SECONDS: u64 = 12;
/// Time for a clean power-off under KVM; systemd's own stop time-out is 90 s.
const OFF_SECONDS: u64 = 30;
/// Time to collect evidence, whatever the accelerator: the test has failed already.
const EVIDENCE_SECONDS: u64 = 60;

/// A running image.
#[derive(Debug)]
pub struct Guest {
    machine: Option<Machine>,
    shell: Shell,
    accel: Accel,
    up: bool,
    evidence: Logs,
}

impl Guest {
    /// Starts a machine without waiting for anything.
    pub fn start(
        spec: &MachineSpec,
        state: MachineState,
        accel: Accel,
        logs: Logs,
    ) -> Result<Self> {
        let evidence = logs.clone();
        let machine = Machine::start(&spec.clone().oem(CHANNEL), state, accel, logs)?;
        Ok(Self {
            machine: Some(machine),
            shell: Shell::default(),
            accel,
            up: false,
            evidence,
        })
    }

    /// The machine.
    pub fn machine(&mut self) -> Result<&mut Machine> {
        self.machine.as_mut().ok_or_else(|| Error::Missing {
            what: "the machine".into(),
            remedy: "it has been powered off; boot a new guest".into(),
        })
    }

    /// Lets evidence go elsewhere from now on: to the test that took the guest over. Its console goes on where it began.
    pub fn leave_evidence_in(&mut self, logs: Logs) {
        self.evidence = logs;
    }

    /// A deadline for what takes `seconds` under KVM.
    pub fn within(&self, seconds: u64) -> Deadline {
        Deadline::secs(self.accel.patience(seconds))
    }

    /// Waits until the system is up (again) and the shell answers. Looks only at what was said since the last call.
    pub fn wait_up(&mut self) -> Result<()> {
        let deadline = self.within(BOOT_SECONDS);
        let machine = self.machine()?;
        loop {
            if machine.channel.pending(READY) {
                break;
            }
            match machine.console()?.wait_for("login:", deadline.at_most(1)) {
                Ok(_) => break,
                Err(Error::Timeout { tail, .. })
                    if deadline.passed() || starved::went_silent(machine.console()?.log()) =>
                {
                    let what = format!("`{READY}` on ttyS1 or `login:` on ttyS0");
                    return Err(Error::Timeout {
                        what,
                        seconds: deadline.seconds() - deadline.left().as_secs(),
                        tail,
                    });
                }
                Err(Error::Timeout { .. }) => {}
                Err(other) => return Err(other),
            }
        }
        let Some(machine) = &mut self.machine else {
            return Ok(());
        };
        machine.channel.skip();
        self.shell.sync(&mut machine.channel, deadline)?;
        machine.console()?.skip();
        self.up = true;
        Ok(())
    }

    /// Waits until systemd has finished starting; gives its verdict (`running`, `degraded`, ...).
    pub fn settled(&mut self) -> Result<String> {
        let deadline = self.within(BOOT_SECONDS);
        Ok(self
            .run_until("systemctl is-system-running --wait", deadline)?
            .text())
    }

    /// Runs a command, whatever its status.
    pub fn run(&mut self, command: &str) -> Result<Output> {
        let deadline = self.within(COMMAND_SECONDS);
        self.run_until(command, deadline)
    }

    /// Runs a command with a deadline of its own.
    pub fn run_until(&mut self, command: &str, deadline: Deadline) -> Result<Output> {
        let (shell, machine) = (&mut self.shell, self.machine.as_mut());
        let machine = machine.ok_or_else(|| Error::Missing {
            what: "the machine".into(),
            remedy: "boot one".into(),
        })?;
        shell.run(&mut machine.channel, command, deadline)
    }

    /// Runs a command that must succeed; gives its output.
    pub fn ok(&mut self, command: &str) -> Result<String> {
        let output = self.run(command)?;
        match output.status {
            0 => Ok(output.text()),
            status => Err(Error::Guest {
                command: command.into(),
                status,
                output: output.text(),
            }),
        }
    }

    /// Starts a command that is not expected to answer, such as one that stops the machine.
    pub fn fire(&mut self, command: &str) -> Result<()> {
        self.machine()?.channel.send(format!("{command}\n"))
    }

    /// Reads a file.
    pub fn read_file(&mut self, path: &str) -> Result<Vec<u8>> {
        let deadline = self.within(COMMAND_SECONDS);
        let (shell, machine) = (&mut self.shell, self.machine.as_mut());
        let machine = machine.ok_or_else(|| Error::Missing {
            what: "the machine".into(),
            remedy: "boot one".into(),
        })?;
        shell.read_file(&mut machine.channel, path, deadline)
    }

    /// Writes a file.
    pub fn write_file(&mut self, path: &str, bytes: &[u8]) -> Result<()> {
        let deadline = self.within(COMMAND_SECONDS);
        let (shell, machine) = (&mut self.shell, self.machine.as_mut());
        let machine = machine.ok_or_else(|| Error::Missing {
            what: "the machine".into(),
            remedy: "boot one".into(),
        })?;
        shell.write_file(&mut machine.channel, path, bytes, deadline)
    }

    /// Waits for the next reset beyond the `already` counted; the shell is gone until [`Guest::wait_up`].
    pub fn wait_reset(&mut self, already: usize, deadline: Deadline) -> Result<()> {
        self.up = false;
        let machine = self.machine()?;
        machine.wait_event("RESET", already, deadline)?;
        // What was said before the reset may still be under way on another socket; firmware needs seconds to speak.
        std::thread::sleep(Duration::from_millis(500));
        machine.channel.skip();
        machine.console()?.skip();
        Ok(())
    }

    /// Powers off from inside and waits for it; gives the machine's state back.
    pub fn power_off(mut self) -> Result<MachineState> {
        self.fire("systemctl poweroff")?;
        let deadline = self.within(OFF_SECONDS);
        self.wait_off(deadline)
    }

    /// Waits until the guest has powered the machine off by itself.
    pub fn wait_off(mut self, deadline: Deadline) -> Result<MachineState> {
        // The machine is still ours when this fails, so that a power-off that hangs leaves evidence.
        self.machine()?.wait_power_off(deadline)?;
        self.cut_power()
    }

    /// Pulls the plug.
    pub fn cut_power(mut self) -> Result<MachineState> {
        match self.machine.take() {
            Some(machine) => Ok(machine.cut_power()),
            None => Err(Error::Missing {
                what: "the machine".into(),
                remedy: "boot one".into(),
            }),
        }
    }

    /// Ends it without evidence: the test has what it wanted.
    pub fn discard(mut self) {
        self.machine = None;
    }

    /// Saves what can still be learned: the screen, and the journal: as the shell says it, or from the disk when no shell
    /// answers.
    fn save_evidence(&mut self) {
        let Some(mut machine) = self.machine.take() else {
            return;
        };
        let logs = self.evidence.clone();
        if logs.directory != machine.logs().directory {
            let (from, to) = (machine.logs().file("console.log"), logs.file("console.log"));
            if let Err(error) = std::fs::copy(&from, &to) {
                eprintln!("  console log stays in {}: {error}", from.display());
            }
        }
        let console = machine.console.as_ref().map(|console| console.log());
        if console.is_some_and(starved::went_silent) {
            match what_it_does(&mut machine) {
                Ok(said) => keep(&logs.file(starved::PROCESSORS), said.as_bytes()),
                Err(error) => eprintln!("  nothing of its processors: {error}"),
            }
        }
        let saved = machine
            .screenshot()
            .and_then(|picture| picture.save_png(&logs.file("screen.png")));
        if let Err(error) = saved {
            eprintln!("  no screenshot: {error}");
        }
        if self.up {
            match self.ask_journal(&mut machine) {
                Ok(journal) => return keep(&logs.file("journal.txt"), &journal),
                Err(error) => eprintln!("  the shell gives no journal: {error}"),
            }
        }
        match machine.cut_power().disk {
            None => eprintln!("  no journal: the machine has no disk"),
            Some(disk) => {
                match journal::keep(&disk, &logs.file("journal"), &logs.file("journal.txt")) {
                    Ok(lines) => eprintln!("  {lines} lines of the journal, from the disk"),
                    Err(error) => eprintln!("  no journal: {error}"),
                }
            }
        }
    }

    fn ask_journal(&mut self, machine: &mut Machine) -> Result<Vec<u8>> {
        // The update service acts on what earlier boots left, and says so in the boot in which it acts.
        let command = "systemctl --failed --no-pager; \
                       journalctl --no-pager -o short-iso -u roamcore.service | tail -n 200; \
                       journalctl -b --no-pager -o short-monotonic | tail -n 1500";
        let within = Deadline::secs(EVIDENCE_SECONDS);
        let said = self.shell.run(&mut machine.channel, command, within)?;
        Ok(said.bytes)
    }
}

/// What the processors of a silent machine do, at two moments, and what it says when they are interrupted.
fn what_it_does(machine: &mut Machine) -> Result<String> {
    const BETWEEN: Duration = Duration::from_secs(10);
    let first = machine.processors()?;
    std::thread::sleep(BETWEEN);
    let second = machine.processors()?;
    let log = machine.console()?.log().to_owned();
    let said = std::fs::metadata(&log).map_or(0, |file| file.len() as usize);
    machine.interrupt()?;
    std::thread::sleep(BETWEEN);
    let log = std::fs::read(&log).unwrap_or_default();
    let after = String::from_utf8_lossy(log.get(said..).unwrap_or_default());
    Ok(format!(
        "{first}\n--- {} s later\n{second}\n--- said after an NMI\n{after}",
        BETWEEN.as_secs()
    ))
}

fn keep(path: &Path, bytes: &[u8]) {
    if let Err(error) = std::fs::write(path, bytes) {
        eprintln!("  not kept: {}: {error}", path.display());
    }
}

impl Drop for Guest {
    fn drop(&mut self) {
        self.save_evidence();
    }
}

/// A pattern that shows a system that waits for a person instead of restarting: each would feed the watchdog for ever.
pub fn emergency_shell() -> Result<Pattern> {
    Pattern::regex(
        "emergency mode|rescue mode|Press Enter for maintenance|sulogin|Give root password|dracut:/#|\\(initramfs\\)",
    )
}
