//! Rows of the database of `/etc/pve`, for the judge alone: random bytes hardly ever are a database.
//!
//! ```text
//!  step to the inode (1) | parent (1) | type (1) | version (1) | bytes of data (1) | bytes of name (1) | name    and again
//! ```

use roamcore_pve::db::{Row, judge, judge_strictly};

use super::take;
use crate::Target;

pub(super) const TARGET: Target = Target {
    name: "pve-rows",
    from: "/var/lib/pve-cluster/config.db, past SQLite",
    longest: 2048,
    run: |mut bytes| {
        let (mut rows, mut inode) = (Vec::new(), 0);
        while let [step, parent, kind, version, data, name] = *take(&mut bytes, 6) {
            // Only the first may be the root's record; all others rise.
            inode += i64::from(step.max(u8::from(!rows.is_empty())));
            rows.push(Row {
                inode,
                parent: parent.into(),
                version: version.into(),
                writer: 0,
                mtime: 0,
                kind: kind.into(),
                name: take(&mut bytes, name.into()).into(),
                data: vec![b'x'; data.into()],
            });
        }
        if let Ok(judged) = judge_strictly(&rows, "a") {
            assert!(judged.version >= inode as u64);
            let files = rows.iter().filter(|row| row.inode != 0 && row.kind == 8);
            assert_eq!(judged.files.len(), files.count());
        }
        judge(&rows, None).is_ok()
    },
    seeds: || {
        let rows: [(u8, u8, u8, u8, &str); 7] = [
            (0, 0, 8, 6, "__version__"),
            (1, 0, 4, 1, "nodes"),
            (1, 1, 4, 2, "a"),
            (1, 2, 4, 3, "lxc"),
            (1, 2, 4, 4, "qemu-server"),
            (1, 4, 8, 5, "100.conf"),
            (1, 3, 8, 6, "101.conf"),
        ];
        let row = |(step, parent, kind, version, name): (u8, u8, u8, u8, &str)| {
            let data = u8::from(kind == 8 && step != 0);
            let length = u8::try_from(name.len()).unwrap();
            [
                &[step, parent, kind, version, data, length],
                name.as_bytes(),
            ]
            .concat()
        };
        vec![rows.into_iter().flat_map(row).collect()]
    },
};
