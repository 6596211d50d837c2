//! An error with all its causes, in one line.
//!
//! Owns: the one place where chains are printed. An error's own text never includes its cause.

use std::error::Error;

/// `what: why: why`
pub fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        // Some libraries repeat their cause; once is enough.
        let next = error.to_string();
        if !text.ends_with(&next) {
            text += ": ";
            text += &next;
        }
        cause = error.source();
    }
    text
}
