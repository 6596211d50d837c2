//! The database behind `/etc/pve`: written from a tree of files, and judged as its own daemon would judge it.
//!
//! Owns the one table and every rule of who may be in it. Never starts a daemon, never changes a database that exists: a
//! new one takes its place as a whole, or nothing does. Invariant: what [`encode`] gives, [`judge`] accepts without a
//! hazard, and the same tree, host and time give the same bytes.
//!
//! ```text
//!  tree: inode | parent | version | writer | mtime | type | name        | data
//!            0 |      0 |       n |      0 | given |    8 | __version__ | NULL     the root's own record
//!            1 |      0 |       1 |      0 | given |    4 | nodes       | NULL     type 4: a directory, without data
//!          ... |    ... |     ... |    ... |   ... |    8 | 100.conf    | bytes    type 8: a file
//!            n |    ... |       n |                                               n: the highest inode
//! ```
//!
//! The next thing the daemon creates gets inode n + 1 and *replaces* whatever has it. A record of the root that is missing
//! or too low therefore loads without a word, and eats the database from its front: [`judge`] tells the two apart, "does
//! not load" and "loads, then ...".
//!
//! The fuzz targets are two: rows made from bytes go to the judge, since random bytes hardly ever are a database; whole
//! files go to the reader.

mod error;
mod judge;
mod read;
mod tree;
mod write;

pub use error::{DbError, Hazard, Refusal, Unfit};
pub use judge::{Guest, Judged, judge, judge_strictly};
pub use read::{Row, decode, read};
pub use tree::{Files, guest_path};
pub use write::{encode, write};

/// What row 0 is called, and nothing else.
const VERSION_NAME: &str = "__version__";
/// `DT_DIR` and `DT_REG`; no other type loads.
const TYPE_DIR: u8 = 4;
const TYPE_FILE: u8 = 8;

/// Writes beyond it are refused by the mounted file system, so a larger file could never be saved again.
pub const MAX_FILE: usize = 1 << 20;
/// All files together, each rounded up to whole blocks, as `df` of the mounted file system counts.
pub const MAX_TOTAL: u64 = 128 << 20;
const BLOCK: u64 = 4096;
/// Files and directories with the root.
pub const MAX_INODES: usize = 256 * 1024;
/// Longest name the kernel passes to any file system.
const MAX_NAME: usize = 255;

/// Ids of guests as the management layer wants them. The daemon itself would take 1.
pub const VMIDS: std::ops::RangeInclusive<u32> = 100..=999_999_999;

/// Below `nodes/HOST`, where guests live; an id is there once in all of them together.
const GUEST_DIRS: [&str; 3] = ["qemu-server", "openvz", "lxc"];

/// Letters, digits and inner hyphens: guests of any other node are passed over without a word.
fn is_node_name(name: &[u8]) -> bool {
    let inner = |at: usize| at != 0 && at + 1 != name.len();
    let good = |(at, c): (usize, &u8)| c.is_ascii_alphanumeric() || (*c == b'-' && inner(at));
    !name.is_empty() && name.iter().enumerate().all(good)
}

/// Whether a text can be a node's name.
pub(crate) fn is_node(text: &str) -> bool {
    is_node_name(text.as_bytes())
}

/// The id in a name such as `100.conf`, by the daemon's own rule.
fn vmid_of(name: &[u8]) -> Option<u32> {
    let digits = name.strip_suffix(b".conf")?;
    let first = digits.first()?;
    if *first == b'0' || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    std::str::from_utf8(digits).ok()?.parse().ok()
}
