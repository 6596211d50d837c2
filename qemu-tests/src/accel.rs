//! Which accelerator works here: KVM or software emulation (TCG).
//!
//! Owns the probe. A present `/dev/kvm` proves nothing: some clouds offer one that cannot run x87 or SSE instructions,
//! is many times slower than TCG, or hangs. So a real guest must run under KVM, with the CPU model and interrupt
//! controller that the tests use, do real work and leave with the agreed exit code in time. The answer is found once per process.

use std::io::Write;
use std::path::Path;
use std::sync::OnceLock;

use crate::args;
use crate::deadline::Deadline;
use crate::error::{Error, Result, file};
use crate::tool::{Daemon, Tty};

/// The probe's time limit. A sound KVM needs well under a second with QEMU's start; a broken one hangs for ever.
const PROBE_SECONDS: u64 = 5;

/// What the probe's guest writes to the exit port; QEMU leaves with `2 * code + 1`.
const PROBE_CODE: u8 = 0x2a;

/// How the guest's processor is made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Accel {
    /// Hardware virtualisation.
    Kvm,
    /// Software emulation.
    Tcg,
}

impl Accel {
    /// What works on this machine; probed once.
    pub fn detect() -> Self {
        static FOUND: OnceLock<Accel> = OnceLock::new();
        *FOUND.get_or_init(|| match probe(Self::Kvm) {
            Ok(true) => Self::Kvm,
            // An error (no device, QEMU without KVM) is the same answer: it does not run guests.
            Ok(false) | Err(_) => Self::Tcg,
        })
    }

    /// QEMU's `-accel`.
    pub fn accel_arg(self) -> &'static str {
        match self {
            Self::Kvm => "kvm",
            Self::Tcg => "tcg,thread=multi",
        }
    }

    /// QEMU's `-cpu`. `la57=off`: the VP2430's N150 has four-level paging, and five levels slow every TCG page walk.
    pub fn cpu_arg(self) -> &'static str {
        match self {
            Self::Kvm => "host",
            Self::Tcg => "max,la57=off",
        }
    }

    /// Seconds to allow for something that takes `seconds` under KVM.
    /// Measured: a boot of some 12 s under KVM takes about 90 s under TCG on two cores; twice that for a busy host.
    pub fn patience(self, seconds: u64) -> u64 {
        match self {
            Self::Kvm => seconds,
            Self::Tcg => seconds * 10,
        }
    }
}

impl std::fmt::Display for Accel {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Kvm => "KVM",
            Self::Tcg => "TCG (software emulation)",
        })
    }
}

/// A boot sector that uses the x87 and SSE units, counts to a million and writes [`PROBE_CODE`] to port 0xf4.
fn boot_sector() -> [u8; 512] {
    let code: &[u8] = &[
        0xfa, // cli
        0x9b, 0xdb, 0xe3, // finit
        0x0f, 0x20, 0xe0, // mov eax, cr4
        0x66, 0x0d, 0x00, 0x06, 0x00, 0x00, // or eax, OSFXSR | OSXMMEXCPT
        0x0f, 0x22, 0xe0, // mov cr4, eax
        0x0f, 0x57, 0xc0, // xorps xmm0, xmm0
        0x66, 0xb9, 0x40, 0x42, 0x0f, 0x00, // mov ecx, 1_000_000
        0x66, 0x49, // dec ecx
        0x75, 0xfc, // jnz back
        0xba, 0xf4, 0x00, // mov dx, 0xf4
        0xb0, PROBE_CODE, // mov al, code
        0xee,       // out dx, al
        0xf4,       // hlt
        0xeb, 0xfd, // jmp back
    ];
    let mut sector = [0u8; 512];
    sector[..code.len()].copy_from_slice(code);
    sector[510..].copy_from_slice(&[0x55, 0xaa]);
    sector
}

/// Whether a guest really runs under `accel`.
pub fn probe(accel: Accel) -> Result<bool> {
    if accel == Accel::Kvm && !Path::new("/dev/kvm").exists() {
        return Ok(false);
    }
    let mut disk = tempfile::NamedTempFile::new().map_err(file("create", "probe disk"))?;
    disk.write_all(&boot_sector())
        .map_err(file("write", disk.path()))?;
    // `pc`: its BIOS starts a disk at once; that of q35 first waits for AHCI ports.
    let line = args![
        "-machine",
        "pc,kernel-irqchip=split",
        "-accel",
        accel.accel_arg(),
        "-cpu",
        accel.cpu_arg(),
        "-m",
        "64",
        "-nodefaults",
        "-display",
        "none",
        "-no-reboot",
        "-device",
        "isa-debug-exit,iobase=0xf4,iosize=1",
        "-drive",
        format!("format=raw,file={}", disk.path().display()),
    ];
    ran("qemu-system-x86_64", &line, Deadline::secs(PROBE_SECONDS))
}

/// Whether a program leaves in time with the status that only the probe's guest can cause.
fn ran(program: &str, line: &[String], deadline: Deadline) -> Result<bool> {
    let mut qemu = Daemon::start(&[], program, line, Tty::Detached)?;
    match qemu.wait(deadline) {
        Ok(status) => Ok(status.code() == Some(i32::from(PROBE_CODE) * 2 + 1)),
        Err(Error::Timeout { .. }) => Ok(false),
        Err(other) => Err(other),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_guests_own_status_in_time_is_a_yes() {
        let ran = |line: [String; 2], seconds| ran("sh", &line, Deadline::secs(seconds)).unwrap();
        assert!(ran(args!["-c", "exit 85"], 60));
        // QEMU that cannot start a guest, one that ends as if all were well, and a guest that never gets anywhere.
        assert!(!ran(args!["-c", "exit 1"], 60));
        assert!(!ran(args!["-c", "exit 0"], 60));
        assert!(!ran(args!["-c", "sleep 60"], 1));
    }

    #[test]
    fn emulation_always_passes_the_probe() {
        assert!(probe(Accel::Tcg).unwrap());
    }
}
