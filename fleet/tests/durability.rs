//! What was acknowledged survives: the server is killed again and again while devices report, and asked afterwards.
#![allow(clippy::unwrap_used, reason = "a failed test is a panic")]

mod common {
    pub mod program;
}

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use common::program::{Fleet, request};

const DEVICES: usize = 4;
const KILLS: usize = 5;

/// What a device was told has been noted.
struct Device {
    id: String,
    token: String,
    action: String,
    acknowledged: Vec<usize>,
}

#[test]
fn acknowledged_feedback_survives_a_killed_server() {
    let mut fleet = Fleet::start();
    let release = fleet.plain_release("1.0");
    let mut devices: Vec<Device> = (0..DEVICES)
        .map(|n| {
            let id = format!("van-{n}");
            let token = fleet.json(&["target", "add", &id])["token"]
                .as_str()
                .unwrap()
                .to_owned();
            let action =
                fleet.json(&["deploy", &release, "--target", &id])["assigned"][&id].to_string();
            Device {
                id,
                token,
                action,
                acknowledged: Vec::new(),
            }
        })
        .collect();
    let counter = AtomicUsize::new(0);
    for round in 0..KILLS {
        let url = fleet.device_url();
        let stop = Arc::new(AtomicBool::new(false));
        thread::scope(|scope| {
            for device in &mut devices {
                let (stop, url, counter) = (Arc::clone(&stop), url.clone(), &counter);
                scope.spawn(move || {
                    while !stop.load(Ordering::Relaxed) {
                        let number = counter.fetch_add(1, Ordering::Relaxed);
                        if report(&url, device, number) == Some(200) {
                            device.acknowledged.push(number);
                        }
                    }
                });
            }
            // Not the same moment every time.
            thread::sleep(Duration::from_millis(150 + 37 * round as u64));
            fleet.kill_and_restart();
            stop.store(true, Ordering::Relaxed);
        });
    }
    let total: usize = devices.iter().map(|device| device.acknowledged.len()).sum();
    assert!(
        total >= KILLS,
        "only {total} reports were acknowledged: nothing was tested"
    );
    for device in &devices {
        let shown = fleet.json(&["actions", "show", &device.action]);
        let kept: Vec<&str> = shown["history"]
            .as_array()
            .unwrap()
            .iter()
            .filter_map(|entry| entry["messages"][0].as_str())
            .collect();
        for number in &device.acknowledged {
            let text = format!("report {number}");
            assert!(
                kept.contains(&text.as_str()),
                "{}: {text} was acknowledged and is gone",
                device.id
            );
        }
        // And the action goes on.
        assert_eq!(
            fleet
                .device(
                    &device.id,
                    &device.token,
                    "GET",
                    &format!("/deploymentBase/{}", device.action),
                    ""
                )
                .0,
            200
        );
    }
}

fn report(url: &str, device: &Device, number: usize) -> Option<u16> {
    let body = format!(
        r#"{{"status":{{"execution":"proceeding","result":{{"finished":"none"}},"details":["report {number}"]}}}}"#
    );
    let path = format!("/deploymentBase/{}/feedback", device.action);
    let answer = request(
        url,
        &device.id,
        &format!("TargetToken {}", device.token),
        "POST",
        &path,
        &body,
    );
    answer.ok().map(|(status, _)| status)
}
