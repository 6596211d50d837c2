//! Judges all the states of a recording.
//!
//! Owns the order of work and what is allowed where. Invariant: the report depends on recording, expectation, seed and number
//! of states alone, not on the number of threads.
//!
//! First every flush is judged, in order: that gives the fallback at each. Then, within a window, the fallback of every state
//! must be that of the flush before or that of the flush after; where the two are one, no state may have another.

mod report;

pub use report::{Finding, Report};

use std::collections::HashSet;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::num::NonZeroUsize;
use std::thread;
use std::time::Instant;

use roamcore_disk::region::ReadAt;

use crate::judge::{Bad, Fallback, Judge, Story};
use crate::layer::{Layer, Source};
use crate::log::Entry;
use crate::plan::{Plan, Regions, Shape, Window, plan, settle, windows};
use crate::state::{Disk, Recording, State};

/// Labels of partitions that a boot's choice and validity depend on; every other partition is cold.
const WARM: [&str; 5] = ["esp", "root-a", "verity-a", "root-b", "verity-b"];

/// A recording, taken apart.
#[derive(Debug)]
pub struct Run<'a, B, L> {
    recording: &'a Recording<B, L>,
    judge: &'a Judge,
    windows: Vec<Window>,
    plan: Plan,
}

/// What is allowed in each window.
#[derive(Debug, Default)]
struct Timeline {
    /// Fallbacks before and after each window, where they are known.
    around: Vec<Vec<Fallback>>,
    /// All of them in order, without repeats.
    fallbacks: Vec<Fallback>,
}

impl<'a, B: ReadAt + Sync, L: ReadAt + Sync> Run<'a, B, L> {
    /// Plans about `states` states.
    ///
    /// # Errors
    /// The disk or the log cannot be read.
    pub fn new(
        recording: &'a Recording<B, L>,
        judge: &'a Judge,
        states: usize,
        seed: u64,
    ) -> std::io::Result<Self> {
        let windows = windows(recording, &cold(recording, judge))?;
        let plan = plan(&windows, states, seed);
        Ok(Self {
            recording,
            judge,
            windows,
            plan,
        })
    }

    /// The windows.
    #[must_use]
    pub fn windows(&self) -> &[Window] {
        &self.windows
    }

    /// The planned shapes of a window.
    #[must_use]
    pub fn shapes(&self, window: usize) -> &[Shape] {
        self.plan.shapes.get(window).map_or(&[], Vec::as_slice)
    }

    /// Judges everything, on all cores.
    #[must_use]
    pub fn judge(&self) -> Report {
        let threads = thread::available_parallelism().map_or(1, NonZeroUsize::get);
        self.judge_with(threads)
    }

    /// Judges everything with this many threads.
    #[must_use]
    pub fn judge_with(&self, threads: usize) -> Report {
        let begun = Instant::now();
        let timeline = self.timeline();
        let entries = self.recording.log.entries();
        let mut report = Report {
            seed: self.plan.seed,
            windows: self.windows.len(),
            relevant_windows: self.windows.iter().filter(|w| !w.open.is_empty()).count(),
            flushes: self.recording.log.flushes(),
            writes: entries.iter().filter(|e| e.range().is_some()).count(),
            fallbacks: timeline
                .fallbacks
                .iter()
                .map(|f| self.judge.describe(f))
                .collect(),
            ..Report::default()
        };
        let threads = threads.max(1);
        let parts = thread::scope(|scope| {
            let workers: Vec<_> = (0..threads)
                .map(|worker| {
                    let timeline = &timeline;
                    scope.spawn(move || self.part(timeline, worker, threads))
                })
                .collect();
            workers
                .into_iter()
                .map(std::thread::ScopedJoinHandle::join)
                .collect::<Vec<_>>()
        });
        for part in parts {
            match part {
                Ok(part) => report.merge(part),
                Err(panic) => std::panic::resume_unwind(panic),
            }
        }
        let work = self.judge.work();
        report.different = [work.tables, work.esps, work.slots];
        report.milliseconds = u64::try_from(begun.elapsed().as_millis()).unwrap_or(u64::MAX);
        report
    }

    /// The state that window `number` and a shape name, with the layers below it.
    pub fn with_state<T>(
        &self,
        number: usize,
        shape: Shape,
        look: impl FnOnce(&State<'_, B, L>) -> T,
    ) -> Option<T> {
        let window = self.windows.get(number)?;
        let mut durable = Layer::default();
        for before in &self.windows[..number] {
            settle(before, self.recording.log.entries(), &mut durable);
        }
        let state = self.state(window, shape, &durable);
        Some(look(&state))
    }

    /// What a state's verdict is, given what is allowed around it.
    pub fn verdict(&self, state: &dyn Disk, allowed: &[Fallback]) -> Result<Story, Bad> {
        let story = self.judge.judge(state)?;
        if allowed.is_empty() || allowed.contains(&story.fallback) {
            return Ok(story);
        }
        let words: Vec<String> = allowed.iter().map(|f| self.judge.describe(f)).collect();
        Err(Bad::Fallback {
            now: self.judge.describe(&story.fallback),
            allowed: words.join(" or "),
        })
    }

    fn state<'s>(&'s self, window: &Window, shape: Shape, durable: &'s Layer) -> State<'s, B, L> {
        State {
            recording: self.recording,
            durable,
            top: shape.layer(window, self.recording.log.entries()),
        }
    }

    fn timeline(&self) -> Timeline {
        let mut durable = Layer::default();
        let mut timeline = Timeline::default();
        let look = |durable: &Layer| {
            let state = State {
                recording: self.recording,
                durable,
                top: Layer::default(),
            };
            self.judge.judge(&state).ok().map(|story| story.fallback)
        };
        let mut before = look(&durable);
        timeline.fallbacks.extend(before.clone());
        for window in &self.windows {
            settle(window, self.recording.log.entries(), &mut durable);
            let after = match window.open.is_empty() {
                true => before.clone(),
                // A bad flush is reported as a state; what is allowed goes on from the last good one.
                false => look(&durable).or_else(|| before.clone()),
            };
            let around: Vec<Fallback> = before.iter().chain(&after).cloned().collect();
            if after != before {
                timeline.fallbacks.extend(after.clone());
            }
            timeline.around.push(around);
            before = after;
        }
        timeline
    }

    /// The windows whose number leaves `worker` when divided by `workers`.
    fn part(&self, timeline: &Timeline, worker: usize, workers: usize) -> Report {
        let mut report = Report::default();
        let mut durable = Layer::default();
        for window in &self.windows {
            if window.number % workers == worker {
                self.window(
                    window,
                    &durable,
                    &timeline.around[window.number],
                    &mut report,
                );
            }
            settle(window, self.recording.log.entries(), &mut durable);
        }
        report
    }

    fn window(&self, window: &Window, durable: &Layer, allowed: &[Fallback], report: &mut Report) {
        let mut seen = HashSet::new();
        for (number, shape) in self.shapes(window.number).iter().enumerate() {
            let state = self.state(window, *shape, durable);
            let mut hasher = DefaultHasher::new();
            state.top.all().for_each(|piece| piece.hash(&mut hasher));
            if !seen.insert(hasher.finish()) {
                report.repeated += 1;
                continue;
            }
            report.states += 1;
            // Within a window of cold writes alone every state boots as the one before it does.
            report.distinct += usize::from(!window.open.is_empty());
            let finding = |class: &str, why: String| Finding {
                window: window.number,
                state: number,
                mark: window.mark.clone(),
                shape: shape.to_string(),
                class: class.into(),
                why,
            };
            match self.verdict(&state, allowed) {
                Ok(story) => {
                    match story.on_trial() {
                        true => report.good_trial += 1,
                        false => report.good_committed += 1,
                    }
                    if let Some(first) = story.fragile.first() {
                        let class = match first {
                            free if free.ends_with("free") => "clusters marked free",
                            lost if lost.ends_with("content") => "entry without content",
                            _ => "shared clusters",
                        };
                        report.add_fragile(finding(class, story.fragile.join("; ")));
                    }
                }
                Err(bad) => report.add_bad(finding(bad.class(), bad.to_string())),
            }
        }
    }
}

/// What no boot depends on, by the partition table that the log ends with. Without one everything counts.
fn cold<B: ReadAt + Sync, L: ReadAt + Sync>(recording: &Recording<B, L>, judge: &Judge) -> Regions {
    let mut durable = Layer::default();
    for (index, entry) in (0_u32..).zip(recording.log.entries()) {
        if let (Some((start, end)), Entry::Write { .. }) = (entry.range(), entry) {
            durable.put(start, end, Source::Write(index));
        }
    }
    let end = State {
        recording,
        durable: &durable,
        top: Layer::default(),
    };
    let Ok(table) = judge.table(&end) else {
        return Regions::default();
    };
    let cold = table
        .partitions
        .iter()
        .filter(|p| !WARM.contains(&p.name.as_str()));
    Regions::new(cold.map(|p| (p.start, p.end)).collect())
}
