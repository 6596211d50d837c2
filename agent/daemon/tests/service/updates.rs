//! Updates from a server, from the first poll to the last word.

use std::time::{Duration, Instant};

use roamcore_daemon::protocol::{Answer, Request};
use roamcore_engine::{Destination, Entry};
use serde_json::Value;

use crate::device::manifest;
use crate::server::{Server, Shown};
use crate::world::World;

const ROOT: usize = 300_000;

fn root() -> Vec<u8> {
    (0..ROOT).map(|n| (n % 251) as u8).collect()
}

/// A server with version `version` for action 5, and a device that knows it.
async fn world(version: &'static str, sequence: u64, policy: &str) -> (World, Server) {
    let server = Server::start();
    server.script(|script| {
        let update = manifest(version, sequence, ROOT);
        let files = [
            ("update.json", update),
            ("update.json.sig", vec![b'x']),
            ("root.000", root()),
        ];
        script.files = files
            .into_iter()
            .map(|(name, bytes)| (name.to_owned(), bytes))
            .collect();
    });
    let mut world = World::new();
    world.connect(&server.url, policy);
    world.start().await;
    (world, server)
}

fn closed(server: &Server) -> Vec<Value> {
    let all = server.sent("POST /deploymentBase/5/feedback");
    all.into_iter()
        .filter(|feedback| feedback["status"]["execution"] == "closed")
        .collect()
}

async fn gate(world: &World, failure: Option<&str>) {
    let failure = failure.map(str::to_owned);
    assert_eq!(world.ask(Request::Gate { failure }).await, Answer::Accepted);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn from_a_deployment_to_a_committed_slot() {
    let (mut world, server) = world("1.1.0", 11, "").await;
    server.script(|script| {
        script.shown = Shown::Deployment(5);
        script.wants_attributes = true;
    });
    world
        .until("it is armed", || {
            world
                .machine
                .disk(|disk| disk.reboot == Some(Destination::Trial))
        })
        .await;
    assert_eq!(world.machine.disk(|disk| disk.written.clone()), root());
    assert!(closed(&server).is_empty(), "nothing is finished yet");
    let told = server.sent("PUT /configData");
    assert_eq!(told[0]["data"]["version"], "1.0.0");
    assert_eq!(told[0]["data"]["sequence"], "10");
    assert_eq!(told[0]["data"]["slot"], "root-a");

    world.reboot().await;
    world.phase("trial").await;
    assert!(
        world
            .says("status")
            .await
            .1
            .contains("(this boot is a trial)")
    );
    gate(&world, None).await;
    assert!(closed(&server).is_empty(), "passed is not committed");
    world.machine.commit();
    world
        .until("the server is told", || !closed(&server).is_empty())
        .await;
    let end = &closed(&server)[0]["status"];
    assert_eq!(end["result"]["finished"], "success");
    assert!(
        end["details"][0]
            .as_str()
            .unwrap()
            .contains("committed bare 1.1.0"),
        "{end}"
    );
    world.phase("idle").await;
    // What it is now differs from what was told.
    world
        .until("the new slot is told", || {
            server
                .sent("PUT /configData")
                .iter()
                .any(|told| told["data"]["slot"] == "root-b")
        })
        .await;
    let (code, log) = world.says("log").await;
    assert_eq!(code, 0);
    assert!(log.contains("committed"), "{log}");
    assert_eq!(closed(&server).len(), 1);
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_refusal_is_told_at_once_with_its_class() {
    let (mut world, server) = world("0.9.0", 9, "").await;
    server.script(|script| script.shown = Shown::Deployment(5));
    world
        .until("the server is told", || !closed(&server).is_empty())
        .await;
    let end = &closed(&server)[0]["status"];
    assert_eq!(
        (&end["result"]["finished"], &end["code"]),
        (&"failure".into(), &33.into())
    );
    assert!(
        end.to_string().contains("sequence 9 is below the floor 10"),
        "{end}"
    );
    assert!(
        server.sent("GET /files/root.000").is_empty(),
        "no byte of the root was fetched"
    );
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_failed_gate_leads_back_and_says_why() {
    let (mut world, server) = world("1.1.0", 11, "").await;
    server.script(|script| script.shown = Shown::Deployment(5));
    world.reboot().await;
    world.phase("trial").await;
    gate(&world, Some("failed units: x.service")).await;
    world
        .until("it wants back", || {
            world
                .machine
                .disk(|disk| disk.reboot == Some(Destination::Committed))
        })
        .await;
    assert!(closed(&server).is_empty());
    world.reboot().await;
    world
        .until("the server is told", || !closed(&server).is_empty())
        .await;
    let end = closed(&server)[0].to_string();
    assert!(
        end.contains("failure") && end.contains("failed units: x.service"),
        "{end}"
    );
    assert!(
        end.contains("x.service: Failed"),
        "the journal is missing: {end}"
    );
    assert_eq!(
        world.machine.disk(|disk| disk.facts.idle.entry),
        Entry::Absent
    );
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_cancel_ends_a_download_that_hangs() {
    let (mut world, server) = world("1.1.0", 11, "").await;
    server.script(|script| {
        script.stall = Some(1000);
        script.shown = Shown::Deployment(5);
    });
    world
        .until("bytes arrived", || {
            world.machine.disk(|disk| disk.written.len() == 1000)
        })
        .await;
    server.script(|script| script.shown = Shown::Cancel(5));
    world
        .until("the cancel is accepted", || {
            !server.sent("POST /cancelAction/5/feedback").is_empty()
        })
        .await;
    let status = server.sent("POST /cancelAction/5/feedback")[0]["status"].clone();
    assert_eq!(
        (&status["execution"], &status["result"]["finished"]),
        (&"closed".into(), &"success".into())
    );
    world.phase("idle").await;
    assert!(closed(&server).is_empty());
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn cut_connections_cost_nothing_twice() {
    let (mut world, server) = world("1.1.0", 11, "").await;
    server.script(|script| {
        script.cuts = vec![50_000, 70_000];
        script.shown = Shown::Deployment(5);
    });
    world
        .until("it is armed", || {
            world.machine.disk(|disk| disk.reboot.is_some())
        })
        .await;
    assert_eq!(world.machine.disk(|disk| disk.written.clone()), root());
    assert_eq!(server.sent("GET /files/root.000").len(), 3);
    assert_eq!(
        world.status().await.engine.usage.day_bytes as usize,
        ROOT + manifest("1.1.0", 11, ROOT).len()
    );
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_killed_service_goes_on() {
    let (mut world, server) = world("1.1.0", 11, "").await;
    server.script(|script| {
        script.stall = Some(1000);
        script.shown = Shown::Deployment(5);
    });
    world
        .until("bytes arrived", || {
            world.machine.disk(|disk| disk.written.len() == 1000)
        })
        .await;
    world.kill().await;
    server.script(|script| script.stall = None);
    world.start().await;
    assert_eq!(world.status().await.engine.phase, "writing");
    world
        .until("it is armed", || {
            world.machine.disk(|disk| disk.reboot.is_some())
        })
        .await;
    assert_eq!(world.machine.disk(|disk| disk.written.clone()), root());
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_stop_ends_work_and_keeps_its_place() {
    let (mut world, server) = world("1.1.0", 11, "").await;
    server.script(|script| {
        script.stall = Some(1000);
        script.shown = Shown::Deployment(5);
    });
    world
        .until("bytes arrived", || {
            world.machine.disk(|disk| disk.written.len() == 1000)
        })
        .await;
    let began = std::time::Instant::now();
    world.stop().await;
    assert!(
        began.elapsed() < Duration::from_secs(5),
        "{:?}",
        began.elapsed()
    );
    world.start().await;
    assert_eq!(world.status().await.engine.phase, "writing");
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_server_in_trouble_is_named_and_left_alone() {
    let (mut world, server) = world("1.1.0", 11, "").await;
    world
        .until("it was polled", || !server.sent("GET ").is_empty())
        .await;
    for (broken, why) in [
        (503, "the server is in trouble"),
        (401, "the token or certificate is not accepted"),
    ] {
        server.script(|script| script.broken = Some(broken));
        assert_eq!(world.says("check").await.0, 0);
        let problem = async || {
            world
                .status()
                .await
                .server
                .unwrap()
                .problem
                .unwrap_or_default()
        };
        let began = std::time::Instant::now();
        while !problem().await.contains(why) {
            assert!(
                began.elapsed() < Duration::from_secs(20),
                "{}",
                problem().await
            );
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        assert!(!problem().await.contains("s3cr3t"));
        // Local commands go on.
        assert_eq!(world.says("slots").await.0, 0);
    }
    server.script(|script| {
        script.broken = None;
        script.shown = Shown::Deployment(5);
    });
    world.says("check").await;
    world
        .until("it is armed", || {
            world.machine.disk(|disk| disk.reboot.is_some())
        })
        .await;
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_server_that_asks_gets_the_persons_word() {
    let (mut world, server) = world("1.1.0", 11, "").await;
    server.script(|script| script.shown = Shown::Confirmation(5));
    world.phase("awaiting-confirmation").await;
    assert!(world.status().await.engine.waiting_for.is_some());
    assert_eq!(world.says("deny").await.0, 0);
    world
        .until("the denial is told", || {
            !server.sent("POST /confirmationBase/5/feedback").is_empty()
        })
        .await;
    assert_eq!(
        server.sent("POST /confirmationBase/5/feedback")[0]["confirmation"],
        "denied"
    );
    assert_eq!(world.says("confirm").await.0, 0);
    world
        .until("it is armed", || {
            world.machine.disk(|disk| disk.reboot.is_some())
        })
        .await;
    assert_eq!(
        server.sent("POST /confirmationBase/5/feedback")[1]["confirmation"],
        "confirmed"
    );
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_soft_update_waits_for_a_person_before_the_reboot() {
    let (mut world, server) = world("1.1.0", 11, "").await;
    server.script(|script| {
        script.mode = "attempt";
        script.shown = Shown::Deployment(5);
    });
    world.phase("verified").await;
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert!(world.machine.disk(|disk| disk.reboot.is_none()));
    assert_eq!(world.says("confirm").await.0, 0);
    world
        .until("it is armed", || {
            world.machine.disk(|disk| disk.reboot.is_some())
        })
        .await;
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn the_data_budget_of_the_settings_holds() {
    let policy = "[policy.budget]\nper-day = 100000\nwhen-short = \"refuse\"\n";
    let (mut world, server) = world("1.1.0", 11, policy).await;
    server.script(|script| script.shown = Shown::Deployment(5));
    world
        .until("the server is told", || !closed(&server).is_empty())
        .await;
    let end = closed(&server)[0].to_string();
    assert!(end.contains("the data budget has"), "{end}");
    assert!(server.sent("GET /files/root.000").is_empty());
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn the_rate_of_the_settings_holds() {
    let (mut world, server) = world("1.1.0", 11, "bytes-per-second = 100000\n").await;
    server.script(|script| script.shown = Shown::Deployment(5));
    world
        .until("the root is asked for", || {
            !server.sent("GET /files/root.000").is_empty()
        })
        .await;
    let begun = Instant::now();
    world
        .until("it is armed", || {
            world.machine.disk(|disk| disk.reboot.is_some())
        })
        .await;
    // 300 kB, of which a second's worth may come at once.
    let took = begun.elapsed();
    assert!(took > Duration::from_millis(1800), "{took:?}");
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn what_became_of_automatic_confirmation_is_in_the_log() {
    let (mut world, server) = world("1.1.0", 11, "").await;
    for (confirms, line, call, said) in [
        (
            false,
            "on",
            "activateAutoConfirm",
            "does not do automatic confirmation",
        ),
        (
            true,
            "on",
            "activateAutoConfirm",
            "the server confirms by itself",
        ),
        (
            true,
            "off",
            "deactivateAutoConfirm",
            "the server asks for confirmations again",
        ),
    ] {
        server.script(|script| (script.confirms, script.log) = (confirms, Vec::new()));
        let asked = world.says(&format!("auto-confirm {line}")).await;
        assert_eq!(asked, (0, "accepted\n".to_owned()));
        world
            .until(call, || {
                !server
                    .sent(&format!("POST /confirmationBase/{call}"))
                    .is_empty()
            })
            .await;
        for tries in 0.. {
            let (_, log) = world.says("log").await;
            if log.contains(said) {
                break;
            }
            assert!(tries < 100, "{log}");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }
    world.stop().await;
}
