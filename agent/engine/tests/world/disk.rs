//! The disk with two slots, and the boot loader that chooses between them.

use roamcore_agent::slot::Slot;
use roamcore_engine::{BootId, Entry, Facts, SlotFacts};

use super::releases::{FRAMES, frame, release, root_hash};
use super::rng::Rng;

/// One slot.
#[derive(Clone)]
pub struct Half {
    /// Release its root hash names; 0 for none.
    pub number: u64,
    pub published: bool,
    pub frames: Vec<Option<u64>>,
    /// Release of the UKI.
    pub uki: Option<u64>,
    pub entry: Entry,
    /// The boot loader takes the highest one.
    pub order: u64,
}

impl std::fmt::Debug for Half {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let right =
            |(at, found): &(usize, &Option<u64>)| **found == Some(frame(self.number, *at as u64));
        write!(
            f,
            "release {} published {} uki {:?} {:?} order {} frames {}/{FRAMES}",
            self.number,
            self.published,
            self.uki,
            self.entry,
            self.order,
            self.frames.iter().enumerate().filter(right).count()
        )
    }
}

impl Half {
    fn empty() -> Self {
        Self {
            number: 0,
            published: false,
            frames: vec![None; FRAMES as usize],
            uki: None,
            entry: Entry::Absent,
            order: 0,
        }
    }

    pub fn whole(&self) -> bool {
        let right =
            |(at, found): (usize, &Option<u64>)| *found == Some(frame(self.number, at as u64));
        self.published && self.uki == Some(self.number) && self.frames.iter().enumerate().all(right)
    }
}

#[derive(Debug)]
pub struct Disk {
    pub halves: [Half; 2],
    pub running: usize,
    /// Frames of the idle slot that were written and not synced.
    pub volatile: Vec<(usize, Option<u64>)>,
    pub boots: u64,
    /// LoaderEntryOneShot.
    pub one_shot: Option<usize>,
}

impl Disk {
    pub fn factory(number: u64) -> Self {
        let first = Half {
            number,
            published: true,
            frames: (0..FRAMES).map(|at| Some(frame(number, at))).collect(),
            uki: Some(number),
            entry: Entry::Committed,
            order: 1,
        };
        Self {
            halves: [first, Half::empty()],
            running: 0,
            volatile: Vec::new(),
            boots: 1,
            one_shot: None,
        }
    }

    pub fn running(&self) -> &Half {
        &self.halves[self.running]
    }

    pub fn idle(&self) -> &Half {
        &self.halves[1 - self.running]
    }

    pub fn idle_mut(&mut self) -> &mut Half {
        &mut self.halves[1 - self.running]
    }

    pub fn on_trial(&self) -> bool {
        matches!(self.running().entry, Entry::Counted { .. })
    }

    pub fn write(&mut self, at: usize, content: u64) {
        let old = self.idle().frames[at];
        self.volatile.push((at, old));
        self.idle_mut().frames[at] = Some(content);
    }

    pub fn sync(&mut self) {
        self.volatile.clear();
    }

    /// Of what was not synced, any part survives.
    pub fn lose_volatile(&mut self, rng: &mut Rng) {
        for (at, old) in std::mem::take(&mut self.volatile) {
            match rng.below(3) {
                0 => self.idle_mut().frames[at] = old,
                1 => self.idle_mut().frames[at] = None,
                _ => {}
            }
        }
    }

    pub fn commit(&mut self) {
        let running = self.running;
        self.halves[running].entry = Entry::Committed;
    }

    pub fn lose_idle_entry(&mut self) {
        // Of the slot on trial, whichever runs.
        for half in &mut self.halves {
            if matches!(half.entry, Entry::Counted { .. }) {
                half.entry = Entry::Absent;
            }
        }
    }

    /// systemd-boot: entries with tries left or without a counter, highest version first; used up ones last.
    pub fn boot(&mut self) -> u64 {
        self.boots += 1;
        let usable = |entry: &Entry| match entry {
            Entry::Committed => Some(true),
            Entry::Counted { left, .. } => Some(*left > 0),
            Entry::Absent => None,
        };
        let mut found: Vec<(bool, u64, usize)> = (0..2)
            .filter_map(|at| {
                usable(&self.halves[at].entry).map(|good| (good, self.halves[at].order, at))
            })
            .collect();
        found.sort_unstable();
        let mut chosen = found.last().expect("an entry to boot").2;
        if let Some(wanted) = self.one_shot.take()
            && self.halves[wanted].entry == Entry::Committed
        {
            chosen = wanted;
        }
        let half = &mut self.halves[chosen];
        assert!(half.whole(), "booted a slot that is not whole: {half:?}");
        if let Entry::Counted { left, done } = &mut half.entry {
            assert!(*left > 0, "booted a used up entry");
            *left -= 1;
            *done += 1;
        }
        self.running = chosen;
        self.halves[chosen].number
    }

    /// Whatever happens now, there is a way to boot that was proven before.
    pub fn check(&self) -> Result<(), String> {
        let safe = |half: &Half| half.entry == Entry::Committed && half.whole();
        if !self.halves.iter().any(safe) {
            return Err(format!("no committed whole slot: {:?}", self.halves));
        }
        let armed = |half: &Half| half.entry != Entry::Absent && !half.whole();
        if self.halves.iter().any(armed) {
            return Err("an entry leads to a slot that is not whole".into());
        }
        let [a, b] = &self.halves;
        if a.published && b.published && a.number == b.number {
            return Err(format!(
                "two slots with the PARTUUID of release {}",
                a.number
            ));
        }
        Ok(())
    }

    pub fn facts(&self, sign: Option<String>, came_up: u32) -> Facts {
        let half = |at: usize| {
            let half = &self.halves[at];
            SlotFacts {
                slot: if at == 0 { Slot::A } else { Slot::B },
                root_hash: half.published.then(|| root_hash(half.number)),
                release: half.published.then(|| release(half.number)),
                entry: half.entry,
                uki: half.uki == Some(half.number),
            }
        };
        Facts {
            boot: BootId(format!("boot {}", self.boots)),
            running: half(self.running),
            idle: half(1 - self.running),
            on_trial: self.on_trial(),
            failure_sign: sign,
            came_up,
        }
    }
}
