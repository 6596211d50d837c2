//! The command line against the service on a device without a server.

use std::time::Duration;

use roamcore_daemon::places::Places;
use serde_json::json;

use crate::world::World;

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn without_a_service() {
    let world = World::new();
    for line in ["status", "check --json", "install /x.roam", "slots", "log"] {
        let output = world.roamcore(line).await;
        assert_eq!(output.status.code(), Some(3), "{line}");
        let text = String::from_utf8(output.stderr).unwrap();
        assert!(
            text.contains("<3>the update service does not run (no socket at "),
            "{text}"
        );
        assert!(output.stdout.is_empty());
    }
    let output = world.roamcore("update").await;
    assert_eq!(output.status.code(), Some(2));
    assert_eq!(world.says("install --help").await.0, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn every_command_and_its_exit_code() {
    let mut world = World::new();
    world.start().await;
    let (code, text) = world.says("status").await;
    assert_eq!(code, 0);
    for part in [
        "runs      root-a  running  bare 1.0.0 (sequence 10, epoch 1); committed; root hash ",
        "other     root-b  idle     nothing known; no boot entry; root hash invalid",
        "phase     idle",
        "server    none",
    ] {
        assert!(text.contains(part), "{part}: {text}");
    }
    let (code, value) = world.json("status").await;
    assert_eq!(
        (code, &value["v"], &value["answer"]["is"]),
        (0, &json!(1), &json!("status"))
    );
    assert_eq!(value["answer"]["engine"]["phase"], "idle");
    let (code, text) = world.says("slots").await;
    assert_eq!((code, text.lines().count()), (0, 2));
    assert_eq!(
        world.says("log").await,
        (0, "nothing has happened yet\n".to_owned())
    );
    assert_eq!(world.json("log").await.1["answer"]["lines"], json!([]));

    for (line, why) in [
        ("check", "set [server] in /etc/roamcore/agent.toml"),
        ("confirm", "nothing waits for a confirmation"),
        ("deny", "nothing waits for a confirmation"),
        ("cancel", "nothing to cancel"),
        ("rollback", "root-b holds nothing that could be booted"),
        ("install /nonexistent.roam", "cannot open /nonexistent.roam"),
        ("install /dev/null", "it is not a regular file"),
        ("install /", "it is not a regular file"),
    ] {
        let (code, text) = world.says(line).await;
        assert_eq!(code, 4, "{line}: {text}");
        assert!(
            text.starts_with("refused: ") && text.contains(why),
            "{line}: {text}"
        );
        let (code, value) = world.json(line).await;
        assert_eq!(
            (code, &value["answer"]["is"]),
            (4, &json!("refused")),
            "{line}"
        );
    }
    let (code, text) = world.says("auto-confirm on").await;
    assert!(
        code == 4 && text.contains("there is no server to ask"),
        "{code} {text}"
    );
    world.stop().await;
    assert_eq!(world.says("status").await.0, 3);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn damaged_settings_leave_a_service_that_says_so() {
    let mut world = World::new();
    world.configure("schema = 1\n[server]\nurl = \"http://h\"\nauth.target-token = \"hunter2\"\n");
    world.start().await;
    let problem = world.status().await.problem.unwrap();
    assert!(
        problem.contains("agent.toml:4:") && !problem.contains("hunter2"),
        "{problem}"
    );
    let (code, text) = world.says("check").await;
    assert_eq!(code, 4);
    assert!(
        text.contains("there is no server to ask: ") && text.contains("agent.toml:4:"),
        "{text}"
    );
    world.stop().await;

    // A token that cannot be read is the same.
    world.configure(
        "schema = 1\n[server]\nurl = \"https://h\"\ncontroller-id = \"x\"\nauth.target-token.credential = \"none\"\n",
    );
    world.start().await;
    let status = world.status().await;
    assert!(
        status
            .problem
            .unwrap()
            .contains("credential \"none\" cannot be read")
    );
    assert_eq!(status.server, None);
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn there_is_one_service() {
    let mut world = World::new();
    world.start().await;
    let device = std::sync::Arc::new(std::sync::Mutex::new(crate::device::Hands(
        world.machine.clone(),
    )));
    let second =
        roamcore_daemon::daemon::serve(&world.places, device, std::future::pending()).await;
    assert!(
        second
            .unwrap_err()
            .to_string()
            .contains("another update service holds")
    );
    assert_eq!(world.says("status").await.0, 0);
    world.kill().await;
    // What a dead one left is in nobody's way.
    assert!(world.places.socket().exists());
    world.start().await;
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_damaged_record_is_rebuilt_and_not_forgotten_silently() {
    let mut world = World::new();
    world.start().await;
    world.stop().await;
    let mut damaged = 0;
    for entry in std::fs::read_dir(world.places.state()).unwrap() {
        let path = entry.unwrap().path();
        if path.is_file() {
            std::fs::write(path, b"garbage").unwrap();
            damaged += 1;
        }
    }
    assert!(damaged > 0);
    world.start().await;
    assert_eq!(world.status().await.engine.phase, "idle");
    world.stop().await;
}

/// A pipe at the place of a file must not hold the service.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_pipe_is_not_waited_for() {
    let mut world = World::new();
    world.start().await;
    let pipe = world.dir.path().join("x.roam");
    let made = std::process::Command::new("mkfifo")
        .arg(&pipe)
        .status()
        .unwrap();
    assert!(made.success());
    let line = format!("install {}", pipe.display());
    let said = tokio::time::timeout(Duration::from_secs(5), world.says(&line))
        .await
        .unwrap();
    assert_eq!(said.0, 4);
    assert!(said.1.contains("it is not a regular file"), "{}", said.1);
    world.stop().await;
}

#[test]
fn the_program_starts_without_a_machine() {
    let dir = tempfile::tempdir().unwrap();
    let places = Places::below(dir.path());
    let output = std::process::Command::new(env!("CARGO_BIN_EXE_roamcore"))
        .args(["--root", dir.path().to_str().unwrap(), "health"])
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(
        String::from_utf8(output.stdout)
            .unwrap()
            .contains("BAD   rules")
    );
    assert!(!places.socket().exists());
}
