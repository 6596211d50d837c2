//! Proves what a program in the build namespace can see and do, for root's builds and an ordinary
//! user's, and that its clock can be set ahead.

#![allow(clippy::unwrap_used, reason = "test helpers, too, may panic")]

mod support;

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{SystemTime, UNIX_EPOCH};

use roamcore_image::build::{Tools, unpack_tools};
use roamcore_image::cache::Cache;
use roamcore_image::clock::Shift;
use roamcore_image::lock::Lock;
use roamcore_image::pool::Pool;
use roamcore_image::sandbox::Sandbox;
use support::{User, built, copy_tree, give, run, skip, tool};

/// Set for the run as an ordinary user: where its tools are.
const TOOLS: &str = "ROAMCORE_TEST_TOOLS";
const TEST: &str = "no_device_file_or_power_of_the_host_is_inside";
/// Prints one fact per line. Nothing here writes to the host even where it could.
const PROBE: &str = r#"
fact() { echo "$1=$(eval "$2" 2>/dev/null && echo yes || echo no)"; }
echo "dev=$(ls -A /dev | tr '\n' ' ')"
echo "target=$(ls -A /work/root/dev | tr '\n' ' ')"
echo "blocks=$(find / -type b | tr '\n' ' ')"
echo "powers=$(sed -n 's/^CapEff:[[:space:]]*//p' /proc/self/status)"
echo "bound=$(sed -n 's/^CapBnd:[[:space:]]*//p' /proc/self/status)"
echo "links=$(sed -n 's/^ *\([a-z0-9]*\):.*/\1/p' /proc/net/dev | tr '\n' ' ')"
fact alone 'test $(ls -d /proc/[0-9]* | wc -l) -lt 8'
# Whatever disk the host has: the first that the kernel names, which is not hidden.
set -- $(sed -n '3s/^ *\([0-9]*\) *\([0-9]*\) .*/\1 \2/p' /proc/partitions)
echo "disk=${1:-7}:${2:-0}"
fact made 'mknod /work/disk b ${1:-7} ${2:-0}'
fact opened 'dd if=/work/disk of=/dev/null count=1'
fact mounted 'mount -t tmpfs none /tmp'
fact remounted 'mount -o remount,bind,rw /'
fact wrote_tools 'true > /usr/new'
fact wrote_pool 'true > /pool/new'
fact wrote_kernel 'true >> /proc/sys/kernel/core_pattern'
fact wrote_work 'true > /work/new'
fact null 'test -c /dev/null && echo x > /dev/null'
fact full 'echo x > /dev/full'
fact random 'test $(head -c 8 /dev/urandom | wc -c) = 8'
fact terminal 'perl -e "sysopen(my \$t, q(/dev/ptmx), 2) or exit 1"'
# The old way out of a chroot.
fact escaped 'perl -e "mkdir q(/work/in); chroot q(/work/in) or die; chdir q(..) for 1..64; chroot q(.); exit !-e shift" "$SECRET"'
"#;

fn tools() -> Option<Tools> {
    let built = built()?;
    let lock = Lock::read(&built.checkout().join("appliances/bare.lock")).unwrap();
    let cache = Cache::open(&Cache::default_root().unwrap()).unwrap();
    let pool = Pool::open(cache.root().join("pool")).unwrap();
    Some(unpack_tools(&cache, &pool, &lock).unwrap().0)
}

/// Runs a script in the namespace; its output, or what went wrong.
fn inside(
    tools: &Path,
    clock: Shift,
    variables: &[String],
    script: &str,
) -> Result<String, String> {
    let dir = tempfile::tempdir().unwrap();
    let (pool, hooks, out) = (
        dir.path().join("pool"),
        dir.path().join("hooks"),
        dir.path().join("out"),
    );
    fs::create_dir(&pool).unwrap();
    fs::create_dir(&hooks).unwrap();
    let sandbox = Sandbox {
        tools,
        pool: &pool,
        hooks: &hooks,
        clock,
    };
    let mut program = variables.to_vec();
    program.extend(["sh", "-c", script, "probe"].map(str::to_owned));
    sandbox
        .run(
            &program,
            File::create(&out).unwrap(),
            &dir.path().join("log"),
            |_| (),
        )
        .map_err(|error| format!("{error:#}"))?;
    Ok(fs::read_to_string(out).unwrap())
}

/// True after a run; false when the machine does not allow one.
fn check(tools: &Path) -> bool {
    let secret = tempfile::NamedTempFile::new().unwrap();
    let variables = [format!("SECRET={}", secret.path().display())];
    let said = match inside(tools, Shift::default(), &variables, PROBE) {
        Err(error) if error.contains("unshare") && error.contains("Operation not permitted") => {
            skip(&format!("this machine forbids user namespaces: {error}"));
            return false;
        }
        said => said.unwrap(),
    };
    let facts: BTreeMap<&str, &str> = said.lines().filter_map(|l| l.split_once('=')).collect();
    let devices = "fd full null ptmx pts random shm stderr stdin stdout tty urandom zero ";
    // chown, dac_override, fowner, fsetid, kill, setgid, setuid, sys_chroot, setfcap
    // (linux/capability.h).
    let powers = [0, 1, 3, 4, 5, 6, 7, 18, 31]
        .iter()
        .fold(0u64, |all, bit| all | 1 << bit);
    let powers = format!("{powers:016x}");
    for (name, value) in [
        ("dev", devices),
        ("target", devices),
        ("blocks", ""),
        ("powers", &powers),
        ("bound", &powers),
        ("links", "lo "),
        ("alone", "yes"),
        ("made", "no"),
        ("opened", "no"),
        ("mounted", "no"),
        ("remounted", "no"),
        ("wrote_tools", "no"),
        ("wrote_pool", "no"),
        ("wrote_kernel", "no"),
        ("wrote_work", "yes"),
        ("null", "yes"),
        ("full", "no"),
        ("random", "yes"),
        ("terminal", "yes"),
        ("escaped", "no"),
    ] {
        assert_eq!(facts.get(name), Some(&value), "{name} in:\n{said}");
    }
    true
}

#[test]
fn no_device_file_or_power_of_the_host_is_inside() {
    if let Some(tools) = std::env::var_os(TOOLS) {
        check(&PathBuf::from(tools));
        return;
    }
    let Some(tools) = tools() else { return };
    check(tools.root());
    if !support::root() || tool("newuidmap").is_none() || tool("useradd").is_none() {
        return;
    }
    // Once more as an ordinary user, with tools of his own.
    let dir = tempfile::tempdir().unwrap();
    fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o755)).unwrap();
    let (copy, home, program) = (
        dir.path().join("tools"),
        dir.path().join("home"),
        dir.path().join("test"),
    );
    copy_tree(tools.root(), &copy);
    fs::create_dir(&home).unwrap();
    fs::copy(std::env::current_exe().unwrap(), &program).unwrap();
    let user = User::add(&home);
    give(&copy, user.id);
    give(&home, user.id);
    let id = user.id.to_string();
    let mut command = Command::new("setpriv");
    command
        .args(["--reuid", &id, "--regid", &id, "--clear-groups"])
        .arg(&program)
        .args(["--exact", TEST])
        .env(TOOLS, &copy)
        .env("HOME", &home)
        .env("TMPDIR", &home)
        .env("USER", &user.name)
        .current_dir(&home);
    let ran = run(&mut command).ok();
    assert!(ran.out.contains("1 passed"), "{}", ran.out);
}

fn now() -> u64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap()
        .as_secs()
}

/// Seconds between a clock that was read in between and the one of this test.
fn ahead(read: &str, before: u64) -> std::ops::RangeInclusive<u64> {
    let read: u64 = read.trim().parse().unwrap();
    read.saturating_sub(now())..=read.saturating_sub(before)
}

#[test]
fn the_clock_is_ahead_for_every_kind_of_program_and_for_nothing_else() {
    const AHEAD: u64 = 35_000_000;
    let Some(tools) = tools() else { return };
    // In the namespace: a program of the tools, and one in another root, as packages' scripts are.
    let script =
        "date +%s; mkdir -p /work/root/usr && cp -a /usr/bin /usr/lib /usr/lib64 /work/root/usr &&
        ln -s usr/bin usr/lib usr/lib64 /work/root && chroot /work/root date +%s
        : > /work/made && stat -c %Y /work/made";
    let run = |clock: Shift| {
        let before = now();
        let said = inside(tools.root(), clock, &[], script).unwrap();
        let lines: Vec<_> = said.lines().map(|line| ahead(line, before)).collect();
        assert_eq!(lines.len(), 3, "{said}");
        lines
    };
    let lines = run(Shift::seconds(AHEAD));
    assert!(lines[0].contains(&AHEAD), "tools: {lines:?}");
    assert!(lines[1].contains(&AHEAD), "another root: {lines:?}");
    assert!(
        lines[2].contains(&0),
        "files are stamped by the kernel: {lines:?}"
    );
    let lines = run(Shift::default());
    assert!(lines.iter().all(|line| line.contains(&0)), "{lines:?}");
    // Outside: a program of the tools, and one of the host, as the builder itself is.
    let shift = Shift::seconds(AHEAD);
    let before = now();
    let said = tools
        .clone()
        .with_clock(shift)
        .program("usr/bin/date")
        .arg("+%s")
        .run();
    let said = String::from_utf8(said.unwrap().stdout).unwrap();
    assert!(ahead(&said, before).contains(&AHEAD), "{said}");
    let date = Path::new("/bin/date");
    if let Ok(said) = shift.load(tools.root(), date).arg("+%s").run() {
        let said = String::from_utf8(said.stdout).unwrap();
        assert!(ahead(&said, before).contains(&AHEAD), "{said}");
    } else {
        skip("the tools' C library is older than that of this machine's programs");
    }
}

#[test]
fn a_program_of_the_tools_that_fails_names_its_log() {
    let Some(built) = built() else { return };
    let lock = Lock::read(&built.checkout().join("appliances/bare.lock")).unwrap();
    let cache = Cache::open(&Cache::default_root().unwrap()).unwrap();
    let pool = Pool::open(cache.root().join("pool")).unwrap();
    let (tools, _) = unpack_tools(&cache, &pool, &lock).unwrap();
    for (program, name) in [
        ("usr/bin/mkfs.erofs", "mkfs.erofs"),
        ("usr/sbin/depmod", "depmod"),
    ] {
        let failed = tools.program(program).arg("--no-such-option").run();
        let text = failed.unwrap_err().to_string();
        let (_, rest) = text.split_once("the whole log is ").unwrap();
        let log = Path::new(rest.split(';').next().unwrap());
        assert!(log.starts_with(cache.logs()), "{text}");
        assert!(log.to_string_lossy().contains(name), "{text}");
        assert!(
            fs::read_to_string(log).unwrap().contains("no-such-option"),
            "{text}"
        );
        fs::remove_file(log).unwrap();
    }
}
