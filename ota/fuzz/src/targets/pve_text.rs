//! Proxmox's text formats. The first byte says which one the rest is.

use roamcore_pve::text::schema::{STORAGE, check, check_canonical};
use roamcore_pve::text::{GuestConfig, Header, Kind, SectionFile};

use crate::Target;

pub(super) const TARGET: Target = Target {
    name: "pve-text",
    from: "guest configurations and storage.cfg, as their owner changed them",
    longest: 2048,
    run: |bytes| {
        let Some((format, text)) = bytes.split_first() else {
            return false;
        };
        let Ok(text) = std::str::from_utf8(text) else {
            return false;
        };
        match format {
            b'v' => guest(Kind::Vm, text),
            b'c' => guest(Kind::Ct, text),
            _ => {
                let read = |text: &str| SectionFile::parse(Header::TypeAndId, STORAGE, text);
                let Ok(file) = read(text) else {
                    return false;
                };
                let again = read(&file.to_text()).unwrap();
                assert_eq!(again.sections(), file.sections());
                true
            }
        }
    },
    seeds: || {
        [
            "v#router%3A a\nagent: 1\nballoon: 0\nboot: order=scsi0;net0\nhostpci0: 0000:01:00.0,pcie=1\nmachine: q35\n\
             memory: 2048\nname: router\nnet0: virtio=BC:24:11:00:00:01,bridge=vmbr0,tag=10\n\
             scsi0: local-lvm:vm-100-disk-0,discard=on,size=8G\nsnaptime: 1\n\n[PENDING]\ndelete: net0\n\n[before]\ncores: 1\n",
            "cfeatures: keyctl=1,nesting=1\nhostname: app\nmp0: /mnt/video,mp=/video,ro=1\n\
             net0: name=eth0,bridge=vmbr0,ip=10.0.0.2/24,gw=10.0.0.1\nostype: debian\n\
             rootfs: local-lvm:vm-101-disk-0,size=4G\nlxc.kmsg: 1\n\n[pve:pending]\ncores: 2\n",
            "sdir: local\n\tpath /var/lib/vz\n\tcontent iso,backup\n\tprune-backups keep-last=3\n\n\
             lvmthin: guests\n\tdisable\n\tthinpool guests\n\tvgname roamcore\n\n",
        ]
        .map(|text| text.as_bytes().to_vec())
        .into()
    },
};

/// Written and read again it is the same, and whatever is said of it is said without a panic.
fn guest(kind: Kind, text: &str) -> bool {
    let Ok(config) = GuestConfig::parse(kind, text) else {
        return false;
    };
    let written = config.to_text();
    let again = GuestConfig::parse(kind, &written).unwrap();
    assert_eq!(again.to_text(), written);
    let _ = (check(&config), check_canonical(&config));
    true
}
