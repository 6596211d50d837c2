//! Log lines on stderr with sd-daemon's `<N>` priority prefix.
//!
//! Owns: the prefix, the one-line form and the chain of causes. Never does: fail the caller, or print a secret: callers
//! pass errors, and no error holds one.

use std::fmt::Display;
use std::io::Write;

/// The server could not do what it should.
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

/// An error with its causes.
pub fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        next = cause.source();
    }
    text
}

fn line(priority: u8, message: &dyn Display) {
    // Names and texts come from outside: no control character of theirs reaches a terminal.
    let text: String = message
        .to_string()
        .chars()
        .map(|c| if c.is_control() { ' ' } else { c })
        .collect();
    // Nobody is left to tell when stderr itself is gone.
    drop(writeln!(std::io::stderr(), "<{priority}>{text}"));
}
