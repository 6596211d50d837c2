//! Everything of one run, and what the issue asked for beside it.
//!
//! Invariant: an aim is judged only by figures of this run; what was not measured is not judged.

use std::fmt;

use anyhow::Result;
use serde::Serialize;

use crate::machine::{self, Machine};
use crate::{build, delta, install, mkosi, verity};

/// Seconds for a rebuild after an overlay's file changed.
const REBUILD_AIM: f64 = 25.0;

/// What `--json` writes.
#[derive(Debug, Serialize)]
pub struct Report {
    format: u32,
    machine: Machine,
    load_after: f64,
    quick: bool,
    /// Builds by step.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub build: Option<build::Figures>,
    /// Hash trees.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub verity: Option<verity::Figures>,
    /// mkosi.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mkosi: Option<mkosi::Figures>,
    /// Downloads.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub delta: Option<delta::Figures>,
    /// Installs.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub install: Option<install::Figures>,
    aims: Vec<Aim>,
}

/// One aim, judged.
#[derive(Debug, Serialize)]
pub struct Aim {
    what: String,
    aim: String,
    measured: String,
    met: bool,
}

impl Aim {
    /// At most `limit`.
    pub fn at_most(what: String, measured: f64, limit: f64) -> Aim {
        Aim {
            what,
            aim: format!("at most {limit}"),
            measured: format!("{measured:.3}"),
            met: measured <= limit,
        }
    }

    /// At least `limit`.
    pub fn at_least(what: String, measured: f64, limit: f64) -> Aim {
        Aim {
            what,
            aim: format!("at least {limit}"),
            measured: format!("{measured:.3}"),
            met: measured >= limit,
        }
    }
}

impl Report {
    /// An empty report.
    pub fn new(machine: Machine, quick: bool) -> Report {
        Report {
            format: 1,
            load_after: machine.load_before,
            machine,
            quick,
            build: None,
            verity: None,
            mkosi: None,
            delta: None,
            install: None,
            aims: Vec::new(),
        }
    }

    /// Judges what was measured.
    pub fn finish(&mut self) -> Result<()> {
        self.load_after = machine::load()?;
        let mut aims = Vec::new();
        let changed = self.build.as_ref().and_then(|b| b.changed.whole.median());
        let measured = match &self.mkosi {
            Some(mkosi::Figures::Measured(m)) => Some(m),
            _ => None,
        };
        if let Some(seconds) = changed.or_else(|| measured.and_then(|m| m.ours.median())) {
            aims.push(Aim {
                what: "rebuild after an overlay change".to_owned(),
                aim: format!("under {REBUILD_AIM} s"),
                measured: format!("{seconds:.1} s"),
                met: seconds < REBUILD_AIM,
            });
        }
        if let Some(m) = measured {
            for (what, ratio) in [
                ("compressed as ours", m.ratio_compressed),
                ("not compressed", m.ratio),
            ] {
                aims.push(Aim {
                    what: format!("the same against mkosi's incremental, {what}"),
                    aim: format!("mkosi takes over {} times as long", mkosi::AIM),
                    measured: format!("{ratio:.2} times"),
                    met: ratio > mkosi::AIM,
                });
            }
        }
        for file in self.verity.iter().flat_map(|v| &v.files) {
            // With one processor two threads prove nothing about two cores.
            if self.machine.cores >= 2 {
                aims.push(Aim {
                    what: format!("hash tree on two cores, {}", file.what),
                    aim: format!("at least {} times veritysetup", verity::AIM),
                    measured: format!("{:.2} times", file.ratio_two),
                    met: file.ratio_two >= verity::AIM,
                });
            }
        }
        aims.extend(self.delta.iter().flat_map(delta::Figures::aims));
        aims.extend(self.install.iter().flat_map(install::Figures::aims));
        self.aims = aims;
        Ok(())
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "\nAims")?;
        for aim in &self.aims {
            let verdict = if aim.met { "met   " } else { "MISSED" };
            writeln!(
                f,
                "   {verdict} {}: {} ({})",
                aim.what, aim.measured, aim.aim
            )?;
        }
        if self.aims.is_empty() {
            writeln!(f, "   none could be judged by what was measured")?;
        }
        let (before, after) = (self.machine.load_before, self.load_after);
        write!(
            f,
            "Load {before:.2} before, {after:.2} after; the benchmark's own work counts in the latter."
        )
    }
}
