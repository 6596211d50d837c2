//! Results, for people and as JSON.
//!
//! Owns: tables, times and sizes. Invariant: names and texts from outside reach a terminal without control characters.

use std::io::Write;

use jiff::Timestamp;
use serde::Serialize;

use super::Common;
use crate::model::Millis;

/// Prints a result: as JSON, or as `people` says it.
pub fn print(common: &Common, document: &impl Serialize, people: impl FnOnce() -> String) {
    let text = match common.json {
        // Our documents are maps with text for keys, which always have a JSON form.
        true => {
            serde_json::to_string(document).unwrap_or_else(|e| format!("{{\"error\":\"{e}\"}}"))
        }
        false => people().trim_end().to_owned(),
    };
    line(&text);
}

/// A line on stdout. A reader that has seen enough, such as `head`, is no error.
pub fn line(text: &str) {
    drop(writeln!(std::io::stdout(), "{text}"));
}

/// Columns as wide as they need to be.
pub fn table(head: &[&str], rows: &[Vec<String>]) -> String {
    let rows: Vec<Vec<String>> = rows
        .iter()
        .map(|row| row.iter().map(|cell| plain(cell)).collect())
        .collect();
    let width = |column: usize| {
        let cells = rows
            .iter()
            .filter_map(|row| row.get(column))
            .map(|cell| cell.chars().count());
        cells.chain([head[column].len()]).max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..head.len()).map(width).collect();
    let write = |cells: &mut dyn Iterator<Item = &str>| {
        let padded = cells
            .zip(&widths)
            .map(|(cell, width)| format!("{cell:<width$}"));
        padded.collect::<Vec<_>>().join("  ").trim_end().to_owned() + "\n"
    };
    let mut text = write(&mut head.iter().copied());
    for row in &rows {
        text += &write(&mut row.iter().map(String::as_str));
    }
    text
}

/// Without control characters.
pub fn plain(text: &str) -> String {
    text.chars()
        .map(|c| if c.is_control() { ' ' } else { c })
        .collect()
}

/// `2026-11-21T11:45:37Z`, or `-`.
pub fn time(at: Option<Millis>) -> String {
    match at.and_then(|at| Timestamp::from_second(at / 1000).ok()) {
        Some(at) => at.to_string(),
        None => "-".into(),
    }
}

/// Or `-`.
pub fn maybe<T: ToString>(value: Option<T>) -> String {
    value.map_or_else(|| "-".into(), |value| value.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tables_line_up_and_are_plain() {
        let text = table(
            &["ID", "NAME"],
            &[
                vec!["1".into(), "a\u{1b}[31m".into()],
                vec!["22".into(), "ü".into()],
            ],
        );
        assert_eq!(text, "ID  NAME\n1   a [31m\n22  ü\n");
    }

    #[test]
    fn times() {
        assert_eq!(time(Some(1_795_261_537_500)), "2026-11-21T11:45:37Z");
        assert_eq!(time(None), "-");
    }
}
