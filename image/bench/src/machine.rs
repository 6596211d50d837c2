//! The machine that the figures belong to.
//!
//! Owns: reading /proc. Never does: measure. A busy machine is told, not refused.

use std::fmt;
use std::fs;

use anyhow::{Context, Result};
use serde::Serialize;

/// Above this, another program takes part in the figures.
const BUSY: f64 = 0.5;

/// What is known of the machine.
#[derive(Debug, Clone, Serialize)]
pub struct Machine {
    /// Processor model, as the kernel names it.
    pub cpu: String,
    /// Processors this process may use.
    pub cores: usize,
    /// True when the processor has SHA-256 instructions.
    pub sha_extensions: bool,
    /// True inside a virtual machine.
    pub virtual_machine: bool,
    /// Memory.
    pub memory_kib: u64,
    /// Kernel release.
    pub kernel: String,
    /// Load of the last minute when the run began.
    pub load_before: f64,
}

impl Machine {
    /// Reads /proc.
    pub fn read() -> Result<Machine> {
        let cpuinfo = text("/proc/cpuinfo")?;
        let field = |name: &str| {
            let line = cpuinfo.lines().find(|l| l.starts_with(name));
            line.and_then(|l| l.split_once(':'))
                .map_or("", |(_, value)| value.trim())
                .to_owned()
        };
        let flags = field("flags");
        let flag = |name: &str| flags.split_whitespace().any(|f| f == name);
        let memory = text("/proc/meminfo")?;
        let memory_kib = memory
            .lines()
            .find_map(|l| l.strip_prefix("MemTotal:"))
            .and_then(|l| l.split_whitespace().next()?.parse().ok())
            .context("reading MemTotal from /proc/meminfo")?;
        Ok(Machine {
            cpu: field("model name"),
            cores: std::thread::available_parallelism()
                .context("counting processors")?
                .get(),
            sha_extensions: flag("sha_ni"),
            virtual_machine: flag("hypervisor"),
            memory_kib,
            kernel: text("/proc/sys/kernel/osrelease")?.trim().to_owned(),
            load_before: load()?,
        })
    }
}

/// Load average of the last minute.
pub fn load() -> Result<f64> {
    let text = text("/proc/loadavg")?;
    let first = text.split_whitespace().next().unwrap_or("");
    first
        .parse()
        .with_context(|| format!("reading the load from `{text}`"))
}

fn text(path: &str) -> Result<String> {
    fs::read_to_string(path).with_context(|| format!("reading {path}"))
}

impl fmt::Display for Machine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let yes = |value| if value { "yes" } else { "no" };
        writeln!(
            f,
            "Machine: {}, {} cores, SHA extensions {}, virtual machine {}",
            self.cpu,
            self.cores,
            yes(self.sha_extensions),
            yes(self.virtual_machine)
        )?;
        write!(
            f,
            "         {} MiB of memory, Linux {}, load {:.2}",
            self.memory_kib / 1024,
            self.kernel,
            self.load_before
        )?;
        if self.load_before > BUSY {
            write!(
                f,
                "\nWARNING: load above {BUSY}: something else is running and takes part in every figure below."
            )?;
        }
        Ok(())
    }
}
