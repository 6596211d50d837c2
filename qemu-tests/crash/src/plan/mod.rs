//! Which states to look at: every one in which a power cut could have left the disk is a candidate, and there are too many.
//!
//! Owns the model of the disk's cache, and the choice. Never judges. Invariant: the same recording, regions, seed and number
//! give the same states; the state at every flush is always among them; a window in which few sectors change is looked at
//! completely, unless the number of states does not suffice.
//!
//! ```text
//!  ... flush | w1 w2 w3 ... wn | flush ...       one window: durable before it, gone or there or torn within it
//!              up to 12 changed sectors: every subset of them
//!              more: every prefix, every write alone, every one missing, every one torn, random mixtures
//! ```
//! The model: what was written before a flush is there after it. In the open window each write may be there or not, whole or
//! in part; parts are whole sectors of 512 bytes or blocks of 4 KiB, the units that disks write atomically. Of two writes to
//! one place the later one wins, if it got through: disks do not undo the order of overlapping writes. A write with FUA is
//! there once it is followed by anything. A discard leaves zeros or what was there.
//!
//! Left out: sectors with garbage in them (disks of ours write a sector whole or not at all), disks that lie about flushes, and
//! writes that were under way when a flush began and completed before it did: the log has them before the flush, so they count
//! as durable though the disk promised nothing.

mod budget;
mod shape;
mod window;

pub use budget::{Plan, plan};
pub use shape::{Keep, Shape};
pub use window::{Open, Regions, Window, settle, windows};
