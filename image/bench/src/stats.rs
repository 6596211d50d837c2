//! Samples of one measurement.
//!
//! Owns: the clock, the median and the spread. Never does: drop an outlier.

use std::fmt;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use serde::Serialize;

/// Wall times in the order in which they were taken, and processor time where it is known.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Samples {
    /// Microseconds from start to end.
    pub wall_us: Vec<u64>,
    /// Milliseconds of processor time of all processes together.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub cpu_ms: Vec<u64>,
}

impl Samples {
    /// Adds one sample.
    pub fn push(&mut self, sample: Sample) {
        self.wall_us.push(micros(sample.wall));
        self.cpu_ms.push(sample.cpu_ms);
    }

    /// Adds one sample of which only the milliseconds are known.
    pub fn push_ms(&mut self, milliseconds: u64) {
        self.wall_us.push(milliseconds.saturating_mul(1000));
    }

    /// Median wall time in seconds; none without samples.
    pub fn median(&self) -> Option<f64> {
        median(&self.wall_us).map(|us| us as f64 / 1e6)
    }
}

/// One run.
#[derive(Debug, Clone, Copy)]
pub struct Sample {
    /// From start to end.
    pub wall: Duration,
    /// Processor time of the children that ended meanwhile.
    pub cpu_ms: u64,
}

/// Times `work`, which runs other programs and waits for them.
pub fn time<T>(work: impl FnOnce() -> Result<T>) -> Result<(T, Sample)> {
    let before = children_ms()?;
    let started = Instant::now();
    let value = work()?;
    let wall = started.elapsed();
    let cpu_ms = children_ms()?.saturating_sub(before);
    Ok((value, Sample { wall, cpu_ms }))
}

/// Processor time of all children waited for so far: fields 16 and 17 of proc_pid_stat(5), in
/// ticks, which the kernel shows user space as hundredths of a second on every x86.
fn children_ms() -> Result<u64> {
    let stat = std::fs::read_to_string("/proc/self/stat").context("reading /proc/self/stat")?;
    // The second field is the program's name in brackets, which may hold blanks.
    let after = stat.rsplit_once(')').map_or("", |(_, rest)| rest);
    let ticks: Vec<u64> = after
        .split_whitespace()
        .skip(13)
        .take(2)
        .filter_map(|t| t.parse().ok())
        .collect();
    match ticks[..] {
        [user, system] => Ok((user + system) * 10),
        _ => anyhow::bail!("/proc/self/stat is not as expected: {stat}"),
    }
}

fn micros(wall: Duration) -> u64 {
    u64::try_from(wall.as_micros()).unwrap_or(u64::MAX)
}

fn median(values: &[u64]) -> Option<u64> {
    let mut sorted = values.to_vec();
    sorted.sort_unstable();
    let middle = sorted.len() / 2;
    let high = *sorted.get(middle)?;
    if sorted.len() % 2 == 1 {
        return Some(high);
    }
    Some(sorted[middle - 1].midpoint(high))
}

impl fmt::Display for Samples {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (Some(median_s), Some(min), Some(max)) = (
            self.median(),
            self.wall_us.iter().min(),
            self.wall_us.iter().max(),
        ) else {
            return f.write_str("no run");
        };
        if self.wall_us.len() == 1 {
            write!(f, "{median_s:.3} s (1 run")?;
        } else {
            let (min, max) = (*min as f64 / 1e6, *max as f64 / 1e6);
            write!(
                f,
                "{median_s:.3} s (median of {}, {min:.3} to {max:.3}",
                self.wall_us.len()
            )?;
        }
        if let Some(cpu) = median(&self.cpu_ms) {
            write!(f, "; CPU {:.2} s", cpu as f64 / 1e3)?;
        }
        f.write_str(")")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn median_and_spread() {
        let mut samples = Samples::default();
        assert_eq!(samples.to_string(), "no run");
        samples.push_ms(3000);
        assert_eq!(samples.to_string(), "3.000 s (1 run)");
        for ms in [1000, 2000] {
            samples.push_ms(ms);
        }
        assert_eq!(samples.to_string(), "2.000 s (median of 3, 1.000 to 3.000)");
        samples.push_ms(2500);
        assert_eq!(samples.median(), Some(2.25));
    }

    #[test]
    fn children_are_counted() {
        let ((), sample) = time(|| {
            let spin = "i=0; while [ $i -lt 200000 ]; do i=$((i+1)); done";
            let mut command = std::process::Command::new("sh");
            assert!(command.args(["-c", spin]).status()?.success());
            Ok(())
        })
        .unwrap();
        assert!(sample.cpu_ms > 0 && sample.wall > Duration::ZERO);
    }
}
