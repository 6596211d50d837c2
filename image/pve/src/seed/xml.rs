//! A writer of small XML documents.
//!
//! Invariant: well-formed whatever the texts are; a character that XML cannot hold is refused, not dropped.

use super::SeedError;

/// A document that is being written.
pub(super) struct Xml {
    out: String,
    open: Vec<&'static str>,
}

impl Xml {
    pub(super) fn new() -> Self {
        Self {
            out: "<?xml version=\"1.0\"?>\n".into(),
            open: Vec::new(),
        }
    }

    fn indent(&mut self) {
        self.out.extend(std::iter::repeat_n("  ", self.open.len()));
    }

    /// An element with elements in it, made by `inner`.
    pub(super) fn node(
        &mut self,
        tag: &'static str,
        inner: impl FnOnce(&mut Self) -> Result<(), SeedError>,
    ) -> Result<(), SeedError> {
        self.node_with(tag, &[], inner)
    }

    /// As `node`, with attributes.
    pub(super) fn node_with(
        &mut self,
        tag: &'static str,
        attributes: &[(&str, &str)],
        inner: impl FnOnce(&mut Self) -> Result<(), SeedError>,
    ) -> Result<(), SeedError> {
        self.indent();
        self.out.push_str(&format!("<{tag}"));
        for (name, value) in attributes {
            let value = escape(tag, value)?;
            self.out.push_str(&format!(" {name}=\"{value}\""));
        }
        self.out.push_str(">\n");
        self.open.push(tag);
        inner(self)?;
        self.open.pop();
        self.indent();
        self.out.push_str(&format!("</{tag}>\n"));
        Ok(())
    }

    /// An element with text in it.
    pub(super) fn leaf(
        &mut self,
        tag: &'static str,
        text: impl std::fmt::Display,
    ) -> Result<(), SeedError> {
        let text = escape(tag, &text.to_string())?;
        self.indent();
        self.out.push_str(&format!("<{tag}>{text}</{tag}>\n"));
        Ok(())
    }

    /// Several of these.
    pub(super) fn leaves(&mut self, leaves: &[(&'static str, &str)]) -> Result<(), SeedError> {
        leaves
            .iter()
            .try_for_each(|(tag, text)| self.leaf(tag, text))
    }

    pub(super) fn finish(self) -> Vec<u8> {
        self.out.into_bytes()
    }
}

fn escape(tag: &'static str, text: &str) -> Result<String, SeedError> {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&apos;"),
            // Section 2.2 of XML 1.0.
            '\t' | '\n' | ' '..='\u{d7ff}' | '\u{e000}'..='\u{fffd}' | '\u{10000}'.. => out.push(c),
            _ => {
                return Err(SeedError {
                    field: tag,
                    value: text.into(),
                    expected: "characters that XML has",
                });
            }
        }
    }
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_stay_texts() {
        let mut xml = Xml::new();
        xml.node_with("a", &[("b", "\"<>")], |xml| xml.leaf("c", "</c><d>&'\n"))
            .unwrap();
        let text = String::from_utf8(xml.finish()).unwrap();
        assert_eq!(
            text,
            "<?xml version=\"1.0\"?>\n<a b=\"&quot;&lt;&gt;\">\n  \
             <c>&lt;/c&gt;&lt;d&gt;&amp;&apos;\n</c>\n</a>\n"
        );
        for bad in ["\0", "\u{1b}", "\u{ffff}", "\r"] {
            assert!(escape("a", bad).is_err(), "{bad:?}");
        }
    }
}
