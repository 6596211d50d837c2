//! From nothing to a finished update, and what an operator does on the way.

use std::fs;

use serde_json::json;

use crate::program::Fleet;

#[test]
fn from_nothing_to_a_finished_update() {
    let fleet = Fleet::start();
    let added = fleet.json(&["target", "add", "van-7", "--name", "The red van"]);
    let token = added["token"].as_str().unwrap().to_owned();
    assert_eq!((added["id"].as_str(), token.len()), (Some("van-7"), 64));

    let files = tempfile::tempdir().unwrap();
    fs::write(files.path().join("a.bin"), "hello").unwrap();
    let path = files.path().to_str().unwrap();
    let release = fleet.json(&[
        "release",
        "add",
        path,
        "--name",
        "demo",
        "--release-version",
        "1.0",
    ]);
    assert_eq!(
        release["modules"][0]["artifacts"][0]["sha256"],
        "2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824"
    );
    let id = release["id"].to_string();

    let deployed = fleet.json(&["deploy", &id, "--target", "van-7", "--type", "soft"]);
    let action = deployed["assigned"]["van-7"].to_string();
    assert_eq!(
        fleet.json(&["deploy", &id, "--target", "van-7"])["already"],
        json!(["van-7"])
    );

    let poll = fleet.device("van-7", &token, "GET", "", "");
    assert!(
        poll.1.contains(&format!("/deploymentBase/{action}?c=")),
        "{poll:?}"
    );
    let done = r#"{"status":{"execution":"closed","result":{"finished":"success"},"details":["all good"]}}"#;
    assert_eq!(
        fleet
            .device(
                "van-7",
                &token,
                "POST",
                &format!("/deploymentBase/{action}/feedback"),
                done
            )
            .0,
        200
    );

    let shown = fleet.json(&["actions", "show", &action]);
    assert_eq!(
        (&shown["status"], &shown["active"]),
        (&json!("finished"), &json!(false))
    );
    let text = fleet.text(&["actions", "show", &action]);
    assert!(
        text.contains("demo 1.0, soft, finished, over") && text.contains("all good"),
        "{text}"
    );
    let text = fleet.text(&["target", "show", "van-7"]);
    assert!(
        text.contains("state         in_sync") && text.contains("installed     demo 1.0"),
        "{text}"
    );
    assert_eq!(
        fleet.text(&["actions", "list", "--open"]).lines().count(),
        1
    );
    assert!(fleet.text(&["release", "list"]).contains("deployed"));
}

#[test]
fn actions_are_confirmed_forced_and_cancelled() {
    let fleet = Fleet::start();
    let token = fleet.json(&["target", "add", "van-7"])["token"]
        .as_str()
        .unwrap()
        .to_owned();
    let release = fleet.plain_release("1.0");
    let deploy = |version: &str, more: &[&str]| {
        let release = fleet.plain_release(version);
        let arguments: Vec<&str> =
            [&["deploy", release.as_str(), "--target", "van-7"], more].concat();
        fleet.json(&arguments)["assigned"]["van-7"].to_string()
    };
    let action = fleet.json(&[
        "deploy",
        &release,
        "--target",
        "van-7",
        "--confirm",
        "--type",
        "soft",
    ])["assigned"]["van-7"]
        .to_string();
    assert_eq!(
        fleet.json(&["actions", "show", &action])["status"],
        "wait_for_confirmation"
    );
    assert_eq!(
        fleet.json(&["actions", "confirm", &action, "--deny"])["status"],
        "wait_for_confirmation"
    );
    assert_eq!(
        fleet.json(&["actions", "confirm", &action, "--text", "agreed"])["status"],
        "running"
    );
    assert_eq!(
        fleet.json(&["actions", "force", &action])["kind"],
        json!({"type": "forced"})
    );
    assert_eq!(
        fleet.json(&["actions", "cancel", &action])["status"],
        "canceling"
    );
    let again = fleet.run(&["actions", "cancel", &action]);
    assert_eq!(again.code, 3);
    assert_eq!(
        again.stderr,
        format!(
            "roamcore-fleet: action {action} is canceling and cannot be cancelled: it is being cancelled already\n"
        )
    );
    assert_eq!(
        fleet.json(&["actions", "force-quit", &action])["status"],
        "canceled"
    );

    let action = deploy(
        "2.0",
        &[
            "--window",
            "0 30 2 ? * *",
            "--window-duration",
            "01:00:00",
            "--window-timezone",
            "-05:00",
        ],
    );
    assert_eq!(
        fleet.json(&["actions", "show", &action])["window"]["timezone"],
        "-05:00"
    );
    let action = deploy(
        "3.0",
        &[
            "--type",
            "timeforced",
            "--force-at",
            "2099-01-01T00:00:00Z",
            "--weight",
            "7",
        ],
    );
    let shown = fleet.json(&["actions", "show", &action]);
    assert_eq!(
        (&shown["kind"]["force_at"], &shown["weight"]),
        (&json!(4_070_908_800_000_i64), &json!(7))
    );
    assert_eq!(
        fleet.json(&[
            "deploy",
            &fleet.plain_release("4.0"),
            "--target",
            "van-7",
            "--type",
            "downloadonly"
        ])["unknown"],
        json!([])
    );

    let fresh = fleet.json(&["target", "token", "van-7"])["token"]
        .as_str()
        .unwrap()
        .to_owned();
    assert_eq!(fleet.device("van-7", &token, "GET", "", "").0, 401);
    assert_eq!(fleet.device("van-7", &fresh, "GET", "", "").0, 200);
}
