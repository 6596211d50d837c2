//! Log lines on stderr with sd-daemon's `<N>` priority prefix.
//!
//! Owns: the prefix and the one-line form. Never does: keep state, fail the caller.

use std::fmt::Display;
use std::io::Write;

/// A failure the caller is about to report or act on.
pub fn error(message: impl Display) {
    line(3, &message);
}

/// Something is not as it should be, and we go on.
pub fn warning(message: impl Display) {
    line(4, &message);
}

/// A normal but important step.
pub fn notice(message: impl Display) {
    line(5, &message);
}

/// Progress.
pub fn info(message: impl Display) {
    line(6, &message);
}

fn line(priority: u8, message: &dyn Display) {
    // One line per message: a newline would lose the prefix, and input may carry escape sequences.
    let text = printable(&message.to_string());
    // Nobody is left to tell when stderr itself is gone.
    drop(writeln!(std::io::stderr(), "<{priority}>{text}"));
}

fn printable(text: &str) -> String {
    text.chars()
        .map(|c| if c.is_control() { ' ' } else { c })
        .collect()
}

#[cfg(test)]
mod tests {
    #[test]
    fn control_characters_do_not_reach_the_console() {
        assert_eq!(super::printable("a\nb\u{1b}[2J"), "a b [2J");
    }
}
