//! apt's source lists, in both spellings: deb822 (`*.sources`) and one-line (`*.list`).
//!
//! Owns: the parser. Never does: read a file, or judge which source is Debian's (that is
//! `super::mirrors`). As apt's, it is lenient with what it does not need; a line it cannot make
//! sense of yields no entry. See sources.list(5).

/// One source of binary packages.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Base URI without trailing slash.
    pub uri: String,
    /// Suites served from it.
    pub suites: Vec<String>,
    /// Components of those suites.
    pub components: Vec<String>,
    /// `Signed-By` as written; an embedded key block counts as a value.
    pub signed_by: Option<String>,
}

/// Entries of a deb822 file.
pub fn deb822(text: &str) -> Vec<Entry> {
    let mut entries = Vec::new();
    let mut fields: Vec<(String, String)> = Vec::new();
    for line in text.lines().chain([""]) {
        if line.starts_with('#') {
            continue;
        }
        if line.trim().is_empty() {
            stanza(&fields, &mut entries);
            fields.clear();
        } else if line.starts_with([' ', '\t']) {
            if let Some((_, value)) = fields.last_mut() {
                value.push(' ');
                value.push_str(line.trim());
            }
        } else if let Some((key, value)) = line.split_once(':') {
            fields.push((key.to_ascii_lowercase(), value.trim().to_owned()));
        }
    }
    entries
}

fn stanza(fields: &[(String, String)], entries: &mut Vec<Entry>) {
    let field = |key: &str| {
        fields
            .iter()
            .find(|(k, _)| k == key)
            .map(|(_, v)| v.as_str())
    };
    let words = |key: &str| -> Vec<String> {
        field(key)
            .unwrap_or("")
            .split_whitespace()
            .map(str::to_owned)
            .collect()
    };
    let disabled = field("enabled").is_some_and(|v| v.eq_ignore_ascii_case("no"));
    if disabled || !words("types").iter().any(|t| t == "deb") {
        return;
    }
    for uri in words("uris") {
        entries.push(Entry {
            uri: uri.trim_end_matches('/').to_owned(),
            suites: words("suites"),
            components: words("components"),
            signed_by: field("signed-by")
                .filter(|v| !v.is_empty())
                .map(str::to_owned),
        });
    }
}

/// Entries of a one-line file.
pub fn one_line(text: &str) -> Vec<Entry> {
    text.lines().filter_map(one).collect()
}

fn one(line: &str) -> Option<Entry> {
    let line = line.split('#').next()?.trim();
    let mut rest = line.strip_prefix("deb")?;
    if !rest.starts_with([' ', '\t']) {
        return None;
    }
    rest = rest.trim_start();
    let mut signed_by = None;
    if let Some(options) = rest.strip_prefix('[') {
        let (inside, after) = options.split_once(']')?;
        rest = after;
        signed_by = inside
            .split_whitespace()
            .filter_map(|o| o.split_once('='))
            .find(|(key, _)| key.eq_ignore_ascii_case("signed-by"))
            .map(|(_, value)| value.to_owned());
    }
    let mut words = rest.split_whitespace().map(str::to_owned);
    let uri = words.next()?.trim_end_matches('/').to_owned();
    let suites = vec![words.next()?];
    Some(Entry {
        uri,
        suites,
        components: words.collect(),
        signed_by,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(text: &str) -> Vec<String> {
        text.split_whitespace().map(str::to_owned).collect()
    }

    #[test]
    fn deb822_stanzas() {
        let text = "# a comment\nTypes: deb deb-src\n# inside\nURIs: http://a.invalid/debian/ http://b.invalid/debian\nSuites: trixie\n trixie-updates\ncomponents: main\nSigned-By: /k.gpg\n\n\
                    Types: deb\nEnabled: no\nURIs: http://off.invalid\nSuites: x\n\nTypes: deb-src\nURIs: http://src.invalid\nSuites: x\n\n\
                    Types: deb\nURIs: http://c.invalid/v\nSuites: v\nComponents: main\nSigned-By:\n -----BEGIN PGP PUBLIC KEY BLOCK-----\n .\n abc";
        let found = deb822(text);
        assert_eq!(found.len(), 3);
        assert_eq!(
            found[0],
            Entry {
                uri: "http://a.invalid/debian".into(),
                suites: words("trixie trixie-updates"),
                components: words("main"),
                signed_by: Some("/k.gpg".into()),
            }
        );
        assert_eq!(found[1].uri, "http://b.invalid/debian");
        assert!(found[2].signed_by.as_deref().unwrap().contains("BEGIN PGP"));
    }

    #[test]
    fn one_line_entries() {
        let text = "# deb http://no.invalid x main\ndeb http://a.invalid/debian trixie main contrib # why\n\
                    deb [arch=amd64 signed-by=/k.gpg] http://b.invalid/debian-security/ trixie-security main\n\
                    deb-src http://a.invalid/debian trixie main\ndebian nonsense\ndeb\ndeb [open\n";
        let found = one_line(text);
        assert_eq!(found.len(), 2);
        assert_eq!(found[0].components, words("main contrib"));
        assert_eq!(found[1].uri, "http://b.invalid/debian-security");
        assert_eq!(found[1].signed_by.as_deref(), Some("/k.gpg"));
    }
}
