//! Proves (c): with our keys enrolled, and only then, the firmware runs exactly what we signed. The image enrols its keys
//! by itself in a machine in setup mode; after that a boot loader or a UKI that was altered, is unsigned or is signed by
//! somebody else is refused.
//!
//! The enrolment is part of the stage `provisioned`. The refusals need no system: each is over when the firmware has spoken.

use anyhow::{Context as _, ensure};

use crate::bootfile;
use crate::context::Ctx;
use crate::disk::esp::Esp;
use crate::error::Result;
use crate::firmware::Firmware;
use crate::machine::spec::MachineSpec;
use crate::registry::{Group, Need, Test};
use crate::scenarios::common::{fork, provisioned};
use crate::serial::Pattern;

/// The short row.
pub const TEST: Test = Test {
    name: "secure",
    proves: "the image enrols its Secure Boot keys; then an altered UKI, a stranger's UKI and an altered boot loader are refused",
    group: Group::Ci,
    needs: &[Need::Image],
    run: |ctx| run(ctx, &CASES[..3]),
};

/// The row with every case.
pub const MORE: Test = Test {
    name: "secure-more",
    proves: "every other way to alter or replace a signed boot file is refused too",
    group: Group::All,
    needs: &[Need::Image],
    run: |ctx| run(ctx, &CASES[3..]),
};

/// systemd-boot, at the place every firmware looks for.
const LOADER: &str = "/EFI/BOOT/BOOTX64.EFI";
/// Slot A's UKI.
const UKI: &str = "/EFI/roamcore/a/roamcore.efi";

/// What is done to which file.
struct Case {
    label: &'static str,
    file: &'static str,
    change: fn(&[u8]) -> Result<Vec<u8>>,
}

const CASES: [Case; 7] = [
    Case {
        label: "UKI with one bit of its command line changed",
        file: UKI,
        change: |b| bootfile::with_flipped_bit(b, ".cmdline"),
    },
    Case {
        label: "UKI signed by a stranger",
        file: UKI,
        change: bootfile::signed_by_a_stranger,
    },
    Case {
        label: "boot loader with one bit of its code changed",
        file: LOADER,
        change: |b| bootfile::with_flipped_bit(b, ".text"),
    },
    Case {
        label: "UKI with one bit of its kernel changed",
        file: UKI,
        change: |b| bootfile::with_flipped_bit(b, ".linux"),
    },
    Case {
        label: "UKI without a signature",
        file: UKI,
        change: bootfile::unsigned,
    },
    Case {
        label: "boot loader without a signature",
        file: LOADER,
        change: bootfile::unsigned,
    },
    Case {
        label: "boot loader signed by a stranger",
        file: LOADER,
        change: bootfile::signed_by_a_stranger,
    },
];

fn run(ctx: &Ctx, cases: &[Case]) -> anyhow::Result<Vec<String>> {
    let stage = provisioned(ctx)?;
    let (enforced, setup) = (stage.fact("secure boot")?, stage.fact("setup mode")?);
    ensure!(
        enforced == "1" && setup == "0",
        "SecureBoot={enforced}, SetupMode={setup} after the enrolment"
    );
    let mut proofs = vec![
        "out of setup mode the image enrols its own keys, resets, and boots with SecureBoot=1, SetupMode=0".into(),
    ];
    for case in cases {
        proofs.push(refused(ctx, case).context(case.label)?);
    }
    Ok(proofs)
}

fn refused(ctx: &Ctx, case: &Case) -> anyhow::Result<String> {
    let mut state = fork(ctx)?;
    let disk = state.disk.as_mut().context("no disk")?;
    let mut esp = Esp::open(disk)?;
    let good = esp.read(case.file)?;
    esp.write(case.file, &(case.change)(&good)?)?;
    esp.write_back(disk)?;
    let spec = MachineSpec {
        firmware: Firmware::Secure,
        ..MachineSpec::default()
    };
    let mut guest = ctx.start(&spec, state, "refused")?;
    let deadline = guest.within(12);
    let console = guest.machine()?.console()?;
    // The firmware's boot manager of a loader; systemd-boot of a UKI, passing on what the firmware answered.
    let refusal = Pattern::regex(
        "[^\n]*(Access Denied|Access denied|Security Violation|Security violation)[^\n]*\n",
    )?;
    let said = console.wait_for(refusal, deadline)?;
    // What was refused might be started all the same, a moment later.
    let begun = Pattern::regex("EFI stub:|Linux version|login:")?;
    let moment = crate::deadline::Deadline::secs(5);
    ensure!(
        console.wait_for(begun, moment).is_err(),
        "refused, yet started"
    );
    guest.discard();
    let line = said
        .trim_end()
        .lines()
        .next_back()
        .unwrap_or_default()
        .trim()
        .to_owned();
    Ok(format!("{}: `{line}`, nothing is started", case.label))
}
