//! The service manager's watchdog hears of the service only while the loop around the engine turns.
//!
//! The service speaks to the manager that its environment names, so it runs in a process of its own: this program
//! again.

use std::os::unix::net::UnixDatagram;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use roamcore_agent::slot::Slot;
use roamcore_engine::Entry;

use crate::world::World;

/// The test below that is the service.
const CHILD: &str = "notify::service_that_hangs_when_told";
/// Names the file that tells it.
const HANG: &str = "ROAMCORE_TEST_HANG";
/// What the child says once its loop cannot go on.
const HUNG: &[u8] = b"X_HUNG=1";
/// A ping every 200 ms.
const WATCHDOG_USEC: &str = "600000";
/// Fifteen pings of a loop that turns.
const SILENCE: Duration = Duration::from_secs(3);
/// A service that starts on a busy machine.
const START: Duration = Duration::from_secs(60);

struct Killed(Child);

impl Drop for Killed {
    fn drop(&mut self) {
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

#[test]
fn a_loop_that_hangs_is_not_alive() {
    let dir = tempfile::tempdir().unwrap();
    let (path, hang) = (dir.path().join("notify"), dir.path().join("hang"));
    let socket = UnixDatagram::bind(&path).unwrap();
    let child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", CHILD, "--ignored"])
        .env("NOTIFY_SOCKET", &path)
        .env("WATCHDOG_USEC", WATCHDOG_USEC)
        .env_remove("WATCHDOG_PID")
        .env(HANG, &hang)
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    let _killed = Killed(child);
    let hear = |within: Duration| {
        socket.set_read_timeout(Some(within)).unwrap();
        let mut bytes = [0; 4096];
        let count = socket.recv(&mut bytes).ok()?;
        Some(bytes[..count].to_vec())
    };
    let says = |message: &[u8], word: &[u8]| {
        let mut lines = message.split(|byte| *byte == b'\n');
        lines.any(|line| line == word)
    };
    for word in [&b"READY=1"[..], b"WATCHDOG=1", b"WATCHDOG=1", b"WATCHDOG=1"] {
        while !says(&hear(START).expect("the service is silent"), word) {}
    }
    std::fs::write(&hang, "").unwrap();
    while !says(&hear(START).expect("the service is silent"), HUNG) {}
    let end = Instant::now() + SILENCE;
    let mut pings = 0;
    while let Some(left) = end.checked_duration_since(Instant::now())
        && !left.is_zero()
    {
        pings += u32::from(hear(left).is_some_and(|message| says(&message, b"WATCHDOG=1")));
    }
    // The turn that was under way may have ended.
    assert!(pings <= 1, "{pings} pings of a loop that hangs");
}

/// A trial on a disk that does not answer any more: the loop waits for it for ever.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "the service of the test above"]
async fn service_that_hangs_when_told() {
    let Some(hang) = std::env::var_os(HANG).map(PathBuf::from) else {
        return;
    };
    let mut world = World::new();
    world.configure("schema = 1\n[policy]\ntrial-deadline-ms = 9000000000\n");
    world.machine.disk(|disk| {
        disk.facts.on_trial = true;
        disk.facts.running.entry = Entry::Counted { left: 2, done: 1 };
        disk.facts.idle = disk.facts.running.clone();
        disk.facts.idle.slot = Slot::B;
        disk.facts.idle.entry = Entry::Committed;
    });
    world.start().await;
    while !hang.exists() {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let machine = world.machine.clone();
    let held = std::thread::spawn(move || {
        machine.disk(|_| {
            let manager = UnixDatagram::unbound().unwrap();
            let path = std::env::var_os("NOTIFY_SOCKET").unwrap();
            manager.send_to(HUNG, path).unwrap();
            // Until the test kills this process.
            std::thread::sleep(START * 2);
        });
    });
    held.join().unwrap();
}
