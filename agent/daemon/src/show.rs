//! Answers as text for people.
//!
//! Owns: the words and their order. Never does: I/O. Control characters from outside never reach a
//! terminal.

use std::fmt::Write;

use roamcore_engine::Status;
use roamcore_engine::facts::Entry;
use roamcore_engine::history::Line;
use roamcore_engine::status::SlotStatus;
use roamcore_ota::Timestamp;

use crate::protocol::{Answer, Overview, ServerStatus};

/// An answer, as `roamcore` prints it.
pub fn answer(answer: &Answer) -> String {
    let text = match answer {
        Answer::Pong { turns, .. } => format!("alive, {turns} turns"),
        Answer::Status(overview) => status(overview),
        Answer::Accepted => "accepted".to_owned(),
        Answer::Refused { reason } => format!("refused: {reason}"),
        Answer::Failed { reason } => format!("failed: {reason}"),
        Answer::Log { lines } if lines.is_empty() => "nothing has happened yet".to_owned(),
        Answer::Log { lines } => lines.iter().map(line).collect::<Vec<_>>().join("\n"),
    };
    text.chars()
        .map(|c| if c.is_control() && c != '\n' { ' ' } else { c })
        .collect()
}

/// `roamcore slots`
pub fn slots(status: &Status) -> String {
    let rows: Vec<String> = status.slots.iter().map(slot).collect();
    rows.join("\n")
}

fn slot(slot: &SlotStatus) -> String {
    let release = slot
        .release
        .as_ref()
        .map_or_else(|| "nothing known".to_owned(), ToString::to_string);
    let entry = match slot.entry {
        Entry::Absent => "no boot entry".to_owned(),
        Entry::Committed => "committed".to_owned(),
        Entry::Counted { left, done } => format!("on trial, {left} tries left, {done} used"),
    };
    let runs = if slot.running { "running" } else { "idle" };
    let hash = slot
        .root_hash
        .as_deref()
        .map_or("invalid", |hash| hash.get(..16).unwrap_or(hash));
    format!(
        "{}  {runs:<8} {release}; {entry}; root hash {hash}",
        slot.slot
    )
}

fn status(overview: &Overview) -> String {
    let engine = &overview.engine;
    let mut text = String::new();
    let mut row = |name: &str, value: &str| {
        // Writing to a string cannot fail.
        let _ = writeln!(text, "{name:<9} {value}");
    };
    for (name, slot) in ["runs", "other"].iter().zip(&engine.slots) {
        row(name, &self::slot(slot));
    }
    let trial = if engine.on_trial {
        " (this boot is a trial)"
    } else {
        ""
    };
    row("phase", &format!("{}{trial}", engine.phase));
    if let Some(title) = &engine.title {
        let from = engine.from.as_deref().unwrap_or("?");
        let action = engine
            .action
            .as_ref()
            .map_or(String::new(), |action| format!(", action {action}"));
        row("update", &format!("{title} (from {from}{action})"));
    }
    if let Some(progress) = &engine.progress {
        let stage = &progress.stage;
        row(
            "progress",
            &format!(
                "{} %, {:?}: {} of {}; fetched {}",
                progress.percent,
                stage.stage,
                size(stage.done),
                size(stage.total),
                size(stage.fetched)
            ),
        );
    }
    if let Some(plan) = &engine.plan {
        row(
            "plan",
            &format!(
                "fetch {} of {} in {} requests",
                size(plan.download_bytes),
                size(plan.full_bytes),
                plan.requests
            ),
        );
    }
    if let Some(waiting) = &engine.waiting_for {
        row("waits for", waiting);
    }
    if let Some(problem) = &engine.problem {
        row("problem", problem);
    }
    if let Some(problem) = &overview.problem {
        row("settings", problem);
    }
    row(
        "server",
        &overview
            .server
            .as_ref()
            .map_or_else(|| "none".to_owned(), server),
    );
    if engine.unsent > 0 {
        row(
            "unsent",
            &format!("{} messages wait for the server", engine.unsent),
        );
    }
    let left = engine
        .budget_left
        .map_or(String::new(), |left| format!(", {} left", size(left)));
    row(
        "data",
        &format!(
            "{} today, {} this month{left}",
            size(engine.usage.day_bytes),
            size(engine.usage.month_bytes)
        ),
    );
    row("agent", &overview.agent);
    text.trim_end().to_owned()
}

fn server(server: &ServerStatus) -> String {
    let state = match (&server.problem, server.answered) {
        (Some(problem), _) => problem.clone(),
        (None, Some(when)) => format!(
            "answered {}, polled every {} s",
            time(Some(when)),
            server.interval
        ),
        (None, None) => "not asked yet".to_owned(),
    };
    format!("{} as {}: {state}", server.url, server.controller)
}

fn line(line: &Line) -> String {
    format!("{}  {:<10} {}", time(line.unix), line.phase, line.text)
}

fn time(unix: Option<i64>) -> String {
    let known = unix.and_then(|unix| Timestamp::from_unix(u64::try_from(unix).ok()?).ok());
    known.map_or_else(
        || "(clock not set)     ".to_owned(),
        |time| time.to_string(),
    )
}

/// With three digits, in units of a thousand as disks and data plans have them.
fn size(bytes: u64) -> String {
    let mut unit = 1;
    for name in ["B", "kB", "MB", "GB", "TB"] {
        if bytes / unit < 1000 || name == "TB" {
            let tenths = bytes / (unit / 10).max(1) % 10;
            return match (name, bytes / unit) {
                ("B", whole) => format!("{whole} B"),
                (name, whole) if whole < 100 => format!("{whole}.{tenths} {name}"),
                (name, whole) => format!("{whole} {name}"),
            };
        }
        unit *= 1000;
    }
    format!("{bytes} B")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes() {
        for (bytes, text) in [
            (0, "0 B"),
            (999, "999 B"),
            (1000, "1.0 kB"),
            (99_950, "99.9 kB"),
            (123_456, "123 kB"),
            (1_870_000_000, "1.8 GB"),
            (u64::MAX, "18446744 TB"),
        ] {
            assert_eq!(size(bytes), text);
        }
    }

    #[test]
    fn nothing_reaches_the_terminal_raw() {
        let reason = "no\u{1b}[2J".to_owned();
        assert_eq!(answer(&Answer::Refused { reason }), "refused: no [2J");
    }

    #[test]
    fn lines_without_a_clock_line_up() {
        let line = |unix| Line {
            unix,
            boot_ms: 1,
            phase: "idle".into(),
            text: "x".into(),
        };
        let lines = vec![line(None), line(Some(1_700_000_000))];
        assert_eq!(
            answer(&Answer::Log { lines }),
            "(clock not set)       idle       x\n2023-11-14T22:13:20Z  idle       x"
        );
    }
}
