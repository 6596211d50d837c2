//! Texts that a device may report.
//!
//! Owns: hawkBit's refusal of anything that looks like markup, as observed of 1.0.4: an element `<word ...>` or the
//! start of a comment or declaration `<!` is refused, a lone `<` is not. Journals contain both, so a device that only
//! ever met a lenient server would lose its most important report on hawkBit.

/// hawkBit splits longer messages.
const LONGEST_MESSAGE: usize = 512;

/// True when hawkBit would refuse the text.
pub fn looks_like_markup(text: &str) -> bool {
    text.match_indices('<').any(|(at, _)| {
        let rest = &text[at + 1..];
        match rest.bytes().next() {
            Some(b'!') => true,
            Some(b'?') => rest.contains("?>"),
            Some(b) if b.is_ascii_alphabetic() => rest.contains('>'),
            _ => false,
        }
    })
}

/// Splits a message into pieces that are kept.
pub fn pieces(text: &str) -> Vec<String> {
    let chars: Vec<char> = text.chars().collect();
    if chars.len() <= LONGEST_MESSAGE {
        return vec![text.to_owned()];
    }
    chars
        .chunks(LONGEST_MESSAGE)
        .map(|piece| piece.iter().collect())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_hawkbit_refuses() {
        for bad in [
            "<script>",
            "<b>x</b>",
            "Nov 1 <info> [x]",
            "kernel: <ffff>",
            "<!--",
            "<!DOCTYPE x>",
            "<?xml ?>",
        ] {
            assert!(looks_like_markup(bad), "{bad}");
        }
        for good in [
            "",
            "a<b",
            "a < b",
            "if (a<3) {}",
            "<0>[  1.0] x",
            "a=>b",
            "<-",
            "</x>",
            "<?x",
            "&amp;",
            "\u{1b}[31m",
        ] {
            assert!(!looks_like_markup(good), "{good}");
        }
    }

    #[test]
    fn long_messages_are_split() {
        let lengths: Vec<usize> = pieces(&"ü".repeat(1300))
            .iter()
            .map(|p| p.chars().count())
            .collect();
        assert_eq!(lengths, [512, 512, 276]);
        assert_eq!(pieces(""), [""]);
    }
}
