//! What a run found.

use std::collections::BTreeMap;
use std::fmt;

use serde::Serialize;

/// Findings that are kept word for word; the rest is counted.
pub(super) const KEPT: usize = 200;

/// A state worth telling of.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// Window.
    pub window: usize,
    /// Number of the state within the window: with the seed and the number of states it names the state.
    pub state: usize,
    /// The last mark before it.
    pub mark: Option<String>,
    /// What got through.
    pub shape: String,
    /// Kind of problem.
    pub class: String,
    /// What is wrong.
    pub why: String,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mark = self.mark.as_deref().unwrap_or("start");
        write!(
            f,
            "state {}/{} (after \"{mark}\", {}): {}",
            self.window, self.state, self.shape, self.why
        )
    }
}

/// The whole result. Equal for equal input but for the time.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Report {
    /// The seed.
    pub seed: u64,
    /// States that were judged, each different from all others of its window.
    pub states: usize,
    /// How many of them are of a window in which something is written that a boot looks at.
    pub distinct: usize,
    /// Shapes that turned out to be states already judged.
    pub repeated: usize,
    /// Windows.
    pub windows: usize,
    /// Windows in which something was written where a boot looks.
    pub relevant_windows: usize,
    /// Flushes.
    pub flushes: usize,
    /// Writes and discards.
    pub writes: usize,
    /// States that boot the committed slot next.
    pub good_committed: usize,
    /// States that boot a valid trial next.
    pub good_trial: usize,
    /// Bad states by kind.
    pub bad: BTreeMap<String, usize>,
    /// Good states with damage that a later write may turn into loss, by kind.
    pub fragile: BTreeMap<String, usize>,
    /// Bad states, the first ones.
    pub findings: Vec<Finding>,
    /// Fragile states, the first ones.
    pub fragile_findings: Vec<Finding>,
    /// Fallbacks in their order: one more than commits.
    pub fallbacks: Vec<String>,
    /// Different partition tables, ESPs and slots among the states.
    pub different: [usize; 3],
    /// Milliseconds.
    pub milliseconds: u64,
}

impl Report {
    /// Number of bad states.
    #[must_use]
    pub fn bad_states(&self) -> usize {
        self.bad.values().sum()
    }

    pub(super) fn add_bad(&mut self, finding: Finding) {
        *self.bad.entry(finding.class.clone()).or_default() += 1;
        keep(&mut self.findings, finding);
    }

    pub(super) fn add_fragile(&mut self, finding: Finding) {
        *self.fragile.entry(finding.class.clone()).or_default() += 1;
        keep(&mut self.fragile_findings, finding);
    }

    /// Takes in what another thread found.
    pub(super) fn merge(&mut self, other: Self) {
        self.states += other.states;
        self.distinct += other.distinct;
        self.repeated += other.repeated;
        self.good_committed += other.good_committed;
        self.good_trial += other.good_trial;
        for (into, from) in [
            (&mut self.bad, other.bad),
            (&mut self.fragile, other.fragile),
        ] {
            for (class, count) in from {
                *into.entry(class).or_default() += count;
            }
        }
        for (into, from) in [
            (&mut self.findings, other.findings),
            (&mut self.fragile_findings, other.fragile_findings),
        ] {
            into.extend(from);
            into.sort_by_key(|finding| (finding.window, finding.state));
            into.truncate(KEPT);
        }
    }
}

/// Keeps a finding unless there are enough; of each kind at least some are kept.
fn keep(list: &mut Vec<Finding>, finding: Finding) {
    let same = list.iter().filter(|f| f.class == finding.class).count();
    if list.len() < KEPT || same < 4 {
        list.push(finding);
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "{} states judged in {}.{:03} s, seed {}: {} windows, {} of them relevant, {} writes, {} flushes",
            self.states,
            self.milliseconds / 1000,
            self.milliseconds % 1000,
            self.seed,
            self.windows,
            self.relevant_windows,
            self.writes,
            self.flushes
        )?;
        let [tables, esps, slots] = self.different;
        writeln!(
            f,
            "{} are of windows that write where a boot looks; among them {tables} partition tables, {esps} ESPs, {slots} slot contents",
            self.distinct
        )?;
        for (index, fallback) in self.fallbacks.iter().enumerate() {
            writeln!(f, "fallback {index}: {fallback}")?;
        }
        writeln!(
            f,
            "next boot: committed slot {}, valid trial {}, bad {}",
            self.good_committed,
            self.good_trial,
            self.bad_states()
        )?;
        for (class, count) in &self.bad {
            writeln!(f, "  BAD {count:6}  {class}")?;
        }
        for (class, count) in &self.fragile {
            writeln!(f, "  fragile {count:6}  {class}")?;
        }
        Ok(())
    }
}
