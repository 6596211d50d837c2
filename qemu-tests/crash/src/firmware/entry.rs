//! Boot entries as systemd-boot 257 reads, sorts and counts them.
//!
//! Facts, from its `src/boot/boot.c`:
//! - Of loader/entries it reads files that end in `.conf` in any case, do not start with `.` or `auto-`. One that cannot be
//!   read is passed over, and so is one without an `efi` or `linux` key, or whose program does not exist. An empty or torn
//!   file therefore is no entry.
//! - A name `NAME+LEFT[-DONE].conf` is counted. Its id is the name without the counter, in lower case.
//! - Order: entries with tries left 0 last; those with a `sort-key` first, then by sort-key, machine-id, version (newest
//!   first), id (newest first), tries left (most first), tries done (fewest first). What is equal stays in directory order.
//! - The first entry is started. Before that a counted one is renamed to its next name; when that fails, for example because
//!   a file of that name exists, it is started all the same, uncounted.
//! - When its program cannot be loaded, systemd-boot ends and the firmware takes over: there is no next entry.

use std::cmp::Ordering;

use super::version;

/// More digits are no number that fits.
const LARGEST: u64 = i32::MAX as u64;

/// Tries of a counted entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Tries {
    /// Left.
    pub left: u64,
    /// Done.
    pub done: u64,
}

/// An entry that is shown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BootEntry {
    /// File name.
    pub file: String,
    /// Id: the file name without counter, in lower case.
    pub id: String,
    /// Counter, if it has one.
    pub tries: Option<Tries>,
    /// Program, with `/`.
    pub program: String,
    /// Key by which it is sorted, if it has one.
    pub sort_key: Option<String>,
    /// Machine id.
    pub machine_id: String,
    /// Version.
    pub version: String,
    /// The whole file.
    pub content: Vec<u8>,
}

/// Whether a file of this name is read at all.
#[must_use]
pub fn is_read(file: &str) -> bool {
    let lower = file.to_ascii_lowercase();
    lower.ends_with(".conf") && !lower.starts_with("auto-") && !lower.starts_with('.')
}

impl BootEntry {
    /// Reads an entry; `None` when systemd-boot would not show it. That the program exists is the caller's to check.
    #[must_use]
    pub fn parse(file: &str, content: &[u8]) -> Option<Self> {
        let mut entry = Self {
            file: file.to_owned(),
            id: file.to_ascii_lowercase(),
            tries: None,
            program: String::new(),
            sort_key: None,
            machine_id: String::new(),
            version: String::new(),
            content: content.to_vec(),
        };
        for (key, value) in lines(content) {
            match key.as_str() {
                "efi" | "linux" => entry.program = value.replace('\\', "/"),
                "sort-key" => entry.sort_key = Some(value),
                "version" => entry.version = value,
                "machine-id" => entry.machine_id = value,
                "architecture" if !value.eq_ignore_ascii_case("x64") => return None,
                _ => {}
            }
        }
        if let Some((id, tries)) = counter(file) {
            entry.id = id;
            entry.tries = Some(tries);
        }
        (!entry.program.is_empty()).then_some(entry)
    }

    /// The name that systemd-boot gives a counted entry before it starts it.
    #[must_use]
    pub fn next_name(&self) -> Option<String> {
        let tries = self.tries?;
        let (stem, _) = self.file.rsplit_once('+')?;
        let (left, done) = (tries.left.saturating_sub(1), (tries.done + 1).min(LARGEST));
        Some(format!("{stem}+{left}-{done}.conf"))
    }

    /// Whether its tries are used up.
    #[must_use]
    pub fn used_up(&self) -> bool {
        self.tries.is_some_and(|tries| tries.left == 0)
    }

    /// The order in which entries are listed.
    #[must_use]
    pub fn order(&self, other: &Self) -> Ordering {
        let newest = |a: &str, b: &str| version::compare(b, a);
        let keys = match (&self.sort_key, &other.sort_key) {
            (Some(a), Some(b)) => a
                .cmp(b)
                .then_with(|| self.machine_id.cmp(&other.machine_id))
                .then_with(|| newest(&self.version, &other.version)),
            (a, b) => a.is_none().cmp(&b.is_none()),
        };
        let tries = || match (self.tries, other.tries) {
            (Some(a), Some(b)) => b.left.cmp(&a.left).then(a.done.cmp(&b.done)),
            _ => Ordering::Equal,
        };
        self.used_up()
            .cmp(&other.used_up())
            .then(keys)
            .then_with(|| newest(&self.id, &other.id))
            .then_with(tries)
    }
}

/// Id and tries of a counted name.
fn counter(file: &str) -> Option<(String, Tries)> {
    let (stem, rest) = file.rsplit_once('+')?;
    let (left, rest) = number(rest)?;
    let (done, rest) = match rest.strip_prefix('-') {
        Some(rest) => number(rest)?,
        None => (0, rest),
    };
    let good = rest.eq_ignore_ascii_case(".conf");
    good.then(|| {
        let id = format!("{stem}.conf").to_ascii_lowercase();
        (id, Tries { left, done })
    })
}

fn number(text: &str) -> Option<(u64, &str)> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, rest) = text.split_at(digits);
    let number = number.parse().ok().filter(|n| *n <= LARGEST)?;
    Some((number, rest))
}

/// Keys and values. The text ends at the first NUL, as C strings do.
fn lines(content: &[u8]) -> Vec<(String, String)> {
    let end = content.iter().position(|byte| *byte == 0);
    let text = String::from_utf8_lossy(&content[..end.unwrap_or(content.len())]);
    let blank = [' ', '\t'];
    let line = |line: &str| {
        let line = line.trim_matches(blank);
        let (key, value) = line.split_once(blank)?;
        let value = value.trim_start_matches(blank);
        let quoted = |mark: char| {
            let inner = value.strip_prefix(mark)?;
            inner.strip_suffix(mark)
        };
        let value = quoted('"').or_else(|| quoted('\'')).unwrap_or(value);
        (!key.starts_with('#')).then(|| (key.to_owned(), value.to_owned()))
    };
    text.split(['\n', '\r']).filter_map(line).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn entry(file: &str, text: &str) -> BootEntry {
        BootEntry::parse(file, format!("{text}\nefi /x.efi\n").as_bytes()).unwrap()
    }

    #[test]
    fn counters_as_systemd_boot_reads_them() {
        let table = [
            ("r.conf", None, None),
            ("r+3.conf", Some((3, 0)), Some("r+2-1.conf")),
            ("r+2-1.CONF", Some((2, 1)), Some("r+1-2.conf")),
            ("r+0-3.conf", Some((0, 3)), Some("r+0-4.conf")),
            ("r+1+07.conf", Some((7, 0)), Some("r+1+6-1.conf")),
            ("r+.conf", None, None),
            ("r+1-.conf", None, None),
            ("r+1x.conf", None, None),
            ("r+99999999999.conf", None, None),
        ];
        for (file, tries, next) in table {
            let found = entry(file, "");
            let tries = tries.map(|(left, done)| Tries { left, done });
            assert_eq!(found.tries, tries, "{file}");
            assert_eq!(found.next_name().as_deref(), next, "{file}");
        }
        assert_eq!(entry("R+3.conf", "").id, "r.conf");
        assert!(is_read("A.CONF") && !is_read("ROAMCO~1.CON") && !is_read("auto-x.conf"));
    }

    #[test]
    fn torn_content_is_no_entry() {
        for content in [
            &b""[..],
            b"\0\0\0",
            b"title x\nsort-key y\n",
            b"efi\n",
            b"#efi /x\n",
            b"title x\0\nefi /x\n",
            b"architecture aa64\nefi /x\n",
        ] {
            assert_eq!(BootEntry::parse("a.conf", content), None, "{content:?}");
        }
        let found = BootEntry::parse("a.conf", b" efi\t \"\\EFI\\x y.efi\" \r\nversion 7").unwrap();
        assert_eq!(
            (found.program.as_str(), found.version.as_str()),
            ("/EFI/x y.efi", "7")
        );
    }

    #[test]
    fn order_of_entries() {
        let order = [
            entry("b+3.conf", "sort-key r\nversion 10"),
            entry("b+1-2.conf", "sort-key r\nversion 10"),
            entry("a.conf", "sort-key r\nversion 9"),
            entry("z.conf", ""),
            entry("b+0-3.conf", "sort-key r\nversion 10"),
        ];
        for (i, a) in order.iter().enumerate() {
            for (j, b) in order.iter().enumerate() {
                assert_eq!(a.order(b), i.cmp(&j), "{} {}", a.file, b.file);
            }
        }
        let committed = entry("b.conf", "sort-key r\nversion 10");
        assert_eq!(committed.order(&order[1]), Ordering::Equal);
    }

    proptest! {
        #[test]
        fn never_panics(file in ".*", content in proptest::collection::vec(any::<u8>(), 0..200)) {
            if let Some(entry) = BootEntry::parse(&file, &content) {
                drop(entry.next_name());
            }
        }
    }
}
