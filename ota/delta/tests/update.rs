//! Whole updates: from any old content to exactly the new image.
#![allow(
    clippy::unwrap_used,
    clippy::single_range_in_vec_init,
    reason = "helpers of tests"
)]

mod common;

use std::sync::atomic::Ordering;

use common::*;
use roamcore_delta::{ErrorClass, Plan, PlanOptions, Quiet, ReadAt, apply, predict};

#[test]
fn nothing_there_is_a_full_download() {
    let mut random = Random(1);
    let release = release(image(&mut random, 600), &options());
    let slot = Slot::new(vec![0xaa; 700 * 4096]);
    let mut server = Server::new(&release.parts);
    let (plan, applied) = update(&release, None, &slot, &mut server).unwrap();
    assert_eq!(slot.content()[..release.image.len()], release.image);
    assert!(
        slot.content()[release.image.len()..]
            .iter()
            .all(|b| *b == 0xaa)
    );
    let full = release.index.full_download_bytes();
    assert!(plan.download_bytes() <= full);
    assert_eq!(
        (applied.downloaded, server.bytes),
        (plan.download_bytes(), plan.download_bytes())
    );
    assert_eq!(server.requests, plan.requests());
    assert_eq!(applied.written, plan.write_bytes());
    assert_eq!(applied.fallback, 0);

    let again = Plan::make(
        &release.index,
        None,
        &slot,
        &PlanOptions::default(),
        &mut Quiet,
    )
    .unwrap();
    assert!(again.is_complete(), "{:?}", again.summary());
    assert_eq!((again.download_bytes(), again.requests()), (0, 0));
}

#[test]
fn the_running_slot_gives_what_did_not_change() {
    let mut random = Random(2);
    let old = image(&mut random, 1500);
    let new = edited(&mut random, &old, 6);
    let release = release(new, &options());
    let running = Slot::new(old);
    let slot = Slot::new(random.bytes(1700 * 4096));
    let mut server = Server::new(&release.parts);
    let (plan, applied) = update(&release, Some(&running), &slot, &mut server).unwrap();
    assert_eq!(slot.content()[..release.image.len()], release.image);
    assert!(
        plan.download_bytes() * 5 < release.index.full_download_bytes(),
        "{:?}",
        plan.summary()
    );
    assert_eq!(applied.downloaded, server.bytes);
}

#[test]
fn the_idle_slot_alone_gives_it_shifted_both_ways() {
    let mut random = Random(3);
    let old = image(&mut random, 1200);
    for insert in [true, false] {
        let mut new = old.clone();
        for at in [200, 500, 900] {
            let at = at * 4096;
            if insert {
                let more = random.prose(3 * 4096);
                new.splice(at..at, more);
            } else {
                new.drain(at..at + 5 * 4096);
            }
        }
        let release = release(new, &options());
        let mut bytes = old.clone();
        bytes.resize(1300 * 4096, 0x55);
        let slot = Slot::new(bytes);
        let mut server = Server::new(&release.parts);
        let (plan, _) = update(&release, None, &slot, &mut server).unwrap();
        assert_eq!(slot.content()[..release.image.len()], release.image);
        let summary = plan.summary();
        assert!(summary.copied > summary.fetched * 10, "{summary:?}");
        assert!(plan.download_bytes() < 150_000, "{summary:?}");
    }
}

#[test]
fn the_two_predictions_agree() {
    let mut random = Random(4);
    let old = image(&mut random, 1000);
    let new = edited(&mut random, &old, 10);
    let (old, new) = (release(old, &options()), release(new, &options()));
    let predicted = predict(&old.index, &new.index, &PlanOptions::default());
    let slot = Slot::new(random.bytes(new.image.len()));
    let plan = Plan::make(
        &new.index,
        Some(&old.image),
        &slot,
        &PlanOptions::default(),
        &mut Quiet,
    )
    .unwrap();
    // Cuts of the scan agree with those of the packer but for the beginnings of regions.
    let (a, b) = (predicted.download, plan.download_bytes());
    assert!(a.abs_diff(b) * 50 <= a, "{a} {b}");
}

#[test]
fn a_rotten_source_is_fetched_instead() {
    let mut random = Random(5);
    let old = image(&mut random, 800);
    let release = release(old.clone(), &options());
    let running = Slot::new(old);
    let slot = Slot::new(vec![1; 800 * 4096]);
    let options = PlanOptions::default();
    let plan = Plan::make(&release.index, Some(&running), &slot, &options, &mut Quiet).unwrap();
    assert_eq!(plan.download_bytes(), 0);
    for at in [100, 333_333, 2_000_000] {
        running.bytes.lock().unwrap()[at] ^= 1;
    }
    let mut server = Server::new(&release.parts);
    let applied = apply(
        &release.index,
        &plan,
        Some(&running),
        &slot,
        &mut server,
        &mut Quiet,
    )
    .unwrap();
    assert_eq!(slot.content(), release.image);
    assert!(
        applied.fallback > 0 && applied.fallback < 200_000,
        "{applied:?}"
    );
    assert_eq!(applied.downloaded, server.bytes);
}

#[test]
fn blocks_that_cannot_be_read_are_no_sources() {
    let mut random = Random(6);
    let old = image(&mut random, 800);
    let release = release(old.clone(), &options());
    let mut running = Slot::new(old.clone());
    running.bad = vec![40960..49152, 1_638_400..1_642_496];
    let mut slot = Slot::new(old);
    // Everything of the idle slot but its first blocks: what is there already does not help.
    slot.bad = vec![0..20480];
    let mut server = Server::new(&release.parts);
    let plan = Plan::make(
        &release.index,
        Some(&running),
        &slot,
        &PlanOptions::default(),
        &mut Quiet,
    )
    .unwrap();
    assert!(plan.summary().unreadable > 0);
    // Unreadable blocks of the idle slot are written, and then they can be read (as on a disk that reallocates).
    slot.bad.clear();
    apply(
        &release.index,
        &plan,
        Some(&running),
        &slot,
        &mut server,
        &mut Quiet,
    )
    .unwrap();
    assert_eq!(slot.content(), release.image);
}

#[test]
fn broken_connections_and_cancels_lose_little() {
    let mut random = Random(7);
    let release = release(image(&mut random, 1000), &options());
    let slot = Slot::new(vec![3; 1000 * 4096]);
    let full = release.index.full_download_bytes();
    let mut server = Server::new(&release.parts);
    let mut attempts = 0;
    loop {
        server.breaks_after = Some(server.bytes + 300_000);
        match update(&release, None, &slot, &mut server) {
            Ok(_) => break,
            Err(error) => assert_eq!(error.class(), ErrorClass::Network),
        }
        let mut stop = stop_after(2);
        let plan = Plan::make(
            &release.index,
            None,
            &slot,
            &PlanOptions::default(),
            &mut Quiet,
        )
        .unwrap();
        let stopped = apply(&release.index, &plan, None, &slot, &mut server, &mut stop);
        assert!(stopped.is_err_and(|e| e.class() != ErrorClass::Integrity));
        attempts += 1;
        assert!(attempts < 50);
    }
    assert!(attempts > 3);
    assert_eq!(slot.content(), release.image);
    assert!(
        server.bytes < full + attempts * 2 * 150_000,
        "{} {full}",
        server.bytes
    );
}

#[test]
fn a_plan_of_another_image_is_refused() {
    let mut random = Random(8);
    let one = release(image(&mut random, 100), &options());
    let two = release(image(&mut random, 100), &options());
    let slot = Slot::new(vec![3; 100 * 4096]);
    let plan = Plan::make(&one.index, None, &slot, &PlanOptions::default(), &mut Quiet).unwrap();
    let mut server = Server::new(&two.parts);
    let error = apply(&two.index, &plan, None, &slot, &mut server, &mut Quiet).unwrap_err();
    assert_eq!(error.class(), ErrorClass::Local);
    let small = Slot::new(vec![3; 99 * 4096]);
    assert!(
        Plan::make(
            &one.index,
            None,
            &small,
            &PlanOptions::default(),
            &mut Quiet
        )
        .is_err()
    );
    assert_eq!(small.size(), 99 * 4096);
}

#[test]
fn trusting_nothing_fetches_everything() {
    let mut random = Random(9);
    let release = release(image(&mut random, 300), &options());
    let slot = Slot::new(release.image.clone());
    let options = PlanOptions {
        ignore_local: true,
        ..PlanOptions::default()
    };
    let plan = Plan::make(
        &release.index,
        Some(&release.image),
        &slot,
        &options,
        &mut Quiet,
    )
    .unwrap();
    assert_eq!(plan.download_bytes(), release.index.full_download_bytes());
    assert_eq!(plan.write_bytes(), release.image.len() as u64);
    let mut server = Server::new(&release.parts);
    apply(&release.index, &plan, None, &slot, &mut server, &mut Quiet).unwrap();
    assert_eq!(slot.content(), release.image);
}

/// What is right, what is elsewhere and what is something else: whatever the idle slot holds, one reading tells.
#[test]
fn the_idle_slot_is_read_once() {
    let mut random = Random(77);
    let mut new = image(&mut random, 4000);
    // A run of zeros that no thread holds in memory as a whole.
    new[1 << 20..5 << 20].fill(0);
    let release = release(new, &options());
    let size = release.image.len();
    let mut half = release.image.clone();
    half[size / 3..].rotate_left(7 * 4096);
    for old in [
        random.bytes(size),
        vec![0; size],
        half,
        release.image.clone(),
    ] {
        for threads in [1, 4] {
            let slot = Slot::new(old.clone());
            let options = PlanOptions {
                threads,
                ..PlanOptions::default()
            };
            let plan = Plan::make(&release.index, None, &slot, &options, &mut Quiet).unwrap();
            assert_eq!(plan.is_complete(), old == release.image);
            // Threads read into their neighbours' regions, and ahead of where they end.
            let most = size as u64 + threads as u64 * (1536 << 10);
            let read = slot.read.load(Ordering::Relaxed);
            assert!(read <= most, "{read} of {size} by {threads}");
        }
    }
}
