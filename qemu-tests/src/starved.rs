//! Tells the emulator's own failure from the guest's.
//!
//! Owns: two signs that software emulation failed the guest, and the priority that makes them rare. Never does: excuse
//! anything else. Invariant: a failure is only put down to the emulator when the guest's console says so.
//!
//! Early in its start Linux waits some 50 ms, measured by the processor's counter, for five timer interrupts. The counter of an
//! emulated processor runs with the host's; the interrupts come from another thread of QEMU. When the host keeps that
//! thread waiting so long, the kernel finds a dead timer and, with interrupt remapping on, panics. Hardware cannot do this.
//!
//! Linux also changes its own code while it runs, with a breakpoint in the place meanwhile. An emulated processor whose
//! thread was kept waiting may take the breakpoint after the kernel has forgotten the place, and the kernel knows of no other
//! breakpoints. Hardware serialises there.

use std::path::Path;

use rustix::process::{Pid, setpriority_process};

/// The kernel's words (arch/x86/kernel/apic/io_apic.c, `check_timer`; arch/x86/kernel/traps.c, `exc_int3`).
const SIGNS: [&str; 2] = [
    "timer doesn't work through Interrupt-remapped IO-APIC",
    "Oops: int3: 0000",
];

/// Before compilers and tests that run beside it.
const NICE: i32 = -10;

/// Whether a console log in `directory` bears the sign.
pub fn seen(directory: &Path) -> bool {
    let Ok(entries) = std::fs::read_dir(directory) else {
        return false;
    };
    entries
        .filter_map(Result::ok)
        .map(|entry| entry.path())
        .filter(|path| {
            path.file_name()
                .is_some_and(|n| n.to_string_lossy().ends_with("console.log"))
        })
        .filter_map(|path| std::fs::read(path).ok())
        .any(|log| {
            let text = String::from_utf8_lossy(&log);
            SIGNS.iter().any(|sign| text.contains(sign))
        })
}

/// How many boots in this console log bear the sign: a machine that is reset goes on, and those boots count for nobody.
pub fn boots(console: &Path) -> usize {
    /// The firmware's words before each.
    const BOOT: &str = "BdsDxe: starting ";
    let log = std::fs::read(console).unwrap_or_default();
    let text = String::from_utf8_lossy(&log);
    let bears = |boot: &&str| SIGNS.iter().any(|sign| boot.contains(sign));
    text.split(BOOT).filter(bears).count()
}

/// Puts every thread of the process before others. Who may not do so runs as before: this is a favour, not a need.
pub fn favour(process: u32) {
    let Ok(threads) = std::fs::read_dir(format!("/proc/{process}/task")) else {
        return;
    };
    for thread in threads.filter_map(Result::ok) {
        let id = thread.file_name().to_string_lossy().parse().ok();
        if let Some(id) = id.and_then(Pid::from_raw) {
            let _ = setpriority_process(Some(id), NICE);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_sign_in_a_console_log_counts() {
        let logs = tempfile::tempdir().unwrap();
        assert!(!seen(logs.path()));
        let panic = format!(
            "[    0.032000] Kernel panic - not syncing: {}\r\n",
            SIGNS[0]
        );
        std::fs::write(logs.path().join("1-trial-channel.log"), &panic).unwrap();
        std::fs::write(
            logs.path().join("1-trial-console.log"),
            "Kernel panic - not syncing",
        )
        .unwrap();
        assert!(!seen(logs.path()));
        std::fs::write(logs.path().join("2-trial-console.log"), &panic).unwrap();
        assert!(seen(logs.path()));
        assert!(!seen(&logs.path().join("missing")));
        let console = logs.path().join("2-trial-console.log");
        assert_eq!(boots(&console), 1);
        let boot = "BdsDxe: starting Boot0001\r\n";
        let oops = SIGNS[1];
        std::fs::write(
            &console,
            format!("{boot}{panic}{boot}login:{boot}{oops}{oops}"),
        )
        .unwrap();
        assert_eq!(boots(&console), 2);
    }
}
