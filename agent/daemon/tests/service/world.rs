//! A machine in a directory, with the service in this process and the program beside it.

use std::path::Path;
use std::process::Output;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use roamcore_daemon::call;
use roamcore_daemon::daemon;
use roamcore_daemon::places::Places;
use roamcore_daemon::protocol::{Answer, Overview, Request};
use serde_json::Value;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use crate::device::{Hands, Machine};

pub struct World {
    pub dir: tempfile::TempDir,
    pub places: Places,
    pub machine: Machine,
    running: Option<(oneshot::Sender<()>, JoinHandle<anyhow::Result<()>>)>,
}

const OS_RELEASE: &str =
    "IMAGE_ID=bare\nIMAGE_VERSION=1.0.0\nROAMCORE_BOARD=vp2430\nROAMCORE_CHANNEL=development\n";

impl World {
    pub fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let places = Places::below(dir.path());
        for path in [
            places.etc.join("roamcore"),
            places.etc.join("ssl/certs"),
            places.state(),
            places.roots.usr.join("lib"),
            places.roots.run.clone(),
        ] {
            std::fs::create_dir_all(path).unwrap();
        }
        std::fs::write(places.os_release(), OS_RELEASE).unwrap();
        let ca = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../ota/ddi/tests/data/ca.pem");
        std::fs::copy(ca, places.system_roots()).unwrap();
        Self {
            dir,
            places,
            machine: Machine::new(),
            running: None,
        }
    }

    pub fn configure(&self, text: &str) {
        std::fs::write(self.places.config(), text).unwrap();
    }

    /// Configures a server that is polled every second. The deadline of a trial counts from the start of the
    /// machine that runs the test.
    pub fn connect(&self, url: &str, policy: &str) {
        let token = self.dir.path().join("token");
        std::fs::write(&token, "s3cr3t\n").unwrap();
        self.configure(&format!(
            "schema = 1\n[server]\nurl = \"{url}\"\ncontroller-id = \"van-7\"\nplaintext = true\npoll-seconds = 1\n\
             auth.target-token.file = \"{}\"\n[policy]\ntrial-deadline-ms = 9000000000\n{policy}",
            token.display()
        ));
    }

    /// Starts the service and waits until it answers.
    pub async fn start(&mut self) {
        let (stop, stopped) = oneshot::channel::<()>();
        let device = Arc::new(Mutex::new(Hands(self.machine.clone())));
        let places = self.places.clone();
        let task = tokio::spawn(async move {
            daemon::serve(&places, device, async {
                let _ = stopped.await;
            })
            .await
        });
        self.running = Some((stop, task));
        self.until("the service answers", || {
            matches!(
                call::call(&self.places.socket(), &Request::Ping),
                Ok(Answer::Pong { .. })
            )
        })
        .await;
    }

    /// Ends the service as systemd would.
    pub async fn stop(&mut self) {
        let (stop, task) = self.running.take().unwrap();
        stop.send(()).unwrap();
        tokio::time::timeout(Duration::from_secs(15), task)
            .await
            .unwrap()
            .unwrap()
            .unwrap();
    }

    /// Ends the service without a word.
    pub async fn kill(&mut self) {
        // The sender has to live on: its end would be a request to end.
        let (_stop, task) = self.running.take().unwrap();
        task.abort();
        drop(task.await);
        // Work runs on a thread that ends when it finds nobody to tell.
        tokio::time::sleep(Duration::from_millis(300)).await;
    }

    /// Ends the service, boots what was asked for, and starts the service there.
    pub async fn reboot(&mut self) {
        self.until("a reboot is asked for", || {
            self.machine.disk(|disk| disk.reboot.is_some())
        })
        .await;
        self.stop().await;
        self.machine.boot();
        self.start().await;
    }

    pub async fn ask(&self, request: Request) -> Answer {
        let socket = self.places.socket();
        tokio::task::spawn_blocking(move || call::call(&socket, &request).unwrap())
            .await
            .unwrap()
    }

    pub async fn status(&self) -> Overview {
        match self.ask(Request::Status).await {
            Answer::Status(overview) => *overview,
            other => panic!("{other:?}"),
        }
    }

    pub async fn phase(&self, name: &str) {
        let began = Instant::now();
        loop {
            let status = self.status().await;
            if status.engine.phase == name {
                return;
            }
            assert!(
                began.elapsed() < Duration::from_secs(30),
                "not {name}: {status:?}"
            );
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    pub async fn until(&self, what: &str, mut holds: impl FnMut() -> bool) {
        let began = Instant::now();
        // Elsewhere, because looking may block and the service runs on the same threads.
        while !tokio::task::block_in_place(&mut holds) {
            assert!(began.elapsed() < Duration::from_secs(30), "{what}");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// Runs the program.
    pub async fn roamcore(&self, line: &str) -> Output {
        let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_roamcore"));
        command
            .arg("--root")
            .arg(self.dir.path())
            .args(line.split_whitespace());
        tokio::task::spawn_blocking(move || command.output().unwrap())
            .await
            .unwrap()
    }

    /// Runs the program; exit code and stdout.
    pub async fn says(&self, line: &str) -> (i32, String) {
        let output = self.roamcore(line).await;
        (
            output.status.code().unwrap(),
            String::from_utf8(output.stdout).unwrap(),
        )
    }

    /// As [`Self::says`], for `--json`.
    pub async fn json(&self, line: &str) -> (i32, Value) {
        let (code, text) = self.says(&format!("{line} --json")).await;
        (code, serde_json::from_str(&text).unwrap())
    }
}
