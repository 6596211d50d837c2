//! Keys and values that are wrong although the grammar has no word against them.

use roamcore_pve::text::schema::{
    CT_MP, CT_NET, VM_HOSTPCI, VM_NET, VM_SCSI, check, check_canonical, check_key,
};
use roamcore_pve::text::{GuestConfig, Kind, Props};

use crate::{APP, ROUTER};

#[test]
fn keys_and_values_that_both_versions_refuse_or_one_does() {
    let vm = [
        ("ostype", "linux"),
        ("bios", "uefi"),
        ("cores", "0"),
        ("memory", "8"),
        ("memory", "2G"),
        ("onboot", "2"),
        ("name", "my_vm"),
        ("name", "-a"),
        ("name", "a..b"),
        ("scsihw", "virtio"),
        ("boot", "order=scsi0,net0"),
        ("boot", "scsi0"),
        ("boot", "order=efidisk0"),
        ("net0", "virtio=01:00:00:00:00:01,bridge=vmbr0"),
        ("net0", "virtio=BC:24:11:0:0:1"),
        ("net0", "virtio,tag=4095"),
        ("net0", "virtio,tag=0"),
        ("net0", "bridge=vmbr0"),
        ("net0", "virtio,vlan=3"),
        ("net0", "virtio,tag=1,tag=2"),
        ("net0", "virtio,host-tunnel=1"),
        ("net32", "virtio"),
        ("net00", "virtio"),
        ("net", "virtio"),
        ("scsi0", "a:b,size=8GB"),
        ("scsi0", "8"),
        ("scsi0", "size=8G"),
        ("scsi31", "store:disk"),
        ("hostpci0", "0000:01:00.0,driver=keep"),
        ("hostpci0", "0000:01:00.G"),
        ("hostpci0", "0000:0A:00.0"),
        ("hostpci0", "1:00.0"),
        ("efidisk0", "store:disk"),
        ("efidisk0", "store:disk,efitype=2m"),
        ("agent", "enabled=1,freeze-fs=1"),
        ("allow-ksm", "1"),
        ("intel-tdx", "1"),
        ("machine", "q36"),
        ("machine", "q35,aw-bits=39"),
        ("cpu", "host,flags=aes"),
        ("cpu", "host,flags=+vmx"),
        ("cpu", "Host"),
        ("vga", "serial4"),
        ("serial0", "/etc/passwd"),
        ("tags", "a b"),
        ("startup", "1"),
        ("startup", "order=-1"),
        ("tpmstate0", "store:disk,version=v2.0,format=raw"),
        ("watchdog", "i6300esb,action=boom"),
        ("ipconfig0", "ip=10.0.0.1"),
        ("usb0", "1"),
        ("vmgenid", "x"),
        ("hotplug", "network,0"),
        ("scsi0", "store:disk,size=0"),
        ("ide0", "store:disk,media=cdrom,snapshot=1"),
        ("ipconfig0", "gw=10.0.0.1"),
        ("arch", "amd64"),
    ];
    for (key, value) in vm {
        assert!(check_key(Kind::Vm, key, value).is_err(), "{key}: {value}");
    }
    let ct = [
        ("arch", "x86_64"),
        ("ostype", "linux"),
        ("hostname", "a_b"),
        ("memory", "8"),
        ("net0", "bridge=vmbr0"),
        ("net0", "name=eth0,ip=10.0.0.2"),
        ("net0", "name=eth0,host-managed=1"),
        ("net0", "name=eth0,trunks=1-3"),
        ("rootfs", "size=4G"),
        ("rootfs", "store:a,idmap=passthrough"),
        ("mp0", "/mnt/x"),
        ("mp0", "/mnt/../x,mp=/x"),
        ("mp0", "/mnt/x,mp=x"),
        ("mp0", "/mnt/x,mp=/x,keepattrs=1"),
        ("dev0", "/etc/x"),
        ("dev0", "/dev/x,mode=660"),
        ("features", "nest=1"),
        ("entrypoint", "/init"),
        ("env", "A=1"),
        ("timezone", "../etc"),
        ("tty", "7"),
        ("bios", "ovmf"),
    ];
    for (key, value) in ct {
        assert!(check_key(Kind::Ct, key, value).is_err(), "{key}: {value}");
    }
    let error = check_key(Kind::Vm, "net0", "virtio,tag=4095").unwrap_err();
    assert_eq!(
        error.to_string(),
        "net0: tag: \"4095\": expected a whole number from 1 to 4094"
    );
    let error = check_key(Kind::Vm, "bios", "uefi").unwrap_err();
    assert_eq!(
        error.to_string(),
        "bios: \"uefi\": expected one of seabios, ovmf"
    );
}

#[test]
fn keys_that_need_each_other() {
    let edit = |from: &str, to: &str| {
        assert!(ROUTER.contains(from), "{from}");
        check(&GuestConfig::parse(Kind::Vm, &ROUTER.replace(from, to)).unwrap())
    };
    for (from, to, want) in [
        ("machine: q35\n", "", "pcie=1 needs machine q35"),
        ("balloon: 0\n", "", "passthrough needs balloon: 0"),
        ("balloon: 0\n", "balloon: 4096\n", "more than the memory"),
        ("bios: ovmf\n", "", "bios ovmf and efidisk0 need each other"),
        (
            "virtio-scsi-single",
            "virtio-scsi-pci",
            "iothread=1 needs scsihw virtio-scsi-single",
        ),
        ("order=scsi0;net1", "order=scsi1", "the guest has no scsi1"),
        (
            "order=scsi0;net1",
            "order=scsi0;scsi0",
            "scsi0 is there twice",
        ),
        ("serial0: socket\n", "", "the guest has no serial0"),
        ("00:00:02", "00:00:01", "two interfaces of one MAC address"),
        (
            "0000:01:00.0,pcie=1",
            "0000:01:00.0,mapping=wan",
            "either a device or mapping=ID",
        ),
        ("usb0: 1-2.3,", "usb0: ", "either a device or mapping=ID"),
    ] {
        let error = edit(from, to).expect_err(want).to_string();
        assert!(error.contains(want), "{error}");
    }
    let edit = |from: &str, to: &str| {
        assert!(APP.contains(from), "{from}");
        check(&GuestConfig::parse(Kind::Ct, &APP.replace(from, to)).unwrap())
    };
    for (from, to, want) in [
        ("ostype: debian\n", "", "a container needs this key"),
        ("name=eth1", "name=eth0", "two interfaces of one name"),
        (
            "ip=10.0.0.2/24",
            "ip=dhcp",
            "gw needs ip with a fixed address",
        ),
        ("lxc.cgroup2.memory.high", "lxc.rootfs.path", "no raw key"),
    ] {
        let error = edit(from, to).expect_err(want).to_string();
        assert!(error.contains(want), "{error}");
    }
}

#[test]
fn property_strings_in_proxmox_order() {
    let net = Props::new()
        .with("bridge", "vmbr0")
        .with("model", "virtio")
        .with("tag", 10);
    assert_eq!(net.text(&VM_NET).unwrap(), "virtio,bridge=vmbr0,tag=10");
    let net = net
        .with("macaddr", "BC:24:11:00:00:01")
        .with_any("mtu", None::<u32>);
    assert_eq!(
        net.text(&VM_NET).unwrap(),
        "virtio=BC:24:11:00:00:01,bridge=vmbr0,tag=10"
    );
    let disk = Props::new()
        .with("ssd", "on")
        .with("file", "store:vm-1-disk-0")
        .with("size", "8192M")
        .with("discard", "on");
    assert_eq!(
        disk.text(&VM_SCSI).unwrap(),
        "store:vm-1-disk-0,discard=on,size=8G,ssd=1"
    );
    let net = Props::new()
        .with("bridge", "vmbr0")
        .with("name", "eth0")
        .with("ip", "dhcp");
    assert_eq!(net.text(&CT_NET).unwrap(), "name=eth0,bridge=vmbr0,ip=dhcp");
    let mount = Props::new()
        .with("mp", "/video")
        .with("volume", "/mnt/video")
        .with("backup", 0);
    assert_eq!(mount.text(&CT_MP).unwrap(), "/mnt/video,mp=/video,backup=0");
    let pci = Props::parse(&VM_HOSTPCI, "host=0000:01:00.0,rombar=off").unwrap();
    assert_eq!(pci.text(&VM_HOSTPCI).unwrap(), "0000:01:00.0,rombar=0");
    assert!(Props::new().with("file", "a,b:c").text(&VM_SCSI).is_err());
    let spelled = ROUTER.replace("size=8G,ssd=1", "ssd=1,size=8192M");
    let config = GuestConfig::parse(Kind::Vm, &spelled).unwrap();
    check(&config).unwrap();
    assert!(
        check_canonical(&config)
            .unwrap_err()
            .to_string()
            .contains("Proxmox would write")
    );
}
