//! Tells the emulator's own failure from the guest's.
//!
//! Owns: the signs that software emulation failed the guest, and the priority that makes them rare. Never does: excuse
//! anything else. Invariant: a failure is only put down to the emulator when the guest's console bears one.
//!
//! Early in its start Linux waits some 50 ms, measured by the processor's counter, for five timer interrupts. The counter of an
//! emulated processor runs with the host's; the interrupts come from another thread of QEMU. When the host keeps that
//! thread waiting so long, the kernel finds a dead timer and, with interrupt remapping on, panics. Hardware cannot do this.
//!
//! Linux also changes its own code while it runs, with a breakpoint in the place meanwhile. An emulated processor whose
//! thread was kept waiting may take the breakpoint after the kernel has forgotten the place, and the kernel knows of no other
//! breakpoints. Hardware serialises there.
//!
//! And seldom (seen once in some thousand boots) the kernel says its first words and then nothing more, before a program has
//! said a word. That the emulator is to blame is a guess here; what the processors do is kept, to find out.

use std::path::Path;
use std::time::Duration;

use regex_lite::Regex;
use rustix::process::{Pid, setpriority_process};

/// The kernel's words (arch/x86/kernel/apic/io_apic.c, `check_timer`; arch/x86/kernel/traps.c, `exc_int3`).
const SIGNS: [&str; 2] = [
    "timer doesn't work through Interrupt-remapped IO-APIC",
    "Oops: int3: 0000",
];

/// The firmware's words before each boot, and those of the kernel's first code.
const BOOT: &str = "BdsDxe: starting ";
const KERNEL: &str = "EFI stub: ";

/// How long a kernel is silent before that counts. Between its words and its first program's are 15 s here, a minute on a busy
/// host; its panic, and a watchdog once the first program has opened it, come sooner.
const SILENCE: Duration = Duration::from_secs(150);

/// End of the name of the file that keeps what the processors of a machine did that [`went_silent`].
pub const PROCESSORS: &str = "processors.txt";

/// Before compilers and tests that run beside it.
const NICE: i32 = -10;

/// Whether the logs in `directory` bear a sign.
pub fn seen(directory: &Path) -> bool {
    let Ok(entries) = std::fs::read_dir(directory) else {
        return false;
    };
    entries
        .filter_map(Result::ok)
        .map(|entry| entry.path())
        .any(|path| {
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            if name.ends_with(PROCESSORS) {
                return true;
            }
            name.ends_with("console.log")
                && std::fs::read(&path).is_ok_and(|log| {
                    let text = String::from_utf8_lossy(&log);
                    SIGNS.iter().any(|sign| text.contains(sign))
                })
        })
}

/// Whether the machine that writes this console log is in a kernel that went silent before its first program, for
/// [`SILENCE`] or longer.
pub fn went_silent(console: &Path) -> bool {
    let quiet = std::fs::metadata(console)
        .and_then(|file| file.modified())
        .is_ok_and(|said| said.elapsed().is_ok_and(|quiet| quiet >= SILENCE));
    let log = || std::fs::read(console).unwrap_or_default();
    quiet && ends_in_kernel(&String::from_utf8_lossy(&log()))
}

/// Whether the last boot in a console log has come as far as its kernel, and neither to a program nor to a panic.
fn ends_in_kernel(log: &str) -> bool {
    // Programs speak as `name[12]: ...`.
    let Ok(further) = Regex::new(r"[\w-]\[\d+\]: |login:|Kernel panic") else {
        return false;
    };
    let boot = log.rsplit_once(BOOT).map_or("", |(_, boot)| boot);
    boot.contains(KERNEL) && !further.is_match(boot)
}

/// How many boots in this console log bear the sign: a machine that is reset goes on, and those boots count for nobody.
pub fn boots(console: &Path) -> usize {
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

    #[test]
    fn a_kernel_without_a_program_is_told_from_what_came_further() {
        let kernel = "BdsDxe: starting Boot0001\n[  1.9] EFI stub: Loaded initrd\n[  2.1] [  0.04] tsc: no PIT\n";
        let program =
            "[ 54.6] [ 22.7] roamcore-agent[222]: root-a on nvme0n1: /var and /etc are ready\n";
        for (log, silent) in [
            ("", false),
            ("BdsDxe: starting Boot0001\n", false),
            (kernel, true),
            (&format!("{kernel}{program}"), false),
            (&format!("{kernel}{program}{kernel}"), true),
            (
                &format!("{kernel}{kernel}Kernel panic - not syncing"),
                false,
            ),
            (&format!("{kernel}RoamCore roamcore login: "), false),
        ] {
            assert_eq!(ends_in_kernel(log), silent, "{log}");
        }
    }

    #[test]
    fn silence_takes_its_time_and_is_a_sign_once_it_is_kept() {
        let logs = tempfile::tempdir().unwrap();
        let console = logs.path().join("1-trial-console.log");
        assert!(!went_silent(&console));
        std::fs::write(&console, format!("{BOOT}x\n{KERNEL}x\n")).unwrap();
        assert!(!went_silent(&console));
        let then = std::time::SystemTime::now() - SILENCE;
        let file = std::fs::File::options()
            .append(true)
            .open(&console)
            .unwrap();
        file.set_modified(then).unwrap();
        assert!(went_silent(&console));
        assert!(!seen(logs.path()));
        std::fs::write(logs.path().join("1-trial-processors.txt"), "").unwrap();
        assert!(seen(logs.path()));
    }
}
