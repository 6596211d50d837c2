//! Keys of virtual machines.

use super::super::Props as PropList;
use super::rules;
use super::value::{Format, Pair, Prop, Rule, Value, free, prop, required};
use super::{Key, key, keys};
use Value::{Bool, Enum, Int, List, Number, Props, Size, Text};

const ANY: u64 = u64::MAX;

/// Models of network cards in both versions.
const MODELS: &[&str] = &["e1000", "e1000e", "rtl8139", "virtio", "vmxnet3"];
const FORMATS: Value = Enum(&["raw", "qcow2", "vmdk"]);
const ERRORS: Value = Enum(&["ignore", "report", "stop"]);
const SERIAL: Rule = rules::URL_ENCODED;

/// Flags that a guest's own configuration may name; any other needs a CPU model of the data centre.
pub(super) const CPU_FLAGS: &[&str] = &[
    "aes",
    "amd-no-ssb",
    "amd-ssbd",
    "hv-evmcs",
    "hv-tlbflush",
    "ibpb",
    "md-clear",
    "pcid",
    "pdpe1gb",
    "spec-ctrl",
    "ssbd",
    "virt-ssbd",
];
const CPU_TYPES: &[&str] = &[
    "host",
    "kvm32",
    "kvm64",
    "max",
    "qemu32",
    "qemu64",
    "x86-64-v2",
    "x86-64-v2-AES",
    "x86-64-v3",
    "x86-64-v4",
];

const FILE: Prop = required("file", Text(&rules::VOLUME_OR_PATH));
const AIO: Prop = prop("aio", Enum(&["native", "threads", "io_uring"]));
const BACKUP: Prop = prop("backup", Bool);
const CACHE: Prop = prop(
    "cache",
    Enum(&["none", "writethrough", "writeback", "unsafe", "directsync"]),
);
const DETECT: Prop = prop("detect_zeroes", Bool);
const DISCARD: Prop = prop("discard", Enum(&["ignore", "on"]));
const FORMAT: Prop = prop("format", FORMATS);
const IOTHREAD: Prop = prop("iothread", Bool);
const MEDIA: Prop = prop("media", Enum(&["cdrom", "disk"]));
const REPLICATE: Prop = prop("replicate", Bool);
const RERROR: Prop = prop("rerror", ERRORS);
const RO: Prop = prop("ro", Bool);
const SERIAL_NUMBER: Prop = prop("serial", Text(&SERIAL));
const SIZE: Prop = prop("size", Size);
const SNAPSHOT: Prop = prop("snapshot", Bool);
const SSD: Prop = prop("ssd", Bool);
const WERROR: Prop = prop("werror", Enum(&["enospc", "ignore", "report", "stop"]));

const fn volume(props: &'static [Prop]) -> Format {
    Format {
        default: Some("file"),
        pair: None,
        props,
        also: disc,
    }
}

/// A disc is only read, as it is.
fn disc(props: &PropList) -> Option<&'static str> {
    let is_disc = props.get("media") == Some("cdrom");
    let more = props.get("snapshot").is_some() || props.get("format").is_some();
    (is_disc && more).then_some("media=cdrom takes neither snapshot nor format")
}

/// A device of the host is named one way or the other.
fn one_device(props: &PropList) -> Option<&'static str> {
    let both = props.get("host").is_some() == props.get("mapping").is_some();
    both.then_some("either a device or mapping=ID")
}

/// Also of containers.
pub(super) fn gateways(props: &PropList) -> Option<&'static str> {
    let lost = |gateway, address| {
        let fixed = props
            .get(address)
            .is_some_and(|address| address.contains('/'));
        props.get(gateway).is_some() && !fixed
    };
    if lost("gw", "ip") {
        Some("gw needs ip with a fixed address")
    } else if lost("gw6", "ip6") {
        Some("gw6 needs ip6 with a fixed address")
    } else {
        None
    }
}

const fn format(default: Option<&'static str>, props: &'static [Prop]) -> Format {
    Format {
        default,
        pair: None,
        props,
        also: free,
    }
}

const fn format_also(
    default: Option<&'static str>,
    props: &'static [Prop],
    also: fn(&PropList) -> Option<&'static str>,
) -> Format {
    Format {
        default,
        pair: None,
        props,
        also,
    }
}

/// `scsiN`
pub static VM_SCSI: Format = volume(&[
    FILE,
    AIO,
    BACKUP,
    CACHE,
    DETECT,
    DISCARD,
    FORMAT,
    IOTHREAD,
    MEDIA,
    REPLICATE,
    RERROR,
    RO,
    SERIAL_NUMBER,
    SIZE,
    SNAPSHOT,
    SSD,
    WERROR,
]);
/// `virtioN`
pub static VM_VIRTIO: Format = volume(&[
    FILE,
    AIO,
    BACKUP,
    CACHE,
    DETECT,
    DISCARD,
    FORMAT,
    IOTHREAD,
    REPLICATE,
    RERROR,
    RO,
    SERIAL_NUMBER,
    SIZE,
    SNAPSHOT,
    WERROR,
]);
/// What `sataN` and `ideN` take.
const ATA: &[Prop] = &[
    FILE,
    AIO,
    BACKUP,
    CACHE,
    DETECT,
    DISCARD,
    FORMAT,
    MEDIA,
    REPLICATE,
    RERROR,
    SERIAL_NUMBER,
    SIZE,
    SNAPSHOT,
    SSD,
    WERROR,
];
/// `sataN`
pub static VM_SATA: Format = volume(ATA);
/// `ideN`
pub static VM_IDE: Format = volume(ATA);
/// `efidisk0`. Its type must be written: without, it is the small one whose firmware is no longer there.
pub static VM_EFIDISK: Format = volume(&[
    FILE,
    required("efitype", Enum(&["4m"])),
    FORMAT,
    prop("ms-cert", Enum(&["2011", "2023"])),
    prop("pre-enrolled-keys", Bool),
    SIZE,
]);
/// `tpmstate0`
pub static VM_TPMSTATE: Format = volume(&[FILE, SIZE, prop("version", Enum(&["v1.2", "v2.0"]))]);
/// `unusedN`
static UNUSED: Format = volume(&[required("file", Text(&rules::VOLUME))]);
/// `netN`
pub static VM_NET: Format = Format {
    default: Some("model"),
    pair: Some(Pair {
        first: "model",
        second: "macaddr",
        names: MODELS,
    }),
    props: &[
        required("model", Enum(MODELS)),
        prop("bridge", Text(&rules::BRIDGE)),
        prop("firewall", Bool),
        prop("link_down", Bool),
        prop("macaddr", Text(&rules::MAC)),
        prop("mtu", Int(1, 65520)),
        prop("queues", Int(0, 64)),
        prop("rate", Number(ANY)),
        prop("tag", Int(1, 4094)),
        prop("trunks", Text(&rules::VLANS)),
    ],
    also: free,
};
/// `hostpciN`
pub static VM_HOSTPCI: Format = format_also(
    Some("host"),
    &[
        prop("device-id", Text(&rules::HEX_ID)),
        prop("host", List(';', &Text(&rules::PCI))),
        prop("mapping", Text(&rules::CONFIG_ID)),
        prop("pcie", Bool),
        prop("rombar", Bool),
        prop("romfile", Text(&rules::LABEL)),
        prop("sub-device-id", Text(&rules::HEX_ID)),
        prop("sub-vendor-id", Text(&rules::HEX_ID)),
        prop("vendor-id", Text(&rules::HEX_ID)),
        prop("x-vga", Bool),
    ],
    one_device,
);
/// `usbN`
pub static VM_USB: Format = format_also(
    Some("host"),
    &[
        prop("host", Text(&rules::USB)),
        prop("mapping", Text(&rules::CONFIG_ID)),
        prop("usb3", Bool),
    ],
    one_device,
);
/// `virtiofsN`
pub static VM_VIRTIOFS: Format = format(
    Some("dirid"),
    &[
        required("dirid", Text(&rules::CONFIG_ID)),
        prop("cache", Enum(&["auto", "always", "metadata", "never"])),
        prop("direct-io", Bool),
        prop("expose-acl", Bool),
        prop("expose-xattr", Bool),
    ],
);
/// `agent`
pub static VM_AGENT: Format = format(
    Some("enabled"),
    &[
        required("enabled", Bool),
        prop("fstrim_cloned_disks", Bool),
        prop("type", Enum(&["virtio", "isa"])),
    ],
);
/// `boot`
pub static VM_BOOT: Format = format(
    None,
    &[required("order", List(';', &Text(&rules::BOOT_DEVICE)))],
);
/// `cpu`
pub static VM_CPU: Format = format(
    Some("cputype"),
    &[
        // Required by the code, not by the schema, which is why it is not sorted before the rest: it has no name anyway.
        required("cputype", Enum(CPU_TYPES)),
        prop("flags", List(';', &Text(&rules::CPU_FLAG))),
        prop("hidden", Bool),
        prop("phys-bits", Text(&rules::PHYS_BITS)),
    ],
);
/// `smbios1`
pub static VM_SMBIOS: Format = format(
    None,
    &[
        prop("base64", Bool),
        prop("family", Text(&rules::BASE64)),
        prop("manufacturer", Text(&rules::BASE64)),
        prop("product", Text(&rules::BASE64)),
        prop("serial", Text(&rules::BASE64)),
        prop("sku", Text(&rules::BASE64)),
        prop("uuid", Text(&rules::UUID)),
        prop("version", Text(&rules::BASE64)),
    ],
);
/// `vga`
pub static VM_VGA: Format = format(
    Some("type"),
    &[
        prop("memory", Int(4, 512)),
        prop(
            "type",
            Enum(&[
                "none", "qxl", "serial0", "serial1", "serial2", "serial3", "std", "virtio",
            ]),
        ),
    ],
);
/// `watchdog`
pub static VM_WATCHDOG: Format = format(
    Some("model"),
    &[
        prop(
            "action",
            Enum(&["reset", "shutdown", "poweroff", "pause", "debug", "none"]),
        ),
        prop("model", Enum(&["i6300esb", "ib700"])),
    ],
);
static RNG: Format = format(
    Some("source"),
    &[
        required(
            "source",
            Enum(&["/dev/urandom", "/dev/random", "/dev/hwrng"]),
        ),
        prop("max_bytes", Int(0, ANY)),
        prop("period", Int(0, ANY)),
    ],
);
static MACHINE: Format = format(
    Some("type"),
    &[
        prop("enable-s3", Bool),
        prop("enable-s4", Bool),
        prop("type", Text(&rules::MACHINE)),
        prop("viommu", Enum(&["intel", "virtio"])),
    ],
);
/// `ipconfigN`, for cloud-init.
pub static VM_IPCONFIG: Format = format_also(
    None,
    &[
        prop("gw", Text(&rules::IPV4)),
        prop("gw6", Text(&rules::IPV6)),
        prop("ip", Text(&rules::IPV4_CONFIG)),
        prop("ip6", Text(&rules::IPV6_CONFIG)),
    ],
    gateways,
);
static CICUSTOM: Format = format(
    None,
    &[
        prop("meta", Text(&rules::VOLUME)),
        prop("network", Text(&rules::VOLUME)),
        prop("user", Text(&rules::VOLUME)),
        prop("vendor", Text(&rules::VOLUME)),
    ],
);

pub(super) static KEYS: &[Key] = &[
    key("acpi", Bool),
    key("agent", Props(&VM_AGENT)),
    key("args", Text(&rules::LINE)),
    key("balloon", Int(0, ANY)),
    key("bios", Enum(&["seabios", "ovmf"])),
    key("boot", Props(&VM_BOOT)),
    key("cicustom", Props(&CICUSTOM)),
    key("citype", Enum(&["configdrive2", "nocloud", "opennebula"])),
    key("ciupgrade", Bool),
    key("ciuser", Text(&rules::USER)),
    key("cores", Int(1, ANY)),
    key("cpu", Props(&VM_CPU)),
    key("cpulimit", Number(128)),
    key("cpuunits", Int(1, 262_144)),
    key("efidisk0", Props(&VM_EFIDISK)),
    key("hookscript", Text(&rules::VOLUME)),
    keys("hostpci", 16, Props(&VM_HOSTPCI)),
    key("hotplug", Text(&rules::HOTPLUG)),
    keys("ide", 4, Props(&VM_IDE)),
    keys("ipconfig", 32, Props(&VM_IPCONFIG)),
    key("kvm", Bool),
    key("localtime", Bool),
    key("machine", Props(&MACHINE)),
    key("memory", Int(16, ANY)),
    key("meta", Text(&rules::META)),
    key("name", Text(&rules::DNS_NAME)),
    key("nameserver", List(' ', &Text(&rules::ADDRESS))),
    keys("net", 32, Props(&VM_NET)),
    key("numa", Bool),
    key("onboot", Bool),
    key("ostype", Enum(&["other", "l24", "l26", "win10", "win11"])),
    key("parent", Text(&rules::CONFIG_ID)),
    key("protection", Bool),
    key("reboot", Bool),
    key("rng0", Props(&RNG)),
    keys("sata", 6, Props(&VM_SATA)),
    keys("scsi", 31, Props(&VM_SCSI)),
    key("scsihw", Enum(&["virtio-scsi-pci", "virtio-scsi-single"])),
    key("searchdomain", Text(&rules::DNS_NAME)),
    keys("serial", 4, Text(&rules::SERIAL_PORT)),
    key("shares", Int(0, 50_000)),
    key("smbios1", Props(&VM_SMBIOS)),
    key("snaptime", Int(0, ANY)),
    key("sockets", Int(1, ANY)),
    key("sshkeys", Text(&rules::URL_ENCODED)),
    key("startup", Text(&rules::STARTUP)),
    key("tablet", Bool),
    key("tags", List(';', &Text(&rules::TAG))),
    key("template", Bool),
    key("tpmstate0", Props(&VM_TPMSTATE)),
    keys("unused", 256, Props(&UNUSED)),
    keys("usb", 14, Props(&VM_USB)),
    key("vga", Props(&VM_VGA)),
    keys("virtio", 16, Props(&VM_VIRTIO)),
    keys("virtiofs", 10, Props(&VM_VIRTIOFS)),
    key("vmgenid", Text(&rules::GENERATION)),
    key("watchdog", Props(&VM_WATCHDOG)),
];
