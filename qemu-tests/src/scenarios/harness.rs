//! Proves that the harness itself works here, without an image: firmware reaches its shell with a TPM on the bus, the serial
//! ports speak both ways, the screen shows something, a reset is counted, the watchdog really resets the machine, and a
//! machine that does not power off leaves evidence.
//!
//! The watchdog is armed from the UEFI shell by writing the iTCO's registers, so that a later failure of the image's own
//! watchdog test cannot be the emulation's fault. (ICH9 datasheet: TCO registers at PMBASE + 0x60 = 0x660, GCS at
//! RCBA + 0x3410 = 0xfed1f410, where OVMF puts both.)

use anyhow::ensure;

use crate::args;
use crate::context::Ctx;
use crate::deadline::Deadline;
use crate::firmware::Firmware;
use crate::guest::Guest;
use crate::machine::Machine;
use crate::machine::spec::{MachineSpec, Net};
use crate::net::{Lan, TAP};
use crate::registry::{Group, Need, Test};
use crate::serial::Pattern;

/// The row.
pub const TEST: Test = Test {
    name: "harness",
    proves: "QEMU, firmware, TPM, serial ports, screenshots, resets, emulated watchdog and evidence work on this host",
    group: Group::Ci,
    needs: &[Need::Tool("qemu-system-x86_64"), Need::Tool("swtpm")],
    run,
};

/// Firmware alone needs about 7 s under TCG; this is for a busy host.
const FIRMWARE_SECONDS: u64 = 120;

/// Clear NO_REBOOT in GCS, set the time-out to 4 ticks (2.4 s), clear TMR_HLT, reload: the timer resets when it expires twice.
const ARM_WATCHDOG: [&str; 4] = [
    "mm FED1F410 0 -w 4 -mmio -n\r",
    "mm 672 4 -w 2 -io -n\r",
    "mm 668 0 -w 2 -io -n\r",
    "mm 660 1 -w 2 -io -n\r",
];

fn run(ctx: &Ctx) -> anyhow::Result<Vec<String>> {
    let soon = || Deadline::secs(FIRMWARE_SECONDS);
    let spec = MachineSpec {
        tpm: true,
        memory_mib: 512,
        ..MachineSpec::default()
    };
    let mut machine = Machine::start(&spec, ctx.bare_machine()?, ctx.accel, ctx.logs("firmware"))?;
    shell(&mut machine)?;
    let picture = machine.screenshot()?;
    ensure!(picture.shows_something(), "the screen has one colour");
    picture.save_png(&machine.logs().file("screen.png"))?;

    machine.console()?.send("smbiosview -t 1\r")?;
    machine.console()?.wait_for("VP2430", soon())?;
    machine.console()?.send("pci 00 1C 06\r")?;
    machine
        .console()?
        .wait_for("Func 06 [EFI 00001C0600]", soon())?;
    // CRB interface identifier, upper half: vendor IBM, as QEMU gives it (TCG PC Client Platform TPM Profile, 6.5.3).
    machine.console()?.send("mm FED40034 -w 2 -mmio -n\r")?;
    machine
        .console()?
        .wait_for(Pattern::regex("FED40034 : 0x1014")?, soon())?;

    let before = machine.resets();
    machine.reset()?;
    machine.wait_event("RESET", before, soon())?;
    shell(&mut machine)?;

    let before = machine.resets();
    for line in ARM_WATCHDOG {
        machine.console()?.send(line)?;
        machine.console()?.wait_for("Shell>", soon())?;
    }
    machine.wait_event("WATCHDOG", 0, soon())?;
    machine.wait_event("RESET", before, soon())?;
    shell(&mut machine)?;
    machine.console()?.send("reset -s\r")?;
    machine.wait_power_off(soon())?;
    let secure = secure(ctx)?;
    Ok(vec![
        secure,
        format!(
            "OVMF reached its shell under {}, screen of {}x{}",
            ctx.accel, picture.width, picture.height
        ),
        "the guest sees Protectli VP2430, root port 00:1c.6 and a TPM 2.0".into(),
        "a reset was counted, and the iTCO armed from the firmware shell reset the machine".into(),
        "power-off from inside ended QEMU cleanly".into(),
    ])
}

/// The Secure Boot build with SMM, on a disk in an overlay of an overlay, with a cable to the harness if the host allows it.
fn secure(ctx: &Ctx) -> anyhow::Result<String> {
    let soon = || Deadline::secs(FIRMWARE_SECONDS);
    let blank = tempfile::NamedTempFile::new()?;
    blank.as_file().set_len(64 << 20)?;
    let frozen = ctx
        .bare_machine()?
        .with_disk(blank.path(), 32_000_000_000)?
        .freeze();
    let state = ctx.fork_state(&frozen)?;
    let cable = Lan::impossible().is_none();
    let mut spec = MachineSpec {
        firmware: Firmware::Secure,
        memory_mib: 512,
        ..MachineSpec::default()
    };
    spec.lan = if cable { Net::Tap } else { Net::Isolated };
    let mut guest = ctx.start(&spec, state, "secure")?;
    let machine = guest.machine()?;
    shell(machine)?;
    machine
        .console()?
        .send("setvar SetupMode -guid 8be4df61-93ca-11d2-aa0d-00e098032b8c\r")?;
    machine
        .console()?
        .wait_for(Pattern::regex("SetupMode - 0001 Bytes\\s+01")?, soon())?;
    machine.console()?.send("map -r\r")?;
    machine
        .console()?
        .wait_for(Pattern::regex("(?s)BLK0.*NVMe\\(")?, soon())?;
    if let Some(lan) = machine.lan() {
        let link = lan.run("ip", &args!["link", "show", "dev", TAP])?;
        ensure!(
            link.contains("LOWER_UP"),
            "QEMU has not taken the tap: {link}"
        );
    }
    let cable = if cable { "a cable to" } else { "no cable to" };
    stuck(guest)?;
    Ok(format!(
        "the Secure Boot firmware starts in setup mode with SMM, an NVMe disk and {cable} the harness; \
         when it does not power off, its screen is kept"
    ))
}

/// A firmware shell never powers off by itself: the wait must fail, and leave what a failed test leaves.
fn stuck(mut guest: Guest) -> anyhow::Result<()> {
    let screen = guest.machine()?.logs().file("screen.png");
    ensure!(!screen.exists(), "{} was there before", screen.display());
    ensure!(
        guest.wait_off(Deadline::secs(1)).is_err(),
        "a machine that runs was taken for one that is off"
    );
    ensure!(
        screen.metadata().is_ok_and(|file| file.len() > 0),
        "a power-off that hung left no {}",
        screen.display()
    );
    Ok(())
}

/// Gets to the prompt of the UEFI shell.
fn shell(machine: &mut Machine) -> anyhow::Result<()> {
    let soon = || Deadline::secs(FIRMWARE_SECONDS);
    machine.console()?.wait_for("startup.nsh", soon())?;
    machine.console()?.send("\x1b")?;
    machine.console()?.wait_for("Shell>", soon())?;
    Ok(())
}
