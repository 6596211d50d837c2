//! Figures of lock and pool with a set of real size, from the machine's own mirror.

#![allow(clippy::unwrap_used, reason = "test helpers, too, may panic")]

use std::path::PathBuf;
use std::time::Instant;

use roamcore_image::events::Events;
use roamcore_image::lock::{Mirrors, Set};
use roamcore_image::pool::Pool;

/// Figures from a set of real size, from the machine's own mirror; slow, so on request alone:
/// `ROAMCORE_LOCK_BENCH=/dir cargo test --test lock_bench -- --ignored --nocapture`.
#[test]
#[ignore = "figures on request, see its comment"]
fn bench_with_the_real_archive() {
    let dir = PathBuf::from(std::env::var("ROAMCORE_LOCK_BENCH").expect("ROAMCORE_LOCK_BENCH"));
    let words = |text: &str| text.split_whitespace().map(str::to_owned).collect();
    let wanted = roamcore_image::lock::Request::trixie(
        words(
            "systemd systemd-sysv udev dbus openssh-server nftables lvm2 linux-image-amd64 dracut erofs-utils qemu-system-x86 python3 tpm2-tools",
        ),
        words("erofs-utils"),
    );
    let events = Events::new(false);
    let mirrors = Mirrors::find(None, None).unwrap();
    let time = |what: &str, start: Instant| println!("{what}: {:?}", start.elapsed());
    let start = Instant::now();
    let lock = roamcore_image::lock::resolve(&wanted, &mirrors, &events).unwrap();
    time("lock", start);
    let size: u64 = lock.image.iter().map(|p| p.size).sum();
    println!("{} packages, {size} bytes", lock.image.len());
    let pool = Pool::open(dir.join("pool")).unwrap();
    for what in ["ensure", "ensure again"] {
        let start = Instant::now();
        println!(
            "{:?}",
            pool.ensure(&lock, Set::Image, Some(&mirrors), None, &events)
                .unwrap()
        );
        time(what, start);
    }
    for what in ["link_set", "link_set again"] {
        let start = Instant::now();
        pool.link_set(&lock, Set::Image, &dir.join("set")).unwrap();
        time(what, start);
    }
}
