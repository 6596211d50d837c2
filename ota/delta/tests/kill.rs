//! Killed anywhere, any number of times: the update converges, and pays little for it.
#![allow(clippy::unwrap_used, reason = "helpers of tests")]

mod common;

use std::sync::atomic::Ordering;

use common::*;
use proptest::prelude::*;
use roamcore_delta::{ErrorClass, Plan, PlanOptions, Quiet, apply};

/// What may be in the idle slot.
fn idle(random: &mut Random, kind: usize, old: &[u8], new: &[u8], size: usize) -> Vec<u8> {
    let mut bytes = match kind {
        0 => random.bytes(size),
        1 => vec![0; size],
        2 => old.to_vec(),
        3 => edited(random, old, 10),
        4 => {
            // The old image shifted forward.
            let mut bytes = random.prose(3 * 4096);
            bytes.extend_from_slice(old);
            bytes
        }
        5 => old[5 * 4096..].to_vec(),
        6 => {
            // Half written.
            let mut bytes = new.to_vec();
            let from = random.below(new.len() / 4096) * 4096;
            bytes.truncate(from);
            bytes.extend_from_slice(&old[from.min(old.len())..]);
            bytes
        }
        _ => {
            // Blocks of the new image in any order: rings of moves.
            let mut blocks: Vec<&[u8]> = new.chunks(16384).collect();
            for at in (1..blocks.len()).rev() {
                blocks.swap(at, random.below(at + 1));
            }
            blocks.concat()
        }
    };
    bytes.resize(size, 0x77);
    bytes
}

/// What a kill may cost: the batch of copies and the group of frames it fell into, with gaps.
const KILL_COST: u64 = (1 << 20) + (160 << 10);

fn converge(seed: u64, kind: usize, with_running: bool, kills: usize) {
    let mut random = Random(seed | 1);
    let old = image(&mut random, 900);
    let new = edited(&mut random, &old, 12);
    let size = old.len().max(new.len()) + 20 * 4096;
    let release = release(new, &options());
    let slot = Slot::new(idle(&mut random, kind, &old, &release.image, size));
    let running = Slot::new(old);
    let running = with_running.then_some(&running as &dyn roamcore_delta::ReadAt);
    let options = PlanOptions::default();
    let full = release.index.full_download_bytes();
    let mut server = Server::new(&release.parts);
    let first = Plan::make(&release.index, running, &slot, &options, &mut Quiet).unwrap();
    let promised = first.download_bytes();
    let writes = first.write_bytes() / 4096;
    let mut happened = 0;
    for kill in 0.. {
        let left = if kill < kills {
            random.below(writes as usize / 20 + 2) as i64
        } else {
            -1
        };
        slot.writes_left.store(left, Ordering::Relaxed);
        let plan = Plan::make(&release.index, running, &slot, &options, &mut Quiet).unwrap();
        assert!(
            plan.download_bytes() <= full,
            "{} of {full}",
            plan.download_bytes()
        );
        match apply(
            &release.index,
            &plan,
            running,
            &slot,
            &mut server,
            &mut Quiet,
        ) {
            Ok(_) => break,
            Err(error) => assert_eq!(error.class(), ErrorClass::Local, "{error}"),
        }
        happened += 1;
    }
    assert_eq!(
        slot.content()[..release.image.len()],
        release.image,
        "seed {seed}"
    );
    let allowed = promised + happened * KILL_COST;
    assert!(
        server.bytes <= allowed,
        "{} of {promised}, {happened} kills",
        server.bytes
    );
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]

    #[test]
    fn converges(seed in any::<u64>(), kind in 0usize..8, running: bool, kills in 0usize..4) {
        converge(seed, kind, running, kills);
    }
}

#[test]
fn every_kind_once() {
    for kind in 0..8 {
        for running in [false, true] {
            converge(1000 + kind as u64, kind, running, 2);
        }
    }
}

/// A power cut also takes what was written since the last sync, in any order: it still converges.
#[test]
fn power_cuts_with_a_volatile_cache() {
    let mut random = Random(99);
    let old = image(&mut random, 900);
    let new = edited(&mut random, &old, 12);
    let release = release(new, &options());
    for kind in 0..8 {
        let size = old.len().max(release.image.len()) + 20 * 4096;
        let slot = Slot::new(idle(&mut random, kind, &old, &release.image, size));
        for cut in 0..4 {
            let before = slot.content();
            slot.writes_left.store(3 + cut * 5, Ordering::Relaxed);
            let mut server = Server::new(&release.parts);
            let _cut = update(&release, None, &slot, &mut server);
            // Nothing was synced since: each block has its old or its new content.
            if slot.syncs.swap(0, Ordering::Relaxed) == 0 {
                let mut bytes = slot.bytes.lock().unwrap();
                for at in (0..bytes.len()).step_by(4096) {
                    if random.below(2) == 0 {
                        bytes[at..at + 4096].copy_from_slice(&before[at..at + 4096]);
                    }
                }
            }
        }
        slot.writes_left.store(-1, Ordering::Relaxed);
        let mut server = Server::new(&release.parts);
        update(&release, None, &slot, &mut server).unwrap();
        assert_eq!(slot.content()[..release.image.len()], release.image);
        assert!(server.bytes <= release.index.full_download_bytes());
    }
}

#[test]
fn little_is_unsynced() {
    let mut random = Random(3);
    let release = release(image(&mut random, 5000), &options());
    let slot = Slot::new(vec![9; release.image.len()]);
    update(&release, None, &slot, &mut Server::new(&release.parts)).unwrap();
    let most = slot.largest_unsynced.load(Ordering::Relaxed);
    assert!(most <= (4 << 20) + (256 << 10), "{most}");
    assert!(slot.syncs.load(Ordering::Relaxed) >= 4);
}
