//! What is refused, with which words and exit codes, and what is kept secret.

use std::fs;

use serde_json::json;

use crate::program::{Fleet, program};

#[test]
fn refusals_say_what_and_have_their_codes() {
    let fleet = Fleet::start();
    fleet.json(&["target", "add", "van-7"]);
    let release = fleet.plain_release("1.0");
    let cases: [(&[&str], i32, &str); 12] = [
        (
            &["target", "show", "nobody"],
            3,
            "there is no target \"nobody\"; see `target list`",
        ),
        (
            &["target", "add", "van-7"],
            3,
            "target \"van-7\" exists already",
        ),
        (
            &["target", "add", "a b"],
            3,
            "controller id \"a b\" is refused: use 1 to 256 of A-Z, a-z, 0-9 and -._~:@+!$&'()*,=",
        ),
        (
            &["actions", "show", "99"],
            3,
            "there is no action 99; see `actions list`",
        ),
        (
            &["release", "show", "99"],
            3,
            "there is no release 99; see `release list`",
        ),
        (
            &["deploy", "99", "--target", "van-7"],
            3,
            "there is no release 99; see `release list`",
        ),
        (
            &["deploy", &release, "--target", "nobody"],
            3,
            "there is no target nobody",
        ),
        (
            &[
                "deploy",
                &release,
                "--target",
                "van-7",
                "--window",
                "garbage",
                "--window-duration",
                "01:00",
            ],
            3,
            "schedule \"garbage\" has 1 fields: write second minute hour day-of-month month day-of-week [year]",
        ),
        (
            &["deploy", &release, "--target", "van-7", "--weight", "1001"],
            3,
            "weight 1001 is refused: use 0 to 1000",
        ),
        (
            &["settings", "set", "poll_interval", "soon"],
            3,
            "poll_interval \"soon\" is refused: write HH:mm:ss, or from a day on PT48H",
        ),
        (
            &["settings", "set", "colour", "blue"],
            2,
            "there is no setting \"colour\"; see `roamcore-fleet settings show`",
        ),
        (
            &["release", "add", "/does/not/exist"],
            1,
            "cannot open /does/not/exist: No such file or directory (os error 2)",
        ),
    ];
    for (arguments, code, message) in cases {
        let result = fleet.run(arguments);
        assert_eq!(
            (result.code, result.stderr.trim_end()),
            (code, format!("roamcore-fleet: {message}").as_str()),
            "{arguments:?}"
        );
        assert_eq!(
            result.stdout.trim(),
            if arguments.contains(&"nobody") && arguments[0] == "deploy" {
                result.stdout.trim()
            } else {
                ""
            }
        );
    }
    assert_eq!(
        fleet
            .run(&[
                "deploy",
                &release,
                "--target",
                "van-7",
                "--type",
                "timeforced"
            ])
            .code,
        2
    );
    assert_eq!(fleet.run(&["deploy", &release]).code, 2);
}

#[test]
fn servers_that_are_not_there_and_wrong_tokens() {
    let fleet = Fleet::start();
    let wrong = fleet.dir().join("wrong.token");
    fs::write(&wrong, "not-the-token-of-this-server").unwrap();
    let url = fleet.manage_url();
    let result = program(&[
        "target",
        "list",
        "--url",
        &url,
        "--token-file",
        wrong.to_str().unwrap(),
    ]);
    assert_eq!(result.code, 5);
    assert!(
        result.stderr.contains("does not accept the token of"),
        "{}",
        result.stderr
    );
    let token = fleet.token_file();
    // Port 1 is nobody's.
    let result = program(&[
        "target",
        "list",
        "--url",
        "http://127.0.0.1:1",
        "--token-file",
        token.to_str().unwrap(),
    ]);
    assert_eq!(result.code, 4);
    assert!(
        result
            .stderr
            .contains("cannot reach http://127.0.0.1:1: is `roamcore-fleet serve` running there?"),
        "{}",
        result.stderr
    );
    // Another HTTP server: the devices' side of this one.
    let result = program(&[
        "target",
        "list",
        "--url",
        &fleet.device_url(),
        "--token-file",
        token.to_str().unwrap(),
    ]);
    assert_eq!(result.code, 3);
    let result = program(&[
        "serve",
        "--dir",
        fleet.state().to_str().unwrap(),
        "--listen",
        "127.0.0.1:0",
        "--manage",
        "127.0.0.1:0",
    ]);
    assert_eq!(result.code, 1);
    assert!(
        result
            .stderr
            .contains("is in use by another roamcore-fleet"),
        "{}",
        result.stderr
    );
}

#[test]
fn settings_and_the_gateway_token() {
    let fleet = Fleet::start();
    assert_eq!(
        fleet.json(&["settings", "set", "poll_interval", "00:10:00"])["poll_interval"],
        "00:10:00"
    );
    assert_eq!(
        fleet.json(&["settings", "set", "autoclose", "true"])["autoclose"],
        true
    );
    assert_eq!(
        fleet.json(&["settings", "set", "authorities", "[\"ab:cd\"]"])["authorities"],
        json!(["ab:cd"])
    );
    let shown = fleet.json(&["settings", "show"]);
    assert_eq!(
        (
            &shown["poll_interval"],
            &shown["autoclose"],
            &shown["gateway"]
        ),
        (&json!("00:10:00"), &json!(true), &json!(false))
    );
    let token = fleet.json(&["settings", "gateway-token"])["token"]
        .as_str()
        .unwrap()
        .to_owned();
    assert_eq!(fleet.json(&["settings", "show"])["gateway"], true);
    assert_eq!(fleet.gateway("new-van", &token), 200);
    assert_eq!(
        fleet.json(&["target", "show", "new-van"])["state"],
        "registered"
    );
    fleet.json(&["settings", "gateway-token", "--remove"]);
    assert_eq!(fleet.gateway("other-van", &token), 401);
}

#[test]
fn secrets_are_readable_by_their_owner_alone_and_never_stored_in_clear() {
    use std::os::unix::fs::PermissionsExt;
    let fleet = Fleet::start();
    let mode = |path: &std::path::Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(
        (mode(&fleet.state()), mode(&fleet.token_file())),
        (0o700, 0o600)
    );
    let token = fleet.json(&["target", "add", "van-7"])["token"]
        .as_str()
        .unwrap()
        .to_owned();
    let admin = fs::read_to_string(fleet.token_file()).unwrap();
    for secret in [token.as_str(), admin.trim()] {
        for entry in fs::read_dir(fleet.state()).unwrap() {
            let path = entry.unwrap().path();
            if path.is_file() && path != fleet.token_file() {
                let bytes = fs::read(&path).unwrap();
                assert!(
                    !bytes
                        .windows(secret.len())
                        .any(|found| found == secret.as_bytes()),
                    "{}",
                    path.display()
                );
            }
        }
    }
}
