//! The packages' tree: what the locked packages install, as one tar archive.
//!
//! Owns: running mmdebstrap from the tools tree over exactly the locked packages. Never does:
//! resolve, download, or let a package choose a user number.
//! Invariant: the result depends on the lock's image set, the tools set, the epoch and the fixed
//! users alone.

use std::fmt::Write as _;
use std::fs::{self, File};
use std::path::Path;

use anyhow::{Context, Result, bail};
use roamcore_spec::Overlay;

use super::tools::Tools;
use crate::cache::{Cache, Cached, Key};
use crate::events::Events;
use crate::lock::{Lock, Set};
use crate::sandbox::{Sandbox, TARGET};
use crate::tree::Tree;

/// Name of the archive inside the step.
pub const ARCHIVE: &str = "packages.tar";

const CODE: [&str; 2] = [include_str!("packages.rs"), include_str!("../sandbox.rs")];

/// Runs before any package is configured: base-passwd then keeps these numbers, and packages that
/// want such a user find it there.
const FIX_USERS: &str = r#"
set -eu
for table in passwd group; do
  cp "$1/usr/share/base-passwd/$table.master" "$1/etc/$table"
  cat "/hooks/$table" >> "$1/etc/$table"
done
"#;

/// Installs into `$1` with the arguments that follow, then writes the tree to standard output as
/// mmdebstrap would, but for `/dev`.
const INSTALL: &str = r#"
set -eu
target=$1
shift
mmdebstrap "$@" >&2
exec tar --create --directory="$target" --exclude=./dev --one-file-system --sort=name \
  --mtime="@$SOURCE_DATE_EPOCH" --clamp-mtime --numeric-owner --xattrs --format=pax \
  --pax-option=exthdr.name=%d/PaxHeaders/%f,delete=atime,delete=ctime .
"#;

/// Installs the image's packages from `debs` (a flat repository).
pub fn install<'a>(
    cache: &Cache,
    tools: &Tools,
    lock: &Lock,
    debs: &Path,
    overlays: impl Iterator<Item = &'a Overlay> + Clone,
    events: &Events,
) -> Result<Cached> {
    let (passwd, group) = fixed_users(overlays)?;
    let key = key(lock, &passwd, &group).with("clock", &tools.clock().to_le_bytes());
    cache.step(&key, |dir| {
        let hooks = cache.scratch("hooks")?;
        fs::write(hooks.path().join("passwd"), &passwd).context("writing the fixed users")?;
        fs::write(hooks.path().join("group"), &group).context("writing the fixed groups")?;
        let names: Vec<&str> = lock
            .packages(Set::Image)
            .iter()
            .map(|p| p.name.as_str())
            .collect();
        let program: Vec<String> = [
            &format!("SOURCE_DATE_EPOCH={}", lock.epoch),
            "sh",
            "-c",
            INSTALL,
            "install",
            TARGET,
            "--mode=root",
            // What dpkg says is the progress.
            "--verbose",
            "--variant=custom",
            "--format=directory",
            // Its `/dev` is mounted already.
            "--skip=check/empty",
            "--skip=cleanup/reproducible",
            &format!("--include={}", names.join(",")),
            &format!("--extract-hook={FIX_USERS}"),
            "trixie",
            TARGET,
            "deb [trusted=yes] copy:/pool ./",
        ]
        .map(str::to_owned)
        .to_vec();
        let archive = dir.join(ARCHIVE);
        let out =
            File::create(&archive).with_context(|| format!("creating {}", archive.display()))?;
        let sandbox = Sandbox {
            tools: tools.root(),
            pool: debs,
            hooks: hooks.path(),
            clock: tools.clock(),
        };
        // Every package is unpacked, then every package is set up.
        let of = 2 * names.len() as u64;
        let mut done = 0;
        let heard = |line: &str| {
            if ["Unpacking ", "Setting up "]
                .iter()
                .any(|said| line.starts_with(said))
                && done < of
            {
                done += 1;
                events.progress("install", done, of);
            }
        };
        sandbox
            .run(&program, out, &cache.log(&key), heard)
            .context("installing the locked packages")
    })
}

fn key(lock: &Lock, passwd: &str, group: &str) -> Key {
    Key::new("packages", 2, &CODE)
        .with("image", lock.set_digest(Set::Image).to_string().as_bytes())
        .with("tools", lock.set_digest(Set::Tools).to_string().as_bytes())
        .with("epoch", &lock.epoch.to_le_bytes())
        .with("passwd", passwd.as_bytes())
        .with("group", group.as_bytes())
        .guarded()
}

/// Lines for /etc/passwd and /etc/group (passwd(5), group(5)).
fn fixed_users<'a>(
    overlays: impl Iterator<Item = &'a Overlay> + Clone,
) -> Result<(String, String)> {
    let (mut passwd, mut group) = (String::new(), String::new());
    for user in overlays.clone().flat_map(|o| &o.user) {
        let (name, uid, gid) = (&user.name, user.uid, user.primary_gid());
        writeln!(
            passwd,
            "{name}:*:{uid}:{gid}:{}:{}:{}",
            user.comment, user.home, user.shell
        )?;
    }
    let users: Vec<_> = overlays.clone().flat_map(|o| &o.user).collect();
    for entry in overlays.flat_map(|o| &o.group) {
        let members: Vec<&str> = users
            .iter()
            .filter(|u| u.groups.contains(&entry.name))
            .map(|u| u.name.as_str())
            .collect();
        writeln!(
            group,
            "{}:x:{}:{}",
            entry.name,
            entry.gid,
            members.join(",")
        )?;
    }
    Ok((passwd, group))
}

/// Refuses users and groups that a package made with a number of its own choice: the next release
/// could give that number to another, and files in /var would change hands.
pub fn check_users<'a>(
    tree: &Tree,
    overlays: impl Iterator<Item = &'a Overlay> + Clone,
) -> Result<()> {
    let users: Vec<&str> = overlays
        .clone()
        .flat_map(|o| &o.user)
        .map(|u| u.name.as_str())
        .collect();
    let groups: Vec<&str> = overlays
        .flat_map(|o| &o.group)
        .map(|g| g.name.as_str())
        .collect();
    for (file, known, table) in [
        ("etc/passwd", users, "[[user]]"),
        ("etc/group", groups, "[[group]]"),
    ] {
        let text = tree.text(file)?;
        let loose: Vec<String> = text
            .lines()
            .filter_map(|line| {
                let mut fields = line.split(':');
                let (name, number) = (fields.next()?, fields.nth(1)?.parse::<u32>().ok()?);
                // Below 100 and `users` (100) are Debian's own fixed numbers (base-passwd).
                let fixed = number <= 100 || number >= 60_000 || known.contains(&name);
                (!fixed).then(|| format!("{name} ({number})"))
            })
            .collect();
        if !loose.is_empty() {
            bail!(
                "packages made {} in /{file} with numbers of their own choice; give each a fixed number under \
                 {table} in an overlay",
                loose.join(", ")
            );
        }
    }
    Ok(())
}
