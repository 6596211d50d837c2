//! Proxmox's text formats: what is written reads back, and what is wrong is refused by name.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod schema;

use proptest::prelude::*;
use roamcore_pve::text::schema::{
    JOBS, PCI_MAPPING, STORAGE, VM_NET, check, check_canonical, check_key,
};
use roamcore_pve::text::{
    GuestConfig, Header, Kind, Props, Section, SectionFile, decode_text, encode_text,
};

/// A router with everything that a virtual machine of an appliance has.
const ROUTER: &str = "\
#router%3A OPNsense
#
#100%25 of the WAN, %C3%BCber alles
agent: 1
balloon: 0
bios: ovmf
boot: order=scsi0;net1
cores: 2
cpu: host,flags=+aes;-pcid
efidisk0: local-lvm:vm-100-disk-1,efitype=4m,pre-enrolled-keys=0,size=4M
hostpci0: 0000:01:00.0,pcie=1
ide2: local:iso/seed.iso,media=cdrom
machine: q35
memory: 2048
name: router.lan
net0: virtio=BC:24:11:00:00:01,bridge=vmbr0,firewall=1
net1: virtio=BC:24:11:00:00:02,bridge=vmbr0,queues=2,tag=10,trunks=20;30-40
onboot: 1
ostype: other
protection: 1
rng0: /dev/urandom
scsi0: local-lvm:vm-100-disk-0,discard=on,iothread=1,size=8G,ssd=1
scsihw: virtio-scsi-single
serial0: socket
smbios1: uuid=5f0c1c2e-2b0a-4f5d-9d3f-0123456789ab
startup: order=1,up=30,down=60
tags: roamcore;router
usb0: 1-2.3,usb3=1
vga: serial0
virtiofs0: video,cache=auto
vmgenid: 5f0c1c2e-2b0a-4f5d-9d3f-0123456789ac
watchdog: i6300esb,action=reset
";

const APP: &str = "\
arch: amd64
cores: 2
dev0: /dev/ttyUSB0,gid=20,mode=0660
features: keyctl=1,nesting=1
hostname: app
memory: 1024
mp0: /mnt/video,mp=/video,ro=1
mp1: local-lvm:vm-102-disk-1,mp=/data,backup=1,size=4G
nameserver: 192.168.1.1 fd00::1
net0: name=eth0,bridge=vmbr0,firewall=1,hwaddr=BC:24:11:00:00:03,ip=dhcp,type=veth
net1: name=eth1,bridge=vmbr0,gw=10.0.0.1,ip=10.0.0.2/24,ip6=fd00::2/64,tag=10
onboot: 1
ostype: debian
rootfs: local-lvm:vm-102-disk-0,size=4G
startup: order=3
swap: 512
timezone: Europe/Berlin
unprivileged: 1
lxc.mount.entry: /dev/dri dev/dri none bind,optional,create=dir
lxc.cgroup2.memory.high: 900M
";

#[test]
fn good_configurations_come_back_byte_for_byte() {
    for (kind, text) in [(Kind::Vm, ROUTER), (Kind::Ct, APP)] {
        let config = GuestConfig::parse(kind, text).unwrap();
        assert_eq!(config.to_text(), text);
        check(&config).unwrap();
        check_canonical(&config).unwrap();
    }
    let router = GuestConfig::parse(Kind::Vm, ROUTER).unwrap();
    let description = router.main().description();
    assert_eq!(
        description,
        "router: OPNsense\n\n100% of the WAN, über alles"
    );
}

#[test]
fn sections_after_the_guest() {
    let text = "cores: 2\nparent: before\n\n[PENDING]\ndelete: net1\nmemory: 4096\n\n[special:cloudinit]\nname: a\n\n\
        [before]\n#why%3A this\ncores: 1\nsnaptime: 1793491200\n";
    let config = GuestConfig::parse(Kind::Vm, text).unwrap();
    assert_eq!(config.to_text(), text);
    assert_eq!(config.pending().unwrap().get("memory"), Some("4096"));
    assert_eq!(config.snapshots()["before"].description(), "why: this");
    let text =
        "memory: 512\nostype: debian\n\n[pve:pending]\nmemory: 1024\n\n[snap-1]\nmemory: 256\n";
    let config = GuestConfig::parse(Kind::Ct, text).unwrap();
    assert_eq!(config.to_text(), text);
    // Order and white space are Proxmox's, whatever they were.
    let untidy = "memory:   512  \n\n\nhostname: a\n#text\n";
    let config = GuestConfig::parse(Kind::Ct, untidy).unwrap();
    assert_eq!(config.to_text(), "#text\nhostname: a\nmemory: 512\n");
}

#[test]
fn lines_that_are_refused() {
    let vm = [
        (
            "memory 512\n",
            "line 1: \"memory 512\": a line is \"key: value\"",
        ),
        (
            "cores: 1\ncores: 2\n",
            "line 2: \"cores: 2\": this key is there twice",
        ),
        ("Cores: 1\n", "keys are lower case letters"),
        ("cores:\n", "is empty"),
        ("name: ü\n", "something else than printable ASCII"),
        ("description: x\n", "this key is not written here"),
        ("delete: net0\n", "this key is not written here"),
        ("lxc.kmsg: 1\n", "are for containers"),
        ("#50%\n", "a percent sign without two hexadecimal digits"),
        ("#%FF\n", "does not decode to UTF-8"),
        ("[pending]\n", "no section of this kind of guest"),
        ("[special:other]\n", "no section of this kind of guest"),
        ("[a]\n", "no section of this kind of guest"),
        ("[ab]\n[ab]\n", "this section is there twice"),
    ];
    for (text, want) in vm {
        let error = GuestConfig::parse(Kind::Vm, text)
            .expect_err(want)
            .to_string();
        assert!(error.contains(want), "{error}");
    }
    assert!(GuestConfig::parse(Kind::Ct, "[PENDING]\n").is_err());
    assert!(GuestConfig::parse(Kind::Ct, "lxc.: 1\n").is_err());
    let mut config = GuestConfig::new(Kind::Vm);
    for (key, value) in [
        ("cores", "1\nargs: -x"),
        ("cores", " 1"),
        ("co res", "1"),
        ("", "1"),
        ("1a", "1"),
    ] {
        assert!(config.set(key, value).is_err(), "{key}: {value}");
    }
    assert_eq!(config.to_text(), "");
}

const STORES: &str = "\
dir: local
\tpath /var/lib/vz
\tcontent iso,vztmpl,backup
\tprune-backups keep-last=3

lvmthin: local-lvm
\tthinpool guests
\tvgname roamcore
\tcontent images,rootdir

";

#[test]
fn section_files_end_each_section_with_a_blank_line() {
    let file = SectionFile::parse(Header::TypeAndId, STORAGE, STORES).unwrap();
    assert_eq!(file.to_text(), STORES);
    let mut same = SectionFile::new(Header::TypeAndId, STORAGE);
    let local = Section::new("dir", "local").with("content", "iso,vztmpl,backup");
    same.add(
        local
            .with("prune-backups", "keep-last=3")
            .with("path", "/var/lib/vz"),
    )
    .unwrap();
    let thin = Section::new("lvmthin", "local-lvm")
        .with("vgname", "roamcore")
        .with("thinpool", "guests");
    same.add(thin.with("content", "images,rootdir")).unwrap();
    assert_eq!(same.to_text(), STORES);
    assert_eq!(same.sections()[1].get("vgname"), Some("roamcore"));

    let jobs = "vzdump: nightly\n\tschedule mon..fri 03:30\n\tenabled 1\n\tmode snapshot\n\
        \tprune-backups keep-daily=7,keep-last=3\n\trepeat-missed 1\n\tstorage backup\n\tvmid 100,101\n\n";
    assert_eq!(
        SectionFile::parse(Header::TypeAndId, JOBS, jobs)
            .unwrap()
            .to_text(),
        jobs
    );
    let map = "wan\n\tmap id=8086:125c,iommugroup=14,node=roamcore,path=0000:01:00.0,subsystem-id=8086:0000\n\n";
    assert_eq!(
        SectionFile::parse(Header::IdOnly, PCI_MAPPING, map)
            .unwrap()
            .to_text(),
        map
    );
}

#[test]
fn sections_that_proxmox_would_swallow() {
    for (text, want) in [
        (
            STORES.replace("\n\n", "\n"),
            "line 5: \"lvmthin: local-lvm\": a header needs a blank line before it",
        ),
        (
            STORES.replace("\n\n", "\n \n"),
            "white space does not end a section",
        ),
        (
            STORES.replace("\tpath", "path"),
            "a key of a section is indented",
        ),
        (STORES.replace("path /", "path: /"), "no key of this type"),
        (
            STORES.replace("\tvgname roamcore\n", ""),
            "this key is required",
        ),
        (
            STORES.replace("content iso", "maxfiles 3\n\tcontent iso"),
            "no key of this type",
        ),
        (STORES.replace("iso,", "cds,"), "expected images, rootdir"),
        (
            STORES.replace("dir: local", "dir: l"),
            "not an id of this type",
        ),
        (
            STORES.replace("lvmthin: local-lvm", "lvmthin: local"),
            "two sections of one id",
        ),
        (
            STORES.replace("lvmthin:", "lvmthick:"),
            "no type of this file",
        ),
        (
            STORES.replace("\tcontent iso", "\tpath /x\n\tcontent iso"),
            "it is there twice",
        ),
        ("# text\n".into(), "a comment would be lost"),
        ("\tpath /x\n".into(), "a section begins with its header"),
        (
            STORES.replace("content iso,vztmpl,backup", "content"),
            "a value is missing",
        ),
    ] {
        let error = SectionFile::parse(Header::TypeAndId, STORAGE, &text)
            .expect_err(want)
            .to_string();
        assert!(error.contains(want), "{error}");
    }
}

#[test]
fn texts_are_encoded_as_proxmox_does() {
    assert_eq!(encode_text("router: OPNsense"), "router%3A OPNsense");
    assert_eq!(encode_text("100% ü\t~$&"), "100%25 %C3%BC%09~$&");
    for bad in ["%", "%4", "%zz", "%ff"] {
        assert!(decode_text(bad).is_err(), "{bad}");
    }
}

proptest! {
    #[test]
    fn any_text_comes_back(text in any::<String>()) {
        let encoded = encode_text(&text);
        prop_assert!(encoded.bytes().all(|b| (0x20..0x7f).contains(&b) && b != b':'));
        prop_assert_eq!(decode_text(&encoded).unwrap(), text);
    }

    #[test]
    fn any_configuration_comes_back(
        description in any::<String>(),
        keys in prop::collection::btree_map("[a-z][a-z_]{0,8}[0-9]{0,3}", "[!-~]([ -~]{0,20}[!-~])?", 0..12),
        raw in prop::collection::vec(("lxc\\.[a-z0-9_.-]{1,12}", "[!-~]([ -~]{0,20}[!-~])?"), 0..4),
    ) {
        let mut config = GuestConfig::new(Kind::Ct);
        config.describe(&description);
        for (key, value) in keys.iter().filter(|(key, _)| *key != "description" && *key != "delete") {
            config.set(key, value).unwrap();
        }
        for (key, value) in raw {
            config.raw(&key, value).unwrap();
        }
        let text = config.to_text();
        let again = GuestConfig::parse(Kind::Ct, &text).unwrap();
        prop_assert_eq!(again.to_text(), text);
        prop_assert_eq!(again, config);
    }

    #[test]
    fn parsers_never_panic(text in "([a-z0-9:#,=%;\\[\\]\\. \t\n-]|scsi0: |net0: virtio|order=|\n\n){0,60}") {
        for kind in [Kind::Vm, Kind::Ct] {
            if let Ok(config) = GuestConfig::parse(kind, &text) {
                let _ = (check(&config), check_canonical(&config));
                let written = config.to_text();
                prop_assert_eq!(GuestConfig::parse(kind, &written).unwrap().to_text(), written);
            }
        }
        if let Ok(file) = SectionFile::parse(Header::TypeAndId, STORAGE, &text) {
            let written = file.to_text();
            let again = SectionFile::parse(Header::TypeAndId, STORAGE, &written).unwrap();
            prop_assert_eq!(again.sections(), file.sections());
        }
    }

    #[test]
    fn what_a_format_prints_it_reads(
        model in prop::sample::select(vec!["virtio", "e1000"]), mac in prop::option::of("B[CE]:24:11(:[0-9A-F]{2}){3}"),
        tag in prop::option::of(1..4095_u16), firewall in prop::option::of(prop::sample::select(vec!["1", "on", "no"])),
    ) {
        let props = Props::new().with("model", model).with_any("macaddr", mac).with_any("tag", tag).with_any("firewall", firewall);
        let text = props.text(&VM_NET).unwrap();
        check_key(Kind::Vm, "net0", &text).unwrap();
        prop_assert_eq!(Props::parse(&VM_NET, &text).unwrap().text(&VM_NET).unwrap(), text);
    }
}
