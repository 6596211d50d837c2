//! Documents as hawkBit writes them, documents as others might, and bytes that are no documents.

use super::*;
use proptest::prelude::*;
use serde_json::{Value, json};

fn round_trip<T: DeserializeOwned + Serialize + PartialEq + std::fmt::Debug>(document: Value) -> T {
    let value: T = read("test document", document.to_string().as_bytes()).unwrap();
    let written = serde_json::to_vec(&value).unwrap();
    assert_eq!(read::<T>("test document", &written).unwrap(), value);
    value
}

#[test]
fn a_poll() {
    let base = "http://h/DEFAULT/controller/v1/d";
    let poll: Poll = round_trip(json!({
        "config": {"polling": {"sleep": "00:05:00"}, "new": 1},
        "_links": {
            "deploymentBase": {"href": format!("{base}/deploymentBase/5?c=-2127"), "templated": false},
            "installedBase": {"href": format!("{base}/installedBase/4")},
            "configData": {"href": format!("{base}/configData")},
            "newThing": {"href": "x"},
        },
    }));
    assert_eq!(poll.config.polling.sleep, "00:05:00");
    let link = poll.deployment().unwrap().unwrap();
    assert_eq!(link.action().id, ActionId::from(5));
    assert_eq!(link.action().checksum.as_deref(), Some("-2127"));
    assert_eq!(poll.cancellation(), Ok(None));
    assert_eq!(poll.confirmation(), Ok(None));
    assert!(poll.wants_attributes());
}

#[test]
fn a_poll_with_nothing_in_it() {
    for document in [
        json!({}),
        json!({"config": null, "_links": null}),
        json!({"config": {"polling": {"sleep": null}}, "_links": {"deploymentBase": null}}),
    ] {
        let poll: Poll = round_trip(document);
        assert_eq!(poll, Poll::default());
    }
    assert_eq!(
        serde_json::to_value(Poll::default()).unwrap(),
        json!({"config": {"polling": {"sleep": ""}}, "_links": {}})
    );
}

#[test]
fn a_confirmation_link_without_an_action_is_none() {
    let poll = |href: &str| -> Poll {
        round_trip(json!({"_links": {"confirmationBase": {"href": href}}}))
    };
    assert_eq!(
        poll("http://h/t/controller/v1/d/confirmationBase").confirmation(),
        Ok(None)
    );
    let with_id = poll("http://h/t/controller/v1/d/confirmationBase/7?c=1").confirmation();
    assert_eq!(with_id.unwrap().unwrap().action().id, ActionId::from(7));
    assert!(
        poll("http://h/t/controller/v1/d/other/7")
            .confirmation()
            .is_err()
    );
}

#[test]
fn a_deployment() {
    let deployment: DeploymentBase = round_trip(json!({
        "id": "8",
        "deployment": {
            "download": "forced", "update": "attempt", "maintenanceWindow": "available",
            "chunks": [{
                "part": "os", "version": "1.0", "name": "n", "encrypted": null,
                "metadata": [{"key": "k", "value": "v"}],
                "artifacts": [{
                    "filename": "root.000", "size": 5_368_709_120_u64,
                    "hashes": {"sha1": "aa", "md5": "bb", "sha256": null},
                    "_links": {
                        "download-http": {"href": "http://h/a"}, "md5sum-http": {"href": "http://h/a.MD5SUM"},
                    },
                }],
            }],
        },
        "actionHistory": {"status": "RUNNING", "messages": ["m"]},
    }));
    assert_eq!(deployment.deployment.update, Handling::Attempt);
    assert_eq!(
        deployment.deployment.maintenance_window,
        Some(Window::Available)
    );
    let artifact = &deployment.deployment.chunks[0].artifacts[0];
    assert_eq!(artifact.size, 5 << 30);
    assert_eq!(artifact.hashes.sha256, None);
    assert_eq!(artifact.download(), Some(&Link::to("http://h/a")));
}

#[test]
fn a_configured_download_link_is_preferred() {
    let artifact: Artifact = round_trip(json!({
        "filename": "f", "size": 0,
        "_links": {"download-http": {"href": "1"}, "download": {"href": "2"}},
    }));
    assert_eq!(artifact.download(), Some(&Link::to("2")));
    let bare: Artifact = round_trip(json!({"filename": "f", "size": 0}));
    assert_eq!(bare.download(), None);
}

#[test]
fn feedback_has_the_documented_bytes() {
    let feedback = Feedback::new(Execution::Closed, Finished::Success)
        .at(1_627_997_501_890)
        .code(200)
        .progress(2, 5)
        .detail("msg");
    assert_eq!(
        serde_json::to_value(&feedback).unwrap(),
        json!({
            "timestamp": 1_627_997_501_890_i64,
            "status": {
                "execution": "closed",
                "result": {"finished": "success", "progress": {"cnt": 2, "of": 5}},
                "code": 200,
                "details": ["msg"],
            },
        })
    );
    let legacy: Feedback = round_trip(json!({
        "id": "5", "time": "20140511T121314",
        "status": {"execution": "proceeding", "result": {"finished": "none", "progress": null}, "details": null},
    }));
    assert_eq!(legacy, Feedback::new(Execution::Proceeding, Finished::None));
}

#[test]
fn feedback_without_a_verdict_is_refused() {
    for status in [
        json!({"execution": "closed"}),
        json!({"execution": "closed", "result": {}}),
        json!({"execution": "closed", "result": {"finished": "maybe"}}),
        json!({"execution": "done", "result": {"finished": "none"}}),
        json!({"result": {"finished": "none"}}),
    ] {
        let document = json!({"status": status}).to_string();
        assert!(
            read::<Feedback>("feedback", document.as_bytes()).is_err(),
            "{document}"
        );
    }
}

#[test]
fn long_text_becomes_pieces_that_the_server_keeps() {
    let feedback =
        Feedback::new(Execution::Closed, Finished::Failure).detail(&"\u{e9}\u{7}".repeat(30_000));
    assert_eq!(feedback.status.details.len(), MOST_DETAILS);
    assert!(
        feedback
            .status
            .details
            .iter()
            .all(|piece| piece.chars().count() <= LONGEST_DETAIL && !piece.contains('\u{7}'))
    );
}

#[test]
fn nothing_looks_like_markup() {
    let feedback =
        Feedback::new(Execution::Closed, Finished::Failure).detail("Call Trace:\n <TASK>");
    assert_eq!(
        feedback.status.details,
        ["Call Trace:\n \u{2039}TASK\u{203a}"]
    );
}

#[test]
fn the_rest() {
    let cancel: CancelAction = round_trip(json!({"id": "11", "cancelAction": {"stopId": "12"}}));
    assert_eq!(cancel.cancel_action.stop_id, ActionId::from(12));
    let info: ConfirmationInfo = round_trip(json!({
        "autoConfirm": {"active": true, "initiator": "u", "remark": null, "activatedAt": 5},
        "_links": {"deactivateAutoConfirm": {"href": "h"}},
    }));
    assert!(info.auto_confirm.active && info.links.deactivate_auto_confirm.is_some());
    let waiting: ConfirmationBase = round_trip(json!({
        "id": 3, "confirmation": {"download": "forced", "update": "forced", "chunks": []},
    }));
    assert_eq!(waiting.id, ActionId::from(3));
    let denied: ConfirmationFeedback =
        round_trip(json!({"confirmation": "denied", "details": ["no"]}));
    assert_eq!(denied.confirmation, Decision::Denied);
    let nobody: ActivateAutoConfirm = round_trip(json!({}));
    assert_eq!(nobody, ActivateAutoConfirm::default());
    let installed: InstalledBase = round_trip(json!({"name": "n", "version": "1"}));
    assert_eq!(installed.version, "1");
    let error: ServerError = round_trip(json!({"errorCode": QUOTA_ENTRIES, "info": {"x": []}}));
    assert!(error.is_quota());
    let artifacts = br#"[{"filename": "f", "size": 1, "hashes": null}]"#;
    let artifacts = read_list::<Artifact>("artifacts", artifacts).unwrap();
    assert_eq!(artifacts.len(), 1);
}

#[test]
fn attributes() {
    let data: ConfigData = round_trip(json!({"mode": null, "data": {"version": "1.2+b (x)"}}));
    assert_eq!(data.mode, AttributeMode::Merge);
    data.check().unwrap();
    let with = |key: &str, value: &str| ConfigData {
        mode: AttributeMode::Merge,
        data: [(key.to_owned(), value.to_owned())].into(),
    };
    let longest = "x".repeat(LONGEST_ATTRIBUTE);
    with(&longest, &longest).check().unwrap();
    with("k", "").check().unwrap();
    for (key, value) in [
        ("", "v"),
        ("k", "1~rc1"),
        ("k", "`"),
        ("k", "\u{e4}"),
        ("k\0", ""),
        (&format!("{longest}x"), ""),
    ] {
        assert!(with(key, value).check().is_err(), "{key:?} {value:?}");
    }
    let many = ConfigData {
        mode: AttributeMode::Replace,
        data: (0..=MOST_ATTRIBUTES)
            .map(|n| (n.to_string(), String::new()))
            .collect(),
    };
    assert_eq!(many.check(), Err(AttributeError::TooMany(101)));
}

#[test]
fn what_is_no_document_is_a_typed_error() {
    for text in [
        "",
        " ",
        "<html>Sign in to Camping WiFi</html>",
        "[]",
        "null",
        "\u{feff}{}",
    ] {
        let error = read::<Poll>("poll", text.as_bytes()).unwrap_err();
        assert_eq!(
            error.to_string(),
            "refused poll: it does not begin with '{' (a proxy's login page is a common cause)"
        );
    }
    let list = read_list::<Artifact>("artifacts", b"{}").unwrap_err();
    assert!(
        list.to_string().contains("does not begin with '['"),
        "{list}"
    );
    let cut = read::<Poll>("poll", b" {").unwrap_err();
    assert_eq!(
        cut.to_string(),
        "refused poll: it is not the JSON document of DDI v1"
    );
    let deep = "{\"config\":".repeat(MAX_DOCUMENT / 10);
    assert!(matches!(
        read::<Poll>("poll", deep.as_bytes()),
        Err(MessageError::Shape { .. })
    ));
    let long = vec![b' '; MAX_DOCUMENT + 1];
    assert!(matches!(
        read::<Poll>("poll", &long),
        Err(MessageError::TooLarge { .. })
    ));
    for size in ["-1", "1.5", "18446744073709551616", "\"1\""] {
        let document = format!("{{\"filename\": \"f\", \"size\": {size}}}");
        assert!(
            read::<Artifact>("artifact", document.as_bytes()).is_err(),
            "{size}"
        );
    }
}

/// Any JSON with names that the documents use, so that random documents reach the inner parsers.
fn documents() -> impl Strategy<Value = Value> {
    let name = prop_oneof![
        Just("id"),
        Just("deployment"),
        Just("download"),
        Just("update"),
        Just("chunks"),
        Just("artifacts"),
        Just("_links"),
        Just("href"),
        Just("deploymentBase"),
        Just("config"),
        Just("polling"),
        Just("sleep"),
        Just("status"),
        Just("result"),
        Just("finished"),
        Just("execution"),
        Just("size"),
        Just("hashes"),
        Just("filename"),
        Just("data"),
        Just("cancelAction"),
        Just("stopId"),
        Just("autoConfirm"),
        Just("active"),
    ];
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        ".{0,12}".prop_map(Value::from),
        Just(json!("forced")),
        Just(json!("closed")),
        Just(json!("success")),
        Just(json!("/deploymentBase/5?c=1")),
    ];
    leaf.prop_recursive(6, 64, 6, move |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..5).prop_map(Value::from),
            proptest::collection::btree_map(name.clone().prop_map(str::to_owned), inner, 0..6)
                .prop_map(|members| Value::Object(members.into_iter().collect())),
        ]
    })
}

fn read_all(bytes: &[u8]) {
    if let Ok(poll) = read::<Poll>("poll", bytes) {
        drop((poll.deployment(), poll.cancellation(), poll.confirmation()));
        drop(crate::sleep::parse(&poll.config.polling.sleep));
    }
    if let Ok(deployment) = read::<DeploymentBase>("deployment", bytes) {
        let written = serde_json::to_vec(&deployment).unwrap();
        assert_eq!(
            read::<DeploymentBase>("deployment", &written).unwrap(),
            deployment
        );
    }
    drop(read_list::<Artifact>("artifacts", bytes));
    drop(read::<CancelAction>("cancelAction", bytes));
    drop(read::<ConfirmationInfo>("confirmationBase", bytes));
    drop(read::<ConfirmationBase>("confirmation", bytes));
    drop(read::<ConfirmationFeedback>("confirmation feedback", bytes));
    drop(read::<Feedback>("feedback", bytes));
    if let Ok(data) = read::<ConfigData>("configData", bytes) {
        drop(data.check());
    }
    drop(read::<InstalledBase>("installedBase", bytes));
    drop(read::<ActivateAutoConfirm>("auto confirm", bytes));
    drop(read::<ServerError>("error", bytes));
}

proptest! {
    #[test]
    fn never_panics_on_documents(document in documents()) {
        read_all(document.to_string().as_bytes());
    }

    #[test]
    fn never_panics_on_bytes(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        read_all(&bytes);
    }

    #[test]
    fn never_panics_on_damaged_documents(document in documents(), at in any::<prop::sample::Index>(), byte in any::<u8>()) {
        let mut bytes = document.to_string().into_bytes();
        let at = at.index(bytes.len());
        bytes[at] = byte;
        read_all(&bytes);
        read_all(&bytes[..at]);
    }
}
