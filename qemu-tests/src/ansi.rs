//! Takes terminal control sequences out of a byte stream, so that patterns match what a reader would see.
//!
//! Owns a small state machine; never fails; bytes may arrive cut at any point.
//!
//! ```text
//! Text --ESC--> Escape --[--> Csi --final byte 0x40..0x7e--> Text
//!                  |---]----> Osc --BEL or ESC------------> Text / Escape
//!                  '--other-> Text        (two-byte sequence; "(" and ")" take one byte more)
//! ```

/// Strips ANSI sequences, carriage returns and NUL bytes.
#[derive(Debug, Default)]
pub struct Stripper {
    state: State,
}

#[derive(Debug, Default, Clone, Copy)]
enum State {
    #[default]
    Text,
    Escape,
    Charset,
    Csi,
    Osc,
}

impl Stripper {
    /// What of `bytes` is text.
    pub fn feed(&mut self, bytes: &[u8]) -> Vec<u8> {
        let mut text = Vec::with_capacity(bytes.len());
        for &byte in bytes {
            self.state = match (self.state, byte) {
                (State::Text, 0x1b) | (State::Osc, 0x1b) => State::Escape,
                (State::Text, b'\r' | 0) => State::Text,
                (State::Text, byte) => {
                    text.push(byte);
                    State::Text
                }
                (State::Escape, b'[') => State::Csi,
                (State::Escape, b']') => State::Osc,
                (State::Escape, b'(' | b')') => State::Charset,
                (State::Csi, 0x40..=0x7e) | (State::Osc, 0x07) => State::Text,
                (State::Csi, _) => State::Csi,
                (State::Osc, _) => State::Osc,
                (State::Escape | State::Charset, _) => State::Text,
            };
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sequences_vanish_wherever_they_are_cut() {
        let raw = b"\x1b[0;32m  OK  \x1b[0m\x1b]0;title\x07\x1b(B done\r\n";
        for cut in 0..raw.len() {
            let mut stripper = Stripper::default();
            let mut text = stripper.feed(&raw[..cut]);
            text.extend(stripper.feed(&raw[cut..]));
            assert_eq!(text, b"  OK   done\n", "cut at {cut}");
        }
    }
}
