//! Every state that a power cut could leave of a machine.
//!
//! What a cut may do, worse than most disks: of the writes that were not flushed any subset of sectors is there; of a file
//! system without a journal any of the changes that were not synced, a rename in halves (both names, or neither), a file
//! that was not synced with no, some or wrong content.

use std::collections::BTreeMap;

use super::judge::State;
use super::sim::{Op, apply};

/// A small random generator; the seed is printed by whoever uses it.
pub struct Dice(pub u64);

impl Dice {
    pub fn roll(&mut self, sides: u64) -> u64 {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % sides
    }
}

/// What may have become of the changes that were not made durable: numbers from 0 up, 0 is "nothing of it".
pub struct Cut<'a> {
    durable: State,
    disk: Vec<(u64, &'a [u8])>,
    esp: Vec<(&'a Op, bool)>,
}

/// The state of the disk at the time of a cut after `log`.
pub fn cut<'a>(start: &State, log: &'a [Op]) -> Cut<'a> {
    let mut durable = start.clone();
    let last_sync = log
        .iter()
        .rposition(|op| *op == Op::SyncEsp)
        .map_or(0, |at| at + 1);
    let (mut disk, mut esp) = (Vec::new(), Vec::new());
    for (number, op) in log.iter().enumerate() {
        match op {
            Op::Write {
                node,
                offset,
                bytes,
            } => {
                let flushed = log[number..]
                    .iter()
                    .any(|later| *later == Op::Flush { node: node.clone() });
                for (sector, bytes) in (0..).zip(bytes.chunks(512)) {
                    let at = offset + sector * 512;
                    if flushed {
                        durable.0[at as usize..at as usize + bytes.len()].copy_from_slice(bytes);
                    } else {
                        disk.push((at, bytes));
                    }
                }
            }
            Op::Flush { .. } | Op::SyncFile { .. } | Op::SyncEsp => {}
            change if number < last_sync => apply(&mut durable.1, change),
            change => {
                let synced = match change {
                    Op::Create { path, .. } | Op::WriteFile { path, .. } => {
                        log[number..].contains(&Op::SyncFile { path: path.clone() })
                    }
                    _ => true,
                };
                esp.push((change, synced));
            }
        }
    }
    Cut { durable, disk, esp }
}

impl Cut<'_> {
    /// All pending changes that are few enough to be tried in every combination, and `samples` random ones of the rest.
    pub fn states(&self, dice: &mut Dice, samples: u64) -> Vec<State> {
        let mut disks = Vec::new();
        let sectors = self.disk.len();
        let subset = |pick: &mut dyn FnMut(usize) -> bool| {
            let mut bytes = self.durable.0.clone();
            for (number, (at, sector)) in self.disk.iter().enumerate() {
                if pick(number) {
                    bytes[*at as usize..*at as usize + sector.len()].copy_from_slice(sector);
                }
            }
            bytes
        };
        if sectors <= 5 {
            disks.extend((0..1_u32 << sectors).map(|mask| subset(&mut |n| mask >> n & 1 == 1)));
        } else {
            disks.push(subset(&mut |_| false));
            disks.push(subset(&mut |_| true));
            for _ in 0..samples {
                let cut = dice.roll(sectors as u64) as usize;
                disks.push(subset(&mut |n| n < cut));
                disks.push(subset(&mut |_| dice.roll(2) == 1));
            }
        }
        let mut esps = vec![self.durable.1.clone()];
        for (op, synced) in &self.esp {
            esps = esps
                .iter()
                .flat_map(|esp| halves(esp, op, *synced))
                .collect();
        }
        esps.sort();
        esps.dedup();
        let mut states = Vec::new();
        for disk in &disks {
            states.extend(esps.iter().map(|esp| (disk.clone(), esp.clone())));
        }
        states
    }
}

/// Every way a change may be there, not there, or half there.
fn halves(
    esp: &BTreeMap<String, Vec<u8>>,
    op: &Op,
    synced: bool,
) -> Vec<BTreeMap<String, Vec<u8>>> {
    let mut whole = esp.clone();
    apply(&mut whole, op);
    let mut all = vec![esp.clone(), whole.clone()];
    match op {
        Op::Create { path, bytes } if !synced => {
            for content in [
                vec![],
                bytes[..bytes.len() / 2].to_vec(),
                vec![0xa5; bytes.len()],
            ] {
                let mut torn = esp.clone();
                torn.insert(path.clone(), content);
                all.push(torn);
            }
        }
        Op::WriteFile {
            path,
            offset,
            bytes,
        } if !synced => {
            for content in [bytes[..bytes.len() / 2].to_vec(), vec![0xa5; bytes.len()]] {
                let mut torn = esp.clone();
                let torn_write = Op::WriteFile {
                    path: path.clone(),
                    offset: *offset,
                    bytes: content,
                };
                apply(&mut torn, &torn_write);
                all.push(torn);
            }
        }
        Op::Rename { from, to } => {
            let mut both = whole.clone();
            if let Some(bytes) = esp.get(from) {
                both.insert(from.clone(), bytes.clone());
            }
            let mut neither = esp.clone();
            neither.remove(from);
            neither.remove(to);
            all.extend([both, neither]);
        }
        _ => {}
    }
    all
}
