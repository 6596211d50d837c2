//! What the guest sees of a VP2430: PCIe tree, NICs, disk, SMBIOS, watchdog, as QEMU arguments.
//!
//! Owns the facts of the board as QEMU can show them. Pure: no process, no file is touched here.
//!
//! ```text
//! q35  00:1c.0 root port, empty
//!      00:1c.1 root port -- NIC wan        00:1c.3 root port -- NIC lan2
//!      00:1c.2 root port -- NIC lan1       00:1c.6 root port -- NIC lan3
//!      00:1d.0 root port -- NVMe           ICH9 LPC: iTCO watchdog, ttyS0 console, ttyS1 command channel
//! ```

use std::path::Path;

use super::spec::{Cache, Console, MachineSpec, Net};
use crate::accel::Accel;
use crate::args;
use crate::net::TAP;

/// Root ports of 00:1c that hold a NIC: function, name of the netdev.
pub const NIC_PORTS: [(u8, &str); 4] = [(1, "wan"), (2, "lan1"), (3, "lan2"), (6, "lan3")];

/// Files and sockets of one machine, as the command line needs them.
#[derive(Debug)]
pub struct Files<'a> {
    /// Directory of the sockets `qmp`, `ttyS0`, `ttyS1`.
    pub sockets: &'a Path,
    /// OVMF's code.
    pub code: &'a Path,
    /// This machine's variables.
    pub vars: &'a Path,
    /// This machine's qcow2, if it has a disk.
    pub disk: Option<&'a Path>,
    /// swtpm's socket, if there is a TPM.
    pub tpm: Option<&'a Path>,
}

/// The whole command line.
pub fn command_line(spec: &MachineSpec, files: &Files<'_>, accel: Accel) -> Vec<String> {
    [
        machine(spec, accel),
        firmware(spec, files),
        smbios(spec),
        pci(spec),
        storage(spec, files),
        consoles(spec, files),
        files.tpm.map(tpm).unwrap_or_default(),
    ]
    .concat()
}

fn machine(spec: &MachineSpec, accel: Accel) -> Vec<String> {
    let smm = if spec.firmware.needs_smm() {
        "on"
    } else {
        "off"
    };
    let mut line = Vec::from(args![
        "-name",
        "roamcore",
        "-nodefaults",
        "-no-user-config",
        "-display",
        "none",
        // Started halted: nothing is said before the harness listens.
        "-S",
        "-machine",
        format!("q35,smm={smm},kernel-irqchip=split,hpet=off"),
        "-accel",
        accel.accel_arg(),
        "-cpu",
        accel.cpu_arg(),
        "-smp",
        spec.cpus,
        "-m",
        spec.memory_mib,
        "-rtc",
        "base=utc,clock=host",
        // The iTCO is part of q35; it resets for real only with the no-reboot strap cleared.
        "-global",
        "ICH9-LPC.noreboot=off",
        "-action",
        "watchdog=reset",
        // Before all other devices: they take their address space from it.
        "-device",
        "intel-iommu,intremap=on",
        "-device",
        "VGA,bus=pcie.0,addr=0x02.0,romfile=",
        "-object",
        "rng-random,id=rng,filename=/dev/urandom",
        "-device",
        "virtio-rng-pci,rng=rng,addr=0x03.0",
    ]);
    if spec.no_reboot {
        line.push("-no-reboot".into());
    }
    line
}

fn firmware(spec: &MachineSpec, files: &Files<'_>) -> Vec<String> {
    let code = escape(files.code);
    let vars = escape(files.vars);
    let mut line = Vec::from(args![
        "-drive",
        format!("if=pflash,unit=0,format=raw,readonly=on,file={code}"),
        "-drive",
        format!("if=pflash,unit=1,format=raw,file={vars}"),
    ]);
    if spec.firmware.needs_smm() {
        line.extend(args![
            "-global",
            "driver=cfi.pflash01,property=secure,value=on",
            // OVMF's SMM build refuses to suspend to RAM safely: QEMU's documentation asks for this beside it.
            "-global",
            "ICH9-LPC.disable_s3=1",
        ]);
    }
    line
}

fn smbios(spec: &MachineSpec) -> Vec<String> {
    let (serial, uuid) = (escape_text(&spec.serial_number), &spec.uuid);
    let mut line = Vec::from(args![
        "-smbios",
        format!("type=1,manufacturer=Protectli,product=VP2430,serial={serial},uuid={uuid}"),
        "-smbios",
        format!("type=2,manufacturer=Protectli,product=VP2430,serial={serial}"),
    ]);
    if !spec.oem_strings.is_empty() {
        let values: Vec<String> = spec
            .oem_strings
            .iter()
            .map(|s| format!("value={}", escape_text(s)))
            .collect();
        line.extend(args!["-smbios", format!("type=11,{}", values.join(","))]);
    }
    line
}

fn pci(spec: &MachineSpec) -> Vec<String> {
    let mut line = Vec::from(args![
        "-device",
        "pcie-root-port,id=rp1c0,bus=pcie.0,addr=0x1c.0,multifunction=on,chassis=1,slot=1"
    ]);
    for (function, name) in NIC_PORTS {
        let number = function + 1;
        let port = format!(
            "pcie-root-port,id=rp1c{function},bus=pcie.0,addr=0x1c.{function},multifunction=on,chassis={number},slot={number}"
        );
        let backend = match spec.lan {
            Net::Tap if name == "lan1" => {
                format!("tap,id={name},ifname={TAP},script=no,downscript=no")
            }
            Net::Tap | Net::Isolated => format!("user,id={name},restrict=on"),
        };
        // Without an option ROM the firmware does not try to boot from the network.
        let nic = format!(
            "e1000e,netdev={name},bus=rp1c{function},mac=52:54:00:24:30:0{function},romfile="
        );
        line.extend(args!["-device", port, "-netdev", backend, "-device", nic]);
    }
    line.extend(args![
        "-device",
        "pcie-root-port,id=rp1d0,bus=pcie.0,addr=0x1d.0,chassis=9,slot=9"
    ]);
    line
}

fn storage(spec: &MachineSpec, files: &Files<'_>) -> Vec<String> {
    let mut line = Vec::new();
    if let Some(disk) = files.disk {
        let cache = match spec.cache {
            Cache::Unsafe => "unsafe",
            Cache::WriteBack => "writeback",
            Cache::WriteThrough => "writethrough",
            Cache::Direct => "none",
        };
        let disk = escape(disk);
        let drive = match &spec.write_log {
            None => format!(
                "if=none,id=nvme0,format=qcow2,cache={cache},discard=unmap,detect-zeroes=unmap,file={disk}"
            ),
            // With `cache=unsafe` no flush would reach the log.
            Some(log) => format!(
                "if=none,id=nvme0,driver=blklogwrites,cache=writeback,discard=unmap,log-sector-size=512,\
                 log.driver=file,log.filename={},log.cache.no-flush=on,file.driver=qcow2,file.discard=unmap,\
                 file.cache.no-flush=on,file.file.driver=file,file.file.filename={disk}",
                escape(log)
            ),
        };
        line.extend(args![
            "-drive",
            drive,
            "-device",
            "nvme,drive=nvme0,serial=QEMU-NVME-0,bus=rp1d0,bootindex=0"
        ]);
    }
    for extra in &spec.extra_drives {
        line.extend(args!["-drive", extra]);
    }
    line.extend(spec.extra_args.iter().cloned());
    line
}

fn consoles(spec: &MachineSpec, files: &Files<'_>) -> Vec<String> {
    let socket = |id: &str| {
        format!(
            "socket,id={id},server=on,wait=off,path={}",
            escape(&files.sockets.join(id))
        )
    };
    let console = match spec.console {
        Console::Socket => Vec::from(args!["-chardev", socket("ttyS0")]),
        Console::Terminal => Vec::from(args![
            "-chardev",
            "stdio,id=ttyS0,mux=on,signal=off",
            "-mon",
            "chardev=ttyS0,mode=readline"
        ]),
    };
    let rest = Vec::from(args![
        "-device",
        "isa-serial,chardev=ttyS0,index=0",
        "-chardev",
        socket("ttyS1"),
        "-device",
        "isa-serial,chardev=ttyS1,index=1",
        "-chardev",
        socket("qmp"),
        "-mon",
        "chardev=qmp,mode=control",
    ]);
    [console, rest].concat()
}

fn tpm(socket: &Path) -> Vec<String> {
    Vec::from(args![
        "-chardev",
        format!("socket,id=tpm,path={}", escape(socket)),
        "-tpmdev",
        "emulator,id=tpm0,chardev=tpm",
        "-device",
        "tpm-crb,tpmdev=tpm0",
    ])
}

/// QEMU's option parser splits at commas; a comma is written twice.
fn escape_text(text: &str) -> String {
    text.replace(',', ",,")
}

fn escape(path: &Path) -> String {
    escape_text(&path.display().to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(spec: &MachineSpec) -> String {
        let p = Path::new("/x");
        let files = Files {
            sockets: p,
            code: p,
            vars: p,
            disk: Some(Path::new("/a,b")),
            tpm: None,
        };
        command_line(spec, &files, Accel::Tcg).join(" ")
    }

    #[test]
    fn commas_cannot_smuggle_options() {
        let spec = MachineSpec {
            oem_strings: vec!["roamcore:a=b,c".into()],
            ..MachineSpec::default()
        };
        let line = line(&spec);
        assert!(line.contains("type=11,value=roamcore:a=b,,c "), "{line}");
        assert!(line.contains("file=/a,,b "), "{line}");
    }

    #[test]
    fn a_write_log_gets_the_flushes_and_the_disk_does_not() {
        let line = line(&MachineSpec {
            write_log: Some("/w,l".into()),
            ..MachineSpec::default()
        });
        let drive = line
            .split(' ')
            .find(|w| w.contains("blklogwrites"))
            .unwrap();
        assert!(drive.contains("cache=writeback,") && !drive.contains("unsafe"));
        assert!(
            drive.contains(",log.filename=/w,,l,") && drive.ends_with(",file.file.filename=/a,,b")
        );
        assert!(drive.contains(",file.cache.no-flush=on,"), "{drive}");
    }

    #[test]
    fn every_nic_has_its_root_port_and_only_lan1_a_tap() {
        let line = line(&MachineSpec {
            lan: Net::Tap,
            ..MachineSpec::default()
        });
        for (function, name) in NIC_PORTS {
            assert!(
                line.contains(&format!("addr=0x1c.{function}"))
                    && line.contains(&format!("netdev={name},"))
            );
        }
        assert_eq!(line.matches("tap,id=").count(), 1);
        assert!(line.contains("tap,id=lan1,ifname=lan0"));
    }
}
