//! Keys of containers.

use super::rules;
use super::value::{Format, Prop, Value, free, prop, required};
use super::{Key, key, keys};
use Value::{Bool, Enum, Int, List, Number, Props, Size, Text};

const ANY: u64 = u64::MAX;

const VOLUME: Prop = required("volume", Text(&rules::MOUNT_SOURCE));
const ACL: Prop = prop("acl", Bool);
const OPTIONS: Prop = prop("mountoptions", List(';', &Text(&rules::MOUNT_OPTION)));
const QUOTA: Prop = prop("quota", Bool);
const REPLICATE: Prop = prop("replicate", Bool);
const RO: Prop = prop("ro", Bool);
const SHARED: Prop = prop("shared", Bool);
const SIZE: Prop = prop("size", Size);

/// `rootfs`
pub static CT_ROOTFS: Format = Format {
    default: Some("volume"),
    pair: None,
    props: &[VOLUME, ACL, OPTIONS, QUOTA, REPLICATE, RO, SHARED, SIZE],
    also: free,
};
/// `mpN`
pub static CT_MP: Format = Format {
    default: Some("volume"),
    pair: None,
    props: &[
        VOLUME,
        required("mp", Text(&rules::PATH)),
        ACL,
        prop("backup", Bool),
        OPTIONS,
        QUOTA,
        REPLICATE,
        RO,
        SHARED,
        SIZE,
    ],
    also: free,
};
/// `netN`
pub static CT_NET: Format = Format {
    default: None,
    pair: None,
    props: &[
        required("name", Text(&rules::INTERFACE)),
        prop("bridge", Text(&rules::BRIDGE)),
        prop("firewall", Bool),
        prop("gw", Text(&rules::IPV4)),
        prop("gw6", Text(&rules::IPV6)),
        prop("hwaddr", Text(&rules::MAC)),
        prop("ip", Text(&rules::IPV4_CONFIG)),
        prop("ip6", Text(&rules::IPV6_CONFIG)),
        prop("link_down", Bool),
        prop("mtu", Int(64, 65535)),
        prop("rate", Number(ANY)),
        prop("tag", Int(1, 4094)),
        prop("trunks", Text(&rules::VLAN_IDS)),
        prop("type", Enum(&["veth"])),
    ],
    also: super::vm::gateways,
};
/// `devN`
pub static CT_DEV: Format = Format {
    default: Some("path"),
    pair: None,
    props: &[
        // The schema does without, the start of the container does not. It has no name, so the order is the same.
        required("path", Text(&rules::DEVICE)),
        prop("deny-write", Bool),
        prop("gid", Int(0, ANY)),
        prop("mode", Text(&rules::MODE)),
        prop("uid", Int(0, ANY)),
    ],
    also: free,
};
/// `features`
pub static CT_FEATURES: Format = Format {
    default: None,
    pair: None,
    props: &[
        prop("force_rw_sys", Bool),
        prop("fuse", Bool),
        prop("keyctl", Bool),
        prop("mknod", Bool),
        prop("mount", Text(&rules::FILE_SYSTEMS)),
        prop("nesting", Bool),
    ],
    also: free,
};
static UNUSED: Format = Format {
    default: Some("volume"),
    pair: None,
    props: &[required("volume", Text(&rules::VOLUME))],
    also: free,
};

pub(super) static KEYS: &[Key] = &[
    key(
        "arch",
        Enum(&["amd64", "i386", "arm64", "armhf", "riscv32", "riscv64"]),
    ),
    key("cmode", Enum(&["shell", "console", "tty"])),
    key("console", Bool),
    key("cores", Int(1, 8192)),
    key("cpulimit", Number(8192)),
    key("cpuunits", Int(0, 500_000)),
    key("debug", Bool),
    keys("dev", 256, Props(&CT_DEV)),
    key("features", Props(&CT_FEATURES)),
    key("hookscript", Text(&rules::VOLUME)),
    key("hostname", Text(&rules::DNS_NAME)),
    key("memory", Int(16, ANY)),
    keys("mp", 256, Props(&CT_MP)),
    key("nameserver", List(' ', &Text(&rules::IP))),
    keys("net", 32, Props(&CT_NET)),
    key("onboot", Bool),
    key(
        "ostype",
        Enum(&[
            "debian",
            "devuan",
            "ubuntu",
            "centos",
            "fedora",
            "opensuse",
            "archlinux",
            "alpine",
            "gentoo",
            "nixos",
            "unmanaged",
        ]),
    ),
    key("parent", Text(&rules::CONFIG_ID)),
    key("protection", Bool),
    key("rootfs", Props(&CT_ROOTFS)),
    key("searchdomain", List(' ', &Text(&rules::DNS_NAME))),
    key("snaptime", Int(0, ANY)),
    key("startup", Text(&rules::STARTUP)),
    key("swap", Int(0, ANY)),
    key("tags", List(';', &Text(&rules::TAG))),
    key("template", Bool),
    key("timezone", Text(&rules::TIMEZONE)),
    key("tty", Int(0, 6)),
    key("unprivileged", Bool),
    keys("unused", 256, Props(&UNUSED)),
];

/// Raw lines. Not here: what Proxmox makes itself from its own keys, what is deprecated, and what only one of the two
/// versions reads (`lxc.environment.runtime`).
const RAW: &[&str] = &[
    "lxc.apparmor.allow_nesting",
    "lxc.apparmor.profile",
    "lxc.apparmor.raw",
    "lxc.autodev",
    "lxc.cap.drop",
    "lxc.cap.keep",
    "lxc.environment",
    "lxc.hook.mount",
    "lxc.hook.post-stop",
    "lxc.hook.pre-mount",
    "lxc.hook.pre-start",
    "lxc.hook.start",
    "lxc.hook.stop",
    "lxc.idmap",
    "lxc.init.cmd",
    "lxc.kmsg",
    "lxc.log.file",
    "lxc.log.level",
    "lxc.mount.auto",
    "lxc.mount.entry",
    "lxc.seccomp.profile",
    "lxc.signal.halt",
    "lxc.signal.reboot",
    "lxc.signal.stop",
];
const RAW_FAMILIES: &[&str] = &["lxc.cgroup2.", "lxc.net.", "lxc.prlimit."];

pub(super) fn is_raw_key(name: &str) -> bool {
    RAW.contains(&name) || RAW_FAMILIES.iter().any(|family| name.starts_with(family))
}
