//! Proves that an ordinary user with a range of subordinate ids builds the same bytes as root, with
//! owners and file capabilities as the packages have them.

#![allow(clippy::unwrap_used, reason = "test helpers, too, may panic")]

mod support;

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use roamcore_image::build::unpack_tools;
use roamcore_image::cache::Cache;
use roamcore_image::compare;
use roamcore_image::crates::BESIDE_AGENT;
use roamcore_image::lock::{Lock, Set};
use roamcore_image::pool::Pool;
use roamcore_image::tree::read_tar;
use support::{
    APPLIANCE, BUILDER, Extra, RELEASE, User, built, copy_checkout, copy_package, copy_tree, give,
    run, step, tool,
};

#[test]
fn an_ordinary_user_builds_the_same_image() {
    let Some(built) = built() else { return };
    if !support::root() || tool("newuidmap").is_none() || tool("useradd").is_none() {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o755)).unwrap();
    let at = |name: &str| dir.path().join(name);
    copy_checkout(&built.checkout(), &at("checkout"));
    copy_tree(&built.keys(), &at("keys"));
    fs::copy(BUILDER, at("roamcore-image")).unwrap();
    fs::copy(&built.agent, at("agent")).unwrap();
    for beside in BESIDE_AGENT {
        fs::copy(built.agent.with_file_name(beside), at(beside)).unwrap();
    }
    let lock = Lock::read(&built.checkout().join("appliances/bare.lock")).unwrap();
    let real = Pool::open(Cache::default_root().unwrap().join("pool")).unwrap();
    fs::create_dir(at("pool")).unwrap();
    for package in lock.image.iter().chain(&lock.tools) {
        copy_package(&real.path(package), &at("pool").join(package.file_name()));
    }
    let user = User::add(&at("home"));
    for name in ["home", "out"] {
        fs::create_dir(at(name)).unwrap();
    }
    for name in ["home", "out", "keys", "checkout"] {
        give(&at(name), user.id);
    }
    let id = user.id.to_string();
    let mut command = Command::new("setpriv");
    command
        .args(["--reuid", &id, "--regid", &id, "--clear-groups"])
        .arg(at("roamcore-image"));
    command.arg("--checkout").arg(at("checkout")).args([
        "build",
        APPLIANCE,
        "--json",
        "--offline",
        "--pool",
    ]);
    command
        .arg(at("pool"))
        .arg("--agent")
        .arg(at("agent"))
        .arg("--out")
        .arg(at("out"));
    command
        .env("HOME", at("home"))
        .env("ROAMCORE_KEYS", at("keys"))
        .env_remove("ROAMCORE_CACHE");
    command
        .env_remove("XDG_CACHE_HOME")
        .env("USER", &user.name)
        .current_dir(dir.path());
    let ran = run(&mut command);
    if ran.code != 0 && ran.err.contains("Operation not permitted") && ran.err.contains("unshare") {
        return support::skip(&format!(
            "this machine forbids user namespaces: {}",
            ran.err
        ));
    }
    let ran = ran.ok();
    let lock = Lock::read(&at("checkout").join("appliances/bare.lock")).unwrap();
    let told = ran
        .err
        .lines()
        .map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap())
        .filter(|event| event["event"] == "progress" && event["name"] == "install")
        .map(|event| {
            (
                event["done"].as_u64().unwrap(),
                event["of"].as_u64().unwrap(),
            )
        });
    let told: Vec<_> = told.collect();
    let all = 2 * lock.packages(Set::Image).len() as u64;
    assert!(told.len() > 5 && told.is_sorted(), "{told:?}");
    assert_eq!(told.last(), Some(&(all, all)));
    // First where differences come from: the same step, by its name, made by root and by the user.
    let cache = at("home").join(".cache/roamcore");
    let mine = step(&cache, "root");
    let roots = Cache::default_root()
        .unwrap()
        .join("steps")
        .join(mine.file_name().unwrap());
    let lines = |dir: &Path| -> BTreeSet<String> {
        let files = fs::read_to_string(dir.join("root.files")).unwrap();
        files.lines().map(str::to_owned).collect()
    };
    let (left, right) = (lines(&roots), lines(&mine));
    let differing: Vec<&String> = left.symmetric_difference(&right).take(30).collect();
    assert!(
        differing.is_empty(),
        "root's and the user's files differ: {differing:#?}"
    );
    let differences = compare::releases(&at("out").join(RELEASE), &built.release()).unwrap();
    assert_eq!(differences, Vec::<String>::new());

    let packages = read_tar(&step(&cache, "packages").join("packages.tar")).unwrap();
    let owned: Vec<_> = packages
        .iter()
        .filter(|(_, node)| node.uid != 0 || node.gid != 0)
        .collect();
    assert!(owned.len() > 3, "no file has an owner of its own");
    assert!(
        owned
            .iter()
            .all(|(_, node)| node.uid != user.id && node.uid < 60_000 || node.uid == 65534)
    );
    let shadow = packages.get("etc/shadow").unwrap();
    assert_eq!((shadow.uid, shadow.gid, shadow.mode), (0, 42, 0o640));

    // No package of `bare` has a file capability: one of ours has, set by its script in the namespace.
    CAPABLE.add(&at("checkout"), &at("pool"));
    give(&at("checkout"), user.id);
    run(command.args(["--version", "0.1.1"])).ok();
    let root = newest_root(&cache);
    let listed = fs::read_to_string(root.join("root.files")).unwrap();
    assert!(listed.contains(PROGRAM), "the package is not in the image");
    let own = Cache::open(&cache).unwrap();
    let pool = Pool::open(own.root().join("pool")).unwrap();
    let (tools, _) = unpack_tools(&own, &pool, &lock).unwrap();
    let files = at("extracted");
    tools
        .program("usr/bin/fsck.erofs")
        .arg(format!("--extract={}", files.display()))
        // A change of owner after that would take the capability away (capabilities(7)).
        .args(["--xattrs", "--no-preserve-owner"])
        .arg(root.join("root.erofs"))
        .run()
        .unwrap();
    let mut value = [0; 64];
    let len = rustix::fs::getxattr(files.join(PROGRAM), "security.capability", &mut value).unwrap();
    // capability.h, vfs_cap_data: revision 2 with the effective flag, CAP_NET_RAW (13) permitted; revision 3 would
    // tie it to the builder's user namespace.
    let words: Vec<u32> = value[..len]
        .chunks_exact(4)
        .map(|word| u32::from_le_bytes(word.try_into().unwrap()))
        .collect();
    assert_eq!(words, [0x0200_0001, 1 << 13, 0, 0, 0]);
    let plain = rustix::fs::getxattr(files.join("usr/bin/ls"), "security.capability", &mut value);
    assert!(plain.is_err(), "every file has a capability");
}

const PROGRAM: &str = "usr/bin/roamcore-capable";
const CAPABLE: Extra<'_> = Extra {
    name: "roamcore-capable",
    control: "Depends: libcap2-bin\n",
    files: &[(PROGRAM, "#!/bin/sh\n")],
    postinst: "setcap cap_net_raw+ep /usr/bin/roamcore-capable",
};

/// The root step made last.
fn newest_root(cache: &Path) -> PathBuf {
    let steps = fs::read_dir(cache.join("steps")).unwrap();
    let roots = steps
        .map(|e| e.unwrap().path())
        .filter(|p| p.to_string_lossy().ends_with("-root"));
    roots
        .max_by_key(|p| {
            fs::metadata(p.join("root.json"))
                .unwrap()
                .modified()
                .unwrap()
        })
        .unwrap()
}
