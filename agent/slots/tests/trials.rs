//! Arming, and what is known of a trial afterwards.

#![allow(clippy::unwrap_used, reason = "helpers of tests")]

mod common;

use std::fs;

use common::{Release, files, install, new, old, write};
use roamcore_agent::attempts;
use roamcore_slots::{EntryState, ImageFiles, Situation, Slot, SlotError, Slots, TrialVerdict};

fn slots(media: &ImageFiles) -> Slots {
    Slots::on(Box::new(media.clone()))
}

#[test]
fn while_on_trial_nothing_can_be_touched() {
    let (_dir, mut media) = files(Slot::A, &old());
    media.circumstances.trial = Some(roamcore_agent::trial::Trial {
        entry_path: "\\loader\\entries\\roamcore-a+2-1.conf".into(),
        tries_left: 2,
        tries_done: 1,
        slot: Slot::A,
    });
    let slots = slots(&media);
    assert!(matches!(
        slots.idle().map(drop),
        Err(SlotError::OnTrial { running: Slot::A })
    ));
    assert_eq!(
        slots.facts().unwrap().situation(),
        Situation::OnTrial { left: 2, done: 1 }
    );
    media.circumstances.trial = None;
    fs::remove_file(media.esp.join("loader/entries/roamcore-a.conf")).unwrap();
    let error = self::slots(&media)
        .idle()
        .map(drop)
        .unwrap_err()
        .to_string();
    assert!(
        error.contains("root-a has no committed boot entry (found none)"),
        "{error}"
    );
}

fn tried(media: &ImageFiles, name: &str) {
    let entries = media.esp.join("loader/entries");
    fs::rename(entries.join("roamcore-b+3.conf"), entries.join(name)).unwrap();
}

#[test]
fn interrupted_trials_are_armed_again_but_not_for_ever() {
    let (dir, mut media) = files(Slot::A, &old());
    let state = dir.path().join("state");
    fs::create_dir_all(state.join("roamcore")).unwrap();
    media.state = Some(state.clone());
    let slots = slots(&media);
    let idle = slots.idle().unwrap();
    install(&idle, &new()).unwrap();
    let verdict = || match slots.facts().unwrap().situation() {
        Situation::Tried { verdict, .. } => verdict,
        other => panic!("{other:?}"),
    };
    for round in 0..roamcore_slots::MOST_REARMS {
        tried(&media, "roamcore-b+0-3.conf");
        assert_eq!(verdict(), TrialVerdict::NeverCameUp);
        fs::write(attempts::path(&state), r#"{"format":1,"slot":"root-b","boots":[{"tries_done":1,"boot_id":"x"}],"failure":null}"#).unwrap();
        assert_eq!(verdict(), TrialVerdict::Interrupted);
        idle.rearm().unwrap();
        assert!(!attempts::path(&state).exists(), "round {round}");
        assert_eq!(slots.facts().unwrap().situation(), Situation::Armed);
    }
    tried(&media, "roamcore-b+0-3.conf");
    let error = idle.rearm().unwrap_err().to_string();
    assert!(error.contains("re-armed 2 times already"), "{error}");
    fs::write(
        attempts::path(&state),
        r#"{"format":1,"slot":"root-b","boots":[],"failure":{"tries_done":1,"why":"gate"}}"#,
    )
    .unwrap();
    assert!(matches!(verdict(), TrialVerdict::Failed(failure) if failure.why == "gate"));
    // Of another slot it says nothing.
    fs::write(
        attempts::path(&state),
        r#"{"format":1,"slot":"root-a","boots":[],"failure":{"tries_done":1,"why":"gate"}}"#,
    )
    .unwrap();
    assert_eq!(verdict(), TrialVerdict::NeverCameUp);
    // A new decision to arm begins anew.
    idle.disarm().unwrap();
    idle.arm(&new().request()).unwrap();
    let EntryState::Counted { entry, .. } = slots.facts().unwrap().idle.entry else {
        panic!()
    };
    assert_eq!(entry.note.unwrap().rearmed, 0);
}

/// The version is what puts a trial before the slot that runs, whatever the releases' sequences are.
#[test]
fn a_trial_comes_first() {
    for (running, sequence, want) in [
        ("5", 9, Some("9")),
        ("5", 3, Some("6")),
        ("5", 5, Some("6")),
        ("abc", 9, None),
        ("", 9, None),
    ] {
        let (_dir, media) = files(Slot::A, &old());
        let entry = media.esp.join("loader/entries/roamcore-a.conf");
        let text = fs::read_to_string(&entry)
            .unwrap()
            .replace("version 5", &format!("version {running}"));
        fs::write(&entry, text).unwrap();
        let slots = slots(&media);
        let idle = slots.idle().unwrap();
        let release = Release::new("1.0.9", sequence, 3);
        write(&idle, &release).unwrap();
        match (want, idle.arm(&release.request())) {
            (Some(want), Ok(())) => {
                let facts = slots.facts().unwrap();
                assert_eq!(facts.next, Some(Slot::B));
                assert_eq!(
                    facts.idle.entry.entry().unwrap().version.as_deref(),
                    Some(want)
                );
            }
            (None, Err(error)) => assert!(error.to_string().contains("is no number"), "{error}"),
            (want, got) => panic!("{want:?} {got:?}"),
        }
    }
}
