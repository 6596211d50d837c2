//! The database against `sqlite3`, against the loader's table of mutations, and damaged.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod common;

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use common::{ok, tool};
use proptest::prelude::*;
use roamcore_pve::db::{
    self, DbError, Files, Hazard, MAX_FILE, Refusal, Row, Unfit, decode, encode, guest_path, judge,
    judge_strictly,
};
use rusqlite::Connection;

const HOST: &str = "roamcore";
const TIME: u32 = 1_793_491_200;

fn files(list: &[(&str, &str)]) -> Files {
    list.iter()
        .map(|(path, text)| ((*path).to_owned(), text.as_bytes().to_vec()))
        .collect()
}

fn example() -> Files {
    files(&[
        ("datacenter.cfg", "keyboard: en-us\n"),
        ("storage.cfg", "dir: local\n\tpath /var/lib/vz\n\n"),
        ("firewall/cluster.fw", "[OPTIONS]\n"),
        ("nodes/roamcore/qemu-server/100.conf", "memory: 2048\n"),
        ("nodes/roamcore/lxc/101.conf", "arch: amd64\n"),
        ("empty", ""),
    ])
}

fn rows(files: &Files) -> Vec<Row> {
    decode(&encode(files, HOST, TIME).unwrap()).unwrap()
}

/// Rows of the example after a mutation in SQL, in a table that checks nothing when asked so.
fn mutated(sql: &str) -> Vec<Row> {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("config.db");
    fs::write(&path, encode(&example(), HOST, TIME).unwrap()).unwrap();
    let db = Connection::open(&path).unwrap();
    db.execute_batch(sql).unwrap();
    db.close().unwrap();
    db::read(&path).unwrap()
}

#[test]
fn a_tree_comes_back_from_its_database() {
    let rows = rows(&example());
    let judged = judge_strictly(&rows, HOST).unwrap();
    assert_eq!(judged.files, example());
    assert_eq!(
        judged.guests.keys().copied().collect::<Vec<_>>(),
        [100, 101]
    );
    assert_eq!(judged.guests[&101].directory, "lxc");
    let highest = rows.iter().map(|row| row.inode).max().unwrap();
    assert_eq!(rows[0].version, highest);
    assert!(rows.iter().all(|row| row.mtime == i64::from(TIME)));
    // Parents first, whatever the order of the paths.
    assert!(rows.iter().skip(1).all(|row| row.parent < row.inode));
    let names: Vec<_> = rows
        .iter()
        .map(|row| String::from_utf8_lossy(&row.name))
        .collect();
    assert_eq!(
        names,
        [
            "__version__",
            "datacenter.cfg",
            "empty",
            "firewall",
            "cluster.fw",
            "nodes",
            "roamcore",
            "lxc",
            "101.conf",
            "openvz",
            "priv",
            "qemu-server",
            "100.conf",
            "priv",
            "storage.cfg"
        ]
    );
}

#[test]
fn the_same_tree_gives_the_same_bytes() {
    let once = encode(&example(), HOST, TIME).unwrap();
    assert_eq!(once, encode(&example(), HOST, TIME).unwrap());
    assert_ne!(once, encode(&example(), HOST, TIME + 1).unwrap());
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("config.db");
    fs::write(&path, "an old one").unwrap();
    db::write(&path, &example(), HOST, TIME).unwrap();
    assert_eq!(fs::read(&path).unwrap(), once);
    assert_eq!(
        fs::metadata(&path).unwrap().permissions().mode() & 0o777,
        0o600
    );
    assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 1);
}

#[test]
fn a_log_beside_it_is_in_the_way() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("config.db");
    db::write(&path, &example(), HOST, TIME).unwrap();
    fs::write(directory.path().join("config.db-wal"), "").unwrap();
    let error = db::write(&path, &Files::new(), HOST, TIME).unwrap_err();
    assert!(matches!(error, DbError::Companion { .. }), "{error}");
    assert!(matches!(db::read(&path), Err(DbError::Companion { .. })));
}

#[test]
fn sqlite_finds_nothing_to_say_about_it() {
    let Some(sqlite) = tool("sqlite3") else {
        return;
    };
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("config.db");
    db::write(&path, &example(), HOST, TIME).unwrap();
    let ask = |sql: &str| ok(&sqlite, &[path.to_str().unwrap(), sql], b"");
    assert_eq!(ask("PRAGMA integrity_check"), "ok\n");
    assert_eq!(ask("PRAGMA journal_mode"), "delete\n");
    assert_eq!(ask("SELECT count(*), max(inode) FROM tree"), "15|14\n");
    assert_eq!(
        ask(
            "SELECT inode, parent, version, writer, mtime, type, name, quote(data) FROM tree WHERE inode IN (0, 1, 3)"
        ),
        "0|0|14|0|1793491200|8|__version__|NULL\n\
         1|0|1|0|1793491200|8|datacenter.cfg|X'6B6579626F6172643A20656E2D75730A'\n\
         3|0|3|0|1793491200|4|firewall|NULL\n"
    );
    // What the daemon does at its first start, and to create a file.
    ask("PRAGMA journal_mode = WAL; CREATE TABLE IF NOT EXISTS tree (inode INTEGER PRIMARY KEY)");
    ask(
        "INSERT INTO tree VALUES (15, 0, 15, 0, 1793491300, 8, 'new', x'41'); UPDATE tree SET version = 15 WHERE inode = 0",
    );
    let judged = judge_strictly(&db::read(&path).unwrap(), HOST).unwrap();
    assert_eq!((judged.version, &judged.files["new"]), (15, &b"A".to_vec()));
}

#[test]
fn trees_that_are_no_tree() {
    let big = "x".repeat(MAX_FILE + 1);
    let long = "x".repeat(256);
    let table: &[(&[&str], &str)] = &[
        (&["a//b"], "\"a//b\": the part \"\" is empty; rename it"),
        (&["/a"], "\"/a\": the part \"\" is empty; rename it"),
        (&["a/"], "\"a/\": the part \"\" is empty; rename it"),
        (
            &["a/../b"],
            "\"a/../b\": the part \"..\" means another directory; rename it",
        ),
        (&["a/\u{7}"], "has a control character"),
        (&[&long], "is longer than 255 bytes"),
        (&["a/__version__"], "is the record of the root"),
        (
            &["local/host.fw"],
            "at the top is made by the daemon itself; use nodes/roamcore/host.fw",
        ),
        (
            &["qemu-server/100.conf"],
            "use nodes/roamcore/qemu-server/100.conf",
        ),
        (&[".version"], "use a name without the leading dot"),
        (
            &["nodes/pve/lxc/100.conf"],
            "belongs to another node than \"roamcore\"",
        ),
        (
            &["priv/shadow.cfg"],
            "nothing of a priv directory is seeded",
        ),
        (
            &["nodes/roamcore/priv/x"],
            "nothing of a priv directory is seeded",
        ),
        (
            &["a", "a/b"],
            "\"a\" is a file, but \"a/b\" needs it to be a directory",
        ),
        (&["nodes/roamcore/lxc"], "is a file, but"),
        (
            &["nodes/roamcore/qemu-server/99.conf"],
            "guests are called ID.conf",
        ),
        (
            &["nodes/roamcore/qemu-server/1000000000.conf"],
            "guests are called ID.conf",
        ),
        (
            &["nodes/roamcore/qemu-server/100.cfg"],
            "guests are called ID.conf",
        ),
        (
            &["nodes/roamcore/qemu-server/0100.conf"],
            "guests are called ID.conf",
        ),
        (
            &["nodes/roamcore/openvz/100.conf"],
            "guests are called ID.conf",
        ),
        (
            &[
                "nodes/roamcore/lxc/100.conf",
                "nodes/roamcore/qemu-server/100.conf",
            ],
            "guest 100 is there twice",
        ),
    ];
    for (paths, want) in table {
        let tree: Files = paths
            .iter()
            .map(|path| ((*path).to_owned(), vec![]))
            .collect();
        let error = encode(&tree, HOST, 0).expect_err(want).to_string();
        assert!(error.contains(want), "{error}");
    }
    let error = encode(&files(&[("big", &big)]), HOST, 0).unwrap_err();
    assert_eq!(
        error.to_string(),
        "\"big\" has 1048577 bytes, the file system allows 1048576; make it smaller"
    );
    let full: Files = (0..129)
        .map(|n| (format!("f{n:03}"), vec![0; MAX_FILE]))
        .collect();
    assert!(matches!(
        encode(&full, HOST, 0),
        Err(DbError::TreeTooLarge { .. })
    ));
    for host in ["", "a.b", "-a", "a-", "a_b", "ä", &long[..64]] {
        assert!(
            matches!(encode(&Files::new(), host, 0), Err(DbError::Host { .. })),
            "{host}"
        );
    }
}

/// The reference's table of what was tried with the daemon: what loads, without a word.
#[test]
fn mutations_that_load() {
    let relaxed = "ALTER TABLE tree RENAME TO old; \
        CREATE TABLE tree (inode INTEGER PRIMARY KEY, parent, version, writer, mtime, type, name, data TEXT); \
        INSERT INTO tree SELECT * FROM old; DROP TABLE old;";
    let loads = [
        // Children before their parents.
        "UPDATE tree SET parent = 50 WHERE parent = 3; UPDATE tree SET inode = 50 WHERE inode = 3; \
         UPDATE tree SET version = 50 WHERE inode = 0",
        // Nothing checked, text for bytes, an empty directory's data.
        relaxed,
        &format!(
            "{relaxed} UPDATE tree SET data = 'keyboard: en-us' || char(10) WHERE name = 'datacenter.cfg'"
        ),
        "UPDATE tree SET data = x'' WHERE name = 'firewall' OR name = 'empty'",
        "UPDATE tree SET version = 1000000 WHERE inode = 0",
    ];
    for sql in loads {
        let judged = judge_strictly(&mutated(sql), HOST).unwrap();
        assert_eq!(judged.files, example(), "{sql}");
    }
}

#[test]
fn mutations_that_do_not_load() {
    let add = |values: &str| {
        format!("INSERT INTO tree VALUES ({values}); UPDATE tree SET version = 99 WHERE inode = 0")
    };
    let table = [
        (
            "UPDATE tree SET name = 'x' WHERE inode = 0".into(),
            "row 0 is called \"x\", not \"__version__\"",
        ),
        (
            "UPDATE tree SET data = x'41' WHERE name = 'firewall'".into(),
            "directory \"firewall\" (inode 3) has 1 bytes of data",
        ),
        (
            "UPDATE tree SET type = 10 WHERE name = 'empty'".into(),
            "\"empty\" (inode 2) has type 10; only 4 (directory) and 8 (file) load",
        ),
        (
            "UPDATE tree SET parent = 77 WHERE name = 'empty'".into(),
            "directory inode 77 is missing",
        ),
        (
            "UPDATE tree SET parent = 1 WHERE name = 'empty'".into(),
            "\"empty\" (inode 2) lies in inode 1, which is a file",
        ),
        (
            add("15, 3, 15, 0, 0, 8, 'cluster.fw', x'41'"),
            "\"cluster.fw\" is twice in directory inode 3: inodes 4 and 15",
        ),
        (
            add("15, 7, 15, 0, 0, 8, '100.conf', x'41'"),
            "guest 100 is there twice: on roamcore (qemu-server) and on roamcore (lxc)",
        ),
        (
            "UPDATE tree SET name = '' WHERE name = 'empty'".into(),
            "inode 2 has no name",
        ),
    ];
    for (sql, want) in table {
        let refusal = judge(&mutated(&sql), None).expect_err(want);
        assert!(refusal.to_string().contains(want), "{sql}: {refusal}");
        let unfit = judge_strictly(&mutated(&sql), HOST).expect_err(want);
        assert!(matches!(unfit, Unfit::Refused(_)), "{unfit}");
    }
}

#[test]
fn mutations_that_load_and_go_wrong_later() {
    let add = |values: &str| {
        format!("INSERT INTO tree VALUES ({values}); UPDATE tree SET version = 99 WHERE inode = 0")
    };
    let table = [
        (
            "DELETE FROM tree WHERE inode = 0".into(),
            "row 0 \"__version__\" is missing",
        ),
        (
            "UPDATE tree SET version = 13 WHERE inode = 0".into(),
            "\"__version__\" says 13, the highest inode is 14",
        ),
        (
            add("15, 0, 15, 0, 0, 8, 'a/b', x'41'"),
            "has a slash: its directory cannot be listed",
        ),
        (
            add("15, 0, 15, 0, 0, 8, 'big', zeroblob(2000000)"),
            "\"big\" has 2000000 bytes",
        ),
        (
            add("15, 11, 15, 0, 0, 8, '99.conf', x'41'"),
            "guest id 99 of",
        ),
        (
            "UPDATE tree SET name = 'other' WHERE name = 'roamcore'".into(),
            "\"nodes/roamcore/qemu-server\" is missing or a file",
        ),
        (
            add("15, 16, 15, 0, 0, 4, 'a', NULL), (16, 15, 16, 0, 0, 4, 'b', NULL"),
            "is not reachable from the root",
        ),
        (
            add("15, 15, 15, 0, 0, 4, 'a', NULL"),
            "is not reachable from the root",
        ),
        (
            "UPDATE tree SET type = 260 WHERE name = 'firewall'".into(),
            "type of inode 3 is 260",
        ),
    ];
    for (sql, want) in table {
        let rows = mutated(&sql);
        let judged = judge(&rows, None).unwrap();
        let unfit = judge_strictly(&rows, HOST).expect_err(want).to_string();
        assert!(unfit.contains(want), "{sql}: {unfit}");
        // All but the one that only the host's name shows.
        assert!(
            want.contains("nodes/") || !judged.hazards.is_empty(),
            "{sql}"
        );
    }
}

#[test]
fn files_that_are_no_database() {
    let good = encode(&example(), HOST, TIME).unwrap();
    let view = |sql: &str| {
        let db = Connection::open_in_memory().unwrap();
        db.execute_batch(sql).unwrap();
        let mut db = db;
        db.serialize(rusqlite::MAIN_DB).unwrap().to_vec()
    };
    let endless = "CREATE VIEW tree AS WITH RECURSIVE n(inode) AS (SELECT 1 UNION ALL SELECT inode + 1 FROM n) \
         SELECT inode, 0 AS parent, 1 AS version, 0 AS writer, 0 AS mtime, 8 AS type, 'a' AS name, NULL AS data FROM n";
    let computed = "CREATE TABLE tree (inode INTEGER PRIMARY KEY, parent, version, writer, mtime, type, name, \
         data AS (zeroblob(1000000000)))";
    for (bytes, want) in [
        (vec![], "does not begin as SQLite does"),
        (good[..99].to_vec(), "does not begin as SQLite does"),
        (view("CREATE TABLE other (a)"), "no plain table \"tree\""),
        (view(endless), "no plain table \"tree\""),
        (view(computed), "no plain column \"data\""),
        (
            view("CREATE TABLE tree (inode INTEGER PRIMARY KEY)"),
            "no plain column \"parent\"",
        ),
    ] {
        let error = decode(&bytes).expect_err(want).to_string();
        assert!(error.contains(want), "{error}");
    }
    assert!(decode(&good[..5000]).is_err());
}

/// Small numbers and few names, so that parents are found, circles close and names meet.
fn some_row() -> impl Strategy<Value = (i64, i64, u8, usize, usize)> {
    (
        0..12_i64,
        0..12_i64,
        prop_oneof![Just(4_u8), Just(8), any::<u8>()],
        0..10_usize,
        0..3_usize,
    )
}

const NAMES: [&str; 10] = [
    "__version__",
    "nodes",
    "roamcore",
    "qemu-server",
    "lxc",
    "100.conf",
    "1.conf",
    "a",
    "b/c",
    "",
];

proptest! {
    #[test]
    fn no_rows_make_the_judge_panic(list in prop::collection::vec(some_row(), 0..24), odd in any::<[i64; 6]>(), at in any::<prop::sample::Index>()) {
        let mut rows: Vec<Row> = list.into_iter().map(|(inode, parent, kind, name, data)| Row {
            inode, parent, version: inode, writer: 0, mtime: 0, kind: kind.into(),
            name: NAMES[name].as_bytes().to_vec(), data: vec![0; data],
        }).collect();
        if !rows.is_empty() {
            let row = at.get(&rows).clone();
            rows.push(Row { inode: odd[0], parent: odd[1], version: odd[2], writer: odd[3], mtime: odd[4], kind: odd[5], ..row });
        }
        rows.sort_by_key(|row| row.inode);
        rows.dedup_by_key(|row| row.inode);
        if let Ok(judged) = judge_strictly(&rows, HOST) {
            prop_assert!(judged.hazards.is_empty());
            prop_assert!(rows.iter().all(|row| judged.version >= row.inode as u64));
        }
    }

    #[test]
    fn damaged_files_never_panic(at in any::<prop::sample::Index>(), byte in any::<u8>(), cut in any::<prop::sample::Index>()) {
        let mut bytes = encode(&example(), HOST, TIME).unwrap();
        let place = at.index(bytes.len());
        bytes[place] = byte;
        if let Ok(rows) = decode(&bytes) {
            let _ = judge(&rows, Some(HOST));
        }
        let end = cut.index(bytes.len());
        let _ = decode(&bytes[..end]);
    }

    #[test]
    fn every_tree_that_is_written_loads(
        list in prop::collection::btree_map("[a-z]{1,3}(/[a-z.]{1,3}){0,3}", prop::collection::vec(any::<u8>(), 0..5000), 0..12),
        guests in prop::collection::btree_set(100..2000_u32, 0..6),
    ) {
        let mut tree: Files = list;
        for vmid in guests {
            let directory = if vmid % 2 == 0 { "qemu-server" } else { "lxc" };
            tree.insert(guest_path(HOST, directory, vmid), b"memory: 512\n".to_vec());
        }
        if let Ok(bytes) = encode(&tree, HOST, TIME) {
            let judged = judge_strictly(&decode(&bytes).unwrap(), HOST).unwrap();
            prop_assert_eq!(judged.files, tree);
        }
    }
}

#[test]
fn refusals_and_hazards_are_values() {
    let rows = mutated("DELETE FROM tree WHERE inode = 0");
    assert_eq!(
        judge(&rows, None).unwrap().hazards,
        [Hazard::VersionMissing]
    );
    let rows = mutated("UPDATE tree SET parent = 77 WHERE name = 'empty'");
    assert_eq!(
        judge(&rows, None),
        Err(Refusal::ParentMissing { parent: 77 })
    );
    assert!(db::read(Path::new("/nonexistent/config.db")).is_err());
}
