//! The database of `/etc/pve`: whole files for the reader, then the judge.

use roamcore_pve::db::{Files, VMIDS, decode, encode, judge, judge_strictly};

use crate::Target;

pub(super) const TARGET: Target = Target {
    name: "pve-db",
    from: "/var/lib/pve-cluster/config.db, whoever wrote it last",
    longest: 16 << 10,
    run: |bytes| {
        let Ok(rows) = decode(bytes) else {
            return false;
        };
        assert!(rows.is_sorted_by(|a, b| a.inode < b.inode));
        if let Ok(judged) = judge_strictly(&rows, "roamcore") {
            assert!(rows.iter().all(|row| judged.version >= row.inode as u64));
            assert!(judged.guests.keys().all(|vmid| VMIDS.contains(vmid)));
        }
        judge(&rows, None).is_ok()
    },
    seeds: || {
        let files = [
            ("datacenter.cfg", "keyboard: en-us\n"),
            ("nodes/roamcore/qemu-server/100.conf", "memory: 2048\n"),
            ("nodes/roamcore/lxc/101.conf", "arch: amd64\n"),
        ];
        let files: Files = files.map(|(path, text)| (path.into(), text.into())).into();
        vec![encode(&files, "roamcore", 1_700_000_000).unwrap()]
    },
};
